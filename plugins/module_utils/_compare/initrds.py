# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two initrds compared file by file. Private to this collection."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._compare.difference import Difference, bytes_differ
from ansible_collections.liveforge.images.plugins.module_utils._compare.trees import compare_trees
from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

# First bytes of each kind, and the tool that unpacks it to standard output.
_COMPRESSIONS = (
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x1f\x8b", "gzip"),
    (b"07070", None),
)


def is_initrd(path: str) -> bool:
    """Whether a file is a cpio archive, compressed or not."""
    with open(path, "rb") as stream:
        start = stream.read(8)
    return any(start.startswith(magic) for magic, dummy in _COMPRESSIONS)


def compare_initrds(first: str, second: str, run: Runner, scratch: str) -> t.Iterator[Difference]:
    """What differs between two initrds that are not the same.

    Args:
        first: the one.
        second: the other.
        run: runs the tools.
        scratch: an empty folder.
    """
    sides = [_Unpacked(path, run, os.path.join(scratch, side)) for path, side in ((first, "1"), (second, "2"))]
    if file_sha256(sides[0].archive) == file_sha256(sides[1].archive):
        yield Difference("the archive as a whole", "compression", *map(_size, (first, second)))
        return
    found = False
    for difference in compare_trees(sides[0].tree, sides[1].tree):
        found = True
        yield difference
    names = [side.names(run) for side in sides]
    if not found and names[0] != names[1]:
        place = next(index for index, (one, other) in enumerate(zip(*names, strict=False)) if one != other)
        yield Difference(f"entry {place} of the archive", "order of the files", names[0][place], names[1][place])
    elif not found:
        # Inode numbers and the like.
        yield from bytes_differ(sides[0].archive, sides[1].archive)


class _Unpacked:
    """An initrd, unpacked below a folder: its archive without compression, and its files."""

    def __init__(self, path: str, run: Runner, folder: str) -> None:
        self.archive = os.path.join(folder, "cpio")
        self.tree = os.path.join(folder, "tree")
        os.makedirs(self.tree)
        tool = self._compression(path)
        command = ["cp", path, self.archive]
        if tool is not None:
            command = ["sh", "-c", '"$1" -dc < "$2" > "$3"', "sh", tool, path, self.archive]
        run.run(command, task=f"unpacking {path}")
        options = ["--quiet", "--extract", "--make-directories", "--preserve-modification-time"]
        options += ["--no-absolute-filenames", "--no-preserve-owner", f"--file={self.archive}"]
        # The owner is compared, too, so it must be kept where it can be.
        if os.geteuid() == 0:
            options.remove("--no-preserve-owner")
        run.run(["cpio", *options], task=f"unpacking {path}", cwd=self.tree)

    def names(self, run: Runner) -> list[str]:
        """The names of the files in the order of the archive."""
        listed = run.run(["cpio", "--quiet", "--list", f"--file={self.archive}"], task="listing an initrd")
        return listed.splitlines()

    def _compression(self, path: str) -> str | None:
        with open(path, "rb") as stream:
            start = stream.read(8)
        for magic, tool in _COMPRESSIONS:
            if start.startswith(magic):
                return tool
        raise StageError(f"{path} is no initrd: neither a cpio archive nor compressed with zstd, xz or gzip.")


def _size(path: str) -> str:
    return f"{os.path.getsize(path)} bytes"

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mksquashfs command and what it made. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import (
    Runner,
    environment,
    find_tool,
    tool_version,
)
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import dotted_version
from ansible_collections.liveforge.images.plugins.module_utils._progress import Progress
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.compression import (
    Compression,
    literal_pattern,
)

TOOLS = ("mksquashfs", "unsquashfs", "stdbuf")
# These damage files with holes (CHANGES of squashfs-tools 4.7.5).
_SPARSE_BUG = ((4, 7), (4, 7, 4))
_ARGUMENT_BYTES = 512 << 10
_COMPLAINT = re.compile(r"(?:\S*mksquashfs|FATAL ERROR)[:,] ?(.+)")
_PACKED = re.compile(r", uncompressed size (\d+) bytes")


@dataclasses.dataclass(frozen=True)
class Packing:
    """One run of mksquashfs.

    Attributes:
        source: the tree.
        target: the image.
        compression: how to compress.
        excluded: paths relative to the tree.
        options: further options.
        processors: at most that many, or None.
        memory: MiB for its buffers, or None for :func:`default_memory`.
        inodes: inodes that the image will have.
        size: bytes of all files.
    """

    source: str
    target: str
    compression: Compression
    inodes: int
    size: int
    excluded: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    processors: int | None = None
    memory: int | None = None

    def command(self, version: str) -> list[str]:
        """The command line for a version of mksquashfs, as it prints it."""
        # -info tells file by file how far it is; its progress bar says nothing into a pipe.
        line = ["mksquashfs", self.source, self.target, "-noappend", "-exit-on-error", "-no-recovery"]
        line += ["-xattrs", "-no-progress", "-info", *self.compression.arguments()]
        if _SPARSE_BUG[0] <= dotted_version(version) <= _SPARSE_BUG[1]:
            line.append("-no-sparse")
        if self.processors is not None:
            line += ["-processors", str(self.processors)]
        line += ["-mem", f"{self.memory or default_memory(self.processors)}M"]
        line += self.options
        if self.excluded:
            line += ["-wildcards", "-e", *map(literal_pattern, self.excluded)]
        if sum(len(os.fsencode(word)) + 1 for word in line) > _ARGUMENT_BYTES:
            raise StageError(
                f"exclude: {len(self.excluded)} paths match, too many for one command. Exclude whole directories."
            )
        return line


def default_memory(processors: int | None) -> int:
    """MiB for the buffers of mksquashfs: enough to keep its processors busy, where it would take a quarter of all."""
    return max(128, 16 * (processors or os.cpu_count() or 1))


def version() -> str:
    """Version of mksquashfs on this host."""
    return tool_version("mksquashfs", "-version")


def pack(packing: Packing, run: Runner, progress: Progress, what: str) -> None:
    """Run mksquashfs, and check that the image is whole."""
    follow = _Follower(packing.size, lambda percent: progress.step(what, percent))
    progress.step(what, 0)
    unbuffered = line_by_line(environment())
    run.run(packing.command(version()), task=what, on_line=follow, hint=follow.cause, extra_environment=unbuffered)
    progress.step("checking the image")
    _check(run.run(["unsquashfs", "-s", packing.target], task="checking the image"), packing)


class _Follower:
    """Reads along what mksquashfs prints: how far it is, and what it complains about before it explains its options."""

    def __init__(self, size: int, report: t.Callable[[float], None]) -> None:
        self._size = size
        self._report = report
        self._done = 0
        self._complaint: str | None = None

    def __call__(self, line: str) -> None:
        if match := _PACKED.search(line):
            self._done += int(match[1])
            if self._size:
                self._report(100 * self._done / self._size)
        elif self._complaint is None and (match := _COMPLAINT.match(line)):
            self._complaint = match[1].strip()

    def cause(self, output: str) -> str | None:
        """What a failed run complained about; a full disk is explained elsewhere."""
        if self._complaint is None or "No space left on device" in output:
            return None
        return f"It said: {self._complaint}"


def line_by_line(base: t.Mapping[str, str]) -> dict[str, str]:
    """The variables with which stdbuf(1) makes a program write each line at once, also into a pipe.

    stdbuf is not in front of the program itself, so that messages are about the program.
    """
    command = [find_tool("stdbuf"), "-oL", find_tool("env"), "-0"]
    listed = subprocess.run(command, env=dict(base), stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
    variables = (item.partition("=") for item in os.fsdecode(listed).split("\0") if item)
    return {name: value for name, dummy, value in variables if base.get(name) != value and name != "_"}


def _check(superblock: str, packing: Packing) -> None:
    wrong = None
    for name, expected in (
        ("Number of inodes", packing.inodes),
        ("Block size", packing.compression.block_size),
    ):
        match = re.search(rf"^{name} (\d+)$", superblock, re.MULTILINE)
        if match is None or int(match[1]) != expected:
            wrong = f"{name} is {match[1] if match else 'missing'}, not {expected}"
    match = re.search(r"^Filesystem size (\d+) bytes", superblock, re.MULTILINE)
    # The file is padded to 4 KiB.
    if match is None or not int(match[1]) <= os.path.getsize(packing.target) < int(match[1]) + 4096:
        wrong = f"it says {match[1] if match else 'no'} bytes, the file has {os.path.getsize(packing.target)}"
    if wrong:
        raise StageError(f"The squashfs is not as it should be: {wrong}. Was the tree changed meanwhile? Run again.")


def time_options(options: t.Sequence[str]) -> list[str]:
    """Those options that mksquashfs refuses while SOURCE_DATE_EPOCH is set."""
    return [option for option in options if option in ("-mkfs-time", "-fstime", "-all-time", "-inode-time")]

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two initrds compared file by file. Private to this collection.

Format: "initramfs buffer format" in the kernel's documentation. The headers are read here, since cpio(1) can show
neither the times of directories nor the inode numbers in which archives of the same files may differ.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._compare.difference import Difference, bytes_differ
from ansible_collections.liveforge.images.plugins.module_utils._compare.trees import (
    FILE_TYPES,
    Listing,
    compare_listings,
)
from ansible_collections.liveforge.images.plugins.module_utils._digest import add_from, file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

_CPIO = b"07070"
# First bytes of each kind, and the tool that unpacks it to standard output.
_COMPRESSIONS = ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\x00", "xz"), (b"\x1f\x8b", "gzip"), (_CPIO, None))
_HEADER = 110
_FIELDS = ("inode", "mode", "owner", "group", "links", "time", "size", "major", "minor", "rmajor", "rminor", "name")


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
    archives = [os.path.join(scratch, side) for side in ("1", "2")]
    for path, archive in zip((first, second), archives, strict=True):
        _unpack(path, archive, run)
    if file_sha256(archives[0]) == file_sha256(archives[1]):
        sizes = [f"{os.path.getsize(path)} bytes" for path in (first, second)]
        yield Difference("the archive as a whole", "compression", *sizes)
        return
    sides = [_listing(archive) for archive in archives]
    found = list(compare_listings(*sides))
    names = [list(side) for side in sides]
    if not found and names[0] != names[1]:
        place = [one == other for one, other in zip(*names, strict=True)].index(False)
        found = [Difference(f"entry {place} of the archive", "order of the files", names[0][place], names[1][place])]
    if found:
        yield from found
        return
    numbered = list(compare_listings(*(_listing(archive, with_inodes=True) for archive in archives)))
    yield from numbered or bytes_differ(*archives)


def _unpack(path: str, archive: str, run: Runner) -> None:
    with open(path, "rb") as stream:
        start = stream.read(8)
    tools = [tool for magic, tool in _COMPRESSIONS if start.startswith(magic)]
    if not tools:
        raise StageError(f"{path} is no initrd: neither a cpio archive nor compressed with zstd, xz or gzip.")
    if tools[0] is None:
        os.symlink(os.path.abspath(path), archive)
    else:
        command = ["sh", "-c", 'exec "$1" -dc < "$2" > "$3"', "sh", tools[0], path, archive]
        run.run(command, task=f"unpacking {path}")


def _listing(archive: str, *, with_inodes: bool = False) -> Listing:
    """Every entry with its attributes, in the order of the archive; archives that follow each other are read as one."""
    found: Listing = {}
    with open(archive, "rb") as stream:
        for number in itertools.count():
            header = stream.read(_HEADER)
            # Archives may be padded with zeros behind their last entry.
            while header and not header.strip(b"\0"):
                header = stream.read(4)
                header += stream.read(_HEADER - 4) if header.strip(b"\0") else b""
            if not header:
                return found
            if len(header) < _HEADER or not header.startswith(_CPIO):
                raise StageError(f"{archive} is damaged: there is no cpio header after entry {number}.")
            values = dict(zip(_FIELDS, _numbers(header), strict=False))
            name = stream.read(values["name"])[:-1]
            stream.seek(-(_HEADER + values["name"]) % 4, os.SEEK_CUR)
            entry = _entry(values, stream)
            stream.seek(-values["size"] % 4, os.SEEK_CUR)
            if name == b"TRAILER!!!":
                continue
            if with_inodes:
                entry |= {key: str(values[key]) for key in ("inode", "links", "major", "minor")}
            found[os.fsdecode(name)] = entry
    return found


def _numbers(header: bytes) -> list[int]:
    try:
        return [int(header[place : place + 8], 16) for place in range(6, _HEADER, 8)]
    except ValueError as problem:
        raise StageError(f"An initrd is damaged: {header[:32]!r} is no cpio header.") from problem


def _entry(values: t.Mapping[str, int], stream: t.BinaryIO) -> dict[str, str]:
    mode = values["mode"]
    entry = {
        "type": FILE_TYPES.get(stat.S_IFMT(mode), "unknown"),
        "mode": f"{stat.S_IMODE(mode):04o}",
        "owner": str(values["owner"]),
        "group": str(values["group"]),
        "time": str(values["time"]),
    }
    if stat.S_ISLNK(mode):
        entry["target"] = stream.read(values["size"]).decode("utf-8", "backslashreplace")
    elif stat.S_ISREG(mode):
        digest = hashlib.sha256()
        add_from(digest, stream, values["size"])
        entry["size"] = str(values["size"])
        entry["content"] = digest.hexdigest()
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        entry["device"] = f"{values['rmajor']}:{values['rminor']}"
    return entry

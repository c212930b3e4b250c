# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the files in a small FAT file system, such as an EFI partition. Private to this collection.

Format: Microsoft's "FAT: General Overview of On-Disk Format" (fatgen103), FAT12 and FAT16 and FAT32, with long names.
"""

from __future__ import annotations

import struct
import typing as t

_ENTRY_SIZE = 32
_DELETED, _END = 0xE5, 0x00
_LONG_NAME, _DIRECTORY, _VOLUME_LABEL = 0x0F, 0x10, 0x08
_LARGEST = 64 << 20


class FatError(ValueError):
    """The bytes are not a FAT file system that can be read."""


class FatImage:
    """A FAT file system held in memory.

    Args:
        data: the whole file system; at most 64 MiB, far beyond any EFI partition that El Torito can describe.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < 512 or len(data) > _LARGEST or data[510:512] != b"\x55\xaa":
            raise FatError("not a FAT file system")
        self._data = data
        sector, per_cluster, reserved, fats, roots, small, fat16 = struct.unpack_from("<HBHBHHxH", data, 11)
        large, fat32 = struct.unpack_from("<II", data, 32)
        if sector not in (512, 1024, 2048, 4096) or not per_cluster or not fats:
            raise FatError("not a FAT file system")
        self._cluster_size = sector * per_cluster
        self._fat_start = reserved * sector
        self._root_start = (reserved + fats * (fat16 or fat32)) * sector
        self._root_size = roots * _ENTRY_SIZE
        self._data_start = self._root_start + -(-self._root_size // sector) * sector
        clusters = ((small or large) * sector - self._data_start) // self._cluster_size
        self._bits = 12 if clusters < 4085 else 16 if clusters < 65525 else 32
        self._clusters = clusters
        self._root_cluster = struct.unpack_from("<I", data, 44)[0] if self._bits == 32 else 0

    def files(self) -> dict[str, bytes]:
        """Every file: path to content."""
        if self._root_cluster:
            root = self._chain(self._root_cluster)
        else:
            root = self._data[self._root_start : self._root_start + self._root_size]
        return dict(self._below(root, "", 0))

    def _below(self, folder: bytes, prefix: str, depth: int) -> t.Iterator[tuple[str, bytes]]:
        if depth > 16:
            raise FatError("folders are nested too deep")
        for name, attributes, cluster, size in _entries(folder):
            if attributes & _DIRECTORY:
                yield from self._below(self._chain(cluster), f"{prefix}{name}/", depth + 1)
            else:
                yield prefix + name, self._chain(cluster)[:size] if cluster else b""

    def _chain(self, cluster: int) -> bytes:
        """The content of a chain of clusters."""
        parts: list[bytes] = []
        while 2 <= cluster < self._clusters + 2:
            if len(parts) > self._clusters:
                raise FatError("a chain of clusters has no end")
            start = self._data_start + (cluster - 2) * self._cluster_size
            parts.append(self._data[start : start + self._cluster_size])
            cluster = self._next(cluster)
        return b"".join(parts)

    def _next(self, cluster: int) -> int:
        try:
            if self._bits == 12:
                pair = struct.unpack_from("<H", self._data, self._fat_start + cluster * 3 // 2)[0]
                return pair >> 4 if cluster & 1 else pair & 0xFFF
            if self._bits == 16:
                return struct.unpack_from("<H", self._data, self._fat_start + cluster * 2)[0]
            return struct.unpack_from("<I", self._data, self._fat_start + cluster * 4)[0] & 0x0FFFFFFF
        except struct.error as problem:
            raise FatError("the allocation table is cut off") from problem


def _entries(folder: bytes) -> t.Iterator[tuple[str, int, int, int]]:
    """Name, attributes, first cluster and size of each entry."""
    pieces: list[str] = []
    for offset in range(0, len(folder) - _ENTRY_SIZE + 1, _ENTRY_SIZE):
        raw = folder[offset : offset + _ENTRY_SIZE]
        if raw[0] == _END:
            return
        attributes = raw[11]
        if raw[0] == _DELETED:
            pieces = []
        elif attributes & 0x3F == _LONG_NAME:
            # The pieces of a long name come last first.
            pieces.insert(0, (raw[1:11] + raw[14:26] + raw[28:32]).decode("utf-16-le", "replace"))
        else:
            name = "".join(pieces).partition("\0")[0] or _short_name(raw)
            pieces = []
            high, low, size = struct.unpack_from("<H4xHI", raw, 20)
            if not attributes & _VOLUME_LABEL and name not in (".", ".."):
                yield name, attributes, high << 16 | low, size


def _short_name(raw: bytes) -> str:
    stem, extension = (raw[:8].decode("cp437").rstrip(), raw[8:11].decode("cp437").rstrip())
    # Bits 3 and 4 of byte 12: Windows NT's and mtools' way to keep a lower-case short name.
    stem = stem.lower() if raw[12] & 0x08 else stem
    extension = extension.lower() if raw[12] & 0x10 else extension
    return f"{stem}.{extension}" if extension else stem

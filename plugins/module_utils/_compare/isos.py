# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two ISO images compared file by file, and sector by sector between the files. Private to this collection."""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._compare.difference import (
    Difference,
    byte_ranges,
    only_in_one,
)
from ansible_collections.liveforge.images.plugins.module_utils._digest import add_from
from ansible_collections.liveforge.images.plugins.module_utils._iso.files import IsoFiles, open_iso
from ansible_collections.liveforge.images.plugins.module_utils._iso.inspect import esp_files, inspect

_SECTOR = 2048
_SYSTEM_AREA = 16 * _SECTOR


def is_iso(path: str) -> bool:
    """Whether a file is an ISO 9660 image."""
    with open(path, "rb") as stream:
        stream.seek(_SYSTEM_AREA)
        return stream.read(6) == b"\x01CD001"


def compare_isos(first: str, second: str) -> t.Iterator[Difference]:
    """What differs between two ISO images that are not the same: files first, then what is between them."""
    with open_iso(first) as one, open_iso(second) as other:
        yield from _compare_files(_digests(one), _digests(other))
        reports = [inspect(path) for path in (first, second)]
        partitions = [esp_files(path, report) or {} for path, report in zip((first, second), reports, strict=True)]
        digests = [{name: _sha256(data) for name, data in partition.items()} for partition in partitions]
        for difference in _compare_files(*digests):
            yield Difference(f"EFI partition: {difference.place}", *_values(difference))
        areas = _Areas(one, reports[0])
        for start, end in byte_ranges(one.stream, other.stream):
            for name, (low, high) in areas.between(start, end):
                yield Difference(f"{name}, bytes {low} to {high - 1}", "content", "one", "another")


def _digests(iso: IsoFiles) -> dict[str, str]:
    found = {}
    for name, file in iso.files.items():
        digest = hashlib.sha256()
        for start, length in file.extents:
            iso.stream.seek(start)
            add_from(digest, iso.stream, length)
        found[name] = digest.hexdigest()
    return found


def _compare_files(first: t.Mapping[str, str], second: t.Mapping[str, str]) -> t.Iterator[Difference]:
    for name in sorted({*first, *second}):
        if name not in first or name not in second:
            yield only_in_one(name, in_first=name in first)
        elif first[name] != second[name]:
            yield Difference(name, "content", first[name], second[name])


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _values(difference: Difference) -> tuple[str, str | None, str | None]:
    return difference.what, difference.first, difference.second


class _Areas:
    """What lies where on an ISO, apart from the content of files."""

    def __init__(self, iso: IsoFiles, report: t.Mapping[str, t.Any]) -> None:
        self._files = sorted(extent for file in iso.files.values() for extent in file.extents)
        self._volume_size = iso.volume_size
        self._partitions = [
            (partition["start"], partition["start"] + partition["size"])
            for partition in (report["partition_table"] or {}).get("partitions", ())
            if partition["start"] > 0
        ]

    def between(self, start: int, end: int) -> t.Iterator[tuple[str, tuple[int, int]]]:
        """The parts of a range that are in no file, each with its name."""
        for low, length in self._files:
            if low >= end or low + length <= start:
                continue
            if low > start:
                yield self._name(start), (start, low)
            start = max(start, -(-(low + length) // _SECTOR) * _SECTOR)
        if start < end:
            yield self._name(start), (start, end)

    def _name(self, start: int) -> str:
        if start < _SYSTEM_AREA:
            return "boot sector and partition table"
        if start < 2 * _SYSTEM_AREA:
            return "volume descriptors"
        if any(low <= start < high for low, high in self._partitions) and start >= self._files[-1][0]:
            return "EFI partition"
        return "directories" if start < self._volume_size else "end of the image"

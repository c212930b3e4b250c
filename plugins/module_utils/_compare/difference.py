# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between two artifacts, and where. Private to this collection."""

from __future__ import annotations

import dataclasses
import typing as t

BLOCK = 1 << 20
SECTOR = 2048


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing that is not the same on both sides.

    Attributes:
        place: path of a file, or a range of bytes.
        what: which attribute of it, such as ``mode`` or ``content``.
        first: its value on the first side; None when the first side has no such place.
        second: the same for the second side.
    """

    place: str
    what: str
    first: str | None
    second: str | None

    def sentence(self) -> str:
        """For people to read."""
        if self.first is None or self.second is None:
            return f"{self.place} is only in the {'second' if self.first is None else 'first'}"
        return f"{self.place}: {self.what} is {self.first} and {self.second}"


def only_in_one(place: str, *, in_first: bool) -> Difference:
    """A place that only one side has."""
    return Difference(place, "existence", "present" if in_first else None, None if in_first else "present")


def byte_ranges(first: t.BinaryIO, second: t.BinaryIO) -> t.Iterator[tuple[int, int]]:
    """Start and end of each run of sectors of 2 KiB that differ; the shorter file ends where the longer one goes on."""
    first.seek(0)
    second.seek(0)
    position = 0
    start: int | None = None
    while True:
        one, other = first.read(BLOCK), second.read(BLOCK)
        if not one and not other:
            break
        if one == other:
            if start is not None:
                yield start, position
                start = None
        else:
            for offset in range(0, max(len(one), len(other)), SECTOR):
                same = one[offset : offset + SECTOR] == other[offset : offset + SECTOR]
                if same and start is not None:
                    yield start, position + offset
                    start = None
                elif not same and start is None:
                    start = position + offset
        position += max(len(one), len(other))
    if start is not None:
        yield start, position


def first_byte(first: str, second: str) -> int | None:
    """Offset of the first byte in which two files differ; None when they are the same."""
    position = 0
    with open(first, "rb") as one_stream, open(second, "rb") as other_stream:
        while True:
            one, other = one_stream.read(BLOCK), other_stream.read(BLOCK)
            if one != other:
                both = zip(one, other, strict=False)
                return position + next(
                    (index for index, (a, b) in enumerate(both) if a != b), min(len(one), len(other))
                )
            if not one:
                return None
            position += len(one)


def bytes_differ(first: str, second: str) -> t.Iterator[Difference]:
    """The runs of sectors in which two files differ, for files of which nothing better can be said."""
    with open(first, "rb") as one, open(second, "rb") as other:
        for start, end in byte_ranges(one, other):
            yield Difference(f"bytes {start} to {end - 1}", "content", "one", "another")

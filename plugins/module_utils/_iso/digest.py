# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of an ISO and of files inside it in one pass over its bytes. Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._iso.media_tag import BLOCK, FIELD_SIZE, FIELD_START

_CHUNK = 1 << 20

Extents = t.Sequence[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Digests:
    """What one pass found.

    Attributes:
        whole: SHA-256 of the file.
        parts: SHA-256 of each part.
        media_md5: MD5 as isomd5sum computes it, or None when it was not asked for.
    """

    whole: str
    parts: dict[str, str]
    media_md5: str | None


def digest(
    path: str,
    parts: t.Mapping[str, Extents],
    media_end: int | None = None,
    on_percent: t.Callable[[float], None] | None = None,
) -> Digests:
    """Read the file at ``path`` once.

    Args:
        path: the ISO.
        parts: extents (start and length in bytes) of each part, in their order.
        media_end: byte at which isomd5sum's digest ends; None leaves that digest out.
        on_percent: told how far it is.
    """
    whole = hashlib.sha256()
    sums = {name: hashlib.sha256() for name in parts}
    segments = [(name, start, start + length) for name, extents in parts.items() for start, length in extents]
    # isomd5sum reads its own field as blanks.
    media = None if media_end is None else hashlib.md5(usedforsecurity=False)
    position = 0
    with open(path, "rb", buffering=0) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        while count := stream.readinto(buffer):
            whole.update(view[:count])
            for name, start, end in segments:
                low, high = max(start, position), min(end, position + count)
                if low < high:
                    sums[name].update(view[low - position : high - position])
            if media is not None and media_end is not None and position < media_end:
                media.update(_blanked(view[: min(count, media_end - position)], position))
            position += count
            if on_percent is not None and size:
                on_percent(100 * position / size)
    return Digests(
        whole.hexdigest(),
        {name: part.hexdigest() for name, part in sums.items()},
        media.hexdigest() if media is not None else None,
    )


def media_end(volume_size: int, skipped_blocks: int) -> int:
    """Where isomd5sum's digest ends: it leaves out the last blocks, which CD writers may not get right."""
    return volume_size - skipped_blocks * BLOCK


def _blanked(view: memoryview, position: int) -> memoryview | bytes:
    low, high = max(FIELD_START, position), min(FIELD_START + FIELD_SIZE, position + len(view))
    if low >= high:
        return view
    return bytes(view[: low - position]) + b" " * (high - low) + bytes(view[high - position :])

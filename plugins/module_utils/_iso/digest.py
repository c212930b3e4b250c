# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of an ISO and of files inside it. Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._iso.media_tag import BLOCK, FIELD_SIZE, FIELD_START
from ansible_collections.liveforge.images.plugins.module_utils._side_by_side import side_by_side

_CHUNK = 1 << 20

Extents = t.Sequence[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Digests:
    """What was found.

    Attributes:
        whole: SHA-256 of the file.
        parts: SHA-256 of each part.
        media_md5: MD5 as isomd5sum computes it, or None when it was not asked for.
    """

    whole: str
    parts: dict[str, str]
    media_md5: str | None


def digest_with(path: str, replaced: t.Mapping[int, bytes]) -> str:
    """SHA-256 of the file at ``path`` as it would be with other bytes in some places, by where each begins."""
    whole = hashlib.sha256()
    with open(path, "rb") as stream:
        for start, content in sorted(replaced.items()):
            _add(whole, stream, start - stream.tell())
            whole.update(content)
            stream.seek(len(content), os.SEEK_CUR)
        _add(whole, stream, os.path.getsize(path) - stream.tell())
    return whole.hexdigest()


def _add(whole: t.Any, stream: t.BinaryIO, length: int) -> None:
    while length > 0:
        chunk = stream.read(min(_CHUNK, length))
        if not chunk:
            return
        whole.update(chunk)
        length -= len(chunk)


def digest(
    path: str,
    parts: t.Mapping[str, Extents],
    media_end: int | None = None,
) -> Digests:
    """Read the file at ``path``.

    Args:
        path: the ISO.
        parts: extents (start and length in bytes) of each part, in their order.
        media_end: byte at which isomd5sum's digest ends; None leaves that digest out.
    """
    # Each takes longer than reading.
    (whole, media), found = side_by_side(lambda: _whole(path, media_end), lambda: _parts(path, parts))
    return Digests(whole, found, media)


def _whole(path: str, media_end: int | None) -> tuple[str, str | None]:
    whole = hashlib.sha256()
    # isomd5sum reads its own field as blanks.
    media = None if media_end is None else hashlib.md5(usedforsecurity=False)
    position = 0
    with open(path, "rb", buffering=0) as stream:
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        while count := stream.readinto(buffer):
            whole.update(view[:count])
            if media is not None and media_end is not None and position < media_end:
                media.update(_blanked(view[: min(count, media_end - position)], position))
            position += count
    return whole.hexdigest(), media.hexdigest() if media is not None else None


def _parts(path: str, parts: t.Mapping[str, Extents]) -> dict[str, str]:
    found = {}
    with open(path, "rb") as stream:
        # In the order in which the other reader comes by.
        for name, extents in sorted(parts.items(), key=lambda item: tuple(item[1][:1])):
            part = hashlib.sha256()
            for start, length in extents:
                stream.seek(start)
                _add(part, stream, length)
            found[name] = part.hexdigest()
    return found


def media_end(volume_size: int, skipped_blocks: int) -> int:
    """Where isomd5sum's digest ends: it leaves out the last blocks, which CD writers may not get right."""
    return volume_size - skipped_blocks * BLOCK


def _blanked(view: memoryview, position: int) -> memoryview | bytes:
    low, high = max(FIELD_START, position), min(FIELD_START + FIELD_SIZE, position + len(view))
    if low >= high:
        return view
    return bytes(view[: low - position]) + b" " * (high - low) + bytes(view[high - position :])

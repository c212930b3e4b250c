# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of an ISO and of files inside it. Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import add_from, file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._iso.media_tag import BLOCK, FIELD_SIZE, FIELD_START
from ansible_collections.liveforge.images.plugins.module_utils._side_by_side import side_by_side

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


def digest_with(
    path: str, replaced: t.Mapping[int, bytes], *, end: int | None = None, algorithm: str = "sha256"
) -> str:
    """Digest of the file at ``path`` as it would be with other bytes in some places.

    Args:
        path: the file.
        replaced: the other bytes, by where they begin.
        end: where the digest ends, or None for the end of the file.
        algorithm: a name that hashlib knows.
    """
    found = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        # stat(2) knows no size of a device.
        size = stream.seek(0, os.SEEK_END)
        end = size if end is None else min(end, size)
        stream.seek(0)
        for start, content in sorted(replaced.items()):
            if start >= end:
                break
            add_from(found, stream, start - stream.tell())
            content = content[: end - start]
            found.update(content)
            stream.seek(len(content), os.SEEK_CUR)
        add_from(found, stream, end - stream.tell())
    return found.hexdigest()


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
    tasks: list[t.Callable[[], t.Any]] = [lambda: file_sha256(path), lambda: _parts(path, parts)]
    if media_end is not None:
        # isomd5sum reads its own field as blanks.
        blanks = {FIELD_START: b" " * FIELD_SIZE}
        tasks.append(lambda: digest_with(path, blanks, end=media_end, algorithm="md5"))
    whole, found, *media = side_by_side(*tasks)
    return Digests(whole, found, media[0] if media else None)


def _parts(path: str, parts: t.Mapping[str, Extents]) -> dict[str, str]:
    found = {}
    with open(path, "rb") as stream:
        # In the order in which the other reader comes by.
        for name, extents in sorted(parts.items(), key=lambda item: tuple(item[1][:1])):
            part = hashlib.sha256()
            for start, length in extents:
                stream.seek(start)
                add_from(part, stream, length)
            found[name] = part.hexdigest()
    return found


def media_end(volume_size: int, skipped_blocks: int) -> int:
    """Where isomd5sum's digest ends: it leaves out the last blocks, which CD writers may not get right."""
    return volume_size - skipped_blocks * BLOCK

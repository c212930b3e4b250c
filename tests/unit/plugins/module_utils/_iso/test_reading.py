# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Superblocks, media check tags, digests and FAT images: the parts of reading an ISO that need no ISO."""

from __future__ import annotations

import hashlib
import pathlib
import struct

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._iso.digest import digest, digest_with, media_end
from ansible_collections.liveforge.images.plugins.module_utils._iso.fat import FatError, FatImage
from ansible_collections.liveforge.images.plugins.module_utils._iso.media_tag import FIELD_SIZE, FIELD_START, read_tag
from ansible_collections.liveforge.images.plugins.module_utils._iso.superblock import identify


def test_unknown_superblocks() -> None:
    for head in (b"", b"hsqs", b"x" * 2048, bytes(2048)):
        assert identify(head) == {"type": "unknown"}


@pytest.mark.parametrize(("number", "name"), [(1, "gzip"), (4, "xz"), (6, "zstd"), (9, "unknown")])
def test_squashfs_superblock(number: int, name: str) -> None:
    head = bytearray(2048)
    struct.pack_into("<4sIIIIH", head, 0, b"hsqs", 1, 0, 262144, 0, number)
    assert identify(head) == {"type": "squashfs", "compression": name, "block_size": 262144}


@pytest.mark.parametrize(
    ("field", "tag"),
    [
        (b" " * 512, {"kind": "none", "status": "absent"}),
        (bytes(512), {"kind": "none", "status": "absent"}),
        (
            b"ISO MD5SUM = 0123;SKIPSECTORS = 15;RHLISOSTATUS=0;FRAGMENT SUMS = ab;FRAGMENT COUNT = 20;END !!",
            {"kind": "isomd5sum", "status": "unchecked", "algorithm": "md5", "digest": "0123", "skipped_blocks": 15},
        ),
        (
            b"check=1;pad=0;sha256sum=abcd;partition=64,100,ef",
            {"kind": "checkmedia", "status": "unchecked", "algorithm": "sha256", "digest": "abcd"},
        ),
    ],
)
def test_tags(field: bytes, tag: dict[str, object]) -> None:
    assert read_tag(field) == tag


def test_digests_of_the_whole_and_of_parts(tmp_path: pathlib.Path) -> None:
    data = bytes(range(256)) * 12000
    path = tmp_path / "image"
    path.write_bytes(data)
    parts = {"a": [(0, 10)], "b": [(1048570, 12), (2000000, 1000000)], "empty": []}
    found = digest(str(path), parts, media_end(len(data), 15))
    assert found.whole == hashlib.sha256(data).hexdigest()
    for name, extents in parts.items():
        content = b"".join(data[start : start + length] for start, length in extents)
        assert found.parts[name] == hashlib.sha256(content).hexdigest()
    blanked = data[:FIELD_START] + b" " * FIELD_SIZE + data[FIELD_START + FIELD_SIZE : -15 * 2048]
    assert found.media_md5 == hashlib.md5(blanked, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "places", [{}, {0: b"start"}, {1048570: b"across two chunks", 2000: b"x"}, {3071990: b"the end---"}]
)
def test_digest_with_other_bytes_in_some_places(tmp_path: pathlib.Path, places: dict[int, bytes]) -> None:
    data = bytearray(bytes(range(256)) * 12000)
    path = tmp_path / "image"
    path.write_bytes(data)
    for start, content in places.items():
        data[start : start + len(content)] = content
    assert digest_with(str(path), places) == hashlib.sha256(data).hexdigest()


def test_no_media_digest_unless_asked_for(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x")
    assert digest(str(path), {}).media_md5 is None


def test_bytes_that_are_no_fat() -> None:
    broken = bytearray(512)
    broken[510:] = b"\x55\xaa"
    for data in (b"", bytes(512), broken):
        with pytest.raises(FatError):
            FatImage(bytes(data))

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Partition tables from bytes, also broken ones."""

from __future__ import annotations

import io
import struct
import uuid
import zlib

from ansible_collections.liveforge.images.plugins.module_utils._iso.partitions import read_partition_table

SECTORS = 100
GUID = uuid.UUID("2303cd2a-73c7-424a-a298-25632da7f446")
ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")


def mbr(*entries: tuple[int, int, int, int], signature: int = 0) -> bytearray:
    image = bytearray(SECTORS * 512)
    struct.pack_into("<I", image, 440, signature)
    for place, (status, kind, start, sectors) in enumerate(entries):
        struct.pack_into("<B3xB3xII", image, 446 + 16 * place, status, kind, start, sectors)
    image[510:512] = b"\x55\xaa"
    return image


def gpt() -> bytearray:
    image = mbr((0, 0xEE, 1, SECTORS - 1))
    array = bytearray(128 * 4)
    struct.pack_into(
        "<16s16sQQQ72s", array, 128, ESP.bytes_le, bytes(16), 40, 59, 1 | 1 << 60, "Boot".encode("utf-16-le")
    )
    for block, other in ((1, SECTORS - 1), (SECTORS - 1, 1)):
        header = bytearray(92)
        struct.pack_into(
            *("<8sIIIIQQQQ16sQIII", header, 0, b"EFI PART", 0x10000, 92, 0, 0, block, other, 34, 90),
            *(GUID.bytes_le, 2, 4, 128, zlib.crc32(array)),
        )
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        image[block * 512 : block * 512 + 92] = header
    image[1024 : 1024 + len(array)] = array
    return image


def read(image: bytes) -> dict[str, object]:
    return read_partition_table(io.BytesIO(image), len(image))


def test_mbr() -> None:
    table = read(mbr((0x80, 0xCD, 64, 10), (0, 0xEF, 74, 26), signature=0x0A1B2C3D))
    assert (table["type"], table["id"], table["hybrid"], table["problems"]) == ("mbr", "0x0a1b2c3d", False, [])
    assert table["partitions"] == [
        {"number": 1, "type": "0xcd", "start": 32768, "size": 5120, "flags": ["active"], "name": ""},
        {"number": 2, "type": "0xef", "start": 37888, "size": 13312, "flags": [], "name": ""},
    ]


def test_no_table() -> None:
    assert read(b"")["type"] == "none"
    assert read(bytes(SECTORS * 512))["type"] == "none"
    assert read(mbr())["type"] == "none"


def test_gpt() -> None:
    table = read(gpt())
    assert (table["type"], table["id"], table["hybrid"], table["problems"]) == ("gpt", str(GUID), False, [])
    assert table["partitions"] == [
        {
            "number": 2,
            "type": str(ESP),
            "start": 20480,
            "size": 10240,
            "flags": ["required", "read-only"],
            "name": "Boot",
        }
    ]


def test_hybrid_mbr() -> None:
    image = gpt()
    struct.pack_into("<B3xB3xII", image, 462, 0x80, 0, 0, 1)
    assert read(image)["hybrid"] is True


def test_damage_is_told() -> None:
    image = gpt()
    image[512 + 40] ^= 1
    assert read(image)["problems"] == ["the checksum of the GPT header is wrong"]
    image = gpt()
    image[1024 + 200] ^= 1
    assert read(image)["problems"] == ["the checksum of the GPT partition array is wrong"]
    image = gpt()
    image[(SECTORS - 1) * 512] ^= 1
    assert read(image)["problems"] == ["the backup GPT header is missing"]
    assert read(mbr((0, 0xEE, 1, 99)))["problems"] == ["the GPT header is missing"]


def test_cut_off_images() -> None:
    assert read(gpt()[: 50 * 512])["problems"] == [
        "the backup GPT lies behind the end of the image",
        "partition 2 ends behind the end of the image",
    ]
    assert read(mbr((0, 0x83, 64, 1000)))["problems"] == ["partition 1 ends behind the end of the image"]

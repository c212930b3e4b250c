# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Partition tables of disk images, read from their bytes. Private to this collection.

Formats: UEFI specification, chapter "GUID Partition Table (GPT) Disk Layout". Sectors are 512 bytes.
"""

from __future__ import annotations

import struct
import typing as t
import uuid
import zlib

SECTOR = 512
_SIGNATURE = b"EFI PART"
_PROTECTIVE = 0xEE
_HEADER = struct.Struct("<12xII12xQ16x16sQIII")
_ENTRY = struct.Struct("<16s16xQQQ72s")
# Attribute bits: 0 to 2 of the UEFI specification, 60 to 63 of Microsoft's basic data partitions.
_GPT_FLAGS = {
    0: "required",
    1: "no-block-io",
    2: "legacy-bios-bootable",
    60: "read-only",
    62: "hidden",
    63: "no-automount",
}

Table = dict[str, t.Any]


def read_partition_table(stream: t.BinaryIO, size: int) -> Table:
    """The partition table of an image.

    Args:
        stream: the image, open for reading and seeking.
        size: its size in bytes.

    Returns:
        ``type`` (``gpt``, ``mbr`` or ``none``), ``id`` (disk GUID or signature), ``hybrid`` (a GPT whose MBR has more
        than the protective entry), ``problems`` (sentences), ``partitions`` (``number``, ``type``, ``start`` and
        ``size`` in bytes, ``flags``, ``name``).
    """
    stream.seek(0)
    sector = stream.read(SECTOR)
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
        return _table("none")
    entries = _mbr_entries(sector)
    if any(entry["code"] == _PROTECTIVE for entry in entries):
        return _gpt(stream, size, hybrid=len(entries) > 1)
    if not entries:
        return _table("none")
    partitions = [
        {
            "number": entry["number"],
            "type": f"0x{entry['code']:02x}",
            "start": entry["start"] * SECTOR,
            "size": entry["sectors"] * SECTOR,
            "flags": ["active"] if entry["active"] else [],
            "name": "",
        }
        for entry in entries
    ]
    problems = [
        f"partition {partition['number']} ends behind the end of the image"
        for partition in partitions
        if partition["start"] + partition["size"] > size
    ]
    identifier = f"0x{struct.unpack_from('<I', sector, 440)[0]:08x}"
    return _table("mbr", identifier, partitions=partitions, problems=problems)


def end_of_content(stream: t.BinaryIO, size: int) -> int:
    """Where the backup GPT of an image begins, or the end of the image when it has none, in bytes."""
    stream.seek(SECTOR)
    if stream.read(8) != _SIGNATURE:
        return size
    header = _gpt_header(stream, 1, "GPT header", [])
    backup = _gpt_header(stream, header["alternate"], "backup GPT header", []) if header else None
    return min(backup["entries"] * SECTOR, size) if backup else size


def _table(kind: str, identifier: str = "", **values: t.Any) -> Table:
    return {"type": kind, "id": identifier, "hybrid": False, "problems": [], "partitions": [], **values}


def _mbr_entries(sector: bytes) -> list[dict[str, int]]:
    entries = []
    for number in range(1, 5):
        raw = sector[446 + 16 * (number - 1) : 446 + 16 * number]
        start, sectors = struct.unpack_from("<II", raw, 8)
        if raw[4] or sectors:
            entries.append(
                {"number": number, "active": raw[0] >> 7, "code": raw[4], "start": start, "sectors": sectors}
            )
    return entries


def _gpt(stream: t.BinaryIO, size: int, *, hybrid: bool) -> Table:
    problems: list[str] = []
    header = _gpt_header(stream, 1, "GPT header", problems)
    if header is None:
        return _table("gpt", hybrid=hybrid, problems=problems)
    backup = header["alternate"]
    if (backup + 1) * SECTOR > size:
        problems.append("the backup GPT lies behind the end of the image")
    else:
        _gpt_header(stream, backup, "backup GPT header", problems)
    stream.seek(header["entries"] * SECTOR)
    array = stream.read(header["count"] * header["entry_size"])
    if zlib.crc32(array) != header["array_crc"]:
        problems.append("the checksum of the GPT partition array is wrong")
    partitions = []
    for index in range(len(array) // header["entry_size"]):
        kind, first, last, attributes, name = _ENTRY.unpack_from(array, index * header["entry_size"])
        if kind == bytes(16):
            continue
        partitions.append(
            {
                "number": index + 1,
                "type": str(uuid.UUID(bytes_le=kind)),
                "start": first * SECTOR,
                "size": (last + 1 - first) * SECTOR,
                "flags": [flag for bit, flag in _GPT_FLAGS.items() if attributes >> bit & 1],
                "name": name.decode("utf-16-le", "replace").split("\0")[0],
            }
        )
        if (last + 1) * SECTOR > size:
            problems.append(f"partition {index + 1} ends behind the end of the image")
    return _table("gpt", header["guid"], hybrid=hybrid, partitions=partitions, problems=problems)


def _gpt_header(stream: t.BinaryIO, block: int, name: str, problems: list[str]) -> dict[str, t.Any] | None:
    stream.seek(block * SECTOR)
    raw = stream.read(SECTOR)
    if len(raw) < _HEADER.size or raw[:8] != _SIGNATURE:
        problems.append(f"the {name} is missing")
        return None
    length, crc, other, guid, array, count, width, array_crc = _HEADER.unpack_from(raw)
    if not _HEADER.size <= length <= SECTOR or zlib.crc32(raw[:16] + bytes(4) + raw[20:length]) != crc:
        problems.append(f"the checksum of the {name} is wrong")
        return None
    if width < _ENTRY.size or count > 4096:
        problems.append(f"the {name} describes an impossible partition array")
        return None
    return {
        "alternate": other,
        "guid": str(uuid.UUID(bytes_le=guid)),
        "entries": array,
        "count": count,
        "entry_size": width,
        "array_crc": array_crc,
    }

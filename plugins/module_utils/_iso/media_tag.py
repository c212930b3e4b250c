# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Media check tags in the application field of an ISO's primary volume descriptor. Private to this collection.

Formats: libimplantisomd5.c of isomd5sum (``ISO MD5SUM = ...;``), README of checkmedia (``check=...;md5sum=...``), and
our own (``LIVE SHA256SUM = ...;``), which the dracut module live-overlay reads. isomd5sum's digest covers the partition
table, so it is wrong once a partition for persistent data was added. Ours leaves out what changes then: all before
the volume descriptor, that descriptor itself, and the backup GPT at the end. It stands behind isomd5sum's in the same
field, which isomd5sum reads as blanks.
"""

from __future__ import annotations

import hashlib
import os
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import add_from
from ansible_collections.liveforge.images.plugins.module_utils._iso.partitions import end_of_content

BLOCK = 2048
# The primary volume descriptor is block 16; its application field starts at byte 883 (ECMA-119, 8.4).
FIELD_START = 16 * BLOCK + 883
FIELD_SIZE = 512

# The block behind the primary volume descriptor.
CONTENT_START = 17 * BLOCK

_CHECKMEDIA = re.compile(r"(md5|sha1|sha224|sha256|sha384|sha512)sum\Z")


def read_tag(field: bytes) -> dict[str, t.Any]:
    """The tag in the 512 bytes of the field: ``kind`` (``isomd5sum``, ``checkmedia`` or ``none``) and what it says.

    ``status`` is ``absent`` or ``unchecked``; only reading the whole image can tell more.
    """
    values = _values(field)
    if "ISO MD5SUM" in values:
        skipped = values.get("SKIPSECTORS", "0")
        return {
            "kind": "isomd5sum",
            "status": "unchecked",
            "algorithm": "md5",
            "digest": values["ISO MD5SUM"],
            "skipped_blocks": int(skipped) if skipped.isdigit() else 0,
        }
    for name, value in values.items():
        found = _CHECKMEDIA.match(name)
        if found:
            return {"kind": "checkmedia", "status": "unchecked", "algorithm": found.group(1), "digest": value}
    return {"kind": "none", "status": "absent"}


def read_content_tag(field: bytes) -> dict[str, t.Any]:
    """Our own tag in the 512 bytes of the field: ``status`` as in :func:`read_tag`, ``digest``, ``start``, ``end``."""
    values = _values(field)
    digest, start, end = (values.get(f"LIVE {name}", "") for name in ("SHA256SUM", "START", "END"))
    if not re.fullmatch(r"[0-9a-f]{64}", digest) or not start.isdigit() or not end.isdigit():
        return {"status": "absent"}
    return {"status": "unchecked", "digest": digest, "start": int(start), "end": int(end)}


def add_content_tag(path: str) -> None:
    """Write our own tag into the ISO at ``path``, behind what other tools have left in the field."""
    with open(path, "r+b") as stream:
        end = end_of_content(stream, stream.seek(0, os.SEEK_END))
        content = hashlib.sha256()
        stream.seek(CONTENT_START)
        add_from(content, stream, end - CONTENT_START)
        stream.seek(FIELD_START)
        before = stream.read(FIELD_SIZE).rstrip(b" \0")
        tag = f"LIVE SHA256SUM = {content.hexdigest()};LIVE START = {CONTENT_START};LIVE END = {end};"
        stream.seek(FIELD_START)
        # A semicolon ends isomd5sum's last sentence, which has none.
        stream.write((before + b";" * bool(before) + tag.encode()).ljust(FIELD_SIZE))


def _values(field: bytes) -> dict[str, str]:
    values = {}
    for part in field.decode("ascii", "replace").strip(" \0").split(";"):
        name, separator, value = part.partition("=")
        if separator:
            values[name.strip()] = value.strip()
    return values

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Media check tags in the application field of an ISO's primary volume descriptor. Private to this collection.

Formats: libimplantisomd5.c of isomd5sum (``ISO MD5SUM = ...;``), README of checkmedia (``check=...;md5sum=...``).
"""

from __future__ import annotations

import re
import typing as t

BLOCK = 2048
# The primary volume descriptor is block 16; its application field starts at byte 883 (ECMA-119, 8.4).
FIELD_START = 16 * BLOCK + 883
FIELD_SIZE = 512

_CHECKMEDIA = re.compile(r"(md5|sha1|sha224|sha256|sha384|sha512)sum\Z")


def read_tag(field: bytes) -> dict[str, t.Any]:
    """The tag in the 512 bytes of the field: ``kind`` (``isomd5sum``, ``checkmedia`` or ``none``) and what it says.

    ``status`` is ``absent`` or ``unchecked``; only reading the whole image can tell more.
    """
    values = {}
    for part in field.decode("ascii", "replace").strip(" \0").split(";"):
        name, separator, value = part.partition("=")
        if separator:
            values[name.strip()] = value.strip()
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

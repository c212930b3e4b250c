# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenPGP public keys of package repositories: from text to a keyring. Private to this collection.

Formats: RFC 9580, section 6 (ASCII armor) and section 4 (packets). A keyring is any number of keys one after the other.
"""

from __future__ import annotations

import base64
import binascii
import textwrap

BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END = "-----END PGP PUBLIC KEY BLOCK-----"
_PUBLIC_KEY_PACKET = 6


def armored(content: bytes) -> str:
    """The text form of a key file, which may be text already.

    Raises:
        ValueError: it holds no public key; with a clause that says what it holds.
    """
    if BEGIN.encode() in content:
        text = content.decode("utf-8", "replace")
        binary_keyring(text)
        return text
    _require_public_key(content)
    body = "\n".join(textwrap.wrap(base64.b64encode(content).decode(), 64))
    return f"{BEGIN}\n\n{body}\n{_END}\n"


def binary_keyring(text: str) -> bytes:
    """The keys of one or several armored blocks as one binary keyring.

    Raises:
        ValueError: there is no block, or one that cannot be read; with a clause that says why.
    """
    blocks = text.split(BEGIN)[1:]
    if not blocks:
        raise ValueError(f"it has no line {BEGIN}")
    return b"".join(_block(block) for block in blocks)


def _block(text: str) -> bytes:
    body, end, dummy = text.partition(_END)
    if not end:
        raise ValueError(f"it has no line {_END}")
    lines = [line.strip() for line in body.strip("\r\n").splitlines()]
    # Headers such as "Version: ..." end with an empty line; the last line may be a checksum.
    headers = 0
    if any(":" in line for line in lines):
        headers = next((place for place, line in enumerate(lines) if not line), len(lines))
    data = "".join(line for line in lines[headers:] if not line.startswith("="))
    try:
        content = base64.b64decode(data, validate=True)
    except binascii.Error as problem:
        raise ValueError(f"its text is damaged ({problem})") from problem
    _require_public_key(content)
    return content


def _require_public_key(content: bytes) -> None:
    first = content[0] if content else 0
    # Bit 7 marks a packet; bit 6 says where its type is.
    kind = (first & 0x3F) if first & 0x40 else (first >> 2) & 0x0F
    if not first & 0x80 or kind != _PUBLIC_KEY_PACKET:
        raise ValueError("it does not start with an OpenPGP public key")

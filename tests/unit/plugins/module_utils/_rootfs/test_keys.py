# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of repositories: text in, keyring out."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._rootfs.keys import BEGIN, armored, binary_keyring

# The first byte of a public key packet, in the old format and in the new one; the rest is any.
OLD = b"\x99\x01\x0d" + bytes(range(200))
NEW = b"\xc6\x33" + bytes(range(51))
END = BEGIN.replace("BEGIN", "END")


@pytest.mark.parametrize("key", [OLD, NEW])
def test_binary_keys_become_text_and_come_back(key: bytes) -> None:
    text = armored(key)
    assert text.startswith(BEGIN)
    assert max(map(len, text.splitlines())) == max(64, len(BEGIN))
    assert binary_keyring(text) == key
    assert armored(text.encode()) == text


def test_several_blocks_with_headers_checksums_and_text_around_are_one_keyring() -> None:
    def block(key: bytes) -> str:
        lines = [BEGIN, "Version: GnuPG v2", "Comment: a b", "", base64.b64encode(key).decode(), "=abcd", END, ""]
        return "\r\n".join(lines)

    assert binary_keyring(f"Key of somebody:\n{block(OLD)}and another one\n{block(NEW)}") == OLD + NEW


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no key", "it has no line -----BEGIN"),
        (f"{BEGIN}\n\nmQ==\n", "it has no line -----END"),
        (f"{BEGIN}\n\nm*Q==\n{END}", "its text is damaged"),
        (
            f"{BEGIN}\n\n{base64.b64encode(b'not a key').decode()}\n{END}",
            "it does not start with an OpenPGP public key",
        ),
        (f"{BEGIN}\n\n{END}", "it does not start with an OpenPGP public key"),
    ],
)
def test_what_is_no_key_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        binary_keyring(text)


def test_private_keys_and_other_files_are_no_public_keys() -> None:
    # Secret key packet (5), signature packet (2), text.
    for content in (b"\x95\x01\x0d", b"\x89\x01\x0d", b"hello", b""):
        with pytest.raises(ValueError, match="does not start with an OpenPGP public key"):
            armored(content)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Key presses for a boot menu, on the keyboard or on the serial line. Private to this collection.

An item is the name of a key as QEMU has it (``QKeyCode`` in the QMP reference: ``down``, ``ret``, ``f10``), a chord
such as ``ctrl-x``, or ``text:`` and what to type.
"""

from __future__ import annotations

import string

TEXT_PREFIX = "text:"

# QKeyCode of the characters on a US keyboard, which is what firmware and boot loaders assume.
_UNSHIFTED = {
    " ": "spc",
    "-": "minus",
    "=": "equal",
    "[": "bracket_left",
    "]": "bracket_right",
    "\\": "backslash",
    ";": "semicolon",
    "'": "apostrophe",
    "`": "grave_accent",
    ",": "comma",
    ".": "dot",
    "/": "slash",
    "\n": "ret",
    "\t": "tab",
}
_SHIFTED = dict(zip('~!@#$%^&*()_+{}|:"<>?', "`1234567890-=[]\\;',./", strict=True))

# What a VT100 sends (GRUB's terminal type on a serial line).
_SERIAL_KEYS = {
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "ret": b"\r",
    "kp_enter": b"\r",
    "esc": b"\x1b",
    "tab": b"\t",
    "spc": b" ",
    "backspace": b"\x7f",
    "delete": b"\x1b[3~",
    # No VT100 has these two. GRUB and every readline take the control characters of Emacs.
    "home": b"\x01",
    "end": b"\x05",
}


class UnknownKey(ValueError):
    """An item cannot be typed; the message says why."""


def key_chords(item: str) -> list[list[str]]:
    """The chords (keys pressed together, as QKeyCodes) that ``item`` means on a keyboard."""
    if item.startswith(TEXT_PREFIX):
        return [_chord_of_character(character) for character in item[len(TEXT_PREFIX) :]]
    return [item.split("-")]


def serial_bytes(item: str) -> list[bytes]:
    """What a terminal sends for ``item``, one element a key."""
    if item.startswith(TEXT_PREFIX):
        return [character.encode() for character in item[len(TEXT_PREFIX) :]]
    if item in _SERIAL_KEYS:
        return [_SERIAL_KEYS[item]]
    if len(item) == 1 and item in string.ascii_lowercase + string.digits:
        return [item.encode()]
    if len(item) == 6 and item.startswith("ctrl-") and item[5] in string.ascii_lowercase:
        return [bytes([ord(item[5]) - ord("a") + 1])]
    raise UnknownKey(
        f"A serial line has no key {item!r}. Use text:..., ctrl-a to ctrl-z, or one of {sorted(_SERIAL_KEYS)}."
    )


def _chord_of_character(character: str) -> list[str]:
    if character in string.ascii_lowercase + string.digits:
        return [character]
    if character in _UNSHIFTED:
        return [_UNSHIFTED[character]]
    if character in string.ascii_uppercase:
        return ["shift", character.lower()]
    if character in _SHIFTED:
        return ["shift", *_chord_of_character(_SHIFTED[character])]
    raise UnknownKey(f"No key of a US keyboard types {character!r}.")

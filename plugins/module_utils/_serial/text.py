# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turns what a terminal would receive into plain lines of text. Private to this collection."""

from __future__ import annotations

import codecs
import re

# ECMA-48 section 5.4 (CSI), 5.6 (OSC, DCS, SOS, PM, APC) and 5.5 (other escapes). A CSI that moves the cursor to
# another place or clears the screen stands for a line break: GRUB and UEFI firmware draw screens without a newline.
_CONTROL = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-Z\\`-~]"
    r"|\r+\n"
    r"|[\r\v\f]"
    r"|[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]"
)
# What may still become a control sequence when more arrives.
_UNFINISHED = re.compile(r"(?:\r+|\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?)\Z")
_CURSOR_MOVES = frozenset("ABEFHJf")
# No real sequence is longer; a lone escape byte must not swallow the console.
_LONGEST_SEQUENCE = 256


class TextCleaner:
    """Decodes UTF-8 and removes control sequences from a stream that arrives in arbitrary pieces.

    Carriage returns and cursor movements become line breaks, several in a row become one. Bytes that are not UTF-8
    become U+FFFD. An escape byte that starts no sequence is dropped.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._at_line_start = True

    def feed(self, data: bytes) -> str:
        """The clean text that ``data`` adds; an unfinished sequence at its end is kept for the next call."""
        text = self._pending + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text, max(0, len(text) - _LONGEST_SEQUENCE))
        self._pending = unfinished.group() if unfinished else ""
        ready = text[: len(text) - len(self._pending)]
        result: list[str] = []
        position = 0
        for control in _CONTROL.finditer(ready):
            self._add(result, ready[position : control.start()])
            self._add(result, self._replacement(control, result))
            position = control.end()
        self._add(result, ready[position:])
        return "".join(result)

    def _add(self, result: list[str], text: str) -> None:
        text = text.replace("\x1b", "")
        if text:
            result.append(text)
            self._at_line_start = text.endswith("\n")

    def _replacement(self, control: re.Match[str], result: list[str]) -> str:
        sequence = control.group()
        if sequence.endswith("\n"):
            return "\n"
        breaks_line = sequence in ("\r", "\v", "\f") or control["final"] in _CURSOR_MOVES
        return "\n" if breaks_line and not self._at_line_start else ""


def last_lines(text: str, count: int) -> str:
    """The last ``count`` lines of ``text`` that are not blank."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-count:])

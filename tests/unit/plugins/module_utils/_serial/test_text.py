# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cleaning of what boot loaders, firmware, kernels and shells send to a terminal."""

from __future__ import annotations

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._serial.text import TextCleaner, last_lines

CASES = {
    "plain": (b"one\r\ntwo\r\n", "one\ntwo\n"),
    "kernel": (b"one\r\r\n\r\ntwo", "one\n\ntwo"),
    "progress": (b"1 %\r 2 %\r 3 %\r\n", "1 %\n 2 %\n 3 %\n"),
    "colours": (b"[\x1b[0;32m  OK  \x1b[0m] Started", "[  OK  ] Started"),
    "GRUB": (
        b"\x1b[H\x1b[J\x1b[1;1H\x1b[?25l\x1b[m\x1b[2;24HGNU GRUB\x1b[5;80H \x1b[7m*Tiny\x1b[m",
        "GNU GRUB\n *Tiny",
    ),
    "OVMF": (b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[0m\x1b[35m\x1b[40mBdsDxe: loading", "BdsDxe: loading"),
    "systemd context": (b"\x1b]3008;start=abc;type=boot\x1b\\Welcome \x1b]0;title\x07all", "Welcome all"),
    "busybox": (b"~ $ \x1b[6nls", "~ $ ls"),
    "bracketed paste": (b"\x1b[?2004h$ \x1b[?2004l", "$ "),
    "character set": (b"\x1b(Bline\x1b)0\x1b=\x1b>\x1b7\x1b8", "line"),
    "UTF-8": ("Größe → 5 €\r\n".encode(), "Größe → 5 €\n"),
    "not UTF-8": (b"a\xffb", "a\ufffdb"),
    "lone escape": (b"a\x1b\x1bb\x01c\n", "ac\n"),
    "bell and backspace": (b"a\x07b\x08c", "abc"),
}


@pytest.mark.parametrize(("sent", "text"), CASES.values(), ids=CASES.keys())
def test_cleaning(sent: bytes, text: str) -> None:
    assert TextCleaner().feed(sent) == text


@pytest.mark.parametrize(("sent", "text"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pieces_make_no_difference(sent: bytes, text: str, size: int) -> None:
    cleaner = TextCleaner()
    pieces = [cleaner.feed(sent[start : start + size]) for start in range(0, len(sent), size)]
    assert "".join(pieces) == text


def test_a_prompt_is_not_held_back() -> None:
    assert TextCleaner().feed(b"\r\nlive login: ") == "\nlive login: "


def test_an_unfinished_sequence_does_not_swallow_the_console() -> None:
    cleaner = TextCleaner()
    cleaner.feed(b"\x1b]0;no end")
    assert "later text" in cleaner.feed(b" " + b"x" * 300 + b" later text\n")


def test_last_lines_skip_blank_ones() -> None:
    assert last_lines("1\n2  \n\n \n3\n\n", 2) == "2\n3"

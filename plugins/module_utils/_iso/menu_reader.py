# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boot entries of a GRUB configuration file, read without running it. Private to this collection.

Enough of GRUB's language for menus (GRUB manual, "Shell-like scripting"): words, quotes, comments and menu entries.
Variables stay as they are written, such as ``${iso_path}``.
"""

from __future__ import annotations

import typing as t

_KERNEL_COMMANDS = ("linux", "linux16", "linuxefi", "$linux")
_INITRD_COMMANDS = ("initrd", "initrd16", "initrdefi", "$initrd")


def read_menu(text: str) -> list[dict[str, t.Any]]:
    """The menu entries in their order.

    Returns:
        For each: ``id``, ``title``, ``kernel`` (path, or None when it starts none), ``initrd`` (paths) and
        ``kernel_command_line`` (None without a kernel).
    """
    entries: list[dict[str, t.Any]] = []
    for words in _commands(text):
        if words[0] == "menuentry" and len(words) > 1:
            identifier = next((words[place + 1] for place, word in enumerate(words[:-1]) if word == "--id"), "")
            entries.append(
                {"id": identifier, "title": words[1], "kernel": None, "initrd": [], "kernel_command_line": None}
            )
        elif entries and words[0] in _KERNEL_COMMANDS and len(words) > 1 and entries[-1]["kernel"] is None:
            entries[-1]["kernel"] = words[1]
            entries[-1]["kernel_command_line"] = " ".join(_shown(word) for word in words[2:])
        elif entries and words[0] in _INITRD_COMMANDS and not entries[-1]["initrd"]:
            entries[-1]["initrd"] = words[1:]
    return entries


def _shown(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _commands(text: str) -> t.Iterator[list[str]]:
    """The commands of a script, each as its words; braces and semicolons end a command."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if quote:
            if character == quote:
                quote = ""
            elif character == "\\" and quote == '"' and text[position : position + 1] in ('"', "\\", "$"):
                word = (word or "") + text[position]
                position += 1
            else:
                word = (word or "") + character
        elif character in "'\"":
            quote, word = character, word or ""
        elif character == "\\" and position < len(text):
            if text[position] != "\n":
                word = (word or "") + text[position]
            position += 1
        elif character == "$" and text[position : position + 1] == "{":
            end = text.find("}", position)
            end = len(text) if end < 0 else end + 1
            word = (word or "") + text[position - 1 : end]
            position = end
        elif character == "#" and word is None:
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
        elif character in " \t\n;{}":
            if word is not None:
                words.append(word)
                word = None
            if character not in " \t" and words:
                yield words
                words = []
        else:
            word = (word or "") + character
    if word is not None:
        words.append(word)
    if words:
        yield words

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel command lines of a live image, as pure functions. Private to this collection.

A command line is a list of words, as the kernel sees them. GRUB puts a word that contains a blank into double quotes,
which the kernel and dracut undo (kernel-parameters in the kernel's admin guide; GRUB manual, "Quoting").
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._live import dmsquash, overlay
from ansible_collections.liveforge.images.plugins.module_utils._live.features import LiveFeatures

# COMMAND_LINE_SIZE of x86 is 2048 with the final zero byte (kernel, arch/x86/include/asm/setup.h).
MAX_LENGTH = 2047

# What an old or odd machine may need: no kernel mode setting, no resume from a swap partition of the machine, no BIOS
# enhanced disk query, no graphical target. KIWI's ide=nodma and apm=off have no effect on today's 64-bit kernels.
FAILSAFE_WORDS = ("nomodeset", "noresume", "edd=off", "3")


@dataclasses.dataclass(frozen=True)
class LiveRoot:
    """How the initrd finds and overlays the live root.

    Attributes:
        volid: volume id of the ISO.
        features: what the live system is to do.
        mbrid: number of the ISO, such as 0x1a2b3c4d, by which our module tells media with one volume id apart.
        persistent_label: file system label of dmsquash's persistent store; unused by ``overlay``.
        arguments: the user's own words; they come first.
    """

    volid: str
    features: LiveFeatures = dataclasses.field(default_factory=LiveFeatures)
    mbrid: str = ""
    persistent_label: str = ""
    arguments: tuple[str, ...] = ()


def split(text: str) -> list[str]:
    """The words of a command line written by a user; blanks separate them except between double quotes.

    Raises:
        ValueError: for what GRUB cannot hand over unchanged, with a clause that says why.
    """
    for character in text:
        if character in "\\'":
            raise ValueError(f"{character!r} cannot be handed to the kernel unchanged, because GRUB escapes it")
        if ord(character) < 32 and character not in "\t\n":
            raise ValueError(f"control character {character!r} is not allowed")
    words: list[str] = []
    word, quoted, started = "", False, False
    for character in text:
        if character == '"':
            quoted, started = not quoted, True
        elif character in " \t\n" and not quoted:
            if started:
                words.append(word)
            word, started = "", False
        else:
            word, started = word + character, True
    if quoted:
        raise ValueError("a double quote is not closed")
    return [*words, word] if started else words


def join(words: t.Sequence[str]) -> str:
    """The words as one line, as they appear in /proc/cmdline."""
    return " ".join(f'"{word}"' if " " in word or "\t" in word else word for word in words)


def normal(root: LiveRoot) -> list[str]:
    """The command line of the default menu entry."""
    words = [*root.arguments, f"root=live:CDLABEL={root.volid}", "rd.live.image"]
    if root.features.flags == "overlay" and root.mbrid:
        words.append(f"rd.live.mbrid={root.mbrid}")
    # A GPT on the medium must not make systemd wait for partitions of its own choice (systemd-gpt-auto-generator(8)).
    words.append("systemd.gpt_auto=0")
    if root.features.flags == "dmsquash":
        return words + dmsquash.kernel_words(root.features, root.persistent_label)
    return words + overlay.kernel_words(root.features)


def without_persistence(root: LiveRoot) -> list[str]:
    """The default entry's line with nothing kept and nothing written to the medium."""
    return normal(_changed(root, persistence=None))


def failsafe(root: LiveRoot) -> list[str]:
    """For machines that do not start otherwise; also independent of a store that may be damaged."""
    return [*normal(_changed(root, persistence=None, ram=False)), *FAILSAFE_WORDS]


def media_check(root: LiveRoot) -> list[str]:
    """Check the medium before starting; without persistence, which would change what is being checked."""
    word = (dmsquash if root.features.flags == "dmsquash" else overlay).media_check_word()
    return [*without_persistence(root), word, "plymouth.enable=0"]


def _changed(root: LiveRoot, **features: t.Any) -> LiveRoot:
    return dataclasses.replace(root, features=dataclasses.replace(root.features, **features))

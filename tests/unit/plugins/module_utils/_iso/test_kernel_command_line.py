# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel command lines: every combination of flags, overlay and persistence, and what users may add."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._iso import kernel_command_line as command_line
from ansible_collections.liveforge.images.plugins.module_utils._iso.kernel_command_line import LiveRoot

BASE = "root=live:CDLABEL=KIOSK rd.live.image systemd.gpt_auto=0"
OVERLAY = LiveRoot("KIOSK")
DMSQUASH = LiveRoot("KIOSK", flags="dmsquash", persistent_label="cow-0a1b2c3d")
STORE = "rd.live.overlay=LABEL=cow-0a1b2c3d"
NO_PROMPT = "rd.live.overlay.nouserconfirmprompt"


@pytest.mark.parametrize(
    ("root", "changes", "expected"),
    [
        (OVERLAY, {}, BASE),
        (OVERLAY, {"persistent": True}, f"{BASE} rd.live.overlay.persistent"),
        (
            OVERLAY,
            {"persistent": True, "persistent_filesystem": "xfs"},
            f"{BASE} rd.live.overlay.persistent rd.live.overlay.cowfs=xfs",
        ),
        (DMSQUASH, {}, f"{BASE} rd.live.overlay.overlayfs=1"),
        (DMSQUASH, {"overlay_type": "device-mapper"}, BASE),
        (DMSQUASH, {"persistent": True}, f"{BASE} rd.live.overlay.overlayfs=1 {STORE} {NO_PROMPT}"),
        (
            DMSQUASH,
            {"persistent": True, "persistent_filesystem": "xfs"},
            f"{BASE} rd.live.overlay.overlayfs=1 {STORE} rd.live.overlay.cowfs=xfs {NO_PROMPT}",
        ),
        (OVERLAY, {"arguments": ("quiet", "a=b c")}, f'quiet "a=b c" {BASE}'),
    ],
)
def test_default_entry(root: LiveRoot, changes: dict[str, object], expected: str) -> None:
    line = command_line.normal(dataclasses.replace(root, **changes))
    assert command_line.join(line) == expected


@pytest.mark.parametrize("root", [OVERLAY, DMSQUASH])
def test_only_the_default_entry_keeps_anything(root: LiveRoot) -> None:
    persistent = dataclasses.replace(root, persistent=True, persistent_filesystem="xfs")
    plain = command_line.normal(root)
    assert command_line.without_persistence(persistent) == plain
    assert command_line.failsafe(persistent) == [*plain, "nomodeset", "noresume", "edd=off", "3"]
    assert command_line.media_check(persistent)[: len(plain)] == plain


@pytest.mark.parametrize(("root", "word"), [(OVERLAY, "mediacheck=1"), (DMSQUASH, "rd.live.check")])
def test_media_check_uses_the_word_that_the_module_reads(root: LiveRoot, word: str) -> None:
    assert command_line.media_check(root)[-2:] == [word, "plymouth.enable=0"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  \n ", []),
        ("quiet  splash\tx=1\n", ["quiet", "splash", "x=1"]),
        ('dyndbg="file a.c +p" x', ["dyndbg=file a.c +p", "x"]),
        ('empty=""', ["empty="]),
        ("init=/bin/sh;$HOME #{}", ["init=/bin/sh;$HOME", "#{}"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert command_line.split(text) == words
    assert shlex.split(command_line.join(words), comments=False) == words


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a=\\x20", "GRUB escapes it"), ("a='b'", "GRUB escapes it"), ("a\x07", "control"), ('a="b', "not closed")],
)
def test_words_that_cannot_be_handed_over(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        command_line.split(text)

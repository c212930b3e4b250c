# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel command lines: every combination of flags, overlay and persistence, and what users may add."""

from __future__ import annotations

import dataclasses
import shlex
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._iso import kernel_command_line as command_line
from ansible_collections.liveforge.images.plugins.module_utils._iso.kernel_command_line import LiveRoot
from ansible_collections.liveforge.images.plugins.module_utils._live.features import LiveFeatures, Persistence

BASE = "root=live:CDLABEL=KIOSK rd.live.image systemd.gpt_auto=0"
OVERLAY = LiveRoot("KIOSK")
DMSQUASH = LiveRoot("KIOSK", LiveFeatures(flags="dmsquash"), persistent_label="cow-0a1b2c3d")
STORE_WORD = "rd.live.overlay.persistent"
STORE = "rd.live.overlay=LABEL=cow-0a1b2c3d"
NO_PROMPT = "rd.live.overlay.nouserconfirmprompt"


def with_features(root: LiveRoot, **changes: t.Any) -> LiveRoot:
    return dataclasses.replace(root, features=dataclasses.replace(root.features, **changes))


@pytest.mark.parametrize(
    ("root", "changes", "expected"),
    [
        (OVERLAY, {}, BASE),
        (OVERLAY, {"persistence": Persistence()}, f"{BASE} {STORE_WORD}"),
        (
            OVERLAY,
            {"persistence": Persistence(filesystem="xfs", size=900)},
            f"{BASE} {STORE_WORD} rd.live.overlay.cowfs=xfs {STORE_WORD}.size=900 rd.live.cowfile.mbsize=900",
        ),
        (
            OVERLAY,
            {"persistence": Persistence(mode="device", device="UUID=1-2:/live", encrypted=True)},
            f"{BASE} rd.live.overlay=UUID=1-2:/live rd.live.overlay.crypt=luks2",
        ),
        (
            OVERLAY,
            {"persistence": Persistence(mode="file", size=900, file="a/b.cow", sparse=True)},
            f"{BASE} {STORE_WORD}=file rd.live.cowfile.mbsize=900 rd.live.cowfile.path=a/b.cow rd.live.cowfile.sparse",
        ),
        (
            OVERLAY,
            {"persistence": Persistence(mode="partition", size=900, encrypted=True, key="LABEL=K:/k")},
            f"{BASE} {STORE_WORD}=partition {STORE_WORD}.size=900 rd.live.overlay.crypt=luks2 "
            "rd.live.overlay.key=LABEL=K:/k",
        ),
        (OVERLAY, {"overlay_type": "device-mapper"}, f"{BASE} rd.live.overlay.overlayfs=0"),
        (OVERLAY, {"ram": True, "overlay_size": "40%"}, f"{BASE} rd.live.overlay.size=40% rd.live.ram"),
        (DMSQUASH, {}, f"{BASE} rd.live.overlay.overlayfs=1"),
        (DMSQUASH, {"overlay_type": "device-mapper"}, BASE),
        (DMSQUASH, {"persistence": Persistence()}, f"{BASE} rd.live.overlay.overlayfs=1 {STORE} {NO_PROMPT}"),
        (
            DMSQUASH,
            {"persistence": Persistence(filesystem="xfs")},
            f"{BASE} rd.live.overlay.overlayfs=1 {STORE} rd.live.overlay.cowfs=xfs {NO_PROMPT}",
        ),
    ],
)
def test_default_entry(root: LiveRoot, changes: dict[str, t.Any], expected: str) -> None:
    line = command_line.normal(with_features(root, **changes))
    assert command_line.join(line) == expected


def test_own_words_come_first_and_the_number_of_the_iso_is_for_our_module() -> None:
    root = dataclasses.replace(OVERLAY, arguments=("quiet", "a=b c"), mbrid="0x0a1b2c3d")
    number = "rd.live.mbrid=0x0a1b2c3d"
    assert command_line.join(command_line.normal(root)) == (
        f'quiet "a=b c" root=live:CDLABEL=KIOSK rd.live.image {number} systemd.gpt_auto=0'
    )
    assert number not in command_line.normal(dataclasses.replace(DMSQUASH, mbrid="0x0a1b2c3d"))


@pytest.mark.parametrize("root", [OVERLAY, DMSQUASH])
def test_only_the_default_entry_keeps_anything(root: LiveRoot) -> None:
    persistent = with_features(root, persistence=Persistence(filesystem="xfs"))
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

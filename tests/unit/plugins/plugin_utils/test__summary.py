# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The summary that a person reads."""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._summary import in_short, summary_lines, unfinished

RESULT: dict[str, t.Any] = {
    "name": "rescue",
    "version": "1.0.0",
    "host": "builder1",
    "changed": True,
    "path": "/var/lib/liveforge/rescue/rescue.iso",
    "size": 231_000_000,
    "sha256": "ab" * 32,
    "stages": {
        "rootfs": {"changed": True, "reason": "changed: packages (+htop)", "seconds": 45.2},
        "dracut": {"changed": False, "reason": "unchanged: same inputs", "seconds": 0.0},
    },
    "boot": [{"firmware": "uefi", "media": "usb", "seconds": 73.4, "accelerator": "tcg", "tested": "now"}],
}


def test_says_what_where_how_long_and_whether_it_boots() -> None:
    text = "\n".join(summary_lines([RESULT]))
    for part in (
        "rescue 1.0.0 on builder1: built",
        "/var/lib/liveforge/rescue/rescue.iso",
        "231 MB, SHA-256 " + "ab" * 32,
        "45.2 s  changed: packages (+htop)",
        "unchanged: same inputs",
        "uefi usb: passed in 73 s (tcg)",
    ):
        assert part in text


def test_check_mode_speaks_of_what_would_be() -> None:
    text = "\n".join(summary_lines([{**RESULT, "check_mode": True, "sha256": ""}]))
    assert "would be built" in text
    assert "SHA-256" not in text


def test_failure_is_told_with_its_reason() -> None:
    lines = summary_lines([{"name": "bad", "host": "h", "changed": False, "error": "volid: too long"}])
    assert lines == ["bad on h: FAILED", "  volid: too long"]


def test_declared_images_without_a_result_are_told_as_not_finished() -> None:
    declared = {
        "builder1": [{"name": "rescue"}, {"name": "kiosk"}],
        "builder2": ["rescue"],
        # As they are when nobody has checked them yet.
        "builder3": None,
        "builder4": [{"release": "trixie"}],
    }
    found = unfinished(declared, [RESULT])
    assert [(result["host"], result["name"]) for result in found] == [("builder1", "kiosk"), ("builder2", "rescue")]
    assert summary_lines(found)[:2] == [
        "kiosk on builder1: FAILED",
        "  not finished: the host was lost or failed before (see above)",
    ]


def test_the_next_job_gets_what_it_needs_and_no_more() -> None:
    failed = {"name": "bad", "host": "h", "changed": False, "boot": [], "error": "volid: too long"}
    assert in_short([RESULT, failed]) == [
        {
            "name": "rescue",
            "host": "builder1",
            "path": "/var/lib/liveforge/rescue/rescue.iso",
            "sha256": "ab" * 32,
            "size": 231_000_000,
        },
        {"name": "bad", "host": "h", "error": "volid: too long"},
    ]

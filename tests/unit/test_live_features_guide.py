# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide on live features promises tests and parameters: they exist."""

from __future__ import annotations

import re

import playbook

GUIDE = (playbook.ROOT / "docs/live-features.md").read_text()
MODULE = playbook.ROOT / "roles/live_image/files/dracut/90live-overlay"


def test_every_test_that_the_guide_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", GUIDE))
    written = set()
    for path in (playbook.ROOT / "tests/boot").glob("test_*.py"):
        written |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    assert named - written == set()
    assert len(named) > 20


def test_every_parameter_that_the_module_reads_is_explained() -> None:
    read = set()
    for path in MODULE.glob("*.sh"):
        asked = r"\b(?:getarg(?:bool [01])?|live_arg(?:_bool [01])?) ([\w./-]+?)=?(?=[\s);])"
        read |= set(re.findall(asked, path.read_text()))
    assert len(read) > 20
    assert {name for name in read if name not in GUIDE} - {"root", "ip"} == set()

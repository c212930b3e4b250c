# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of live_boot to a plan."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._qemu.boot_plan import (
    DEFAULT_FAIL_PATTERNS,
    DEFAULT_MENU_PATTERN,
    Command,
    plan_from_options,
)
from ansible_collections.liveforge.images.plugins.module_utils._serial.login import LOGIN_PROMPT

DEFAULTS: dict[str, t.Any] = {
    "expect": None,
    "fail_patterns": list(DEFAULT_FAIL_PATTERNS),
    "menu_keys": [],
    "menu_via": "keyboard",
    "menu_pattern": DEFAULT_MENU_PATTERN,
    "menu_delay": 0.5,
    "menu_timeout": 120,
    "login": None,
    "commands": [],
    "poweroff": True,
    "shutdown_timeout": 120,
    "timeout": 900,
}
ITEM = {"pattern": "ready", "name": None, "timeout": 60, "fail": None}


def test_defaults_wait_for_a_login_prompt() -> None:
    plan = plan_from_options(DEFAULTS)
    assert [(milestone.name, milestone.pattern) for milestone in plan.milestones] == [("login prompt", LOGIN_PROMPT)]
    assert (plan.menu, plan.login, plan.commands) == (None, None, ())


def test_empty_list_waits_for_nothing() -> None:
    assert plan_from_options({**DEFAULTS, "expect": []}).milestones == ()


def test_pattern_names_a_milestone() -> None:
    plan = plan_from_options({**DEFAULTS, "expect": [ITEM, {**ITEM, "name": "second", "fail": "no"}]})
    assert [milestone.name for milestone in plan.milestones] == ["ready", "second"]


def test_commands() -> None:
    given = ["id", {"cmd": "false", "expect_rc": 1, "timeout": 5}, {"cmd": "x", "check": False, "timeout": 0.5}]
    assert plan_from_options({**DEFAULTS, "commands": given}).commands == (
        Command("id"),
        Command("false", timeout=5, expect_rc=1),
        Command("x", timeout=0.5, check=False),
    )


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("expect", [{**ITEM, "pattern": "("}], r"expect\[0\].pattern is no regular expression"),
        ("expect", [{**ITEM, "fail": "["}], r"expect\[0\].fail is no regular expression"),
        ("expect", [ITEM, ITEM], "expect has two items with the name 'ready'"),
        ("fail_patterns", ["*"], "fail_patterns is no regular expression"),
        ("commands", [""], r"commands\[0\] must be a command"),
        ("commands", ["id", {"command": "id"}], r"commands\[1\] must be a command"),
        ("commands", [{"cmd": "id", "rc": 1}], r"commands\[0\] has no field 'rc'"),
        ("commands", [{"cmd": "id", "timeout": "5"}], r"commands\[0\].timeout must be int"),
        ("commands", [{"cmd": "id", "expect_rc": True}], r"commands\[0\].expect_rc must be int"),
        ("menu_keys", ["text:ä"], "menu_keys cannot be typed"),
    ],
)
def test_mistakes_name_the_option(option: str, value: t.Any, message: str) -> None:
    with pytest.raises(StageError, match=message):
        plan_from_options({**DEFAULTS, option: value})


def test_function_keys_need_the_keyboard() -> None:
    options = {**DEFAULTS, "menu_keys": ["f10"]}
    assert plan_from_options(options).menu
    with pytest.raises(StageError, match="serial line has no key 'f10'"):
        plan_from_options({**options, "menu_via": "serial"})


@pytest.mark.parametrize(
    "text",
    [
        "      Use the ^ and v keys to select which entry is highlighted.",
        "   The highlighted entry will be executed automatically in 5s.",
        "Boot in 4 s.",
        "Press [Tab] to edit options",
    ],
)
def test_menu_is_recognised(text: str) -> None:
    menu = plan_from_options({**DEFAULTS, "menu_keys": ["ret"]}).menu
    assert menu and menu.pattern and menu.pattern.search(text)


@pytest.mark.parametrize(
    ("text", "means_failure"),
    [
        ("[    1.9] Kernel panic - not syncing: VFS: Unable to mount root fs", True),
        ("Press Enter for maintenance", True),
        ("Entering emergency mode. Exit the shell to continue.", True),
        ("dracut:/# ", True),
        ("(initramfs) ", True),
        ('BdsDxe: failed to load Boot0001 "UEFI QEMU DVD-ROM" from PciRoot(0x0): Access Denied', True),
        ('BdsDxe: failed to load Boot0001 "UEFI QEMU DVD-ROM" from PciRoot(0x0): Not Found', False),
        ("dracut-initqueue[321]: Warning: dracut-initqueue: timeout, still waiting", False),
        ("Started systemd-ask-password-console.path - Dispatch Password Requests", False),
        ("Starting emergency.target is not wanted", False),
    ],
)
def test_failures_are_recognised(text: str, means_failure: bool) -> None:
    patterns = plan_from_options(DEFAULTS).fail_patterns
    assert any(pattern.search("before\n" + text) for pattern in patterns) == means_failure


@pytest.mark.parametrize(
    ("text", "is_prompt"),
    [
        ("live login: ", True),
        ("[  OK  ] Reached target\nhost.example.org login: ", True),
        ("Last login: Mon Nov 22 on ttyS0", False),
        ("systemd-logind: starting", False),
        ("login: timed out after 60 seconds", False),
    ],
)
def test_login_prompts(text: str, is_prompt: bool) -> None:
    assert bool(LOGIN_PROMPT.search(text)) == is_prompt

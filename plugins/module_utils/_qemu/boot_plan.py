# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a boot test waits for, types and runs. Private to this collection."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._qemu.keys import UnknownKey, key_chords, serial_bytes
from ansible_collections.liveforge.images.plugins.module_utils._serial.login import (
    LOGIN_PROMPT,
    PASSWORD_PROMPT,
    Account,
)

# Text that only a boot that has failed shows.
DEFAULT_FAIL_PATTERNS = (
    r"Kernel panic - not syncing",
    r"Press Enter for (?:maintenance|emergency)",
    r"Give root password for maintenance",
    r"You are in emergency mode",
    r"Entering emergency mode",
    r"dracut: FATAL:",
    r"^dracut:/#",
    r"^\(initramfs\) ",
    r"^grub rescue>",
    r"BdsDxe: No bootable option or device was found",
    r"BdsDxe: failed to load .*: (?:Access Denied|Security Violation)",
    r"Verification failed: \(0x1A\) Security Violation",
    r"reboot: System halted",
)
# GRUB, systemd-boot and ISOLINUX, each as it says that it waits.
DEFAULT_MENU_PATTERN = r"Use the .+ keys to (?:select|change)|(?:automatically|[Bb]oot) in \d+ ?s|Press \[Tab\] to edit"
DEFAULT_MILESTONE_SECONDS = 600
DEFAULT_LOGIN_SECONDS = 300
DEFAULT_COMMAND_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Milestone:
    """Text that the console must show. ``fail`` is text that means it will not; ``send`` is a line to type then."""

    name: str
    pattern: re.Pattern[str]
    timeout: float = DEFAULT_MILESTONE_SECONDS
    fail: re.Pattern[str] | None = None
    send: str | None = None


@dataclasses.dataclass(frozen=True)
class Menu:
    """Keys for the boot menu.

    Attributes:
        keys: see keys.py.
        via: keyboard or serial.
        pattern: text that shows that the menu is there, or None to go by ``delay`` alone.
        delay: seconds between that text (or power on) and the first key.
        timeout: seconds to wait for ``pattern``.
    """

    keys: tuple[str, ...]
    via: str
    pattern: re.Pattern[str] | None
    delay: float
    timeout: float


@dataclasses.dataclass(frozen=True)
class Login:
    """Who logs in, and how many seconds that may take."""

    account: Account
    timeout: float = DEFAULT_LOGIN_SECONDS


@dataclasses.dataclass(frozen=True)
class Command:
    """A command for the guest. With ``check`` it must exit with ``expect_rc``."""

    cmd: str
    timeout: float = DEFAULT_COMMAND_SECONDS
    expect_rc: int = 0
    check: bool = True


@dataclasses.dataclass(frozen=True)
class BootPlan:
    """The test, in the order in which it happens."""

    milestones: tuple[Milestone, ...]
    fail_patterns: tuple[re.Pattern[str], ...]
    menu: Menu | None
    login: Login | None
    commands: tuple[Command, ...]
    poweroff: bool
    shutdown_timeout: float
    timeout: float


def plan_from_options(options: t.Mapping[str, t.Any]) -> BootPlan:
    """Check the options of the module live_boot and make a plan of them.

    Raises:
        StageError: naming the option at fault.
    """
    return BootPlan(
        milestones=_milestones(options["expect"]),
        fail_patterns=tuple(_pattern("fail_patterns", text) for text in options["fail_patterns"]),
        menu=_menu(options),
        login=_login(options["login"]),
        commands=tuple(_command(number, given) for number, given in enumerate(options["commands"])),
        poweroff=options["poweroff"],
        shutdown_timeout=options["shutdown_timeout"],
        timeout=options["timeout"],
    )


def _milestones(given: t.Sequence[t.Mapping[str, t.Any]] | None) -> tuple[Milestone, ...]:
    if given is None:
        return (Milestone("login prompt", LOGIN_PROMPT),)
    milestones = tuple(
        Milestone(
            name=item["name"] or item["pattern"],
            pattern=_pattern(f"expect[{number}].pattern", item["pattern"]),
            timeout=item["timeout"],
            fail=_pattern(f"expect[{number}].fail", item["fail"]) if item["fail"] else None,
            send=item.get("send"),
        )
        for number, item in enumerate(given)
    )
    names = [milestone.name for milestone in milestones]
    for name in names:
        if names.count(name) > 1:
            raise StageError(f"expect has two items with the name {name!r}. Give each a name of its own.")
    return milestones


def _menu(options: t.Mapping[str, t.Any]) -> Menu | None:
    if not options["menu_keys"]:
        return None
    for item in options["menu_keys"]:
        try:
            (key_chords if options["menu_via"] == "keyboard" else serial_bytes)(item)
        except UnknownKey as problem:
            raise StageError(f"menu_keys cannot be typed: {problem}") from problem
    return Menu(
        keys=tuple(options["menu_keys"]),
        via=options["menu_via"],
        pattern=_pattern("menu_pattern", options["menu_pattern"]) if options["menu_pattern"] else None,
        delay=options["menu_delay"],
        timeout=options["menu_timeout"],
    )


def _login(given: t.Mapping[str, t.Any] | None) -> Login | None:
    if given is None:
        return None
    prompt = _pattern("login.password_prompt", given["password_prompt"] or PASSWORD_PROMPT)
    return Login(Account(given["user"], given["password"] or None, prompt), given["timeout"])


def _command(number: int, given: t.Any) -> Command:
    """A string, or a dictionary with the fields of :class:`Command`."""
    name = f"commands[{number}]"
    if isinstance(given, str):
        given = {"cmd": given}
    if not isinstance(given, dict) or not isinstance(given.get("cmd"), str) or not given["cmd"].strip():
        raise StageError(f"{name} must be a command, or a dictionary with the command as cmd.")
    types: dict[str, tuple[type, ...]] = {"cmd": (str,), "timeout": (int, float), "expect_rc": (int,), "check": (bool,)}
    for key, value in given.items():
        if key not in types:
            raise StageError(f"{name} has no field {key!r}; it takes {', '.join(types)}.")
        if not isinstance(value, types[key]) or (isinstance(value, bool) and bool not in types[key]):
            raise StageError(f"{name}.{key} must be {types[key][0].__name__}, not {value!r}.")
    return Command(**given)


def _pattern(option: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as problem:
        raise StageError(f"{option} is no regular expression of Python: {problem} in {text!r}.") from problem

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the images that were built: what is in them, and how long they take from power on to a login."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import typing as t

import playbook
from benchmarks.description import Description

USER = "live"


@dataclasses.dataclass(frozen=True)
class Image:
    """An ISO file.

    Attributes:
        size: bytes.
        sha256: digest of the file.
        initrd_size: bytes of the initrd that its menu loads, or None when the menu could not be read.
        kernel_command_line: of the first entry of its menu, or None when that could not be read.
    """

    size: int
    sha256: str
    initrd_size: int | None
    kernel_command_line: str | None


@dataclasses.dataclass(frozen=True)
class Boot:
    """A boot test.

    Attributes:
        seconds: from power on to the login prompt.
        shell: from power on to a shell after logging in.
        root: what is mounted as root.
        accelerator: what ran the guest's instructions.
    """

    seconds: float
    shell: float
    root: str
    accelerator: str


class BootFailed(Exception):
    """An image did not get to a login; the text has the end of its console."""


def inspect(path: pathlib.Path, folder: pathlib.Path) -> Image:
    """Read an ISO with live_iso_info."""
    result = playbook.module("live_iso_info", {"path": str(path), "digests": True}, folder)
    if result.get("failed"):
        raise RuntimeError(f"{path} cannot be read: {result['msg']}")
    iso = result["iso"]
    initrd = iso.get("initrd") or {}
    first = next(iter(iso.get("menu") or []), {})
    return Image(iso["size"], iso["sha256"], initrd.get("size"), first.get("kernel_command_line"))


def boot(path: pathlib.Path, folder: pathlib.Path, accelerator: str, description: Description) -> Boot:
    """Boot an ISO with live_boot as a CD in a machine with BIOS, log in, look for what was declared, shut it down.

    Raises:
        BootFailed: there was no login, or the system is not the one that the description declares.
    """
    # What was written before must not be waited for by this boot.
    os.sync()
    packages = sorted({*description.packages, "openssh-server"})
    result = playbook.module(
        "live_boot",
        {
            "image": str(path),
            "accelerator": accelerator,
            "expect": [{"name": "login prompt", "pattern": r"login: ?$", "timeout": 900}],
            "login": {"user": USER, "password": playbook.PASSWORD},
            "commands": [
                "findmnt -no SOURCE,FSTYPE /",
                "cat /etc/motd",
                "cat /proc/cmdline",
                f"dpkg-query --show --showformat='${{db:Status-Status}} ' {' '.join(packages)}",
            ],
            "timeout": 1500,
            "console_log": str(folder / "console.log"),
        },
        folder,
    )
    if result.get("failed"):
        raise BootFailed(f"{result['msg']}\n{_tail(result)}")
    milestones = result["milestones"]
    root, message, command_line, installed = (" ".join(item["stdout"].split()) for item in result["commands"])
    wanted = description.kernel_parameters().split()
    if message != description.message:
        raise BootFailed(f"/etc/motd is {message!r}, not {description.message!r}.")
    if not set(wanted) <= set(command_line.split()):
        raise BootFailed(f"The kernel command line is {command_line!r}, without all of {' '.join(wanted)}.")
    if installed.split() != ["installed"] * len(packages):
        raise BootFailed(f"Not all of {', '.join(packages)} are installed: {installed}.")
    return Boot(milestones["login prompt"], milestones["shell"], root, result["accelerator"])


def _tail(result: dict[str, t.Any]) -> str:
    return str(result.get("console", ""))[-1500:]

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of KIWI descriptions, built by the example playbook and booted from a stick as KIWI's documentation says."""

from __future__ import annotations

import functools
import json
import pathlib
import subprocess
import typing as t

import pytest

import playbook
from boot import variants

DESCRIPTIONS = pathlib.Path(__file__).parent / "descriptions"
HEALTH = "systemctl is-system-running --wait"
# A console that the tests can read; and not xz, which is KIWI's default and costs a minute more.
READABLE = {"kernelcmdline": "console=ttyS0,115200", "timeout": 1, "squashfscompression": "zstd"}


@functools.cache
def build(name: str, profiles: tuple[str, ...] = (), readable: bool = True) -> dict[str, t.Any]:
    """The image of a description, built or taken from an earlier run.

    Args:
        name: of the folder below DESCRIPTIONS.
        profiles: to select.
        readable: whether the description lacks what tests need, and gets it from outside.
    """
    workspace = variants.WORKSPACE / f"kiwi-{name}"
    workspace.mkdir(parents=True, exist_ok=True)
    results = workspace / "results.json"
    results.unlink(missing_ok=True)
    variables = workspace / "variables.json"
    variables.write_text(
        json.dumps(
            {
                "description": str(DESCRIPTIONS / name),
                "description_profiles": list(profiles),
                "description_changes": {"workspace": str(workspace), **(READABLE if readable else {})},
                "live_results": str(results),
            }
        )
    )
    done = playbook.run(
        [playbook.PROGRAM, str(playbook.ROOT / "playbooks/examples/from-kiwi.yml"), "-e", f"@{variables}"]
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} could not be built:\n{done.stdout[-6000:]}")
    return t.cast("dict[str, t.Any]", json.loads(results.read_text())[0])


def stick_of(result: dict[str, t.Any], path: pathlib.Path) -> pathlib.Path:
    """A stick with the ISO written to it and 500 MiB behind it."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", result["path"], str(path)], check=True)
    with open(path, "r+b") as stream:
        stream.truncate((path.stat().st_size // (1 << 20) + 500) << 20)
    return path


def boot(stick: pathlib.Path, folder: pathlib.Path, commands: t.Sequence[str], **options: t.Any) -> list[str]:
    """Boot the stick by its own menu, log in, and return what the commands print."""
    result = variants.boot(
        {"path": str(stick)},
        folder,
        media="usb",
        snapshot=False,
        commands=[{"cmd": command, "check": False, "timeout": 300} for command in commands],
        **options,
    )
    assert not result.get("failed"), f"{result['msg']}\n{result.get('console', '')[-4000:]}"
    return [command["stdout"] for command in result["commands"]]


def test_overlay_description_keeps_what_was_written(tmp_path: pathlib.Path) -> None:
    """The type of KIWI's documentation, word for word, on Debian 12: a new xfs partition on the stick."""
    result = build("debian-12")
    assert pathlib.Path(result["path"]).name == "rescue-12.x86_64-12.1.0.iso"
    assert result["volid"] == "CDROM"
    stick = stick_of(result, tmp_path / "stick.img")
    name, message, target, docs, store, written = boot(
        stick,
        tmp_path,
        [
            "cat /etc/image-name",
            "cat /etc/motd",
            "systemctl get-default",
            "ls /usr/share/doc/bash",
            "lsblk -no FSTYPE,LABEL /dev/sda2",
            "echo kept | sudo tee /etc/written && sync",
        ],
        poweroff=False,
    )
    assert name == "rescue-12-12.1.0"
    assert message == "Rescue system, from a KIWI description"
    assert target == "multi-user.target"
    assert docs == "copyright"
    assert store.split() == ["xfs", "cow"]
    assert written == "kept"
    # The power was cut.
    assert boot(stick, tmp_path, ["cat /etc/written", HEALTH]) == ["kept", "running"]


@pytest.mark.full
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_dmsquash_description_with_its_own_menu_keeps_what_was_written(firmware: str, tmp_path: pathlib.Path) -> None:
    """The same for dmsquash on Debian 13, with profiles and a menu of its own; KIWI itself would keep nothing."""
    result = build("debian-13", ("Rescue",), readable=False)
    assert result["volid"] == "RESCUE13"
    stick = stick_of(result, tmp_path / "stick.img")
    profiles, marker, words, packages, written = boot(
        stick,
        tmp_path,
        [
            "sort /etc/image-profiles",
            "cat /etc/profile-marker",
            "cat /proc/cmdline",
            "dpkg-query -W -f '${Package}\\n' less efibootmgr no-such-desktop 2>/dev/null",
            "echo kept | sudo tee /etc/written && sync",
        ],
        poweroff=False,
        firmware=firmware,
    )
    assert profiles.split() == ["Common", "Rescue"]
    assert marker == "Rescue"
    assert f"menu.of={'EFI' if firmware == 'uefi' else 'BIOS'}" in words.split()
    assert "rescue.word=a,b" in words.split()
    assert packages == "less"
    assert written == "kept"
    assert boot(stick, tmp_path, ["cat /etc/written", HEALTH], firmware=firmware) == ["kept", "running"]

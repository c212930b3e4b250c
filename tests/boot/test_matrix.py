# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of the matrix, booted for real and looked at from inside.

Without --full one boot a row of CI. With those of test_dmsquash (BIOS, a stick, Debian 12) that is each dracut module
by BIOS and UEFI (once with Secure Boot), as CD and as disk, on both Debian releases. With --full every combination.
"""

from __future__ import annotations

import itertools
import json
import pathlib
import subprocess
import time
import typing as t

import pytest

import playbook
from boot import variants
from boot.variants import Variant

OVERLAY_12 = Variant("bookworm", "overlay", "squashfs")
OVERLAY_13 = Variant("trixie", "overlay", "ext4")
DMSQUASH_13 = Variant("trixie", "dmsquash", "squashfs")
DMSQUASH_13_EXT4 = Variant("trixie", "dmsquash", "ext4")

CI = {
    (OVERLAY_12, "uefi_secure", "cdrom"),
    (OVERLAY_13, "bios", "disk"),
    (DMSQUASH_13_EXT4, "uefi", "cdrom"),
}
FULL = set(
    itertools.product(
        [
            Variant(*row)
            for row in itertools.product(("bookworm", "trixie"), ("overlay", "dmsquash"), ("squashfs", "ext4"))
        ],
        ("bios", "uefi"),
        ("cdrom", "disk"),
    )
) | {(DMSQUASH_13, "uefi", "usb"), (DMSQUASH_13, "uefi_secure", "usb")}


def cases() -> list[t.Any]:
    return [
        pytest.param(*case, id="-".join(map(str, case)), marks=() if case in CI else (pytest.mark.full,))
        for case in sorted(CI | FULL, key=str)
    ]


def checks(variant: Variant, booted_as: str) -> list[dict[str, t.Any]]:
    """Commands that show from inside what a user relies on."""
    medium = "/run/overlay/live" if variant.flags == "overlay" else "/run/initramfs/live"
    root = "test \"$(findmnt -no SOURCE,FSTYPE / | tr -s ' ')\" = '/dev/mapper/live-rw ext4'"
    if not variant.uses_device_mapper:
        root = 'test "$(findmnt -no FSTYPE /)" = overlay'
    keys = []
    if variant.has_ssh:
        # Emulated, the primes of the RSA key take many seconds, and nothing waits for them. When they are found, ssh
        # starts itself anew: for a moment it takes no connection, and drops those where no one has logged in yet.
        scan = "for try in $(seq 90); do ssh-keyscan -t {0} localhost | grep ssh-{0} && exit 0; sleep 1; done; exit 1"
        keys = [{"cmd": scan.format(key), "timeout": 900, "check": False} for key in ("ed25519", "rsa")]
    media = {"cdrom": "test -b /dev/sr0", "disk": "test -b /dev/vda1", "usb": "test -b /dev/sda1"}[booted_as]
    return [
        {"cmd": "systemctl is-system-running --wait", "timeout": 300, "check": False},
        {"cmd": "systemctl --failed --no-legend --plain", "check": False},
        {"cmd": root, "check": False},
        {"cmd": f"head -c 1048576 {medium}/LiveOS/squashfs.img | sha256sum", "check": False},
        {"cmd": "cat /sys/block/loop*/loop/backing_file", "check": False},
        {"cmd": "cat /etc/overlay-marker", "check": False},
        {"cmd": "sudo sh -c 'echo written > /usr/written && cat /usr/written'", "check": False},
        {"cmd": media, "check": False},
        {"cmd": "cat /etc/machine-id", "check": False},
        *keys,
    ]


@pytest.mark.parametrize(("variant", "firmware", "media"), cases())
def test_boots_and_is_the_declared_system(variant: Variant, firmware: str, media: str, tmp_path: pathlib.Path) -> None:
    built = variants.build(variant)
    result = variants.boot(built, tmp_path, firmware=firmware, media=media, commands=checks(variant, media))
    assert not result.get("failed"), f"{result['msg']}\n{result.get('console', '')[-3000:]}"
    running, failed, root, head, loops, marker, written, medium, machine, *keys = result["commands"]
    assert (running["stdout"], failed["stdout"]) == ("running", "")
    assert root["rc"] == 0, "the root is not what its overlay type says"
    assert head["stdout"].split()[0] == variants.squashfs_head(variant), "another squashfs was booted"
    assert "LiveOS/squashfs.img" in loops["stdout"] or variant.flags == "dmsquash"
    assert marker["stdout"] == f"declared for {variant}"
    assert written["stdout"] == "written"
    assert medium["rc"] == 0
    assert len(machine["stdout"]) == 32
    assert not any(key["rc"] for key in keys), "ssh does not offer all its keys"
    assert result["powered_off"], "it did not shut down by itself"


@pytest.mark.full
@pytest.mark.parametrize("media", ["cdrom", "usb"])
@pytest.mark.parametrize("firmware", ["bios", "uefi", "uefi_secure"])
def test_the_menu_is_that_of_the_medium_that_was_booted(firmware: str, media: str, tmp_path: pathlib.Path) -> None:
    """Another disk has the same system, and so the same number, with another menu; GRUB sees it first."""
    built = variants.build(OVERLAY_12)
    other = tmp_path / "other.iso"
    command = ["xorriso", "-no_rc", "-osirrox", "on", "-indev", built["path"]]
    command += ["-concat", "append", "-", "/boot/grub/grub.cfg"]
    menu = subprocess.run(command, check=True, capture_output=True).stdout
    changed = menu.replace(b"'rd.live.image'", b"'rd.live.image' menu=other").rstrip(b"\n")
    assert changed.count(b"menu=other") == 2
    content = pathlib.Path(built["path"]).read_bytes()
    assert content.count(menu) == 1
    other.write_bytes(content.replace(menu, changed.ljust(len(menu), b"\n")))
    result = variants.boot(
        {"path": str(other)},
        tmp_path,
        firmware=firmware,
        media=media,
        disks=[{"path": built["path"], "readonly": True}],
        commands=[{"cmd": "cat /proc/cmdline"}],
    )
    assert not result.get("failed"), f"{result['msg']}\n{result.get('console', '')[-3000:]}"
    assert "menu=other" in result["commands"][0]["stdout"].split()


@pytest.mark.parametrize("variant", [OVERLAY_12, pytest.param(DMSQUASH_13, marks=pytest.mark.full)], ids=str)
def test_boots_as_a_file_on_a_stick(variant: Variant, tmp_path: pathlib.Path) -> None:
    """GRUB of an installed system finds the ISO file on a disk and hands over to its loopback.cfg."""
    built = variants.build(variant)
    stick = tmp_path / "stick.img"
    content = tmp_path / "stick"
    (content / "isos").mkdir(parents=True)
    (content / "isos/live.iso").hardlink_to(built["path"]) if _same_device(built["path"], content) else (
        subprocess.run(["cp", "--reflink=auto", built["path"], str(content / "isos/live.iso")], check=True)
    )
    size = (built["size"] >> 20) + 64
    subprocess.run(["mkfs.ext4", "-q", "-d", str(content), str(stick), f"{size}M"], check=True)
    outer = tmp_path / "outer"
    (outer / "boot/grub").mkdir(parents=True)
    (outer / "boot/grub/grub.cfg").write_text(
        "set timeout=0\n"
        "search --file --no-floppy --set=root /isos/live.iso\n"
        "set iso_path=/isos/live.iso\nexport iso_path\n"
        "loopback loop ($root)/isos/live.iso\nset root=(loop)\n"
        "configfile /boot/grub/loopback.cfg\n"
    )
    loader = tmp_path / "loader.iso"
    subprocess.run(["grub-mkrescue", "-o", str(loader), str(outer)], check=True, capture_output=True)
    result = variants.boot(
        {"path": str(loader)},
        tmp_path,
        disks=[{"path": str(stick), "interface": "usb"}],
        commands=[
            {"cmd": "grep -c iso-scan/filename=/isos/live.iso /proc/cmdline"},
            {"cmd": "cat /sys/block/loop*/loop/backing_file", "check": False},
            {"cmd": "cat /etc/overlay-marker"},
            {"cmd": "systemctl is-system-running --wait", "timeout": 300, "check": False},
        ],
    )
    assert not result.get("failed"), f"{result['msg']}\n{result.get('console', '')[-3000:]}"
    assert "isos/live.iso" in result["commands"][1]["stdout"]
    assert result["commands"][2]["stdout"] == f"declared for {variant}"
    assert result["commands"][3]["stdout"] == "running"


@pytest.mark.full
@pytest.mark.parametrize(
    ("damage", "verdict"), [(False, "The medium is good"), (True, "The medium is damaged")], ids=["good", "damaged"]
)
def test_media_check_entry_tells_a_good_medium_from_a_damaged_one(
    damage: bool, verdict: str, tmp_path: pathlib.Path
) -> None:
    image = {**OVERLAY_12.declaration(), "name": "mediacheck", "mediacheck": True, "timeout": 30}
    run = playbook.build([image], tmp_path)
    assert run.status == 0, run.output[-4000:]
    iso = pathlib.Path(run.results[0]["path"])
    if damage:
        copy = tmp_path / "damaged.iso"
        subprocess.run(["cp", "--reflink=auto", str(iso), str(copy)], check=True)
        with open(copy, "r+b") as stream:
            stream.seek(copy.stat().st_size // 2)
            byte = stream.read(1)
            stream.seek(-1, 1)
            stream.write(bytes([byte[0] ^ 1]))
        iso = copy
    result = playbook.module(
        "live_boot",
        {
            "image": str(iso),
            # The entries before it: the system itself, and failsafe.
            "menu_keys": ["down", "down", "ret"],
            "expect": [
                {"name": "verdict", "pattern": verdict, "timeout": 300},
                *([] if damage else [{"name": "login prompt", "pattern": "login: "}]),
            ],
            "fail_patterns": [],
            "poweroff": not damage,
        },
        tmp_path,
    )
    assert not result.get("failed"), f"{result['msg']}\n{result.get('console', '')[-3000:]}"


def test_playbook_boots_what_it_built_once(tmp_path: pathlib.Path) -> None:
    """Boot tests that an image declares run after it was built, and not again for the very same ISO."""
    variants.build(OVERLAY_12)
    declared = {
        **OVERLAY_12.declaration(),
        "boot_tests": [{"user": "live", "password": playbook.PASSWORD, "commands": ["test -e /etc/overlay-marker"]}],
    }
    pathlib.Path(f"{variants.WORKSPACE}/{OVERLAY_12}/{OVERLAY_12}.x86_64-1.0.0.iso.boot.json").unlink(missing_ok=True)
    first = playbook.build([declared], tmp_path, "-vvv")
    assert first.status == 0, first.output[-4000:]
    assert [boot["result"] for boot in first.results[0]["boot"]] == ["passed"]
    assert "bios cdrom: passed in" in first.output
    assert playbook.PASSWORD not in first.output
    again = playbook.build([declared], tmp_path)
    assert again.changed == 0, again.output[-4000:]
    assert again.results[0]["boot"] == first.results[0]["boot"]
    wrong = {**declared, "boot_tests": [{**declared["boot_tests"][0], "commands": ["test -e /etc/not-there"]}]}
    failed = playbook.build([wrong], tmp_path)
    assert failed.status != 0
    assert "test -e /etc/not-there" in failed.results[0]["error"]


@pytest.mark.full
def test_iso_that_is_replaced_while_it_is_tested_has_not_passed(tmp_path: pathlib.Path) -> None:
    built = pathlib.Path(variants.build(OVERLAY_12)["path"])
    record, console = pathlib.Path(f"{built}.boot.json"), pathlib.Path(f"{built}.bios-cdrom.console.log")
    record.unlink(missing_ok=True)
    console.unlink(missing_ok=True)
    other = built.with_suffix(".other")
    subprocess.run(["cp", "--reflink=auto", str(built), str(other)], check=True)
    with open(other, "ab") as stream:
        stream.write(b"another image")
    declared = {**OVERLAY_12.declaration(), "boot_tests": [{"user": "live", "password": playbook.PASSWORD}]}
    process = subprocess.Popen(
        playbook.command([declared], tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (console.exists() and console.stat().st_size) and process.poll() is None:
        time.sleep(0.5)
    other.replace(built)
    assert process.wait() != 0
    assert "was replaced while it was tested" in json.loads((tmp_path / "results.json").read_text())[0]["error"]
    assert not record.exists()
    # The next run sees it, too, and other tests boot this image.
    again = playbook.build([OVERLAY_12.declaration()], tmp_path)
    assert again.stages()["iso"]


def test_says_what_it_looks_for_when_the_medium_is_missing(tmp_path: pathlib.Path) -> None:
    variants.build(OVERLAY_12)
    boot = variants.WORKSPACE / str(OVERLAY_12) / "boot"
    result = playbook.module(
        "live_boot",
        {
            "kernel": str(boot / "linux"),
            "initrd": str(boot / "initrd"),
            "append": "console=ttyS0 root=live:CDLABEL=ELSEWHERE rd.retry=20",
            "expect": [
                {"name": "waiting", "pattern": "Waiting for root=live:CDLABEL=ELSEWHERE"},
                {"name": "given up", "pattern": "Live medium not found: root=live:CDLABEL=ELSEWHERE"},
            ],
            "fail_patterns": [],
            "poweroff": False,
        },
        tmp_path,
    )
    assert not result.get("failed"), result["msg"]


def _same_device(first: str, second: pathlib.Path) -> bool:
    return pathlib.Path(first).stat().st_dev == second.stat().st_dev

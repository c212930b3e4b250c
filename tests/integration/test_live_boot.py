# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module live_boot with real guests, run as Ansible runs it. Needs QEMU, OVMF and a Debian mirror."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import typing as t

import pytest

from integration import tiny_guest

MODULE = "liveforge.images.live_boot"
LOGIN = {"user": tiny_guest.USER, "password": tiny_guest.PASSWORD, "timeout": 120}
QUIET = "console=ttyS0 quiet panic=-1"


@pytest.fixture(scope="session")
def guest() -> tiny_guest.TinyGuest:
    return tiny_guest.build()


class LiveBoot:
    """Runs the module through ``ansible localhost``, with ``defaults`` where a test says nothing else."""

    defaults: t.ClassVar[dict[str, t.Any]] = {"memory": 512, "timeout": 180}

    def __init__(self, folder: pathlib.Path) -> None:
        self.environment = {
            **os.environ,
            "ANSIBLE_LOCAL_TEMP": str(folder / "controller"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "host"),
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "true",
        }

    def command(self, **options: t.Any) -> list[str]:
        ansible = shutil.which("ansible", path=os.path.dirname(sys.executable)) or "ansible"
        interpreter = f"ansible_python_interpreter={sys.executable}"
        return [ansible, "localhost", "-m", MODULE, "-e", interpreter, "-a", json.dumps({**self.defaults, **options})]

    def __call__(self, *flags: str, **options: t.Any) -> dict[str, t.Any]:
        """The module's result; a failed one has ``failed``."""
        done = subprocess.run(
            [*self.command(**options), *flags], env=self.environment, capture_output=True, text=True, check=False
        )
        begin = done.stdout.find("=> {") + 3
        assert begin >= 3, done.stdout + done.stderr
        result: dict[str, t.Any] = json.loads(done.stdout[begin:])
        result["failed"] = done.returncode != 0
        return result


@pytest.fixture
def live_boot(tmp_path: pathlib.Path) -> t.Iterator[LiveBoot]:
    yield LiveBoot(tmp_path)
    assert not (left := running_machines(tmp_path)), f"still running: {left}"
    assert not list(tmp_path.rglob("boot-*")), "a temporary folder is left"


def order(milestones: dict[str, float]) -> list[str]:
    """Their names by time: Ansible prints dictionaries sorted by key."""
    return sorted(milestones, key=lambda name: milestones[name])


def running_machines(folder: pathlib.Path) -> list[int]:
    """Processes of QEMU that have a file below ``folder`` on their command line."""
    done = subprocess.run(["pgrep", "-f", f"qemu-system.*{folder}"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


def test_cdrom_with_login_and_commands(
    live_boot: LiveBoot, guest: tiny_guest.TinyGuest, tmp_path: pathlib.Path
) -> None:
    words = [f"word{number}" for number in range(900)]
    log = tmp_path / "console.log"
    result = live_boot(
        image=str(guest.iso),
        console_log=str(log),
        login=LOGIN,
        commands=[
            "id -un; printf 'two\\n\\n  lines\\t%s' '$x'",
            {"cmd": "echo oh; exit 7", "expect_rc": 7},
            {"cmd": "exit 3", "check": False},
            f"printf '%s ' {' '.join(words)}",
        ],
    )
    assert not result["failed"], result["msg"]
    first, second, third, long = result["commands"]
    assert (first["rc"], first["stdout"], first["exact"]) == (0, f"{tiny_guest.USER}\ntwo\n\n  lines\t$x", True)
    assert (second["rc"], second["stdout"]) == (7, "oh")
    assert third["rc"] == 3
    assert len(long["cmd"]) > 4096
    assert long["stdout"].split() == words
    assert order(result["milestones"]) == ["login prompt", "shell"]
    assert 0 < result["milestones"]["login prompt"] < result["milestones"]["shell"] < result["duration"]
    assert result["powered_off"] and 0 < result["shutdown"] < 30
    assert (result["changed"], result["firmware"]) == (False, "bios")
    assert result["accelerator"] in ("kvm", "tcg") and "kvm" in result["accelerator_reason"].lower()
    assert "QEMU emulator version" in result["qemu"]["version"]
    assert f"file={guest.iso}" in " ".join(result["qemu"]["argv"])
    assert "tiny login:" in result["console"] and "\x1b" not in result["console"]
    assert result["console_log"] == str(log)
    assert b"\x1b[" in log.read_bytes()
    assert tiny_guest.PASSWORD not in json.dumps(result) + log.read_text("utf-8", "replace")


def test_usb_stick_with_uefi(live_boot: LiveBoot, guest: tiny_guest.TinyGuest) -> None:
    """A key in the menu, on the keyboard: the second entry, whose parameter tells."""
    result = live_boot(
        image=str(guest.iso),
        media="usb",
        firmware="uefi",
        login=LOGIN,
        menu_keys=["down", "ret"],
        commands=["grep -o tiny.entry=failsafe /proc/cmdline", "test -d /sys/firmware/efi"],
    )
    assert not result["failed"], result["msg"]
    assert order(result["milestones"]) == ["boot menu", "login prompt", "shell"]
    assert result["powered_off"]


def test_disk_with_edited_kernel_parameters(live_boot: LiveBoot, guest: tiny_guest.TinyGuest) -> None:
    """GRUB's editor over the serial line; ordered milestones; root's shell without a login."""
    result = live_boot(
        image=str(guest.iso),
        media="disk",
        menu_via="serial",
        menu_keys=["e", "down", "down", "end", "text: tiny.autologin tiny.deaf", "ctrl-x"],
        expect=[{"pattern": "Booting", "name": "kernel"}, {"pattern": "built-in shell", "fail": "login:"}],
        commands=["id -u", "ls /dev/vda"],
        shutdown_timeout=4,
    )
    assert not result["failed"], result["msg"]
    assert order(result["milestones"]) == ["boot menu", "kernel", "built-in shell"]
    assert [command["stdout"] for command in result["commands"]] == ["0", "/dev/vda"]
    assert (result["powered_off"], 4 <= result["shutdown"] < 10) == (False, True)


def test_secure_boot(live_boot: LiveBoot, guest: tiny_guest.TinyGuest) -> None:
    result = live_boot(
        image=str(guest.secure_disk),
        media="usb",
        firmware="uefi_secure",
        login={"user": "root"},
        commands=["dmesg | grep -i 'secure boot enabled'"],
    )
    assert not result["failed"], result["msg"]


def test_secure_boot_refuses_an_unsigned_loader(live_boot: LiveBoot, guest: tiny_guest.TinyGuest) -> None:
    result = live_boot(image=str(guest.iso), firmware="uefi_secure")
    assert result["failed"]
    assert "Access Denied" in result["msg"] and "which means failure" in result["msg"]


def test_what_is_written_to_disks(live_boot: LiveBoot, guest: tiny_guest.TinyGuest, tmp_path: pathlib.Path) -> None:
    """One disk keeps what the guest writes, one forgets it; a console full of kernel messages does not matter."""
    kept, forgotten = tmp_path / "kept.img", tmp_path / "forgotten.img"
    for disk in (kept, forgotten):
        disk.write_bytes(bytes(1 << 20))
    result = live_boot(
        kernel=str(guest.kernel),
        initrd=str(guest.initrd),
        append=f"{QUIET} tiny.noise",
        disks=[{"path": str(kept), "snapshot": False, "serial": "KEPT"}, {"path": str(forgotten)}],
        login={"user": "root"},
        commands=[
            "cat /sys/block/vda/serial",
            "for disk in /dev/vda /dev/vdb; do echo written | dd of=$disk conv=fsync 2>/dev/null; done",
            "head -c 7 /dev/vdb",
        ],
    )
    assert not result["failed"], result["msg"]
    assert [command["stdout"] for command in result["commands"]] == ["KEPT", "", "written"]
    assert "noise on the console" in result["console"]
    assert result["changed"]
    assert kept.read_bytes()[:7] == b"written"
    assert forgotten.read_bytes() == bytes(1 << 20)


def test_failed_command(live_boot: LiveBoot, guest: tiny_guest.TinyGuest) -> None:
    """The guest is shut down in order all the same, and further commands are not run."""
    result = live_boot(
        kernel=str(guest.kernel),
        initrd=str(guest.initrd),
        append=QUIET,
        login=LOGIN,
        commands=["echo fine", "echo went wrong; exit 2", "echo never"],
    )
    assert result["failed"]
    assert "'echo went wrong; exit 2' exited with 2, not 0, and said: 'went wrong'" in result["msg"]
    assert [command["rc"] for command in result["commands"]] == [0, 2]
    assert result["powered_off"]


def test_slow_command_and_wrong_password(live_boot: LiveBoot, guest: tiny_guest.TinyGuest) -> None:
    machine = {"kernel": str(guest.kernel), "initrd": str(guest.initrd), "append": QUIET, "poweroff": False}
    slow = live_boot(**machine, login=LOGIN, commands=[{"cmd": "echo began; sleep 100", "timeout": 2}])
    assert slow["failed"]
    assert "did not end within 2 s and said: 'began'" in slow["msg"]
    assert slow["shutdown"] is None
    refused = live_boot(**machine, login={**LOGIN, "password": "a-wrong-phrase"})
    assert refused["failed"]
    assert "Failed at logging in as 'live': it refused the user name live or the password" in refused["msg"]


def test_milestone_that_does_not_come(live_boot: LiveBoot, guest: tiny_guest.TinyGuest, tmp_path: pathlib.Path) -> None:
    log = tmp_path / "console.log"
    result = live_boot(
        kernel=str(guest.kernel),
        initrd=str(guest.initrd),
        append=QUIET,
        console_log=str(log),
        expect=[{"pattern": "Tiny tiny"}, {"pattern": "never .* seen", "name": "the impossible", "timeout": 3}],
    )
    assert result["failed"]
    assert "waiting for 'the impossible': the console did not show 'never .* seen' within 3 s" in result["msg"]
    assert "\ntiny login:" in result["msg"]
    assert f"The whole console is in {log}." in result["msg"]
    assert order(result["milestones"]) == ["Tiny tiny"]


def test_kernel_panic_ends_the_wait(live_boot: LiveBoot, guest: tiny_guest.TinyGuest) -> None:
    result = live_boot(kernel=str(guest.kernel), initrd=str(guest.initrd), append="console=ttyS0 tiny.panic")
    assert result["failed"]
    assert "'Kernel panic - not syncing', which means failure" in result["msg"]
    assert result["duration"] < 60


def test_guest_that_reboots(live_boot: LiveBoot, guest: tiny_guest.TinyGuest) -> None:
    options = {"kernel": str(guest.kernel), "initrd": str(guest.initrd), "append": f"{QUIET} tiny.panic"}
    result = live_boot(**options, fail_patterns=[])
    assert result["failed"]
    assert "waiting for 'login prompt': the guest rebooted" in result["msg"]


def test_nothing_to_boot(live_boot: LiveBoot, tmp_path: pathlib.Path) -> None:
    disk = tmp_path / "empty.img"
    disk.write_bytes(bytes(1 << 20))
    result = live_boot(image=str(disk), media="disk")
    assert result["failed"]
    assert "the BIOS found nothing to boot" in result["msg"]
    assert "No bootable device." in result["msg"]
    assert result["duration"] < 60


def test_check_mode(live_boot: LiveBoot, guest: tiny_guest.TinyGuest, tmp_path: pathlib.Path) -> None:
    log = tmp_path / "console.log"
    result = live_boot("--check", image=str(guest.iso), media="usb", snapshot=False, console_log=str(log))
    assert not result["failed"]
    assert result["msg"] == f"Would boot {guest.iso} (usb, bios, auto)."
    assert result["changed"]
    assert not log.exists()
    assert live_boot("--check", image=str(tmp_path / "none.iso"))["failed"]


def test_mistakes_name_the_option(live_boot: LiveBoot, guest: tiny_guest.TinyGuest) -> None:
    wrong: list[tuple[dict[str, t.Any], str]] = [
        ({"image": "/no/such.iso"}, "image: /no/such.iso does not exist on this host"),
        ({"image": str(guest.iso), "expect": [{"pattern": "("}]}, "expect[0].pattern is no regular expression"),
        ({"image": str(guest.iso), "network_restricted": True}, "need network=user"),
        ({"image": str(guest.iso), "machine": "pc", "firmware": "uefi_secure"}, "needs machine=q35"),
        ({"image": str(guest.iso), "qemu_args": ["-device", "nonsense"]}, "QEMU did not start"),
    ]
    for options, message in wrong:
        result = live_boot(**options)
        assert result["failed"]
        assert message in result["msg"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_module_leaves_no_machine(guest: tiny_guest.TinyGuest, tmp_path: pathlib.Path, number: int) -> None:
    log = tmp_path / "console.log"
    machine = {"kernel": str(guest.kernel), "initrd": str(guest.initrd), "append": QUIET, "console_log": str(log)}
    live_boot = LiveBoot(tmp_path)
    command = live_boot.command(**machine, expect=[{"pattern": "never"}])
    with subprocess.Popen(command, env=live_boot.environment, stdout=subprocess.DEVNULL) as ansible:
        end = time.monotonic() + 60
        while not (machines := running_machines(tmp_path)) and time.monotonic() < end:
            time.sleep(0.2)
        assert len(machines) == 1
        parent = int(pathlib.Path(f"/proc/{machines[0]}/stat").read_text().rpartition(")")[2].split()[1])
        assert b"live_boot" in pathlib.Path(f"/proc/{parent}/cmdline").read_bytes()
        os.kill(parent, number)
        ansible.wait(30)
    end = time.monotonic() + 20
    while running_machines(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert running_machines(tmp_path) == []
    # Nobody but Ansible can clean up behind a killed process; its async wrapper looks every few seconds.
    while list(tmp_path.rglob("boot-*")) and time.monotonic() < end:
        time.sleep(0.1)
    assert not list(tmp_path.rglob("boot-*"))

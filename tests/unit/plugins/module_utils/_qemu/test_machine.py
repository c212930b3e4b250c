# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The QEMU command line, the firmware behind it, and the keys for its keyboard."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._qemu.firmware import find_firmware, with_own_variables
from ansible_collections.liveforge.images.plugins.module_utils._qemu.keys import UnknownKey, key_chords, serial_bytes
from ansible_collections.liveforge.images.plugins.module_utils._qemu.machine import (
    PROGRAM,
    Channels,
    Drive,
    Firmware,
    Machine,
    Network,
    command_line,
)

CHANNELS = Channels(serial_fd=7, qmp_fd=9, firmware_log="/x/firmware.log")
MACHINE = Machine("tcg", boot_drive=Drive("/x/live.iso", interface="cdrom", readonly=True))


def arguments(machine: Machine) -> list[str]:
    return command_line("/usr/bin/qemu-system-x86_64", machine, CHANNELS)


def values(machine: Machine, option: str) -> list[str]:
    argv = arguments(machine)
    return [value for name, value in itertools.pairwise(argv) if name == option]


def with_boot_drive(drive: Drive, **others: t.Any) -> Machine:
    return dataclasses.replace(MACHINE, boot_drive=drive, **others)


def test_cdrom() -> None:
    assert values(MACHINE, "-drive") == ["if=none,id=drive0,format=raw,file=/x/live.iso,media=cdrom,readonly=on"]
    assert "ide-cd,bus=ide.0,drive=drive0,bootindex=0" in values(MACHINE, "-device")


@pytest.mark.parametrize(
    ("interface", "device"),
    [
        ("virtio", "virtio-blk-pci,drive=drive0,bootindex=0"),
        ("usb", "usb-storage,bus=xhci.0,removable=on,drive=drive0,bootindex=0"),
        ("nvme", "nvme,drive=drive0,serial=drive0,bootindex=0"),
        ("sata", "ide-hd,bus=ide.0,drive=drive0,bootindex=0"),
    ],
)
def test_interfaces(interface: str, device: str) -> None:
    machine = with_boot_drive(Drive("/x/disk", "qcow2", interface))
    assert values(machine, "-drive") == ["if=none,id=drive0,format=qcow2,file=/x/disk,snapshot=on"]
    devices = values(machine, "-device")
    assert device in devices
    assert ("qemu-xhci,id=xhci" in devices) == (interface == "usb")


def test_each_sata_drive_has_a_port_of_its_own() -> None:
    drives = (Drive("/x/a", interface="sata"), Drive("/x/b"), Drive("/x/c", interface="sata", serial="C,1"))
    devices = values(dataclasses.replace(MACHINE, drives=drives), "-device")
    assert "ide-hd,bus=ide.1,drive=drive1" in devices
    assert "ide-hd,bus=ide.2,drive=drive3,serial=C,,1" in devices


def test_old_machine_gets_a_sata_controller() -> None:
    devices = values(dataclasses.replace(MACHINE, machine_type="pc"), "-device")
    assert "ich9-ahci,id=ahci" in devices
    assert "ide-cd,bus=ahci.0,drive=drive0,bootindex=0" in devices


@pytest.mark.parametrize(
    ("drive", "written"),
    [
        (Drive("/x"), False),
        (Drive("/x", snapshot=False), True),
        (Drive("/x", snapshot=False, readonly=True), False),
        (Drive("/x", snapshot=False, interface="cdrom"), False),
    ],
)
def test_what_is_written(drive: Drive, written: bool) -> None:
    assert drive.is_written == written
    backend = values(with_boot_drive(drive), "-drive")[0]
    assert ("snapshot=on" in backend or "readonly=on" in backend) != written


def test_comma_in_a_path() -> None:
    assert "file=/x/a,,b.img" in values(with_boot_drive(Drive("/x/a,b.img")), "-drive")[0]


def test_uefi_with_secure_boot() -> None:
    firmware = Firmware("uefi_secure", "/fw/code.fd", "/x/vars", needs_smm=True)
    machine = dataclasses.replace(MACHINE, firmware=firmware)
    assert values(machine, "-machine") == ["q35,smm=on"]
    assert "driver=cfi.pflash01,property=secure,value=on" in values(machine, "-global")
    assert values(machine, "-drive")[:2] == [
        "if=pflash,format=raw,unit=0,readonly=on,file=/fw/code.fd",
        "if=pflash,format=raw,unit=1,file=/x/vars",
    ]


def test_direct_kernel_boot_has_no_boot_drive() -> None:
    machine = dataclasses.replace(MACHINE, kernel="/k", initrd="/i", append="console=ttyS0 a=b,c")
    assert arguments(machine)[-6:] == ["-kernel", "/k", "-initrd", "/i", "-append", "console=ttyS0 a=b,c"]
    assert "bootindex" not in " ".join(arguments(machine))


def test_network() -> None:
    machine = dataclasses.replace(MACHINE, network=Network(True, ("tcp:127.0.0.1:2222-:22",)))
    assert values(MACHINE, "-netdev") == []
    assert values(machine, "-netdev") == ["user,id=network,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22"]


def test_accelerators() -> None:
    assert values(MACHINE, "-accel") == ["tcg,thread=multi"]
    assert values(MACHINE, "-cpu") == ["max,-erms,-fsrm"]
    assert values(dataclasses.replace(MACHINE, accelerator="kvm"), "-cpu") == ["host"]


def test_extra_arguments_come_last() -> None:
    assert arguments(dataclasses.replace(MACHINE, extra_arguments=("-device", "x")))[-2:] == ["-device", "x"]


def test_qemu_takes_every_kind_of_machine(tmp_path: pathlib.Path) -> None:
    """QEMU itself checks the arguments: with ``-S`` and standard input and output as channels it must come up."""
    program = shutil.which(PROGRAM)
    assert program, "qemu-system-x86_64 is missing"
    disk = tmp_path / "with,comma.img"
    disk.write_bytes(bytes(1 << 20))
    drives = tuple(
        Drive(str(disk), interface=interface, serial="S1", readonly=readonly)
        for interface in ("virtio", "usb", "nvme", "sata", "cdrom")
        for readonly in (False, True)
        if not (interface == "sata" and readonly)
    )
    for firmware in ("bios", "uefi", "uefi_secure"):
        for machine_type in ("q35", "pc") if firmware != "uefi_secure" else ("q35",):
            own = with_own_variables(find_firmware(firmware, machine_type), str(tmp_path))
            machine = Machine("tcg", machine_type, 256, 2, own, drives[1], drives, network=Network())
            argv = command_line(program, machine, Channels(0, 1, str(tmp_path / "log")))
            argv[argv.index("socket,id=serial,fd=0")] = "null,id=serial"
            argv[argv.index("socket,id=qmp,fd=1")] = "stdio,id=qmp"
            quit_command = '{"execute": "qmp_capabilities"}{"execute": "quit"}'
            done = subprocess.run(argv, input=quit_command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, (firmware, machine_type, done.stderr)
            assert done.stderr == ""


def describe(folder: pathlib.Path, name: str, **changes: t.Any) -> None:
    """Write a firmware description whose two files exist."""
    for part in ("code", "vars"):
        (folder / f"{name}.{part}").write_text(part)
    description: dict[str, t.Any] = {
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": str(folder / f"{name}.code"), "format": "raw"},
            "nvram-template": {"filename": str(folder / f"{name}.vars"), "format": "raw"},
        },
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
        "features": [],
    }
    (folder / f"{name}.json").write_text(json.dumps({**description, **changes}))


def test_firmware_is_chosen_by_features_and_order(tmp_path: pathlib.Path) -> None:
    describe(tmp_path, "10-other", targets=[{"architecture": "aarch64", "machines": ["virt-*"]}])
    describe(tmp_path, "20-keys", features=["secure-boot", "enrolled-keys", "requires-smm"])
    describe(tmp_path, "30-nokeys", features=["secure-boot", "requires-smm"])
    describe(tmp_path, "40-gone")
    (tmp_path / "40-gone.vars").unlink()
    describe(tmp_path, "45-stateless", mapping={"device": "flash", "mode": "stateless", "executable": {}})
    describe(tmp_path, "50-plain", features=["acpi-s3"])
    describe(tmp_path, "60-later")
    (tmp_path / "05-hidden.json").write_text("")
    folders = [str(tmp_path)]
    plain, secure = find_firmware("uefi", "q35", folders), find_firmware("uefi_secure", "q35", folders)
    assert plain.code == str(tmp_path / "50-plain.code") and not plain.needs_smm
    assert secure.code == str(tmp_path / "20-keys.code") and secure.needs_smm
    with pytest.raises(StageError, match="machine=pc is installed here"):
        find_firmware("uefi", "pc", folders)


def test_folder_of_the_administrator_hides_the_vendors(tmp_path: pathlib.Path) -> None:
    vendor, administrator = tmp_path / "usr", tmp_path / "etc"
    for folder in (vendor, administrator):
        folder.mkdir()
    describe(vendor, "10-a")
    describe(vendor, "20-b")
    (administrator / "10-a.json").write_text("")
    found = find_firmware("uefi", "q35", [str(administrator), str(vendor), str(tmp_path / "none")])
    assert found.code == str(vendor / "20-b.code")


def test_variables_are_copied(tmp_path: pathlib.Path) -> None:
    firmware = find_firmware("uefi", "q35")
    own = with_own_variables(firmware, str(tmp_path))
    assert firmware.variables and own.variables == str(tmp_path / "uefi-variables")
    assert pathlib.Path(own.variables).read_bytes() == pathlib.Path(firmware.variables).read_bytes()
    assert with_own_variables(Firmware(), str(tmp_path)) == Firmware()


def test_keyboard() -> None:
    assert key_chords("down") == [["down"]]
    assert key_chords("ctrl-x") == [["ctrl", "x"]]
    assert key_chords("text:aB =_/-~") == [
        ["a"],
        ["shift", "b"],
        ["spc"],
        ["equal"],
        ["shift", "minus"],
        ["slash"],
        ["minus"],
        ["shift", "grave_accent"],
    ]
    with pytest.raises(UnknownKey, match="'ä'"):
        key_chords("text:ä")


def test_keys_on_the_serial_line() -> None:
    assert serial_bytes("down") == [b"\x1b[B"]
    assert serial_bytes("ctrl-x") == [b"\x18"]
    assert serial_bytes("e") == [b"e"]
    assert serial_bytes("text:a é") == [b"a", b" ", "é".encode()]
    for unknown in ("f10", "ctrl-alt-delete", "ctrl-1", "A", ""):
        with pytest.raises(UnknownKey):
            serial_bytes(unknown)


def test_every_printable_character_has_a_key() -> None:
    """QEMU knows the names: a QMP client could not send others."""
    known = {"shift", "spc", "minus", "equal", "bracket_left", "bracket_right", "backslash", "semicolon", "apostrophe"}
    known |= {"grave_accent", "comma", "dot", "slash", *"abcdefghijklmnopqrstuvwxyz0123456789"}
    typed = [key_chords(f"text:{chr(code)}")[0] for code in range(32, 127)]
    assert {key for chord in typed for key in chord} <= known
    assert len({tuple(chord) for chord in typed}) == 95


def test_only_a_boot_loader_needs_a_display() -> None:
    assert values(MACHINE, "-vga") == ["std"]
    assert values(dataclasses.replace(MACHINE, kernel="/boot/linux"), "-vga") == ["none"]

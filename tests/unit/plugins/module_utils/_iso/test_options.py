# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of live_iso: defaults that depend on each other, and what each broken rule says."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions
from ansible_collections.liveforge.images.plugins.modules import live_iso

DEFAULTS: dict[str, t.Any] = {name: argument.get("default") for name, argument in live_iso.ARGUMENTS.items()}


def options(**changes: t.Any) -> IsoOptions:
    return IsoOptions.from_parameters({**DEFAULTS, **changes})


@pytest.mark.parametrize(
    ("changes", "overlay_type", "table"),
    [
        ({}, "overlayfs", "gpt"),
        ({"filesystem": "ext4"}, "overlayfs", "gpt"),
        ({"flags": "dmsquash"}, "overlayfs", "gpt"),
        ({"flags": "dmsquash", "filesystem": "erofs"}, "overlayfs", "gpt"),
        ({"flags": "dmsquash", "filesystem": "ext4"}, "device-mapper", "gpt"),
        ({"flags": "dmsquash", "filesystem": "ext4", "hybridpersistent": True}, "overlayfs", "msdos"),
        ({"flags": "dmsquash", "filesystem": "ext4", "overlay_type": "overlayfs"}, "overlayfs", "gpt"),
        ({"hybridpersistent": True}, "overlayfs", "gpt"),
        ({"firmware": "bios"}, "overlayfs", "msdos"),
        ({"firmware": "efi", "efiparttable": "msdos"}, "overlayfs", "msdos"),
    ],
)
def test_defaults_that_depend_on_other_options(changes: dict[str, t.Any], overlay_type: str, table: str) -> None:
    made = options(**changes)
    made.check()
    assert (made.features.overlay_type, made.efiparttable) == (overlay_type, table)


@pytest.mark.parametrize(
    ("firmware", "eficsm", "bios", "efi"),
    [
        ("bios", True, True, False),
        ("bios", False, True, False),
        ("efi", True, True, True),
        ("efi", False, False, True),
        ("uefi", True, True, True),
        ("uefi", False, False, True),
    ],
)
def test_which_firmware_can_start_it(firmware: str, eficsm: bool, bios: bool, efi: bool) -> None:
    made = options(firmware=firmware, eficsm=eficsm)
    assert (made.bios, made.efi) == (bios, efi)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"volid": "x" * 33}, ["volid", "33 characters", "1 to 32"]),
        ({"volid": ""}, ["volid", "0 characters"]),
        ({"volid": "MY LIVE"}, ["volid 'MY LIVE'", "' '", "a-z, A-Z, 0-9"]),
        ({"volid": "größe"}, ["volid", "'ö'"]),
        ({"application_id": "a" * 129}, ["application_id", "129 characters", "at most 128"]),
        ({"publisher": "a@b"}, ["publisher 'a@b'"]),
        ({"overlay_type": "device-mapper"}, ["overlay_type device-mapper", "filesystem squashfs", "ext4"]),
        (
            {"overlay_type": "device-mapper", "filesystem": "ext4", "persistence": {"mode": "auto"}},
            ["overlay_type device-mapper", "persistence"],
        ),
        ({"persistence": {"mode": "none"}, "hybridpersistent": True}, ["persistence none", "hybridpersistent: true"]),
        (
            {"persistence": {"filesystem": "xfs"}, "hybridpersistent_filesystem": "ext4"},
            ["persistence.filesystem xfs", "hybridpersistent_filesystem ext4"],
        ),
        ({"persistence": {"mode": "device"}}, ["persistence.device None", "LABEL=DATA:/live"]),
        ({"persistence": {"mode": "device", "device": "DATA"}}, ["persistence.device 'DATA'"]),
        ({"persistence": {"mode": "device", "device": "/dev/../x"}}, ["persistence.device '/dev/../x'"]),
        ({"persistence": {"device": "LABEL=DATA"}}, ["persistence.device", "mode auto"]),
        ({"persistence": {"mode": "device", "device": "LABEL=D", "size": 99}}, ["persistence.size", "never formatted"]),
        ({"persistence": {"mode": "device", "device": "LABEL=D"}, "hybridpersistent": True}, ["persistence device"]),
        ({"persistence": {"mode": "none", "size": 100}}, ["persistence.size", "no effect"]),
        ({"persistence": {"key": "LABEL=K:/k"}}, ["persistence.key", "encryption: luks2"]),
        ({"persistence": {"encryption": "luks2", "key": "k"}}, ["persistence.key 'k'", "LABEL=KEYS:/live.key"]),
        ({"persistence": {"mode": "partition", "sparse": True}}, ["persistence.sparse", "partition"]),
        ({"persistence": {"mode": "file", "file": "../x"}}, ["persistence.file '../x'", "'..'"]),
        ({"persistence": {"size": 10}}, ["persistence.size 10", "at least 64"]),
        ({"flags": "dmsquash", "persistence": {"encryption": "luks2"}}, ["luks2", "flags overlay"]),
        ({"flags": "dmsquash", "persistence": {"mode": "file"}}, ["persistence file", "flags overlay"]),
        ({"network_boot": ["nfs"]}, ["network_boot nfs", "flags dmsquash"]),
        ({"overlay_size": "much"}, ["overlay_size 'much'", "40%"]),
        ({"overlay_size": "120%"}, ["overlay_size '120%'"]),
        (
            {"flags": "dmsquash", "overlay_type": "device-mapper"},
            ["overlay_type device-mapper", "filesystem squashfs", "ext4"],
        ),
        (
            {"flags": "dmsquash", "overlay_type": "device-mapper", "filesystem": "ext4", "hybridpersistent": True},
            ["overlay_type device-mapper", "persistence"],
        ),
        ({"hybridpersistent_filesystem": "xfs"}, ["hybridpersistent_filesystem", "hybridpersistent: true"]),
        ({"firmware": "bios", "efiparttable": "gpt"}, ["efiparttable gpt", "firmware efi or uefi"]),
        (
            {"flags": "dmsquash", "hybridpersistent": True, "efiparttable": "gpt"},
            ["efiparttable gpt", "dmsquash-live-autooverlay", "msdos"],
        ),
        ({"efifatimagesize": 32}, ["efifatimagesize 32", "31", "El Torito", "16 bits"]),
        ({"efifatimagesize": 2}, ["efifatimagesize 2"]),
        ({"title": "two\nlines"}, ["title", "one line"]),
        ({"timeout": -2}, ["timeout -2"]),
        ({"output_console": ["console vga"]}, ["output_console", "'vga'", "console, gfxterm, serial"]),
        ({"input_console": ["gfxterm"]}, ["input_console", "'gfxterm'"]),
        ({"serial_line": "serial --unit=0; reboot"}, ["serial_line", "serial --unit=0"]),
        ({"kernelcmdline": "quiet root=/dev/sda1"}, ["kernelcmdline", "root=", "volid"]),
        ({"kernelcmdline": "a='b'"}, ["kernelcmdline", "GRUB escapes it"]),
        ({"kernelcmdline": "a=" + "b" * 2100}, ["kernelcmdline", "the kernel takes 2047"]),
    ],
)
def test_broken_rules(changes: dict[str, t.Any], words: list[str]) -> None:
    with pytest.raises(StageError) as failure:
        options(**changes).check()
    for word in words:
        assert word in failure.value.message


def test_all_broken_rules_are_told_at_once() -> None:
    with pytest.raises(StageError) as failure:
        options(volid="a b", efifatimagesize=40, title="").check()
    assert len(failure.value.details["problems"]) == 3


def test_terminals_may_be_one_text_as_kiwi_writes_them() -> None:
    made = options(output_console=["console serial"], input_console=[])
    made.check()
    assert made.output_console == ("console", "serial")
    assert made.input_console == ()


@pytest.mark.parametrize("volid", ["A", "a_b-c.D", "x" * 32])
def test_good_volume_ids(volid: str) -> None:
    options(volid=volid).check()


def test_root_inside_a_word_is_no_second_root() -> None:
    options(kernelcmdline="nfsroot=/x rd.root=1").check()

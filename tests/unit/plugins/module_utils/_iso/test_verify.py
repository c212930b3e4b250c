# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A written ISO that is not what was asked for is told in full."""

from __future__ import annotations

import copy
import hashlib
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu import MenuEntry
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions
from ansible_collections.liveforge.images.plugins.module_utils._iso.verify import ExpectedFile, require
from ansible_collections.liveforge.images.plugins.modules import live_iso

OPTIONS = IsoOptions.from_parameters(
    {
        **{name: argument.get("default") for name, argument in live_iso.ARGUMENTS.items()},
        "volid": "KIOSK",
        "title": "Kiosk",
        "mediacheck": True,
    }
)
MENU = [MenuEntry("live", "Kiosk", ("root=live:CDLABEL=KIOSK",))]
FILES = [ExpectedFile("boot/x86_64/loader/linux", 3, "aa"), ExpectedFile("LiveOS/squashfs.img", 5, "bb")]
ESP = {"EFI/BOOT/BOOTX64.EFI": b"shim"}
ESP_FILES = [ExpectedFile("EFI/BOOT/BOOTX64.EFI", 4, hashlib.sha256(b"shim").hexdigest())]
GOOD: dict[str, t.Any] = {
    "volume_id": "KIOSK",
    "size": 10,
    "volume_size": 10,
    "rock_ridge": True,
    "media_check": {"status": "intact"},
    "content_check": {"status": "intact"},
    "el_torito": [{"platform": "bios", "bootable": True}, {"platform": "efi", "bootable": True}],
    "partition_table": {"type": "gpt", "problems": [], "partitions": [{}, {}]},
    "boot_loaders": [
        {"firmware": "bios", "medium": "cd"},
        {"firmware": "bios", "medium": "disk"},
        {"firmware": "efi", "path": "EFI/BOOT/BOOTX64.EFI"},
    ],
    "kernel": {"path": "boot/x86_64/loader/linux", "size": 3, "sha256": "aa"},
    "initrd": None,
    "live": [{"path": "LiveOS/squashfs.img", "size": 5, "sha256": "bb"}],
    "menu": [
        {"id": "live", "kernel": "k", "kernel_command_line": "root=live:CDLABEL=KIOSK"},
        {"id": "harddisk", "kernel": None, "kernel_command_line": None},
    ],
    "loopback_menu": [
        {"id": "live", "kernel_command_line": "root=live:CDLABEL=KIOSK iso-scan/filename=${iso_path}"},
    ],
}


def test_what_was_asked_for_passes() -> None:
    require(GOOD, OPTIONS, FILES, MENU, ESP, ESP_FILES)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (["volume_id"], "CDROM", "volume id 'CDROM' instead of 'KIOSK'"),
        (["size"], 9, "9 bytes instead of 10"),
        (["rock_ridge"], False, "Rock Ridge"),
        (["media_check", "status"], "damaged", "media check tag is damaged"),
        (["media_check", "status"], "absent", "media check tag is absent"),
        (["el_torito", 1, "platform"], "bios", "El Torito entries ['bios', 'bios']"),
        (["el_torito", 0, "bootable"], False, "El Torito entries ['efi']"),
        (["partition_table", "type"], "mbr", "partition table mbr instead of gpt"),
        (["partition_table", "problems"], ["the checksum is wrong"], "the checksum is wrong"),
        (["partition_table", "partitions"], [{}], "1 partitions instead of 2"),
        (["boot_loaders", 0, "medium"], "disk", "['disk'] instead of cd and disk"),
        (["kernel"], None, "boot/x86_64/loader/linux is missing"),
        (["live", 0, "size"], 4, "LiveOS/squashfs.img has 4 bytes instead of 5"),
        (["live", 0, "sha256"], "cc", "LiveOS/squashfs.img has SHA-256 cc instead of bb"),
        (["menu", 0, "kernel_command_line"], "root=other", "root=other"),
        (["loopback_menu"], [], "loopback menu [] instead of"),
    ],
)
def test_every_difference_is_told(place: list[t.Any], value: t.Any, words: str) -> None:
    report = copy.deepcopy(GOOD)
    spot = report
    for step in place[:-1]:
        spot = spot[step]
    spot[place[-1]] = value
    with pytest.raises(StageError) as failure:
        require(report, OPTIONS, FILES, MENU, ESP, ESP_FILES)
    assert words in failure.value.message
    assert "not published" in failure.value.message


@pytest.mark.parametrize(
    ("esp", "words"),
    [({}, "EFI/BOOT/BOOTX64.EFI is missing"), ({"EFI/BOOT/BOOTX64.EFI": b"shiM"}, "is not what was put there")],
)
def test_the_efi_partition_is_compared(esp: dict[str, bytes], words: str) -> None:
    with pytest.raises(StageError, match=words):
        require(GOOD, OPTIONS, FILES, MENU, esp, ESP_FILES)

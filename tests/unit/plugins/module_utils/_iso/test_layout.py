# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identities, the order of files and the xorriso command for each layout."""

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._iso import layout
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions
from ansible_collections.liveforge.images.plugins.modules import live_iso

IDENTITY = layout.Identity.derive(hashlib.sha256(b"x").hexdigest())


def options(**changes: object) -> IsoOptions:
    defaults = {name: argument.get("default") for name, argument in live_iso.ARGUMENTS.items()}
    values = {
        **defaults,
        "volid": "KIOSK",
        "title": "Kiosk",
        "output_console": ["console"],
        "input_console": ["console"],
    }
    return IsoOptions.from_parameters({**values, **changes})


def command(made: IsoOptions, epoch: int | None = None) -> str:
    esp = "/parts/esp.img" if made.efi else None
    content = layout.Content(
        {"LiveOS/squashfs.img": "/in/sq=uash\\fs"}, ("/cd", "/cd2"), "/parts/mbr", "/parts/order", esp
    )
    return " ".join(layout.xorriso_command(made, IDENTITY, content, "/out/x.iso", epoch))


@pytest.mark.parametrize(
    ("changes", "present", "absent"),
    [
        ({}, ["--grub2-mbr", "--mbr-force-bootable", "-eltorito-alt-boot -e", "-appended_part_as_gpt", "-no-pad"], []),
        ({}, ["-graft-points /=/cd /=/cd2 "], []),
        ({"gpt_hybrid_mbr": False}, ["-appended_part_as_gpt"], ["--mbr-force-bootable"]),
        ({"efiparttable": "msdos"}, ["--mbr-force-bootable", "-append_partition 2 0xef"], ["_as_gpt", "guid"]),
        ({"eficsm": False}, ["-G /parts/mbr", "-e --interval"], ["--grub2-mbr", "-eltorito-alt-boot", " -b "]),
        ({"firmware": "bios"}, [" -b boot/x86_64/loader/eltorito.img", " -pad"], ["-append_partition", " -e ", "guid"]),
        ({"publisher": "Me", "application_id": "APP"}, ["-publisher Me", "-A APP"], []),
    ],
)
def test_command(changes: dict[str, object], present: list[str], absent: list[str]) -> None:
    text = command(options(**changes))
    assert text.startswith("xorriso -no_rc -stdio_sync off -pacifier interval=0.1 -as mkisofs -o stdio:/out/x.iso ")
    for part in [*present, "-iso-level 3", "-partition_offset 16", "--boot-catalog-hide"]:
        assert part in text
    for part in absent:
        assert part not in text


def test_special_characters_in_paths_are_escaped() -> None:
    assert command(options()).endswith(" /LiveOS/squashfs.img=/in/sq\\=uash\\\\fs")


def test_dates_of_files_only_with_an_epoch() -> None:
    assert "--set_all_file_dates =1700000000" in command(options(), 1700000000)
    assert "--set_all_file_dates" not in command(options())


def test_identity_follows_from_the_content_alone() -> None:
    assert layout.Identity.derive(hashlib.sha256(b"x").hexdigest()) == IDENTITY
    assert layout.Identity.derive(hashlib.sha256(b"y").hexdigest()) != IDENTITY
    assert layout.Identity.derive("ff" * 32).mbrid == "0x03030303"
    assert layout.Identity.derive("00" * 32).mbrid == "0x01010101"
    assert len(IDENTITY.persistent_label) == 12


def test_order_puts_the_squashfs_last() -> None:
    lines = layout.order_list(["b", layout.SQUASHFS, "a"], ["z", "c d"]).splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["/a", "/b", "/c d", "/z", "/LiveOS/squashfs.img"]
    weights = [int(line.split()[0]) for line in lines]
    assert weights == sorted(weights, reverse=True) and weights[-1] > 0


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("xorriso : UPDATE : Writing:      53248s   27.5%   fifo  94%  buf  50%  600.0xD", 27.5),
        ("xorriso : UPDATE : 12.34% done", 12.34),
        ("xorriso : NOTE : 50% of nothing", None),
        ("xorriso : UPDATE :       9 files added in 1 seconds", None),
    ],
)
def test_percent(line: str, value: float | None) -> None:
    assert layout.percent(line) == value

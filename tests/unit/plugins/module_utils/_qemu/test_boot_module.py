# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What live_boot takes a disk image for."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._qemu.boot_module import image_format

QCOW2 = b"QFI\xfb\0\0\0\x03"


def test_a_guest_cannot_turn_its_raw_disk_into_another_format(tmp_path: pathlib.Path) -> None:
    disk = tmp_path / "stick.img"
    disk.write_bytes(b"\x33\xed\x90\x90")
    assert image_format(str(disk)) == "raw"
    disk.write_bytes(QCOW2)
    with pytest.raises(StageError, match="begins like a qcow2 image, but is not named so"):
        image_format(str(disk))


def test_format_is_in_the_name(tmp_path: pathlib.Path) -> None:
    disk = tmp_path / "stick.qcow2"
    disk.write_bytes(QCOW2)
    assert image_format(str(disk)) == "qcow2"

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes into an initrd, and what must be found in it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._initrd.dracut import DracutPlan, InitrdContent

LISTING = """\
Image: /run/liveforge/initrd: 31M
========================================================================
Version: dracut-059-4

Arguments: --force --add 'live-overlay pollcdrom'

dracut modules:
systemd
live-overlay
pollcdrom
========================================================================
drwxr-xr-x  11 root     root            0 Sep 21 14:13 .
-rw-r--r--   1 root     root        12345 Sep 21 14:13 usr/lib/modules/6.1.0-50-amd64/kernel/drivers/block/loop.ko
-rw-r--r--   1 root     root        12345 Sep 21 14:13 usr/lib/modules/6.1.0-50-amd64/kernel/drivers/scsi/sd_mod.ko.xz
-rw-r--r--   1 root     root        12345 Sep 21 14:13 usr/lib/modules/6.1.0-50-amd64/kernel/fs/nls/nls-utf8.ko.zst
========================================================================
"""


def option(command: list[str], name: str) -> list[str]:
    return command[command.index(name) + 1].split()


def test_listing_is_read() -> None:
    content = InitrdContent.from_listing(LISTING)
    assert content.modules == {"systemd", "live-overlay", "pollcdrom"}
    assert content.drivers == {"loop", "sd_mod", "nls_utf8"}


@pytest.mark.parametrize(
    ("plan", "modules", "drivers"),
    [
        (DracutPlan("overlay", "squashfs"), {"live-overlay"}, {"overlay", "squashfs", "loop", "isofs"}),
        (DracutPlan("overlay", "ext3"), {"live-overlay"}, {"ext4"}),
        (DracutPlan("dmsquash", "squashfs"), {"dmsquash-live"}, {"overlay"}),
        (DracutPlan("dmsquash", "xfs"), {"dmsquash-live"}, {"xfs", "dm_snapshot"}),
        (DracutPlan("dmsquash", "squashfs", hybridpersistent=True), {"dmsquash-live-autooverlay"}, set()),
        (DracutPlan("overlay", "squashfs", modules=("site",), drivers=("some-nic",)), {"site"}, {"some_nic"}),
    ],
)
def test_what_is_wanted_reaches_dracut(plan: DracutPlan, modules: set[str], drivers: set[str]) -> None:
    command = plan.command("6.1", "/out/initrd", "/out")
    assert modules <= set(option(command, "--add"))
    assert drivers <= set(option(command, "--add-drivers"))
    assert not set(option(command, "--add")) & set(option(command, "--omit"))
    assert command[-2:] == ["/out/initrd", "6.1"]


def test_only_one_live_module_is_in() -> None:
    omitted = option(DracutPlan("overlay", "squashfs").command("6.1", "i", "s"), "--omit")
    assert {"dmsquash-live", "kiwi-live"} <= set(omitted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modules": ("dmsquash-live",)}, "dmsquash-live is chosen by flags"),
        ({"modules": ("site",), "omit_modules": ("site",)}, "omit_modules: site is needed"),
        ({"compression_level": 22}, "compression_level: 22 is not a level of zstd; it takes 1 to 19"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, t.Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        DracutPlan("overlay", "squashfs", **changes).validate()


def test_missing_module_fails() -> None:
    plan = DracutPlan("overlay", "squashfs", modules=("site",))
    content = InitrdContent(frozenset({"live-overlay", "pollcdrom"}), frozenset(plan.wanted_drivers()))
    with pytest.raises(StageError, match="lacks the dracut module site"):
        plan.check(content, set())


def test_missing_driver_fails_unless_built_in() -> None:
    plan = DracutPlan("overlay", "squashfs", drivers=("special-disk",))
    content = InitrdContent(frozenset(plan.wanted_modules()), frozenset(plan.wanted_drivers()) - {"special_disk"})
    plan.check(content, {"special_disk"})
    with pytest.raises(StageError, match="lacks the kernel driver special_disk"):
        plan.check(content, set())

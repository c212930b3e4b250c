# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes into an initrd, and what must be found in it."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._initrd.dracut import DracutPlan, InitrdContent
from ansible_collections.liveforge.images.plugins.module_utils._live import dmsquash
from ansible_collections.liveforge.images.plugins.module_utils._live.features import LiveFeatures, Persistence

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
lrwxrwxrwx   1 root     root            8 Sep 21 14:13 sbin/fsck.ext4 -> e2fsck
-rwxr-xr-x   1 root     root        12345 Sep 21 14:13 usr/sbin/e2fsck
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
    assert content.programs == {"fsck.ext4", "e2fsck"}


@pytest.mark.parametrize(
    ("plan", "modules", "drivers"),
    [
        (DracutPlan(LiveFeatures()), {"live-overlay"}, {"overlay", "squashfs", "loop", "isofs"}),
        (DracutPlan(LiveFeatures(filesystem="ext3")), {"live-overlay"}, {"ext4"}),
        (DracutPlan(LiveFeatures(network_boot=("aoe", "http"))), {"live-overlay", "network"}, {"aoe"}),
        (DracutPlan(LiveFeatures(persistence=Persistence(encrypted=True))), {"live-overlay"}, {"dm_crypt"}),
        (DracutPlan(LiveFeatures(filesystem="ext4", overlay_type="device-mapper")), {"live-overlay"}, {"dm_snapshot"}),
        (DracutPlan(LiveFeatures("dmsquash")), {"dmsquash-live"}, {"overlay"}),
        (DracutPlan(LiveFeatures("dmsquash", "xfs")), {"dmsquash-live"}, {"xfs", "dm_snapshot"}),
        (DracutPlan(LiveFeatures("dmsquash", persistence=Persistence())), {"dmsquash-live-autooverlay"}, set()),
        (DracutPlan(LiveFeatures(), modules=("site",), drivers=("some-nic",)), {"site"}, {"some_nic"}),
    ],
)
def test_what_is_wanted_reaches_dracut(plan: DracutPlan, modules: set[str], drivers: set[str]) -> None:
    command = plan.command("6.1", "/out/initrd", "/out")
    assert modules <= set(option(command, "--add"))
    assert drivers <= set(option(command, "--add-drivers"))
    assert not set(option(command, "--add")) & set(option(command, "--omit"))
    assert command[-2:] == ["/out/initrd", "6.1"]


def test_only_one_live_module_is_in() -> None:
    omitted = option(DracutPlan(LiveFeatures()).command("6.1", "i", "s"), "--omit")
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
        DracutPlan(LiveFeatures(), **changes).validate()


def test_missing_module_fails() -> None:
    plan = DracutPlan(LiveFeatures(), modules=("site",))
    content = InitrdContent(frozenset({"live-overlay", "pollcdrom"}), frozenset(plan.wanted_drivers()))
    with pytest.raises(StageError, match="lacks the dracut module site"):
        plan.check(content, set())


def test_missing_driver_fails_unless_built_in() -> None:
    plan = DracutPlan(LiveFeatures(), drivers=("special-disk",))
    content = InitrdContent(frozenset(plan.wanted_modules()), frozenset(plan.wanted_drivers()) - {"special_disk"})
    plan.check(content, {"special_disk"})
    with pytest.raises(StageError, match="lacks the kernel driver special_disk"):
        plan.check(content, set())


def test_missing_program_fails_with_its_package() -> None:
    plan = DracutPlan(LiveFeatures(persistence=Persistence(filesystem="btrfs")))
    programs = frozenset({"sfdisk", "partx", "mkfs.ext4", "e2fsck"})
    content = InitrdContent(frozenset(plan.wanted_modules()), frozenset(plan.wanted_drivers()), programs)
    with pytest.raises(StageError, match=r"lacks mkfs\.btrfs.*Add btrfs-progs"):
        plan.check(content, set())
    plan.check(dataclasses.replace(content, programs=programs | {"mkfs.btrfs"}), set())


@pytest.mark.parametrize(
    ("features", "parts"),
    [
        (LiveFeatures(), ""),
        (LiveFeatures(persistence=Persistence(filesystem="ext4")), ""),
        (LiveFeatures(persistence=Persistence(filesystem="xfs", encrypted=True)), "xfs crypt"),
        (LiveFeatures(network_boot=("aoe", "http")), "aoe http"),
        (LiveFeatures(filesystem="ext4", overlay_type="device-mapper"), "device-mapper"),
    ],
)
def test_only_declared_parts_are_configured(features: LiveFeatures, parts: str) -> None:
    assert DracutPlan(features).configuration().splitlines()[0] == f'live_overlay_parts="{parts}"'


def test_what_changes_only_the_command_line_makes_no_new_initrd() -> None:
    plain = DracutPlan(LiveFeatures(persistence=Persistence()))
    other = DracutPlan(LiveFeatures(persistence=Persistence(size=900, mode="file"), ram=True, overlay_size="40%"))
    assert plain.inputs() == other.inputs()
    assert DracutPlan(LiveFeatures(persistence=Persistence(filesystem="xfs"))).inputs() != plain.inputs()


def test_another_mended_fault_makes_a_new_initrd(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an update of this collection, say; but only where faults of dracut's own module are mended."""
    theirs, ours = DracutPlan(LiveFeatures(flags="dmsquash")), DracutPlan(LiveFeatures())
    before = theirs.inputs(), ours.inputs()
    monkeypatch.setattr(dmsquash, "REPAIRS", dmsquash.REPAIRS[1:])
    assert theirs.inputs() != before[0]
    assert ours.inputs() == before[1]

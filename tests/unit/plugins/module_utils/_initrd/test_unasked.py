# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import subprocess

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._initrd.dracut import DracutPlan
from ansible_collections.liveforge.images.plugins.module_utils._initrd.unasked import (
    configuration,
    unasked_drivers,
    unasked_modules,
)
from ansible_collections.liveforge.images.plugins.module_utils._live.features import LiveFeatures, Persistence

ENCRYPTED = Persistence(encrypted=True)
PREPARED = Persistence(mode="device", device="LABEL=DATA")


@pytest.mark.parametrize(
    ("features", "left_out", "kept"),
    [
        (LiveFeatures(), {"network", "nfs", "lvm", "mdraid", "crypt", "dm"}, set()),
        (LiveFeatures(persistence=Persistence()), {"network", "lvm", "crypt", "dm"}, set()),
        (LiveFeatures(network_boot=("aoe",)), {"lvm", "crypt", "dm"}, {"network", "kernel-network-modules"}),
        (LiveFeatures(filesystem="ext4", overlay_type="device-mapper"), {"network", "lvm", "crypt"}, {"dm"}),
        (LiveFeatures(persistence=ENCRYPTED), {"network", "lvm"}, {"dm", "crypt"}),
        (LiveFeatures(persistence=PREPARED), {"network"}, {"dm", "lvm", "mdraid", "crypt"}),
        (LiveFeatures("dmsquash"), {"network", "lvm", "crypt"}, {"dm"}),
        (LiveFeatures("dmsquash", network_boot=("nfs",)), {"lvm", "crypt"}, {"dm", "network", "nfs"}),
    ],
)
def test_what_no_feature_needs_is_left_out(features: LiveFeatures, left_out: set[str], kept: set[str]) -> None:
    found = set(unasked_modules(features))
    assert left_out <= found
    assert not kept & found


@pytest.mark.parametrize(
    ("features", "left_out"),
    [
        (LiveFeatures(), True),
        (LiveFeatures("dmsquash", persistence=Persistence()), True),
        (LiveFeatures(network_boot=("http",)), False),
        (LiveFeatures(persistence=PREPARED), False),
    ],
)
def test_file_systems_of_a_network_are_left_out_of_an_initrd_without_one(
    features: LiveFeatures, left_out: bool
) -> None:
    assert ("ocfs2" in unasked_drivers(features)) == left_out
    assert ("omit_drivers" in DracutPlan(features).configuration()) == left_out


@pytest.mark.parametrize("plan", [{"modules": ("plymouth",)}, {"brings_modules": True}])
def test_nothing_is_left_out_when_modules_are_asked_for(plan: dict[str, object]) -> None:
    assert DracutPlan(LiveFeatures(), **plan).unasked_modules() == []  # type: ignore[arg-type]
    assert "omit_" not in DracutPlan(LiveFeatures(), **plan).configuration()  # type: ignore[arg-type]


def test_no_driver_is_left_out_when_one_is_asked_for() -> None:
    """It may need one of them: md_cluster needs dlm."""
    plan = DracutPlan(LiveFeatures(), drivers=("md_cluster",))
    assert "omit_drivers" not in plan.configuration()
    assert "omit_dracutmodules" in plan.configuration()
    assert plan.inputs()["unasked"] != DracutPlan(LiveFeatures()).inputs()["unasked"]


def test_another_choice_makes_a_new_initrd() -> None:
    """Although the words of the initrd's own parts are the same."""
    file, prepared = (DracutPlan(LiveFeatures(persistence=store)) for store in (Persistence(mode="file"), PREPARED))
    assert file.inputs() != prepared.inputs()


@pytest.mark.parametrize(
    ("of_the_image", "modules", "drivers"),
    [
        ("", ["lvm", "dm"], ["gfs2", "dlm"]),
        ('omit_dracutmodules+=" site " omit_drivers+=" nouveau "', ["site", "lvm", "dm"], ["nouveau", "gfs2", "dlm"]),
        # What Debian 12's package dracut-network asks for, twice.
        ('add_dracutmodules+=" ifcfg ifcfg "', ["lvm", "dm"], ["gfs2", "dlm"]),
        ("dracutmodules=auto", ["lvm", "dm"], ["gfs2", "dlm"]),
        ('add_dracutmodules+=" ifcfg clevis "', [], []),
        ('force_add_dracutmodules+=" clevis "', [], []),
        ('dracutmodules="base lvm"', [], []),
        ('add_drivers+=" md-cluster "', ["lvm", "dm"], []),
        ('force_drivers+=" gfs2 "', ["lvm", "dm"], []),
        ('drivers="=fs/gfs2"', ["lvm", "dm"], []),
        ('filesystems+=" gfs2 "', ["lvm", "dm"], []),
    ],
)
def test_the_configuration_of_the_image_can_ask_for_them(
    of_the_image: str, modules: list[str], drivers: list[str]
) -> None:
    settings = (
        "dracutmodules add_dracutmodules force_add_dracutmodules omit_dracutmodules "
        "drivers add_drivers force_drivers omit_drivers filesystems"
    )
    lines = [f"{name}=" for name in settings.split()]
    lines += [of_the_image, configuration(("lvm", "dm"), ("gfs2", "dlm"), ("ifcfg", "btrfs"))]
    lines += ["echo $omit_dracutmodules; echo $omit_drivers"]
    done = subprocess.run(["bash", "-euc", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()] == [modules, drivers]


@pytest.mark.parametrize(
    ("content", "left_out"),
    [
        ("# gfs2\nloop\n", "net_9p dlm"),
        ("# Folders of the host.\n net-9p \n", ""),
        ("loop\ndlm", ""),
    ],
)
def test_a_driver_that_a_package_has_loaded_at_each_boot_is_asked_for(
    tmp_path: pathlib.Path, content: str, left_out: str
) -> None:
    folder = tmp_path / "usr/lib/modules-load.d"
    folder.mkdir(parents=True)
    (folder / "some.conf").write_text(content)
    lines = [
        f"dracutsysrootdir={tmp_path}",
        configuration(("lvm",), ("net_9p", "dlm"), ("ifcfg",)),
        "echo $omit_drivers",
    ]
    done = subprocess.run(["bash", "-ec", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == left_out


def test_nothing_is_said_when_nothing_is_left_out() -> None:
    assert configuration((), (), ("ifcfg",)) == ""

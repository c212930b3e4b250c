# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._initrd.dracut import DracutPlan
from ansible_collections.liveforge.images.plugins.module_utils._initrd.unasked import configuration, unasked_modules
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


@pytest.mark.parametrize("plan", [{"modules": ("plymouth",)}, {"brings_modules": True}])
def test_nothing_is_left_out_when_modules_are_asked_for(plan: dict[str, object]) -> None:
    assert DracutPlan(LiveFeatures(), **plan).unasked() == []  # type: ignore[arg-type]
    assert "omit_dracutmodules" not in DracutPlan(LiveFeatures(), **plan).configuration()  # type: ignore[arg-type]


def test_another_choice_makes_a_new_initrd() -> None:
    """Although the words of the initrd's own parts are the same."""
    file, prepared = (DracutPlan(LiveFeatures(persistence=store)) for store in (Persistence(mode="file"), PREPARED))
    assert file.inputs() != prepared.inputs()


@pytest.mark.parametrize(
    ("of_the_image", "omitted"),
    [
        ("", ["lvm", "dm"]),
        ('omit_dracutmodules+=" site "', ["site", "lvm", "dm"]),
        # What Debian 12's package dracut-network asks for, twice.
        ('add_dracutmodules+=" ifcfg ifcfg "', ["lvm", "dm"]),
        ("dracutmodules=auto", ["lvm", "dm"]),
        ('add_dracutmodules+=" ifcfg clevis "', []),
        ('force_add_dracutmodules+=" clevis "', []),
        ('dracutmodules="base lvm"', []),
    ],
)
def test_the_configuration_of_the_image_can_ask_for_modules(of_the_image: str, omitted: list[str]) -> None:
    script = f"{of_the_image}\n{configuration(('lvm', 'dm'), ('ifcfg', 'btrfs'))}\necho $omit_dracutmodules"
    done = subprocess.run(
        ["bash", "-euc", f"dracutmodules= add_dracutmodules= force_add_dracutmodules= omit_dracutmodules=\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == omitted


def test_nothing_is_said_when_nothing_is_left_out() -> None:
    assert configuration((), ("ifcfg",)) == ""

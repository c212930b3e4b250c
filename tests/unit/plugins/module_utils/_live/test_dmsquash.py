# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the distributions' dmsquash-live is known to need, to refuse, and to have wrong."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._live import dmsquash
from ansible_collections.liveforge.images.plugins.module_utils._live.features import LiveFeatures, Persistence

NO_PROMPT = "rd.live.overlay.nouserconfirmprompt"


def features(**options: t.Any) -> LiveFeatures:
    return LiveFeatures(flags="dmsquash", **options)


@pytest.mark.parametrize(
    ("network_boot", "version", "expected"),
    [
        (("http",), 59, {"dmsquash-live", "network", "network-legacy", "livenet"}),
        (("http",), 106, {"dmsquash-live", "network", "livenet"}),
        (("http",), None, {"dmsquash-live", "network", "livenet"}),
        (("nfs",), 112, {"dmsquash-live", "network", "livenet", "nfs"}),
        (("aoe",), 59, {"dmsquash-live", "network", "network-legacy"}),
        ((), 59, {"dmsquash-live"}),
    ],
)
def test_network_boot_takes_the_modules_of_each_version(
    network_boot: tuple[str, ...], version: int | None, expected: set[str]
) -> None:
    assert set(dmsquash.dracut_modules(features(network_boot=network_boot), version)) == expected


def test_packages_of_bookworm_include_what_its_network_module_runs() -> None:
    needed = {"isc-dhcp-client", "procps", "iputils-arping", "dracut-network", "curl"}
    assert needed <= dmsquash.packages(features(network_boot=("http",)), "bookworm")
    assert "isc-dhcp-client" not in dmsquash.packages(features(network_boot=("http",)), "trixie")


def test_sid_has_no_package_dracut_live() -> None:
    assert "dracut-live" in dmsquash.packages(features(), "trixie")
    assert "dracut-live" not in dmsquash.packages(features(), "sid")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"overlay_type": "device-mapper"}, "squashfs"),
        ({"overlay_type": "device-mapper", "filesystem": "ext4", "persistence": Persistence()}, "persistence"),
        ({"persistence": Persistence(encrypted=True)}, "luks2"),
        ({"persistence": Persistence("device", "LABEL=X:/y", encrypted=True)}, "UUID="),
        ({"persistence": Persistence("device", "UUID=1-2", encrypted=True, key="/x")}, "persistence.key"),
        ({"persistence": Persistence(mode="file")}, "persistence file"),
        ({"persistence": Persistence(sparse=True)}, "persistence file"),
        ({"persistence": Persistence(size=500)}, "persistence.size"),
        ({"overlay_size": "1024"}, "overlay_size"),
        ({"overlay_type": "device-mapper", "filesystem": "ext4", "overlay_size": "40%"}, "40%"),
    ],
)
def test_refuses_what_cannot_work(options: dict[str, t.Any], word: str) -> None:
    (problem,) = dmsquash.problems(features(**options))
    assert word in problem


def test_accepts_what_can_work() -> None:
    all_features = features(
        filesystem="ext4", persistence=Persistence(filesystem="xfs"), network_boot=("aoe", "http", "nfs"), ram=True
    )
    assert not list(dmsquash.problems(all_features))
    changes_in_a_file = Persistence("device", "LABEL=DATA:/changes")
    assert not list(
        dmsquash.problems(features(filesystem="ext4", overlay_type="device-mapper", persistence=changes_in_a_file))
    )
    assert not list(
        dmsquash.problems(features(filesystem="ext4", overlay_type="device-mapper", overlay_size="1024", ram=True))
    )


def test_prepared_store_needs_neither_autooverlay_nor_its_partition_table() -> None:
    plain = features(persistence=Persistence("device", "LABEL=DATA:/live"))
    locked = features(persistence=Persistence("device", "UUID=1-2:/live", encrypted=True))
    assert not dmsquash.needs_msdos_table(plain)
    assert set(dmsquash.dracut_modules(plain, 59)) == {"dmsquash-live"}
    assert set(dmsquash.dracut_modules(locked, 59)) == {"dmsquash-live", "crypt"}
    assert "systemd-cryptsetup" in dmsquash.packages(locked, "trixie")
    assert "systemd-cryptsetup" not in dmsquash.packages(locked, "bookworm")
    assert dmsquash.kernel_words(plain, "unused")[-2:] == ["rd.live.overlay=/dev/disk/by-label/DATA:/live", NO_PROMPT]
    assert dmsquash.kernel_words(locked, "unused")[-4:] == [
        "rd.luks.name=1-2=livestore",
        "rd.luks.options=x-systemd.device-timeout=30",
        "rd.live.overlay=/dev/mapper/livestore:/live",
        NO_PROMPT,
    ]


def test_warns_that_the_check_fails_once_something_was_kept() -> None:
    assert list(dmsquash.warnings(features(mediacheck=True, persistence=Persistence())))
    assert not list(dmsquash.warnings(features(mediacheck=True)))


def files_of(version: int, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """A folder of dracut modules in which every fault of that version is."""
    found: dict[str, pathlib.Path] = {}
    for fault in dmsquash.REPAIRS:
        if version <= fault.last:
            path = folder / f"modules.d/90{fault.module}" / fault.file
            path.parent.mkdir(parents=True, exist_ok=True)
            found[fault.file] = path
            with path.open("a") as stream:
                stream.write(f"before\n{fault.old}\nafter\n")
    return found


@pytest.mark.parametrize(("version", "number"), [(59, 10), (106, 8), (112, 7), (113, 0)])
def test_mends_the_faults_of_a_version_only(version: int, number: int, tmp_path: pathlib.Path) -> None:
    files = files_of(version, tmp_path)
    assert len(dmsquash.repair(str(tmp_path), version)) == number
    for fault in dmsquash.REPAIRS:
        if version <= fault.last:
            assert fault.new in files[fault.file].read_text()


def test_modules_that_the_image_does_not_have_are_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "modules.d").mkdir()
    assert dmsquash.repair(str(tmp_path), 59) == []


def test_what_a_distribution_has_corrected_is_left_alone(tmp_path: pathlib.Path) -> None:
    files = files_of(59, tmp_path)
    files["ifup.sh"].write_text("corrected\n")
    assert len(dmsquash.repair(str(tmp_path), 59)) == 9
    assert files["ifup.sh"].read_text() == "corrected\n"

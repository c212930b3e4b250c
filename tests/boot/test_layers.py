# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that are a layer on a shared base, looked at from inside the booted guest."""

from __future__ import annotations

import functools
import pathlib
import re
import typing as t

import pytest

import playbook
from boot import network_servers, variants
from boot.feature_images import FALLBACK, HEALTH, STATUS, FeatureImage, status, stick_with_file

# What the layer did to the base: changed, deleted, replaced a folder, added a file and a package.
LOOK = (
    "cat /etc/changed; cat /etc/of-the-base; ls -d /etc/deleted; ls /etc/replaced; ls /etc/merged; tree --version;"
    " ls /usr/share/doc/hostname"
)
BASE: dict[str, t.Any] = {
    "workspace": str(variants.WORKSPACE),
    "compression": "fast",
    "packages": ["sudo"],
    "users": [{"name": "live", "password": playbook.PASSWORD_HASH}],
    "files": [
        {"dest": "/etc/sudoers.d/live", "content": "live ALL=(ALL) NOPASSWD: ALL\n", "mode": "0440"},
        *(
            {"dest": f"/etc/{name}", "content": "of the base\n"}
            for name in ("changed", "of-the-base", "deleted", "replaced/old", "merged/old")
        ),
    ],
}
# Debian 12 has dracut 059, 13 has 106.
_RELEASES: dict[str, dict[str, t.Any]] = {
    "bookworm": {"release": "bookworm"},
    "trixie": {"release": "trixie"},
    "sid": variants.SID,
}
_LAYERS: dict[str, dict[str, t.Any]] = {
    "features": {"network_boot": ["http", "aoe"], "mediacheck": True},
    "trixie": {},
    "sid": {},
    "without-systemd": {"initrd_omit_modules": ["systemd", "systemd-initrd", "dracut-systemd", "systemd-sysusers"]},
}


@functools.cache
def build(name: str) -> FeatureImage:
    """The image of that name on the base, built or taken from an earlier run of the tests."""
    release = name if name in _RELEASES else "bookworm"
    base = {**BASE, "name": f"layers-base-{release}", **_RELEASES[release]}
    declaration = {
        "name": f"layers-{name}",
        "base": base["name"],
        "workspace": str(variants.WORKSPACE),
        "hostname": "layers",
        "packages": ["tree"],
        "files": [
            {"dest": "/etc/changed", "content": "of the layer\n"},
            {"dest": "/etc/merged/new", "content": "of the layer\n"},
        ],
        "scripts": [
            {
                "content": "rm -r /etc/deleted /etc/replaced /usr/share/doc/hostname\n"
                "mkdir /etc/replaced\n"
                "touch /etc/replaced/new\n"
            }
        ],
        "compression": "fast",
        **_LAYERS[name],
    }
    folder = variants.WORKSPACE / f"layers-{name}.run"
    folder.mkdir(parents=True, exist_ok=True)
    run = playbook.build([declaration], folder, bases=[base])
    if run.status != 0:
        raise RuntimeError(f"{name} could not be built:\n{run.output[-6000:]}")
    iso = pathlib.Path(run.results[0]["path"])
    return FeatureImage(iso, iso.parent, run.results[0]["volid"])


@pytest.fixture(scope="module")
def image() -> FeatureImage:
    return build("features")


def parameters(image: FeatureImage) -> str:
    return f"{image.root} rd.live.layers=base.img"


def assert_stacked(said: str) -> None:
    """The root is what the layer made of the base."""
    lines = said.splitlines()
    assert lines[:2] == ["of the layer", "of the base"]
    assert "cannot access '/etc/deleted': No such file or directory" in lines[2]
    # The folder that was replaced has nothing of the base, the one that was not has both.
    assert lines[3] == "new"
    assert set(" ".join(lines[4:6]).split()) == {"new", "old"}
    assert "tree v" in said
    assert "cannot access '/usr/share/doc/hostname'" in said


def test_layers_are_one_root(image: FeatureImage, tmp_path: pathlib.Path) -> None:
    """From the ISO's own menu: what the layer changed, deleted and added; it can be written to; the medium is whole."""
    result = image.boot(
        tmp_path,
        f"{parameters(image)} mediacheck=1",
        [LOOK + " 2>&1", STATUS, "findmnt -no FSTYPE /; ls /run/overlay/rootfsbase/etc/merged", HEALTH],
    )
    said = result["said"]
    assert_stacked(said[0])
    found = status(said[1])
    assert found["layers"] == "squashfs.img,base.img"
    assert found["overlay"] == "temporary"
    assert found["mediacheck"] == "passed"
    assert said[2].split() == ["overlay", "new", "old"]
    assert said[3] == "running"
    assert result["powered_off"]
    # The menu says the same as this test.
    menu = playbook.module("live_iso_info", {"path": str(image.iso)}, tmp_path)["iso"]["menu"]
    assert all("rd.live.layers=base.img" in entry["kernel_command_line"] for entry in menu if entry["kernel"])


@pytest.mark.full
def test_layers_in_memory(image: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.ram`: all layers are copied, and the medium is not needed any more."""
    result = image.boot(
        tmp_path,
        f"{parameters(image)} rd.live.ram",
        [LOOK + " 2>&1", STATUS, "ls /run/overlay/memory; findmnt -no TARGET /run/overlay/live", HEALTH],
    )
    assert_stacked(result["said"][0])
    assert status(result["said"][1])["memory"] == "yes"
    assert result["said"][2].split() == ["layer1.img", "squashfs.img"]
    assert result["said"][3] == "running"
    assert "Copying base.img to memory: 100 %" in result["console"]


@pytest.mark.full
def test_layers_with_persistence(image: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.overlay.persistent`: what was written over files of either layer, and deleted, stays so."""
    disk = image.copy_to_disk(tmp_path / "disk.img", 1024)
    line = f"{parameters(image)} rd.live.overlay.persistent"
    change = "echo kept | sudo tee /etc/changed /etc/of-the-base; sudo rm /etc/merged/old /etc/merged/new; sync"
    first = image.boot(tmp_path, line, [STATUS, change], image=disk, media="disk", cut=True)
    assert status(first["said"][0])["overlay"] == "persistent"
    look = "cat /etc/changed /etc/of-the-base; ls /etc/merged /etc/replaced"
    again = image.boot(tmp_path, line, [look, STATUS, HEALTH], image=disk, media="disk")
    assert again["said"][0].split() == ["kept", "kept", "/etc/merged:", "/etc/replaced:", "new"]
    assert again["said"][2] == "running"
    readonly = image.boot(tmp_path, f"{line} rd.live.overlay.readonly", [look, STATUS], image=disk, media="disk")
    assert readonly["said"][0].split()[:2] == ["kept", "kept"]
    assert status(readonly["said"][1])["overlay"] == "readonly"


@pytest.mark.full
def test_missing_layer_is_named(image: FeatureImage, tmp_path: pathlib.Path) -> None:
    """A layer that is not on the medium stops the boot, and the console says which; a bad name, too."""
    for name, message in (("other.img", "has no LiveOS/other.img (rd.live.layers)"), ("a/b", "without a folder")):
        result = image.boot(
            tmp_path,
            f"{image.root} rd.live.layers={name}",
            login=None,
            cut=True,
            fail_patterns=["login: "],
            expect=[{"name": "reason", "pattern": re.escape(message)}],
        )
        assert message in result["console"]


@pytest.mark.full
def test_layers_from_a_web_server(image: FeatureImage, tmp_path: pathlib.Path) -> None:
    """The ISO by HTTP has its layers; a squashfs alone has none, and the console says so."""
    with network_servers.http(image.folder) as url:
        line = f"root=live:{url}/{image.iso.name} rd.live.layers=base.img"
        said = image.boot(tmp_path, line, [LOOK + " 2>&1", HEALTH], network="user")["said"]
        image.boot(
            tmp_path,
            f"root=live:{url}/squashfs.img rd.live.layers=base.img",
            login=None,
            cut=True,
            network="user",
            fail_patterns=["login: "],
            expect=[{"name": "reason", "pattern": "is a squashfs alone, with no layers beside it"}],
        )
    assert_stacked(said[0])
    assert said[1] == "running"


@pytest.mark.full
def test_snapshot_of_layers_falls_back(image: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.overlay.overlayfs=0` cannot work with layers; the system starts with overlayfs and says why."""
    said = image.boot(tmp_path, f"{parameters(image)} rd.live.overlay.overlayfs=0", [LOOK + " 2>&1", FALLBACK, HEALTH])[
        "said"
    ]
    assert_stacked(said[0])
    assert "this root has layers" in said[1]
    assert said[2] == "running"


@pytest.mark.full
def test_layers_without_systemd(tmp_path: pathlib.Path) -> None:
    """An initrd without systemd stacks them as well."""
    image = build("without-systemd")
    said = image.boot(tmp_path, parameters(image), [LOOK + " 2>&1", HEALTH])["said"]
    assert_stacked(said[0])
    assert said[1] == "running"


@pytest.mark.full
@pytest.mark.parametrize("release", ["trixie", "sid"])
def test_layers_with_newer_dracut(release: str, tmp_path: pathlib.Path) -> None:
    image = build(release)
    said = image.boot(tmp_path, parameters(image), [LOOK + " 2>&1", STATUS, HEALTH])["said"]
    assert_stacked(said[0])
    assert status(said[1])["layers"] == "squashfs.img,base.img"
    assert said[2] == "running"


@pytest.mark.full
def test_layers_in_an_iso_file_on_a_stick(image: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`iso-scan/filename=`: the layers are those on the ISO in the file."""
    stick = stick_with_file(image, tmp_path / "stick.img", "vfat", 1100)
    line = f"iso-scan/filename=/isos/live.iso {parameters(image)}"
    said = image.boot(tmp_path, line, [LOOK + " 2>&1", STATUS, HEALTH], image=stick, media="usb")["said"]
    assert_stacked(said[0])
    assert status(said[1])["layers"] == "squashfs.img,base.img"
    assert said[2] == "running"


@pytest.mark.full
def test_layers_over_ata_over_ethernet(image: FeatureImage, tmp_path: pathlib.Path) -> None:
    with network_servers.aoe(image.iso) as target:
        line = f"root=live:AOEINTERFACE={target.name} rd.live.layers=base.img"
        said = image.boot(tmp_path, line, [LOOK + " 2>&1", STATUS, HEALTH], qemu_args=target.qemu_args)["said"]
    assert_stacked(said[0])
    assert status(said[1])["medium"].startswith(f"/dev/etherd/{target.name}")
    assert said[2] == "running"

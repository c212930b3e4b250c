# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that name a base: what the base decides, and what is refused before anything is built."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.plugin_utils._image_spec import ImageSpec

BASE = {
    "name": "debian12",
    "release": "bookworm",
    "packages": ["openssh-server", "sudo"],
    "repositories": [{"uri": "http://mirror.example/debian", "suite": "bookworm", "trusted": True}],
}


def spec(bases: list[t.Any] | None = None, **options: t.Any) -> ImageSpec:
    declared = [BASE] if bases is None else bases
    return ImageSpec({"name": "kiosk", "base": "debian12", "bases": declared, **options}, lambda source: source)


def test_stages_are_told_of_the_base() -> None:
    result = spec(packages=["chromium", "sudo"]).result()
    tree, packed = "/var/lib/liveforge/debian12/rootfs", "/var/lib/liveforge/debian12/squashfs.img"
    assert result["base"]["rootfs"]["dest"] == tree
    assert result["base"]["squashfs"]["dest"] == packed
    assert result["base"]["squashfs"]["root"] == tree
    assert result["rootfs"]["base"] == result["dracut"]["base"] == result["result"]["base"] == tree
    assert result["iso"]["base"] == packed
    assert result["squashfs"]["layer"] is True
    # Kernel and dracut are in the base, and sudo, too.
    assert result["rootfs"]["packages"] == ["chromium"]
    assert "linux-image-amd64" in result["base"]["rootfs"]["packages"]


def test_base_decides_where_packages_come_from() -> None:
    options = spec().result()["rootfs"]
    assert options["release"] == "bookworm"
    assert options["repositories"][0]["uri"] == "http://mirror.example/debian"


def test_base_lies_in_the_workspace_of_the_image_unless_it_has_its_own() -> None:
    assert spec(workspace="/srv/live").result()["base"]["rootfs"]["dest"] == "/srv/live/debian12/rootfs"
    shared = [{**BASE, "workspace": "/srv/bases"}]
    result = spec(shared, workspace="/srv/live").result()
    assert result["rootfs"]["base"] == "/srv/bases/debian12/rootfs"


def test_further_features_add_their_packages_to_the_layer() -> None:
    assert "cryptsetup-bin" in spec(persistence={"encryption": "luks2"}).result()["rootfs"]["packages"]


def test_defaults_of_the_playbook_hold_for_image_and_base() -> None:
    options = {"name": "kiosk", "base": "debian12", "bases": [BASE], "workspace": None}
    defaults = {"workspace": "/srv/live", "cache": "/srv/cache"}
    result = ImageSpec(options, lambda source: source, defaults=defaults).result()
    for tree, folder in ((result["rootfs"], "kiosk"), (result["base"]["rootfs"], "debian12")):
        assert (tree["dest"], tree["cache"]) == (f"/srv/live/{folder}/rootfs", "/srv/cache")
    declared = {**options, "workspace": "/srv/here", "bases": [{**BASE, "cache": "/srv/other"}]}
    result = ImageSpec(declared, lambda source: source, defaults=defaults).result()
    assert result["base"]["rootfs"]["dest"] == "/srv/here/debian12/rootfs"
    assert (result["rootfs"]["cache"], result["base"]["rootfs"]["cache"]) == ("/srv/cache", "/srv/other")


def test_same_value_as_the_base_is_no_conflict() -> None:
    assert spec(release="bookworm").result()["rootfs"]["release"] == "bookworm"


def test_edit_boot_config_gets_the_whole_tree() -> None:
    assert "base_root" not in spec().result()["iso"]
    iso = spec(edit_boot_config={"content": "true\n"}).result()["iso"]
    assert iso["base_root"] == "/var/lib/liveforge/debian12/rootfs"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"release": "trixie"}, r"release: the base debian12 decides .*\(bookworm\).* \(release, base\)"),
        ({"mirror": "http://other.example"}, "mirror: the base debian12 decides"),
        ({"variant": "standard"}, "variant: the base debian12 decides"),
        ({"exclude": ["usr/share/doc/*"]}, "exclude: the base debian12 decides"),
        ({"repositories": []}, "repositories: the base debian12 decides"),
        ({"base": "debian21"}, r"no base 'debian21' is declared in live_bases. Did you mean debian12\?"),
        ({"base": "fedora"}, "Declared are: debian12"),
        ({"name": "debian12"}, "the image debian12 has the name of its base"),
        ({"flags": "dmsquash"}, "base does not work with flags dmsquash"),
        ({"filesystem": "ext4"}, "filesystem ext4 is not possible|base does not work with filesystem ext4"),
        ({"filesystem": "erofs"}, "filesystem erofs is not possible|base does not work with filesystem erofs"),
        ({"overlay_type": "device-mapper"}, "overlay_type device-mapper does not work with base"),
        (
            {"archives": [{"src": "a.tar", "phase": "bootstrap"}]},
            "archives: phase bootstrap is over in the base",
        ),
        ({"bases": []}, "Declared are: none"),
        ({"bases": [BASE, BASE]}, "declares 2 bases with the name 'debian12'"),
        ({"bases": [{**BASE, "base": "other"}]}, "base debian12: a base cannot have a base itself"),
        ({"bases": [{**BASE, "kernelcmdline": "quiet"}]}, "kernelcmdline is no option of a base"),
        ({"bases": [{**BASE, "filesystem": "ext4"}]}, "filesystem is no option of a base"),
        ({"bases": [{**BASE, "package": []}]}, r"package is no option of a base.*Did you mean packages\?"),
        ({"bases": [{**BASE, "hostname": "-"}]}, "base debian12: hostname"),
        ({"bases": ["debian12"]}, r"live_bases\[0\]: a base must be a dictionary with a name"),
        ({"bases": [{"name": "debian12"}]}, "base debian12: missing required arguments: release"),
    ],
)
def test_what_cannot_work_is_refused_with_both_names(options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        spec(**options)

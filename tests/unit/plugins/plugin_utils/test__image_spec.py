# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The declaration of an image, checked as a whole on the controller."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import STAGE_ARGUMENTS
from ansible_collections.liveforge.images.plugins.plugin_utils import _image_spec
from ansible_collections.liveforge.images.plugins.plugin_utils._image_spec import ImageSpec, boot_packages

ROLE = pathlib.Path(__file__).resolve().parents[4] / "roles" / "live_image"


def spec(**options: t.Any) -> ImageSpec:
    return ImageSpec({"name": "rescue", "release": "bookworm", **options}, lambda source: source)


def test_defaults_make_a_whole_image() -> None:
    result = spec().result()
    assert result["outputs"]["iso"] == "/var/lib/liveforge/rescue/rescue.x86_64-1.0.0.iso"
    assert result["iso"]["volid"] == "rescue-1.0.0"
    assert result["iso"]["title"] == "rescue"
    assert {"linux-image-amd64", "dracut", "zstd"} <= set(result["rootfs"]["packages"])


def test_default_volume_id_fits() -> None:
    assert len(spec(name="a" * 60).result()["iso"]["volid"]) == 32


@pytest.mark.parametrize(
    ("options", "wanted", "unwanted"),
    [
        ({}, {"dracut"}, {"dracut-live", "isomd5sum", "parted"}),
        ({"flags": "dmsquash"}, {"dracut-live"}, set()),
        ({"flags": "dmsquash", "release": "sid"}, {"dracut"}, {"dracut-live"}),
        ({"mediacheck": True}, {"isomd5sum"}, set()),
        ({}, {"fdisk", "e2fsprogs"}, {"xfsprogs", "cryptsetup-bin", "curl", "dmsetup"}),
        ({"hybridpersistent": True, "hybridpersistent_filesystem": "xfs"}, {"xfsprogs"}, {"parted"}),
        ({"flags": "dmsquash", "hybridpersistent": True}, {"parted", "e2fsprogs"}, set()),
        ({"persistence": {"encryption": "luks2"}}, {"cryptsetup-bin"}, set()),
        ({"persistence": "partition"}, {"fdisk"}, set()),
        ({"network_boot": ["http"]}, {"curl", "dracut-network", "ca-certificates"}, set()),
    ],
)
def test_packages_follow_the_features(options: dict[str, t.Any], wanted: set[str], unwanted: set[str]) -> None:
    packages = set(boot_packages(spec(**options).options))
    assert wanted <= packages
    assert not unwanted & packages


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "rescue.x86_64-1.0.0"),
        ({"bundle_name": "My-Rescue_7"}, "My-Rescue_7"),
        ({"bundle_format": "%N-%v.%A-%T", "version": "2.3"}, "rescue-2.3.x86_64-iso"),
        ({"bundle_format": "%N-%M_%m_%p", "version": "2.3.4"}, "rescue-2_3_4"),
        (
            {"bundle_format": "%N-%P-Build%I", "bundle_id": "17", "kiwi_profile": {"kiwi_profiles": "a,b"}},
            "rescue-a_b-Build17",
        ),
    ],
)
def test_bundle_names(options: dict[str, t.Any], name: str) -> None:
    outputs = spec(**options).result()["outputs"]
    assert outputs["iso"] == f"/var/lib/liveforge/rescue/{name}.iso"
    assert outputs["result"] == f"/var/lib/liveforge/rescue/{name}.json"


def test_key_files_are_read_on_the_controller(tmp_path: pathlib.Path) -> None:
    key = tmp_path / "site.gpg"
    repository = {"uri": "http://example.org/debian", "suite": "x", "keys": [str(key)]}
    with pytest.raises(StageError, match=r"repositories\[0\]\.keys\[0\]: '.*site.gpg' was not found"):
        spec(repositories=[repository])
    key.write_bytes(b"no key")
    with pytest.raises(StageError, match=r"repositories\[0\]\.keys\[0\]: .* is no OpenPGP key file"):
        spec(repositories=[repository])
    key.write_bytes(bytes([0x99, 0, 1, 4]))
    assert spec(repositories=[repository]).result()["rootfs"]["repositories"][0]["keys"] == [str(key)]


def test_unsigned_repositories_are_warned_about() -> None:
    repository = {"uri": "http://example.org/debian", "suite": "x", "trusted": True}
    assert [line.split(" ")[0] for line in spec(repositories=[repository]).warnings()] == ["repositories[0]"]


def test_renamed_options_reach_their_stage() -> None:
    result = spec(initrd_modules=["site"], initrd_compression="xz", compression="small", displayname="Title").result()
    assert result["dracut"]["modules"] == ["site"]
    assert result["dracut"]["compression"] == "xz"
    assert result["squashfs"]["compression"] == "small"
    assert result["iso"]["title"] == "Title"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flag": "overlay"}, "flag: an image has no such option. Did you mean flags?"),
        ({"flags": "clic"}, "value of flags must be one of"),
        ({"filesystem": "zfs"}, "value of filesystem must be one of"),
        ({"release": None}, "release"),
        ({"version": "1/2"}, "version: '1/2' may only have"),
        ({"volid": "A" * 33}, "volid"),
        ({"volid": "ä"}, "volid"),
        ({"workspace": "relative"}, "workspace"),
        ({"flags": "dmsquash", "overlay_type": "device-mapper"}, "device-mapper"),
        ({"hostname": "a_b"}, "hostname: 'a_b' is not a host name"),
        ({"compression": "zstd"}, "value of compression must be one of"),
        ({"compression_level": 99}, "compression_level"),
        ({"initrd_compression_level": 99}, "initrd_compression_level: 99 is not a level of zstd"),
        ({"initrd_modules": ["dmsquash-live"]}, "initrd_modules: dmsquash-live is chosen by flags"),
        ({"initrd_omit_modules": ["live-overlay"]}, "initrd_omit_modules: live-overlay is needed"),
        ({"displayname": " ", "timeout": -2}, "displayname ' ' must be one line of text. timeout -2"),
        ({"kernelcmdline": "root=/dev/sda1"}, "root="),
        ({"kiwi_profile": {"a b": "c"}}, "kiwi_profile: 'a b' is not the name of a shell variable"),
        ({"packages_exclude": ["bash"], "packages": ["bash"]}, "bash is in packages and in packages_exclude"),
        ({"bundle_name": "a/b"}, "bundle_name: 'a/b' is no file name"),
        ({"bundle_name": "a", "bundle_format": "b"}, "bundle_name, bundle_format: give one of them"),
        ({"bundle_format": "%N-%X"}, "unknown placeholder %X"),
        ({"bundle_format": "%N-%I"}, "bundle_id is not given"),
        ({"bundle_format": "%N-%p", "version": "1.2"}, "version 1.2 has too few numbers"),
        ({"repositories": [{"uri": "http://x/", "suite": "x"}]}, "repositories[0]: give the keys that sign"),
        (
            {"repositories": [{"uri": "file:/x", "suite": "x", "trusted": True, "username": "u"}]},
            "repositories[0].username: only http:, https: and ftp:",
        ),
        (
            {"repositories": [{"uri": "http://x/", "suite": "x", "trusted": True, "username": "u", "password": "a b"}]},
            "repositories[0].password must not be empty or hold blanks",
        ),
        (
            {"repositories": [{"uri": "http://x/", "suite": "x", "trusted": True, "imageonly": True}]},
            "all of them are imageonly",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_name_of_the_option(options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(StageError) as caught:
        spec(**options)
    assert message in caught.value.message


@pytest.mark.parametrize("path", ["~/live", "$HOME/live", "/srv/${USER}/live", "live"])
@pytest.mark.parametrize("option", ["workspace", "cache", "cdroot", "repositories[0].keyring"])
def test_paths_of_the_build_host_are_not_expanded_on_the_controller(option: str, path: str) -> None:
    repository = {"uri": "http://x/", "suite": "x", "keyring": path}
    options = {"repositories": [repository]} if option.startswith("repositories") else {option: path}
    with pytest.raises(StageError) as caught:
        spec(**options)
    assert f"{option}: {path!r} must be an absolute path on the build host" in caught.value.message


def test_missing_source_is_refused() -> None:
    def find(source: str) -> str:
        raise FileNotFoundError(f"looked for {source}")

    with pytest.raises(StageError, match=r"overlays\[0\]\.src: tree was not found on the controller"):
        ImageSpec({"name": "x", "release": "bookworm", "overlays": [{"src": "tree"}]}, find)
    ImageSpec({"name": "x", "release": "bookworm", "overlays": [{"src": "/tree", "remote_src": True}]}, find)
    with pytest.raises(StageError) as caught:
        ImageSpec({"name": "x", "release": "bookworm", "lock": "x.lock.json"}, find)
    assert "lock.src: x.lock.json was not found on the controller. Give a path" in caught.value.message
    assert "The playbook liveforge.images.lock makes it." in caught.value.message
    # A lock is read on the controller.
    assert "remote_src" not in caught.value.message


def test_role_passes_every_option_of_every_stage_on() -> None:
    tasks = {next(key for key in task if key.startswith("liveforge.")).rpartition(".")[2]: task for task in _tasks()}
    for module in _image_spec._STAGES.values():
        name = module.__name__.rpartition(".")[2]
        passed = set(next(value for key, value in tasks[name].items() if key.endswith(name)))
        internal = {"progress_file", "controller_processes", "decide_only", "live_overlay_module", "kiwi_functions"}
        expected = (set(module.ARGUMENTS) | set(STAGE_ARGUMENTS)) - internal
        assert passed == expected, name


def test_role_documents_every_option() -> None:
    documented = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert {name.removeprefix("live_image_") for name in documented} == set(_image_spec.image_arguments())
    for name, argument in _image_spec.image_arguments().items():
        entry = documented[f"live_image_{name}"]
        assert entry["type"] == argument["type"], name
        assert entry.get("default") == argument.get("default"), name
        assert entry.get("choices") == argument.get("choices"), name


def _tasks() -> list[dict[str, t.Any]]:
    files = ("build.yml", "root_tree.yml", "squashfs.yml")
    tasks = [task for name in files for task in yaml.safe_load((ROLE / "tasks" / name).read_text())]
    return [task for task in tasks if any(key.startswith("liveforge.") for key in task)]


LOCK = {
    "schema": 1,
    "source_date_epoch": 1763200800,
    "declared": {
        "release": "bookworm",
        "architecture": "amd64",
        "variant": "minbase",
        "recommends": False,
        "packages": boot_packages(spec().options),
        "bootstrap_packages": [],
        "packages_exclude": [],
    },
    "repositories": {},
    "packages": {},
}


def locked(folder: pathlib.Path, **options: t.Any) -> ImageSpec:
    path = folder / "rescue.lock.json"
    path.write_text(json.dumps(LOCK))
    return spec(lock=str(path), **options)


def test_a_lock_gives_all_stages_its_date(tmp_path: pathlib.Path) -> None:
    result = locked(tmp_path).result()
    stages = ("rootfs", "dracut", "squashfs", "iso", "result")
    assert [result[stage]["source_date_epoch"] for stage in stages] == [1763200800] * 5
    assert result["rootfs"]["lock"] == {"src": str(tmp_path / "rescue.lock.json")}
    assert locked(tmp_path, source_date_epoch=7).result()["iso"]["source_date_epoch"] == 7


def test_an_image_that_adds_no_package_to_its_base_has_the_date_of_the_base(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rescue.lock.json"
    declared = {
        "on_a_base": True,
        "release": "bookworm",
        "architecture": "amd64",
        "recommends": False,
        "packages": [],
        "packages_exclude": [],
    }
    for date, taken in ((None, 5), (7, 7)):
        path.write_text(json.dumps({**LOCK, "declared": declared, "source_date_epoch": date}))
        base = {"name": "below", "release": "bookworm", "source_date_epoch": 5}
        result = spec(lock=str(path), base="below", bases=[base], packages=[]).result()
        assert result["rootfs"]["source_date_epoch"] == result["iso"]["source_date_epoch"] == taken


def test_a_lock_for_other_packages_is_refused_before_anything_is_changed(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StageError) as refused:
        locked(tmp_path, packages=["htop"])
    assert "lock: it was made for another declaration: packages (+htop). Renew it" in refused.value.message


@pytest.mark.parametrize(
    ("lock", "message"),
    [
        ({}, "lock: give either content or src."),
        ({"content": "x", "src": "y"}, "lock"),
        ({"content": "x"}, "lock: the file is no lock of live_lock"),
        (["x"], "lock: ['x'] is neither a path on the controller nor a dictionary with src or content."),
        ({"src": "/x", "remote_src": True}, "lock.remote_src: a lock is read on the controller."),
    ],
)
def test_what_is_no_lock_is_refused(lock: t.Any, message: str) -> None:
    with pytest.raises(StageError) as refused:
        spec(lock=lock)
    assert message in refused.value.message


def test_a_missing_lock_says_how_to_make_it(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StageError) as refused:
        spec(lock=str(tmp_path / "none.lock.json"))
    assert "lock.src: " in refused.value.message
    assert "The playbook liveforge.images.lock makes it." in refused.value.message

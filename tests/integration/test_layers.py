# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two images on one base, from declaration to ISO: what is shared, what runs again, and what is refused."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import typing as t

import pytest

import playbook
from ansible_collections.liveforge.images.plugins.module_utils._digest import tree_state
from web_server import QuietHandler, serve

STAGES = {"rootfs", "dracut", "squashfs", "iso", "result"}


@pytest.fixture(scope="module")
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("layers-test") as folder:
        (folder / "overlay/etc").mkdir(parents=True)
        (folder / "overlay/etc/greeting").write_text("hello\n")
        yield folder


@pytest.fixture(scope="module")
def base(workspace: pathlib.Path) -> dict[str, t.Any]:
    return {
        "name": "base",
        "release": "bookworm",
        "workspace": str(workspace),
        "compression": "fast",
        "packages": ["less"],
        "users": [{"name": "live", "password": playbook.PASSWORD_HASH}],
        "files": [{"dest": "/etc/of-the-base", "content": "base\n"}],
    }


@pytest.fixture(scope="module")
def images(workspace: pathlib.Path) -> list[dict[str, t.Any]]:
    common = {"base": "base", "workspace": str(workspace), "compression": "fast"}
    return [
        {
            **common,
            "name": "one",
            "packages": ["tree"],
            "overlays": [{"src": str(workspace / "overlay")}],
            "scripts": [{"content": "rm /etc/of-the-base\n"}],
        },
        {**common, "name": "two", "hostname": "two", "packages_remove": ["less"]},
    ]


@pytest.fixture(scope="module")
def first(workspace: pathlib.Path, base: dict[str, t.Any], images: list[dict[str, t.Any]]) -> playbook.Run:
    run = playbook.build(images, workspace, bases=[base])
    assert run.status == 0, run.output[-4000:]
    return run


def built(result: dict[str, t.Any]) -> set[str]:
    return {name for name, stage in result["stages"].items() if stage["changed"]}


def listing(image: pathlib.Path) -> dict[str, str]:
    """Type and numbers of every entry of a squashfs, by its path."""
    lines = subprocess.run(["unsquashfs", "-lls", str(image)], check=True, capture_output=True, text=True).stdout
    return {line.partition("squashfs-root")[2]: line for line in lines.splitlines() if "squashfs-root" in line}


def test_base_is_built_once_for_both(first: playbook.Run, workspace: pathlib.Path) -> None:
    one, two = first.results
    assert built(one) == STAGES | {"base_rootfs", "base_squashfs"}
    assert built(two) == STAGES
    whole = (workspace / "base/squashfs.img").stat().st_size
    for name in ("one", "two"):
        assert (workspace / name / "squashfs.img").stat().st_size < whole / 50


def test_layer_holds_what_the_image_changed_and_nothing_else(first: playbook.Run, workspace: pathlib.Path) -> None:
    found = listing(workspace / "one/squashfs.img")
    assert found["/etc/greeting"].startswith("-")
    assert found["/usr/bin/tree"].startswith("-")
    # Gone: overlayfs's white-out, with the numbers 0 and 0.
    assert found["/etc/of-the-base"].startswith("c---------")
    assert " 0,  0 " in found["/etc/of-the-base"] or " 0, 0 " in found["/etc/of-the-base"]
    for untouched in ("/etc/machine-id", "/etc/apt", "/boot", "/usr/lib", "/etc/systemd"):
        assert untouched not in found
    assert listing(workspace / "two/squashfs.img")["/usr/bin/less"].startswith("c")


def test_iso_has_both_and_its_menu_stacks_them(first: playbook.Run, workspace: pathlib.Path) -> None:
    for result in first.results:
        info = playbook.module("live_iso_info", {"path": result["path"], "digests": True}, workspace)["iso"]
        live = {entry["path"]: entry for entry in info["live"]}
        assert set(live) == {"LiveOS/base.img", "LiveOS/squashfs.img"}
        packed = subprocess.run(
            ["sha256sum", str(workspace / "base/squashfs.img")], check=True, capture_output=True, text=True
        ).stdout.split()[0]
        assert live["LiveOS/base.img"]["sha256"] == packed
        lines = [entry["kernel_command_line"] for entry in info["menu"] if entry["kernel"]]
        assert lines and all("rd.live.layers=base.img" in line.split() for line in lines)


def test_lists_of_packages_are_those_of_the_whole_system(first: playbook.Run) -> None:
    one, two = (
        {line.partition("|")[0] for line in pathlib.Path(result["files"]["packages"]).read_text().splitlines()}
        for result in first.results
    )
    assert {"tree", "less", "dracut"} <= one
    assert "dracut" in two
    assert not {"tree", "less"} & two


def test_nothing_runs_again_unless_something_changed(
    first: playbook.Run, workspace: pathlib.Path, base: dict[str, t.Any], images: list[dict[str, t.Any]]
) -> None:
    run = playbook.build(images, workspace, bases=[base])
    assert run.status == 0, run.output[-4000:]
    assert run.changed == 0
    assert [result["sha256"] for result in run.results] == [result["sha256"] for result in first.results]


def test_edited_file_makes_a_layer_and_an_iso(
    first: playbook.Run, workspace: pathlib.Path, base: dict[str, t.Any], images: list[dict[str, t.Any]]
) -> None:
    state = tree_state(str(workspace / "base/rootfs"))
    (workspace / "overlay/etc/greeting").write_text("good morning\n")
    foreseen = playbook.build(images, workspace, "--check", bases=[base])
    assert foreseen.status == 0, foreseen.output[-4000:]
    run = playbook.build(images, workspace, bases=[base])
    assert run.status == 0, run.output[-4000:]
    one, two = run.results
    assert built(one) == STAGES - {"dracut"}
    assert built(two) == set()
    assert [built(result) for result in foreseen.results] == [built(one), built(two)]
    assert "etc/greeting" in one["stages"]["rootfs"]["reason"]
    # The base was only read, and nothing is left of the stacking.
    assert tree_state(str(workspace / "base/rootfs")) == state
    assert str(workspace) not in pathlib.Path("/proc/self/mountinfo").read_text()
    assert not list(workspace.glob("*/.*stack*"))


def test_changed_base_makes_every_image_anew(
    first: playbook.Run, workspace: pathlib.Path, base: dict[str, t.Any], images: list[dict[str, t.Any]]
) -> None:
    changed = {**base, "files": [{"dest": "/etc/of-the-base", "content": "another\n"}]}
    run = playbook.build(images, workspace, "--check", bases=[changed])
    assert run.status == 0, run.output[-4000:]
    for result in run.results:
        assert built(result) >= {"base_rootfs", "base_squashfs", "rootfs", "squashfs", "iso"}
        # The file is nothing that an initrd is made from.
        assert "dracut" not in built(result)


@pytest.mark.full
def test_locks_of_a_base_and_of_an_image_on_it(
    first: playbook.Run, workspace: pathlib.Path, base: dict[str, t.Any], images: list[dict[str, t.Any]]
) -> None:
    locks = {name: workspace / f"locks/{name}.lock.json" for name in ("base", "one")}
    below = {**base, "name": "locked-base", "lock": str(locks["base"])}
    image = {**images[0], "name": "locked", "base": "locked-base", "lock": str(locks["one"])}
    variables = workspace / "locked.json"
    variables.write_text(json.dumps({"live_bases": [below], "live_images": [image]}))
    command = [playbook.PROGRAM, str(playbook.ROOT / "playbooks/lock.yml"), "-e", f"@{variables}"]
    done = playbook.run(command)
    assert done.returncode == 0, done.stdout[-4000:]
    assert not list(workspace.glob("locked*/lock-*"))
    again = playbook.run(command)
    assert again.returncode == 0 and " changed=0 " in again.stdout, again.stdout[-4000:]
    assert list(json.loads(locks["one"].read_text())["packages"]) == ["tree"]
    assert {"less", "linux-image-amd64"} <= set(json.loads(locks["base"].read_text())["packages"])
    run = playbook.build([image], workspace, bases=[below])
    assert run.status == 0, run.output[-4000:]
    assert playbook.build([image], workspace, bases=[below]).changed == 0


@pytest.mark.full
def test_a_base_is_built_twice_and_compared_like_its_images(
    workspace: pathlib.Path, base: dict[str, t.Any], images: list[dict[str, t.Any]]
) -> None:
    (workspace / "overlay").mkdir(exist_ok=True)
    epoch = {"source_date_epoch": 1763200800}
    again = workspace / "again"
    declared = {
        "live_bases": [{**base, **epoch, "name": "proven-base"}],
        "live_images": [
            {**image, **epoch, "name": "proven-" + image["name"], "base": "proven-base"} for image in images
        ],
        "live_second_workspace": str(again),
    }
    variables = workspace / "proven.json"
    variables.write_text(json.dumps(declared))
    command = [playbook.PROGRAM, str(playbook.ROOT / "playbooks/prove-reproducible.yml"), "-e", f"@{variables}"]
    done = playbook.run(command)
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.count("proven-base on localhost: The same, byte for byte: root tree, packed root.") == 1
    for image in images:
        said = "The same, byte for byte: root tree, kernel, initrd, packed root, ISO."
        assert f"proven-{image['name']} on localhost: {said}" in done.stdout
    assert list(again.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flags": "dmsquash"}, "base does not work with flags dmsquash"),
        ({"filesystem": "ext4"}, "filesystem ext4"),
        ({"release": "trixie"}, "release: the base base decides about that (bookworm)"),
        ({"base": "bases"}, "no base 'bases' is declared in live_bases. Did you mean base?"),
        ({"name": "base"}, "the image base has the name of its base"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_changed(
    options: dict[str, t.Any], message: str, tmp_path: pathlib.Path, base: dict[str, t.Any]
) -> None:
    place = tmp_path / "workspace"
    image = {"name": "refused", "base": "base", "workspace": str(place), **options}
    run = playbook.build([image], tmp_path, bases=[{**base, "workspace": str(place)}])
    assert run.status != 0
    assert message in run.output.replace("\\n", " ")
    assert not place.exists()


def rootfs_with_mount(mount: str, options: dict[str, t.Any], arguments: pathlib.Path) -> dict[str, t.Any]:
    """Result of live_rootfs where the shell command ``mount`` was run first, seen by nobody else."""
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    script = f"{mount} && exec {sys.executable} -m "
    script += f"ansible_collections.liveforge.images.plugins.modules.live_rootfs {arguments}"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result: dict[str, t.Any] = json.loads(done.stdout)
    return result


def test_space_for_the_packages_of_a_layer_is_what_apt_says(first: playbook.Run, workspace: pathlib.Path) -> None:
    small = workspace / "small"
    small.mkdir()
    options = {
        "dest": str(small / "rootfs"),
        "base": str(workspace / "base/rootfs"),
        "release": "bookworm",
        "packages": ["clang"],
    }
    result = rootfs_with_mount(f"mount -t tmpfs -o size=250m tmpfs {small}", options, workspace / "small.json")
    assert result["failed"]
    assert f"Not enough space in {small} for the packages as large as apt says" in result["msg"], result
    assert result["needed"] > 400_000_000


@pytest.fixture
def mirror(workspace: pathlib.Path) -> t.Iterator[str]:
    """A mirror with the package tree that answers, as many do, that its Release file is not newer than one's own."""
    folder, cache = workspace / "mirror", pathlib.Path("/var/cache/liveforge")
    lists = folder / "dists/bookworm/main/binary-amd64"
    lists.mkdir(parents=True)
    # Other builds of this host may have left the lists of other mirrors there.
    prefix = "deb.debian.org_debian_dists_bookworm"
    release, packages = (cache / "lists" / f"{prefix}_{name}" for name in ("InRelease", "main_binary-amd64_Packages"))
    shutil.copy2(release, folder / "dists/bookworm/InRelease")
    shutil.copy2(packages, lists / "Packages")
    (entry,) = (text for text in packages.read_text().split("\n\n") if text.startswith("Package: tree\n"))
    place = folder / re.search(r"^Filename: (.*)$", entry, re.MULTILINE)[1]  # type: ignore[index]
    place.parent.mkdir(parents=True)
    shutil.copy2(cache / "archives" / place.name, place)
    with serve(functools.partial(QuietHandler, directory=str(folder))) as port:
        yield f"http://127.0.0.1:{port}"


def test_damaged_lists_are_read_again_for_a_layer(first: playbook.Run, workspace: pathlib.Path, mirror: str) -> None:
    cache, dest = workspace / "damaged-cache", workspace / "damaged-lists/rootfs"
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    options = {
        "dest": str(dest),
        "base": str(workspace / "base/rootfs"),
        "release": "bookworm",
        "repositories": [{"name": "debian", "uri": mirror, "suite": "bookworm", "keyring": keyring}],
        "packages": ["tree"],
        "cache": str(cache),
        "force": True,
    }
    result = playbook.module("live_rootfs", options, workspace)
    assert not result.get("failed"), result
    (release,) = (cache / "lists").glob("*_bookworm_InRelease")
    right, status = release.read_bytes(), release.stat()
    # With the time that it had, and with one that is later than the mirror's.
    for later in (0, 3600):
        release.write_bytes(right.replace(b"Suite: ", b"Suite:  "))
        os.utime(release, (status.st_atime, status.st_mtime + later))
        result = playbook.module("live_rootfs", options, workspace)
        assert not result.get("failed"), result
        said = dest.with_name("rootfs.packages.tar.zst.log").read_text()
        assert "BADSIG" in said
        assert "reading all package lists from the mirror, in place of those in the cache" in said
        assert release.read_bytes() == right


def test_base_on_a_file_system_that_cannot_hold_a_layer(first: playbook.Run, workspace: pathlib.Path) -> None:
    """A workspace inside of a container's own file system, an overlayfs: the message says what is needed."""
    for name in ("lower", "upper", "work", "inside"):
        (workspace / "nested" / name).mkdir(parents=True)
    options = {
        "dest": str(workspace / "nested/inside/image/rootfs"),
        "base": str(workspace / "base/rootfs"),
        "release": "bookworm",
    }
    folder = workspace / "nested"
    mount = (
        f"mount -t overlay overlay -o lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work "
        f"{folder}/inside"
    )
    result = rootfs_with_mount(mount, options, folder / "arguments.json")
    assert result["failed"]
    assert "does not mount an overlayfs in" in result["msg"]
    assert "a workspace on ext4, xfs, btrfs or tmpfs" in result["msg"]
    assert not (folder / "inside/image/rootfs").exists()


def test_a_forced_base_is_built_once_and_not_for_each_image() -> None:
    with playbook.fresh_folder("forced-base-test") as folder:
        base = {"name": "tiny", "release": "bookworm", "variant": "essential", "boot_packages": [], "force": True}
        # Without a kernel they fail behind their base, which is what is looked at.
        images = [
            {"name": name, "base": "tiny", "boot_packages": [], "workspace": str(folder)} for name in ("one", "two")
        ]
        run = playbook.build(images, folder, bases=[base])
        for result in run.results:
            assert f"{result['name']}/rootfs has no dracut" in result["error"], run.output
        assert run.output.count("live_rootfs: unpacking essential packages") == 1, run.output

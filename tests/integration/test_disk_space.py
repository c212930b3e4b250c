# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds on a file system that has two and a half times the space of the root tree, and no more."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import typing as t

import pytest

import playbook
from ansible_collections.liveforge.images.plugins.module_utils._stage import disk_usage

NAME = "tight"


class Disk:
    """A file system of its own, without reflinks, whose size can be changed."""

    def __init__(self, place: pathlib.Path) -> None:
        self.place = place
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(place)], check=True)

    def resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.place)], check=True)

    @property
    def used(self) -> int:
        status = os.statvfs(self.place)
        return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.fixture(scope="module")
def files() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("disk-space-test") as folder:
        (folder / "overlay/etc").mkdir(parents=True)
        yield folder


@pytest.fixture(scope="module")
def disk(files: pathlib.Path) -> t.Iterator[Disk]:
    found = Disk(files / "disk")
    try:
        yield found
    finally:
        subprocess.run(["umount", str(found.place)], check=True)


def build(files: pathlib.Path, greeting: str, **options: t.Any) -> playbook.Run:
    (files / "overlay/etc/greeting").write_text(greeting)
    overlays = [{"src": str(files / "overlay")}]
    return playbook.build([playbook.small_image(NAME, files / "disk", overlays=overlays, **options)], files)


@pytest.fixture(scope="module")
def tree(files: pathlib.Path, disk: Disk) -> int:
    """Size of the root tree that was built first, with room for more than is needed."""
    run = build(files, "hello\n")
    assert run.status == 0, run.output[-4000:]
    return disk_usage(str(disk.place / NAME / "rootfs"))


def test_a_first_build_leaves_one_tree(tree: int, disk: Disk) -> None:
    assert disk.used < 2.2 * tree


@pytest.mark.parametrize(
    ("greeting", "options"),
    [("good morning\n", {}), ("good evening\n", {"packages": ["less"]})],
    ids=["overlay", "packages"],
)
def test_a_rebuild_needs_no_more_than_two_and_a_half_trees(
    tree: int, disk: Disk, files: pathlib.Path, greeting: str, options: dict[str, t.Any]
) -> None:
    disk.resize(int(2.5 * tree))
    run = build(files, greeting, **options)
    assert run.status == 0, run.output[-4000:]
    stages = run.stages()
    assert stages["rootfs"] and stages["squashfs"] and stages["iso"]
    assert (disk.place / NAME / "rootfs/etc/greeting").read_text() == greeting
    assert "was removed before, since there was no room" in (disk.place / NAME / "rootfs.log").read_text()


def test_the_former_tree_stays_where_there_is_room_for_both(tree: int, disk: Disk, files: pathlib.Path) -> None:
    disk.resize(4 << 30)
    before = (disk.place / NAME / "rootfs").stat().st_ino
    run = build(files, "good night\n", packages=["less"], scripts=[{"content": "exit 3\n"}])
    assert run.status != 0 and "exited with 3" in run.output, run.output[-4000:]
    assert (disk.place / NAME / "rootfs").stat().st_ino == before


def test_a_build_that_cannot_fit_is_refused_and_removes_nothing(tree: int, disk: Disk, files: pathlib.Path) -> None:
    image = disk.place / NAME
    before = sorted(path.name for path in image.iterdir())
    disk.resize(disk.used + (1 << 20))
    run = build(files, "too much\n", packages=["less"])
    assert run.status != 0
    pattern = r"Not enough space in \S+ for the root tree[^:]*: (\d+) MB needed, (\d+) MB free, so (\d+) MB are missing"
    said = re.search(pattern, run.output)
    assert said, run.output[-4000:]
    needed, free, missing = (int(number) for number in said.groups())
    assert abs(needed - free - missing) <= 1
    assert sorted(path.name for path in image.iterdir()) == before


def test_a_build_that_fails_without_its_former_tree_leaves_the_image(
    tree: int, disk: Disk, files: pathlib.Path
) -> None:
    disk.resize(int(2.5 * tree))
    image = disk.place / NAME
    iso = next(image.glob("*.iso"))
    before = [path.stat() for path in (iso, image / "squashfs.img")]
    run = build(files, "another\n", packages=["less"], scripts=[{"content": "exit 3\n"}])
    assert run.status != 0 and "exited with 3" in run.output, run.output[-4000:]
    assert not (image / "rootfs").exists()
    assert [path.stat() for path in (iso, image / "squashfs.img")] == before
    # From what is kept of the packages it goes on, without installing them.
    kept = (image / "rootfs.packages.tar.zst").stat()
    assert build(files, "another\n", packages=["less"]).status == 0
    assert (image / "rootfs.packages.tar.zst").stat().st_ino == kept.st_ino


def test_the_former_tree_gives_way_when_apt_says_that_more_is_needed(
    tree: int, disk: Disk, files: pathlib.Path
) -> None:
    image = disk.place / NAME
    names = ("rootfs", "rootfs.packages.tar.zst")
    recorded = [json.loads((image / f"{name}.stage.json").read_text()) for name in names]
    # As much as a tree of the former size needs, and the package lists of the new one have to fit in as well.
    disk.resize(disk.used + int(1.1 * sum(stamp["output"]["size"] for stamp in recorded)) + (20 << 20))
    run = build(files, "more\n", packages=["less", "git", "vim"])
    assert run.status == 0, run.output[-4000:]
    assert "apt says" not in run.output
    assert f"{image}/rootfs was removed before" in (image / "rootfs.log").read_text()


def test_a_first_build_without_room_for_the_iso_installs_nothing(tree: int, disk: Disk, files: pathlib.Path) -> None:
    shutil.rmtree(disk.place / NAME)
    disk.resize(int(1.6 * tree))
    run = build(files, "hello\n")
    assert run.status != 0
    assert re.search(r"and what is made of the tree: \d+ MB needed, \d+ MB free, so \d+ MB are missing", run.output)
    assert disk.used < tree // 10
    assert "Unpacking" not in (disk.place / NAME / "rootfs.packages.tar.zst.log").read_text()


@pytest.mark.full
@pytest.mark.parametrize(("filesystem", "trees"), [("squashfs", 2.5), ("ext4", 3.3)])
def test_a_first_build_needs_no_more_than_is_documented(
    tree: int, disk: Disk, files: pathlib.Path, filesystem: str, trees: float
) -> None:
    shutil.rmtree(disk.place / NAME)
    disk.resize(int(trees * tree))
    run = build(files, "hello\n", filesystem=filesystem)
    assert run.status == 0, run.output[-4000:]


@pytest.mark.full
def test_an_image_inside_that_does_not_fit_is_refused_before_dracut_runs(
    tree: int, disk: Disk, files: pathlib.Path
) -> None:
    """Runs after the build with ext4 inside, which needs its space again."""
    disk.resize(disk.used + tree // 2)
    image = disk.place / NAME
    kept = [path for path in sorted(image.iterdir()) if not path.name.endswith((".log", ".lock", ".inputs"))]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in kept]
    run = build(files, "good morning\n", filesystem="ext4")
    assert run.status != 0
    assert "and what is made of it, beyond the place of the last ones: " in run.output
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in kept] == before

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds whose package cache was damaged, shared, or pruned beneath them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing as t

import pytest

import playbook

HOST_CACHE = pathlib.Path("/var/cache/liveforge")


@pytest.fixture(scope="module")
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("cache-test") as folder:
        yield folder


@pytest.fixture(scope="module")
def cache(workspace: pathlib.Path) -> pathlib.Path:
    """A cache with what one build needs, and nothing that other builds use."""
    first = workspace / "first"
    if HOST_CACHE.exists():
        playbook.link_tree(HOST_CACHE, first)
    build(workspace, first, "tree")
    folder = workspace / "cache"
    (folder / "archives").mkdir(parents=True)
    for file, dummy in packages(workspace, "tree"):
        (folder / "archives" / file).write_bytes((first / "archives" / file).read_bytes())
    subprocess.run(["cp", "-a", str(first / "lists"), str(folder)], check=True)
    subprocess.run(["rm", "-rf", str(first)], check=True)
    return folder


def options(workspace: pathlib.Path, cache: pathlib.Path, name: str) -> dict[str, t.Any]:
    return {
        "dest": str(workspace / name),
        "release": "bookworm",
        "variant": "essential",
        "packages": ["less"],
        "cache": str(cache),
        "force": True,
        "lock_timeout": 0,
    }


def build(workspace: pathlib.Path, cache: pathlib.Path, name: str, **further: t.Any) -> dict[str, t.Any]:
    scratch = workspace / f"{name}.run"
    scratch.mkdir(exist_ok=True)
    result = playbook.module("live_rootfs", {**options(workspace, cache, name), **further}, scratch)
    assert not result.get("failed"), result
    return result


def packages(workspace: pathlib.Path, name: str) -> list[tuple[str, str]]:
    """File name and SHA-256 of each installed package, as the signed lists have it."""
    stamp = json.loads((workspace / f"{name}.packages.tar.zst.stage.json").read_text())
    recorded = stamp["facts"]["archive"]["packages"]
    return [
        (f"{package}_{data['version'].replace(':', '%3a')}_{data['architecture']}.deb", data["sha256"])
        for package, data in recorded.items()
    ]


def log(workspace: pathlib.Path, name: str) -> str:
    return (workspace / f"{name}.packages.tar.zst.log").read_text()


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def replace(path: pathlib.Path, content: bytes) -> None:
    """Write it as a new file, so that no other name of the old one changes."""
    path.unlink()
    path.write_bytes(content)


def assert_whole(workspace: pathlib.Path, cache: pathlib.Path, name: str) -> None:
    for file, digest in packages(workspace, name):
        assert sha256(cache / "archives" / file) == digest, file


def test_damaged_packages_are_downloaded_again(workspace: pathlib.Path, cache: pathlib.Path) -> None:
    files = dict(packages(workspace, "tree"))
    truncated, altered, foreign = (
        next(cache / "archives" / file for file in files if file.startswith(name + "_"))
        for name in ("less", "hostname", "dash")
    )
    replace(truncated, truncated.read_bytes()[:5000])
    # The time stamp in the archive's first header: the size stays, and dpkg would install it without a word.
    content = altered.read_bytes()
    assert content[24:34] != b"1234567890"
    replace(altered, content[:24] + b"1234567890" + content[34:])
    assert subprocess.run(["dpkg-deb", "--fsys-tarfile", str(altered)], check=True, capture_output=True).stdout
    # As large as it should be, but never written: what a power failure leaves.
    replace(foreign, bytes(foreign.stat().st_size))
    (cache / "archives/.bash_1_amd64.deb.4711.partial").write_bytes(b"half")
    build(workspace, cache, "tree")
    assert_whole(workspace, cache, "tree")
    said = log(workspace, "tree")
    noted = {line.split()[1] for line in said.splitlines() if "in the cache was damaged" in line}
    assert noted == {truncated.name, altered.name, foreign.name}
    # All others came from the cache.
    taken = {line.split()[-1] for line in said.splitlines() if "cache: taking" in line}
    assert taken == set(files) - noted


@pytest.mark.parametrize("time_of_the_mirror", [True, False], ids=["time of the mirror", "newer than the mirror"])
def test_damaged_lists_are_read_again(workspace: pathlib.Path, cache: pathlib.Path, time_of_the_mirror: bool) -> None:
    def alter(path: pathlib.Path, old: bytes, new: bytes) -> None:
        times = (path.stat().st_atime, path.stat().st_mtime)
        replace(path, path.read_bytes().replace(old, new))
        # A mirror that gives no times has that of the download.
        os.utime(path, times if time_of_the_mirror else (time.time() + 3600,) * 2)

    lists = next((cache / "lists").glob("*_bookworm_main_binary-amd64_Packages"))
    right = sha256(lists)
    # A list that offers a package that nobody signed: apt would believe it, since the mirror has no newer one.
    alter(lists, b"\nPackage: less\nVersion: ", b"\nPackage: less\nVersion: 9")
    release = next((cache / "lists").glob("*_bookworm-updates_InRelease"))
    alter(release, b"Suite: ", b"Suite:  ")
    build(workspace, cache, "tree")
    assert sha256(lists) == right
    assert b"Suite:  " not in release.read_bytes()


def test_builds_share_a_cache_on_another_file_system_and_one_is_killed(workspace: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        shared = pathlib.Path(folder) / "cache"
        arguments = workspace / "killed.json"
        arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options(workspace, shared, "killed")}))
        module = "ansible_collections.liveforge.images.plugins.modules.live_rootfs"
        killed = subprocess.Popen(
            [sys.executable, "-m", module, str(arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 300
            while not list(shared.glob("archives/*.deb")) and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        assert list(shared.glob("archives/*.deb"))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            names = ("one", "two")
            list(pool.map(lambda name: build(workspace, shared, name), names))
        for name in names:
            assert_whole(workspace, shared, name)
        assert sorted(packages(workspace, "one")) == sorted(packages(workspace, "two"))


@contextlib.contextmanager
def small_disk(place: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A file system of its own with one megabyte."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_cache_on_a_full_file_system_fails_no_build(workspace: pathlib.Path) -> None:
    with small_disk(workspace / "disk") as disk:
        cache = disk / "cache"
        build(workspace, cache, "below", variant="apt", packages=[])
        said = log(workspace, "below")
        assert f"cache: {cache}/archives cannot take " in said and f"cache: {cache}/lists cannot take " in said
        digests = dict(packages(workspace, "below"))
        kept = {path.name: sha256(path) for path in cache.glob("archives/*")}
        assert kept and kept.items() < digests.items()
        (disk / "rest").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        result = build(workspace, cache, "layer", base=str(workspace / "below"), packages=["less"])
        assert "less" in result["packages"]
        assert "not all of them are kept in the cache" in log(workspace, "layer")
        assert {path.name for path in cache.glob("archives/*")} == set(kept)
        assert not [path for path in cache.rglob("*.partial") if path.is_file()]


def test_pruning_beneath_a_build_does_not_hurt_it(workspace: pathlib.Path, cache: pathlib.Path) -> None:
    done = threading.Event()
    scratch = workspace / "prune.run"
    scratch.mkdir()
    removed: list[str] = []

    def prune() -> None:
        while not done.is_set():
            result = playbook.module("live_cache", {"cache": str(cache), "max_size": "0"}, scratch)
            removed.extend(entry["path"] for entry in result["removed"])

    with concurrent.futures.ThreadPoolExecutor() as pool:
        pruning = pool.submit(prune)
        try:
            result = build(workspace, cache, "tree")
        finally:
            done.set()
        pruning.result()
    assert "less" in result["packages"]
    assert [path for path in removed if path.endswith(".deb")]


def test_builds_hold_the_limit_and_do_not_hurt_each_other(workspace: pathlib.Path, cache: pathlib.Path) -> None:
    build(workspace, cache, "tree")
    unused = cache / "archives/unused_1_all.deb"
    unused.write_bytes(bytes(3 << 20))
    os.utime(unused, (1, 1))
    size = sum(path.stat().st_size for path in cache.glob("*/*") if path.is_file())
    limit = size - (1 << 20)
    build(workspace, cache, "tree", cache_max_size=str(limit))
    assert not unused.exists()
    assert "files (3 MB) that were not used for longest went out of the cache" in log(workspace, "tree")
    assert_whole(workspace, cache, "tree")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        names = ("one", "two")
        list(pool.map(lambda name: build(workspace, cache, name, cache_max_size="0"), names))
    assert sorted(packages(workspace, "one")) == sorted(packages(workspace, "tree"))
    assert not list(cache.glob("archives/*.deb"))


def test_space_is_checked_with_what_apt_says_before_anything_is_downloaded(
    workspace: pathlib.Path, cache: pathlib.Path
) -> None:
    small = workspace / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=640m", "tmpfs", str(small)]
    given = {**options(small, cache, "tree"), "packages": ["linux-image-amd64", "firmware-linux-free"]}
    (workspace / "space.json").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": given}))
    module = "ansible_collections.liveforge.images.plugins.modules.live_rootfs"
    command = f"{shlex.join(mount)} && exec {sys.executable} -m {module} {workspace}/space.json"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(done.stdout)
    said = re.search(r"(\d+) MB needed, (\d+) MB free, so (\d+) MB are missing\.", result["msg"])
    assert result["failed"] and said, result
    needed, free, missing = (int(number) for number in said.groups())
    assert abs(needed - free - missing) <= 1 and free < 640 < needed < 3000
    assert f"Not enough space in {small} for the packages as large as apt says" in result["msg"]

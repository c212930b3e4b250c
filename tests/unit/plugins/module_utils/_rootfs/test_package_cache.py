# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package cache: which lists builds take from it, what it says it has, and what goes first."""

from __future__ import annotations

import errno
import hashlib
import os
import pathlib
import time
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._rootfs import package_cache
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_cache import (
    CacheEntry,
    PackageCache,
    entries,
    prunable,
    prune,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import Repository
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.successors import Space

REPOSITORY = Repository("debian", "http://mirror/debian", "trixie", ("main",), "/keys.gpg")
PREFIX = "mirror_debian_dists_trixie_"
PACKAGES = b"Package: less\n"


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> PackageCache:
    found = PackageCache(str(tmp_path / "cache"))
    found.prepare()
    return found


def put(cache: PackageCache, name: str, size: int, age: float) -> str:
    path = os.path.join(cache.folder, name)
    pathlib.Path(path).write_bytes(b"x" * size)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def release(content: bytes) -> str:
    return (
        f"Suite: stable\nSHA256:\n {hashlib.sha256(content).hexdigest()} {len(content):>8} main/binary-amd64/Packages\n"
    )


@pytest.mark.parametrize(
    ("listed", "taken"),
    [
        (PACKAGES, ["InRelease", "main_binary-amd64_Packages"]),
        (PACKAGES + b"x", ["InRelease"]),
    ],
)
def test_only_lists_that_are_as_the_release_file_says_are_taken(
    cache: PackageCache, tmp_path: pathlib.Path, listed: bytes, taken: list[str]
) -> None:
    lists = pathlib.Path(cache.lists)
    (lists / f"{PREFIX}InRelease").write_text(release(listed))
    (lists / f"{PREFIX}main_binary-amd64_Packages").write_bytes(PACKAGES)
    # An unsigned one beside it, as somebody could put there, tells nothing.
    (lists / f"{PREFIX}Release").write_text(release(PACKAGES))
    (lists / "other_debian_dists_trixie_InRelease").write_text(release(PACKAGES))
    cache.take_lists([REPOSITORY], str(tmp_path / "taken"))
    assert sorted(path.name for path in (tmp_path / "taken").iterdir()) == [PREFIX + name for name in taken]


def test_lists_without_a_release_file_are_not_taken(cache: PackageCache, tmp_path: pathlib.Path) -> None:
    (pathlib.Path(cache.lists) / f"{PREFIX}main_binary-amd64_Packages").write_bytes(PACKAGES)
    cache.take_lists([REPOSITORY], str(tmp_path / "taken"))
    assert not list((tmp_path / "taken").iterdir())


def test_a_list_keeps_the_time_of_the_mirror_when_it_is_used(cache: PackageCache, tmp_path: pathlib.Path) -> None:
    path = put(cache, f"lists/{PREFIX}InRelease", 1, 5000)
    before = os.stat(path).st_mtime_ns
    cache.take_lists([REPOSITORY], str(tmp_path / "taken"))
    assert os.stat(path).st_mtime_ns == before == os.stat(tmp_path / "taken" / f"{PREFIX}InRelease").st_mtime_ns
    assert time.time() - entries(cache.folder)[0].used < 1000


def test_used_packages_come_last(cache: PackageCache) -> None:
    for name, age in (("a_1_all.deb", 500), ("b_1_all.deb", 400)):
        put(cache, f"archives/{name}", 1, age)
    cache.mark_used(["a_1_all.deb", "gone_1_all.deb"])
    assert [os.path.basename(entry.path) for entry in entries(cache.folder)] == ["b_1_all.deb", "a_1_all.deb"]


def test_a_use_that_cannot_be_noted_is_no_error(cache: PackageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, "archives/a_1_all.deb", 1, 500)

    def refuse(*dummy: t.Any, **dummies: t.Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(package_cache.os, "utime", refuse)
    cache.mark_used(["a_1_all.deb"])


def test_entries_of_no_cache_and_of_foreign_files(cache: PackageCache) -> None:
    assert entries("/nowhere") == []
    put(cache, "archives/README", 1, 0)
    assert entries(cache.folder) == []


def entry(name: str, size: int, age: float, kind: str = "package", links: int = 1) -> CacheEntry:
    return CacheEntry(name, kind, size, time.time() - age, links)


OLD, MIDDLE, NEW = entry("old", 100, 3000), entry("middle", 100, 2000), entry("new", 100, 1000)


@pytest.mark.parametrize(
    ("max_size", "max_age", "keep", "removed"),
    [
        (None, 2500, 0, ["old"]),
        (None, 500, 2, ["old"]),
        (None, 500, 9, []),
        (200, None, 0, ["old"]),
        (199, None, 0, ["old", "middle"]),
        (0, None, 0, ["old", "middle", "new"]),
        (0, None, 1, ["old", "middle"]),
        (100, 2500, 0, ["old", "middle"]),
        (300, None, 0, []),
    ],
)
def test_least_recently_used_goes_first(
    max_size: int | None, max_age: float | None, keep: int, removed: list[str]
) -> None:
    chosen = prunable([OLD, MIDDLE, NEW], max_size=max_size, max_age=max_age, keep=keep, now=time.time())
    assert [item.path for item in chosen] == removed


def test_what_a_build_has_linked_or_is_writing_stays() -> None:
    found = [
        entry("linked", 100, 9e6, links=2),
        entry("left", 100, 9e5, "unfinished"),
        entry("free", 100, 10),
        entry("writing", 100, 5, "unfinished"),
    ]
    chosen = prunable(found, max_size=0, max_age=None, keep=0, now=time.time())
    assert [item.path for item in chosen] == ["left", "free"]


def test_a_copy_with_the_time_of_its_source_is_one_that_a_build_is_writing(cache: PackageCache) -> None:
    put(cache, "archives/.a_1_all.deb.4fOoqN.partial", 100, 9e6)
    (found,) = entries(cache.folder)
    assert found.kind == "unfinished" and found.in_use


def test_a_limit_takes_what_was_not_used_for_longest(tmp_path: pathlib.Path) -> None:
    said: list[str] = []
    for limit, left in ((None, "abc"), (20_000_000, "abc"), (5_000_000, "c")):
        cache = PackageCache(str(tmp_path), limit)
        cache.prepare()
        for age, name in enumerate(("c", "b", "a")):
            put(cache, f"archives/{name}_1_all.deb", 2_000_000, 1000 * age + 1000)
        put(cache, f"lists/{PREFIX}InRelease", 2_000_000, 9000)
        # Used now, although the mirror's time is the oldest of all.
        cache.mark_used([], [REPOSITORY])
        cache.hold_limit(said.append)
        found = [os.path.basename(item.path) for item in entries(cache.folder)]
        assert sorted(found) == [f"{name}_1_all.deb" for name in left] + [f"{PREFIX}InRelease"]
    assert said == [
        "2 files (4 MB) that were not used for longest went out of the cache, which may have 5 MB",
    ]


def test_a_limit_that_cannot_be_held_ends_no_build(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = PackageCache(str(tmp_path), 1)
    cache.prepare()
    put(cache, "archives/a_1_all.deb", 2_000_000, 1000)

    def refused(path: str) -> t.NoReturn:
        raise PermissionError(errno.EROFS, "Read-only file system", path)

    monkeypatch.setattr(package_cache.os, "unlink", refused)
    said: list[str] = []
    cache.hold_limit(said.append)
    assert len(said) == 1 and "a_1_all.deb" in said[0]


def test_what_a_build_downloads_counts_as_used(cache: PackageCache, tmp_path: pathlib.Path) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    (archives / "new_1_all.deb").write_bytes(b"x")
    os.utime(archives / "new_1_all.deb", (1, 1))
    put(cache, "archives/old_1_all.deb", 1, 500)
    cache.keep(str(archives), None)
    assert [os.path.basename(item.path) for item in entries(cache.folder)] == ["old_1_all.deb", "new_1_all.deb"]


def test_a_damaged_package_is_replaced_when_it_was_downloaded(cache: PackageCache, tmp_path: pathlib.Path) -> None:
    name, right = "less_1_amd64.deb", b"right"
    path = pathlib.Path(put(cache, f"archives/{name}", 3, 500))
    (tmp_path / "archives").mkdir()
    assert cache.take(name, hashlib.sha256(right).hexdigest(), str(tmp_path / "archives")) is False
    assert not path.exists() and not (tmp_path / "archives" / name).exists()
    (tmp_path / "archives" / name).write_bytes(right)
    cache.keep(str(tmp_path / "archives"), None)
    assert path.read_bytes() == right


def test_the_lists_of_a_build_are_kept_whatever_their_times(cache: PackageCache, tmp_path: pathlib.Path) -> None:
    """An altered one may have the time of the mirror, or a later one."""
    lists = tmp_path / "lists"
    lists.mkdir()
    for name, kept, new, age in (
        ("damaged", "wrong", "right", 1),
        ("altered", "wrong", "right", 2),
        ("same", "=", "=", 1),
    ):
        for path, text, time_ in ((lists / name, new, 1), (pathlib.Path(cache.lists) / name, kept, age)):
            path.write_text(text)
            os.utime(path, (time_, time_))
    cache.keep(str(tmp_path / "none"), str(lists))
    found = {path.name: path.read_text() for path in pathlib.Path(cache.lists).iterdir()}
    assert found == {"damaged": "right", "altered": "right", "same": "="}


LISTING = """\
'http://mirror/pool/new_1_all.deb' new_1_all.deb 1000 SHA256:{digest}
'http://mirror/pool/old_1_all.deb' old_1_all.deb 500 SHA256:{digest}
Need to get 1,500 B of archives.
After this operation, 1,234 kB of additional disk space will be used.
""".format(digest="0" * 64)


@pytest.mark.parametrize(
    ("listing", "needed"),
    [
        (LISTING, 1.35 * 1_234_000 + 1000),
        (LISTING.replace("1,234 kB", "12.3 MB"), 1.35 * 12_300_000 + 1000),
        (LISTING.replace("1,234 kB of additional", "1,234 kB").replace("used", "freed"), 1000),
        ("", 0),
    ],
)
def test_space_for_packages_is_what_apt_says(cache: PackageCache, listing: str, needed: float) -> None:
    put(cache, "archives/old_1_all.deb", 500, 1)
    assert cache.space_for(listing, Space()) == int(needed)


def test_space_for_packages_has_what_later_stages_need(cache: PackageCache) -> None:
    assert cache.space_for(LISTING, Space(0.5, 7_000_000)) == int(1.85 * 1_234_000) + 7_000_000 + 1500


def test_prune_leaves_what_was_used_meanwhile(cache: PackageCache, tmp_path: pathlib.Path) -> None:
    paths = [put(cache, f"archives/{name}_1_all.deb", 1, 500) for name in ("gone", "linked", "marked", "free")]
    found = entries(cache.folder)
    os.unlink(paths[0])
    os.link(paths[1], tmp_path / "link")
    cache.mark_used(["marked_1_all.deb"])
    assert [item.path for item in prune(found)] == [paths[3]]
    assert [os.path.exists(path) for path in paths] == [False, True, True, False]

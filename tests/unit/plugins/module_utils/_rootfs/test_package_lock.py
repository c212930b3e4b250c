# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of lock files, and what a lock refuses."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_cache import PackageCache
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_lock import (
    LockedPackage,
    PackageLock,
    package_changes,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.packages import PackageTree
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import default_repositories

DECLARED = {
    "release": "trixie",
    "architecture": "amd64",
    "variant": "minbase",
    "recommends": False,
    "packages": ["htop"],
    "bootstrap_packages": [],
    "packages_exclude": [],
}


def package(version: str, digit: str = "a") -> LockedPackage:
    return LockedPackage(version, "amd64", digit * 64, "optional", "debian", f"pool/main/x/x_{version}_amd64.deb")


def lock(packages: dict[str, LockedPackage], **declared: t.Any) -> PackageLock:
    repositories = {"debian": {"uri": "http://mirror/debian", "suite": "trixie", "components": ["main"]}}
    return PackageLock({**DECLARED, **declared}, repositories, packages, 1700000000)


def tree(lock: PackageLock | None, **options: t.Any) -> PackageTree:
    values: dict[str, t.Any] = {
        "repositories": default_repositories("debian", "trixie", None),
        "packages": ["htop"],
        "variant": "minbase",
        "recommends": False,
        "architecture": "amd64",
        "scripts": [],
        "cache": PackageCache("/var/cache/liveforge"),
        "source_date_epoch": None,
    }
    return PackageTree("/srv/rootfs.packages.tar.zst", tree="/srv/.rootfs.partial", lock=lock, **{**values, **options})


def test_a_lock_file_is_read_back_and_has_a_line_for_each_package() -> None:
    before = lock({"zlib1g": package("1:1.3"), "htop": package("3.4.1-5")})
    text = before.text()
    assert PackageLock.parse(text) == before
    assert json.loads(text)["packages"]["zlib1g"]["version"] == "1:1.3"
    lines = [line for line in text.splitlines() if "pool/" in line]
    assert [line.split('"')[1] for line in lines] == ["htop", "zlib1g"]
    assert before.text() == lock({"htop": package("3.4.1-5"), "zlib1g": package("1:1.3")}).text()


def test_a_new_version_changes_one_line() -> None:
    before, after = (lock({"htop": package(version), "less": package("1")}).text() for version in ("3.4", "3.5"))
    changed = set(before.splitlines()) ^ set(after.splitlines())
    assert len(changed) == 2 and all('"htop"' in line for line in changed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no lock of live_lock"),
        ("[]", "is no lock of live_lock"),
        ('{"schema": 1}', "is no lock of live_lock"),
        ('{"schema": 9}', "has schema 9; this version reads 1"),
        (lock({"htop": package("1", "x")}).text(), "the entry of htop has no valid name and SHA-256"),
        (lock({"../htop": package("1")}).text(), "the entry of ../htop has no valid name and SHA-256"),
    ],
)
def test_what_is_no_lock_is_refused(text: str, message: str) -> None:
    with pytest.raises(StageError) as refused:
        PackageLock.parse(text)
    assert message in refused.value.message
    assert "liveforge.images.lock" in refused.value.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packages": ["htop", "less"]}, "packages (+less)"),
        ({"packages": []}, "packages (-htop)"),
        ({"variant": "standard"}, "variant (minbase -> standard)"),
        ({"recommends": True}, "recommends (False -> True)"),
        ({"excluded": ["nano"]}, "packages_exclude (+nano)"),
        ({"bootstrap_packages": ["zstd"]}, "bootstrap_packages (+zstd)"),
        ({"repositories": default_repositories("debian", "bookworm", None)}, "release (trixie -> bookworm)"),
    ],
)
def test_a_lock_for_another_declaration_is_refused(options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(StageError) as refused:
        tree(lock({"htop": package("3.4")}), **options).validate()
    assert refused.value.message.startswith(f"lock: it was made for another declaration: {message}. Renew it")


def test_another_mirror_needs_no_other_lock() -> None:
    mirror = default_repositories("debian", "trixie", "http://snapshot.example.org/debian/20251101T000000Z")
    tree(lock({"htop": package("3.4")}), repositories=mirror).validate()


def test_installed_packages_must_be_the_locked_ones() -> None:
    locked = lock({"htop": package("3.4"), "less": package("1")})
    locked.check_installed({"htop": "3.4", "less": "1"})
    with pytest.raises(StageError) as refused:
        locked.check_installed({"htop": "3.5", "nano": "2"})
    assert "htop (3.4 -> 3.5), less (gone), nano (new)" in refused.value.message


def test_changes_are_told_by_package() -> None:
    before = lock({"htop": package("3.4"), "less": package("1"), "nano": package("2"), "same": package("1")})
    after = lock({"htop": package("3.5"), "less": package("1", "b"), "vim": package("9"), "same": package("1")})
    assert package_changes(before, after) == [
        "htop 3.4 -> 3.5",
        "less 1: other bytes of the same version",
        "-nano 2",
        "+vim 9",
    ]
    assert package_changes(None, lock({"htop": package("3.4")})) == ["+htop 3.4"]


def test_the_name_of_a_deb_is_apts() -> None:
    assert dataclasses.replace(package("1:2.3~rc1+b1")).deb("x") == "x_1%3a2.3~rc1+b1_amd64.deb"

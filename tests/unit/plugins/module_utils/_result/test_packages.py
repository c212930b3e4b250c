# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists of installed packages, read from a tree."""

from __future__ import annotations

import gzip
import pathlib

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._result.packages import changes, installed

STATUS = """\
Package: libx
Status: install ok installed
Architecture: i386
Multi-Arch: same
Version: 2:1.0-1+b2
Description: a library
 Version: not this one

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libx
Status: hold ok installed
Architecture: amd64
Version: 2:1.0-1

Package: a
Status: install ok installed
Architecture: all
Version: 3
"""


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    status = tmp_path / "root/var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(STATUS)
    return tmp_path / "root"


def changelog(root: pathlib.Path, name: str, text: str) -> None:
    path = root / "usr/share/doc" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


def test_installed_packages_as_kiwi_lists_them(root: pathlib.Path) -> None:
    assert [package.line() for package in installed(str(root))] == [
        "a|None|3|None|all|None|None\n",
        "libx|None|2:1.0-1|None|amd64|None|None\n",
        "libx|None|2:1.0-1+b2|None|i386|None|None\n",
    ]


def test_a_tree_without_dpkg_has_none(tmp_path: pathlib.Path) -> None:
    assert installed(str(tmp_path)) == []


def test_changelogs_of_packages(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    changelog(root, "a/changelog.gz", "a (3) native\n\n")
    changelog(root, "libx/changelog.Debian.gz", "libx (1.0-1)\n")
    changelog(root, "libx/changelog.Debian.i386.gz", "libx (1.0-1+b2) rebuilt\n")
    text = b"".join(changes(str(root), installed(str(root)))).decode()
    assert text == "a|\na (3) native\n\nlibx|\nlibx (1.0-1)\n\nlibx|\nlibx (1.0-1+b2) rebuilt\n\n"


def test_a_link_of_the_tree_means_the_tree(root: pathlib.Path) -> None:
    changelog(root, "b/changelog.gz", "b (1) also a\n")
    (root / "usr/share/doc/a").symlink_to("/usr/share/doc/b")
    assert b"".join(changes(str(root), installed(str(root)))).startswith(b"a|\nb (1) also a\n\n")


def test_links_out_of_the_tree_and_damaged_files_are_left_out(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    changelog(tmp_path, "secret/changelog.gz", "of the host\n")
    (root / "usr/share/doc").mkdir(parents=True)
    (root / "usr/share/doc/a").symlink_to(tmp_path / "usr/share/doc/secret")
    (root / "usr/share/doc/libx").mkdir()
    (root / "usr/share/doc/libx/changelog.Debian.gz").write_bytes(b"no gzip")
    assert b"".join(changes(str(root), installed(str(root)))) == b"a|\n\nlibx|\n\nlibx|\n\n"

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which changes of a tree can reach the lists of its packages."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._rootfs.packaged_places import packaged_places


@pytest.fixture
def is_packaged(tmp_path: pathlib.Path) -> t.Callable[[str], bool]:
    """Of a tree with merged /usr, and links that mean the tree itself."""
    root = tmp_path / "[root]"
    information = root / "var/lib/dpkg/info"
    information.mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/replaced").symlink_to("../site/replaced")
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/share").mkdir()
    (root / "usr/share/there").symlink_to("/usr/share/here")
    (root / "circle").symlink_to("circle")
    (root / "spiral").symlink_to("spiral/in")
    (information / "coreutils.list").write_text(
        "/.\n/bin\n/bin/ls\n/usr\n/usr/share/there/file\n/circle/x\n/spiral/x\n"
    )
    (information / "libc6:amd64.list").write_text("/etc\n/etc/ld.so.conf\n/etc/replaced\n")
    (information / "libc6:amd64.md5sums").write_text("0  etc/unlisted\n")
    (root / "var/lib/dpkg/diversions").write_text("/bin/sh\n/bin/sh.distrib\ndash\n")
    return packaged_places(str(root))


@pytest.mark.parametrize(
    "path",
    [
        "usr/bin/ls",
        "bin",
        "usr",
        "etc/ld.so.conf",
        "usr/share/here/file",
        # A file of a package that was replaced by a link.
        "etc/replaced",
        "site/replaced",
        # Where diversions move files to.
        "usr/bin/sh.distrib",
        "var/lib/dpkg",
        "var/lib/dpkg/status",
        "etc/dpkg/dpkg.cfg.d/site",
        "usr/share/doc/own/changelog.gz",
    ],
)
def test_packaged(is_packaged: t.Callable[[str], bool], path: str) -> None:
    assert is_packaged(path)


@pytest.mark.parametrize("path", ["etc/motd", "etc/unlisted", "usr/bin/own", "usr/share/documents", "home/live"])
def test_not_packaged(is_packaged: t.Callable[[str], bool], path: str) -> None:
    assert not is_packaged(path)


def test_a_tree_without_dpkg_has_none(tmp_path: pathlib.Path) -> None:
    assert not packaged_places(str(tmp_path))("usr/bin/ls")


def test_a_database_behind_a_link_is_that_of_the_tree(tmp_path: pathlib.Path) -> None:
    """dpkg finds it in the image, and what this host has at the same place is another one."""
    root = tmp_path / "root"
    for database, path in ((root / str(tmp_path)[1:], "usr/bin/own"), (tmp_path, "usr/bin/foreign")):
        (database / "dpkg/info").mkdir(parents=True)
        (database / "dpkg/info/a.list").write_text(f"/{path}\n")
    (root / "var/lib").mkdir(parents=True)
    (root / "var/lib/dpkg").symlink_to(tmp_path / "dpkg")
    is_packaged = packaged_places(str(root))
    assert is_packaged("usr/bin/own")
    assert not is_packaged("usr/bin/foreign")

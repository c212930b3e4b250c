# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths in a tree whose links lead anywhere: to where the image has it, and never out of the tree."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import image_path


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A tree beside a folder of the host that has files of the same names."""
    root = tmp_path / "root"
    for folder in ("usr/lib/modules", "etc", "srv/state/deep"):
        (root / folder).mkdir(parents=True)
    (root / "etc/file").write_text("of the image\n")
    (root / "srv/state/file").write_text("of the image\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_text("of the host\n")
    return root


@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("lib", "usr/lib", "/lib/modules"),
        ("state", "/srv/state", "state/file"),
        ("state", "/srv/state", "/state/deep/../file"),
        ("usr/up", "../srv/state", "usr/up/file"),
        # More steps up than there are folders above.
        ("usr/up", "../../../../etc", "usr/up/file"),
        ("usr/last", "/etc/file", "usr/last"),
        ("usr/top", "/", "usr/top/etc/file"),
        ("usr/top", "/", "usr/top"),
        ("etc/dots", "./..//etc/./file", "etc/dots"),
    ],
)
def test_links_are_followed_inside(root: pathlib.Path, link: str, target: str, path: str) -> None:
    (root / link).symlink_to(target)
    assert image_path.exists(str(root), path)
    found = pathlib.Path(image_path.host_path(str(root), path))
    assert found.resolve() == found
    assert found.resolve().is_relative_to(root.resolve())
    if found.is_file():
        assert image_path.read_text(str(root), path) == "of the image\n"


@pytest.mark.parametrize("path", ["gone/file", "etc/file/below", "circle/file", "away/etc/file", "nothing"])
def test_what_the_image_does_not_have(root: pathlib.Path, tmp_path: pathlib.Path, path: str) -> None:
    """Also what this host has at the place that a link leads to."""
    (root / "circle").symlink_to("circle")
    (root / "away").symlink_to(tmp_path)
    assert (root / "away/etc/file").exists()
    assert not image_path.exists(str(root), path)
    assert not image_path.is_folder(str(root), path)
    assert image_path.read_text(str(root), path) is None


def test_a_link_at_the_end_is_an_entry_itself(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (root / "etc/away").symlink_to(tmp_path / "etc/file")
    assert image_path.exists(str(root), "etc/away", follow=False)
    assert not image_path.exists(str(root), "etc/away")
    with image_path.open_folder(str(root), "etc/away", follow=False) as folder:
        assert folder is None


def test_a_missing_file_has_a_place_and_a_missing_folder_is_an_error(root: pathlib.Path) -> None:
    (root / "var").symlink_to("/srv")
    assert image_path.host_path(str(root), "/var/new") == str(root.resolve() / "srv/new")
    with pytest.raises(StageError, match="has no folder for /var/lib/new"):
        image_path.host_path(str(root), "var/lib/new")


def test_a_file_of_the_image_is_found_by_this_host_without_links(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (root / "etc/inside").symlink_to("/srv/state/file")
    (root / "etc/outside").symlink_to(tmp_path / "etc/file")
    assert image_path.host_file(str(root), "/etc/inside") == str(root.resolve() / "srv/state/file")
    for path in ("etc/outside", "etc", "etc/gone", "gone/file"):
        assert image_path.host_file(str(root), path) is None


def test_only_files_are_read(root: pathlib.Path) -> None:
    os.mkfifo(root / "etc/pipe")
    assert image_path.read_text(str(root), "etc/pipe") is None
    assert image_path.read_text(str(root), "etc") is None


def test_no_folder_stays_open(root: pathlib.Path) -> None:
    (root / "var").symlink_to("/srv/state/deep/../../../etc")
    before = os.listdir("/proc/self/fd")
    for path in ("var/file", "gone/file", "usr/lib/modules", "../../etc"):
        image_path.read_text(str(root), path)
        image_path.is_folder(str(root), path)
    assert os.listdir("/proc/self/fd") == before

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users bring for an ISO: how much space it takes, and what must not be in it."""

from __future__ import annotations

import pathlib
import tarfile

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso.inputs import (
    archive_size,
    cdroot_files,
    folder_content,
    folder_size,
)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "cdroot/docs").mkdir(parents=True)
    with open(tmp_path / "cdroot/docs/zeros", "wb") as stream:
        stream.truncate(5_000_000)
    (tmp_path / "cdroot/link").symlink_to("docs/zeros")
    return tmp_path / "cdroot"


def test_only_what_an_iso_keeps_of_a_folder_counts(folder: pathlib.Path) -> None:
    """A checkout has the owners and modes of whoever made it."""
    (folder / "docs/run").write_text("#!/bin/sh\n")
    before = folder_content(str(folder))
    (folder / "docs/run").chmod(0o600)
    (folder / "docs").chmod(0o700)
    assert folder_content(str(folder)) == before
    (folder / "docs/run").chmod(0o755)
    assert folder_content(str(folder)) != before
    (folder / "docs/run").chmod(0o644)
    (folder / "docs/run").write_text("#!/bin/sh \n")
    assert folder_content(str(folder)) != before


def test_a_sparse_file_takes_its_whole_size(folder: pathlib.Path) -> None:
    assert 5_000_000 <= folder_size(str(folder)) < 5_100_000


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_an_archive_takes_what_it_unpacks_to(folder: pathlib.Path, compression: str) -> None:
    path = folder.parent / "cdroot.tar"
    with tarfile.open(path, f"w:{compression}") as tar:
        tar.add(folder, arcname=".")
    assert 5_000_000 <= archive_size(str(path)) < 5_100_000


@pytest.mark.parametrize("cut", [1, 2])
def test_an_archive_that_cannot_be_read_is_taken_for_larger_than_it_is(folder: pathlib.Path, cut: int) -> None:
    path = folder.parent / "cdroot.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        tar.add(folder, arcname=".")
    content = path.read_bytes()
    path.write_bytes(b"no archive" if cut == 1 else content[: len(content) // 2])
    assert archive_size(str(path)) > path.stat().st_size


def test_links_and_files_in_place_of_our_directories_are_refused(folder: pathlib.Path) -> None:
    assert cdroot_files(str(folder), ["boot/grub/grub.cfg"]) == ["docs/zeros", "link"]
    (folder / "boot").symlink_to("docs")
    (folder / "LiveOS").write_text("x")
    with pytest.raises(StageError, match=r"cdroot: LiveOS, boot in .* must be a directory"):
        cdroot_files(str(folder), ["boot/grub/grub.cfg", "LiveOS/squashfs.img"])

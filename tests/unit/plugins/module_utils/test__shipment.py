# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees on their way to the build host."""

from __future__ import annotations

import os
import pathlib
import tarfile

import pytest

from ansible_collections.liveforge.images.plugins.module_utils import _shipment
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/file with blank").write_text("x")
    (tmp_path / "tree/etc/link").symlink_to("/nowhere")
    return tmp_path / "tree"


def write(source: pathlib.Path, archive: pathlib.Path) -> None:
    _shipment.write_archive(str(source), str(archive), _shipment.identity(_shipment.describe(str(source))))


def test_description_names_every_entry(tree: pathlib.Path) -> None:
    entries = _shipment.describe(str(tree))
    assert set(entries) == {"/etc", "/etc/file with blank", "/etc/link"}
    assert entries["/etc/link"] == "link /nowhere"


def test_times_do_not_count_but_bytes_and_modes_do(tree: pathlib.Path) -> None:
    before = _shipment.identity(_shipment.describe(str(tree)))
    os.utime(tree / "etc/file with blank", (1, 1))
    assert _shipment.identity(_shipment.describe(str(tree))) == before
    (tree / "etc/file with blank").chmod(0o755)
    changed_mode = _shipment.identity(_shipment.describe(str(tree)))
    (tree / "etc/file with blank").write_text("y")
    assert len({before, changed_mode, _shipment.identity(_shipment.describe(str(tree)))}) == 3


def test_archives_of_equal_trees_are_equal_and_belong_to_root(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for name in ("a", "b"):
        os.utime(tree / "etc", None)
        write(tree, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tarfile.open(tmp_path / "a") as tar:
        assert {(member.uid, member.gid) for member in tar} == {(0, 0)}


def test_hard_links_of_a_checkout_make_no_other_archive(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tree / "etc/second").write_text("x")
    described = _shipment.describe(str(tree))
    write(tree, tmp_path / "apart")
    (tree / "etc/second").unlink()
    os.link(tree / "etc/file with blank", tree / "etc/second")
    assert _shipment.describe(str(tree)) == described
    write(tree, tmp_path / "linked")
    assert (tmp_path / "linked").read_bytes() == (tmp_path / "apart").read_bytes()


def test_an_archive_with_hard_links_is_made_anew(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Earlier versions made them."""
    os.link(tree / "etc/file with blank", tree / "etc/second")
    with tarfile.open(tmp_path / "archive", "w") as tar:
        tar.add(tree / "etc", arcname="etc")
        assert any(member.islnk() for member in tar)
    assert not _shipment.is_whole(str(tmp_path / "archive"), _shipment.describe(str(tree)))


def test_names_that_are_no_utf8_are_kept(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    raw = os.path.join(os.fsencode(tree), b"caf\xe9")
    with open(raw, "wb"):
        pass
    assert "/caf\\xe9" in _shipment.describe(str(tree))
    write(tree, tmp_path / "archive")
    with tarfile.open(tmp_path / "archive") as tar:
        assert os.fsdecode(b"caf\xe9") in tar.getnames()


def test_single_file(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source = tree / "etc/file with blank"
    assert list(_shipment.describe(str(source))) == [_shipment.SINGLE_FILE]
    write(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "x"


def test_an_archive_is_whole_or_not(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tree / "etc/large").write_bytes(b"0123456789" * 2000)
    os.link(tree / "etc/large", tree / "second name")
    (tree / "etc/large").chmod(0o4755)
    with open(os.path.join(os.fsencode(tree), b"caf\xe9"), "wb"):
        pass
    entries, archive = _shipment.describe(str(tree)), tmp_path / "archive"
    assert not _shipment.is_whole(str(archive), entries)
    write(tree, archive)
    assert _shipment.is_whole(str(archive), entries)
    whole = archive.read_bytes()
    # Also between two members, where tar(1) sees nothing wrong.
    for length in (0, 100, *range(512, len(whole.rstrip(b"\0")), 512)):
        archive.write_bytes(whole[:length])
        assert not _shipment.is_whole(str(archive), entries), length
    archive.write_bytes(whole.replace(b"0123456789", b"012345678x", 1))
    assert not _shipment.is_whole(str(archive), entries)


def test_a_single_file_is_whole_or_not(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source, archive = tree / "etc/file with blank", tmp_path / "archive"
    entries = _shipment.describe(str(source))
    assert not _shipment.is_whole(str(archive), entries)
    write(source, archive)
    assert _shipment.is_whole(str(archive), entries)
    archive.write_text("")
    assert not _shipment.is_whole(str(archive), entries)


def test_a_source_that_changes_while_it_is_read_is_refused(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    described = _shipment.identity(_shipment.describe(str(tree)))
    (tree / "etc/file with blank").write_text("edited")
    archive = tmp_path / "inputs" / described
    with pytest.raises(StageError, match="tree was changed while it was read"):
        _shipment.place_archive(str(tree), str(archive))
    assert list(archive.parent.iterdir()) == []
    archive = archive.with_name(_shipment.identity(_shipment.describe(str(tree))))
    _shipment.place_archive(str(tree), str(archive))
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    assert archive.stat().st_mode & 0o777 == 0o600


def test_what_a_checkout_cannot_hold_is_refused(tree: pathlib.Path) -> None:
    os.mkfifo(tree / "etc/pipe")
    with pytest.raises(StageError, match="pipe is neither a file, a directory nor a symbolic link"):
        _shipment.describe(str(tree))

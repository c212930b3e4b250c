# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests: what of a tree counts and what does not."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import socket
import stat
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils import _digest
from ansible_collections.liveforge.images.plugins.module_utils._digest import (
    canonical_json,
    file_sha256,
    file_state,
    fingerprint,
    tree_content,
    tree_contents,
    tree_state,
    walk,
)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "tree"
    (root / "folder/empty").mkdir(parents=True)
    (root / "file").write_text("content")
    (root / "folder/other").write_text("content")
    (root / "link").symlink_to("file")
    os.link(root / "file", root / "hard")
    return root


CHANGES: dict[str, t.Callable[[pathlib.Path], object]] = {
    "content": lambda root: (root / "file").write_text("contenT"),
    "mode": lambda root: (root / "file").chmod(0o600),
    "mode of a folder": lambda root: (root / "folder").chmod(0o700),
    "mode of the root": lambda root: root.chmod(0o700),
    "name": lambda root: (root / "file").rename(root / "renamed"),
    "new empty folder": lambda root: (root / "new").mkdir(),
    "new empty file": lambda root: (root / "new").touch(),
    "gone": lambda root: (root / "folder/empty").rmdir(),
    "link target": lambda root: ((root / "link").unlink(), (root / "link").symlink_to("fil")),
    "link becomes file": lambda root: ((root / "link").unlink(), (root / "link").write_text("file")),
    "hard link becomes copy": lambda root: ((root / "hard").unlink(), shutil.copy2(root / "file", root / "hard")),
    "attribute": lambda root: os.setxattr(root / "file", "user.note", b"x"),
    "attribute of a folder": lambda root: os.setxattr(root / "folder", "user.note", b"x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_content_counts(change: str, tree: pathlib.Path) -> None:
    before = tree_content(str(tree))
    CHANGES[change](tree)
    assert tree_content(str(tree)) != before


@pytest.mark.parametrize("change", CHANGES)
def test_state_notices_every_change(change: str, tree: pathlib.Path) -> None:
    before = tree_state(str(tree))
    CHANGES[change](tree)
    assert tree_state(str(tree)) != before


def test_state_notices_bytes_with_the_old_time(tree: pathlib.Path) -> None:
    path = tree / "file"
    before, file_before, status = tree_state(str(tree)), file_state(str(path)), path.stat()
    path.write_text("contenT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert tree_state(str(tree)) != before
    assert file_state(str(path)) != file_before


def test_times_order_and_inodes_do_not_count(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = tree_content(str(tree))
    os.utime(tree / "file", (1, 1))
    os.utime(tree / "link", (1, 1), follow_symlinks=False)
    assert tree_content(str(tree)) == before
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "link").symlink_to("file")
    (copy / "hard").write_text("content")
    os.link(copy / "hard", copy / "file")
    (copy / "folder/empty").mkdir(parents=True)
    (copy / "folder/other").write_text("content")
    assert tree_content(str(copy)) == before


def test_odd_names_and_files_of_all_types(tree: pathlib.Path) -> None:
    names = [b"\xff\xfe", b"new\nline", b'qu"ote', b"n" * 255, " blank ü".encode()]
    digests = {tree_content(str(tree))}
    for name in names:
        with open(os.path.join(os.fsencode(tree), name), "wb"):
            pass
        digests.add(tree_content(str(tree)))
    os.mkfifo(tree / "fifo")
    digests.add(tree_content(str(tree)))
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(tree)
    try:
        listener.bind("socket")
    finally:
        os.chdir(here)
    listener.close()
    digests.add(tree_content(str(tree)))
    assert len(digests) == len(names) + 3


def test_only_what_is_wanted_counts(tree: pathlib.Path) -> None:
    without = tree_content(str(tree), lambda path: not path.startswith("folder"))
    (tree / "folder/other").write_text("changed")
    assert tree_content(str(tree), lambda path: not path.startswith("folder")) == without
    assert tree_content(str(tree)) != without


def test_several_choices_are_as_each_of_them(tree: pathlib.Path) -> None:
    os.link(tree / "folder/other", tree / "another")
    choices = [None, lambda path: path.startswith("folder"), lambda path: path != "file", lambda path: False]
    together = tree_contents(str(tree), choices)
    assert together == [tree_content(str(tree), choice) for choice in choices]
    assert len(set(together)) == len(choices)


def test_each_file_is_read_once_for_several_choices(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = _digest.file_sha256
    monkeypatch.setattr(_digest, "file_sha256", lambda path: read.append(path) or original(path))
    tree_contents(str(tree), [None, lambda path: path.startswith("folder")])
    assert sorted(read) == [str(tree / "file"), str(tree / "folder/other")]


def test_files_that_move_between_folders_count(tree: pathlib.Path) -> None:
    """Adjoining fields must not run into each other: a/bc is not ab/c."""
    (tree / "a").mkdir()
    (tree / "ab").mkdir()
    (tree / "a/bc").write_text("x")
    one = tree_content(str(tree))
    (tree / "a/bc").rename(tree / "ab/c")
    assert tree_content(str(tree)) != one


def test_walk_is_sorted_by_bytes(tree: pathlib.Path) -> None:
    (tree / "Zebra").touch()
    (tree / "ä").touch()
    paths = [path for path, dummy in walk(str(tree))]
    assert paths == ["Zebra", "file", "folder", "folder/empty", "folder/other", "hard", "link", "ä"]


def test_file_digest_is_sha256(tmp_path: pathlib.Path) -> None:
    data = os.urandom((1 << 20) + 17)
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(str(tmp_path / "file")) == hashlib.sha256(data).hexdigest()


def test_fingerprint_does_not_depend_on_order() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"b": [2, 1]}) != fingerprint({"b": [1, 2]})
    assert canonical_json({"b": "ü", "a": None}) == b'{"a":null,"b":"\\u00fc"}'


def test_the_state_of_a_tree_is_the_one_that_stage_files_hold(tmp_path: pathlib.Path) -> None:
    """Another digest would have every output of an earlier version read whole at each run."""
    for name in ("a/below/file", "a.b", "z", os.fsdecode(b"not-utf8-\xff")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, errors="surrogateescape")
    (tmp_path / "link").symlink_to("a")
    own = os.lstat(tmp_path)
    lines = [f"{own.st_mode} {own.st_uid} {own.st_gid}"]
    for relative, status in walk(str(tmp_path)):
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        lines.append(
            f"{os.fsencode(relative).hex()} {status.st_mode} {status.st_uid} {status.st_gid} {status.st_ino} {size} "
            f"{status.st_mtime_ns} {status.st_ctime_ns}"
        )
    assert len(lines) == 8
    assert tree_state(str(tmp_path)) == hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()

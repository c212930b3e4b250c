# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Giving a finished output its name, and removing what is not finished."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pathlib
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils import _publish
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._lock import OutputLock


def make(path: pathlib.Path, kind: str, text: str) -> None:
    if kind == "tree":
        path.mkdir()
        (path / "file").write_text(text)
    else:
        path.write_text(text)


def content(path: pathlib.Path) -> str:
    return (path / "file" if path.is_dir() else path).read_text()


@pytest.mark.parametrize(
    ("new", "old"), [("file", ""), ("file", "file"), ("tree", ""), ("tree", "tree"), ("tree", "file")]
)
def test_new_replaces_old_and_nothing_else_is_left(new: str, old: str, tmp_path: pathlib.Path) -> None:
    output = tmp_path / "output"
    partial = pathlib.Path(_publish.partial_path(str(output)))
    make(partial, new, "new")
    if old:
        make(output, old, "old")
    _publish.publish(str(partial), str(output))
    assert content(output) == "new"
    assert os.listdir(tmp_path) == ["output"]


def test_file_does_not_replace_a_tree(tmp_path: pathlib.Path) -> None:
    make(tmp_path / "output", "tree", "old")
    make(tmp_path / ".output.partial", "file", "new")
    with pytest.raises(StageError, match=r"is a directory, but this stage makes a file\."):
        _publish.publish(str(tmp_path / ".output.partial"), str(tmp_path / "output"))
    assert content(tmp_path / "output") == "old"


def test_link_is_replaced_not_followed(tmp_path: pathlib.Path) -> None:
    make(tmp_path / "elsewhere", "file", "precious")
    (tmp_path / "output").symlink_to("elsewhere")
    make(tmp_path / ".output.partial", "file", "new")
    _publish.publish(str(tmp_path / ".output.partial"), str(tmp_path / "output"))
    assert not (tmp_path / "output").is_symlink()
    assert content(tmp_path / "elsewhere") == "precious"


def test_tree_is_replaced_where_paths_cannot_be_exchanged(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems (NFS) have no RENAME_EXCHANGE; none of them is at hand."""

    class Library:
        @staticmethod
        def renameat2(*dummy: t.Any) -> int:
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(_publish.ctypes, "CDLL", lambda *args, **options: Library)
    make(tmp_path / "output", "tree", "old")
    make(tmp_path / ".output.partial", "tree", "new")
    _publish.publish(str(tmp_path / ".output.partial"), str(tmp_path / "output"))
    assert content(tmp_path / "output") == "new"
    assert os.listdir(tmp_path) == ["output"]


def test_remove_takes_files_links_and_trees(tmp_path: pathlib.Path) -> None:
    make(tmp_path / "tree", "tree", "x")
    make(tmp_path / "file", "file", "x")
    (tmp_path / "link").symlink_to("tree")
    _publish.remove(str(tmp_path / "link"))
    assert (tmp_path / "tree").is_dir()
    for name in ("tree", "file", "never there"):
        _publish.remove(str(tmp_path / name))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "tree"])
def test_a_discarded_output_is_never_half_there(
    kind: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "output", kind, "old")
    _publish.discard(str(tmp_path / "output"))
    assert os.listdir(tmp_path) == []

    def killed(*dummy: t.Any) -> t.NoReturn:
        raise SystemExit

    make(tmp_path / "output", kind, "old")
    # What another one that was killed has left.
    make(tmp_path / ".output.partial", "file", "older")
    monkeypatch.setattr(_publish.shutil, "rmtree", killed)
    with contextlib.suppress(SystemExit):
        _publish.discard(str(tmp_path / "output"))
    assert not (tmp_path / "output").exists()


def test_what_killed_builds_of_other_versions_left_is_removed(tmp_path: pathlib.Path) -> None:
    for name in (".a-1.iso.partial", ".a-2.iso.partial", ".a-3.iso.partial", ".rootfs.partial", "a-1.iso"):
        make(tmp_path / name, "file", "half")
    for name in (".a-1.iso.partial.parts", ".a-2.iso.partial.parts"):
        make(tmp_path / name, "tree", "half")
    # Being built now, by somebody else and by the caller.
    lock = OutputLock(str(tmp_path / "a-2.iso"))
    lock.acquire(0, print)
    _publish.forget_unfinished(str(tmp_path / "a-3.iso"))
    left = sorted(name for name in os.listdir(tmp_path) if not name.endswith(".lock"))
    kept = [".a-2.iso.partial", ".a-2.iso.partial.parts", ".a-3.iso.partial", ".rootfs.partial", "a-1.iso"]
    assert left == kept
    lock.release()
    _publish.forget_unfinished(str(tmp_path / "without-suffix"))
    assert sorted(name for name in os.listdir(tmp_path) if not name.endswith(".lock")) == kept


def test_mount_points_are_found() -> None:
    assert "/proc" in _publish.mount_points_below("/proc")
    assert "/proc" in _publish.mount_points_below("/")
    assert _publish.mount_points_below("/pro") == []


@pytest.mark.parametrize("name", ["plain", "with blank", "back\\slash", "new\nline", "ü", "\udcff"])
def test_mount_points_with_any_name_are_found(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounting needs root: what the kernel shows for these names, escaped as proc(5) says, is written down instead."""
    raw = os.fsencode(tmp_path / name)
    escaped = raw.replace(b"\\", b"\\134").replace(b" ", b"\\040").replace(b"\n", b"\\012")
    table = tmp_path / "mountinfo"
    table.write_bytes(b"36 35 0:3 / " + escaped + b" rw - tmpfs tmpfs rw\n")
    real = open

    def opened(path: str, *args: t.Any, **options: t.Any) -> t.Any:
        return real(table if path == "/proc/self/mountinfo" else path, *args, **options)

    monkeypatch.setattr("builtins.open", opened)
    assert _publish.mount_points_below(str(tmp_path)) == [os.fsdecode(raw)]

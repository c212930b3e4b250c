# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""File system images: what a tree holds, what is left out of it, and how large its image gets."""

from __future__ import annotations

import os
import pathlib
import struct
import subprocess
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import MIB, ImageRequest, dotted_version
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.btrfs import Btrfs
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.erofs import compressors
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.ext import (
    Ext,
    InodeTable,
    modification_time,
)
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.tree import (
    TreeScan,
    _restricts,
    excluded_paths,
    named,
    scan,
)
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.view import TreeView
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.xfs import Xfs

UUID = "11111111-2222-5333-8444-555555555555"
EPOCH = 1_600_000_000


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "tree"
    for name in ("usr/share/doc/bash", "usr/share/doc/vim", "tmp", "etc/empty"):
        (root / name).mkdir(parents=True)
    for name in (
        "usr/share/doc/bash/README",
        "usr/share/doc/vim/.hidden",
        "tmp/.x",
        "tmp/y",
        "etc/new\nline",
        "etc/[a]",
    ):
        (root / name).write_text("text")
    (root / "etc/link").symlink_to("../usr")
    os.link(root / "etc/[a]", root / "etc/hard")
    with open(root / "etc/sparse", "wb") as stream:
        stream.truncate(8 << 20)
        stream.seek(4 << 20)
        stream.write(b"x" * 4096)
    return root


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], []),
        (["tmp/*"], ["tmp/.x", "tmp/y"]),
        (["usr/share/doc/*/*"], ["usr/share/doc/bash/README", "usr/share/doc/vim/.hidden"]),
        (["usr/*/*"], ["usr/share/doc"]),
        (["usr/share/doc", "usr/share/doc/*"], ["usr/share/doc"]),
        (["*/y"], ["tmp/y"]),
        (["etc/[[]a]"], ["etc/[a]"]),
        (["etc/[a]"], []),
        (["etc/new*"], ["etc/new\nline"]),
        (["etc/link/share"], []),  # links are not followed
        (["no/such/*", "tmp/y/z"], []),
    ],
)
def test_exclusions(patterns: list[str], found: list[str], tree: pathlib.Path) -> None:
    assert excluded_paths(str(tree), patterns) == found


def test_scan_counts(tree: pathlib.Path) -> None:
    everything = scan(str(tree), [])
    entries = [path for path in tree.rglob("*") if path.name != "hard"]
    assert everything.inodes == len(entries) + 1
    assert everything.size == 6 * 4 + (8 << 20)
    assert everything.data < 1 << 20  # without holes
    assert everything.blocks >= (8 << 20) // 4096  # with holes: the same wherever the tree lies
    less = scan(str(tree), ["tmp/y", "usr/share"])
    assert less.inodes == everything.inodes - 1 - 6
    assert scan(str(tree), ["etc/hard"]).inodes == everything.inodes


def test_scan_names_what_is_hard_to_keep(tree: pathlib.Path) -> None:
    (tree / "etc" / ("n" * 255)).touch()
    os.setxattr(tree / "etc/hard", "user.note", b"x")
    found = scan(str(tree), [])
    assert found.long_names == ["etc/" + "n" * 255]
    assert (found.device_nodes, found.acls, found.other_attributes) == ([], [], [])


def acl(*entries: tuple[int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, rights, 0) for tag, rights in entries)


OWNER, USER, GROUP, NAMED_GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


@pytest.mark.parametrize(
    ("value", "restricts"),
    [
        (acl((OWNER, 6), (GROUP, 4), (OTHER, 4)), False),
        (acl((OWNER, 7), (GROUP, 5), (NAMED_GROUP, 5), (MASK, 5), (OTHER, 5)), False),  # /var/log/journal
        (acl((OWNER, 6), (USER, 6), (GROUP, 4), (MASK, 6), (OTHER, 0)), True),  # the group gains w
        (acl((OWNER, 6), (USER, 0), (GROUP, 4), (MASK, 4), (OTHER, 4)), True),  # the user gains r
        (acl((OWNER, 6), (USER, 6), (GROUP, 0), (MASK, 0), (OTHER, 0)), False),
        (acl((OWNER, 6), (USER, 6), (GROUP, 4), (MASK, 0), (OTHER, 4)), True),  # the mask took everything
    ],
)
def test_lists_that_restrict_somebody(value: bytes, restricts: bool) -> None:
    assert _restricts(value) == restricts


def test_paths_for_messages() -> None:
    assert named(["b", "a"]) == "a, b"
    assert named([" x", "a\nb"]) == "' x', 'a\\nb'"
    assert named([str(number) for number in range(9)]) == "0, 1, 2, 3, 4 and 4 more"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("mkfs.erofs 1.5", (1, 5)), ("mksquashfs version 4.6.1 (2023/03/25)", (4, 6, 1)), ("none", ()), ("mkfs 7", ())],
)
def test_versions(text: str, numbers: tuple[int, ...]) -> None:
    assert dotted_version(text) == numbers


@pytest.mark.parametrize(
    ("usage", "names"),
    [
        ("\nAvailable compressors are: lz4hc, lz4\n", ["lz4", "lz4hc"]),
        (
            " -zX[,level=Y]\nSupported algorithms are:\n  lz4\n  lz4hc[,level=<0-12>]\n  zstd[,...]\n",
            ["lz4", "lz4hc", "zstd"],
        ),
        ("usage without a list", []),
    ],
)
def test_compressors_of_erofs(usage: str, names: list[str]) -> None:
    assert compressors(usage) == names


def request_for(tree: pathlib.Path, folder: pathlib.Path, **values: t.Any) -> ImageRequest:
    found = scan(str(tree), [])
    usual = {
        "path": str(folder / "image"),
        "view": TreeView(str(tree), [], str(folder)),
        "scan": found,
        "size": Ext("ext4").default_size(found),
        "label": None,
        "uuid": UUID,
        "options": (),
        "source_date_epoch": EPOCH,
        "scratch": str(folder),
    }
    return ImageRequest(**(usual | values))


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", ["ext2", "ext3", "ext4"])
def test_no_time_in_the_image_is_later_than_asked(name: str, tree: pathlib.Path, folder: pathlib.Path) -> None:
    os.utime(tree / "tmp/y", (1, 12345))
    Ext(name).make(request_for(tree, folder), Runner(str(folder / "log"), EPOCH))
    with open(folder / "image", "rb") as image:
        inodes = dict(InodeTable(image).used())
    assert len(inodes) >= scan(str(tree), []).inodes
    times = set()
    for inode in inodes.values():
        accessed, changed = struct.unpack_from("<II", inode, 8)
        if struct.unpack_from("<H", inode)[0] & 0o170000 and accessed:
            assert (accessed, changed) == (EPOCH, EPOCH)
            times.add(modification_time(inode))
    assert times == {EPOCH, 12345}


def test_same_image_from_a_touched_tree(tree: pathlib.Path, folder: pathlib.Path) -> None:
    images = []
    for number in range(2):
        subprocess.run(["chmod", "-R", "u+rwX", str(tree)], check=True)  # new change times
        (tree / "tmp/y").read_text()
        os.utime(tree / "etc")
        request = request_for(tree, folder, path=str(folder / f"image{number}"))
        Ext("ext4").make(request, Runner(str(folder / "log"), EPOCH))
        images.append((folder / f"image{number}").read_bytes())
    assert images[0] == images[1]


def test_user_options_join_ours(tree: pathlib.Path, folder: pathlib.Path) -> None:
    options = ("-O", "^has_journal,ea_inode", "-Estride=8", "-M", "/")
    line = Ext("ext4").mkfs(request_for(tree, folder, options=options))
    assert line.count("-O") == line.count("-E") == 1
    assert line[line.index("-O") + 1].startswith("none,has_journal,") and line[line.index("-O") + 1].endswith(
        ",ea_inode"
    )
    assert line[line.index("-E") + 1].startswith(f"hash_seed={UUID},") and line[line.index("-E") + 1].endswith(
        ",stride=8"
    )
    assert "-J" not in line and "-M" in line


def test_ext2_has_no_journal(tree: pathlib.Path, folder: pathlib.Path) -> None:
    assert "-J" not in Ext("ext2").mkfs(request_for(tree, folder))
    assert "-J" in Ext("ext3").mkfs(request_for(tree, folder))


def test_tree_that_does_not_fit_is_said_to_be_too_large(tree: pathlib.Path, folder: pathlib.Path) -> None:
    (tree / "large").write_bytes(os.urandom(20 << 20))
    with pytest.raises(StageError, match=r"does not fit into 16 MiB\. Raise size or leave it out: then it is \d+ MiB"):
        Ext("ext4").make(request_for(tree, folder, size=16 * MIB), Runner(str(folder / "log"), EPOCH))


def test_attributes_that_do_not_fit_are_explained(tree: pathlib.Path, folder: pathlib.Path) -> None:
    for number in range(12):
        os.setxattr(tree / "etc/hard", f"user.{number}", b"v" * 300)
    with pytest.raises(StageError, match=r"-O ea_inode"):
        # Half the blocks of the tree's own file system: too small for what that could hold.
        Ext("ext4").make(request_for(tree, folder, options=("-b", "2048")), Runner(str(folder / "log"), EPOCH))


def test_tree_that_changed_meanwhile_is_noticed(tree: pathlib.Path, folder: pathlib.Path) -> None:
    request = request_for(tree, folder)
    (tree / "late").touch()
    (tree / "later").touch()
    with pytest.raises(StageError, match="Was the tree changed meanwhile"):
        Ext("ext4").make(request, Runner(str(folder / "log"), EPOCH))


def test_size_has_room_to_write() -> None:
    """KIWI's rule: half as much again."""
    tree = TreeScan(blocks=100 * 256, inodes=1000)
    for filesystem in (Ext("ext4"), Xfs(), Btrfs()):
        size = filesystem.default_size(tree)
        assert size % MIB == 0
        assert 150 * MIB + filesystem.smallest * MIB <= size < 550 * MIB


def test_btrfs_refuses_what_its_tool_would_lose(tree: pathlib.Path) -> None:
    found = scan(str(tree), [])
    found.root_status = os.stat("/")
    Btrfs().refuse(found)
    found.device_nodes = ["dev/null"]
    with pytest.raises(StageError, match=r"device nodes, but the tree has dev/null\."):
        Btrfs().refuse(found)
    found.device_nodes = []
    found.root_attributes = ["user.x"]
    with pytest.raises(StageError, match=r"user\.x"):
        Btrfs().refuse(found)


def test_view_without_exclusions_is_the_tree_itself(tree: pathlib.Path, folder: pathlib.Path) -> None:
    view = TreeView(str(tree), [], str(folder))
    assert view.path == str(tree) and not view.masked
    assert view.command(["ls", view.path]) == ["ls", str(tree)]
    assert os.listdir(folder) == []

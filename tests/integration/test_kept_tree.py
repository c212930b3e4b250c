# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packed tree of packages: what is unpacked from it is what was packed, in everything that an image can hold."""

from __future__ import annotations

import os
import pathlib
import stat
import typing as t

import pytest

import playbook
from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._digest import tree_content
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import kept_tree
from ansible_collections.liveforge.images.plugins.module_utils._stage import disk_usage
from integration import torture_tree


@pytest.fixture
def folder() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("kept-tree-test") as place:
        yield place


def test_unpacked_tree_is_the_packed_one(folder: pathlib.Path) -> None:
    tree, again = str(folder / "tree"), str(folder / "again")
    torture_tree.make(tree)
    # What layers have besides: a name that is gone, and a directory that hides the one below.
    os.mknod(os.path.join(tree, "etc/gone"), stat.S_IFCHR, 0)
    os.setxattr(os.path.join(tree, "empty"), "trusted.overlay.opaque", b"y")
    precise = os.path.join(tree, "var/one-block")
    os.utime(precise, ns=(1, 1_600_000_000_123_456_789))
    runner = Runner(str(folder / "log"))
    kept_tree.pack(tree, str(folder / "archive"), runner)
    kept_tree.unpack(str(folder / "archive"), again, runner)
    assert torture_tree.describe(again) == torture_tree.describe(tree)
    assert tree_content(again) == tree_content(tree)
    assert os.stat(os.path.join(again, "var/one-block")).st_mtime_ns == 1_600_000_000_123_456_789
    assert not os.path.lexists(os.path.join(tree, "var/socket"))
    # Nobody else may read what only root may read in the tree.
    assert stat.S_IMODE(os.stat(folder / "archive").st_mode) == 0o600
    # Of a file with a hole of 100 MiB, that hole is nowhere.
    assert disk_usage(again) < 60_000_000
    assert disk_usage(str(folder / "archive")) < 10_000_000

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Differences between two trees, by path and attribute."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._compare.difference import byte_ranges, first_byte
from ansible_collections.liveforge.images.plugins.module_utils._compare.trees import (
    compare_trees,
    listing,
    listing_sha256,
)


def make(root: pathlib.Path, names: t.Sequence[str]) -> pathlib.Path:
    root.mkdir()
    for name in names:
        (root / name).write_text(f"content of {name}\n")
    os.link(root / "b", root / "hard")
    (root / "link").symlink_to("a")
    (root / "folder").mkdir()
    for path in (root / "a", root / "b", root / "folder", root):
        os.utime(path, (1, 1))
    os.utime(root / "link", (1, 1), follow_symlinks=False)
    return root


@pytest.fixture
def trees(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    return make(tmp_path / "1", ["a", "b"]), make(tmp_path / "2", ["b", "a"])


def differences(trees: tuple[pathlib.Path, pathlib.Path]) -> list[tuple[str, str]]:
    return [(found.place, found.what) for found in compare_trees(*map(str, trees))]


def test_the_order_of_making_does_not_count(trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    assert differences(trees) == []
    digests = {listing_sha256(listing(str(tree))) for tree in trees}
    assert len(digests) == 1


def _other_link(tree: pathlib.Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("b")
    os.utime(tree / "link", (1, 1), follow_symlinks=False)


def _no_hard_link(tree: pathlib.Path) -> None:
    content = (tree / "b").read_bytes()
    (tree / "hard").unlink()
    (tree / "hard").write_bytes(content)
    os.utime(tree / "hard", (1, 1))


def _content(tree: pathlib.Path) -> None:
    (tree / "a").write_text("content of A\n")
    os.utime(tree / "a", (1, 1))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda tree: (tree / "a").chmod(0o600), [("a", "mode")]),
        (lambda tree: os.utime(tree / "folder", (1, 2)), [("folder", "time")]),
        (lambda tree: (tree / "new").write_text(""), [(".", "time"), ("new", "existence")]),
        (_content, [("a", "content (from byte 11)")]),
        (_other_link, [(".", "time"), ("link", "target")]),
        (_no_hard_link, [(".", "time"), ("hard", "content"), ("hard", "hard link to")]),
    ],
)
def test_path_and_attribute_are_named(
    trees: tuple[pathlib.Path, pathlib.Path],
    change: t.Callable[[pathlib.Path], t.Any],
    expected: list[tuple[str, str]],
) -> None:
    change(trees[1])
    assert differences(trees) == expected
    assert listing_sha256(listing(str(trees[0]))) != listing_sha256(listing(str(trees[1])))


@pytest.mark.parametrize(
    ("first", "second", "ranges", "byte"),
    [
        (b"x" * 5000, b"x" * 5000, [], None),
        (b"x" * 5000, b"x" * 2500 + b"y" + b"x" * 2499, [(2048, 4096)], 2500),
        (b"x" * 5000, b"x" * 4096, [(4096, 5000)], 4096),
        (bytes(3 << 20), bytes((1 << 20) - 1) + b"\1\1" + bytes((2 << 20) - 1), [((1 << 20) - 2048, (1 << 20) + 2048)],
         (1 << 20) - 1),
    ],
)  # fmt: skip
def test_sectors_that_differ(
    tmp_path: pathlib.Path, first: bytes, second: bytes, ranges: list[tuple[int, int]], byte: int | None
) -> None:
    paths = [tmp_path / "1", tmp_path / "2"]
    for path, content in zip(paths, (first, second), strict=True):
        path.write_bytes(content)
    with open(paths[0], "rb") as one, open(paths[1], "rb") as other:
        assert list(byte_ranges(one, other)) == ranges
    assert first_byte(*map(str, paths)) == byte

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two file system images compared file by file. Private to this collection."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._compare.difference import Difference, bytes_differ
from ansible_collections.liveforge.images.plugins.module_utils._compare.trees import compare_trees

# Where each kind has its magic number.
_MAGIC = (
    ("squashfs", 0, b"hsqs"),
    ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    ("ext", 1080, b"\x53\xef"),
    ("xfs", 0, b"XFSB"),
    ("btrfs", 0x10040, b"_BHRfS_M"),
)
_FOLLOWING = re.compile(r"size|blocks|inodes|count|number|checksum|journal|writes|usage", re.IGNORECASE)
_NESTED = ("ext", "xfs", "btrfs")


def kind_of(path: str) -> str | None:
    """``squashfs``, ``erofs``, ``ext``, ``xfs``, ``btrfs``, or None for anything else."""
    with open(path, "rb") as stream:
        for kind, offset, magic in _MAGIC:
            stream.seek(offset)
            if stream.read(len(magic)) == magic:
                return kind
    return None


def compare_filesystems(first: str, second: str, run: Runner, scratch: str) -> t.Iterator[Difference]:
    """What differs between two file system images that are not the same.

    Args:
        first: the one.
        second: the other.
        run: runs the tools.
        scratch: an empty folder with room for the files of both.
    """
    kinds = [kind_of(first), kind_of(second)]
    if kinds[0] != kinds[1]:
        yield Difference("the image as a whole", "file system", str(kinds[0]), str(kinds[1]))
        return
    found = False
    for difference in _contents(kinds[0], (first, second), run, scratch):
        found = True
        yield difference
    for difference in _superblocks(kinds[0], (first, second), run):
        # Numbers and sizes follow from the files.
        if not found or not _FOLLOWING.search(difference.what):
            yield difference
            found = True
    if not found:
        # The same files and the same superblock: what is left is the order or the compression of the blocks.
        for difference in bytes_differ(first, second):
            yield Difference(difference.place, "order or compression of blocks", difference.first, difference.second)


def _contents(kind: str | None, images: tuple[str, str], run: Runner, scratch: str) -> t.Iterator[Difference]:
    trees = [os.path.join(scratch, side) for side in ("1", "2")]
    for image, tree in zip(images, trees, strict=True):
        if not _unpack(kind, image, tree, run):
            return
    nested = [os.path.join(tree, "LiveOS", "rootfs.img") for tree in trees]
    if not all(os.path.isfile(path) and kind_of(path) in _NESTED for path in nested):
        yield from compare_trees(*trees)
        return
    for difference in compare_trees(*trees):
        if difference.place != "LiveOS/rootfs.img" or not difference.what.startswith("content"):
            yield difference
    inside = os.path.join(scratch, "nested")
    os.mkdir(inside)
    for difference in compare_filesystems(*nested, run, inside):
        yield Difference(f"LiveOS/rootfs.img: {difference.place}", difference.what, difference.first, difference.second)


def _unpack(kind: str | None, image: str, tree: str, run: Runner) -> bool:
    """Unpack an image into the new folder ``tree``; False for a kind that cannot be unpacked without mounting it."""
    task = f"unpacking {image}"
    if kind == "squashfs":
        run.run(["unsquashfs", "-no-progress", "-quiet", "-dest", tree, image], task=task)
    elif kind == "erofs":
        run.run(["fsck.erofs", f"--extract={tree}", "--preserve", image], task=task)
    elif kind == "ext":
        os.mkdir(tree)
        run.run(["debugfs", "-R", f'rdump / "{tree}"', image], task=task)
    else:
        return False
    return True


def _superblocks(kind: str | None, images: tuple[str, str], run: Runner) -> t.Iterator[Difference]:
    """What the superblocks say differently, where a tool prints them."""
    commands = {"squashfs": ["unsquashfs", "-s"], "ext": ["dumpe2fs", "-h"], "erofs": ["dump.erofs", "-s"]}
    if kind not in commands:
        return
    texts = [run.run([*commands[kind], image], task=f"reading the superblock of {image}") for image in images]
    fields = [dict(re.findall(r"^([A-Za-z][^:\n]*?)(?::[ \t]+| (?=\d))(.*)$", text, re.MULTILINE)) for text in texts]
    for name in fields[0]:
        values = [side.get(name, "nothing") for side in fields]
        if values[0] != values[1] and not any(image in value for image in images for value in values):
            yield Difference("superblock", name, *values)

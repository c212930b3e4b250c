# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""File system images made from a tree, without loop devices and mounts of the host. Private to this collection."""

from __future__ import annotations

import abc
import dataclasses
import os
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner, find_tool, tool_version
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.tree import BLOCK, TreeScan
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.view import TreeView

MIB = 1 << 20
# Read-only file systems that hold the root tree themselves; any other goes inside a squashfs.
DIRECT_FILESYSTEMS = ("squashfs", "erofs")


@dataclasses.dataclass(frozen=True)
class ImageRequest:
    """What image to make of what tree.

    Attributes:
        path: the image file; it does not exist yet.
        view: the tree.
        scan: what is in it.
        size: bytes of the file system.
        label: its label, or None.
        uuid: its UUID.
        options: further options for its mkfs.
        source_date_epoch: seconds since 1970 that no time stamp exceeds, or None.
        scratch: a folder for files needed on the way.
    """

    path: str
    view: TreeView
    scan: TreeScan
    size: int
    label: str | None
    uuid: str
    options: tuple[str, ...]
    source_date_epoch: int | None
    scratch: str


class Filesystem(abc.ABC):
    """A file system type that a writable image can have.

    Attributes:
        name: KIWI's name of it.
        label_length: bytes that its label may have.
        smallest: MiB that it needs at least.
        copies: images of the tree that there are while one is made.
    """

    name: t.ClassVar[str]
    label_length: t.ClassVar[int]
    smallest: t.ClassVar[int]
    copies: t.ClassVar[int] = 1

    @property
    def maker(self) -> str:
        """The tool that makes it."""
        return f"mkfs.{self.name}"

    def version(self) -> str:
        """Version of the tool that makes it."""
        return tool_version(self.maker, "-V")

    def tools(self) -> tuple[str, ...]:
        """Tools needed to make and check it."""
        return (self.maker,)

    def require(self) -> None:
        """Raise StageError when something is missing on this host to make it."""
        for tool in self.tools():
            find_tool(tool)

    def refuse(self, scan: TreeScan) -> None:
        """Raise StageError, naming paths, when the image could not keep something of the tree."""
        return

    def default_size(self, scan: TreeScan) -> int:
        """Bytes for a tree and room to write half as much again, as KIWI has it."""
        needed = scan.blocks * BLOCK * 3 // 2 + scan.inodes * self.inode_cost() + (self.smallest + 16) * MIB
        return -(-needed // MIB) * MIB

    def space(self, scan: TreeScan, size: int) -> int:
        """Bytes of disk that it takes to make an image of ``size``, which has holes where nothing is written."""
        holes = scan.size - scan.data
        written = scan.blocks * BLOCK - holes + scan.inodes * self.inode_cost() + (self.smallest + 16) * MIB
        return min(size, written)

    def inode_cost(self) -> int:
        """Bytes of metadata for a file, on top of its data."""
        return 512

    def check_label(self, label: str) -> None:
        """Raise StageError for a label that is too long."""
        if len(label.encode("utf-8", "surrogateescape")) > self.label_length:
            raise StageError(f"label: {label!r} is too long. {self.name} allows {self.label_length} bytes.")

    def too_small(self, request: ImageRequest) -> str:
        """Sentence for a tree that does not fit."""
        return (
            f"The tree does not fit into {request.size // MIB} MiB. Raise size or leave it out: then it is "
            f"{self.default_size(request.scan) // MIB} MiB."
        )

    @abc.abstractmethod
    def make(self, request: ImageRequest, run: Runner) -> None:
        """Make the image and check it."""


def empty_image(request: ImageRequest) -> None:
    """An empty sparse file of the size that the file system shall have."""
    with open(request.path, "xb") as stream:
        os.truncate(stream.fileno(), request.size)


def dotted_version(text: str) -> tuple[int, ...]:
    """Numbers of the first version in a text; () without one."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(number) for number in match[0].split(".")) if match else ()

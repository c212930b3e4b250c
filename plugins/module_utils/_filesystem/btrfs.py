# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Btrfs images. Private to this collection."""

from __future__ import annotations

import stat

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import (
    Filesystem,
    ImageRequest,
    empty_image,
)
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.tree import TreeScan, named


class Btrfs(Filesystem):
    """An image filled by ``mkfs.btrfs --rootdir``.

    It is checked file by file that this keeps owners, modes, extended attributes, hard links and file names. It drops
    the numbers of device nodes and the attributes of the root directory, and fills holes; see :meth:`refuse`.
    """

    name = "btrfs"
    label_length = 255
    smallest = 128

    def tools(self) -> tuple[str, ...]:
        return (self.maker, "btrfs")

    def inode_cost(self) -> int:
        return 1024

    def space(self, scan: TreeScan, size: int) -> int:
        return min(size, super().space(scan, size) + scan.size - scan.data)

    def refuse(self, scan: TreeScan) -> None:
        if scan.device_nodes:
            raise StageError(
                "filesystem: mkfs.btrfs cannot store the numbers of device nodes, but the tree has "
                f"{named(scan.device_nodes)}. Remove or exclude them (udev makes them anew), or choose ext4."
            )
        status = scan.root_status
        if (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (0o755, 0, 0) or scan.root_attributes:
            raise StageError(
                "filesystem: mkfs.btrfs gives the root directory mode 0755, owner root and no extended attributes, but "
                f"root has {stat.S_IMODE(status.st_mode):04o}, {status.st_uid}:{status.st_gid}, "
                f"{named(scan.root_attributes) or 'no attributes'}. Change them or choose ext4."
            )

    def make(self, request: ImageRequest, run: Runner) -> None:
        empty_image(request)
        run.run(
            request.view.command(self.mkfs(request)),
            task="filling the btrfs image",
            namespaces=request.view.masked,
            hint=lambda text: self._hint(text, request),
        )
        run.run(
            ["btrfs", "check", "--readonly", request.path],
            task="checking the image",
            hint=lambda text: (
                "Some names of a hard-linked file are excluded, which mkfs.btrfs does not know. Exclude all or none."
                if "link count wrong" in text
                else None
            ),
        )

    def mkfs(self, request: ImageRequest) -> list[str]:
        """The command that makes and fills it."""
        line = [self.maker, "-q", "-f", "-K", "-U", request.uuid, "-m", "single", "-d", "single"]
        if request.label:
            line += ["-L", request.label]
        return [*line, *request.options, "--rootdir", request.view.path, request.path]

    def _hint(self, text: str, request: ImageRequest) -> str | None:
        if "No space left" in text or "too small" in text or "not enough free space" in text:
            return self.too_small(request)
        return None

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of live_squashfs and what they mean together. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import platform

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import Filesystem
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.btrfs import Btrfs
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.erofs import PRESETS as EROFS_PRESETS
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.erofs import ErofsCompression
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.ext import Ext
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.tree import check_patterns
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.xfs import Xfs
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.compression import (
    Compression,
    block_bytes,
    resolve,
)
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.pack import time_options

NESTED: dict[str, Filesystem] = {
    **{name: Ext(name) for name in ("ext2", "ext3", "ext4")},
    "xfs": Xfs(),
    "btrfs": Btrfs(),
}


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """What the user asked for; names and meaning are those of the module's options."""

    root: str
    filesystem: str = "squashfs"
    compression: str = "balanced"
    squashfscompression: str | None = None
    erofscompression: str | None = None
    compression_level: int | None = None
    block_size: str | None = None
    size: int | None = None
    size_additive: bool = False
    label: str | None = None
    fscreateoptions: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    processors: int | None = None
    memory: int | None = None
    layer: bool = False

    @property
    def nested(self) -> Filesystem | None:
        """The file system inside the squashfs, if any."""
        return NESTED.get(self.filesystem)

    def check(self, *, with_epoch: bool) -> None:
        """Raise StageError for values that cannot work or do not go together."""
        if not os.path.isabs(self.root):
            raise StageError(f"root must be an absolute path, not {self.root!r}.")
        check_patterns(self.exclude)
        if self.layer and self.filesystem != "squashfs":
            raise StageError(
                f"layer: a layer is stacked as a squashfs, so filesystem {self.filesystem} is not possible. "
                "Use squashfs."
            )
        self._validate_compression()
        if self.size is not None:
            self._validate_size(self.size)
        elif self.size_additive:
            raise StageError("size_additive: give size, the MiB to add.")
        if self.label is not None:
            self._validate_label(self.label)
        for name in ("processors", "memory"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise StageError(f"{name} must be 1 or more, not {value}.")
        times = time_options(self.fscreateoptions)
        if times and with_epoch:
            raise StageError(f"fscreateoptions: {times[0]} and source_date_epoch exclude each other. Leave one out.")

    def _validate_compression(self) -> None:
        if self.filesystem == "erofs":
            for name in ("squashfscompression", "compression_level"):
                if getattr(self, name) is not None:
                    raise StageError(f"{name} is for squashfs. With filesystem=erofs set erofscompression instead.")
        elif self.erofscompression is not None:
            raise StageError("erofscompression is for filesystem=erofs. Set squashfscompression instead.")
        self.how_to_compress()

    def _validate_size(self, size: int) -> None:
        if self.nested is None:
            raise StageError(f"size: {self.filesystem} images are as large as their content. Leave it out.")
        if self.size_additive:
            if size < 0:
                raise StageError(f"size: with size_additive it must be 0 or more, not {size}.")
        elif size < self.nested.smallest:
            raise StageError(f"size: {self.nested.name} needs {self.nested.smallest} MiB or more, not {size}.")

    def _validate_label(self, label: str) -> None:
        if self.nested is not None:
            self.nested.check_label(label)
        elif self.filesystem == "squashfs":
            raise StageError("label: squashfs has no labels. Leave it out.")

    def how_to_compress(self) -> Compression | ErofsCompression:
        """The compression that the options ask for."""
        if self.filesystem != "erofs":
            return resolve(
                self.compression,
                self.squashfscompression,
                self.compression_level,
                self.block_size,
                platform.machine(),
            )
        text, cluster = EROFS_PRESETS[self.compression]
        if self.erofscompression is not None:
            text = "" if self.erofscompression == "uncompressed" else self.erofscompression
        if self.block_size is not None:
            cluster = block_bytes(self.block_size)
        return ErofsCompression(text, cluster)

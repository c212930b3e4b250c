# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""EROFS images. Private to this collection."""

from __future__ import annotations

import dataclasses
import re
import subprocess

from ansible_collections.liveforge.images.plugins.module_utils._command import (
    Runner,
    environment,
    find_tool,
    tool_version,
)
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import dotted_version
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.tree import TreeScan, named
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.view import TreeView

# (text for mkfs.erofs -z, bytes of a cluster). lz4 is what every kernel with EROFS can read; lzma needs Linux 5.16.
PRESETS = {
    "fast": ("lz4", 1 << 16),
    "balanced": ("lz4hc,9", 1 << 16),
    "small": ("lz4hc,12", 1 << 17),
    "smallest": ("lzma", 1 << 17),
}
# Upstream withdrew them: damaged fragments (erofs-utils ChangeLog).
_WITHDRAWN = ((1, 8, 7), (1, 8, 8))


@dataclasses.dataclass(frozen=True)
class ErofsCompression:
    """Compression of an EROFS image.

    Attributes:
        text: what follows ``-z``, such as ``lz4hc,12``; empty for none.
        cluster: bytes compressed as one.
    """

    text: str
    cluster: int

    @property
    def algorithm(self) -> str:
        """Its name."""
        return re.split("[,:]", self.text)[0] or "uncompressed"


class Erofs:
    """An image made by ``mkfs.erofs``, which keeps everything that a tree can hold."""

    maker = "mkfs.erofs"

    def version(self) -> str:
        """Version of the tool: the line that is nothing but its name and a number, among its usage."""
        match = re.search(r"^mkfs\.erofs \(?.*\d.*$", _usage(), re.MULTILINE)
        return match[0] if match else tool_version(self.maker, "-V")

    def require(self, compression: ErofsCompression) -> None:
        """Raise StageError when this host's tools cannot make the image."""
        for tool in (self.maker, "fsck.erofs"):
            find_tool(tool)
        version = self.version()
        if dotted_version(version) in _WITHDRAWN:
            raise StageError(f"{version} damages images and was withdrawn. Install erofs-utils 1.8.10 or newer.")
        available = compressors(_usage())
        if compression.text and compression.algorithm not in available:
            raise StageError(
                f"filesystem: {version} of this build host cannot compress with {compression.algorithm}, only with "
                f"{', '.join(available)}. Set erofscompression or compression to one of these, or upgrade erofs-utils."
            )

    def make(
        self,
        path: str,
        view: TreeView,
        scan: TreeScan,
        compression: ErofsCompression,
        *,
        uuid: str,
        label: str | None,
        options: tuple[str, ...],
        source_date_epoch: int | None,
        run: Runner,
    ) -> None:
        """Make the image at ``path`` and check it."""
        line = [self.maker, "--quiet", "-U", uuid]
        if compression.text:
            line += [f"-z{compression.text}", f"-C{compression.cluster}"]
        if source_date_epoch is not None:
            line.append(f"-T{source_date_epoch}")
        if label:
            line.append(f"-L{label}")
        run.run(
            view.command([*line, *options, path, view.path]),
            task="packing the root tree",
            namespaces=view.masked,
            hint=lambda text: _hint(text, scan),
        )
        run.run(["fsck.erofs", path], task="checking the image")

    def has_labels(self) -> bool:
        """Whether this version can set a label."""
        return bool(re.search(r"^ +-L", _usage(), re.MULTILINE))


def compressors(usage: str) -> list[str]:
    """Names of the algorithms that mkfs.erofs says it has."""
    match = re.search(r"(?:Available compressors|Supported algorithms) are:(.*)", usage, re.DOTALL)
    found = re.findall(r"\b(lz4hc|lz4|lzma|deflate|libdeflate|zstd)\b", match[1] if match else "")
    return sorted(set(found))


def _usage() -> str:
    # Version 1.5 writes its usage to standard error and its version to standard output, both with either option.
    done = subprocess.run(
        [find_tool(Erofs.maker), "--help"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace")


def _hint(text: str, scan: TreeScan) -> str | None:
    if scan.long_names and "No such file or directory" in text:
        return f"This version cannot pack names of 255 bytes: {named(scan.long_names)}. Exclude them or use squashfs."
    return None

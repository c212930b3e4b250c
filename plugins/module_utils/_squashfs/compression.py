# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compression of a squashfs image. Private to this collection."""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

ALGORITHMS = ("uncompressed", "gzip", "lzo", "lz4", "xz", "zstd")
_LEVELS = {"gzip": (1, 9), "lzo": (1, 9), "zstd": (1, 22)}  # mksquashfs(1), compressor options
_SMALLEST_BLOCK, _LARGEST_BLOCK = 1 << 12, 1 << 20
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}


@dataclasses.dataclass(frozen=True)
class Compression:
    """How mksquashfs compresses.

    Attributes:
        algorithm: one of :data:`ALGORITHMS`.
        level: compression level, or None for the tool's default.
        block_size: bytes compressed as one. Larger ones save space and make every small read slower.
        bcj: executable filter of xz, or None.
    """

    algorithm: str
    level: int | None
    block_size: int
    bcj: str | None = None

    def arguments(self) -> list[str]:
        """The options of mksquashfs(1)."""
        line = ["-b", str(self.block_size)]
        if self.algorithm == "uncompressed":
            return [*line, "-noI", "-noD", "-noF", "-noX"]
        line += ["-comp", self.algorithm]
        if self.level is not None:
            line += ["-Xcompression-level", str(self.level)]
        if self.bcj:
            line += ["-Xbcj", self.bcj]
        return line


# Measured on root trees: a level above these costs much and gains little. Random reads cost in proportion to the block.
PRESETS = {
    "fast": Compression("zstd", 3, 1 << 17),
    "balanced": Compression("zstd", 6, 1 << 18),
    "small": Compression("zstd", 19, 1 << 20),
    "smallest": Compression("xz", None, 1 << 20, "x86"),
}
# For an algorithm other than the preset's: the tools' defaults are their slowest levels.
_USUAL_LEVELS = {"gzip": 6, "zstd": 6}


def resolve(preset: str, algorithm: str | None, level: int | None, block_size: str | None, machine: str) -> Compression:
    """A preset with parts replaced.

    Args:
        preset: a name of :data:`PRESETS`.
        algorithm: option squashfscompression.
        level: option compression_level.
        block_size: option block_size, such as ``256K``.
        machine: ``uname -m`` of the build host, which decides about the executable filter.

    Raises:
        StageError: values that do not go together.
    """
    chosen = PRESETS[preset]
    if chosen.bcj and not re.fullmatch("x86_64|i[3-6]86", machine):
        chosen = dataclasses.replace(chosen, bcj=None)
    if algorithm is not None and algorithm != chosen.algorithm:
        chosen = Compression(algorithm, _USUAL_LEVELS.get(algorithm), chosen.block_size)
    if level is not None:
        chosen = dataclasses.replace(chosen, level=_checked_level(chosen.algorithm, level))
    if block_size is not None:
        chosen = dataclasses.replace(chosen, block_size=block_bytes(block_size))
    return chosen


def _checked_level(algorithm: str, level: int) -> int:
    if algorithm not in _LEVELS:
        raise StageError(
            f"compression_level: {algorithm} has no levels. Leave it out, or set squashfscompression to one of "
            f"{', '.join(sorted(_LEVELS))}."
        )
    low, high = _LEVELS[algorithm]
    if not low <= level <= high:
        raise StageError(f"compression_level: {algorithm} has the levels {low} to {high}, not {level}.")
    return level


def block_bytes(text: str) -> int:
    """Bytes of a block size such as ``131072``, ``128K`` or ``1M``; a power of two from 4K to 1M."""
    match = re.fullmatch(r"(\d+)([KM]?)", text.strip().upper())
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if size & (size - 1) or not _SMALLEST_BLOCK <= size <= _LARGEST_BLOCK:
        raise StageError(f"block_size: {text!r} is not a power of two between 4K and 1M, such as 128K.")
    return size


def literal_pattern(path: str) -> str:
    """``path`` as a mksquashfs wildcard that matches nothing else (fnmatch(3) with extended patterns)."""
    return "".join(char if char.isalnum() or char in "/._-" else "\\" + char for char in path)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kind of read-only file system image a file is, from its superblock. Private to this collection.

Formats: kernel sources, fs/squashfs/squashfs_fs.h and fs/erofs/erofs_fs.h.
"""

from __future__ import annotations

import struct
import typing as t

# Both superblocks lie within the first bytes: squashfs at 0, erofs at 1024.
HEAD_SIZE = 2048

_SQUASHFS_COMPRESSION = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
_EROFS_COMPRESSION = ("lz4", "lzma", "deflate", "zstd")
_EROFS_MAGIC = 0xE0F5E1E2
_EROFS_LZ4_0PADDING = 0x1
_EROFS_COMPR_CFGS = 0x2


def identify(head: bytes) -> dict[str, t.Any]:
    """What the first :data:`HEAD_SIZE` bytes of an image say: ``type``; ``compression`` and ``block_size`` if known.

    ``type`` is ``squashfs``, ``erofs`` or ``unknown``; ``compression`` names what the image may use (``none`` if
    nothing), as the superblock does not say whether every block is compressed.
    """
    if head[:4] == b"hsqs" and len(head) >= 96:
        block_size, compression = struct.unpack_from("<I4xH", head, 12)
        return {
            "type": "squashfs",
            "compression": _SQUASHFS_COMPRESSION.get(compression, "unknown"),
            "block_size": block_size,
        }
    if len(head) >= 1024 + 128 and struct.unpack_from("<I", head, 1024)[0] == _EROFS_MAGIC:
        features, algorithms = struct.unpack_from("<IH", head, 1024 + 80)
        return {
            "type": "erofs",
            "compression": _erofs_compression(features, algorithms),
            "block_size": 1 << head[1024 + 12],
        }
    return {"type": "unknown"}


def _erofs_compression(features: int, algorithms: int) -> str:
    if features & _EROFS_COMPR_CFGS:
        names = [name for bit, name in enumerate(_EROFS_COMPRESSION) if algorithms >> bit & 1]
        return "+".join(names) or "none"
    # Before there were several algorithms, these two fields meant LZ4 and its window.
    return "lz4" if features & _EROFS_LZ4_0PADDING and algorithms else "none"

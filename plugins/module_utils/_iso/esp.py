# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The EFI system partition of a live ISO: a small FAT image. Private to this collection."""

from __future__ import annotations

import os
import posixpath
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import MAX_ESP_MIB

LABEL = "EFIBOOT"
_MIB = 1 << 20
# 1 KiB clusters keep FAT16 within its limits (4085 to 65524 clusters) from 5 to 31 MiB, so the type never changes with
# the size; smaller partitions need 512 bytes.
_SMALL = 5
_SLACK = 1 * _MIB

# Whatever the operator has configured for mtools must not matter; the check rejects sizes without a disk geometry.
_MTOOLS = {"MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1"}


def size_for(files: t.Mapping[str, str]) -> int:
    """MiB that hold ``files`` (path in the image to path on disk) with some room to add to."""
    content = sum(-(-os.path.getsize(path) // 1024) * 1024 + 1024 for path in files.values())
    return max(_SMALL, -(-(content + _SLACK) // _MIB))


def make_esp(run: Runner, image: str, files: t.Mapping[str, str], volume_id: int, size: int | None) -> None:
    """Write the FAT file system ``image``.

    Args:
        run: runs the tools.
        image: path of the file to make.
        files: path in the image to path on disk; time stamps are taken over.
        volume_id: 32-bit FAT serial number.
        size: MiB, or None for what the content needs.

    Raises:
        StageError: the content does not fit.
    """
    needed = size_for(files)
    mebibytes = needed if size is None else size
    if mebibytes > MAX_ESP_MIB:
        raise StageError(
            f"The boot loaders need an EFI partition of {needed} MiB, but El Torito allows {MAX_ESP_MIB}. "
            "Use firmware efi, which needs less than signed boot loaders."
        )
    with open(image, "wb") as stream:
        stream.truncate(mebibytes * _MIB)
    sectors = "1" if mebibytes < _SMALL else "2"
    run.run(
        ["mkfs.vfat", "-F", "16", "-s", sectors, "--invariant", "-i", f"{volume_id:08x}", "-n", LABEL, image],
        task="formatting the EFI partition",
    )
    run.run(
        ["mmd", "-i", image, *(f"::/{folder}" for folder in _folders(files))],
        task="making folders in the EFI partition",
        extra_environment=_MTOOLS,
    )
    # One by one in sorted order: a recursive copy would follow the order of the disk.
    for name in sorted(files):
        run.run(
            ["mcopy", "-m", "-i", image, files[name], f"::/{name}"],
            task=f"copying {name} into the EFI partition of {mebibytes} MiB",
            extra_environment=_MTOOLS,
            hint=lambda output: _full(output, needed),
        )


def _full(output: str, needed: int) -> str | None:
    if "Disk full" in output:
        return f"The partition is full. Set efifatimagesize to {needed}, or leave it out."
    return None


def _folders(files: t.Mapping[str, str]) -> list[str]:
    """Every folder of ``files``, parents first."""
    folders = set()
    for name in files:
        folder = posixpath.dirname(name)
        while folder:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    return sorted(folders)

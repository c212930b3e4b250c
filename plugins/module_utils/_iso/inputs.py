# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Are the inputs of a live ISO there and of the right kind? Private to this collection."""

from __future__ import annotations

import lzma
import os
import pathlib
import stat
import tarfile
import typing as t
import zlib

from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256, fingerprint, walk
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import DIRECT_FILESYSTEMS
from ansible_collections.liveforge.images.plugins.module_utils._iso.superblock import HEAD_SIZE, identify
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp, output_changed

# Files take whole blocks, here and on an ISO, and a name with its attributes some bytes in each of its directories.
_BLOCK = 4096
_NAME = 1024
# How much larger the content of an archive is, when only tar can read it.
_UNKNOWN_RATIO = 5


def require_boot(folder: str) -> None:
    """Raise StageError unless ``folder`` holds kernel and initrd, as its stage made them."""
    for name in ("linux", "initrd"):
        path = os.path.join(folder, name)
        if not os.path.isfile(path) or not os.path.getsize(path):
            raise StageError(
                f"boot: {path} does not exist or is empty. The folder must hold the files linux and initrd, as "
                "live_dracut makes it."
            )
    _require_unchanged("boot", folder)


def require_squashfs(path: str, filesystem: str, option: str = "squashfs") -> None:
    """Raise StageError unless ``path`` is the kind of image that the option ``filesystem`` promises."""
    if not os.path.isfile(path):
        raise StageError(f"{option}: {path} does not exist or is no file. live_squashfs makes it.")
    with open(path, "rb") as stream:
        kind = identify(stream.read(HEAD_SIZE))["type"]
    # A file system that can be written lies inside a squashfs.
    wanted = filesystem if filesystem in DIRECT_FILESYSTEMS else "squashfs"
    if kind != wanted:
        found = "neither squashfs nor erofs" if kind == "unknown" else kind
        raise StageError(
            f"{option}: {path} is {found}, but filesystem {filesystem} needs a {wanted} image there. "
            "Set filesystem to what the image was made with."
        )
    _require_unchanged(option, path)


def require_folder(option: str, folder: str) -> None:
    """Raise StageError unless ``folder`` is one."""
    if not os.path.isdir(folder):
        raise StageError(f"{option}: {folder} is not a directory on the build host.")


def folder_content(folder: str) -> str:
    """Digest of what an ISO holds of a folder: names, bytes and whether a file can be executed.

    Not owners, other modes and extended attributes, which are those of the checkout, and which an ISO does not keep.
    """
    return fingerprint([[os.fsencode(name).hex(), *_kept(folder, name, status)] for name, status in walk(folder)])


def _kept(folder: str, name: str, status: os.stat_result) -> list[str]:
    path = os.path.join(folder, name)
    kind = f"{stat.S_IFMT(status.st_mode):o}"
    if stat.S_ISREG(status.st_mode):
        return [kind, "executable" if status.st_mode & 0o111 else "", file_sha256(path)]
    if stat.S_ISLNK(status.st_mode):
        return [kind, os.fsencode(os.readlink(path)).hex()]
    return [kind]


def folder_size(folder: str) -> int:
    """Bytes that the content of a folder takes on an ISO or in a copy, rather too many than too few."""
    return sum(_room(status.st_size if stat.S_ISREG(status.st_mode) else 0) for dummy, status in walk(folder))


def archive_size(archive: str) -> int:
    """Bytes that the content of a tar archive takes, which is read to the end for that; an estimate for zstd."""
    try:
        with tarfile.open(archive) as tar:
            return sum(_room(member.size if member.isreg() else 0) for member in tar)
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, zlib.error):
        # tar says what is wrong with it when it unpacks it.
        return _UNKNOWN_RATIO * os.path.getsize(archive)


def _room(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK + _NAME


def no_directories(folder: str, names: t.Iterable[str]) -> list[str]:
    """Those parents of ``names``, relative to ``folder``, that are there but are links or files, sorted."""
    parents = {str(parent) for name in names for parent in pathlib.PurePosixPath(name).parents}
    paths = {parent: os.path.join(folder, parent) for parent in sorted(parents)}
    return [
        parent
        for parent, path in paths.items()
        if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path))
    ]


def cdroot_files(folder: str, own_names: t.Iterable[str], option: str = "cdroot") -> list[str]:
    """Everything below ``folder`` but directories, relative to it.

    Args:
        folder: the folder.
        own_names: paths on the ISO that are taken.
        option: where the folder comes from, for messages.

    Raises:
        StageError: it is no directory, or has a name that live_iso writes itself or that cannot go onto an ISO, or a
            link where live_iso has a directory.
    """
    require_folder(option, folder)
    own_names = sorted(own_names)
    wrong = no_directories(folder, own_names)
    if wrong:
        raise StageError(
            f"{option}: {', '.join(wrong)} in {folder} must be a directory, and no link to one, because live_iso puts "
            "files there. Make it a directory, or remove it."
        )
    taken = [name for name in own_names if os.path.lexists(os.path.join(folder, name))]
    if taken:
        raise StageError(
            f"{option}: {folder} contains {', '.join(taken)}, which live_iso writes itself. Remove it there."
        )
    entries = list(walk(folder))
    for name, dummy in entries:
        if "\n" in name:
            raise StageError(f"{option}: {os.path.join(folder, name)!r} has a line break in its name. Rename it.")
    return [name for name, status in entries if not stat.S_ISDIR(status.st_mode)]


def _require_unchanged(option: str, path: str) -> None:
    stamp = Stamp.load(path)
    damage = output_changed(path, stamp.output) if stamp is not None else None
    if stamp is not None and damage:
        raise StageError(f"{option}: {path} {damage}. Build it again with {stamp.stage}, or remove {path}.stage.json.")

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ext2, ext3 and ext4 images. Private to this collection."""

from __future__ import annotations

import os
import re
import stat
import struct
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import (
    MIB,
    Filesystem,
    ImageRequest,
    empty_image,
)
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.tree import BLOCK

_INODE_SIZE = 256
_JOURNAL_MIB, _SMALL_JOURNAL_MIB = 16, 4  # mke2fs(8): at least 1024 blocks
# Named one by one, because the defaults are those of the host's mke2fs.conf. All of them are older than Linux 3.18.
_FEATURES = {
    "ext2": "ext_attr,dir_index,filetype,sparse_super,large_file",
    "ext3": "has_journal,ext_attr,dir_index,filetype,sparse_super,large_file",
    "ext4": (
        "has_journal,ext_attr,dir_index,filetype,sparse_super,large_file,"
        "extent,flex_bg,huge_file,dir_nlink,extra_isize,metadata_csum,64bit"
    ),
}
_ROOT_INODE = 2
_FIRST_FREE_INODE = 11  # and that is lost+found


class Ext(Filesystem):
    """An image filled by ``mke2fs -d``.

    It is checked file by file that this keeps owners, modes, all extended attributes, hard links, holes, device nodes
    and any file name. Two things are set afterwards: owner and mode of the root directory, which it ignores, and access
    and change times, which it copies from the tree, so that they would differ from build to build.

    The journal stays, for device-mapper snapshots that persist: they are not unmounted when the power goes.
    """

    label_length = 16
    smallest = 16

    def __init__(self, name: str) -> None:
        self.name = name

    def tools(self) -> tuple[str, ...]:
        return (self.maker, "e2fsck", "debugfs", "dumpe2fs")

    def make(self, request: ImageRequest, run: Runner) -> None:
        empty_image(request)
        environment = _environment(request)
        run.run(
            request.view.command(self.mkfs(request)),
            task=f"filling the {self.name} image",
            extra_environment=environment,
            namespaces=request.view.masked,
            hint=lambda text: self._hint(text, request),
        )
        self._correct(request, run, environment)
        run.run(["e2fsck", "-f", "-n", request.path], task="checking the image", extra_environment=environment)
        self._check_inodes(run.run(["dumpe2fs", "-h", request.path], task="checking the image"), request)

    def mkfs(self, request: ImageRequest) -> list[str]:
        """The command that makes and fills it."""
        inodes = max(request.size // 16384, request.scan.inodes * 5 // 4 + 1024)
        # Of several -O or -E the last one replaces all others, so what the user adds must join ours.
        features, options = _taken_out("-O", request.options)
        extended, options = _taken_out("-E", options)
        features = ["none", _FEATURES[self.name], *features]
        extended = [f"hash_seed={request.uuid}", "lazy_itable_init=0", "lazy_journal_init=0", "nodiscard", *extended]
        line = [self.maker, "-q", "-F", "-b", str(BLOCK), "-I", str(_INODE_SIZE), "-N", str(inodes), "-m", "0"]
        line += ["-O", ",".join(features), "-U", request.uuid, "-E", ",".join(extended)]
        if self.name != "ext2" and "^has_journal" not in ",".join(features).split(","):
            line += ["-J", f"size={_JOURNAL_MIB if request.size >= 64 * MIB else _SMALL_JOURNAL_MIB}"]
        if request.label:
            line += ["-L", request.label]
        return [*line, *options, "-d", request.view.path, request.path]

    def _correct(self, request: ImageRequest, run: Runner, environment: dict[str, str]) -> None:
        commands = os.path.join(request.scratch, "debugfs")
        with open(commands, "w", encoding="ascii") as stream:
            stream.writelines(f"{line}\n" for line in corrections(request))
        # debugfs repeats each command on standard output, and exits with 0 whatever happened.
        said = run.run(
            ["sh", "-c", 'exec debugfs -w -f "$1" "$2" >/dev/null', "sh", commands, request.path],
            task=f"setting times in the {self.name} image",
            extra_environment=environment,
        )
        wrong = [line for line in said.splitlines() if not line.startswith("debugfs ")]
        if wrong:
            raise StageError(
                f"The times in the {self.name} image could not be set: {wrong[0]} Log: {run.log}", log=run.log
            )

    def _hint(self, text: str, request: ImageRequest) -> str | None:
        if re.search(r"Could not allocate|No free space|not enough space|too small|too big for", text, re.IGNORECASE):
            return self.too_small(request)
        if match := re.search(r"Insufficient space to store extended attribute.* for \"(.*)\"", text):
            return (
                f"The extended attributes of {match[1]} need more than one block, which {self.name} has not by itself. "
                "Add -O ea_inode to fscreateoptions (Linux 4.13 or newer)."
            )
        return None

    def _check_inodes(self, header: str, request: ImageRequest) -> None:
        numbers = {name: int(value) for name, value in re.findall(r"^(Inode count|Free inodes): +(\d+)$", header, re.M)}
        used = numbers["Inode count"] - numbers["Free inodes"] - _FIRST_FREE_INODE
        expected = request.scan.inodes - 1
        if not expected - 1 <= used <= expected + _extra_inodes(request):
            raise StageError(
                f"The image holds {used} files, the tree {expected}. Was the tree changed meanwhile? Run again."
            )


def _taken_out(flag: str, options: t.Sequence[str]) -> tuple[list[str], list[str]]:
    """The values that a one-letter option has among ``options``, and the rest."""
    values: list[str] = []
    rest: list[str] = []
    words = iter(options)
    for word in words:
        if word == flag:
            values.append(next(words, ""))
        elif word.startswith(flag):
            values.append(word[len(flag) :])
        else:
            rest.append(word)
    return values, rest


def _extra_inodes(request: ImageRequest) -> int:
    """Files that mke2fs makes of its own accord: one for each attribute too large for a block, with ea_inode."""
    return request.scan.inodes if any("ea_inode" in option for option in request.options) else 0


def _environment(request: ImageRequest) -> dict[str, str]:
    # mke2fs(8) up to 1.47.0 knows no SOURCE_DATE_EPOCH, but all its versions know this one.
    fixed = {"MKE2FS_CONFIG": os.devnull, "MKE2FS_DEVICE_SECTSIZE": "512"}
    if request.source_date_epoch is not None:
        fixed["E2FSPROGS_FAKE_TIME"] = str(request.source_date_epoch)
    return fixed


def corrections(request: ImageRequest) -> t.Iterator[str]:
    """Commands for debugfs(8) that set what ``mke2fs -d`` did not keep or not reproducibly."""
    status = request.scan.root_status
    yield f"sif <{_ROOT_INODE}> mode 0{stat.S_IFDIR | stat.S_IMODE(status.st_mode):o}"
    yield f"sif <{_ROOT_INODE}> uid {status.st_uid}"
    yield f"sif <{_ROOT_INODE}> gid {status.st_gid}"
    limit = request.source_date_epoch
    modified = int(status.st_mtime) if limit is None else min(int(status.st_mtime), limit)
    yield f"sif <{_ROOT_INODE}> mtime @{modified}"
    if limit is None:
        return
    with open(request.path, "rb") as image:
        table = InodeTable(image)
        for number, inode in table.used():
            extra = len(inode) > 128
            for field in ("atime", "ctime", "crtime") if extra else ("atime", "ctime"):
                yield f"sif <{number}> {field} @{limit}"
                if extra:
                    yield f"sif <{number}> {field}_extra 0"
            if number != _ROOT_INODE and modification_time(inode) > limit:
                yield f"sif <{number}> mtime @{limit}"
                if extra:
                    yield f"sif <{number}> mtime_extra 0"


def modification_time(inode: bytes) -> int:
    """Seconds since 1970 (Documentation/filesystems/ext4/inodes.rst: two epoch bits on top of a signed number)."""
    (seconds,) = struct.unpack_from("<i", inode, 16)
    epoch = struct.unpack_from("<I", inode, 136)[0] & 3 if len(inode) > 140 else 0
    return seconds + (epoch << 32)


class InodeTable:
    """Reads the inodes of an ext2/3/4 image (Documentation/filesystems/ext4/)."""

    def __init__(self, image: t.BinaryIO) -> None:
        self._image = image
        image.seek(1024)
        block = image.read(1024)
        self._block_size = 1024 << struct.unpack_from("<I", block, 24)[0]
        self._count, self._per_group = struct.unpack_from("<I", block, 0)[0], struct.unpack_from("<I", block, 40)[0]
        (self._inode_size,) = struct.unpack_from("<H", block, 88)
        (incompatible,) = struct.unpack_from("<I", block, 96)
        if incompatible & 0x10:
            raise StageError("fscreateoptions: -O meta_bg is not supported. Leave it out.")
        self._wide = bool(incompatible & 0x80)
        self._descriptor = struct.unpack_from("<H", block, 254)[0] if self._wide else 32
        self._descriptors = (struct.unpack_from("<I", block, 20)[0] + 1) * self._block_size

    def used(self) -> t.Iterator[tuple[int, bytes]]:
        """(number, inode) of every inode in use."""
        for group in range(-(-self._count // self._per_group)):
            self._image.seek(self._descriptors + group * self._descriptor)
            descriptor = self._image.read(self._descriptor)
            (start,) = struct.unpack_from("<I", descriptor, 8)
            if self._wide:
                start |= struct.unpack_from("<I", descriptor, 40)[0] << 32
            self._image.seek(start * self._block_size)
            inodes = self._image.read(self._per_group * self._inode_size)
            for index in range(len(inodes) // self._inode_size):
                inode = inodes[index * self._inode_size : (index + 1) * self._inode_size]
                number = group * self._per_group + index + 1
                if struct.unpack_from("<H", inode)[0] and struct.unpack_from("<H", inode, 26)[0]:
                    yield number, inode

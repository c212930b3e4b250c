# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in a root tree, and what of it is left out of an image. Private to this collection."""

from __future__ import annotations

import dataclasses
import errno
import fnmatch
import os
import re
import stat
import struct
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

DEFAULT_EXCLUDES = ("proc/*", "sys/*", "dev/*", "run/*", "tmp/*")
# Where the initrd and systemd mount; dracut 059 takes /proc, 106 and later /usr for the mark of a root tree.
REQUIRED_DIRECTORIES = ("usr", "proc", "sys", "dev", "run", "tmp")
BLOCK = 4096

_ACL = "system.posix_acl_access"
_ACL_NAMED, _ACL_GROUP, _ACL_MASK, _ACL_OTHER = (0x02, 0x08), 0x04, 0x10, 0x20
_NAMED = 5


def check_patterns(patterns: t.Sequence[str]) -> None:
    """Raise StageError for an exclude pattern that cannot be meant."""
    for pattern in patterns:
        parts = pattern.split("/")
        if "" in parts or "." in parts or ".." in parts:
            raise StageError(
                f"exclude: {pattern!r} is not a path relative to root. Write it without a slash at either end, such as "
                "usr/share/doc/* for everything below usr/share/doc."
            )
        if pattern in REQUIRED_DIRECTORIES:
            raise StageError(
                f"exclude: {pattern!r} would leave out the directory itself, which a live system needs. Write "
                f"{pattern}/* for everything in it."
            )


def excluded_paths(root: str, patterns: t.Sequence[str]) -> list[str]:
    """Paths relative to ``root`` that match a pattern, sorted; what is below a listed directory is not listed again.

    A pattern matches name by name: ``*`` stops at a slash and matches names that start with a dot.
    """
    found: set[str] = set()
    for pattern in patterns:
        _expand(root, "", pattern.split("/"), found)
    return sorted(path for path in found if not any(parent in found for parent in _parents(path)))


def _expand(root: str, folder: str, parts: t.Sequence[str], found: set[str]) -> None:
    matches = re.compile(fnmatch.translate(parts[0]), re.DOTALL).match
    try:
        names = os.listdir(os.path.join(root, folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if not matches(name):
            continue
        path = f"{folder}/{name}" if folder else name
        if len(parts) == 1:
            found.add(path)
        elif stat.S_ISDIR(os.lstat(os.path.join(root, path)).st_mode):
            _expand(root, path, parts[1:], found)


def _parents(path: str) -> t.Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


@dataclasses.dataclass
class TreeScan:
    """What a tree holds, without what is excluded.

    Attributes:
        inodes: files of every type and directories, root included, hard links counted once.
        size: bytes of all regular files as stat(2) says, hard links counted once.
        data: the same without holes, which depends on the file system that the tree is on.
        blocks: 4 KiB blocks for files, directory entries, long symbolic links and extended attributes. Holes count, so
            that it is the same for the same tree anywhere.
        device_nodes, long_names, other_attributes: paths of what not every file system can keep.
        acls: paths with POSIX access control lists.
        acls_in_force: those of them without which somebody would gain rights.
        root_status: lstat result of the tree's own directory.
        root_attributes: names of its extended attributes.
    """

    inodes: int = 0
    size: int = 0
    data: int = 0
    blocks: int = 0
    device_nodes: list[str] = dataclasses.field(default_factory=list)
    long_names: list[str] = dataclasses.field(default_factory=list)
    other_attributes: list[str] = dataclasses.field(default_factory=list)
    acls: list[str] = dataclasses.field(default_factory=list)
    acls_in_force: list[str] = dataclasses.field(default_factory=list)
    root_status: os.stat_result = dataclasses.field(default_factory=lambda: os.stat("/"))
    root_attributes: list[str] = dataclasses.field(default_factory=list)


def scan(root: str, excluded: t.Collection[str]) -> TreeScan:
    """Look at every entry of ``root`` except ``excluded`` paths (see :func:`excluded_paths`) and what is below them."""
    found = TreeScan(inodes=1, root_status=os.lstat(root), root_attributes=os.listxattr(root))
    left_out = frozenset(excluded)
    seen: set[tuple[int, int]] = set()
    folders = [""]
    while folders:
        folder = folders.pop()
        names = 0
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if path in left_out:
                    continue
                status = entry.stat(follow_symlinks=False)
                length = len(os.fsencode(entry.name))
                names += length + 16
                if length >= 255:
                    found.long_names.append(path)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path)
                elif status.st_nlink > 1:
                    inode = (status.st_dev, status.st_ino)
                    if inode in seen:
                        continue
                    seen.add(inode)
                _count(found, entry.path, path, status)
        found.blocks += 1 + names // (BLOCK // 2)
    return found


def _count(found: TreeScan, full: str, path: str, status: os.stat_result) -> None:
    found.inodes += 1
    mode = status.st_mode
    if stat.S_ISREG(mode):
        found.size += status.st_size
        found.data += _data(full, status)
        found.blocks += -(-status.st_size // BLOCK)
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        found.device_nodes.append(path)
    elif stat.S_ISLNK(mode) and status.st_size >= 60:
        found.blocks += 1
    _look_at_attributes(found, full, path)


def _data(path: str, status: os.stat_result) -> int:
    """Bytes of a file that are not in holes (lseek(2), SEEK_DATA); all of them where holes cannot be told."""
    if status.st_blocks * 512 >= status.st_size:
        return status.st_size
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        total = end = 0
        while end < status.st_size:
            try:
                start = os.lseek(descriptor, end, os.SEEK_DATA)
            except OSError as problem:
                if problem.errno == errno.ENXIO:
                    return total
                return status.st_size
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            total += end - start
        return total
    finally:
        os.close(descriptor)


def _look_at_attributes(found: TreeScan, full: str, path: str) -> None:
    try:
        names = os.listxattr(full, follow_symlinks=False)
    except OSError as problem:
        if problem.errno == errno.ENOTSUP:
            return
        raise
    if not names:
        return
    found.blocks += 1
    if any(name.startswith("system.posix_acl_") for name in names):
        found.acls.append(path)
        if _ACL in names and _restricts(os.getxattr(full, _ACL, follow_symlinks=False)):
            found.acls_in_force.append(path)
    if any(not name.startswith(("user.", "trusted.", "security.", "system.posix_acl_")) for name in names):
        found.other_attributes.append(path)


def _restricts(value: bytes) -> bool:
    """Whether somebody would gain rights if the list were gone and only the mode counted.

    The mode shows the mask as the group's rights, so the owning group gains what the mask has and its own entry has
    not; a named user or group gains what the owning group or others have and its own entry has not. The layout is that
    of posix_acl_xattr.h in the kernel: a version, then (tag, permissions, id) of 8 bytes each.
    """
    entries = [(tag, permissions) for tag, permissions, dummy in struct.iter_unpack("<HHI", value[4:])]
    rights = dict(entries)
    mask = rights.get(_ACL_MASK, 7)
    group, other = rights.get(_ACL_GROUP, 0), rights.get(_ACL_OTHER, 0)
    gained = rights.get(_ACL_MASK, 0) & ~group
    for tag, permissions in entries:
        if tag in _ACL_NAMED:
            gained |= (group | other) & ~(permissions & mask)
    return bool(gained)


def named(paths: t.Sequence[str]) -> str:
    """The first few paths, for a message."""
    shown = ", ".join(repr(path) if path != path.strip() or "\n" in path else path for path in sorted(paths)[:_NAMED])
    return shown + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two trees of files compared entry by entry. Private to this collection."""

from __future__ import annotations

import hashlib
import os
import stat
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._compare.difference import (
    Difference,
    first_byte,
    only_in_one,
)
from ansible_collections.liveforge.images.plugins.module_utils._digest import canonical_json, file_sha256, walk

Listing = dict[str, dict[str, str]]

# What stat(2) calls each type of file.
FILE_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


def listing(root: str) -> Listing:
    """Every entry of a tree with everything that an image keeps of it: path to attributes; the tree itself is ``.``.

    Change and access times and inode numbers do not count. Sizes of directories are the file system's own.
    """
    found: Listing = {".": _attributes(root, os.lstat(root))}
    first_name: dict[tuple[int, int], str] = {}
    for path, status in walk(root):
        full = os.path.join(root, path)
        entry = _attributes(full, status)
        if stat.S_ISREG(status.st_mode):
            inode = (status.st_dev, status.st_ino)
            if status.st_nlink > 1 and inode in first_name:
                entry["hard link to"] = first_name[inode]
            else:
                first_name[inode] = path
                entry["content"] = file_sha256(full)
        found[path] = entry
    return found


def listing_sha256(entries: Listing) -> str:
    """SHA-256 of a listing."""
    digest = hashlib.sha256()
    for path in sorted(entries, key=os.fsencode):
        digest.update(canonical_json([os.fsencode(path).hex(), entries[path]]) + b"\n")
    return digest.hexdigest()


def _attributes(path: str, status: os.stat_result) -> dict[str, str]:
    mode = status.st_mode
    entry = {
        "type": FILE_TYPES.get(stat.S_IFMT(mode), "unknown"),
        "mode": f"{stat.S_IMODE(mode):04o}",
        "owner": str(status.st_uid),
        "group": str(status.st_gid),
        "time": f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09d}",
    }
    if stat.S_ISREG(mode):
        entry["size"] = str(status.st_size)
    elif stat.S_ISLNK(mode):
        entry["target"] = os.fsencode(os.readlink(path)).decode("utf-8", "backslashreplace")
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        entry["device"] = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        # Of the security modules of the host, not of the image.
        if name not in ("security.selinux", "security.evm", "security.ima"):
            entry[f"attribute {name}"] = os.getxattr(path, name, follow_symlinks=False).hex()
    return entry


def compare_listings(first: Listing, second: Listing) -> t.Iterator[Difference]:
    """What differs between two listings, in the order of paths."""
    for path in sorted({*first, *second}, key=os.fsencode):
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        if path not in first or path not in second:
            yield only_in_one(shown, in_first=path in first)
            continue
        one, other = first[path], second[path]
        for name in sorted({*one, *other}):
            if one.get(name) != other.get(name):
                yield Difference(shown, name, one.get(name, "nothing"), other.get(name, "nothing"))


def compare_trees(first: str, second: str, listings: tuple[Listing, Listing] | None = None) -> t.Iterator[Difference]:
    """What differs between two trees, in the order of paths.

    Args:
        first: the one tree.
        second: the other.
        listings: of both, when they were made before.
    """
    for difference in compare_listings(*(listings or (listing(first), listing(second)))):
        if difference.what == "content" and "nothing" not in (difference.first, difference.second):
            offset = first_byte(os.path.join(first, difference.place), os.path.join(second, difference.place))
            yield Difference(difference.place, f"content (from byte {offset})", difference.first, difference.second)
        else:
            yield difference

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Content digests of files and trees. Private to this collection."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import typing as t

_BLOCK = 1 << 20

Entry = tuple[str, os.stat_result]


def canonical_json(value: t.Any) -> bytes:
    """One byte string for one value: sorted keys, no blanks (the idea of RFC 8785, for our plain values)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def fingerprint(value: t.Any) -> str:
    """SHA-256 over the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_sha256(path: str) -> str:
    """SHA-256 of one file's content, as hex."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        buffer = bytearray(_BLOCK)
        view = memoryview(buffer)
        while size := stream.readinto(buffer):
            digest.update(view[:size])
    return digest.hexdigest()


def walk(root: str) -> t.Iterator[Entry]:
    """Every entry below ``root`` in sorted order, as (path relative to root, lstat result); not root itself."""

    def below(folder: str, prefix: str) -> t.Iterator[Entry]:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        for entry in found:
            relative = prefix + entry.name
            status = entry.stat(follow_symlinks=False)
            yield relative, status
            if stat.S_ISDIR(status.st_mode):
                yield from below(entry.path, relative + "/")

    return below(root, "")


def _attributes(path: str) -> dict[str, str]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in sorted(names)}


def tree_content(root: str, wanted: t.Callable[[str], bool] | None = None) -> str:
    """Digest of a tree's content: names, types, modes, owners, extended attributes, hard links and bytes.

    Times do not count, nor do inode numbers; device nodes count by their numbers.

    Args:
        root: the tree.
        wanted: takes a path relative to root and says whether it counts; default all.
    """
    digest = hashlib.sha256()
    own = os.lstat(root)
    digest.update(canonical_json([own.st_mode, own.st_uid, own.st_gid, _attributes(root)]))
    first_name: dict[tuple[int, int], str] = {}
    for relative, status in walk(root):
        if wanted is not None and not wanted(relative):
            continue
        path = os.path.join(root, relative)
        mode = status.st_mode
        content = ""
        if stat.S_ISREG(mode):
            inode = (status.st_dev, status.st_ino)
            if status.st_nlink > 1 and inode in first_name:
                content = "link:" + first_name[inode]
            else:
                first_name[inode] = relative
                content = file_sha256(path)
        elif stat.S_ISLNK(mode):
            content = os.readlink(path)
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            content = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        owner = [status.st_uid, status.st_gid]
        digest.update(canonical_json([os.fsencode(relative).hex(), mode, *owner, os.fsencode(content).hex()]))
        attributes = _attributes(path)
        if attributes:
            digest.update(canonical_json(attributes))
    return digest.hexdigest()


def tree_state(root: str) -> str:
    """Digest of what stat(2) says of every entry: changes whenever somebody touched the tree, cheap to compute.

    The change time of the tree itself does not count: giving it its final name changes that.
    """
    digest = hashlib.sha256()
    own = os.lstat(root)
    digest.update(f"{own.st_mode} {own.st_uid} {own.st_gid}\n".encode())
    for relative, status in walk(root):
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        digest.update(
            f"{os.fsencode(relative).hex()} {status.st_mode} {status.st_uid} {status.st_gid} {status.st_ino} "
            f"{size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode()
        )
    return digest.hexdigest()


def file_state(path: str) -> list[int]:
    """What stat(2) says of one file: changes whenever somebody touched it, or gave it another name."""
    status = os.stat(path)
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]

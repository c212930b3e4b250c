# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Content digests of files and trees. Private to this collection."""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import os
import stat
import typing as t

_BLOCK = 1 << 20
# Devices have no size.
_SMALL_BLOCK = 1 << 16
_SLASH = b"/".hex()
_name = operator.attrgetter("name")

Entry = tuple[str, os.stat_result]
Wanted = t.Callable[[str], bool]


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
        # Most files of a tree are small, and a large buffer takes longer to get than they take to read.
        buffer = bytearray(min(_BLOCK, max(_SMALL_BLOCK, os.fstat(stream.fileno()).st_size)))
        view = memoryview(buffer)
        while size := stream.readinto(buffer):
            digest.update(view[:size])
    return digest.hexdigest()


def add_from(digest: t.Any, stream: t.BinaryIO, length: int) -> None:
    """Let ``digest`` read on in ``stream``, ``length`` bytes or up to its end."""
    while length > 0:
        block = stream.read(min(_BLOCK, length))
        if not block:
            return
        digest.update(block)
        length -= len(block)


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


def tree_content(root: str, wanted: Wanted | None = None) -> str:
    """Digest of a tree's content: names, types, modes, owners, extended attributes, hard links and bytes.

    Times do not count, nor do inode numbers; device nodes count by their numbers.

    Args:
        root: the tree.
        wanted: takes a path relative to root and says whether it counts; default all.
    """
    return tree_contents(root, [wanted])[0]


def tree_contents(root: str, choices: t.Sequence[Wanted | None]) -> list[str]:
    """:func:`tree_content` of a tree for each of several choices of what counts, in one pass over its files."""
    own = os.lstat(root)
    head = canonical_json([own.st_mode, own.st_uid, own.st_gid, _attributes(root)])
    digests = [hashlib.sha256(head) for dummy in choices]
    # The first name of each file with several: which one that is depends on what counts.
    first_names: list[dict[tuple[int, int], str]] = [{} for dummy in choices]
    for relative, status in walk(root):
        counting = [place for place, wanted in enumerate(choices) if wanted is None or wanted(relative)]
        if not counting:
            continue
        path = os.path.join(root, relative)
        inode = (status.st_dev, status.st_ino)
        described = _Described(path, relative, status)
        for place in counting:
            first = first_names[place].setdefault(inode, relative) if status.st_nlink > 1 else relative
            if stat.S_ISREG(status.st_mode) and first != relative:
                digests[place].update(described.as_link_to(first))
            else:
                digests[place].update(described.whole)
    return [digest.hexdigest() for digest in digests]


class _Described:
    """What counts of one entry, as bytes; a file is read once, and only when it is asked for."""

    def __init__(self, path: str, relative: str, status: os.stat_result) -> None:
        self._path = path
        self._status = status
        self._fields = [os.fsencode(relative).hex(), status.st_mode, status.st_uid, status.st_gid]
        attributes = _attributes(path)
        self._attributes = canonical_json(attributes) if attributes else b""

    @functools.cached_property
    def whole(self) -> bytes:
        """With the content of a file, the target of a link, or the numbers of a device."""
        mode = self._status.st_mode
        if stat.S_ISREG(mode):
            return self._with(file_sha256(self._path))
        if stat.S_ISLNK(mode):
            return self._with(os.readlink(self._path))
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            return self._with(f"{os.major(self._status.st_rdev)}:{os.minor(self._status.st_rdev)}")
        return self._with("")

    def as_link_to(self, first: str) -> bytes:
        """As a further name of the file ``first``."""
        return self._with("link:" + first)

    def _with(self, content: str) -> bytes:
        return canonical_json([*self._fields, os.fsencode(content).hex()]) + self._attributes


def tree_state(root: str) -> str:
    """Digest of what stat(2) says of every entry: changes whenever somebody touched the tree, cheap to compute.

    The change time of the tree itself does not count: giving it its final name changes that.
    """
    own = os.lstat(root)
    digest = hashlib.sha256(f"{own.st_mode} {own.st_uid} {own.st_gid}\n".encode())

    # Every run does this several times, so it does not go through walk(), though in the same order.
    def add_below(folder: bytes, prefix: str) -> None:
        lines = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=_name):
                status = entry.stat(follow_symlinks=False)
                mode = status.st_mode
                path = prefix + entry.name.hex()
                lines.append(
                    f"{path} {mode} {status.st_uid} {status.st_gid} {status.st_ino} "
                    f"{status.st_size if stat.S_ISREG(mode) else 0} {status.st_mtime_ns} {status.st_ctime_ns}\n"
                )
                if stat.S_ISDIR(mode):
                    digest.update("".join(lines).encode())
                    lines.clear()
                    add_below(entry.path, path + _SLASH)
        digest.update("".join(lines).encode())

    add_below(os.fsencode(root), "")
    return digest.hexdigest()


def file_state(path: str) -> list[int]:
    """What stat(2) says of one file: changes whenever somebody touched it, or gave it another name."""
    status = os.stat(path)
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]

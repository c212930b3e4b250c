# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths of a root tree as its own system takes them, for what is done from outside. Private to this collection.

An absolute link in a tree means a file of the tree, but this host would follow it to its own. So a path is not given to
the kernel as a whole: each folder on the way is opened from the one before, and links are followed here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

# The kernel makes sure that no link takes part; one that is found there is read and followed here.
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# As many as the kernel follows before it takes them for a circle.
_LINKS = 40


class Place(t.NamedTuple):
    """Where a tree has an entry, or would have it.

    Attributes:
        folder: descriptor of the folder, open as long as the context of :func:`place`.
        name: the name of the entry in this folder.
    """

    folder: int
    name: str

    def status(self) -> os.stat_result | None:
        """What lstat(2) says of the entry; None when there is none."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def text(self) -> str | None:
        """The text of a regular file; None when there is none, or something else."""
        status = self.status()
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        descriptor = os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.folder)
        with os.fdopen(descriptor, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()


@contextlib.contextmanager
def place(root: str, path: str, *, follow: bool = True) -> t.Iterator[Place | None]:
    """The place that the system in a tree means by a path.

    Args:
        root: the tree.
        path: absolute, or relative to the root.
        follow: whether a link at its end is followed, too; those on the way always are.

    Yields:
        The place, at which there need not be anything; None when a folder on the way is missing.
    """
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        yield _walk(opened, path, follow=follow)
    finally:
        for descriptor in opened:
            os.close(descriptor)


@contextlib.contextmanager
def open_folder(root: str, path: str, *, follow: bool = True) -> t.Iterator[int | None]:
    """A descriptor of a folder of a tree, see :func:`place`; None when there is no folder."""
    with place(root, path, follow=follow) as found:
        descriptor = _open(found.name, found.folder) if found is not None else None
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)


def exists(root: str, path: str, *, follow: bool = True) -> bool:
    """Whether a tree has something at a path, see :func:`place`."""
    with place(root, path, follow=follow) as found:
        return found is not None and found.status() is not None


def is_folder(root: str, path: str) -> bool:
    """Whether a tree has a folder at a path, or a link to one."""
    with open_folder(root, path) as found:
        return found is not None


def read_text(root: str, path: str) -> str | None:
    """The text of a file of a tree; None when there is no regular file."""
    with place(root, path) as found:
        return found.text() if found is not None else None


def host_path(root: str, path: str) -> str:
    """The path without links by which tools of this host find what a tree has at a path.

    Raises:
        StageError: a folder on the way is missing.
    """
    with place(root, path) as found:
        if found is None:
            raise StageError(
                f"The root tree {root} has no folder for /{path.lstrip('/')}. Look for a script or an overlay that "
                "removed it, or put a link that leads nowhere in its place."
            )
        return os.path.join(os.readlink(f"/proc/self/fd/{found.folder}"), found.name)


def host_file(root: str, path: str) -> str | None:
    """The path without links by which this host finds a regular file of a tree; None when there is none."""
    with place(root, path) as found:
        status = found.status() if found is not None else None
        if found is None or status is None or not stat.S_ISREG(status.st_mode):
            return None
        return os.path.join(os.readlink(f"/proc/self/fd/{found.folder}"), found.name)


def _walk(opened: list[int], path: str, *, follow: bool) -> Place | None:
    """Go down a path from the folder that is open already; ``opened`` has the folders on the way, for the way back."""
    names = path.split("/")[::-1]
    links = 0
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        if name == "..":
            # Above the root is the root.
            if len(opened) > 1:
                os.close(opened.pop())
            continue
        target = _link(name, opened[-1]) if names or follow else None
        if target is not None:
            links += 1
            if links > _LINKS:
                return None
            while target.startswith("/") and len(opened) > 1:
                os.close(opened.pop())
            names += target.split("/")[::-1]
            continue
        if not names:
            return Place(opened[-1], name)
        descriptor = _open(name, opened[-1])
        if descriptor is None:
            return None
        opened.append(descriptor)
    return Place(opened[-1], ".")


def _link(name: str, folder: int) -> str | None:
    """Where a link leads; None when this is none, or nothing is there."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def _open(name: str, folder: int) -> int | None:
    """A descriptor of a folder; None when there is none."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except OSError as problem:
        if problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Root trees that are stacked: a base, and layers that hold only what differs from it. Private to this collection.

A layer is the upper directory of an overlayfs, in the form that the kernel documents: a character device 0:0 stands for
a name that is gone, and trusted.overlay.opaque marks a directory that hides the one below it. squashfs keeps both, so a
packed layer can be a lower directory when the image boots.

An overlayfs is mounted only in a mount namespace of this process. It is gone when the process is, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import stat
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._publish import remove, scratch_folder
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp

# unshare(2), mount(2), umount2(2)
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_REC, _MS_PRIVATE = 0x1, 0x4000, 0x40000
_MNT_DETACH = 2
_OPAQUE = "trusted.overlay.opaque"
_OVERLAY_ATTRIBUTES = "trusted.overlay."
# Nothing but whole files, white-outs and opaque directories in the upper directory: what needs more than the two
# directories to be understood (redirects, meta data without data) would mean nothing in another stack.
_FORMAT = "redirect_dir=off,metacopy=off,index=off,xino=off"


@functools.cache
def _enter_own_namespace() -> None:
    """Give this process a mount namespace of its own, the first time that it is called."""
    if os.geteuid() != 0:
        raise StageError("An image with a base is built as root: run the task with become: true.")
    _call("unshare", _CLONE_NEWNS)
    _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)


@contextlib.contextmanager
def whole_tree(beside: str, root: str, base: str | None) -> t.Iterator[str]:
    """A path at which a root tree is seen with what is below it when it is a layer; the stack cannot be changed.

    Args:
        beside: see :func:`stacked`.
        root: the tree.
        base: the tree below it, or None, and then ``root`` is the path.
    """
    if base is None:
        yield root
        return
    with stacked(beside, [root, base]) as point:
        yield point


@contextlib.contextmanager
def stacked(beside: str, layers: t.Sequence[str], upper: str | None = None) -> t.Iterator[str]:
    """A path at which several trees appear as one, for this process and what it starts.

    Args:
        beside: path of an output; mount point and work directory are made in its folder.
        layers: the trees, uppermost first.
        upper: the directory that takes all changes; None for a tree that cannot be changed.

    Raises:
        StageError: this host cannot mount it, and what it needs for that.
    """
    folder = scratch_folder(beside, "stack")
    point = os.path.join(folder, "root")
    os.mkdir(point)
    descriptors: list[int] = []
    try:
        _enter_own_namespace()
        # By descriptor: a path could hold the characters that separate options.
        for path in layers:
            descriptors.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        places = [f"/proc/self/fd/{descriptor}" for descriptor in descriptors]
        options = f"{_FORMAT},lowerdir={':'.join(places)}"
        if upper is not None:
            work = os.path.join(folder, "work")
            os.mkdir(work)
            for path in (upper, work):
                descriptors.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
            options += f",upperdir=/proc/self/fd/{descriptors[-2]},workdir=/proc/self/fd/{descriptors[-1]}"
        _mount_overlay(point, options, beside, writable=upper is not None)
        try:
            yield point
        finally:
            # Something of a failed command may still be in it; the namespace ends with this process anyway.
            _call("umount2", os.fsencode(point), _MNT_DETACH)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        remove(folder)


def _mount_overlay(point: str, options: str, beside: str, *, writable: bool) -> None:
    flags = 0 if writable else _MS_RDONLY
    try:
        _call("mount", b"overlay", os.fsencode(point), b"overlay", flags, options.encode())
    except OSError as problem:
        raise StageError(
            f"base: the kernel of this build host does not mount an overlayfs in {os.path.dirname(beside)} "
            f"({problem.strerror}). Needed are the kernel module overlay, the right to mount (CAP_SYS_ADMIN, which a "
            "container must be given), and a workspace on ext4, xfs, btrfs or tmpfs; inside of a container that is a "
            "volume, not the container's own file system."
        ) from problem


def _call(name: str, *arguments: t.Any) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def base_content(layer: str) -> str | None:
    """Digest of the tree that a layer was made on, as live_rootfs recorded it; None when nothing is recorded."""
    stamp = Stamp.load(layer)
    base = stamp.inputs.get("base") if stamp is not None else None
    return base.get("content") if isinstance(base, dict) else None


def require_same_base(option: str, base: str, made_on: str | None, there: str | None) -> None:
    """Raise StageError unless a layer and the base that it is put on belong together.

    Args:
        option: the option that names the base, for the message.
        base: path of the base.
        made_on: digest of the base's tree when the layer was made, or None when that is not known.
        there: digest of the tree that the base is now, or None.
    """
    if made_on is not None and there is not None and made_on != there:
        raise StageError(
            f"{option}: {base} is not what the layer was made on: it was built anew since, perhaps for another image. "
            "Run again from live_rootfs on."
        )


def is_whiteout(status: os.stat_result) -> bool:
    """Whether an entry of a layer says that a name of the tree below is gone."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def reduce_layer(layer: str, base: str) -> None:
    """Take out of a finished layer what says nothing: what is in the base as well, and notes of the kernel.

    Many a step writes what is there already, and the kernel puts whole files into a layer when only their times change.

    Args:
        layer: the upper directory, no longer mounted.
        base: the tree below it.
    """
    _reduce(layer, base)
    _forget_notes(layer)


def _reduce(folder: str, below: str | None) -> None:
    """One directory; ``below`` is the directory that it is merged with, or None when it hides what is there."""
    if below is not None and _is_opaque(folder):
        below = None
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        other = os.path.join(below, entry.name) if below is not None else None
        under = _lstat(other) if other is not None else None
        if stat.S_ISDIR(status.st_mode):
            merged = other if under is not None and stat.S_ISDIR(under.st_mode) else None
            _reduce(entry.path, merged)
            if merged is not None and _says_nothing(entry.path, status, merged):
                os.rmdir(entry.path)
                continue
        elif is_whiteout(status):
            if under is None:
                os.unlink(entry.path)
            continue
        elif other is not None and under is not None and _same(entry.path, status, other, under):
            os.unlink(entry.path)
            continue
        _forget_notes(entry.path)


def _says_nothing(folder: str, status: os.stat_result, below: str) -> bool:
    """Whether a directory of a layer is empty, and as the one below it."""
    return not os.listdir(folder) and not _is_opaque(folder) and _same(folder, status, below, os.lstat(below))


def _is_opaque(folder: str) -> bool:
    return _attributes(folder).get(_OPAQUE) == b"y"


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _same(path: str, status: os.stat_result, other: str, under: os.stat_result) -> bool:
    """Whether two entries are the same in type, mode, owners, attributes and content. Times do not count.

    A file with several names never is: without one of them, the others would no longer be links to it.
    """
    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
        return False
    if (status.st_mode, status.st_uid, status.st_gid) != (under.st_mode, under.st_uid, under.st_gid):
        return False
    if _own_attributes(path) != _own_attributes(other):
        return False
    if stat.S_ISREG(status.st_mode):
        return status.st_size == under.st_size and file_sha256(path) == file_sha256(other)
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path) == os.readlink(other)
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return status.st_rdev == under.st_rdev
    return True


def _attributes(path: str) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def _own_attributes(path: str) -> dict[str, bytes]:
    return {name: value for name, value in _attributes(path).items() if not name.startswith(_OVERLAY_ATTRIBUTES)}


def _forget_notes(path: str) -> None:
    """Remove the attributes by which overlayfs remembers where it copied something from: handles of this host."""
    for name in _attributes(path):
        if name.startswith(_OVERLAY_ATTRIBUTES) and name != _OPAQUE:
            os.removexattr(path, name, follow_symlinks=False)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Atomic publication of files and trees. Private to this collection."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._lock import OutputLock

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def partial_path(output: str) -> str:
    """The temporary name, in the output's own folder, under which ``output`` is built.

    One fixed name per output is enough, since the builder holds the output's lock; it lets the next build find and
    remove what a killed one left.
    """
    folder, name = os.path.split(output)
    return os.path.join(folder, f".{name}.partial")


def forget_unfinished(output: str) -> None:
    """Remove what killed builds left of outputs of the same kind beside ``output``, such as ISOs of other versions.

    One whose lock is held is being built.
    """
    folder, own = os.path.split(output)
    suffix = os.path.splitext(own)[1]
    for name in os.listdir(folder) if suffix else ():
        found = re.fullmatch(rf"\.(.+{re.escape(suffix)})\.partial(\.parts)?", name)
        if found is None or found[1] == own:
            continue
        lock = OutputLock(os.path.join(folder, found[1]))
        try:
            lock.acquire(0, lambda dummy: None)
        except StageError:
            continue
        try:
            remove(os.path.join(folder, name))
        finally:
            lock.release()


def scratch_folder(output: str, purpose: str) -> str:
    """A new private folder beside ``output``; what a killed build left under this name is removed."""
    folder, name = os.path.split(output)
    path = os.path.join(folder, f".{name}.{purpose}")
    remove(path)
    os.mkdir(path, 0o700)
    return path


def mount_points_below(path: str) -> list[str]:
    """Mount points at or below ``path`` in this process's mount namespace."""
    path = os.path.realpath(path)
    found = []
    with open("/proc/self/mountinfo", "rb") as stream:
        for line in stream:
            # proc(5): blank, tab, newline and backslash are octal escapes in this field.
            escaped = line.split(b" ")[4]
            point = os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), escaped))
            if point == path or point.startswith(path.rstrip("/") + "/"):
                found.append(point)
    return found


def remove(path: str) -> None:
    """Remove a file or a tree that we made; refuses a tree in which something is mounted."""
    if not os.path.lexists(path):
        return
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    _refuse_mounted(path)
    shutil.rmtree(path)


def _refuse_mounted(path: str) -> None:
    mounted = mount_points_below(path)
    if mounted:
        raise StageError(f"{path} is not removed: {mounted[0]} is mounted there. Unmount it and run again.")


def discard(output: str) -> None:
    """Remove an output; whoever is killed meanwhile leaves nothing half removed under its name."""
    # Before it is renamed: a message must name what the user knows.
    _refuse_mounted(output)
    partial = partial_path(output)
    remove(partial)
    os.rename(output, partial)
    remove(partial)


def publish(partial: str, output: str) -> None:
    """Give the finished ``partial`` its final name in one step; what was there before is removed afterwards."""
    flush(partial)
    if os.path.isdir(partial) and os.path.lexists(output):
        _exchange(partial, output)
        remove(partial)
    elif os.path.isdir(output) and not os.path.islink(output):
        raise StageError(f"{output} is a directory, but this stage makes a file. Move it away or choose another dest.")
    else:
        os.replace(partial, output)
    flush(os.path.dirname(output))


def flush(path: str) -> None:
    """Flush a file or a folder's names to disk; a tree lost in a power cut only costs a rebuild."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(first: str, second: str) -> None:
    """Swap two paths of one file system atomically (renameat2(2), RENAME_EXCHANGE)."""
    library = ctypes.CDLL(None, use_errno=True)
    result = library.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    if result == 0:
        return
    problem = ctypes.get_errno()
    if problem not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(problem, os.strerror(problem), second)
    # A file system without exchange: the output is missing for an instant, never half there.
    retired = first + ".old"
    remove(retired)
    os.rename(second, retired)
    os.rename(first, second)
    os.rename(retired, first)

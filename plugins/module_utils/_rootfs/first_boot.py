# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree as a first boot expects it, with nothing of the build host. Private to this collection."""

from __future__ import annotations

import os
import shutil
import stat

from ansible_collections.liveforge.images.plugins.module_utils._rootfs import host_keys, identities, image_path
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.configure import Configurator

_EMPTIED_FOLDERS = (
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
    "var/lib/apt/lists",
    "var/tmp",
    "tmp",
    "run",
)
_REMOVED = (
    "etc/.pwd.lock",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/NetworkManager/secret_key",
    "root/.bash_history",
)
_BACKUPS = ("passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-")


def forget_host(root: str) -> None:
    """Take out what the installation of packages copied from the build host."""
    _remove(root, "etc/resolv.conf")
    program = "systemd/systemd-resolved"
    if not any(image_path.exists(root, f"{folder}/{program}", follow=False) for folder in ("usr/lib", "lib")):
        return
    with image_path.place(root, "etc/resolv.conf", follow=False) as found:
        if found is not None:
            os.symlink("../run/systemd/resolve/stub-resolv.conf", found.name, dir_fd=found.folder)


def forget_package_sources(root: str) -> None:
    """Take out the repositories that the packages were installed from, and their pins."""
    _empty(root, "etc/apt/sources.list.d", follow=True)
    _remove(root, "etc/apt/sources.list")
    _remove(root, "etc/apt/preferences.d/00-image-repositories")


def prepare(configure: Configurator, root: str) -> None:
    """Take the last traces of the build out of a tree, and let the image make its own identity when it boots."""
    host_keys.make_at_boot(configure, root)
    identities.make_at_boot(configure, root)
    for path in _REMOVED:
        _remove(root, path)
    for path in _EMPTIED_FOLDERS:
        _empty(root, path, follow=False)
    _empty_logs(root, "var/log")
    # shadow and dpkg keep their last state beside the current one.
    for path in ("etc", "var/lib/dpkg"):
        _remove_backups(root, path)
    _drop_access_lists(root, "var/log/journal")
    # machine-id(5): empty means "make one at boot"; a missing file would also reset all enabled units.
    _make_empty_file(root, "etc/machine-id")


def _remove(root: str, path: str) -> None:
    with image_path.place(root, path, follow=False) as found:
        if found is not None and found.status() is not None:
            os.unlink(found.name, dir_fd=found.folder)


def _empty(root: str, path: str, *, follow: bool) -> None:
    with image_path.open_folder(root, path, follow=follow) as folder:
        if folder is None:
            return
        for name in os.listdir(folder):
            if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                shutil.rmtree(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)


def _empty_logs(root: str, path: str) -> None:
    """Remove log files, keep the folders: services expect theirs with the right owner."""
    with image_path.open_folder(root, path) as top:
        if top is None:
            return
        for *dummy, names, folder in os.fwalk(dir_fd=top):
            for name in names:
                if stat.S_ISREG(os.lstat(name, dir_fd=folder).st_mode):
                    os.unlink(name, dir_fd=folder)


def _drop_access_lists(root: str, path: str) -> None:
    """Remove POSIX access control lists, which squashfs cannot hold; systemd-tmpfiles sets these again at each boot."""
    with image_path.open_folder(root, path) as folder:
        if folder is None:
            return
        for name in os.listxattr(folder):
            if name.startswith("system.posix_acl_"):
                os.removexattr(folder, name)


def _remove_backups(root: str, path: str) -> None:
    with image_path.open_folder(root, path) as folder:
        if folder is None:
            return
        for name in os.listdir(folder):
            is_backup = name.endswith("-old") or name in _BACKUPS
            if is_backup and stat.S_ISREG(os.lstat(name, dir_fd=folder).st_mode):
                os.unlink(name, dir_fd=folder)


def _make_empty_file(root: str, path: str) -> None:
    """Empty a file, or make it; what is no file, or a link to where the image has no folder, is left alone."""
    with image_path.place(root, path) as found:
        status = found.status() if found is not None else None
        if found is None or (status is not None and not stat.S_ISREG(status.st_mode)):
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        os.close(os.open(found.name, flags, 0o666, dir_fd=found.folder))

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tree as a first boot expects it, with nothing of the build host. Private to this collection."""

from __future__ import annotations

import os
import shutil
import stat

from ansible_collections.liveforge.images.plugins.module_utils._rootfs import host_keys
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


def forget_host(root: str) -> None:
    """Take out what the installation of packages copied from the build host."""
    _remove(os.path.join(root, "etc/resolv.conf"))
    if os.path.lexists(os.path.join(root, "usr/lib/systemd/systemd-resolved")) or os.path.lexists(
        os.path.join(root, "lib/systemd/systemd-resolved")
    ):
        os.symlink("../run/systemd/resolve/stub-resolv.conf", os.path.join(root, "etc/resolv.conf"))


def prepare(configure: Configurator, root: str) -> None:
    """Take the last traces of the build out of a tree, and let the image make its own identity when it boots."""
    host_keys.make_at_boot(configure, root)
    for relative in _REMOVED:
        _remove(os.path.join(root, relative))
    for relative in _EMPTIED_FOLDERS:
        _empty(os.path.join(root, relative))
    _empty_logs(os.path.join(root, "var/log"))
    # shadow and dpkg keep their last state beside the current one.
    for folder in ("etc", "var/lib/dpkg"):
        _remove_backups(os.path.join(root, folder))
    _drop_access_lists(os.path.join(root, "var/log/journal"))
    # machine-id(5): empty means "make one at boot"; a missing file would also reset all enabled units.
    with open(os.path.join(root, "etc/machine-id"), "wb"):
        pass


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


def _empty(folder: str) -> None:
    if os.path.islink(folder) or not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def _empty_logs(folder: str) -> None:
    """Remove log files, keep the folders: services expect theirs with the right owner."""
    for parent, dummy, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                os.unlink(path)


def _drop_access_lists(folder: str) -> None:
    """Remove POSIX access control lists, which squashfs cannot hold; systemd-tmpfiles sets these again at each boot."""
    if os.path.isdir(folder):
        for name in os.listxattr(folder):
            if name.startswith("system.posix_acl_"):
                os.removexattr(folder, name)


def _remove_backups(folder: str) -> None:
    if not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if (name.endswith("-old") or name in ("passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-")) and (
            os.path.isfile(path) and not os.path.islink(path)
        ):
            os.unlink(path)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A root tree as a tool shall see it, without what is excluded. Private to this collection."""

from __future__ import annotations

import os
import shutil
import stat
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

# The two names are relative, so that no character of a path can be taken for syntax of overlayfs options.
_SCRIPT = 'cd "$1" && mount -t overlay overlay -o ro,lowerdir=mask:tree view && shift && exec "$@"'


class TreeView:
    """Hides paths from tools that have no option for that (mkfs.ext4 -d, mkfs.btrfs --rootdir, mkfs.erofs).

    The tool runs in a mount namespace of its own, where an overlayfs shows the tree below a layer of whiteouts.
    Nothing is copied, the tree is not changed, and the host never sees the mount. Without exclusions there is no view.

    Args:
        root: the tree.
        excluded: paths relative to it, as from ``excluded_paths``.
        scratch: an empty folder for the layer.
    """

    def __init__(self, root: str, excluded: t.Sequence[str], scratch: str) -> None:
        self._scratch = scratch
        self.masked = bool(excluded)
        self.path = os.path.join(scratch, "view") if self.masked else root
        if self.masked:
            self._mask(root, excluded)

    def command(self, argv: t.Sequence[str]) -> list[str]:
        """``argv``, which may name :attr:`path`, to be run with namespaces if :attr:`masked`."""
        return ["sh", "-c", _SCRIPT, "sh", self._scratch, *argv] if self.masked else list(argv)

    def _mask(self, root: str, excluded: t.Sequence[str]) -> None:
        mask = os.path.join(self._scratch, "mask")
        os.mkdir(self.path)
        os.symlink(root, os.path.join(self._scratch, "tree"))
        folders: set[str] = {""}
        for path in excluded:
            folder = os.path.dirname(path)
            while folder not in folders:
                folders.add(folder)
                folder = os.path.dirname(folder)
        for folder in sorted(folders):
            os.mkdir(os.path.join(mask, folder).rstrip("/"))
        for path in excluded:
            self._whiteout(os.path.join(mask, path))
        # Deepest first, since adding entries to a folder changes its time.
        for folder in sorted(folders, reverse=True):
            _imitate(os.path.join(root, folder), os.path.join(mask, folder))

    def _whiteout(self, path: str) -> None:
        try:
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        except PermissionError as problem:
            raise StageError(
                f"exclude: {os.path.dirname(self._scratch)} is on a file system without overlayfs whiteouts "
                "(such as the root of a container). Choose a dest on a volume of the host, or exclude nothing.",
                path=path,
            ) from problem


def _imitate(original: str, copy: str) -> None:
    """Give a folder the owner, mode, extended attributes and times of another one."""
    status = os.stat(original)
    os.chown(copy, status.st_uid, status.st_gid)
    os.chmod(copy, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(original):
        os.setxattr(copy, name, os.getxattr(original, name))
    shutil.copystat(original, copy)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tree of installed packages as it is kept for later builds: packed. Private to this collection.

It takes a quarter of the tree's space, and unpacking it takes hardly longer than copying the tree would.
"""

from __future__ import annotations

import os
import stat

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._digest import walk

SUFFIX = ".packages.tar.zst"
TOOLS = ("tar", "zstd")
# Each takes some 10 MB, and tar cannot feed more of them.
_THREADS = 8
# Extended attributes of every namespace, so access control lists, capabilities and the marks of overlayfs, too; blocks
# of 64 KiB are as much as a pipe takes at once.
_COMMON = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--blocking-factor=128"]


def pack(tree: str, archive: str, run: Runner) -> None:
    """Write a tree to a new archive.

    Sockets are removed from the tree, since no archive holds them: nobody listens on them in an image anyway, and a
    tree that was unpacked has to be the one that was packed.
    """
    for relative, status in list(walk(tree)):
        if stat.S_ISSOCK(status.st_mode):
            os.unlink(os.path.join(tree, relative))
    # It holds what only root may read, such as keys that packages made; tar keeps the mode of a file that is there.
    os.close(os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    compress = f"--use-compress-program=zstd -q -3 -T{min(_THREADS, os.cpu_count() or 1)}"
    # The posix format has times to the nanosecond.
    command = ["tar", "--create", "--format=posix", "--sort=name", "--sparse", *_COMMON, compress]
    run.run([*command, f"--file={archive}", f"--directory={tree}", "."], task="packing the package tree")


def unpack(archive: str, tree: str, run: Runner) -> None:
    """Make the new directory ``tree`` from an archive of :func:`pack`."""
    os.mkdir(tree, 0o755)
    command = ["tar", "--extract", "--same-permissions", "--same-owner", *_COMMON, "--use-compress-program=zstd -q"]
    run.run([*command, f"--file={archive}", f"--directory={tree}"], task="unpacking the package tree")

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which part of a root tree the lists of its packages are made from. Private to this collection."""

from __future__ import annotations

import functools
import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._rootfs import image_path

_DATABASE = "var/lib/dpkg"
# The database itself, its settings, and changelogs, wherever these come from.
_FOLDERS = (_DATABASE, "etc/dpkg", "usr/share/doc")
# As many as the kernel follows before it takes them for a circle.
_LINKS = 40


def packaged_places(root: str) -> t.Callable[[str], bool]:
    """Tells of a path relative to ``root`` whether it is a place of a package, by dpkg's database in the tree.

    What is at none of these places can neither be missed nor be found changed by ``dpkg --verify``.
    """
    places = _resolved(root, _known_to_dpkg(root))

    def is_packaged(path: str) -> bool:
        return path in places or any(path == folder or path.startswith(folder + "/") for folder in _FOLDERS)

    return is_packaged


def _known_to_dpkg(root: str) -> set[str]:
    """All paths of all packages, relative to the tree, and the places that diversions move them to."""
    found: set[str] = set()
    with image_path.open_folder(root, f"{_DATABASE}/info") as folder:
        if folder is not None:
            for name in os.listdir(folder):
                if name.endswith(".list"):
                    found.update(_lines(image_path.Place(folder, name).text()))
    # Of a diversion there is also a line with the name of a package, which is no path and does no harm.
    found.update(_lines(image_path.read_text(root, f"{_DATABASE}/diversions")))
    return found


def _lines(text: str | None) -> t.Iterator[str]:
    """Paths as dpkg writes them, relative to the tree."""
    return (line.strip("/") for line in (text or "").split("\n") if line)


def _resolved(root: str, paths: t.Iterable[str]) -> set[str]:
    """The paths with all links on the way to them followed inside of the tree: ``usr/bin/ls`` for ``bin/ls``.

    And what those lead to that are links themselves: ``dpkg --verify`` reads the file behind them.
    """
    asked: set[str] = set()

    @functools.cache
    def behind(path: str) -> str:
        if path in asked:
            # A link that leads through itself.
            return path
        asked.add(path)
        for _link in range(_LINKS):
            parent, dummy, name = path.rpartition("/")
            above = behind(parent) if parent else ""
            path = f"{above}/{name}" if above else name
            try:
                target = os.readlink(os.path.join(root, path))
            except OSError:
                return path
            path = os.path.normpath(os.path.join("/", above, target)).strip("/")
        return path

    found = set()
    for path in paths:
        parent, dummy, name = path.rpartition("/")
        found.add(f"{behind(parent)}/{name}" if parent else name)
        found.add(behind(path))
    return found

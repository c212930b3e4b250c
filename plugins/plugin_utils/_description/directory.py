# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The description directory on the controller, and the limits of what may be read. Private to this collection."""

from __future__ import annotations

import os
import stat
import typing as t

import yaml

from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import (
    DescriptionError,
    Place,
    Problem,
)

# Far more than any description has (the largest public ones have some 100 KiB).
MAXIMUM_BYTES = 4 * 1024 * 1024
# YAML is read far slower than XML.
MAXIMUM_EXCLUDES_BYTES = 64 * 1024
# What KIWI leaves out of the root file system, too.
_EXCLUDED = ["proc/*", "sys/*", "dev/*", "run/*", "tmp/*"]


class DescriptionDirectory:
    """A directory with a description and the files that belong to it.

    Nothing outside of it is read, unless it lies in one of the trusted paths: a description from somebody else must not
    be able to put /etc/shadow of the controller into an image.

    Attributes:
        path: the folder that holds the description, once it was found: what it names, and what belongs to it by its
            name, lies beside it.

    Args:
        path: the directory.
        trusted_paths: further directories that the description may refer to.

    Raises:
        DescriptionError: when there is no such directory.
    """

    def __init__(self, path: str, trusted_paths: t.Sequence[str] = ()) -> None:
        self.path = os.path.abspath(path)
        if not os.path.isdir(self.path):
            raise DescriptionError.at(
                Place(self.path), "there is no such directory on the controller. Give the one that holds config.xml."
            )
        self._trusted = [os.path.realpath(directory) for directory in (self.path, *trusted_paths)]

    def find(self, file: str | None) -> str:
        """Path of the description: the given one, else config.xml, image/config.xml or the first *.kiwi."""
        found = self._find(file)
        self.path = os.path.dirname(found)
        return found

    def _find(self, file: str | None) -> str:
        if file is not None:
            wanted = os.path.join(self.path, file)
            if not os.path.isfile(wanted):
                raise DescriptionError.at(Place(wanted), "option file: there is no such file.")
            return self.require_trusted(wanted, Place(wanted), "option file")
        kiwi = sorted(name for name in os.listdir(self.path) if name.endswith(".kiwi") and not name.startswith("."))
        for name in ("config.xml", os.path.join("image", "config.xml"), *kiwi):
            found = os.path.join(self.path, name)
            if os.path.isfile(found):
                return self.require_trusted(found, Place(found), "the description")
        raise DescriptionError.at(
            Place(self.path), "there is neither config.xml nor a file *.kiwi. Name the file with option file."
        )

    def require_trusted(self, path: str, place: Place, what: str) -> str:
        """The path; DescriptionError when it leads out of the directory, be it by dots or by a symbolic link."""
        real = os.path.realpath(path)
        if not any(real == trusted or real.startswith(trusted.rstrip("/") + "/") for trusted in self._trusted):
            raise DescriptionError.at(
                place,
                f"{what} leads to {real}, outside of the description directory. Put it there, or name a directory "
                "that holds it in option trusted_paths.",
            )
        return path

    def beside(self, name: str, place: Place, what: str) -> tuple[str, str | None]:
        """Path of a file that the description names, and why it cannot be used (or None)."""
        if "\0" in name:
            raise DescriptionError.at(place, f"{what}: the name holds a null character.")
        path = self.require_trusted(os.path.normpath(os.path.join(self.path, name)), place, what)
        missing = None if os.path.exists(path) else f"{what}: {path} does not exist, so the image cannot be built."
        return path, missing

    def own(self, name: str) -> str | None:
        """Path of a file or folder that belongs to every description by its name, when there is one."""
        path = os.path.join(self.path, name)
        if not os.path.lexists(path):
            return None
        return self.require_trusted(path, Place(path), name)

    def first(self, prefix: str) -> str | None:
        """The first file, in sorted order, whose name starts so."""
        names = sorted(name for name in os.listdir(self.path) if name.startswith(prefix))
        return self.own(names[0]) if names else None

    def excluded(self, path: str) -> list[str]:
        """Patterns that a file exclude_files.yaml keeps out of the root file system, and the usual ones."""
        try:
            content = yaml.safe_load(read(path, MAXIMUM_EXCLUDES_BYTES))
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as problem:
            raise DescriptionError.at(Place(path), f"this is not YAML: {problem}") from problem
        patterns = content.get("exclude") if isinstance(content, dict) else None
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise DescriptionError.at(Place(path), "this must be a dictionary with one list of patterns, 'exclude'.")
        return [*_EXCLUDED, *(pattern.lstrip("/") for pattern in patterns)]


def read(path: str, maximum: int = MAXIMUM_BYTES) -> bytes:
    """Content of a regular file of at most so many bytes; DescriptionError otherwise."""
    try:
        # Without waiting, since it could be a FIFO that nobody writes to.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise DescriptionError.at(Place(path), "this is not a regular file.")
            content = stream.read(maximum + 1)
    except OSError as problem:
        raise DescriptionError.at(Place(path), f"cannot be read: {problem.strerror}.") from problem
    if len(content) > maximum:
        raise DescriptionError.at(Place(path), f"has more than {maximum} bytes, the most that is read.")
    return content


def missing(problems: list[Problem], place: Place, text: str | None) -> None:
    """Note that something is missing, when it is."""
    if text is not None:
        problems.append(Problem(place, text))

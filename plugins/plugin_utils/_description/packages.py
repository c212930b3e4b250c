# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Package lists, archives and files of the sections <packages>. Private to this collection."""

from __future__ import annotations

import os
import stat
import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description import directory
from ansible_collections.liveforge.images.plugins.plugin_utils._description.directory import DescriptionDirectory
from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import is_true
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import Place
from ansible_collections.liveforge.images.plugins.plugin_utils._description.selection import Selection

if t.TYPE_CHECKING:
    from lxml import etree

# The package of a manager, where it is called otherwise than the manager.
_MANAGER_PACKAGES = {"dnf4": "dnf", "apk": "apk-tools"}
DEFAULT_MANAGER = "dnf4"
_OWN_FOLDER = "/image/"
# What KIWI looks for there: patterns of what stays out of the root file system, and out of the EFI partition.
EXCLUDE_FILES = ("exclude_files.yaml", "exclude_files_efifatimage.yaml")
# Elements whose attribute arch is not looked at by KIWI.
_FILTERED_HERE_ONLY = ("file", "product", "collectionModule")


class Packages:
    """What is installed and removed, by name and sorted.

    ``type="image"`` and the build type's own sections are the system; ``type="bootstrap"`` is installed before it.

    Attributes:
        own_files: what <file> puts into KIWI's own folder /image, and where that is said, by its name there. Filled in
            by files().

    Args:
        selection: what of the description applies.
        manager: name of the package manager.
    """

    def __init__(self, selection: Selection, manager: str) -> None:
        self._selection = selection
        build_type = selection.type.get("image", "")
        self._system = selection.packages("image", build_type)
        self._bootstrap = selection.packages("bootstrap")
        # As KIWI has it: the build type's sections decide about the bootstrap, too, except for packages.
        self._bootstrap_and_type = selection.packages("bootstrap", build_type)
        self.system = self._names(self._system, "package")
        self.bootstrap = self._names(self._bootstrap, "package")
        if self.bootstrap and self.system:
            self.bootstrap = sorted({*self.bootstrap, _MANAGER_PACKAGES.get(manager, manager)})
        self.uninstall = self._names(selection.packages("uninstall"), "package")
        self.delete = self._names(selection.packages("delete"), "package")
        self.ignore = sorted({*self._names(self._system, "ignore"), *self._names(self._bootstrap, "ignore")})
        self.collections = self._names(self._system, "namedCollection")
        self.bootstrap_collections = self._names(self._bootstrap_and_type, "namedCollection")
        self.products = self._names(self._system, "product")
        self.bootstrap_products = self._names(self._bootstrap_and_type, "product")
        self.own_files: dict[str, tuple[str, Place]] = {}
        self._warn_of_own_filters()
        self._warn_of_bootstrap_pattern(manager)

    @property
    def recommends(self) -> bool:
        """Whether packages that others only recommend are installed with the system; the first section decides."""
        return _recommended(self._system)

    @property
    def modules(self) -> list[dict[str, t.Any]]:
        """Modules of dnf, in the order of the description."""
        found = []
        for module in self._selection.entries(self._bootstrap, "collectionModule"):
            item: dict[str, t.Any] = {"name": module.get("name"), "enable": is_true(module.get("enable"))}
            if module.get("stream"):
                item["stream"] = module.get("stream")
            found.append(item)
        return found

    def elements(self, tag: str) -> list[etree._Element]:
        """Elements of this name in the sections that are installed."""
        return self._selection.entries([*self._bootstrap, *self._system], tag)

    def archives(self, files: DescriptionDirectory) -> list[dict[str, t.Any]]:
        """Archives by phase and name, as live_rootfs takes them."""
        document = self._selection.document
        found = []
        for phase, sections in (("bootstrap", self._bootstrap), ("image", self._system)):
            by_name: dict[str, etree._Element] = {}
            for archive in self._selection.entries(sections, "archive"):
                by_name[archive.get("name", "").strip()] = archive
            for name, archive in sorted(by_name.items()):
                place = document.place(archive, "name")
                path, problem = files.beside(name, place, f"archive {name!r}")
                directory.missing(document.warnings, place, problem)
                target = archive.get("target_dir") or "/"
                found.append({"src": path, "dest": os.path.normpath(f"/{target.lstrip('/')}"), "phase": phase})
        return found

    def files(self, files: DescriptionDirectory) -> list[dict[str, t.Any]]:
        """Single files by name, as live_rootfs takes them; those of the bootstrap section after the system's."""
        document = self._selection.document
        found = []
        for sections in (self._system, self._bootstrap):
            by_name = {entry.get("name", ""): entry for entry in self._selection.entries(sections, "file")}
            for name, entry in sorted(by_name.items()):
                place = document.place(entry, "name")
                path, problem = files.beside(name, place, f"file {name!r}")
                destination = _destination(entry.get("target"), name)
                if destination.startswith(_OWN_FOLDER):
                    own = destination.removeprefix(_OWN_FOLDER)
                    self.own_files[own] = (path, place)
                    if own not in EXCLUDE_FILES:
                        document.warn(
                            entry,
                            f"file {name!r} is left out: KIWI's own folder /image is no part of the image.",
                            "target",
                        )
                    continue
                directory.missing(document.warnings, place, problem)
                owner, dummy, group = (entry.get("owner") or "").replace(".", ":", 1).partition(":")
                item = {
                    "src": path,
                    "dest": destination,
                    "owner": owner or "root",
                    "group": group or "root",
                    "mode": _mode(entry.get("permissions"), path),
                }
                found.append(item)
        return found

    def _warn_of_own_filters(self) -> None:
        selection = self._selection
        for section in [*self._bootstrap, *self._system]:
            for entry in section.iterchildren(*_FILTERED_HERE_ONLY):
                if not selection.matches_architecture(entry):
                    selection.document.warn(
                        entry,
                        f"<{entry.tag}> {entry.get('name')!r} is left out, since it is not for {selection.arch}. KIWI "
                        f"does not look at attribute arch of <{entry.tag}>.",
                        "arch",
                    )

    def _warn_of_bootstrap_pattern(self, manager: str) -> None:
        """Whether recommended packages are installed is decided once for all packages; KIWI decides twice."""
        if manager == "apt" and self.bootstrap and _recommended(self._bootstrap_and_type) != self.recommends:
            all_or_none = "are installed with" if self.recommends else "are not installed with"
            self._selection.document.warn(
                self._bootstrap[0],
                f"packages that others only recommend {all_or_none} bootstrap packages, too: patternType of the "
                "system's packages decides.",
                "patternType",
            )

    def _names(self, sections: t.Iterable[etree._Element], tag: str) -> list[str]:
        return sorted({entry.get("name", "").strip() for entry in self._selection.entries(sections, tag)})


def _recommended(sections: t.Iterable[etree._Element]) -> bool:
    """Whether the first of the sections that has a patternType wants recommended packages."""
    patterns = (section.get("patternType") for section in sections)
    return next((pattern == "plusRecommended" for pattern in patterns if pattern), False)


def _destination(target: str | None, name: str) -> str:
    if not target:
        return "/" + os.path.basename(name.rstrip("/"))
    absolute = os.path.normpath("/" + target.lstrip("/"))
    return os.path.join(absolute, os.path.basename(name)) if target.endswith("/") else absolute


def _mode(permissions: str | None, path: str) -> str:
    if permissions:
        return permissions.strip().rjust(4, "0")
    try:
        return f"{stat.S_IMODE(os.stat(path).st_mode):04o}"
    except OSError:
        return "0644"

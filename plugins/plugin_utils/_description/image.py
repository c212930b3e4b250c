# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A description as an image: the options of role live_image. Private to this collection."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description import directory
from ansible_collections.liveforge.images.plugins.plugin_utils._description.accounts import Accounts
from ansible_collections.liveforge.images.plugins.plugin_utils._description.directory import DescriptionDirectory
from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import is_true, text_of
from ansible_collections.liveforge.images.plugins.plugin_utils._description.medium import (
    driver_names,
    initrd_options,
    loader_options,
    mebibytes,
    medium_options,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._description.packages import (
    DEFAULT_MANAGER,
    EXCLUDE_FILES,
    Packages,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import Place, Problem
from ansible_collections.liveforge.images.plugins.plugin_utils._description.repositories import (
    Repository,
    is_ubuntu,
    main_repository,
    release_of,
    repository_items,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._description.selection import Selection
from ansible_collections.liveforge.images.plugins.plugin_utils._description.variables import kiwi_variables
from ansible_collections.liveforge.images.plugins.plugin_utils._image_spec import boot_packages, image_arguments

if t.TYPE_CHECKING:
    from lxml import etree

# Every option of an image that a description can set, and what it comes from.
OPTIONS = {
    "name": "<image name>",
    "version": "<version>, the first",
    "displayname": "<image displayname>, else name",
    "bundle_name": "<type bundle_format>",
    "architecture": "option arch of the module",
    "distribution": "the repositories",
    "release": "<repository distribution>",
    "release_version": "<release-version>",
    "package_manager": "<packagemanager>, the first",
    "repositories": "<repository>, or option repositories of the module",
    "recommends": "<packages patternType>",
    "rpm_check_signatures": "<rpm-check-signatures>",
    "rpm_excludedocs": "<rpm-excludedocs>",
    "rpm_locale_filtering": "<rpm-locale-filtering>",
    "boot_packages": "what is needed and not in the description",
    "bootstrap_packages": "<packages type=bootstrap>",
    "packages": "<packages type=image> and <packages type=iso>",
    "packages_remove": "<packages type=uninstall>",
    "packages_delete": "<packages type=delete>",
    "packages_exclude": "<ignore>",
    "collections": "<namedCollection>",
    "bootstrap_collections": "<namedCollection> in type=bootstrap",
    "products": "<product>",
    "bootstrap_products": "<product> in type=bootstrap",
    "modules": "<collectionModule>",
    "archives": "<archive>, and root.tar.gz",
    "overlays": "root/, and a folder for each profile",
    "files": "<file> in <packages>",
    "post_bootstrap_scripts": "post_bootstrap.sh",
    "scripts": "config.sh",
    "images_scripts": "images.sh",
    "edit_boot_config": "<type editbootconfig>",
    "cdroot_archives": "config-cdroot.tar*",
    "grub_template": "<bootloader grub_template>",
    "exclude": "exclude_files.yaml",
    "users": "<user>",
    "groups": "<user groups>",
    "locale": "<locale>, the last",
    "keymap": "<keytable>, the last",
    "timezone": "<timezone>, the last",
    "flags": "<type flags>",
    "filesystem": "<type filesystem>",
    "squashfscompression": "<type squashfscompression>",
    "erofscompression": "<type erofscompression>",
    "block_size": "KIWI's blocks of 1 MiB",
    "size": "<size>",
    "size_additive": "<size additive>",
    "fscreateoptions": "<type fscreateoptions>",
    "hybridpersistent": "<type hybridpersistent>",
    "hybridpersistent_filesystem": "<type hybridpersistent_filesystem>",
    "volid": "<type volid>",
    "application_id": "<type application_id>",
    "publisher": "<type publisher>",
    "kernelcmdline": "<type kernelcmdline>",
    "mediacheck": "<type mediacheck>",
    "firmware": "<type firmware>",
    "eficsm": "<type eficsm>",
    "efiparttable": "<type efiparttable>",
    "gpt_hybrid_mbr": "<type gpt_hybrid_mbr>",
    "efifatimagesize": "<type efifatimagesize>",
    "timeout": "<bootloader timeout>",
    "timeout_style": "<bootloader timeout_style>",
    "output_console": "<bootloader output_console>",
    "input_console": "<bootloader input_console>",
    "serial_line": "<bootloader serial_line>",
    "initrd_modules": "<initrd action=add>",
    "initrd_omit_modules": "<initrd action=omit>",
    "initrd_drivers": "<initrd action=add>, and <drivers>",
    "initrd_omit_drivers": "<initrd action=omit>",
    "kiwi_profile": "all of the description, for scripts",
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# What is told when apt is the package manager, and the value that it is told about.
_RPM_PREFERENCES = {
    "rpm-check-signatures": (
        False,
        'repositories are checked all the same, unless they have repository_gpgcheck="false"',
    ),
    "rpm-excludedocs": (True, "manual pages and documents are installed; remove them in config.sh"),
    "rpm-locale-filtering": (True, "all translations are installed; remove them in config.sh"),
}
# Packages of a Debian or Ubuntu kernel.
_KERNEL = re.compile(r"linux-(image|generic|virtual|lowlatency|kvm|aws|azure|gcp|oem|raspi)\b")
_NAME_TAGS = re.compile(r"%([NPAITMmpv])")


class Image:
    """A description resolved to one image.

    Attributes:
        options: what role live_image takes, without its prefix.
        origins: where each option comes from.
        manager: name of the package manager.
        result_name: NAME.ARCH-VERSION, as KIWI names its results.

    Args:
        selection: what of the description applies.
        files: the description directory.
        found: all repositories that apply.
        warnings: is added to.
    """

    def __init__(
        self,
        selection: Selection,
        files: DescriptionDirectory,
        found: t.Sequence[Repository],
        warnings: list[Problem],
    ) -> None:
        self.options: dict[str, t.Any] = {}
        self.origins: dict[str, Place] = {}
        self._selection = selection
        self._document = selection.document
        self._files = files
        self._warnings = warnings
        self.manager = self._preference("packagemanager") or DEFAULT_MANAGER
        self._packages = Packages(selection, self.manager)
        self._names()
        self._preferences(found)
        self._repositories(found)
        self._package_lists()
        self._beside()
        self._accounts()
        self._medium()
        self._initrd()
        self._boot_packages()
        self._put("kiwi_profile", kiwi_variables(selection, self._packages), self._document.root)

    def unsupported(self) -> list[Problem]:
        """What role live_image does not build: options, choices and keys of items that it does not know."""
        arguments = image_arguments()
        problems = []
        build_type = self._selection.type.get("image", "")
        if build_type != "iso":
            place = self._document.place(self._selection.type, "image")
            problems.append(Problem(place, f"only live images (type iso) are built; type {build_type} is just read."))
        if self.manager != "apt" and "package_manager" not in arguments:
            # That says it all: what only this manager knows is not listed.
            problems.append(
                Problem(
                    self.origins["package_manager"],
                    f"role live_image does not install with {self.manager} yet. The image can be looked at, not built.",
                )
            )
            return problems
        for option, value in self.options.items():
            place = self.origins[option]
            argument = arguments.get(option)
            if argument is None:
                problems.append(Problem(place, f"role live_image has no option {option} yet ({OPTIONS[option]})."))
                continue
            choices = argument.get("choices")
            if choices and value not in choices:
                problems.append(
                    Problem(place, f"role live_image does not build {option} {value!r}, only {', '.join(choices)}.")
                )
            if argument.get("elements") == "dict":
                keys = sorted({key for item in value for key in item} - set(argument["options"]))
                problems += [Problem(place, f"role live_image has no {key} in option {option} yet.") for key in keys]
                problems += self._missing_keys(option, value, argument["options"])
        if "release" not in self.options and self.manager == "apt":
            problems.append(
                Problem(
                    Place(self._document.file),
                    "no repository tells the release (attribute distribution). Give the image option release, such as "
                    "bookworm.",
                )
            )
        return problems

    def _missing_keys(self, option: str, items: t.Any, known: t.Mapping[str, t.Any]) -> list[Problem]:
        required = sorted(name for name, argument in known.items() if argument.get("required"))
        return [
            Problem(self.origins[option], f"{option}[{index}] ({item.get('name', '')}) has no {name}, which it needs.")
            for index, item in enumerate(items)
            for name in required
            if name not in item
        ]

    def _put(self, option: str, value: t.Any, element: etree._Element, attribute: str | None = None) -> None:
        if value is None or value == [] or value == "":
            return
        self.options[option] = value
        self.origins[option] = self._document.place(element, attribute)

    def _put_own(self, option: str, value: t.Any, path: str) -> None:
        self.options[option] = value
        self.origins[option] = Place(path)

    def _preference(self, tag: str, *, last: bool = False) -> str:
        return text_of(self._selection.preference(tag, last=last))

    def _put_preference(self, option: str, value: t.Any, tag: str, *, last: bool = False) -> None:
        element = self._selection.preference(tag, last=last)
        if element is not None:
            self._put(option, value, element)

    def _names(self) -> None:
        root = self._document.root
        selected = self._selection.type
        name = root.get("name", "").strip()
        version = self._preference("version")
        if not version:
            place = self._selection.preference("version")
            raise self._document.error(
                root if place is None else place,
                "the image has no version: <version> is missing in all <preferences> that apply.",
            )
        arch = "ix86" if self._selection.arch in ("i586", "i686", "ix86") else self._selection.arch
        self._put("name", name, root, "name")
        self._put_preference("version", version, "version")
        self._put("displayname", root.get("displayname") or name, root, "displayname")
        self.result_name = f"{name}.{arch}-{version}"
        self._put("architecture", _ARCHITECTURES.get(arch, arch), root)
        major, minor, patch = [*version.split(".", 2), "", "", ""][:3]
        tags = {
            "N": name,
            "P": "_".join(self._selection.profiles),
            # KIWI folds the names of 32-bit PCs in the names of its files, and not here.
            "A": self._selection.arch,
            # The id of a bundle is given when it is made.
            "I": "",
            "T": selected.get("image", ""),
            "M": major,
            "m": minor,
            "p": patch,
            "v": version,
        }
        pattern = selected.get("bundle_format") or ""
        if "%I" in pattern:
            self._document.warn(
                selected,
                "<type bundle_format>: %I is left empty, since no bundle id is part of a description. Give bundle_name "
                "in place of it.",
            )
        bundle = _NAME_TAGS.sub(lambda match: tags[match.group(1)], pattern)
        self._put("bundle_name", bundle, selected, "bundle_format")

    def _preferences(self, found: t.Sequence[Repository]) -> None:
        element = self._selection.preference("packagemanager")
        if self.manager != "apt":
            self._put("package_manager", self.manager, self._document.root if element is None else element)
            self._put_preference("release_version", self._preference("release-version"), "release-version")
            for tag in _RPM_PREFERENCES:
                self._put_preference(tag.replace("-", "_"), is_true(self._preference(tag)), tag)
        else:
            checked = any(repository.repository_gpgcheck is not False for repository in found)
            for tag, (value, text) in _RPM_PREFERENCES.items():
                element = self._selection.preference(tag)
                if element is not None and is_true(text_of(element)) == value and (value or checked):
                    self._document.warn(element, f"<{tag}> is not honoured with apt: {text}.")
        self._put_preference("locale", _locale(self._preference("locale", last=True)), "locale", last=True)
        keymap = re.sub(r"\.map(\.gz)?$", "", self._preference("keytable", last=True))
        self._put_preference("keymap", keymap, "keytable", last=True)
        self._put_preference("timezone", self._preference("timezone", last=True), "timezone", last=True)

    def _repositories(self, found: t.Sequence[Repository]) -> None:
        release = self._preference("release-version")
        items = repository_items(found, self._files, self.manager, release, self._warnings)
        if items:
            self.options["repositories"] = items
            self.origins["repositories"] = found[0].place
        main = main_repository(found) if self.manager == "apt" else None
        if main is not None:
            self.options["distribution"] = "ubuntu" if is_ubuntu(main) else "debian"
            self.options["release"] = release_of(main)
            self.origins["distribution"] = self.origins["release"] = main.place

    def _package_lists(self) -> None:
        packages = self._packages
        lists = {
            "packages": packages.system,
            "bootstrap_packages": packages.bootstrap,
            "packages_remove": packages.uninstall,
            "packages_delete": packages.delete,
            "packages_exclude": packages.ignore,
            "collections": packages.collections,
            "bootstrap_collections": packages.bootstrap_collections,
            "products": packages.products,
            "bootstrap_products": packages.bootstrap_products,
            "modules": packages.modules,
            "archives": packages.archives(self._files),
            "files": packages.files(self._files),
        }
        tags = {
            "archives": "archive",
            "bootstrap_collections": "namedCollection",
            "bootstrap_products": "product",
            "collections": "namedCollection",
            "files": "file",
            "modules": "collectionModule",
            "packages_exclude": "ignore",
            "products": "product",
        }
        kinds = {
            "packages": ("image", self._selection.type.get("image", "")),
            "bootstrap_packages": ("bootstrap",),
            "packages_remove": ("uninstall",),
            "packages_delete": ("delete",),
        }
        for option, value in lists.items():
            sections = self._selection.packages(*kinds.get(option, ()))
            elements = packages.elements(tags[option]) if option in tags else sections
            if option.removeprefix("bootstrap_") in self._meaningless():
                continue
            self._put(option, value, elements[0] if elements else self._document.root)
        self._put("recommends", packages.recommends, self._document.root)
        for tag in self._meaningless().values():
            for element in packages.elements(tag):
                self._document.warn(element, f"<{tag}> means nothing to {self.manager}.")

    def _meaningless(self) -> dict[str, str]:
        """Elements by option that the package manager does not know."""
        known = {"collections": "namedCollection", "products": "product", "modules": "collectionModule"}
        if self.manager in ("apt", "apk"):
            return known
        if self.manager == "pacman":
            del known["collections"]
            return known
        return {}

    def _beside(self) -> None:
        for option, name in (
            ("post_bootstrap_scripts", "post_bootstrap.sh"),
            ("scripts", "config.sh"),
            ("images_scripts", "images.sh"),
        ):
            path = self._files.own(name)
            if path is not None:
                self._put_own(option, [{"src": path}], path)
        cdroot = self._files.first("config-cdroot.tar")
        if cdroot is not None:
            self._put_own("cdroot_archives", [{"src": cdroot}], cdroot)
        self._overlays()
        self._excludes()
        selected = self._selection.type
        self._put_named("edit_boot_config", selected, "editbootconfig")
        loader = selected.find("bootloader")
        if loader is not None:
            self._put_named("grub_template", loader, "grub_template")

    def _overlays(self) -> None:
        root = self._files.own("root")
        overlays = []
        if root is not None:
            overlays.append(root)
        elif (archive := self._files.own("root.tar.gz")) is not None:
            item = {"src": archive, "dest": "/", "phase": "image"}
            self._put_own("archives", [*self.options.get("archives", []), item], archive)
        elif (other := self._files.first("root.tar")) is not None:
            self._warnings.append(
                Problem(
                    Place(other),
                    "it is not unpacked, as with KIWI: only root.tar.gz belongs to a description by its name. Name it "
                    "in an <archive>.",
                )
            )
        for profile in self._selection.profiles:
            folder = None if profile in ("", ".", "..") or "/" in profile else self._files.own(profile)
            if folder is not None and os.path.isdir(folder) and folder not in overlays:
                overlays.append(folder)
        if overlays:
            self._put_own("overlays", [{"src": path, "dest": "/"} for path in overlays], overlays[0])

    def _excludes(self) -> None:
        """What exclude_files.yaml says.

        KIWI looks for it in its folder /image of the tree, where overlays and then <file> put it. Here, it may also lie
        beside the description.
        """
        found: dict[str, tuple[str, Place]] = {}
        for name in EXCLUDE_FILES:
            overlays = [os.path.join(item["src"], "image", name) for item in self.options.get("overlays", [])]
            for path in (name, *overlays):
                own = self._files.own(path)
                if own is not None:
                    found[name] = (own, Place(own))
            if name in self._packages.own_files:
                found[name] = self._packages.own_files[name]
        patterns, esp_patterns = (found.get(name) for name in EXCLUDE_FILES)
        if patterns is not None:
            path, place = patterns
            if os.path.lexists(path):
                self._put_own("exclude", self._files.excluded(path), path)
            else:
                text = f"{path} does not exist, so nothing is left out of the root file system."
                self._warnings.append(Problem(place, text))
        if esp_patterns is not None:
            self._warnings.append(
                Problem(esp_patterns[1], "nothing is left out of the EFI partition, which holds only the boot loader.")
            )

    def _put_named(self, option: str, element: etree._Element, attribute: str) -> None:
        name = element.get(attribute)
        if name:
            place = self._document.place(element, attribute)
            path, problem = self._files.beside(name, place, f"{attribute} {name!r}")
            directory.missing(self._warnings, place, problem)
            self._put(option, path, element, attribute)

    def _accounts(self) -> None:
        accounts = Accounts(self._selection)
        if accounts.users:
            first = next(iter(accounts.elements.values()))
            self._put("groups", accounts.groups, first, "groups")
            self._put("users", accounts.users, first)

    def _medium(self) -> None:
        selected = self._selection.type
        for option, value, attribute in medium_options(self._document, selected, self._selection.arch):
            self._put(option, value, selected, attribute)
        loader = selected.find("bootloader")
        for option, value, attribute in loader_options(self._document, selected):
            self._put(option, value, selected if loader is None else loader, attribute)
            # GRUB's own choice of terminals is asked for by an empty list.
            if value == []:
                self.options[option] = value
                self.origins[option] = self._document.place(selected)
        size = selected.find("size")
        if size is not None and self.options["filesystem"] not in ("squashfs", "erofs"):
            self._put("size", mebibytes(self._document, size), size)
            if is_true(size.get("additive")):
                self._put("size_additive", True, size, "additive")
        elif size is not None:
            self._document.warn(size, f"<size> means nothing to {self.options['filesystem']}.")
        if re.search(r"(^|\s)root=", self.options.get("kernelcmdline", "")):
            self._document.warn(
                selected,
                "kernelcmdline holds root=, which role live_image refuses, because volid says where the root is. "
                "Remove it.",
                "kernelcmdline",
            )

    def _initrd(self) -> None:
        selected = self._selection.type
        found = initrd_options(self._document, selected)
        drivers = self._selection.entries(self._selection.sections("drivers"), "file")
        named = driver_names(self._document, drivers)
        added = found.get("initrd_drivers", [])
        found["initrd_drivers"] = [*added, *(name for name in named if name not in added)]
        initrd = selected.find("initrd")
        element = initrd if initrd is not None else (drivers[0] if drivers else selected)
        for option, names in found.items():
            self._put(option, names, element)

    def _boot_packages(self) -> None:
        """Do not let the role add its kernel when the description brings another."""
        declared = [*self._packages.system, *self._packages.bootstrap]
        if self.manager != "apt" or not any(_KERNEL.match(name) for name in declared):
            return
        defaults = {name: argument.get("default") for name, argument in image_arguments().items()}
        release = self.options.get("release", "")
        needed = boot_packages({**defaults, **self.options, "architecture": "amd64", "release": release})
        self._put("boot_packages", [name for name in needed if not _KERNEL.match(name)], self._document.root)


def _locale(text: str) -> str:
    """The first of the locales, as the system names it."""
    names = text.split(",")
    if not text or "POSIX" in names:
        return "POSIX" if text else ""
    return f"{names[0]}.UTF-8"

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules between elements and attributes that the schema cannot express. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import (
    Document,
    is_true,
    text_of,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import Problem
from ansible_collections.liveforge.images.plugins.plugin_utils._description.schema import schema

if t.TYPE_CHECKING:
    from lxml import etree

_GRUB = ("grub2", "grub2_s390x_emu")
_LOADERS = {
    "bls": ("grub2",),
    "output_console": _GRUB,
    "input_console": _GRUB,
    "serial_line": _GRUB,
    "video_mode": _GRUB,
    "timeout": (*_GRUB, "systemd_boot", "zipl"),
    "timeout_style": _GRUB,
    "targettype": ("grub2_s390x_emu", "zipl"),
}


def broken_rules(document: Document) -> list[Problem]:
    """What breaks a rule anywhere in a description that is valid against the schema."""
    problems: list[Problem] = []
    for check in (_repositories, _packages, _loaders):
        problems += check(document)
    return problems


def broken_type_rules(document: Document, selected: etree._Element) -> list[Problem]:
    """What breaks a rule in the type that is to be built."""
    problems = []
    image = selected.get("image", "")
    for attribute in schema().elements["type"].attributes.values():
        if attribute.name in selected.attrib and attribute.types and image not in attribute.types:
            problems.append(
                Problem(
                    document.place(selected, attribute.name),
                    f"attribute {attribute.name} is for image types {', '.join(attribute.types)}, not for {image}.",
                )
            )
    for size in selected.iterchildren("size"):
        part, whole = size.get("unpartitioned") or "0", text_of(size)
        # Longer numbers are refused where the size is read.
        if len(part) < 20 and len(whole) < 20 and int(part) > int(whole):
            problems.append(
                Problem(
                    document.place(size, "unpartitioned"), "unpartitioned is more than the size, of which it is a part."
                )
            )
    for element in selected.iterchildren("luksformat"):
        if "luks" not in selected.attrib:
            problems.append(Problem(document.place(element), "<luksformat> needs the attribute luks of <type>."))
    return problems


def _repositories(document: Document) -> t.Iterator[Problem]:
    for repository in document.root.iterchildren("repository"):
        # Even when both are false.
        if "imageinclude" in repository.attrib and "imageonly" in repository.attrib:
            yield Problem(
                document.place(repository, "imageonly"),
                "<repository> cannot have both imageinclude and imageonly. imageonly is for repositories that are not "
                "used during the build.",
            )
        if "architectures" in repository.attrib and repository.get("type", "apt-deb") != "apt-deb":
            yield Problem(
                document.place(repository, "architectures"), "attribute architectures is for type apt-deb only."
            )


def _packages(document: Document) -> t.Iterator[Problem]:
    managers = {text_of(manager) for manager in document.root.iterfind("preferences/packagemanager")}
    for section in document.root.iterchildren("packages"):
        bootstrap = section.get("type") == "bootstrap"
        if "bootstrap_package" in section.attrib and not bootstrap:
            yield Problem(
                document.place(section, "bootstrap_package"),
                "bootstrap_package is for packages of type bootstrap only.",
            )
        elif "bootstrap_package" in section.attrib and "apt" not in managers:
            yield Problem(
                document.place(section, "bootstrap_package"), "bootstrap_package is for the package manager apt only."
            )
        for module in section.iterchildren("collectionModule"):
            if not bootstrap:
                yield Problem(document.place(module), "<collectionModule> is for packages of type bootstrap only.")
            if "stream" in module.attrib and not is_true(module.get("enable")):
                yield Problem(
                    document.place(module, "stream"), "a module that is disabled cannot have the attribute stream."
                )


def _loaders(document: Document) -> t.Iterator[Problem]:
    for loader in document.root.iter("bootloader"):
        for attribute, names in _LOADERS.items():
            if attribute in loader.attrib and loader.get("name") not in names:
                yield Problem(
                    document.place(loader, attribute),
                    f"attribute {attribute} is for the boot loaders {', '.join(names)}, not for {loader.get('name')}.",
                )

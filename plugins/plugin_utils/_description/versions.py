# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Old schema versions: their spellings are brought up to the newest one. Private to this collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import Document, text_of
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import Problem

if t.TYPE_CHECKING:
    from lxml import etree

OLDEST, NEWEST = "7.4", "8.5"

# What a complaint about an unknown attribute or value adds when an older schema had it.
FORMER_ATTRIBUTES = {
    ("bootloader", "console"): "Since 8.4 it is output_console and input_console.",
    ("bootloader", "loader_theme"): "The theme is <bootloader-theme> in <preferences>.",
    ("containerconfig", "additionaltags"): "Since 7.5 it is additionalnames, each name with a colon in front.",
    ("repository", "use_for_bootstrap"): "It was dropped in 8.2; remove it.",
    ("type", "bootloader"): "It is an element: <bootloader name='grub2'/> inside <type>.",
    ("type", "boottimeout"): "It is an attribute of <bootloader>: timeout.",
    ("type", "btrfs_root_is_snapshot"): "Since 8.3 it is btrfs_root_is_snapper_snapshot.",
    ("type", "hybrid"): "It was dropped; live images are always hybrid. Remove it.",
    ("type", "vga"): "It was dropped in 8.5; remove it.",
}
FORMER_VALUES = {
    ("bootloader", "isolinux"): "It was dropped in 8.0; live images start with grub2.",
    ("packagemanager", "dnf"): "Since 7.6 it is dnf4.",
    ("repository", "rpm-dir"): "It was dropped in 8.1; remove the attribute.",
}


class _Drop(t.NamedTuple):
    """An attribute that newer versions do not have."""

    attribute: str
    text: str


# What was dropped: the element that had it, and what to say when that element applies.
Dropped = list["tuple[etree._Element, Problem]"]


def upgrade(document: Document) -> tuple[str, Dropped]:
    """Bring the tree up to the newest version; return the version that it declares, and what was dropped.

    A version that is missing or unknown is left as it is: the schema complains about it. DescriptionError for versions
    that are too old.
    """
    root = document.root
    dropped: Dropped = []
    declared = root.get("schemaversion", "").strip()
    # KIWI compares versions as numbers, so that there is no 7.10.
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", declared, re.ASCII) or len(declared) > 16:
        return declared, dropped
    version = float(declared)
    if version < float(OLDEST):
        raise document.error(
            root,
            f"schemaversion {declared} is older than {OLDEST}, the oldest version that is understood. Let KIWI bring "
            "the description up to date (its style sheets convert every version since 1.4), or change it by hand and "
            f"declare {OLDEST} or newer.",
            "schemaversion",
        )
    for step, apply in _STEPS:
        if version < step:
            for element in list(root.iter("*")):
                drop = apply(element)
                if drop is not None:
                    dropped.append((element, Problem(document.place(element, drop.attribute), drop.text)))
    if version < float(NEWEST):
        root.set("schemaversion", NEWEST)
    return declared, dropped


def _to_7_5(element: etree._Element) -> None:
    if element.tag == "containerconfig" and element.get("additionaltags") is not None:
        names = ",".join(f":{tag}" for tag in element.attrib.pop("additionaltags").split(","))
        element.set("additionalnames", names)


def _to_7_6(element: etree._Element) -> None:
    if element.tag == "packagemanager" and text_of(element) == "dnf":
        for child in list(element):
            element.remove(child)
        element.text = "dnf4"


def _to_8_1(element: etree._Element) -> _Drop | None:
    if element.tag == "repository" and element.get("type") == "rpm-dir":
        del element.attrib["type"]
        return _Drop("type", "repository type rpm-dir was dropped in 8.1: the repository needs metadata.")
    return None


def _to_8_2(element: etree._Element) -> _Drop | None:
    if element.tag == "repository" and element.get("use_for_bootstrap") is not None:
        del element.attrib["use_for_bootstrap"]
        return _Drop("use_for_bootstrap", "use_for_bootstrap was dropped in 8.2: all repositories are used.")
    return None


def _to_8_3(element: etree._Element) -> None:
    if element.tag == "type" and element.get("btrfs_root_is_snapshot") is not None:
        element.set("btrfs_root_is_snapper_snapshot", element.attrib.pop("btrfs_root_is_snapshot"))


def _to_8_4(element: etree._Element) -> None:
    if element.tag == "bootloader" and element.get("console") is not None:
        output, blank, keys = element.attrib.pop("console").partition(" ")
        element.set("output_console", output)
        if blank:
            element.set("input_console", keys)


def _to_8_5(element: etree._Element) -> _Drop | None:
    if element.tag == "type" and element.get("vga") is not None:
        del element.attrib["vga"]
        return _Drop("vga", "vga was dropped in 8.5 and has no effect.")
    return None


_STEPS: tuple[tuple[float, t.Callable[[etree._Element], _Drop | None]], ...] = (
    (7.5, _to_7_5),
    (7.6, _to_7_6),
    (8.1, _to_8_1),
    (8.2, _to_8_2),
    (8.3, _to_8_3),
    (8.4, _to_8_4),
    (8.5, _to_8_5),
)

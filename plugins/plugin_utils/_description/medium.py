# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What <type image="iso"> says about the medium, in the options of role live_image. Private to this collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import (
    Document,
    is_true,
    text_of,
)

if t.TYPE_CHECKING:
    from lxml import etree

DEFAULT_VOLID = "CDROM"
# GRUB's other terminals are not offered by live_iso.
_OUTPUTS = ("console", "gfxterm", "serial")
_INPUTS = ("console", "serial")
# By architecture, the default first; others start by EFI only.
_FIRMWARE = {
    "x86_64": ("bios", "efi", "uefi"),
    "ix86": ("bios",),
    "i586": ("bios",),
    "i686": ("bios",),
    "ppc": ("ofw",),
    "ppc64": ("ofw", "opal"),
    "ppc64le": ("ofw", "opal"),
}
_MODULE = re.compile(r"[A-Za-z0-9_-]+\Z")

# (option of the role, attribute of <type>), where only the type of the value differs.
_TEXTS = (
    ("erofscompression", "erofscompression"),
    ("hybridpersistent_filesystem", "hybridpersistent_filesystem"),
    ("application_id", "application_id"),
    ("publisher", "publisher"),
    ("efiparttable", "efiparttable"),
    ("kernelcmdline", "kernelcmdline"),
)

Value = tuple[str, t.Any, "str | None"]


def medium_options(document: Document, selected: etree._Element, arch: str) -> t.Iterator[Value]:
    """Option, value and attribute that it comes from, for everything that <type> itself decides.

    Where KIWI has another default than the role, that is given.
    """
    filesystem = selected.get("filesystem") or "ext4"
    yield "flags", selected.get("flags") or "overlay", "flags"
    yield "filesystem", filesystem, "filesystem"
    if filesystem == "erofs":
        if not selected.get("erofscompression"):
            yield "erofscompression", "uncompressed", None
    else:
        yield "squashfscompression", selected.get("squashfscompression") or "xz", "squashfscompression"
        yield "block_size", "1M", None
    yield "volid", selected.get("volid") or DEFAULT_VOLID, "volid"
    yield "firmware", _firmware(document, selected, arch), "firmware"
    for option, attribute in _TEXTS:
        if selected.get(attribute):
            yield option, t.cast("str", selected.get(attribute)).strip(), attribute
    for name in ("hybridpersistent", "mediacheck", "eficsm"):
        if name in selected.attrib:
            yield name, is_true(selected.get(name)), name
    yield "gpt_hybrid_mbr", is_true(selected.get("gpt_hybrid_mbr")), "gpt_hybrid_mbr"
    if "efifatimagesize" in selected.attrib:
        yield "efifatimagesize", _number(document, selected, "efifatimagesize"), "efifatimagesize"
    if selected.get("fscreateoptions"):
        yield "fscreateoptions", t.cast("str", selected.get("fscreateoptions")).split(), "fscreateoptions"


def loader_options(document: Document, selected: etree._Element) -> t.Iterator[Value]:
    """The same for <bootloader>."""
    loader = selected.find("bootloader")
    yield "output_console", ["console"] if loader is None else _consoles(document, loader, "output_console"), None
    yield "input_console", ["console"] if loader is None else _consoles(document, loader, "input_console"), None
    if loader is None:
        return
    if loader.get("name") not in ("grub2", "custom"):
        document.warn(loader, f"the boot loader of a live image is GRUB, not {loader.get('name')}.", "name")
    if "timeout" in loader.attrib:
        yield "timeout", _number(document, loader, "timeout"), "timeout"
    for name in ("timeout_style", "serial_line"):
        if loader.get(name):
            yield name, loader.get(name), name


def mebibytes(document: Document, size: etree._Element) -> int:
    """What <size> says."""
    text = text_of(size)
    if len(text) > 9:
        raise document.error(size, "the size is too large.")
    return int(text) * (1024 if size.get("unit") == "G" else 1)


def initrd_options(document: Document, selected: etree._Element) -> dict[str, list[str]]:
    """Modules and drivers that <initrd> adds and omits, by option of the role and in the order of the description."""
    found: dict[str, list[str]] = {}
    for initrd in selected.iterchildren("initrd"):
        action = initrd.get("action")
        if action in ("set", "setup"):
            document.warn(
                initrd,
                f"action {action!r} is taken as 'add': a live image needs dracut's other modules, too.",
                "action",
            )
        prefix = "initrd_omit_" if action == "omit" else "initrd_"
        for dracut in initrd.iterchildren("dracut"):
            for attribute, option in (("module", "modules"), ("driver", "drivers")):
                name = (dracut.get(attribute) or "").strip()
                if name and name not in found.setdefault(prefix + option, []):
                    found[prefix + option].append(name)
    return {option: names for option, names in found.items() if names}


def driver_names(document: Document, entries: t.Iterable[etree._Element]) -> list[str]:
    """Kernel modules that <drivers> names, for the initrd; patterns are only seen by scripts, as in KIWI."""
    found: list[str] = []
    for entry in entries:
        name = (entry.get("name") or "").strip()
        module = re.sub(r"\.ko(\.(gz|xz|zst))?$", "", name.rpartition("/")[2])
        if not _MODULE.match(module):
            document.warn(
                entry,
                "a driver that is a pattern is not added to the initrd (scripts see it in kiwi_drivers). Name kernel "
                "modules.",
                "name",
            )
        elif module not in found:
            found.append(module)
    return found


def _firmware(document: Document, selected: etree._Element, arch: str) -> str:
    offered = _FIRMWARE.get(arch, ("efi", "uefi"))
    firmware = selected.get("firmware")
    if firmware is None:
        return offered[0]
    if firmware == "custom":
        document.warn(
            selected,
            f"firmware 'custom' is taken as {offered[0]!r}: the boot loader of a live image is always set up.",
            "firmware",
        )
        return offered[0]
    if firmware == "ec2" and "bios" in offered:
        return "bios"
    # The role says that it has no others than these.
    if firmware in ("bios", "efi", "uefi") and firmware not in offered:
        document.warn(
            selected,
            f"firmware {firmware!r} cannot start a live image of {arch}. Use {' or '.join(offered)}.",
            "firmware",
        )
    return firmware


def _consoles(document: Document, loader: etree._Element, attribute: str) -> list[str]:
    given = loader.get(attribute) or loader.get("output_console") or ""
    if not given:
        return ["console"]
    if given.strip() == "none":
        return []
    offered = _OUTPUTS if attribute == "output_console" else _INPUTS
    names = given.split()
    other = [name for name in names if name not in offered]
    # What is a terminal for output only says nothing about keys.
    if other and (attribute == "output_console" or loader.get(attribute)):
        document.warn(
            loader, f"{attribute}: the menu does not use {', '.join(other)}, only {', '.join(offered)}.", attribute
        )
    return [name for name in names if name in offered] or ["console"]


def _number(document: Document, element: etree._Element, attribute: str) -> int:
    text = (element.get(attribute) or "").strip()
    if len(text) > 9:
        raise document.error(element, f"{attribute} is too large.", attribute)
    return int(text)

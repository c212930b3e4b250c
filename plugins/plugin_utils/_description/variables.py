# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables kiwi_* that scripts of a description see. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import is_true, text_of
from ansible_collections.liveforge.images.plugins.plugin_utils._description.medium import DEFAULT_VOLID
from ansible_collections.liveforge.images.plugins.plugin_utils._description.packages import Packages
from ansible_collections.liveforge.images.plugins.plugin_utils._description.selection import Selection

# Variables from the last <preferences> that has the element.
_PREFERENCES = {
    "kiwi_iversion": "version",
    "kiwi_keytable": "keytable",
    "kiwi_timezone": "timezone",
    "kiwi_language": "locale",
    "kiwi_splash_theme": "bootsplash-theme",
    "kiwi_loader_theme": "bootloader-theme",
}
# Variables from attributes of <type>, empty when absent.
_TYPE_TEXTS = {
    "kiwi_type": "image",
    "kiwi_wwid_wait_timeout": "wwid_wait_timeout",
    "kiwi_hybridpersistent_filesystem": "hybridpersistent_filesystem",
    "kiwi_cmdline": "kernelcmdline",
    "kiwi_firmware": "firmware",
    "kiwi_devicepersistency": "devicepersistency",
    "kiwi_installboot": "installboot",
    "kiwi_bootkernel": "bootkernel",
    "kiwi_fsmountoptions": "fsmountoptions",
    "kiwi_bootprofile": "bootprofile",
}
# Variable with the volume id, and its default, by type.
_VOLUMES = {"iso": ("kiwi_live_volid", DEFAULT_VOLID), "oem": ("kiwi_install_volid", "INSTALL")}
_INITRD_SYSTEMS = {"iso": "dracut", "oem": "dracut", "kis": "dracut", "pxe": "kiwi"}
_TYPE_BOOLEANS = {
    "kiwi_compressed": "compressed",
    "kiwi_hybridpersistent": "hybridpersistent",
    "kiwi_ramonly": "ramonly",
    "kiwi_target_removable": "target_removable",
    "kiwi_btrfs_root_is_snapshot": "btrfs_root_is_snapper_snapshot",
    "kiwi_btrfs_root_is_snapper_snapshot": "btrfs_root_is_snapper_snapshot",
    "kiwi_gpt_hybrid_mbr": "gpt_hybrid_mbr",
}


def kiwi_variables(selection: Selection, packages: Packages) -> dict[str, str]:
    """Every variable and its value, sorted; empty where the description says nothing."""
    image = selection.document.root
    found = {
        "kiwi_iname": image.get("name", ""),
        "kiwi_displayname": image.get("displayname") or image.get("name", ""),
        "kiwi_profiles": ",".join(selection.profiles),
        "kiwi_delete": " ".join(packages.delete),
        "kiwi_drivers": ",".join(_names(selection, "drivers")),
        "kiwi_shasum_suffix": ".sha256",
        "kiwi_align": "1048576",
        "kiwi_sectorsize": "512",
        "kiwi_startsector": "2048",
        "kiwi_initrd_system": _initrd_system(selection),
        "kiwi_rootpartuuid": "",
        "kiwi_luks_empty_passphrase": "true" if selection.type.get("luks") == "" else "false",
        "kiwi_target_blocksize": selection.type.get("target_blocksize") or "512",
    }
    for kind in ("delete", "tools", "libs"):
        found[f"kiwi_strip_{kind}"] = " ".join(_names(selection, "strip", kind))
    for variable, tag in _PREFERENCES.items():
        element = selection.preference(tag, last=True)
        if element is not None:
            found[variable] = text_of(element)
    found["kiwi_showlicense"] = _license(selection)
    found |= {variable: selection.type.get(attribute) or "" for variable, attribute in _TYPE_TEXTS.items()}
    for variable, attribute in _TYPE_BOOLEANS.items():
        value = selection.type.get(attribute)
        found[variable] = "" if value is None else str(is_true(value)).lower()
    found |= _loader(selection)
    volume = _VOLUMES.get(selection.type.get("image", ""))
    if volume is not None:
        variable, default = volume
        found[variable] = selection.type.get("volid") or default
    return dict(sorted(found.items()))


def _initrd_system(selection: Selection) -> str:
    image = selection.type.get("image", "")
    default = _INITRD_SYSTEMS.get(image, "none")
    return default if image == "iso" else selection.type.get("initrd_system") or default


def _license(selection: Selection) -> str:
    # The last <preferences> decides, whether it has the element or not.
    sections = selection.sections("preferences")
    return text_of(sections[-1].find("showlicense")) if sections else ""


def _loader(selection: Selection) -> dict[str, str]:
    loader: t.Any = selection.type.find("bootloader")
    attributes = {} if loader is None else loader.attrib
    output = attributes.get("output_console") or ""
    keys = attributes.get("input_console") or output
    consoles = ["default" if value in ("", "none") else value for value in (output, keys)]
    return {
        "kiwi_bootloader": attributes.get("name") or "grub2",
        "kiwi_bootloader_console": ":".join(consoles),
        "kiwi_boot_timeout": attributes.get("timeout") or "",
        "kiwi_vga": attributes.get("video_mode") or "auto",
    }


def _names(selection: Selection, tag: str, kind: str | None = None) -> list[str]:
    # Both sections have no attribute arch, and that of their files means nothing to KIWI.
    return [
        entry.get("name", "")
        for section in selection.sections(tag)
        if kind is None or section.get("type") == kind
        for entry in section.iterchildren("file")
    ]

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds UEFI firmware for QEMU on this host. Private to this collection.

Distributions describe their firmware images in JSON files, which name the features, the program and the template of its
variables (QEMU's docs/interop/firmware.json). So no distribution's paths need to be known here.
"""

from __future__ import annotations

import json
import os
import shutil
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._qemu.machine import Firmware

# Order of precedence of docs/interop/firmware.json; a file hides one of the same name in a later folder.
DESCRIPTION_FOLDERS = ("/etc/qemu/firmware", "/usr/share/qemu/firmware")
_ARCHITECTURE = "x86_64"


def find_firmware(name: str, machine_type: str, folders: t.Sequence[str] = DESCRIPTION_FOLDERS) -> Firmware:
    """The first firmware whose description fits; its ``variables`` are still the shared template.

    Args:
        name: bios, uefi, or uefi_secure (Secure Boot on, with Microsoft's keys enrolled).
        machine_type: QEMU machine that must be able to run it.
        folders: where the descriptions are, in order of precedence.

    Raises:
        StageError: no installed firmware fits.
    """
    if name == "bios":
        return Firmware()
    for description in _descriptions(folders):
        firmware = _usable(description, name, machine_type)
        if firmware is not None:
            return firmware
    raise StageError(
        f"No UEFI firmware for firmware={name} and machine={machine_type} is installed here (searched the descriptions "
        f"in {' and '.join(folders)}). Install it: ovmf (Debian), edk2-ovmf (Fedora), qemu-ovmf-x86_64 (openSUSE)."
    )


def with_own_variables(firmware: Firmware, folder: str) -> Firmware:
    """The firmware with a private copy of its variables in ``folder``, since the guest writes them."""
    if firmware.code is None or firmware.variables is None:
        return firmware
    own = os.path.join(folder, "uefi-variables")
    shutil.copyfile(firmware.variables, own)
    return Firmware(firmware.name, firmware.code, own, firmware.image_format, firmware.needs_smm)


def _descriptions(folders: t.Sequence[str]) -> t.Iterator[dict[str, t.Any]]:
    by_name: dict[str, str] = {}
    for folder in folders:
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name.endswith(".json"):
                by_name.setdefault(name, os.path.join(folder, name))
    for dummy, path in sorted(by_name.items()):
        with open(path, encoding="utf-8") as stream:
            try:
                yield json.load(stream)
            except ValueError:
                # An empty file of that name is the documented way to hide a description.
                continue


def _usable(description: dict[str, t.Any], name: str, machine_type: str) -> Firmware | None:
    features = set(description.get("features", ()))
    mapping = description.get("mapping", {})
    secure = "secure-boot" in features and "enrolled-keys" in features
    if "uefi" not in description.get("interface-types", ()) or secure != (name == "uefi_secure"):
        return None
    # Plain UEFI means Secure Boot off: also not the builds that have it without keys, which want SMM for nothing.
    if name == "uefi" and features & {"secure-boot", "requires-smm", "amd-sev-snp", "intel-tdx"}:
        return None
    if mapping.get("device") != "flash" or mapping.get("mode", "split") != "split":
        return None
    if not any(_runs(target, machine_type) for target in description.get("targets", ())):
        return None
    code, variables = mapping["executable"], mapping["nvram-template"]
    if not (os.path.exists(code["filename"]) and os.path.exists(variables["filename"])):
        return None
    return Firmware(name, code["filename"], variables["filename"], code["format"], "requires-smm" in features)


def _runs(target: dict[str, t.Any], machine_type: str) -> bool:
    """Whether a target such as ``pc-q35-*`` covers a machine, of which ``q35`` and ``pc`` are short names."""
    family = "pc-q35-" if "q35" in machine_type else "pc-i440fx-"
    return target.get("architecture") == _ARCHITECTURE and any(
        machine.startswith(family) for machine in target.get("machines", ())
    )

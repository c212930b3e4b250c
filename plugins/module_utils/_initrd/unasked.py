# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dracut modules that come unasked, and that a live image can do without. Private to this collection.

For an initrd that is not for one host, dracut takes every module whose programs are installed: whoever installs lvm2,
cryptsetup or dracut-network gets all drivers of network cards, and waits at each boot for volumes that no live image is
on.
"""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._live.features import LiveFeatures

# Roots on the network, and what they need. Names that an image's dracut does not have do no harm.
_NETWORK = (
    "cifs",
    "connman",
    "fcoe",
    "fcoe-uefi",
    "iscsi",
    "kernel-network-modules",
    "nbd",
    "network",
    "network-legacy",
    "network-manager",
    "nfs",
    "nvmf",
    "qemu-net",
    "systemd-networkd",
)
# Roots on volumes, on software RAID and on units of a storage network.
_VOLUMES = ("dmraid", "lunmask", "lvm", "mdraid", "multipath")
# Folders of the host of a virtual machine.
_SHARED_FOLDERS = ("virtfs", "virtiofs")
_ENCRYPTION = ("crypt", "systemd-cryptsetup")


def unasked_modules(features: LiveFeatures) -> tuple[str, ...]:
    """Names of the dracut modules that none of these features needs, in alphabetical order."""
    store = features.persistence
    encrypted = store is not None and store.encrypted
    # What the user has prepared may be on anything.
    prepared = store is not None and store.mode == "device"
    device_mapper = features.flags == "dmsquash" or features.overlay_type == "device-mapper" or encrypted or prepared
    found = [*_SHARED_FOLDERS]
    if not features.network_boot:
        found += _NETWORK
    if not prepared:
        found += _VOLUMES
        if not encrypted:
            found += _ENCRYPTION
    if not device_mapper:
        found.append("dm")
    return tuple(sorted(found))


def configuration(unasked: t.Iterable[str], harmful: t.Iterable[str]) -> str:
    """Lines of dracut.conf(5) that leave modules out, unless the configuration of the image asks for any by name.

    What that one is may need those that would be left out. It must be read after the files of the image.

    Args:
        unasked: names of the modules to leave out.
        harmful: names that do not count when they are asked for: they are left out in any case.
    """
    names = " ".join(unasked)
    if not names:
        return ""
    # Two of the words mean the default.
    return (
        "live_asked=no\n"
        "for live_module in $dracutmodules $add_dracutmodules $force_add_dracutmodules; do\n"
        f"    case $live_module in all | auto | {' | '.join(sorted(harmful))}) ;; *) live_asked=yes ;; esac\n"
        "done\n"
        f'[[ $live_asked == yes ]] || omit_dracutmodules+=" {names} "\n'
    )

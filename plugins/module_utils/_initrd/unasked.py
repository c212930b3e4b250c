# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dracut modules and drivers that come unasked, and that a live image can do without. Private to this collection.

For an initrd that is not for one host, dracut takes every module whose programs are installed: whoever installs lvm2,
cryptsetup or dracut-network gets all drivers of network cards, and waits at each boot for volumes that no live image is
on. It also takes each file system that the kernel has, those of clusters and file servers among them, with the network
protocols below them; on Debian 12 they are an eighth of the initrd.
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
# Kernel drivers for what is on the network, or in a folder of the host of a virtual machine. libertas is a WLAN card
# that dracut takes for a storage device.
_NETWORK_DRIVERS = (
    "9p",
    "cachefiles",
    "ceph",
    "cifs",
    "coda",
    "dlm",
    "drbd",
    "gfs2",
    "ib_srp",
    "kafs",
    "ksmbd",
    "libertas",
    "libertas_sdio",
    "lockd",
    "nfs",
    "nfs_acl",
    "nfsd",
    "nfsv2",
    "nfsv3",
    "nfsv4",
    "ocfs2",
    "ocfs2_dlm",
    "ocfs2_dlmfs",
    "ocfs2_nodemanager",
    "ocfs2_stack_o2cb",
    "ocfs2_stack_user",
    "ocfs2_stackglue",
    "orangefs",
    "rbd",
    "vboxsf",
)

# Of these folders, dracut takes only that of packages into an initrd that is not for one host.
_LOADED = '"${dracutsysrootdir-}"/usr/lib/modules-load.d/*.conf'


def unasked_modules(features: LiveFeatures) -> tuple[str, ...]:
    """Names of the dracut modules that none of these features needs, in alphabetical order."""
    store = features.persistence
    encrypted = store is not None and store.encrypted
    prepared = _uses_prepared_store(features)
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


def unasked_drivers(features: LiveFeatures) -> tuple[str, ...]:
    """Names of the kernel drivers that none of these features needs, in alphabetical order."""
    return () if features.network_boot or _uses_prepared_store(features) else _NETWORK_DRIVERS


def _uses_prepared_store(features: LiveFeatures) -> bool:
    """Whether the user has prepared the store, which may be on anything then."""
    return features.persistence is not None and features.persistence.mode == "device"


def configuration(modules: t.Iterable[str], drivers: t.Iterable[str], harmful: t.Iterable[str]) -> str:
    """Lines of dracut.conf(5) that leave modules and drivers out, unless the configuration of the image asks for any.

    What that one is may need those that would be left out. They must be read after the files of the image. A driver
    also counts as asked for when one of the image's packages has it loaded at each boot (modules-load.d(5)), which
    happens in the initrd, too.

    Args:
        modules: names of the dracut modules to leave out.
        drivers: names of the kernel drivers to leave out.
        harmful: names of modules that do not count when they are asked for: they are left out in any case.
    """
    modules, drivers = " ".join(modules), " ".join(drivers)
    if not modules:
        return ""
    # Two of the words mean the default.
    lines = [
        "live_asked=no",
        "for live_name in $dracutmodules $add_dracutmodules $force_add_dracutmodules; do",
        f"    case $live_name in all | auto | {' | '.join(sorted(harmful))}) ;; *) live_asked=yes ;; esac",
        "done",
        f'[[ $live_asked == yes ]] || omit_dracutmodules+=" {modules} "',
    ]
    if drivers:
        lines += [
            "for live_name in $drivers $add_drivers $force_drivers $filesystems; do",
            "    live_asked=yes",
            "done",
            "while read -r live_name; do",
            f'    [[ " {drivers} " != *" ${{live_name//-/_}} "* ]] || live_asked=yes',
            f"done < <(grep -hv '^[#;]' {_LOADED} 2>/dev/null)",
            f'[[ $live_asked == yes ]] || omit_drivers+=" {drivers} "',
        ]
    return "\n".join([*lines, ""])

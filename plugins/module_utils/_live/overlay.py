# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What our own dracut module live-overlay needs and understands (flags overlay). Private to this collection.

Its parameters are explained where they are read, in the shell files of the module, and in the guide on live features.
"""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._live.features import (
    DEFAULT_FILE,
    LiveFeatures,
    device_mapper_problems,
)

# Name of the packed base beside squashfs.img, for an image that is a layer on it.
BASE_FILE = "base.img"
# Program, and the Debian package that has it, by what needs it.
_STORE_PROGRAMS = {
    "ext4": (("mkfs.ext4", "e2fsprogs"), ("e2fsck", "e2fsprogs")),
    "xfs": (("mkfs.xfs", "xfsprogs"),),
    "btrfs": (("mkfs.btrfs", "btrfs-progs"),),
}


def parts(features: LiveFeatures) -> tuple[str, ...]:
    """The optional parts of the module, as its dracut setup knows them (live_overlay_parts)."""
    found: list[str] = []
    if features.persistence:
        if features.persistence.filesystem in ("xfs", "btrfs"):
            found.append(features.persistence.filesystem)
        if features.persistence.encrypted:
            found.append("crypt")
    found += features.network_boot
    if features.overlay_type == "device-mapper":
        found.append("device-mapper")
    return tuple(found)


def problems(features: LiveFeatures) -> t.Iterator[str]:
    """Sentences about what the module cannot do."""
    if features.layered and features.overlay_type == "device-mapper":
        yield (
            "overlay_type device-mapper does not work with base: a device-mapper snapshot is one of a single file "
            "system, not of a stack. Use overlay_type overlayfs, or leave base out."
        )
    else:
        yield from device_mapper_problems(features)
    if features.overlay_type == "device-mapper" and features.persistence:
        yield (
            "overlay_type device-mapper does not work with persistence: what is kept are the files of an overlayfs. "
            "Use overlay_type overlayfs."
        )
    if features.layered and features.filesystem != "squashfs":
        yield (
            f"base does not work with filesystem {features.filesystem}: what an image adds to its base is stacked as a "
            "squashfs. Use filesystem squashfs, or leave base out."
        )
    if "nfs" in features.network_boot:
        yield "network_boot nfs needs flags dmsquash: live-overlay boots over the network by http and aoe."


def dracut_modules(features: LiveFeatures, dummy: int | None = None) -> tuple[str, ...]:
    """Dracut modules that must be in the initrd, whatever the version of dracut."""
    return ("live-overlay", *(("network",) if "http" in features.network_boot else ()))


def drivers(features: LiveFeatures) -> tuple[str, ...]:
    """Kernel drivers that must be in the initrd, besides those of the root's file systems."""
    found: list[str] = []
    if features.persistence and features.persistence.encrypted:
        found.append("dm_crypt")
    if "aoe" in features.network_boot:
        found.append("aoe")
    if features.overlay_type == "device-mapper":
        found += ["dm_mod", "dm_snapshot"]
    return tuple(found)


def programs(features: LiveFeatures, dummy: int | None = None) -> tuple[tuple[str, str], ...]:
    """Programs that must be in the initrd, each with the Debian package that has it, whatever the version of dracut."""
    found = [("sfdisk", "fdisk"), ("partx", "util-linux"), *_STORE_PROGRAMS["ext4"]] if features.persistence else []
    for part in parts(features):
        found += _STORE_PROGRAMS.get(part, ())
        if part == "crypt":
            found.append(("cryptsetup", "cryptsetup-bin"))
        elif part == "http":
            found += [("curl", "curl"), ("ip", "iproute2")]
        elif part == "aoe":
            found.append(("ip", "iproute2"))
        elif part == "device-mapper":
            found.append(("dmsetup", "dmsetup"))
    return tuple(dict.fromkeys(found))


def packages(features: LiveFeatures, release: str) -> set[str]:
    """Debian packages that the image needs for its initrd, besides kernel, dracut and what is always there."""
    # A persistent store may be asked for at the boot menu, as with KIWI, whatever the image declares.
    found = {"fdisk", "e2fsprogs"} | {package for dummy, package in programs(features)} - {"util-linux"}
    if "http" in features.network_boot:
        found |= {"dracut-network", "ca-certificates"}
        if release == "bookworm":
            # network-legacy of dracut 059 runs dhclient and pgrep.
            found |= {"isc-dhcp-client", "procps"}
    return found


def kernel_words(features: LiveFeatures) -> list[str]:
    """The parameters that turn on what the features ask for."""
    words = [f"rd.live.layers={BASE_FILE}"] if features.layered else []
    if features.overlay_type == "device-mapper":
        words.append("rd.live.overlay.overlayfs=0")
    if features.overlay_size:
        words.append(f"rd.live.overlay.size={features.overlay_size}")
    if features.ram:
        words.append("rd.live.ram")
    return words + _persistence_words(features)


def media_check_word() -> str:
    """The parameter that asks for a media check."""
    return "mediacheck=1"


def _persistence_words(features: LiveFeatures) -> list[str]:
    store = features.persistence
    if store is None:
        return []
    name = "rd.live.overlay.persistent"
    if store.mode == "device":
        words = [f"rd.live.overlay={store.device}"]
    else:
        words = [name if store.mode == "auto" else f"{name}={store.mode}"]
    if store.filesystem:
        words.append(f"rd.live.overlay.cowfs={store.filesystem}")
    if store.size is not None:
        if store.mode != "file":
            words.append(f"{name}.size={store.size}")
        if store.mode != "partition":
            words.append(f"rd.live.cowfile.mbsize={store.size}")
    if store.file and store.file != DEFAULT_FILE:
        words.append(f"rd.live.cowfile.path={store.file}")
    if store.sparse:
        words.append("rd.live.cowfile.sparse")
    if store.encrypted:
        words.append("rd.live.overlay.crypt=luks2")
        if store.key:
            words.append(f"rd.live.overlay.key={store.key}")
    return words

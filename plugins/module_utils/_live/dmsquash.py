# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What dracut's dmsquash-live needs and understands (flags dmsquash). Private to this collection.

The role puts the parameters of a medium on the menu's kernel lines. Those of a network boot are the user's, who writes
them where the kernel is loaded from (PXE, iPXE, HTTP boot); with the same kernel and initrd:

- HTTP(S): ``root=live:http://SERVER/IMAGE.iso rd.live.image``. The name must end in ``.iso``, or else the file must be
  the squashfs itself. The file is held in memory. A certificate that the image does not know needs ``rd.noverifyssl``.
- NFS: ``root=live:nfs://SERVER[:PORT]/PATH/IMAGE.iso rd.live.image ip=dhcp rd.neednet=1``.
- AoE: ``root=live:/dev/etherd/eSHELF.SLOT rd.live.image rd.driver.pre=aoe rd.neednet=1 ip=link6``. The last two only
  bring the network card up; AoE itself needs no address. The kernel looks for targets once a minute, so it takes that
  long.

To each of them ``rd.live.overlay.overlayfs=1`` must be added unless the image has overlay_type device-mapper. Further
parameters for any boot: ``rd.live.ram`` (copies the squashfs into memory), ``rd.live.check`` (any value turns it on,
even 0), ``rd.live.overlay.thin``, ``rd.live.overlay.size=MIB`` (device-mapper only), ``rd.live.overlay.reset``.
"""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._live.features import (
    LiveFeatures,
    Persistence,
    device_mapper_problems,
)

# From this version on systemd-networkd in the initrd tells dracut that the network is up
# (https://github.com/dracut-ng/dracut-ng/pull/388). Before, a boot from the network waits for ever.
_NETWORKD_WORKS = 103
_WITHOUT_DRACUT_LIVE = ("sid", "unstable")
_OLD_RELEASES = ("bookworm",)
# An encrypted store is opened under this name; how long its disk may take to appear.
_LUKS_NAME = "livestore"
_LUKS_SECONDS = 30
_STORE_TOOLS = {
    "ext4": ("mkfs.ext4", "e2fsprogs"),
    "xfs": ("mkfs.xfs", "xfsprogs"),
    "btrfs": ("mkfs.btrfs", "btrfs-progs"),
}


@dataclasses.dataclass(frozen=True)
class Repair:
    """A fault of a distribution's dracut that is mended in the copy of dracut that makes the initrd.

    Attributes:
        last: the last version of dracut that has the fault.
        module: name of the dracut module, without its number.
        file: name of the file in it.
        old: text that shows the fault.
        new: text that takes its place.
        reason: what would happen otherwise, in one sentence.
    """

    last: int
    module: str
    file: str
    old: str
    new: str
    reason: str


# The one place for such faults. What must be left out, added or installed instead is in the functions below.
REPAIRS = (
    Repair(
        last=59,
        module="dmsquash-live",
        file="dmsquash-live-root.sh",
        old='if [ -n "$setup" ]; then\n            warn "Using temporary overlay."',
        new='if [ -n "$setup" ] || getargbool 0 rd.live.overlay.nouserconfirmprompt; then\n'
        '            warn "Using temporary overlay."',
        reason="Without its persistent store this dracut waits for the Enter key for ever: "
        "rd.live.overlay.nouserconfirmprompt is known from dracut 106 on.",
    ),
    Repair(
        last=59,
        module="network-legacy",
        file="ifup.sh",
        old='return "$ret"\n}\n\n# Handle static ip',
        new="return 0\n}\n\n# Handle static ip",
        reason="With ip=link6 the network card comes up, but counts as failed, and the boot waits for it in vain.",
    ),
    Repair(
        last=106,
        module="url-lib",
        file="url-lib.sh",
        old='"$(basename "$mntdir")"',
        new='"${mntdir##*/}"',
        reason="basename is not in the initrd, so a boot by NFS complains and leaves its mount point behind.",
    ),
    # No released version is without what follows.
    Repair(
        last=112,
        module="dmsquash-live-autooverlay",
        file="create-overlay.sh",
        old="overlayLabel=${overlay#LABEL=}\n",
        new="overlayLabel=${overlay#LABEL=}\n    case ${overlayLabel} in *:*) exit 0 ;; esac\n",
        reason="LABEL=...:/PATH, which names a store that is there, is taken for the label of a partition to make.",
    ),
    Repair(
        last=112,
        module="dmsquash-live-autooverlay",
        file="create-overlay.sh",
        old='die "Overlay creation failed: the partition must be set by LABEL',
        new='exit 0; die "Overlay creation failed: the partition must be set by LABEL',
        reason="A store that is not named by its label stops the boot.",
    ),
    Repair(
        last=112,
        module="dmsquash-live",
        file="dmsquash-live-root.sh",
        old="mkdir -m 0755 -p /run/initramfs/overlayfs\n",
        new="mkdir -m 0755 -p /run/initramfs/overlayfs\n"
        f"        [ $devspec != /dev/mapper/{_LUKS_NAME} ] || "
        f"systemctl start systemd-cryptsetup@{_LUKS_NAME}.service\n",
        reason="An encrypted store is looked for before it was opened.",
    ),
    Repair(
        last=112,
        module="url-lib",
        file="url-lib.sh",
        old=')\n        outloc="$outdir/$(ls -A "$outdir")"',
        new=') || { rm -rf "$outdir"; return 253; }\n        outloc="$outdir/$(ls -A "$outdir")"',
        reason="A download that ends in the middle counts as whole.",
    ),
    Repair(
        last=112,
        module="nfs",
        file="nfs-lib.sh",
        old='[ "$port" != "$server" ] && options="port=$port"',
        new='[ "$port" != "$server" ] && options="port=$port" && server="${server%:*}"',
        reason="The port in nfs://SERVER:PORT/PATH stays part of the server's name, and nothing can be mounted.",
    ),
    Repair(
        last=112,
        module="dmsquash-live-autooverlay",
        file="create-overlay.sh",
        old='"${blockDevice#/dev/}[0-9]+"',
        new='"${blockDevice#/dev/}p?[0-9]+"',
        reason="The partitions of NVMe disks and SD cards, such as nvme0n1p1, are not counted.",
    ),
    Repair(
        last=112,
        module="dmsquash-live-autooverlay",
        file="create-overlay.sh",
        old="overlayPartition=${blockDevice}$((",
        new="case $blockDevice in *[0-9]) infix=p ;; *) infix= ;; esac\n    overlayPartition=${blockDevice}$infix$((",
        reason="The new partition of an NVMe disk or SD card is looked for under a wrong name.",
    ),
)


def repair(folder: str, version: int) -> list[str]:
    """Mend the faults of this version of dracut.

    Args:
        folder: a writable copy of /usr/lib/dracut, in which modules.d is no link.
        version: of dracut, such as 59 or 106.

    Returns:
        The reasons for what was mended, a sentence each.

    Raises:
        StageError: what has to be mended lies behind a link, and so outside of the copy.
    """
    reasons = []
    for fault in REPAIRS:
        if version > fault.last:
            continue
        for path in sorted(pathlib.Path(folder, "modules.d").glob(f"[0-9][0-9]{fault.module}/{fault.file}")):
            if path.parent.is_symlink() or path.is_symlink() or not path.is_file():
                raise StageError(
                    f"/usr/lib/dracut/{path.relative_to(folder)} of the image must be a plain file, and no link, since "
                    "it may have to be mended. Correct it in the package or script that put it there."
                )
            text = path.read_text(encoding="utf-8")
            # The distribution may have corrected it in an update.
            if fault.old in text:
                path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
                reasons.append(fault.reason)
    return reasons


def problems(features: LiveFeatures) -> t.Iterator[str]:
    """Sentences about what the module cannot do."""
    if features.layered:
        yield (
            "base does not work with flags dmsquash: dracut's dmsquash-live takes its root from one image, and cannot "
            "stack what this image adds on its base. Use flags overlay, or leave base out."
        )
    yield from device_mapper_problems(features)
    if features.overlay_type == "device-mapper" and features.nested and _makes_store(features):
        yield (
            "overlay_type device-mapper does not work with persistence: what dmsquash-live-autooverlay keeps is an "
            "overlayfs directory. Use overlay_type overlayfs, or persistence mode device with a file for the "
            "snapshot's changes that you have prepared."
        )
    yield from _overlay_size_problems(features)
    store = features.persistence
    if store is None:
        return
    if store.encrypted and store.mode != "device":
        yield (
            "persistence.encryption luks2 with flags dmsquash needs a volume that you have prepared: dmsquash-live "
            "encrypts nothing itself. Use mode device, or flags overlay."
        )
    elif store.encrypted and _luks_uuid(store) is None:
        yield (
            f"persistence.device {store.device!r} must be the UUID=... of the LUKS volume with flags dmsquash and "
            "encryption, since that is how it is opened."
        )
    if store.key:
        yield "persistence.key needs flags overlay: with flags dmsquash the passphrase is asked for on the console."
    if store.mode == "file" or store.file or store.sparse:
        yield "persistence file needs flags overlay: dmsquash-live makes no files beside the ISO. Use mode partition."
    if store.size is not None:
        yield (
            "persistence.size needs flags overlay: dmsquash-live-autooverlay takes all the space behind the ISO. "
            "Leave it out."
        )


def warnings(features: LiveFeatures) -> t.Iterator[str]:
    """Sentences about what works, but not always."""
    if features.mediacheck and _makes_store(features):
        yield (
            "mediacheck: with flags dmsquash the check of a stick fails once the partition for persistence was added "
            "to it, since the check covers the partition table, too. Check sticks before their first persistent boot, "
            "or use flags overlay."
        )


def needs_msdos_table(features: LiveFeatures) -> bool:
    """Whether the ISO must have an MBR: dmsquash-live-autooverlay cannot add a partition to the GPT of an ISO."""
    return _makes_store(features)


def store_kind(features: LiveFeatures) -> str | None:
    """What the initrd must be able to do for the persistent store, in a word or two; None without one."""
    store = features.persistence
    if store is None:
        return None
    if store.mode == "device":
        return "device luks2" if store.encrypted else "device"
    return store.filesystem or "default"


def dracut_modules(features: LiveFeatures, version: int | None = None) -> tuple[str, ...]:
    """Dracut modules that must be in the initrd.

    Args:
        features: the features.
        version: of dracut, such as 59 or 106; None while it is not known.
    """
    found = ["dmsquash-live"]
    if _makes_store(features):
        found.append("dmsquash-live-autooverlay")
    elif features.persistence and features.persistence.encrypted:
        found.append("crypt")
    if features.network_boot:
        found.append("network")
        if version is not None and version < _NETWORKD_WORKS:
            found.append("network-legacy")
    if {"http", "nfs"} & set(features.network_boot):
        found.append("livenet")
    if "nfs" in features.network_boot:
        found.append("nfs")
    return tuple(found)


def drivers(features: LiveFeatures) -> tuple[str, ...]:
    """Kernel drivers that must be in the initrd, besides those of the root's file systems."""
    # A nested image can be a snapshot by the user's own choice at the boot menu.
    found = ["dm_mod", "dm_snapshot"] if features.nested else []
    if "aoe" in features.network_boot:
        found.append("aoe")
    if "nfs" in features.network_boot:
        found += ["nfs", "nfsv4"]
    if _makes_store(features):
        found.append(_store_filesystem(features))
    elif features.persistence:
        # Whatever the user has prepared.
        found += ["ext4", "xfs", "btrfs", *(("dm_crypt",) if features.persistence.encrypted else ())]
    return tuple(found)


def programs(features: LiveFeatures, version: int | None = None) -> tuple[tuple[str, str], ...]:
    """Programs that must be in the initrd, each with the Debian package that has it.

    Args:
        features: the features.
        version: of dracut, such as 59 or 106; None while it is not known.
    """
    found = []
    if features.mediacheck:
        found.append(("checkisomd5", "isomd5sum"))
    if _makes_store(features):
        # No package of Debian's dracut before 109 depends on them (https://bugs.debian.org/1095162 for isomd5sum).
        found += [("parted", "parted"), _STORE_TOOLS[_store_filesystem(features)]]
    if features.network_boot and version is not None and version < _NETWORKD_WORKS:
        # dracut leaves network-legacy out, with no more than a line in its log, when one of these is missing.
        found += [
            ("ip", "iproute2"),
            ("dhclient", "isc-dhcp-client"),
            ("pgrep", "procps"),
            ("arping", "iputils-arping"),
        ]
    if "http" in features.network_boot:
        found.append(("curl", "curl"))
    if "nfs" in features.network_boot:
        found.append(("mount.nfs", "nfs-common"))
    return tuple(found)


def packages(features: LiveFeatures, release: str) -> set[str]:
    """Debian packages that the image needs for its initrd, besides kernel, dracut and what is always there."""
    old = release in _OLD_RELEASES
    found = {package for dummy, package in programs(features, 59 if old else None)}
    if release not in _WITHOUT_DRACUT_LIVE:
        found.add("dracut-live")
    if _makes_store(features):
        found.add("fdisk")
    elif features.persistence and features.persistence.encrypted:
        # For the user, who prepares the volume; systemd opens it, with a part that is a package of its own since Debian
        # 13.
        found |= {"cryptsetup-bin"} if old else {"cryptsetup-bin", "systemd-cryptsetup"}
    if features.network_boot:
        found |= {"dracut-network", "iproute2"}
    if {"http", "nfs"} & set(features.network_boot):
        # livenet needs curl for whatever it gets.
        found |= {"curl", "ca-certificates"}
    return found


def kernel_words(features: LiveFeatures, persistent_label: str) -> list[str]:
    """The parameters that turn on what the features ask for.

    Args:
        features: the features.
        persistent_label: file system label of the persistent store of this ISO.
    """
    words = []
    # dracut 059 does not start a root that is squashfs or erofs itself without being told so.
    if features.overlay_type == "overlayfs":
        words.append("rd.live.overlay.overlayfs=1")
    if features.overlay_size:
        words.append(f"rd.live.overlay.size={features.overlay_size}")
    if features.ram:
        words.append("rd.live.ram")
    if features.persistence:
        words += _store_words(features.persistence, persistent_label)
        # Go on without the store instead of waiting for the Enter key.
        words.append("rd.live.overlay.nouserconfirmprompt")
    return words


def _store_words(store: Persistence, persistent_label: str) -> list[str]:
    if store.mode != "device":
        words = [f"rd.live.overlay=LABEL={persistent_label}"]
        return [*words, f"rd.live.overlay.cowfs={store.filesystem}"] if store.filesystem else words
    uuid = _luks_uuid(store)
    device, colon, path = t.cast("str", store.device).partition(":")
    if not store.encrypted or uuid is None:
        # By its path, since dmsquash-live knows only by that whether it is mounted already (iso-scan).
        tag, equals, value = device.partition("=")
        return [
            f"rd.live.overlay=/dev/disk/by-{tag.lower()}/{value}{colon}{path}"
            if equals
            else f"rd.live.overlay={store.device}"
        ]
    return [
        # Not rd.luks.uuid=: dracut's crypt module would wait for that volume, and not start without it.
        f"rd.luks.name={uuid}={_LUKS_NAME}",
        f"rd.luks.options=x-systemd.device-timeout={_LUKS_SECONDS}",
        f"rd.live.overlay=/dev/mapper/{_LUKS_NAME}{colon}{path}",
    ]


def _makes_store(features: LiveFeatures) -> bool:
    """Whether dmsquash-live-autooverlay makes the persistent store; otherwise the user has, or there is none."""
    return features.persistence is not None and features.persistence.mode != "device"


def _store_filesystem(features: LiveFeatures) -> str:
    return (features.persistence and features.persistence.filesystem) or "ext4"


def _luks_uuid(store: Persistence) -> str | None:
    """The UUID by which the encrypted volume is named, if it is."""
    name = (store.device or "").partition(":")[0]
    return name.removeprefix("UUID=") if name.startswith("UUID=") else None


def media_check_word() -> str:
    """The parameter that asks for a media check."""
    return "rd.live.check"


def _overlay_size_problems(features: LiveFeatures) -> t.Iterator[str]:
    if features.overlay_size is None:
        return
    if features.overlay_type == "overlayfs":
        yield (
            "overlay_size does nothing with flags dmsquash and overlay_type overlayfs: what is written lies in /run, "
            "whose size systemd decides. Use flags overlay, or overlay_type device-mapper, or leave it out."
        )
    elif features.overlay_size.endswith("%"):
        yield (
            f"overlay_size {features.overlay_size} must be a number of MiB with flags dmsquash, such as 1024: "
            "dmsquash-live knows no percent."
        )

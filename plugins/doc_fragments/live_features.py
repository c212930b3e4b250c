# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that say what a live system is to be able to do, for the stages that need to know."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of FEATURE_ARGUMENTS in plugins/module_utils/_live/features.py."""

    DOCUMENTATION = r"""
options:
  flags:
    description:
      - The dracut module that finds and mounts the root.
      - V(overlay) is this collection's own module C(live-overlay), which the image need not have installed.
      - V(dmsquash) is the distribution's C(dmsquash-live).
    type: str
    choices: [overlay, dmsquash]
    default: overlay
  filesystem:
    description:
      - The file system of the root, as given to M(liveforge.images.live_squashfs). V(squashfs) and V(erofs) are the
        image itself, the others lie inside it as C(LiveOS/rootfs.img).
    type: str
    choices: [squashfs, erofs, ext2, ext3, ext4, xfs, btrfs]
    default: squashfs
  overlay_type:
    description:
      - What makes the read-only root writable.
      - The default is V(overlayfs), but V(device-mapper) for O(flags=dmsquash) with a O(filesystem) inside the image
        and without O(persistence), which is what C(dmsquash-live) does.
      - V(device-mapper) needs a O(filesystem) inside the image, and no O(persistence).
    type: str
    choices: [overlayfs, device-mapper]
  persistence:
    description:
      - Whether and where what the running system writes survives a reboot.
      - The boot menu then has a second entry that keeps nothing. The failsafe and media check entries keep nothing
        either.
      - When the store cannot be used, the system starts with a temporary overlay, and says why on the console and in
        C(/run/overlay/fallback).
    type: dict
    suboptions:
      mode:
        description:
          - V(none) keeps nothing.
          - V(partition) makes a partition behind the ISO on the disk that was booted from, at the first start.
          - V(file) makes a file on the file system that holds the ISO, when the ISO itself is booted as a file
            (C(iso-scan/filename)).
          - V(auto) does what fits the way it was booted.
          - V(device) uses what you have prepared, which is never formatted.
        type: str
        choices: [none, auto, partition, file, device]
        default: auto
      device:
        description:
          - Where the store is with O(persistence.mode=device), as V(LABEL=...), V(UUID=...), V(PARTUUID=...),
            V(PARTLABEL=...) or a path below V(/dev).
          - After a colon, the path of a folder or file on it can follow, such as V(LABEL=DATA:/live/store).
          - With O(flags=overlay) the folders on an empty file system are made when they are missing. With
            O(flags=dmsquash) they must be there, see the guide on live features.
          - With C(encryption), it is the LUKS volume. O(flags=dmsquash) takes it by its V(UUID=...) only.
        type: str
      filesystem:
        description: File system of a new store. The default is the one of the initrd, which is ext4.
        type: str
        choices: [ext4, xfs, btrfs]
      size:
        description: MiB that a new partition takes at most (the default is all the space), and a new file takes (500).
        type: int
      file:
        description: Path of the file on the file system that holds the ISO. The default is C(live_system.cow).
        type: str
      sparse:
        description: Whether a new file takes space only as it fills. By default all of it is allocated at once.
        type: bool
      encryption:
        description:
          - Whether a new store is encrypted. V(luks2) asks for a passphrase on the console, at the first start twice.
        type: str
        choices: [none, luks2]
      key:
        description:
          - Where a key file is that stands for the passphrase, as C(DEVICE:/PATH), such as V(LABEL=KEYS:/live.key), or
            as a path in the initrd.
        type: str
  hybridpersistent:
    description:
      - KIWI's name for O(persistence.mode=auto).
    type: bool
    default: false
  hybridpersistent_filesystem:
    description:
      - KIWI's name for O(persistence.filesystem).
    type: str
    choices: [ext4, xfs, btrfs]
  network_boot:
    description:
      - What the initrd can boot from over the network.
      - V(http) is C(root=live:http://...) and C(https://) for an ISO or a squashfs, V(aoe) is ATA over Ethernet
        (C(root=live:AOEINTERFACE=e0.1)), V(nfs) is for O(flags=dmsquash) only.
    type: list
    elements: str
    choices: [http, aoe, nfs]
    default: []
  mediacheck:
    description:
      - Whether the image offers a media check, by a menu entry and the checksums that it needs.
      - With O(flags=overlay), it also passes on a disk that has got a partition for persistent data. What
        C(implantisomd5) leaves, which O(flags=dmsquash) uses, does not.
    type: bool
    default: false
"""

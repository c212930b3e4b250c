# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a live system is to be able to do, whichever dracut module does it. Private to this collection.

The options are those of live_dracut (what the initrd must hold) and live_iso (what the kernel command line says).
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import DIRECT_FILESYSTEMS

DEFAULT_FILE = "live_system.cow"
STORE_FILESYSTEMS = ("ext4", "xfs", "btrfs")
MODES = ("none", "auto", "partition", "file", "device")
# As on the kernel command line: a device, and a folder or file on it. live-overlay-store.sh takes these characters.
_DEVICE = re.compile(
    r"((?:LABEL|UUID|PARTUUID|PARTLABEL)=[A-Za-z0-9._+@=-]+|/dev/[A-Za-z0-9._/+@=-]+)(?::(/?[A-Za-z0-9._/+@=-]+))?"
)

PERSISTENCE_ARGUMENTS: dict[str, t.Any] = {
    "mode": {"type": "str", "choices": list(MODES), "default": "auto"},
    "device": {"type": "str"},
    "filesystem": {"type": "str", "choices": list(STORE_FILESYSTEMS)},
    "size": {"type": "int"},
    "file": {"type": "str"},
    "sparse": {"type": "bool"},
    "encryption": {"type": "str", "choices": ["none", "luks2"]},
    "key": {"type": "str", "no_log": False},
}
# What both stages need to know.
FEATURE_ARGUMENTS: dict[str, t.Any] = {
    "flags": {"type": "str", "choices": ["overlay", "dmsquash"], "default": "overlay"},
    "filesystem": {
        "type": "str",
        "choices": ["squashfs", "erofs", "ext2", "ext3", "ext4", "xfs", "btrfs"],
        "default": "squashfs",
    },
    "overlay_type": {"type": "str", "choices": ["overlayfs", "device-mapper"]},
    "persistence": {"type": "dict", "options": PERSISTENCE_ARGUMENTS},
    "hybridpersistent": {"type": "bool", "default": False},
    "hybridpersistent_filesystem": {"type": "str", "choices": list(STORE_FILESYSTEMS)},
    "network_boot": {"type": "list", "elements": "str", "choices": ["http", "aoe", "nfs"], "default": []},
    "mediacheck": {"type": "bool", "default": False},
}


@dataclasses.dataclass(frozen=True)
class Persistence:
    """Where what is written survives a reboot.

    Attributes:
        mode: ``auto`` (a partition when booted as a disk, a file when booted from an ISO file), ``partition``,
            ``file`` or ``device``.
        device: with mode ``device``, where the user has prepared a store: ``LABEL=DATA`` or ``/dev/sdb1``, and perhaps
            ``:/PATH`` of a folder or file on it.
        filesystem: ``ext4``, ``xfs`` or ``btrfs``; None leaves it to the initrd (ext4).
        size: MiB that a new partition takes at most and a new file takes; None for all space and 500 MiB.
        file: path of the file on the file system that holds the ISO; None for live_system.cow at its top.
        sparse: whether a new file takes space only as it fills.
        encrypted: whether a new store is LUKS2.
        key: place of a key file, ``DEVICE:/PATH``; None asks for a passphrase.
    """

    mode: str = "auto"
    device: str | None = None
    filesystem: str | None = None
    size: int | None = None
    file: str | None = None
    sparse: bool = False
    encrypted: bool = False
    key: str | None = None


@dataclasses.dataclass(frozen=True)
class LiveFeatures:
    """The features of a live system.

    Attributes:
        flags: ``overlay`` (our dracut module) or ``dmsquash`` (dracut's dmsquash-live), as in KIWI.
        filesystem: ``squashfs`` or ``erofs`` for a root packed directly, else the file system inside the squashfs.
        overlay_type: ``overlayfs`` or ``device-mapper``.
        persistence: None when nothing is kept.
        network_boot: what it can be booted from over the network: ``http``, ``aoe``, ``nfs``.
        mediacheck: whether it offers a media check.
        ram: whether the default is to copy the root into memory.
        overlay_size: of the temporary overlay, in MiB or percent of the memory; None for the initrd's default.
        layered: whether the root is a layer on top of a base.
    """

    flags: str = "overlay"
    filesystem: str = "squashfs"
    overlay_type: str = "overlayfs"
    persistence: Persistence | None = None
    network_boot: tuple[str, ...] = ()
    mediacheck: bool = False
    ram: bool = False
    overlay_size: str | None = None
    layered: bool = False

    @property
    def nested(self) -> bool:
        """Whether a file system image lies inside the squashfs."""
        return self.filesystem not in DIRECT_FILESYSTEMS

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> LiveFeatures:
        """The features that the options of a module ask for, with the defaults that depend on each other.

        Contradictions are for :func:`contradictions`.
        """
        persistence = _persistence(options)
        overlay_type = options.get("overlay_type")
        if overlay_type is None:
            nested = options["filesystem"] not in DIRECT_FILESYSTEMS
            # What dmsquash-live itself does, except that dmsquash-live-autooverlay keeps overlayfs directories.
            default_snapshot = options["flags"] == "dmsquash" and nested and persistence is None
            overlay_type = "device-mapper" if default_snapshot else "overlayfs"
        return cls(
            flags=options["flags"],
            filesystem=options["filesystem"],
            overlay_type=overlay_type,
            persistence=persistence,
            network_boot=tuple(sorted(set(options.get("network_boot") or ()))),
            mediacheck=options["mediacheck"],
            ram=options.get("ram", False),
            overlay_size=options.get("overlay_size"),
            layered=options.get("base") is not None,
        )


def _persistence(options: t.Mapping[str, t.Any]) -> Persistence | None:
    given = options.get("persistence") or {}
    mode = given.get("mode") or ("auto" if given or options["hybridpersistent"] else "none")
    if mode == "none":
        return None
    return Persistence(
        mode=mode,
        device=given.get("device"),
        filesystem=given.get("filesystem") or options.get("hybridpersistent_filesystem"),
        size=given.get("size"),
        file=given.get("file"),
        sparse=bool(given.get("sparse")),
        encrypted=given.get("encryption") == "luks2",
        key=given.get("key"),
    )


def contradictions(options: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Sentences about options that contradict each other, whatever the dracut module."""
    given = {name: value for name, value in (options.get("persistence") or {}).items() if value is not None}
    persistence = _persistence(options)
    if given.get("mode") == "none" and options["hybridpersistent"]:
        yield "persistence none contradicts hybridpersistent: true, which is KIWI's word for auto. Leave one out."
    old, new = options.get("hybridpersistent_filesystem"), given.get("filesystem")
    if old and new and old != new:
        yield (
            f"persistence.filesystem {new} contradicts hybridpersistent_filesystem {old}: there is one store. "
            "Leave one of them out."
        )
    if persistence is None:
        if old:
            yield "hybridpersistent_filesystem has no effect without hybridpersistent: true. Set that, or leave it out."
        useless = sorted(set(given) - {"mode"})
        if useless:
            yield f"persistence.{useless[0]} has no effect with persistence none. Choose another mode, or leave it out."
        return
    yield from _device_contradictions(options, persistence)
    if persistence.key and not persistence.encrypted:
        yield "persistence.key has no effect without persistence.encryption: luks2. Set that, or leave the key out."
    if persistence.key and not (persistence.key.startswith("/") or ":/" in persistence.key):
        yield (
            f"persistence.key {persistence.key!r} must say where the key file is: a device and a path on it, such as "
            "LABEL=KEYS:/live.key, or a path in the initrd."
        )
    if persistence.mode == "partition" and (persistence.file or persistence.sparse):
        yield "persistence.file and persistence.sparse are about a file, but the mode is partition. Leave them out."
    if persistence.file and ".." in persistence.file.split("/"):
        yield f"persistence.file {persistence.file!r} must be a path on the file system with the ISO, without '..'."
    if persistence.size is not None and persistence.size < 64:
        yield f"persistence.size {persistence.size} is too small: a persistent store takes at least 64 (MiB)."


def _device_contradictions(options: t.Mapping[str, t.Any], persistence: Persistence) -> t.Iterator[str]:
    if persistence.mode != "device":
        if persistence.device is not None:
            yield (
                f"persistence.device has no effect with mode {persistence.mode}. Set mode: device to use a store that "
                "you have prepared, or leave device out."
            )
        return
    if persistence.device is None or not _DEVICE.fullmatch(persistence.device) or ".." in persistence.device:
        yield (
            f"persistence.device {persistence.device!r} must say where the store is: LABEL=, UUID=, PARTUUID=, "
            "PARTLABEL= or a path below /dev, and perhaps a colon and a path on it, such as LABEL=DATA:/live."
        )
    if options["hybridpersistent"]:
        yield "persistence device contradicts hybridpersistent: true, which is KIWI's word for auto. Leave one out."
    for name in ("filesystem", "size", "file", "sparse"):
        if getattr(persistence, name):
            yield (
                f"persistence.{name} has no effect with mode device: what you have prepared is never formatted. "
                "Leave it out."
            )


def overlay_size_problems(size: str | None) -> t.Iterator[str]:
    """A sentence when the size is neither MiB nor percent."""
    if size is None:
        return
    number = size[:-1] if size.endswith("%") else size
    if not number.isdigit() or int(number) == 0 or (size.endswith("%") and int(number) > 100):
        yield f"overlay_size {size!r} must be a number of MiB, such as 1024, or percent of the memory, such as 40%."


def device_mapper_problems(features: LiveFeatures) -> t.Iterator[str]:
    """A sentence when there is nothing of which a device-mapper snapshot can be made."""
    if features.overlay_type == "device-mapper" and not features.nested:
        yield (
            f"overlay_type device-mapper does not work with filesystem {features.filesystem}: a device-mapper "
            "snapshot needs a file system that can be written, which a read-only root is not. Use overlay_type "
            "overlayfs, or filesystem ext4, ext3, ext2, xfs or btrfs."
        )

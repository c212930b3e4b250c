# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where everything lies on a live ISO, and the xorriso command that writes it. Private to this collection.

The boot matrix, BIOS and UEFI times CD and disk, is met by one file: El Torito entries for the two firmwares as a CD,
GRUB's boot sector and a partition table for them as a disk. The EFI partition is stored once and used by both.
Options: xorrisofs(1). Names: KIWI's.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
import uuid

from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions
from ansible_collections.liveforge.images.plugins.module_utils._live import overlay

GRUB_CFG = "boot/grub/grub.cfg"
LOOPBACK_CFG = "boot/grub/loopback.cfg"
MBRID_FILE = "boot/mbrid"
SQUASHFS = "LiveOS/squashfs.img"
BASE = f"LiveOS/{overlay.BASE_FILE}"
# GRUB builds for removable media look for this name when the firmware does not tell where they came from.
DISK_INFO = ".disk/info"

PREPARER = "LIVEFORGE.IMAGES"
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")


def kernel_path(architecture: str) -> str:
    """Path of the kernel on the ISO."""
    return f"boot/{architecture}/loader/linux"


def initrd_path(architecture: str) -> str:
    """Path of the initrd on the ISO."""
    return f"boot/{architecture}/loader/initrd"


def bios_image_path(architecture: str) -> str:
    """Path of the El Torito image for a BIOS on the ISO."""
    return f"boot/{architecture}/loader/eltorito.img"


@dataclasses.dataclass(frozen=True)
class Identity:
    """The numbers by which an ISO is told from others; all follow from what it is made from, its menu left out.

    Attributes:
        number: 32 bits: KIWI's MBR id, the disk signature and the serial number of the EFI partition.
        guid: disk GUID of the GPT; xorriso derives the GUIDs of the partitions from it.
    """

    number: int
    guid: uuid.UUID

    @classmethod
    def derive(cls, digest: str) -> Identity:
        """From a SHA-256 as hex."""
        raw = bytes.fromhex(digest)
        # KIWI keeps 0x00, 0xfe and 0xff out of each byte.
        number = int.from_bytes(bytes(byte % 0xFD + 1 for byte in raw[:4]), "big")
        return cls(number, uuid.UUID(bytes=raw[4:20], version=4))

    @property
    def mbrid(self) -> str:
        """As KIWI writes it: name of the marker file /boot/<mbrid>, and default application id."""
        return f"0x{self.number:08x}"

    @property
    def persistent_label(self) -> str:
        """Label of dmsquash's persistent file system; 12 characters, as many as XFS takes (ext4: 16)."""
        return f"cow-{self.number:08x}"


@dataclasses.dataclass(frozen=True)
class Content:
    """What goes onto the ISO, by paths on the build host.

    Attributes:
        files: path on the ISO to path on disk.
        folders: folders whose content goes to the root of the ISO.
        boot_sector: the first sector.
        order: list for xorriso that says in which order the files lie on the ISO, see :func:`order_list`.
        esp: the EFI partition, or None.
    """

    files: t.Mapping[str, str]
    folders: t.Sequence[str]
    boot_sector: str
    order: str
    esp: str | None


def xorriso_command(
    options: IsoOptions, identity: Identity, content: Content, target: str, source_date_epoch: int | None
) -> list[str]:
    """The command that writes the ISO to the file ``target``."""
    command = [
        # -no_rc first, or the operator's ~/.xorrisorc changes the ISO; stdio: since plain paths below /dev are refused.
        # What is published is flushed to disk once, and then as a whole. When xorriso has written everything, it still
        # waits for the next time to report: up to a second, unless it is told otherwise (0.1 is the least).
        *("xorriso", "-no_rc", "-stdio_sync", "off", "-pacifier", "interval=0.1"),
        *("-as", "mkisofs", "-o", f"stdio:{target}"),
        # Files of 4 GiB and more; names for Linux and Windows; owner root and read permission for everybody.
        *("-iso-level", "3", "-J", "-joliet-long", "-r"),
        *("-V", options.volid, "-A", options.application_id or identity.mbrid, "-p", PREPARER),
        *_padding(content),
        # A second superblock, so that partition 1 can be mounted as well as the disk.
        *("-partition_offset", "16"),
    ]
    if options.publisher:
        command += ["-publisher", options.publisher]
    if source_date_epoch is not None:
        # SOURCE_DATE_EPOCH sets the dates of the volume; those of files newer than it would stay.
        command += ["--set_all_file_dates", f"={source_date_epoch}"]
    command += ["-c", f"boot/{options.architecture}/boot.catalog", "--boot-catalog-hide"]
    command += _bios_arguments(options, content)
    command += _efi_arguments(options, identity, content)
    command += ["--sort-weight-list", content.order, "-graft-points"]
    command += [_graft("/", folder) for folder in content.folders]
    return command + [_graft(f"/{name}", path) for name, path in sorted(content.files.items())]


def order_list(files: t.Iterable[str], folder_files: t.Iterable[str]) -> str:
    """Lines of weight and path that give every file its place on the ISO; the largest, the root, comes last.

    What a boot loader reads so lies together at the start, and the order is ours, not that of a version of xorriso.

    Args:
        files: our own files, as paths on the ISO.
        folder_files: files of the folders whose content goes to the root of the ISO.
    """
    last = [name for name in (SQUASHFS, BASE) if name in set(files)]
    ordered = [*sorted(set(files) - set(last)), *sorted(folder_files), *last]
    return "".join(f"{len(ordered) - place} /{name}\n" for place, name in enumerate(ordered))


def _padding(content: Content) -> list[str]:
    """300 KiB at the end, unless there is an EFI partition.

    BIOSes and GRUB read ahead in a CD's file system and fail at its very end. An EFI partition keeps the end away, and
    padding behind it would become a partition of its own.
    """
    return ["-pad"] if content.esp is None else ["-no-pad"]


def _bios_arguments(options: IsoOptions, content: Content) -> list[str]:
    if not options.bios:
        return ["-G", content.boot_sector]
    image = bios_image_path(options.architecture)
    arguments = ["-b", image, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info"]
    arguments += ["--grub2-mbr", content.boot_sector]
    if options.efiparttable == "msdos" or options.gpt_hybrid_mbr:
        # Some BIOSes do not start from a disk on which no partition is marked active.
        arguments.append("--mbr-force-bootable")
    return arguments


def _efi_arguments(options: IsoOptions, identity: Identity, content: Content) -> list[str]:
    if content.esp is None:
        return []
    arguments = ["-eltorito-alt-boot"] if options.bios else []
    arguments += ["-e", "--interval:appended_partition_2:all::", "-no-emul-boot"]
    arguments += ["-append_partition", "2", "0xef", content.esp]
    if options.efiparttable == "gpt":
        arguments += ["-appended_part_as_gpt", "--gpt_disk_guid", str(identity.guid)]
    return arguments


def _graft(iso_path: str, path: str) -> str:
    escaped = (text.replace("\\", "\\\\").replace("=", "\\=") for text in (iso_path, path))
    return "=".join(escaped)


def percent(line: str) -> float | None:
    """How far xorriso is, from one line of its output, or None."""
    found = _PERCENT.search(line) if "UPDATE" in line else None
    return float(found.group(1)) if found else None


def explain(output: str) -> str | None:
    """The cause of a failure of xorriso in words, or None."""
    if "free space" in output and ("exceeds" in output or "exceeding" in output):
        return "The file system is too small for the ISO. Free some space there, or choose another dest."
    if "Read-only file system" in output:
        return "The file system of dest is read-only."
    return None

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading an ISO image: what it is, what it starts and whether it is whole. Private to this collection.

The stage that writes ISOs checks its work with this reader, and live_iso_info shows what it finds.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import struct
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso.digest import Extents, digest, media_end
from ansible_collections.liveforge.images.plugins.module_utils._iso.fat import FatError, FatImage
from ansible_collections.liveforge.images.plugins.module_utils._iso.files import IsoFiles, open_iso
from ansible_collections.liveforge.images.plugins.module_utils._iso.media_tag import read_content_tag, read_tag
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu_reader import read_menu
from ansible_collections.liveforge.images.plugins.module_utils._iso.partitions import read_partition_table
from ansible_collections.liveforge.images.plugins.module_utils._iso.superblock import HEAD_SIZE, identify

LIVE_FOLDER = "LiveOS"
_MENU_FILES = ("boot/grub/grub.cfg", "boot/grub2/grub.cfg", "EFI/BOOT/grub.cfg")
_LOOPBACK_FILES = ("boot/grub/loopback.cfg", "boot/grub2/loopback.cfg")
# In GRUB's boot.S (disk) and cdboot.S (CD); all that follows on the medium is compressed.
_GRUB_TEXTS = (b"GRUB \0", b"cdrom read fails")
_MAX_ESP = 64 << 20
_MAX_MENU = 1 << 20
# No path: it can be no file.
_CONTENT = "/content/"

Report = dict[str, t.Any]


def inspect(path: str, *, digests: bool = False) -> Report:
    """Everything that live_iso_info returns as ``iso``.

    Args:
        path: the ISO file.
        digests: also read the whole file: SHA-256 of it and of what it starts, and the verdict of its media check tag.

    Raises:
        StageError: it is no ISO 9660 image, it is cut off or damaged, or pycdlib is missing.
    """
    with open_iso(path) as iso:
        report = _describe(iso)
        if digests:
            _add_digests(report, iso)
        return report


def files_by_role(report: Report) -> dict[str, Report]:
    """What the ISO starts: ``kernel``, ``initrd`` and each live file by its path, as far as they are there."""
    found = {role: report[role] for role in ("kernel", "initrd") if report[role] is not None}
    return {**found, **{entry["path"]: entry for entry in report["live"]}}


def read_files(path: str, names: t.Iterable[str]) -> dict[str, Report]:
    """Path, size and SHA-256 of files of an ISO, by their paths, as far as they are there."""
    with open_iso(path) as iso:
        return {
            name: {
                "path": name,
                "size": iso.files[name].size,
                "sha256": hashlib.sha256(iso.read(name)).hexdigest(),
            }
            for name in names
            if name in iso.files
        }


def _describe(iso: IsoFiles) -> Report:
    menu_file = next((name for name in _MENU_FILES if name in iso.files), None)
    menu = _menu(iso, menu_file)
    el_torito = iso.el_torito()
    return {
        "path": iso.path,
        "size": iso.size,
        **iso.volume(),
        "el_torito": el_torito,
        "partition_table": read_partition_table(iso.stream, iso.size),
        "menu_file": menu_file,
        "menu": menu,
        "loopback_menu": _menu(iso, next((name for name in _LOOPBACK_FILES if name in iso.files), None)),
        "live": [_live_file(iso, name) for name in sorted(iso.files) if name.startswith(f"{LIVE_FOLDER}/")],
        "kernel": _started(iso, menu, "kernel", "linux"),
        "initrd": _started(iso, menu, "initrd", "initrd"),
        "boot_loaders": [*_bios_loaders(iso, el_torito), *_efi_loaders(iso, el_torito)],
        "media_check": read_tag(iso.application_use()),
        "content_check": read_content_tag(iso.application_use()),
    }


def _menu(iso: IsoFiles, name: str | None) -> list[Report]:
    if name is None or iso.files[name].size > _MAX_MENU:
        return []
    return read_menu(iso.read(name).decode("utf-8", "replace"))


def _live_file(iso: IsoFiles, name: str) -> Report:
    head = iso.read(name, HEAD_SIZE)
    return {"path": name, "size": iso.files[name].size, **identify(head)}


def _started(iso: IsoFiles, menu: t.Sequence[Report], role: str, leaf: str) -> Report | None:
    """The kernel or initrd of the first menu entry that starts one, else KIWI's place for it."""
    named = [value for entry in menu for value in ([entry[role]] if role == "kernel" else entry[role]) if value]
    places = [re.sub(r"^\([^)]*\)", "", value).lstrip("/") for value in named]
    places += sorted(name for name in iso.files if re.fullmatch(rf"boot/[^/]+/loader/{leaf}", name))
    place = next((place for place in places if place in iso.files), None)
    return None if place is None else {"path": place, "size": iso.files[place].size}


def _bios_loaders(iso: IsoFiles, el_torito: t.Sequence[Report]) -> list[Report]:
    found = []
    places = [("disk", 0, 512)]
    places += [("cd", entry["start"], 65536) for entry in el_torito if entry["platform"] == "bios"]
    for medium, start, length in places:
        iso.stream.seek(start)
        name = _bios_name(iso.stream.read(length))
        if name is not None:
            found.append({"firmware": "bios", "medium": medium, "name": name})
    return found


def _bios_name(code: bytes) -> str | None:
    """Whose boot code it is, by the text that each loader shows, the first stages of GRUB only when they fail."""
    if any(text in code for text in _GRUB_TEXTS):
        return "grub"
    return "isolinux" if b"isolinux" in code.lower() else None


def _efi_loaders(iso: IsoFiles, el_torito: t.Sequence[Report]) -> list[Report]:
    programs: dict[str, int] = {}
    for start, length in _efi_partitions(iso, el_torito):
        iso.stream.seek(start)
        try:
            files = FatImage(iso.stream.read(min(length, _MAX_ESP))).files()
        except FatError:
            continue
        programs.update((name, len(data)) for name, data in files.items() if name.lower().endswith(".efi"))
    return [
        {"firmware": "efi", "path": name, "name": posixpath.basename(name), "size": size}
        for name, size in sorted(programs.items())
    ]


def _efi_partitions(iso: IsoFiles, el_torito: t.Sequence[Report]) -> list[tuple[int, int]]:
    """Start and length of each FAT that EFI firmware would read, by the size that the FAT itself gives."""
    found = []
    for start in sorted({entry["start"] for entry in el_torito if entry["platform"] == "efi"}):
        iso.stream.seek(start)
        head = iso.stream.read(512)
        if len(head) == 512:
            sector, small, large = *struct.unpack_from("<H6xH", head, 11), *struct.unpack_from("<I", head, 32)
            found.append((start, sector * (small or large)))
    return found


def _add_digests(report: Report, iso: IsoFiles) -> None:
    tag = report["media_check"]
    end = media_end(iso.volume_size, tag["skipped_blocks"]) if tag["kind"] == "isomd5sum" else None
    files = files_by_role(report)
    parts: dict[str, Extents] = {name: iso.files[entry["path"]].extents for name, entry in files.items()}
    content = report["content_check"]
    if content["status"] != "absent":
        parts[_CONTENT] = [(content["start"], content["end"] - content["start"])]
    found = digest(iso.path, parts, end)
    report["sha256"] = found.whole
    for name, entry in files.items():
        entry["sha256"] = found.parts[name]
    if _CONTENT in found.parts:
        content["status"] = "intact" if found.parts[_CONTENT] == content["digest"] else "damaged"
    if found.media_md5 is not None:
        tag["status"] = "intact" if found.media_md5 == tag["digest"] else "damaged"


def esp_files(path: str, report: Report) -> dict[str, bytes]:
    """Files of the EFI partition that the El Torito catalog of an inspected ISO points to; empty without one."""
    with open_iso(path) as iso:
        for start, length in _efi_partitions(iso, report["el_torito"]):
            iso.stream.seek(start)
            try:
                return FatImage(iso.stream.read(min(length, _MAX_ESP))).files()
            except FatError as problem:
                raise StageError(
                    f"The EFI partition of {os.path.basename(path)} cannot be read: {problem}."
                ) from problem
    return {}

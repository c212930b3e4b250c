# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does a written ISO hold what it was to hold? Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso.inspect import Report, files_by_role
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu import MenuEntry
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp


@dataclasses.dataclass(frozen=True)
class ExpectedFile:
    """A file as it was before it went onto the ISO."""

    path: str
    size: int
    sha256: str

    @classmethod
    def of(cls, path: str, source: str) -> ExpectedFile:
        """The file ``source`` of this host, which goes to ``path``; its content is known if a stage made it."""
        stamp = Stamp.load(source)
        sha256 = stamp.output["content"] if stamp is not None else file_sha256(source)
        return cls(path, os.path.getsize(source), sha256)


def require(
    report: Report,
    options: IsoOptions,
    files: t.Sequence[ExpectedFile],
    menu: t.Sequence[MenuEntry] | None,
    esp: t.Mapping[str, bytes],
    esp_files: t.Sequence[ExpectedFile],
    others: t.Mapping[str, Report] | None = None,
) -> None:
    """Raise StageError naming everything in which an ISO differs from what was asked for.

    Args:
        report: what the reader found, with digests.
        options: what was asked for.
        files: kernel, initrd and squashfs, and further ones.
        menu: the entries that start the live system; None for a menu of the user's own.
        esp: the files that were found in the EFI partition.
        esp_files: the files that went into it.
        others: files that were read on their own, by their paths: a menu of the user's own need not lead to them.
    """
    problems = [
        *_volume(report, options),
        *_boot(report, options),
        *_files({**(others or {}), **_by_path(report)}, files),
        *_esp(esp, esp_files),
        *(_menus(report, menu) if menu is not None else ()),
    ]
    _raise(problems)


def require_menus(report: Report, menu: t.Sequence[MenuEntry]) -> None:
    """Raise StageError unless the menus that the reader found have the entries that they are to have."""
    _raise(list(_menus(report, menu)))


def _raise(problems: t.Sequence[str]) -> None:
    if problems:
        raise StageError(
            "The ISO that was written is not what was asked for, so it is not published: " + "; ".join(problems) + ". "
            "When nothing else writes to the inputs, check the build host's memory and disk, then build again.",
            problems=list(problems),
        )


def _volume(report: Report, options: IsoOptions) -> t.Iterator[str]:
    if report["volume_id"] != options.volid:
        yield f"volume id {report['volume_id']!r} instead of {options.volid!r}"
    if report["size"] != report["volume_size"]:
        yield f"{report['size']} bytes instead of {report['volume_size']}"
    if not report["rock_ridge"]:
        yield "no Rock Ridge names"
    status = report["media_check"]["status"]
    if status != ("intact" if options.mediacheck else "absent"):
        yield f"media check tag is {status}"
    content = report["content_check"]["status"]
    if content != ("intact" if options.mediacheck and options.flags == "overlay" else "absent"):
        yield f"media check tag of live-overlay is {content}"


def _boot(report: Report, options: IsoOptions) -> t.Iterator[str]:
    platforms = [entry["platform"] for entry in report["el_torito"] if entry["bootable"]]
    wanted = ["bios"] * options.bios + ["efi"] * options.efi
    if platforms != wanted:
        yield f"El Torito entries {platforms} instead of {wanted}"
    table = report["partition_table"]
    kind = "gpt" if options.efiparttable == "gpt" else "mbr"
    if table["type"] != kind:
        yield f"partition table {table['type']} instead of {kind}"
    yield from table["problems"]
    if len(table["partitions"]) != 1 + options.efi:
        yield f"{len(table['partitions'])} partitions instead of {1 + options.efi}"
    media = {loader["medium"] for loader in report["boot_loaders"] if loader["firmware"] == "bios"}
    if options.bios and media != {"cd", "disk"}:
        yield f"GRUB for a BIOS is found for {sorted(media) or 'nothing'} instead of cd and disk"


def _by_path(report: Report) -> dict[str, Report]:
    return {entry["path"]: entry for entry in files_by_role(report).values()}


def _files(found: t.Mapping[str, Report], files: t.Sequence[ExpectedFile]) -> t.Iterator[str]:
    for wanted in files:
        entry = found.get(wanted.path)
        if entry is None:
            yield f"{wanted.path} is missing"
        elif entry["size"] != wanted.size:
            yield f"{wanted.path} has {entry['size']} bytes instead of {wanted.size}"
        elif entry["sha256"] != wanted.sha256:
            yield f"{wanted.path} has SHA-256 {entry['sha256']} instead of {wanted.sha256}"


def _esp(found: t.Mapping[str, bytes], files: t.Sequence[ExpectedFile]) -> t.Iterator[str]:
    for wanted in files:
        if wanted.path not in found:
            yield f"{wanted.path} is missing in the EFI partition"
        elif hashlib.sha256(found[wanted.path]).hexdigest() != wanted.sha256:
            yield f"{wanted.path} in the EFI partition is not what was put there"


def _menus(report: Report, menu: t.Sequence[MenuEntry]) -> t.Iterator[str]:
    wanted = [(entry.id, entry.kernel_command_line) for entry in menu]
    found = [(entry["id"], entry["kernel_command_line"]) for entry in report["menu"] if entry["kernel"]]
    if found != wanted:
        yield f"menu {found} instead of {wanted}"
    looped = [(name, f"{line} iso-scan/filename=${{iso_path}}") for name, line in wanted]
    found = [(entry["id"], entry["kernel_command_line"]) for entry in report["loopback_menu"]]
    if found != looped:
        yield f"loopback menu {found} instead of {looped}"

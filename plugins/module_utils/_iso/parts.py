# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small parts of a live ISO, made beside it while it is built. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._iso import layout
from ansible_collections.liveforge.images.plugins.module_utils._iso import loaders as boot_loaders
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu import FONT, early_cfg
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions

EFI_FOLDER = "EFI/BOOT"


@dataclasses.dataclass(frozen=True)
class Scratch:
    """A folder for the small parts; everything written here bears the date of the build.

    Attributes:
        folder: where they lie.
        date: seconds since 1970, or None for now.
    """

    folder: str
    date: int | None

    def path(self, name: str) -> str:
        """Where the part ``name`` lies, or is to lie."""
        return os.path.join(self.folder, name)

    def write(self, name: str, content: str | bytes) -> str:
        """Write a part and return its path."""
        path = self.path(name)
        with open(path, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        self.set_date(path)
        return path

    def copy(self, source: str) -> str:
        """Copy a file of the host and return the path of the copy."""
        with open(source, "rb") as stream:
            return self.write(os.path.basename(source), stream.read())

    def set_date(self, path: str) -> None:
        """Give a part that a tool wrote the date of the build."""
        if self.date is not None:
            os.utime(path, (self.date, self.date))


class Parts:
    """Makes the parts of one ISO.

    Args:
        options: what the ISO is to be.
        identity: its numbers.
        menus: its menu files, by path on the ISO.
        scratch: where the parts go.
        run: runs the tools.
    """

    def __init__(
        self,
        options: IsoOptions,
        identity: layout.Identity,
        menus: t.Mapping[str, bytes],
        scratch: Scratch,
        run: Runner,
    ) -> None:
        self._options = options
        self._identity = identity
        self._menus = menus
        self._scratch = scratch
        self._run = run
        self._early = scratch.write("early.cfg", early_cfg(identity.mbrid))

    def iso_files(self) -> dict[str, str]:
        """Menu, marker files, font and boot image for a BIOS: path on the ISO to path on disk."""
        scratch, options, mbrid = self._scratch, self._options, self._identity.mbrid
        marker = scratch.write("mbrid", mbrid + "\n")
        files = {
            **{name: scratch.write(os.path.basename(name), content) for name, content in self._menus.items()},
            f"boot/{mbrid}": marker,
            layout.MBRID_FILE: marker,
            layout.DISK_INFO: scratch.write("disk-info", options.title + "\n"),
        }
        if "gfxterm" in options.output_console:
            files[FONT] = boot_loaders.FONT_FILE.require()
        if options.bios:
            image = scratch.path("eltorito.img")
            boot_loaders.make_bios_image(self._run, self._early, image)
            files[layout.bios_image_path(options.architecture)] = image
        return files

    def boot_sector(self) -> str:
        """The first sector, for booting as a disk."""
        content = boot_loaders.disk_boot_sector(self._options.bios, self._identity.number)
        return self._scratch.write("boot-sector", content)

    def efi_files(self) -> dict[str, str]:
        """Files of the EFI partition, empty without one: path in it to path on disk."""
        if not self._options.efi:
            return {}
        if self._options.firmware == "efi":
            image = self._scratch.path("bootx64.efi")
            boot_loaders.make_efi_image(self._run, self._early, image)
            self._scratch.set_date(image)
            return {f"{EFI_FOLDER}/BOOTX64.EFI": image}
        files = {
            f"{EFI_FOLDER}/{name}": self._scratch.copy(source.require())
            for name, source in boot_loaders.SIGNED_EFI.items()
        }
        # A signed GRUB cannot be given a script. It reads grub.cfg below its prefix on the partition that it came from,
        # or else beside itself.
        return {**files, layout.GRUB_CFG: self._early, f"{EFI_FOLDER}/grub.cfg": self._early}

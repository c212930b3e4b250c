# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boot loaders of a live ISO, taken from the packages of the build host. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import struct
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256, tree_content
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions

PREFIX = "/boot/grub"

_MENU_MODULES = (
    *("normal", "configfile", "search", "search_fs_file", "linux", "echo", "test", "regexp", "sleep", "minicmd"),
    *("iso9660", "part_gpt", "part_msdos", "chain", "boot", "serial", "terminal", "font", "gfxterm", "all_video"),
)
# Not needed by the menu; what somebody at GRUB's prompt wants for a repair.
_PROMPT_MODULES = ("ls", "cat", "help", "halt", "reboot", "loopback", "fat", "ext2")
BIOS_MODULES = (*_MENU_MODULES, *_PROMPT_MODULES, "biosdisk", "drivemap")
EFI_MODULES = (*_MENU_MODULES, *_PROMPT_MODULES, "efifwsetup")


@dataclasses.dataclass(frozen=True)
class Source:
    """A file or folder of a boot loader package.

    Attributes:
        role: what it is, for messages.
        candidates: where distributions put it; the first that exists is taken.
        package: Debian package that has it.
    """

    role: str
    candidates: tuple[str, ...]
    package: str

    def find(self) -> str | None:
        """Where it is on this host, or None."""
        return next((path for path in self.candidates if os.path.exists(path)), None)

    def require(self) -> str:
        """Where it is on this host; StageError naming the package when it is missing."""
        path = self.find()
        if path is None:
            raise StageError(
                f"{self.role} is missing on this build host (looked for {', '.join(self.candidates)}). "
                f"Install the Debian package {self.package} or run the role liveforge.images.build_host.",
                package=self.package,
            )
        return path


BIOS_FOLDER = Source("GRUB for PC BIOS", ("/usr/lib/grub/i386-pc",), "grub-pc-bin")
EFI_FOLDER = Source("GRUB for UEFI", ("/usr/lib/grub/x86_64-efi",), "grub-efi-amd64-bin")
FONT_FILE = Source("GRUB's font", ("/usr/share/grub/unicode.pf2",), "grub-common")
# Shim starts what its own vendor signed under these names (its DEFAULT_LOADER and its MokManager). GRUB must be the gcd
# build: it looks for its menu on removable media, not in the vendor's folder of an installed system.
SIGNED_EFI = {
    "BOOTX64.EFI": Source(
        "The signed shim",
        ("/usr/lib/shim/shimx64.efi.signed.latest", "/usr/lib/shim/shimx64.efi.signed"),
        "shim-signed",
    ),
    "grubx64.efi": Source(
        "The signed GRUB for removable media",
        ("/usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",),
        "grub-efi-amd64-signed",
    ),
    "mmx64.efi": Source(
        "The signed MokManager", ("/usr/lib/shim/mmx64.efi.signed", "/usr/lib/shim/mmx64.efi"), "shim-signed"
    ),
}


def sources(options: IsoOptions) -> dict[str, Source]:
    """Every boot loader source that these options need, by a short name."""
    needed = {}
    if options.bios:
        needed["bios"] = BIOS_FOLDER
    if options.firmware == "efi":
        needed["efi"] = EFI_FOLDER
    if options.firmware == "uefi":
        needed.update(SIGNED_EFI)
    if "gfxterm" in options.output_console:
        needed["font"] = FONT_FILE
    return needed


def source_digests(options: IsoOptions) -> dict[str, str | None]:
    """Content digests of the sources; None for one that is missing (a build then says so)."""
    found = {name: source.find() for name, source in sources(options).items()}
    return {name: _content(path) if path else None for name, path in found.items()}


def _content(path: str) -> str:
    return tree_content(path) if os.path.isdir(path) else file_sha256(path)


def make_bios_image(run: Runner, early: str, image: str) -> None:
    """Write the El Torito boot image ``image``: cdboot.img and a GRUB core that runs the script file ``early``."""
    _make_image(run, "i386-pc-eltorito", BIOS_FOLDER.require(), early, image, BIOS_MODULES)


def make_efi_image(run: Runner, early: str, image: str) -> None:
    """Write the unsigned EFI program ``image``: a GRUB that runs the script file ``early``."""
    _make_image(run, "x86_64-efi", EFI_FOLDER.require(), early, image, EFI_MODULES)


def _make_image(run: Runner, target: str, folder: str, early: str, image: str, modules: t.Sequence[str]) -> None:
    run.run(
        ["grub-mkimage", "-O", target, "-d", folder, "-p", PREFIX, "-c", early, "-o", image, *modules],
        task=f"making the GRUB image for {target}",
    )


def disk_boot_sector(bios: bool, signature: int) -> bytes:
    """The first sector for booting as a disk, before xorriso enters the image's address and the partition table.

    Args:
        bios: with GRUB's code for a PC BIOS.
        signature: 32-bit disk signature at byte 440 (UEFI specification, "Legacy Master Boot Record").
    """
    code = bytes(512)
    if bios:
        with open(os.path.join(BIOS_FOLDER.require(), "boot_hybrid.img"), "rb") as stream:
            code = stream.read(512)
    return code[:440] + struct.pack("<I", signature) + code[444:]

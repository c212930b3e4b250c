# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user's script that edits what an ISO will hold (KIWI's editbootconfig). Private to this collection.

KIWI runs it on the build host, in the root tree, with the folder of the medium as its argument. Here it sees the build
host's programs, the root tree, both read-only, and the folder of the medium, in which it may change everything. What it
leaves there is not trusted: nothing is read or written through a link.
"""

from __future__ import annotations

import os
import shutil
import stat
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import SEARCH_PATH, Runner
from ansible_collections.liveforge.images.plugins.module_utils._digest import walk
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso import layout
from ansible_collections.liveforge.images.plugins.module_utils._iso.inputs import no_directories
from ansible_collections.liveforge.images.plugins.module_utils._sandbox import OWN_HOST_NAME, capability_options

_ROOT = "/run/root"
_MEDIA = "/run/media"
_SCRIPT = "image/edit_boot_config.sh"
_HOST_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What programs need to run, and the defaults of those for menus, images and file systems. Nothing with secrets.
_HOST_SETTINGS = (
    "alternatives",
    "fonts",
    "group",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "mke2fs.conf",
    "nsswitch.conf",
    "passwd",
)
_EFI = "EFI/"
# Where scripts for SUSE's GRUB expect the menu.
_GRUB2 = "boot/grub2"


def command(root: str, media: str, script: str, source_date_epoch: int | None = None) -> list[str]:
    """The host command that runs ``script`` on the folder ``media``; ``root`` is the root tree."""
    line = ["bwrap", "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", *OWN_HOST_NAME]
    line += ["--unshare-net", *capability_options()]
    line += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run", "--tmpfs", "/tmp"]
    for path in (*_HOST_FOLDERS, *(f"/etc/{name}" for name in _HOST_SETTINGS)):
        line += ["--ro-bind-try", path, path]
    line += ["--dir", _ROOT]
    for name in sorted(os.listdir(root)):
        path = os.path.join(root, name)
        if name == _SCRIPT.partition("/")[0]:
            continue
        if os.path.islink(path):
            line += ["--symlink", os.readlink(path), f"{_ROOT}/{name}"]
        else:
            line += ["--ro-bind", path, f"{_ROOT}/{name}"]
    line += ["--ro-bind", script, f"{_ROOT}/{_SCRIPT}", "--bind", media, _MEDIA]
    line += ["--clearenv", "--setenv", "PATH", SEARCH_PATH, "--setenv", "HOME", "/tmp", "--setenv", "LC_ALL", "C.UTF-8"]
    if source_date_epoch is not None:
        line += ["--setenv", "SOURCE_DATE_EPOCH", str(source_date_epoch)]
    return [*line, "--setenv", "TZ", "UTC", "--chdir", _ROOT, "--", "bash", "--norc", _SCRIPT, f"iso:{_MEDIA}", "1"]


class EditedMedium:
    """The folder of a medium, before and after the script.

    Args:
        folder: an empty folder for it.
        files: path on the ISO to path on disk of the files that this collection puts there, without the large ones.
        efi_files: the same for the EFI partition; those below ``EFI/`` are in the folder, too, as KIWI has them there.
        large: paths on the ISO of kernel, initrd and squashfs, which are added later.
    """

    def __init__(
        self, folder: str, files: t.Mapping[str, str], efi_files: t.Mapping[str, str], large: t.Iterable[str]
    ) -> None:
        self.folder = folder
        self._efi_files = dict(efi_files)
        self._large = list(large)
        self._small = list(files)
        self._efi_names = [name for name in efi_files if name.startswith(_EFI)]
        self._users = {name for name, dummy in walk(folder)}
        for name, source in [*files.items(), *((name, efi_files[name]) for name in self._efi_names)]:
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(source, target)

    def edit(self, run: Runner, root: str, script: str) -> None:
        """Run the script; StageError when it fails, or when what it leaves makes no ISO."""
        alias = os.path.join(self.folder, _GRUB2)
        has_alias = not os.path.lexists(alias)
        if has_alias:
            os.symlink("grub", alias)
        run.run(command(root, self.folder, script, run.source_date_epoch), task="running edit_boot_config", hint=_cause)
        wrong = no_directories(self.folder, [*self._small, *self._efi_names, *self._large])
        if wrong:
            raise StageError(
                f"edit_boot_config left something else at {', '.join(wrong)}, which must be a directory, and no link "
                "to one. Change the files in it instead."
            )
        if has_alias and os.path.islink(alias):
            os.unlink(alias)
        missing = [name for name in self._small if not _is_plain_file(os.path.join(self.folder, name))]
        if missing:
            raise StageError(
                f"edit_boot_config removed {', '.join(missing)}, or put a link there, without which the ISO does not "
                "start or cannot be checked. Change the file instead."
            )
        taken = [name for name in self._large if os.path.lexists(os.path.join(self.folder, name))]
        if taken:
            raise StageError(
                f"edit_boot_config made {', '.join(taken)}. Kernel, initrd and squashfs are added after it, so "
                "it must leave them alone."
            )

    def take_efi_files(self) -> dict[str, str]:
        """Files of the EFI partition, as the script left them; they are no longer part of the folder."""
        found = {name: path for name, path in self._efi_files.items() if not name.startswith(_EFI)}
        apart = self.folder + ".efi"
        entries = list(walk(self.folder))
        for name, status in entries:
            if name.startswith(_EFI) and name not in self._users and stat.S_ISREG(status.st_mode):
                target = os.path.join(apart, name)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.rename(os.path.join(self.folder, name), target)
                found[name] = target
        # Folders that are empty now would be on the ISO. The deepest come first.
        for name, status in reversed(entries):
            path = os.path.join(self.folder, name)
            if f"{name}/".startswith(_EFI) and stat.S_ISDIR(status.st_mode) and not os.listdir(path):
                os.rmdir(path)
        return found


def _is_plain_file(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def _cause(output: str) -> str | None:
    if "Read-only file system" in output:
        return (
            f"It may write below {_MEDIA} only, the folder that its first argument names: the root tree is finished. "
            "Change the tree in a script of images_scripts."
        )
    if f"{_MEDIA}/{layout.SQUASHFS}" in output:
        return "The squashfs is added after this script."
    return None

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stage that writes the live ISO. Private to this collection."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import find_tool, tool_version
from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256, fingerprint
from ansible_collections.liveforge.images.plugins.module_utils._iso import layout
from ansible_collections.liveforge.images.plugins.module_utils._iso import loaders as boot_loaders
from ansible_collections.liveforge.images.plugins.module_utils._iso.esp import make_esp
from ansible_collections.liveforge.images.plugins.module_utils._iso.files import require_pycdlib
from ansible_collections.liveforge.images.plugins.module_utils._iso.inputs import (
    cdroot_files,
    require_boot,
    require_squashfs,
)
from ansible_collections.liveforge.images.plugins.module_utils._iso.inspect import esp_files, inspect
from ansible_collections.liveforge.images.plugins.module_utils._iso.media_tag import add_content_tag
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu import MenuEntry, menu_entries
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions
from ansible_collections.liveforge.images.plugins.module_utils._iso.parts import Parts, Scratch
from ansible_collections.liveforge.images.plugins.module_utils._iso.verify import ExpectedFile, require
from ansible_collections.liveforge.images.plugins.module_utils._publish import remove
from ansible_collections.liveforge.images.plugins.module_utils._stage import (
    Stage,
    Work,
    input_artifact,
    require_space,
)

# Boot loaders, EFI partition, directories: everything beside the inputs, generously.
_OVERHEAD = 64 << 20
_ARTIFACTS = ("boot", "squashfs", "cdroot")
# Tools that tell their version; of the others, the program itself is compared.
_VERSION_ARGUMENTS = {"xorriso": "-version", "grub-mkimage": "--version", "mcopy": "--version", "mmd": "--version"}


class LiveIsoStage(Stage):
    """Kernel, initrd and squashfs in, one hybrid ISO out.

    Args:
        output: path of the ISO.
        source_date_epoch: seconds since 1970 for every date on the ISO, or None for now.
        options: what the ISO is to be.
        boot: folder with the files ``linux`` and ``initrd``.
        squashfs: the image that becomes LiveOS/squashfs.img.
        cdroot: folder whose content goes to the root of the ISO, or None.
        foreseen: fingerprints by path that check mode foresees for inputs that are not built yet.
    """

    name = "live_iso"
    format_version = 2

    def __init__(
        self,
        output: str,
        source_date_epoch: int | None,
        options: IsoOptions,
        boot: str,
        squashfs: str,
        cdroot: str | None,
        foreseen: t.Mapping[str, str],
    ) -> None:
        super().__init__(output, source_date_epoch)
        self.options = options
        self.boot = boot
        self.squashfs = squashfs
        self.cdroot = cdroot
        self.foreseen = foreseen
        self._inputs: dict[str, t.Any] = {}

    @classmethod
    def from_parameters(cls, parameters: t.Mapping[str, t.Any]) -> LiveIsoStage:
        """The stage for a call of the module."""
        return cls(
            output=parameters["dest"],
            source_date_epoch=parameters["source_date_epoch"],
            options=IsoOptions.from_parameters(parameters),
            boot=parameters["boot"],
            squashfs=parameters["squashfs"],
            cdroot=parameters["cdroot"],
            foreseen=parameters["input_fingerprints"],
        )

    def validate(self) -> None:
        self.options.check()

    def reads(self) -> list[str]:
        return [self.boot, self.squashfs]

    def inputs(self) -> dict[str, t.Any]:
        artifacts = {"boot": self.boot, "squashfs": self.squashfs, "cdroot": self.cdroot}
        self._inputs = {
            "options": self.options.inputs(),
            **{name: input_artifact(path, self.foreseen) for name, path in artifacts.items() if path is not None},
            "boot_loaders": boot_loaders.source_digests(self.options),
            "tools": {name: _version(name) for name in self._tools()},
        }
        return self._inputs

    def preflight(self) -> None:
        require_pycdlib()
        require_boot(self.boot)
        require_squashfs(self.squashfs, self.options.features.filesystem)
        for source in boot_loaders.sources(self.options).values():
            source.require()
        for tool in self._tools():
            find_tool(tool)
        size = sum(os.path.getsize(path) for path in self._large_files().values())
        require_space(os.path.dirname(self.output), size + _OVERHEAD, "the ISO")

    def predicted(self) -> dict[str, t.Any]:
        volid = {"volid": self.options.volid}
        # Without the content of every input there is no identity yet, and so no label for dmsquash's store.
        if not all(len(self._inputs[name]["content"]) == 64 for name in _ARTIFACTS if name in self._inputs):
            return volid
        identity = self._identity()
        menu = menu_entries(self.options, identity.mbrid, identity.persistent_label)
        return {**volid, "mbrid": identity.mbrid, **_menu_facts(menu)}

    def build(self, work: Work) -> dict[str, t.Any]:
        folder = work.target + ".parts"
        remove(folder)
        os.mkdir(folder)
        try:
            return self._build(work, Scratch(folder, self.source_date_epoch))
        finally:
            remove(folder)

    def _build(self, work: Work, scratch: Scratch) -> dict[str, t.Any]:
        identity = self._identity()
        menu = menu_entries(self.options, identity.mbrid, identity.persistent_label)
        work.progress.step("reading the kernel and the initrd")
        expected = [ExpectedFile.of(name, path) for name, path in self._large_files().items()]
        work.progress.step("making boot loaders")
        parts = Parts(self.options, identity, menu, scratch, work.run)
        efi_files = parts.efi_files()
        files = {**parts.iso_files(), **self._large_files()}
        folder_files = cdroot_files(self.cdroot, files) if self.cdroot is not None else []
        content = layout.Content(
            files=files,
            folder=self.cdroot,
            boot_sector=parts.boot_sector(),
            order=scratch.write("order", layout.order_list(files, folder_files)),
            esp=scratch.path("esp.img") if efi_files else None,
        )
        if content.esp is not None:
            make_esp(work.run, content.esp, efi_files, identity.number, self.options.efifatimagesize)
        self._write(work, identity, content)
        work.progress.step("checking the ISO")
        report = inspect(work.target, digests=True)
        expected_esp = [ExpectedFile.of(name, path) for name, path in efi_files.items()]
        require(report, self.options, expected, menu, esp_files(work.target, report), expected_esp)
        return {
            "volid": self.options.volid,
            "mbrid": identity.mbrid,
            **_menu_facts(menu),
            "sha256": report["sha256"],
            "media_check": report["media_check"],
            "content_check": report["content_check"],
            "layout": {name: report[name] for name in ("el_torito", "partition_table", "boot_loaders")},
        }

    def _write(self, work: Work, identity: layout.Identity, content: layout.Content) -> None:
        work.progress.step("writing the ISO", 0)
        work.run.run(
            layout.xorriso_command(self.options, identity, content, work.target, self.source_date_epoch),
            task="writing the ISO",
            on_line=lambda line: _report(work, line),
            hint=layout.explain,
        )
        if self.options.mediacheck:
            # The last writer: any later change would break the digest.
            work.progress.step("adding the media check tag")
            work.run.run(["implantisomd5", "--force", work.target], task="adding the media check tag")
            if self.options.flags == "overlay":
                add_content_tag(work.target)

    def _identity(self) -> layout.Identity:
        """From what goes onto the ISO alone, so that the same content gets the same numbers wherever it was made."""
        inputs = self._inputs or self.inputs()
        kept = {name: value["content"] if name in _ARTIFACTS else value for name, value in inputs.items()}
        del kept["tools"]
        return layout.Identity.derive(fingerprint({**kept, "source_date_epoch": self.source_date_epoch}))

    def _large_files(self) -> dict[str, str]:
        architecture = self.options.architecture
        return {
            layout.kernel_path(architecture): os.path.join(self.boot, "linux"),
            layout.initrd_path(architecture): os.path.join(self.boot, "initrd"),
            layout.SQUASHFS: self.squashfs,
        }

    def _tools(self) -> list[str]:
        names = ["xorriso"]
        if self.options.bios or self.options.firmware == "efi":
            names.append("grub-mkimage")
        if self.options.efi:
            names += ["mkfs.vfat", "mmd", "mcopy"]
        if self.options.mediacheck:
            names.append("implantisomd5")
        return names


def _version(tool: str) -> str:
    if tool in _VERSION_ARGUMENTS:
        return tool_version(tool, _VERSION_ARGUMENTS[tool])
    return f"sha256:{file_sha256(find_tool(tool))}"


def _menu_facts(menu: t.Sequence[MenuEntry]) -> dict[str, t.Any]:
    return {
        "kernel_command_line": menu[0].kernel_command_line,
        "menu": [
            {"id": entry.id, "title": entry.title, "kernel_command_line": entry.kernel_command_line} for entry in menu
        ],
    }


def _report(work: Work, line: str) -> None:
    done = layout.percent(line)
    if done is not None:
        work.progress.step("writing the ISO", done)

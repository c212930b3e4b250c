# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stage that writes the live ISO. Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import find_tool, tool_version
from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256, fingerprint, walk
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso import another_menu, grub_template, layout
from ansible_collections.liveforge.images.plugins.module_utils._iso import loaders as boot_loaders
from ansible_collections.liveforge.images.plugins.module_utils._iso.edit_boot_config import EditedMedium
from ansible_collections.liveforge.images.plugins.module_utils._iso.esp import make_esp
from ansible_collections.liveforge.images.plugins.module_utils._iso.files import require_pycdlib
from ansible_collections.liveforge.images.plugins.module_utils._iso.inputs import (
    archive_size,
    cdroot_files,
    folder_content,
    folder_size,
    require_boot,
    require_folder,
    require_squashfs,
)
from ansible_collections.liveforge.images.plugins.module_utils._iso.inspect import esp_files, inspect, read_files
from ansible_collections.liveforge.images.plugins.module_utils._iso.media_tag import add_content_tag
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu import MenuEntry, menu_entries
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu_files import OPTIONS as MENU_OPTIONS
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu_files import filled_up, menu_files
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu_reader import read_menu
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions
from ansible_collections.liveforge.images.plugins.module_utils._iso.parts import Parts, Scratch
from ansible_collections.liveforge.images.plugins.module_utils._iso.verify import ExpectedFile, require, require_menus
from ansible_collections.liveforge.images.plugins.module_utils._layers import require_same_base, whole_tree
from ansible_collections.liveforge.images.plugins.module_utils._publish import flush, forget_unfinished, remove
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import (
    Shipped,
    forget_others,
    require_archives,
)
from ansible_collections.liveforge.images.plugins.module_utils._side_by_side import side_by_side
from ansible_collections.liveforge.images.plugins.module_utils._stage import (
    Stage,
    Work,
    input_artifact,
    require_space,
)
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp
from ansible_collections.liveforge.images.plugins.module_utils._text_option import text_of

# Boot loaders, EFI partition, directories: everything beside the inputs, generously.
_OVERHEAD = 64 << 20
_ARTIFACTS = ("boot", "squashfs", "base", "cdroot", "root", "base_root")
# Tools that tell their version; of the others, the program itself is compared.
_VERSION_ARGUMENTS = {
    "bwrap": "--version",
    "xorriso": "-version",
    "grub-mkimage": "--version",
    "mcopy": "--version",
    "mmd": "--version",
}


@dataclasses.dataclass(frozen=True)
class Additions:
    """What a user adds to the ISO.

    Attributes:
        cdroot: folder whose content goes to the root of the ISO, or None.
        archives: tar archives that are unpacked there.
        edit_boot_config: text of a script that edits the medium, or None.
        root: the root tree in which the script runs, or None.
        base_root: the tree below it when it is a layer, or None.
    """

    cdroot: str | None = None
    archives: tuple[Shipped, ...] = ()
    edit_boot_config: str | None = None
    root: str | None = None
    base_root: str | None = None

    @classmethod
    def from_parameters(cls, parameters: t.Mapping[str, t.Any]) -> Additions:
        """From a call of the module."""
        script = text_of(parameters, "edit_boot_config")
        return cls(
            cdroot=parameters["cdroot"],
            archives=tuple(
                Shipped.from_item(f"cdroot_archives[{index}]", item, parameters["dest"])
                for index, item in enumerate(parameters["cdroot_archives"])
            ),
            edit_boot_config=script,
            root=parameters["root"] if script is not None else None,
            base_root=parameters["base_root"] if script is not None else None,
        )

    def check(self) -> None:
        """Raise StageError when something is missing."""
        if self.edit_boot_config is not None and self.root is None:
            raise StageError("edit_boot_config needs root, the root tree in which the script runs.")


class LiveIsoStage(Stage):
    """Kernel, initrd and squashfs in, one hybrid ISO out.

    Args:
        output: path of the ISO.
        source_date_epoch: seconds since 1970 for every date on the ISO, or None for now.
        options: what the ISO is to be.
        boot: folder with the files ``linux`` and ``initrd``.
        squashfs: the image that becomes LiveOS/squashfs.img.
        base: the packed base, when that is a layer, or None.
        additions: what the user adds.
        foreseen: fingerprints by path that check mode foresees for inputs that are not built yet.
    """

    name = "live_iso"
    format_version = 3

    def __init__(
        self,
        output: str,
        source_date_epoch: int | None,
        options: IsoOptions,
        boot: str,
        squashfs: str,
        additions: Additions,
        foreseen: t.Mapping[str, str],
        base: str | None = None,
    ) -> None:
        super().__init__(output, source_date_epoch)
        self.options = options
        self.boot = boot
        self.squashfs = squashfs
        self.base = base
        self.additions = additions
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
            additions=Additions.from_parameters(parameters),
            foreseen=parameters["input_fingerprints"],
            base=parameters["base"],
        )

    def validate(self) -> None:
        self.options.check()
        self.additions.check()
        problems = list(grub_template.problems(self.options.grub_template or ""))
        if problems:
            raise StageError(" ".join(problems), problems=problems)

    def reads(self) -> list[str]:
        added = self.additions
        return [
            self.boot,
            self.squashfs,
            *(path for path in (self.base, added.root, added.base_root) if path is not None),
        ]

    def inputs(self) -> dict[str, t.Any]:
        added = self.additions
        artifacts = {
            "boot": self.boot,
            "squashfs": self.squashfs,
            "base": self.base,
            "root": added.root,
            "base_root": added.base_root,
        }
        self._inputs = {
            "options": self.options.inputs(),
            **{name: input_artifact(path, self.foreseen) for name, path in artifacts.items() if path is not None},
            "boot_loaders": boot_loaders.source_digests(self.options),
            "tools": {name: _version(name) for name in self._tools()},
        }
        # Options that few images have; an ISO without them has the fingerprint that it had before they existed.
        if added.cdroot is not None and os.path.isdir(added.cdroot):
            self._inputs["cdroot"] = {"content": folder_content(added.cdroot)}
        if added.archives:
            self._inputs["cdroot_archives"] = [archive.identity for archive in added.archives]
        if added.edit_boot_config is not None:
            self._inputs["edit_boot_config"] = hashlib.sha256(added.edit_boot_config.encode()).hexdigest()
        return self._inputs

    def preflight(self) -> None:
        require_pycdlib()
        require_archives(self.additions.archives)
        if self.additions.root is not None and not os.path.isdir(self.additions.root):
            raise StageError(f"root: {self.additions.root} does not exist. Build it with live_rootfs first.")
        if self.additions.cdroot is not None:
            require_folder("cdroot", self.additions.cdroot)
        require_boot(self.boot)
        require_squashfs(self.squashfs, self.options.features.filesystem)
        if self.base is not None:
            require_squashfs(self.base, "squashfs", "base")
            layer, below = Stamp.load(self.squashfs), Stamp.load(self.base)
            if layer is not None and below is not None:
                content = below.inputs["root"]["content"]
                require_same_base("base", self.base, layer.facts.get("base_content"), content)
        for source in boot_loaders.sources(self.options).values():
            source.require()
        for tool in self._tools():
            find_tool(tool)
        forget_unfinished(self.output)
        require_space(os.path.dirname(self.output), self._space(), "the ISO and what is made beside it meanwhile")

    def _space(self) -> int:
        """Bytes that a build takes at most."""
        added = self.additions
        unpacked = sum(archive_size(archive.source or archive.archive) for archive in added.archives)
        brought = unpacked + (folder_size(added.cdroot) if added.cdroot is not None else 0)
        # Archives on this host are copied before they are unpacked.
        copied = sum(os.path.getsize(archive.source) for archive in added.archives if archive.source is not None)
        if added.edit_boot_config is not None:
            copied += brought
        large = sum(os.path.getsize(path) for path in self._large_files().values())
        return large + brought + _OVERHEAD + unpacked + copied

    def predicted(self) -> dict[str, t.Any]:
        volid = {"volid": self.options.volid}
        # Without the content of every input there is no identity yet, and so no label for dmsquash's store.
        if not all(len(self._inputs[name]["content"]) == 64 for name in _ARTIFACTS if name in self._inputs):
            return volid
        identity = self._identity()
        known = {**volid, "mbrid": identity.mbrid}
        # What a script makes of the menu is known when it has run.
        if self.additions.edit_boot_config is not None:
            return known
        menu = menu_entries(self.options, identity.mbrid, identity.persistent_label)
        return {**known, **self._facts_of(menu, menu_files(self.options, identity, menu))}

    def _facts_of(self, menu: t.Sequence[MenuEntry], menus: t.Mapping[str, bytes]) -> dict[str, t.Any]:
        """What the menu starts: our entries, or what a template makes of its own."""
        if self.options.grub_template is None:
            return _menu_facts(menu)
        return _own_menu_facts(menus[layout.GRUB_CFG].decode())

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
        menus = menu_files(self.options, identity, menu)
        if self._can_change_its_menu():
            menus = {name: filled_up(content) for name, content in menus.items()}
        known = self._with_another_menu(work, identity, menu, menus)
        if known is not None:
            return known
        work.progress.step("reading the kernel and the initrd")
        expected = [ExpectedFile.of(name, path) for name, path in self._large_files().items()]
        work.progress.step("making boot loaders")
        parts = Parts(self.options, identity, menus, scratch, work.run)
        efi_files = parts.efi_files()
        files = parts.iso_files()
        names = [*files]
        if self.additions.edit_boot_config is not None:
            # The script finds them beside the user's.
            names += [name for name in efi_files if name.startswith("EFI/")]
        folders = self._folders(work, scratch, names)
        own_menu = None
        if self.additions.edit_boot_config is not None:
            work.progress.step("running edit_boot_config")
            folder, efi_files = self._edited(work, scratch, folders, files, efi_files)
            written = {name: os.path.join(folder, name) for name in menus}
            folders, files = [folder], {}
        else:
            written = {name: files[name] for name in menus}
        if self.additions.edit_boot_config is not None or self.options.grub_template is not None:
            expected += [ExpectedFile.of(name, path) for name, path in written.items()]
            own_menu = _text(written[layout.GRUB_CFG])
        files = {**files, **self._large_files()}
        content = layout.Content(
            files=files,
            folders=folders,
            boot_sector=parts.boot_sector(),
            order=scratch.write("order", layout.order_list(files, _regular_files(folders))),
            esp=scratch.path("esp.img") if efi_files else None,
        )
        if content.esp is not None:
            make_esp(work.run, content.esp, efi_files, identity.number, self.options.efifatimagesize)
        self._write(work, identity, content)
        work.progress.step("checking the ISO")
        # Publishing would wait for the disk; here something is done meanwhile.
        report, dummy = side_by_side(lambda: inspect(work.target, digests=True), lambda: flush(work.target))
        expected_esp = [ExpectedFile.of(name, path) for name, path in efi_files.items()]
        others = {}
        if own_menu is not None:
            roots = (layout.SQUASHFS, layout.BASE)
            others = read_files(work.target, [file.path for file in expected if file.path not in roots])
        require(
            report,
            self.options,
            expected,
            menu if own_menu is None else None,
            esp_files(work.target, report),
            expected_esp,
            others,
        )
        forget_others(self.output, self.additions.archives)
        work.content = report["sha256"]
        return {
            "volid": self.options.volid,
            "mbrid": identity.mbrid,
            **(_menu_facts(menu) if own_menu is None else _own_menu_facts(own_menu)),
            "sha256": report["sha256"],
            "media_check": report["media_check"],
            "content_check": report["content_check"],
            "layout": {name: report[name] for name in ("el_torito", "partition_table", "boot_loaders")},
        }

    def _can_change_its_menu(self) -> bool:
        # A media check tag depends on every byte, and a script may do anything with the menu.
        return not self.options.mediacheck and self.additions.edit_boot_config is None

    def _with_another_menu(
        self,
        work: Work,
        identity: layout.Identity,
        menu: t.Sequence[MenuEntry],
        menus: t.Mapping[str, bytes],
    ) -> dict[str, t.Any] | None:
        """The facts, when the ISO could be made from the last one, in which the menu alone is another; else None."""
        if work.former is None or not self._can_change_its_menu() or not another_menu.is_all_that_changed(work):
            return None
        # An input that is gone is no change, but makes another number.
        if work.former.facts["mbrid"] != identity.mbrid:
            return None
        sha256 = another_menu.write(work, self.output, menus)
        if sha256 is None:
            work.run.note("The last ISO cannot be taken for it, so it is written anew.")
            remove(work.target)
            return None
        if self.options.grub_template is None:
            require_menus(inspect(work.target), menu)
        work.content = sha256
        return {**work.former.facts, **self._facts_of(menu, menus), "sha256": sha256}

    def _folders(self, work: Work, scratch: Scratch, files: t.Iterable[str]) -> list[str]:
        """Folders whose content goes to the root of the ISO: the user's own, and what was in the archives."""
        taken = [*files, *self._large_files()]
        folders = []
        if self.additions.cdroot is not None:
            taken += cdroot_files(self.additions.cdroot, taken)
            folders.append(self.additions.cdroot)
        if self.additions.archives:
            folder = scratch.path("cdroot")
            os.mkdir(folder)
            for archive in self.additions.archives:
                self._unpack(work, archive, scratch.path("archive"), folder)
            cdroot_files(folder, taken, "cdroot_archives")
            folders.append(folder)
        return folders

    def _unpack(self, work: Work, archive: Shipped, apart: str, folder: str) -> None:
        """Unpack an archive over what others left in ``folder``; their links lead nowhere."""
        os.mkdir(apart)
        work.run.run(
            ["tar", "--extract", f"--file={archive.open()}", f"--directory={apart}", "--no-same-owner"],
            task=f"unpacking {archive.option}",
        )
        # tar would follow a link to a directory that an earlier archive brought. cp refuses that, and replaces links
        # to files; the files themselves only get a second name, and lose the first.
        work.run.run(
            ["cp", "--archive", "--link", "--remove-destination", f"{apart}/.", folder],
            task=f"putting the content of {archive.option} beside that of the archives before",
            hint=lambda output: (
                "One archive has a directory where another one has a file or link. Change one of them."
                if "cannot overwrite" in output
                else None
            ),
        )
        remove(apart)

    def _edited(
        self,
        work: Work,
        scratch: Scratch,
        folders: t.Sequence[str],
        files: t.Mapping[str, str],
        efi_files: t.Mapping[str, str],
    ) -> tuple[str, dict[str, str]]:
        """The folder of the medium, and the files of the EFI partition, as the user's script leaves them."""
        media = scratch.path("media")
        os.mkdir(media)
        for folder in folders:
            work.run.run(
                # What is there already may be a link.
                ["cp", "--archive", "--reflink=auto", "--remove-destination", f"{folder}/.", media],
                task=f"copying {folder} for edit_boot_config",
            )
        medium = EditedMedium(media, files, efi_files, self._large_files())
        script = scratch.write("edit_boot_config.sh", self.additions.edit_boot_config or "")
        with whole_tree(self.output, self.additions.root or "", self.additions.base_root) as root:
            medium.edit(work.run, root, script)
        efi_files = medium.take_efi_files()
        for path in (*efi_files.values(), *(os.path.join(media, name) for name in _regular_files([media]))):
            scratch.set_date(path)
        return media, efi_files

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
        # The numbers name the system on a medium. They stand in boot loaders, too, which a changed menu leaves alone.
        kept["options"] = {name: value for name, value in kept["options"].items() if name not in MENU_OPTIONS}
        return layout.Identity.derive(fingerprint({**kept, "source_date_epoch": self.source_date_epoch}))

    def _large_files(self) -> dict[str, str]:
        architecture = self.options.architecture
        return {
            layout.kernel_path(architecture): os.path.join(self.boot, "linux"),
            layout.initrd_path(architecture): os.path.join(self.boot, "initrd"),
            layout.SQUASHFS: self.squashfs,
            **({layout.BASE: self.base} if self.base is not None else {}),
        }

    def _tools(self) -> list[str]:
        names = ["xorriso"]
        if self.options.bios or self.options.firmware == "efi":
            names.append("grub-mkimage")
        if self.options.efi:
            names += ["mkfs.vfat", "mmd", "mcopy"]
        if self.options.mediacheck:
            names.append("implantisomd5")
        if self.additions.edit_boot_config is not None:
            names.append("bwrap")
        return names


def _version(tool: str) -> str:
    if tool in _VERSION_ARGUMENTS:
        return tool_version(tool, _VERSION_ARGUMENTS[tool])
    return f"sha256:{file_sha256(find_tool(tool))}"


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _regular_files(folders: t.Iterable[str]) -> list[str]:
    return [name for folder in folders for name, status in walk(folder) if stat.S_ISREG(status.st_mode)]


def _own_menu_facts(text: str) -> dict[str, t.Any]:
    """What a menu of the user's own starts, as far as it can be read without running it."""
    entries = [entry for entry in read_menu(text) if entry["kernel"]]
    return {
        "kernel_command_line": entries[0]["kernel_command_line"] if entries else None,
        "menu": [{name: entry[name] for name in ("id", "title", "kernel_command_line")} for entry in entries],
    }


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

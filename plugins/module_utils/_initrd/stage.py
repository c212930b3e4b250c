# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel and initrd of an image, by the image's own dracut. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
import shutil
import stat
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import find_tool, tool_version
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._initrd.dracut import DracutPlan, InitrdContent
from ansible_collections.liveforge.images.plugins.module_utils._layers import (
    base_content,
    require_same_base,
    whole_tree,
)
from ansible_collections.liveforge.images.plugins.module_utils._live import dmsquash
from ansible_collections.liveforge.images.plugins.module_utils._publish import remove
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import image_path
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import (
    Shipped,
    forget_others,
    require_archives,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.tree import kernel_versions
from ansible_collections.liveforge.images.plugins.module_utils._sandbox import Sandbox
from ansible_collections.liveforge.images.plugins.module_utils._stage import (
    Stage,
    Work,
    input_artifact,
    require_space,
)
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp

# Where the image's file system of dracut modules and the result appear inside the sandbox.
_MODULES = "usr/lib/dracut"
_RESULT = "/run/liveforge"
# dracut reads its files in the order of their names, and this one looks at what the others say.
_CONFIGURATION = "zz-live-image.conf"
_LEAST_BYTES = 300_000_000
LIVE_OVERLAY_FOLDER = "90live-overlay"


@dataclasses.dataclass(frozen=True)
class DracutModule:
    """A dracut module that is not part of the image: a folder such as ``90live-overlay``."""

    folder: str
    shipped: Shipped


class Initrd(Stage):
    """Makes a folder with ``linux`` and ``initrd`` from a root tree, which is only read.

    Args:
        output: the folder.
        root: the root tree.
        plan: what dracut shall put into the initrd.
        kernel: version to use when several are installed; None takes the newest.
        own_modules: dracut modules to add to those of the image.
        predicted: boot fingerprints by path that check mode foresees for the root tree.
        base: the tree below ``root`` when that is a layer, or None.
    """

    name = "live_dracut"
    format_version = 4

    def __init__(
        self,
        output: str,
        *,
        root: str,
        plan: DracutPlan,
        kernel: str | None,
        own_modules: t.Sequence[DracutModule],
        predicted: t.Mapping[str, str],
        source_date_epoch: int | None,
        base: str | None = None,
    ) -> None:
        super().__init__(output, source_date_epoch)
        self.root = root
        self.base = base
        # Where the whole tree is seen.
        self._tree = root
        self.plan = plan
        self.kernel = kernel
        self.own_modules = list(own_modules)
        self.predicted_fingerprints = predicted

    def validate(self) -> None:
        self.plan.validate()

    def reads(self) -> list[str]:
        return [self.root, *([self.base] if self.base is not None else [])]

    def inputs(self) -> dict[str, t.Any]:
        found = {
            "root": input_artifact(self.root, self.predicted_fingerprints, fact=self._part_of_root()),
            "kernel": self.kernel or "newest",
            "own_modules": {module.folder: dict(module.shipped.entries) for module in self.own_modules},
            "tools": {"bwrap": tool_version("bwrap")},
            **self.plan.inputs(),
        }
        if self.base is not None:
            # What of the base matters for booting is known with the layer.
            part = self._part_of_root()
            found["base"] = True if part else input_artifact(self.base, self.predicted_fingerprints)
        return found

    def _part_of_root(self) -> str:
        """The part of the tree that the initrd depends on: modules of the user's own may read anything."""
        own = [module for module in self.own_modules if module.folder != LIVE_OVERLAY_FOLDER]
        return "" if own or self.plan.modules else "boot_"

    def preflight(self) -> None:
        if os.geteuid() != 0:
            raise StageError("The initrd is made as root: run the task with become: true.")
        find_tool("bwrap")
        require_archives(module.shipped for module in self.own_modules)
        for option, path in (("root", self.root), ("base", self.base)):
            if path is not None and not os.path.isdir(path):
                raise StageError(f"{option}: {path} does not exist. Build it with live_rootfs first.")
        if self.base is not None:
            below = Stamp.load(self.base)
            content = below.output["content"] if below is not None else None
            require_same_base("base", self.base, base_content(self.root), content)
        with whole_tree(self.output, self.root, self.base) as root:
            self._tree = root
            if not image_path.exists(root, f"{_MODULES}/modules.d"):
                raise StageError(
                    f"root: {self.root} has no dracut. Add the package dracut to the packages of the image."
                )
            self._kernel_version()
            self.plan = dataclasses.replace(self.plan, dracut=_number(dracut_version(root)))
            self.plan.require(root)
        require_space(os.path.dirname(self.output), _LEAST_BYTES, "kernel and initrd")

    def build(self, work: Work) -> dict[str, t.Any]:
        with whole_tree(self.output, self.root, self.base) as self._tree:
            return self._build(work)

    def _build(self, work: Work) -> dict[str, t.Any]:
        version = self._kernel_version()
        os.mkdir(work.target, 0o755)
        modules, result = (os.path.join(work.target, name) for name in (".dracut", ".result"))
        os.mkdir(result, 0o755)
        try:
            self._collect_modules(modules, work)
            sandbox = Sandbox(
                self._tree,
                binds=((modules, f"/{_MODULES}", False), (result, _RESULT, True)),
                environment=self._epoch(),
            )
            work.progress.step(f"running dracut for kernel {version}")
            work.run.run(
                sandbox.command(self.plan.command(version, f"{_RESULT}/initrd", _RESULT)),
                task=f"making the initrd for kernel {version}",
                on_line=lambda line: self._progress(work, version, line),
                hint=_cause,
            )
            work.progress.step("checking the initrd")
            listing = work.run.run(sandbox.command(["lsinitrd", f"{_RESULT}/initrd"]), task="listing the initrd")
            content = InitrdContent.from_listing(listing)
            self.plan.check(content, _builtin_drivers(self._tree, version))
            _take(os.path.join(result, "initrd"), os.path.join(work.target, "initrd"))
        finally:
            remove(modules)
            remove(result)
        kernel = _kernel_image(self._tree, version)
        with open(kernel, "rb") as source, open(os.path.join(work.target, "linux"), "xb") as target:
            shutil.copyfileobj(source, target)
        for name in ("linux", "initrd"):
            # Readable for servers that hand them out for network boots.
            os.chmod(os.path.join(work.target, name), 0o644)
        forget_others(self.output, [module.shipped for module in self.own_modules])
        return {
            "kernel_version": version,
            "dracut_version": dracut_version(self._tree),
            "dracut_modules": sorted(content.modules),
            "kernel_size": os.path.getsize(os.path.join(work.target, "linux")),
            "initrd_size": os.path.getsize(os.path.join(work.target, "initrd")),
        }

    def _collect_modules(self, folder: str, work: Work) -> None:
        """The image's dracut with our modules added, in a copy: the tree itself stays as it is."""
        os.mkdir(folder, 0o755)
        work.run.run(
            ["cp", "--archive", "--reflink=auto", f"{image_path.host_path(self._tree, _MODULES)}/.", folder],
            task="copying dracut of the image",
        )
        # What follows writes below them, and whatever the image has there leads somewhere on this host.
        for name in ("modules.d", *(f"modules.d/{module.folder}" for module in self.own_modules), "dracut.conf.d"):
            path = os.path.join(folder, name)
            if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
                raise StageError(
                    f"root: /{_MODULES}/{name} in {self.root} must be a directory, and no link to one. Correct it in "
                    "the package or script that put it there."
                )
        for module in self.own_modules:
            target = os.path.join(folder, "modules.d", module.folder)
            os.makedirs(target, exist_ok=True)
            work.run.run(
                ["tar", "--extract", f"--file={module.shipped.open()}", f"--directory={target}", "--no-same-owner"],
                task=f"unpacking the dracut module {module.folder}",
            )
        if self.plan.features.flags == "dmsquash" and self.plan.dracut is not None:
            for reason in dmsquash.repair(folder, self.plan.dracut):
                work.run.note(f"Mended in this initrd: {reason}")
        # dracut.conf(5): the folder for packages, which /etc/dracut.conf.d overrides.
        os.makedirs(os.path.join(folder, "dracut.conf.d"), exist_ok=True)
        path = os.path.join(folder, "dracut.conf.d", _CONFIGURATION)
        remove(path)
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(self.plan.configuration())

    def _epoch(self) -> dict[str, str]:
        return {} if self.source_date_epoch is None else {"SOURCE_DATE_EPOCH": str(self.source_date_epoch)}

    def _progress(self, work: Work, version: str, line: str) -> None:
        step = re.search(
            r"\*\*\* (Including module: \S+|Creating|Stripping|Installing kernel module|Hardlinking)", line
        )
        if step:
            what = step.group(1).replace("Including module: ", "module ").lower()
            work.progress.step(f"running dracut for kernel {version}: {what}")

    def _kernel_version(self) -> str:
        installed = kernel_versions(self._tree)
        if not installed:
            raise StageError(
                f"root: {self.root} has no kernel modules. "
                "Add a kernel (linux-image-amd64) to the packages of the image."
            )
        if self.kernel is None:
            return max(installed, key=_version_order)
        if self.kernel not in installed:
            raise StageError(
                f"kernel: {self.kernel} is not installed in {self.root}. Installed: {', '.join(installed)}. "
                "Choose one of these, or leave kernel out for the newest."
            )
        return self.kernel


def _take(made: str, target: str) -> None:
    """Move the initrd to where no program of the image can exchange it any more, and only then see what it is."""
    os.rename(made, target)
    if not stat.S_ISREG(os.lstat(target).st_mode):
        raise StageError(
            "dracut of the image made an initrd that is no plain file. See which dracut module or configuration of the "
            "image does that."
        )


def dracut_version(root: str) -> str:
    """Version of the dracut in a tree, such as ``059-4``; newer packages of Debian have no file that tells it."""
    for path, pattern in (
        (f"{_MODULES}/dracut-version.sh", r"DRACUT_VERSION=[\"']?([^\"'\s]+)"),
        ("var/lib/dpkg/status", r"^Package: dracut-core\n(?:(?!Version:).+\n)*Version: (\S+)"),
    ):
        found = re.search(pattern, image_path.read_text(root, path) or "", re.MULTILINE)
        if found:
            return found.group(1)
    return "unknown"


def _number(version: str) -> int | None:
    """The number that counts in a version of dracut: 59 in ``059-4``."""
    found = re.match(r"\d+", version)
    return int(found.group()) if found else None


def _version_order(version: str) -> list[tuple[int, int | str]]:
    """Sort key for kernel versions: numbers count as numbers, so that 6.10 comes after 6.9."""
    return [(1, int(part)) if part.isdigit() else (0, part) for part in re.findall(r"\d+|[^\d]+", version)]


def _kernel_image(root: str, version: str) -> str:
    for relative in (
        f"boot/vmlinuz-{version}",
        f"usr/lib/modules/{version}/vmlinuz",
        f"lib/modules/{version}/vmlinuz",
        f"boot/Image-{version}",
    ):
        path = image_path.host_file(root, relative)
        if path is not None:
            return path
    raise StageError(f"root: {root} has modules of kernel {version}, but no boot/vmlinuz-{version}.")


def _builtin_drivers(root: str, version: str) -> set[str]:
    """Names of drivers that are part of the kernel image itself (modules.builtin, depmod.d(5))."""
    for prefix in ("usr/lib/modules", "lib/modules"):
        text = image_path.read_text(root, f"{prefix}/{version}/modules.builtin")
        if text is not None:
            return {re.sub(r"\.ko.*", "", posixpath.basename(line)).replace("-", "_") for line in text.split()}
    return set()


def _cause(output: str) -> str | None:
    missing = re.findall(r"dracut.*: (?:Module|dracut module) '([^']+)' cannot be found", output)
    if missing:
        return (
            f"dracut in the image has no module {', '.join(sorted(set(missing)))}. "
            "Install the package that has it, or bring it with dracut_modules."
        )
    failed = re.search(r"dracut module '([^']+)' (?:will not|cannot) be installed[^\n]*", output)
    if failed:
        return f"{failed.group(0)}. Add what it needs to the packages of the image."
    return None

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root tree of an image: installed packages, configured. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import find_tool, tool_version
from ansible_collections.liveforge.images.plugins.module_utils._digest import fingerprint, tree_contents, walk
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._layers import reduce_layer, stacked
from ansible_collections.liveforge.images.plugins.module_utils._publish import remove, scratch_folder
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import (
    first_boot,
    image_path,
    kept_tree,
    kiwi_interface,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.boot_places import is_boot_place
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.configure import Configurator, offline_sandbox
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.declaration import Declaration
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.layer_packages import LayerPackages
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_cache import PACKED_COPY
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.packaged_places import packaged_places
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.packages import PackageTree
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import Repository, preferences
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.scripts import Script, run_script
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import (
    Shipped,
    forget_others,
    require_archives,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.successors import Space, Successor, space_for
from ansible_collections.liveforge.images.plugins.module_utils._sandbox import Sandbox
from ansible_collections.liveforge.images.plugins.module_utils._stage import (
    Outcome,
    Stage,
    StageRun,
    Work,
    disk_usage,
    former_size,
    require_space,
)
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp

# Hardly a tree with a kernel is smaller. apt says more, as soon as it knows the package lists.
_LEAST_BYTES = 300_000_000
# What apt and dpkg need besides the tree that they make: package lists, and an index of these.
_LISTS_BYTES = 150_000_000


class RootTree(Stage):
    """Configures a tree of packages, which are installed first, when that was not done before.

    Both are stages: changing an overlay file unpacks and configures the packages again, but installs nothing again.

    With a base, the output is a layer: what the configured system has that the base has not. The base is only read.

    Args:
        output: the tree.
        packages: the stage of the package tree, or of the packages that a layer adds to its base; it has to make its
            tree where this one builds.
        declaration: what the system shall be.
        package_sources: the repositories that the image keeps.
        successors: what later stages make of the tree beside it; the space for it is looked for before anything is
            installed.
        force: whether the packages are installed again even when nothing changed.
        lock_timeout: seconds to wait for another build of the package tree.
    """

    name = "live_rootfs"
    format_version = 7

    def __init__(
        self,
        output: str,
        packages: PackageTree | LayerPackages,
        declaration: Declaration,
        package_sources: t.Sequence[Repository],
        *,
        successors: t.Sequence[Successor] = (),
        force: bool,
        lock_timeout: float,
    ) -> None:
        super().__init__(output, packages.source_date_epoch)
        self.packages = packages
        self.declaration = declaration
        self.package_sources = list(package_sources)
        self.successors = list(successors)
        self._force = force
        self._force_packages = False
        self._lock_timeout = lock_timeout
        self._made_room: list[str] = []

    def validate(self) -> None:
        self.packages.validate()
        self.declaration.validate()

    def reads(self) -> list[str]:
        return [self.packages.base] if isinstance(self.packages, LayerPackages) else []

    def inputs(self) -> dict[str, t.Any]:
        return {
            **self.packages.inputs(),
            **self.declaration.inputs(),
            "packages_format_version": self.packages.format_version,
            "package_sources": {repository.name: _source_inputs(repository) for repository in self.package_sources},
            "tools": {**self.packages.inputs()["tools"], "bwrap": tool_version("bwrap")},
        }

    def predicted(self) -> dict[str, t.Any]:
        return {"boot_fingerprint": self._boot_fingerprint()}

    def preflight(self) -> None:
        if self.source_date_epoch is not None and self.source_date_epoch > time.time():
            raise StageError(
                f"source_date_epoch: {self.source_date_epoch} is later than the clock of the build host "
                f"({time.time():.0f}), so files would keep the times at which they were written, which are others in "
                "every build. Choose a time in the past, or set the clock."
            )
        require_archives(self._shipped())
        self.packages.preflight()
        find_tool("bwrap")
        # A first build that failed goes on with the packages that it had. Known before room is made, and after it, too:
        # a forced build that failed without its former tree must not take old packages the next time.
        was_built = os.path.lexists(self.output) or Stamp.load(self.output) is not None
        self._force_packages = self._force and was_built
        self._require_space()

    def _require_space(self) -> None:
        """The former tree stays until the new one is whole, unless there is no room for both."""
        folder = os.path.dirname(self.output)
        tree = needed = max(former_size(self.output) or 0, self._installed_size() + self._shipped_size())
        what = "the root tree"
        replaced = [self.output]
        if self._packages_run().decide().changed:
            kept = former_size(self.packages.output) or int((PACKED_COPY - 1) * self._installed_size())
            needed += max(kept, self._lists_size())
            what = "the root tree and the packed tree of its packages"
            replaced.append(self.packages.output)
        later = space_for(self.successors).beside(tree)
        # By then, what is replaced is gone.
        beyond = needed + later - sum(former_size(path) or 0 for path in replaced if os.path.lexists(path))
        require_space(folder, beyond, f"{what} and what is made of it, beyond the place of the last ones")
        # Not the packages: without these, and with a mirror that cannot be reached, nothing could be built any more.
        self._made_room = require_space(folder, needed, what, [self.output])

    def _note_room(self, work: Work, gone: t.Sequence[str]) -> None:
        for path in gone:
            work.run.note(f"{path} was removed before, since there was no room for it and its successor")

    def _installed_size(self) -> int:
        """Bytes of the packages, as far as the last build tells."""
        stamp = Stamp.load(self.packages.output)
        if stamp is not None:
            return int(stamp.facts["tree_size"] * 1.1)
        return 0 if isinstance(self.packages, LayerPackages) else _LEAST_BYTES

    def _lists_size(self) -> int:
        """Bytes that apt needs for its lists; an image that adds no package to its base needs no lists."""
        return 0 if isinstance(self.packages, LayerPackages) and not self.packages.packages else _LISTS_BYTES

    def _shipped_size(self) -> int:
        """Bytes of overlays and archives, packed as some of them are."""
        archives = {item.archive for item in self.declaration.shipped() if os.path.exists(item.archive)}
        return sum(disk_usage(archive) for archive in archives)

    def build(self, work: Work) -> dict[str, t.Any]:
        self._note_room(work, self._made_room)
        self._build_packages(work)
        if not os.path.isdir(work.target):
            work.progress.step("unpacking the package tree")
            kept_tree.unpack(self.packages.output, work.target, work.run)
        if isinstance(self.packages, LayerPackages):
            with stacked(self.output, [self.packages.base], upper=work.target) as root:
                facts = self._finish(work, root)
                is_packaged = packaged_places(root)
            reduce_layer(work.target, self.packages.base)
        else:
            facts = self._finish(work, work.target)
            is_packaged = packaged_places(work.target)
        if self.source_date_epoch is not None:
            limit_times(work.target, self.source_date_epoch)
        forget_others(self.output, self._shipped())
        work.progress.step("reading the finished tree")
        work.content, boot_content, packaged = tree_contents(work.target, [None, is_boot_place, is_packaged])
        if isinstance(self.packages, LayerPackages):
            boot_content = fingerprint([self.packages.base_artifact("boot_")["content"], boot_content])
        return {
            "boot_fingerprint": self._boot_fingerprint(),
            "boot_content": boot_content,
            "packaged_content": packaged,
            "packages_content": self._packages_content(),
            **facts,
        }

    def _finish(self, work: Work, root: str) -> dict[str, t.Any]:
        """Configure the tree at ``root``, and return what can be known of it only there."""
        self._configure(work, root)
        return {"packages": self._installed(work, root), "kernels": kernel_versions(root)}

    def _build_packages(self, work: Work) -> None:
        run = self._packages_run()
        run.progress = work.progress
        # What was built before leaves enough, which is known by now: later stages replace what is as large.
        self.packages.later = Space() if Stamp.load(self.packages.output) is not None else space_for(self.successors)
        try:
            outcome: Outcome = run.execute()
        except StageError as problem:
            expendable = [self.output, self.packages.output]
            if "needed" not in problem.details or not any(map(os.path.lexists, expendable)):
                raise
            # Only apt knows that there will be more than there was. It has reached its mirror by then.
            remove(work.target)
            needed = problem.details["needed"] + self._lists_size()
            what = "the packages as large as apt says, and a packed copy of them"
            gone = require_space(os.path.dirname(self.output), needed, what, expendable)
            if not gone:
                raise
            self._note_room(work, gone)
            outcome = run.execute()
        work.run.note(f"packages: {outcome.reason}")

    def _packages_content(self) -> str | None:
        stamp = Stamp.load(self.packages.output)
        return stamp.output["content"] if stamp is not None else None

    def _packages_run(self) -> StageRun:
        return StageRun(self.packages, force=self._force_packages, lock_timeout=self._lock_timeout)

    def _configure(self, work: Work, root: str) -> None:
        declared = self.declaration
        configure = Configurator(work, root, self.source_date_epoch)
        if not isinstance(self.packages, LayerPackages):
            # First what nobody declared in so many words, so that overlays and files win over it. With a base, these
            # are those of the base too.
            first_boot.forget_host(root)
            self._package_sources(configure, root)
        configure.hostname(declared.hostname)
        for tree in declared.trees:
            work.progress.step(f"unpacking {tree.shipped.option}")
            configure.unpack(tree)
        work.progress.step("configuring the system")
        if declared.locale:
            configure.locale(declared.locale)
        if declared.keymap:
            configure.keymap(declared.keymap)
        if declared.timezone:
            configure.timezone(declared.timezone)
        for group in declared.groups:
            configure.group(group)
        for user in declared.users:
            configure.user(user)
        for file in declared.files:
            configure.file(file)
        configure.services(declared.services)
        kiwi = declared.kiwi if declared.all_scripts() else None
        if kiwi is not None:
            self._require_bash(root)
            kiwi.install(root, declared.all_scripts())
        self._run_scripts(work, root, declared.scripts)
        if declared.packages_remove or declared.packages_delete:
            work.progress.step("removing packages")
        if declared.packages_remove:
            configure.remove_packages(declared.packages_remove, must_be_installed=declared.kiwi is None)
        if declared.packages_delete:
            configure.delete_packages(declared.packages_delete)
        self._run_scripts(work, root, declared.images_scripts)
        if kiwi is not None:
            kiwi.uninstall(root)
        first_boot.prepare(configure, root)

    def _run_scripts(self, work: Work, root: str, scripts: t.Sequence[Script]) -> None:
        if not scripts:
            return
        sandbox = offline_sandbox(root, self.source_date_epoch)
        kiwi = self.declaration.kiwi
        if kiwi is not None:
            sandbox = dataclasses.replace(sandbox, environment={**sandbox.environment, **kiwi.profile})
            for script in scripts:
                work.progress.step(f"running {script.option}")
                work.run.run(
                    sandbox.command(kiwi_interface.command(script)),
                    task=f"running {script.option} ({kiwi_interface.file_name(script)}) inside the root tree",
                )
            return
        folder = scratch_folder(self.output, "scripts")
        try:
            for script in scripts:
                work.progress.step(f"running {script.option}")
                run_script(work, script, sandbox, folder)
        finally:
            remove(folder)

    def _require_bash(self, root: str) -> None:
        if not any(image_path.exists(root, path, follow=False) for path in ("bin/bash", "usr/bin/bash")):
            raise StageError("kiwi_profile: scripts of KIWI descriptions need bash in the image. Add it to packages.")

    def _package_sources(self, configure: Configurator, root: str) -> None:
        """Leave the image with the repositories it shall keep, and their keys."""
        kept = self.package_sources
        first_boot.forget_package_sources(root)
        if preferences(kept):
            configure.write("/etc/apt/preferences.d/00-image-repositories", preferences(kept).encode())
        for repository in kept:
            keys = repository.keyring_in_image(root)
            if keys is not None and keys[1]:
                configure.write(*keys)
            stanza = repository.sources(keys[0] if keys is not None else None)
            configure.write(f"/etc/apt/sources.list.d/{repository.name}.sources", stanza.encode())

    def _installed(self, work: Work, root: str) -> dict[str, str]:
        """Name and version of every installed package."""
        listing = work.run.run(
            Sandbox(root).command(["dpkg-query", "--show", "--showformat=${binary:Package} ${Version}\n"]),
            task="listing installed packages",
        )
        return dict(line.split(" ", 1) for line in listing.splitlines() if " " in line)

    def _shipped(self) -> list[Shipped]:
        return [*self.declaration.shipped(), *self.packages.shipped()]

    def _boot_fingerprint(self) -> str:
        """Fingerprint of those inputs that an initrd can depend on."""
        packages = self.packages.inputs()
        if isinstance(self.packages, LayerPackages):
            packages = {**packages, "base": self.packages.base_artifact("boot_")["fingerprint"]}
        return fingerprint({"packages": packages, **self.declaration.boot_inputs()})


def _source_inputs(repository: Repository) -> t.Any:
    if repository.imageonly:
        return repository.inputs()
    return repository.keyring if repository.keys is None else "keys"


def limit_times(root: str, limit: int) -> None:
    """Give every entry of a tree that was modified later than ``limit`` (seconds since 1970) that time."""
    nanoseconds = limit * 10**9
    for path in (root, *(os.path.join(root, relative) for relative, dummy in walk(root))):
        if os.lstat(path).st_mtime_ns > nanoseconds:
            os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)


def kernel_versions(root: str) -> list[str]:
    """Versions of the kernels whose modules are in a tree, in no particular order of age."""
    for path in ("usr/lib/modules", "lib/modules"):
        with image_path.open_folder(root, path) as folder:
            if folder is not None:
                return sorted(name for name in os.listdir(folder) if image_path.is_folder(root, f"{path}/{name}"))
    return []


def host_architecture() -> str:
    """Debian's name of this machine's architecture."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = os.uname().machine
    if machine not in names:
        raise StageError(f"This build host is {machine}; images are built on x86_64 and aarch64 hosts.")
    return names[machine]

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packages that an image adds to its base, as a layer of their own. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import find_tool
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._layers import reduce_layer, stacked
from ansible_collections.liveforge.images.plugins.module_utils._publish import remove, scratch_folder
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import identities, image_path, kept_tree
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.archive import ArchiveRecord, LockedRepository
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.configure import offline_sandbox
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_cache import (
    PackageCache,
    lists_are_at_fault,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_lock import PackageLock
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.packages import (
    InstallProgress,
    installation_cause,
    validate_packages,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import (
    ACQUIRE,
    Repository,
    exclusions,
    preferences,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import Shipped
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.successors import Space
from ansible_collections.liveforge.images.plugins.module_utils._stage import Stage, Work, input_artifact, require_space
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp, tree_size

# Where the folder that apt of the tree goes by appears inside the tree.
_APT = "/run/liveforge-apt"
_CONFIGURATION = "apt.conf"
# What apt of the tree locks, or gives a mode, when it installs. The lists themselves must not change, since they tell
# afterwards where packages came from; nor packages, which may be one file with those that other builds have checked.
_WRITABLE = ("archives/lock", "archives/partial", "lists/auxfiles")


class LayerPackages(Stage):
    """Installs further packages on top of a base; an empty layer when there are none.

    apt of the build host downloads them, since nothing inside the tree has a network; apt of the base installs them.

    Args:
        output: the packed layer.
        tree: where the layer is made, and left for whoever builds on it.
        base: the base's root tree, made by live_rootfs.
        repositories: where packages come from: those of the base.
        packages: what to install that the base does not declare.
        recommends: whether recommended packages are installed too.
        architecture: of the packages, such as ``amd64``.
        excluded: packages that are never installed.
        cache: what the build host keeps of packages and package lists between builds.
        predicted: fingerprints by path that check mode foresees for the base.
        lock: the very packages to install, or None for the newest ones.

    Attributes:
        later: space that stages after this one need.
    """

    name = "live_rootfs packages"
    format_version = 2

    def __init__(
        self,
        output: str,
        *,
        tree: str,
        base: str,
        repositories: t.Sequence[Repository],
        packages: t.Sequence[str],
        recommends: bool,
        architecture: str,
        cache: PackageCache,
        excluded: t.Sequence[str] = (),
        predicted: t.Mapping[str, str] | None = None,
        lock: PackageLock | None = None,
        source_date_epoch: int | None,
    ) -> None:
        super().__init__(output, source_date_epoch)
        self.tree = tree
        self.base = base
        self.repositories = list(repositories)
        self.packages = sorted(set(packages))
        self.recommends = recommends
        self.architecture = architecture
        self._cache = cache
        self.excluded = sorted(set(excluded))
        self._predicted = predicted or {}
        self.lock = lock
        self.later = Space()
        self._base_artifacts: dict[str, dict[str, t.Any]] = {}

    def validate(self) -> None:
        validate_packages({"packages": self.packages}, self.excluded)
        if self.lock is not None:
            self.lock.check(self._declared())
        if not os.path.isabs(self.base):
            raise StageError(f"base: {self.base!r} must be the absolute path of a root tree on the build host.")
        stamp = Stamp.load(self.base)
        if stamp is None:
            # Check mode foresees it, or preflight misses it.
            return
        if stamp.stage != "live_rootfs":
            raise StageError(f"base: {self.base} was made by {stamp.stage}, but it must be a root tree of live_rootfs.")
        if "base" in stamp.inputs:
            raise StageError(f"base: {self.base} is a layer itself. A base must be a whole root tree.")

    def _declared(self) -> dict[str, t.Any]:
        """What apt's choice of packages follows from, besides the base, whose packages are its own business."""
        return {
            "on_a_base": True,
            "release": self.repositories[0].suite,
            "architecture": self.architecture,
            "recommends": self.recommends,
            "packages": self.packages,
            "packages_exclude": self.excluded,
        }

    def reads(self) -> list[str]:
        return [self.base]

    def inputs(self) -> dict[str, t.Any]:
        found: dict[str, t.Any] = {
            "base": self.base_artifact(),
            "packages": self.packages,
            "tools": {},
        }
        if self.packages:
            found["repository_order"] = [repository.name for repository in self.repositories]
            found["repositories"] = {repository.name: repository.inputs() for repository in self.repositories}
            found["recommends"] = self.recommends
            found["architecture"] = self.architecture
            found["packages_exclude"] = self.excluded
        if self.lock is not None:
            found["lock"] = self.lock.identity()
        return found

    def base_artifact(self, fact: str = "") -> dict[str, t.Any]:
        """The base, or a part of it, for a fingerprint; looked at once, while nobody else builds it."""
        if fact not in self._base_artifacts:
            self._base_artifacts[fact] = input_artifact(self.base, self._predicted, fact)
        return self._base_artifacts[fact]

    def shipped(self) -> list[Shipped]:
        """Nothing comes from the controller."""
        return []

    def preflight(self) -> None:
        for tool in ("bwrap", *kept_tree.TOOLS):
            find_tool(tool)
        if not os.path.isdir(self.base) or Stamp.load(self.base) is None:
            raise StageError(
                f"base: {self.base} is not there, or nothing is recorded of how it was made. Build it with live_rootfs."
            )
        if not self.packages:
            return
        find_tool("apt-get")
        if not image_path.exists(self.base, "usr/bin/apt-get"):
            raise StageError(
                f"packages: {', '.join(self.packages)} cannot be added, because the base {self.base} has no apt. Add "
                "apt to the packages of the base, or these packages themselves."
            )
        self._cache.prepare()

    def build(self, work: Work) -> dict[str, t.Any]:
        os.mkdir(self.tree, 0o755)
        archive: dict[str, t.Any] = {"declared": self._declared(), "packages": {}, "unknown": [], "releases": {}}
        archive["source_date_epoch"] = None
        if self.packages:
            folder = scratch_folder(self.output, "apt")
            try:
                with stacked(self.output, [self.base], upper=self.tree) as root:
                    archive = self._install(work, root, folder)
            finally:
                remove(folder)
            self._cache.hold_limit(work.run.note)
            # What the base has of this stays: it was declared there.
            identities.forget(self.tree)
            reduce_layer(self.tree, self.base)
        kept_tree.pack(self.tree, work.target, work.run)
        return {"archive": archive, "tree_size": tree_size(self.tree)}

    def _install(self, work: Work, root: str, folder: str) -> dict[str, t.Any]:
        """Install the packages into the stack at ``root``, and return where they came from."""
        # All that the tree, where maintainer scripts run as root, gets to see of the folder. Beside it lies what apt of
        # this host goes by before and after that, with logins, and what is noted in the end.
        inside = os.path.join(folder, "inside")
        os.mkdir(inside)
        lists, archives = os.path.join(inside, "lists"), os.path.join(inside, "archives")
        # What apt may trust without a check must not get into other builds, and apt refuses to trust a signed list.
        share_lists = self.lock is None and not any(repository.trusted for repository in self.repositories)
        self._cache.take_lists(self.repositories if share_lists else [], lists)
        for path in ("archives/partial", "lists/auxfiles", "lists/partial"):
            os.makedirs(os.path.join(inside, path))
        with open(os.path.join(archives, "lock"), "wb"):
            pass
        locked = None
        names = self.packages
        if self.lock is not None:
            locked = LockedRepository(self.lock, self.repositories, self.architecture, self._cache, folder)
            locked.make(work.run, work.progress.step)
            locked.link_into(archives)
            # Which version of which suite is the lock's business.
            names = sorted({re.split("[=/]", name)[0] for name in names})
        self._write_sources(folder, inside, locked)
        outside = {"APT_CONFIG": self._apt_configuration(folder, folder, inside, root)}
        self._apt_configuration(inside, _APT, _APT, None)
        progress = InstallProgress(work.progress).line
        hint = self._cause
        work.progress.step("reading package lists")
        self._read_lists(work, lists, outside)
        install = ["install", "--yes", "--option=Dpkg::Use-Pty=0", *names]
        listing = work.run.run(
            ["apt-get", "--quiet", "--option=Acquire::ForceHash=SHA256", "--print-uris", *install],
            task="choosing packages",
            extra_environment=outside,
            hint=hint,
        )
        require_space(
            os.path.dirname(self.output),
            self._cache.space_for(listing, self.later),
            "the packages as large as apt says, a packed copy, the downloads, and what is made of the tree",
        )
        for name in self._cache.take_packages(listing, archives) if locked is None else ():
            work.run.note(f"{name} in the cache was damaged, and was downloaded again")
        work.progress.step("downloading packages")
        work.run.run(
            ["apt-get", "--download-only", *install],
            task="downloading packages",
            extra_environment=outside,
            on_line=progress,
            hint=hint,
        )
        try:
            self._cache.keep(archives, lists if share_lists else None)
        except OSError as problem:
            # Everything is there for this build.
            work.run.note(f"packages and package lists: not all of them are kept in the cache: {problem}")
        work.progress.step("installing packages")
        sandbox = offline_sandbox(root, self.source_date_epoch)
        writable = ((os.path.join(inside, path), f"{_APT}/{path}", True) for path in _WRITABLE)
        sandbox = dataclasses.replace(
            sandbox,
            binds=((inside, _APT, False), *writable),
            environment={**sandbox.environment, "APT_CONFIG": f"{_APT}/{_CONFIGURATION}"},
        )
        work.run.run(
            sandbox.command(["apt-get", "--no-download", *install]),
            task="installing packages",
            on_line=progress,
            hint=hint,
        )
        record = ArchiveRecord(folder, self.repositories, self.base)
        work.run.run(
            record.command(root, lists), task="noting where packages came from", extra_environment=outside, hint=hint
        )
        if self.lock is None:
            return {"declared": self._declared(), **record.facts()}
        self.lock.check_installed(record.installed())
        return self.lock.facts()

    def _read_lists(self, work: Work, lists: str, outside: t.Mapping[str, str]) -> None:
        def update() -> None:
            work.run.run(
                ["apt-get", "--error-on=any", "update"],
                task="reading package lists",
                extra_environment=outside,
                hint=self._cause,
            )

        try:
            update()
        except StageError as problem:
            if not lists_are_at_fault(problem.details.get("output", "")):
                raise
            # What the cache had may be the reason.
            work.run.note("reading all package lists from the mirror, in place of those in the cache")
            for entry in list(os.scandir(lists)):
                if entry.is_file():
                    os.unlink(entry.path)
            update()

    def _write_sources(self, folder: str, inside: str, locked: LockedRepository | None) -> None:
        """Write repositories and pins for apt of this host, and for apt of the tree, which gets no login to see.

        Args:
            folder: for this host.
            inside: for the tree.
            locked: the repository that takes the place of all others, or None.
        """
        pins = preferences(self.repositories) if locked is None else ""
        pins = "\n".join(filter(None, (pins, exclusions(self.excluded))))
        if locked is not None:
            sources = locked.sources()
        else:
            sources = "\n".join(repository.sources(repository.keyring_file(folder)) for repository in self.repositories)
        for place in (folder, inside):
            with open(os.path.join(place, "image.sources"), "w", encoding="utf-8") as stream:
                # apt would use packages of file: where they are, which is not inside of the tree.
                stream.write(sources.replace("URIs: file:", "URIs: copy:"))
            with open(os.path.join(place, "preferences"), "w", encoding="utf-8") as stream:
                stream.write(pins)
        with open(os.path.join(folder, "auth.conf"), "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write("".join(repository.credentials() for repository in self.repositories))

    def _apt_configuration(self, folder: str, seen: str, downloads: str, root: str | None) -> str:
        """Write apt.conf(5) for apt of this host or of the tree; returns its path.

        Args:
            folder: where it is written, beside the sources.
            seen: path of that folder as apt sees it.
            downloads: path of the folder with package lists and packages as apt sees it.
            root: path of the tree on this host; None for apt of the tree.
        """

        def state(path: str) -> str:
            return path if root is None else image_path.host_path(root, path)

        settings = {
            "APT::Architecture": self.architecture,
            "APT::Install-Recommends": str(self.recommends).lower(),
            "APT::Install-Suggests": "false",
            "APT::Sandbox::User": "root",
            **ACQUIRE,
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": f"{seen}/none",
            "Dir::Etc::sourcelist": f"{seen}/image.sources",
            "Dir::Etc::sourceparts": f"{seen}/none",
            "Dir::Etc::preferences": f"{seen}/preferences",
            "Dir::Etc::preferencesparts": f"{seen}/none",
            "Dir::Etc::netrc": f"{seen}/auth.conf",
            "Dir::Etc::netrcparts": f"{seen}/none",
            "Dir::State::lists": f"{downloads}/lists",
            "Dir::State::status": state("/var/lib/dpkg/status"),
            # Whose folder a base may lack, which apt does not mind.
            "Dir::State::extended_states": (
                state("/var/lib/apt/extended_states")
                if root is None or image_path.is_folder(root, "/var/lib/apt")
                else "/dev/null"
            ),
            "Dir::Cache": downloads,
            "Dir::Cache::archives": f"{downloads}/archives",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Dir::Log": "/dev/null",
            "DPkg::Options::": "--force-unsafe-io",
        }
        path = os.path.join(folder, _CONFIGURATION)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(f'#clear APT::Architectures;\nAPT::Architectures {{ "{self.architecture}"; }};\n')
            stream.writelines(f'{setting} "{value}";\n' for setting, value in settings.items())
        return path

    def _cause(self, output: str) -> str | None:
        for package in self.excluded:
            if f"{package} but it is not " in output:
                return f"packages_exclude: {package} is needed by another package. Take one of them out."
        return installation_cause(output)

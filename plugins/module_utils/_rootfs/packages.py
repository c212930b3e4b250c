# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tree of installed packages, before any configuration: mmdebstrap. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import find_tool, tool_version
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._progress import Progress
from ansible_collections.liveforge.images.plugins.module_utils._publish import remove, scratch_folder
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import identities, kept_tree, kiwi_interface
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.archive import ArchiveRecord, LockedRepository
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.configure import (
    Tree,
    hosts,
    offline_sandbox,
    unpack_commands,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.kiwi_interface import KiwiInterface
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_cache import PackageCache
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_lock import PackageLock
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import (
    ACQUIRE,
    Repository,
    exclusions,
    preferences,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.scripts import Script, script_command
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import Shipped, require_archives
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.successors import Space
from ansible_collections.liveforge.images.plugins.module_utils._stage import Stage, Work, lack_of_space
from ansible_collections.liveforge.images.plugins.module_utils._stamp import tree_size

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9-]+)?([=/][A-Za-z0-9.+:~-]+)?\Z")
# How apt is asked for what mmdebstrap adds to the essential packages.
_VARIANT_PACKAGES = {
    "essential": (),
    "apt": ("apt",),
    "minbase": ("?priority(required)",),
    "important": ("?priority(required)", "?priority(important)"),
    "standard": ("?priority(required)", "?priority(important)", "?priority(standard)"),
}
_FILE_MIRROR_HOOKS = "/usr/share/mmdebstrap/hooks/file-mirror-automount"
_PINS = "etc/apt/preferences.d/00-image-repositories"
_CREDENTIALS = "etc/apt/auth.conf.d/00-build.conf"
# Where mmdebstrap and the apt that it calls write or remove files of the tree from outside, by their paths.
_CHANGED_FROM_OUTSIDE = (
    *("dev", "etc/apt/apt.conf.d", "etc/apt/auth.conf.d", "run", "tmp", "usr/sbin", "var/cache/apt/archives"),
    *("var/cache/ldconfig", "var/lib/apt/lists", "var/lib/dbus", "var/lib/dpkg", "var/log/apt"),
)
# A shell command for its hooks that fails when a link would lead them out of the tree. Debian's own are relative.
_REFUSE_LINKS_OUT = (
    f"for place in {' '.join(_CHANGED_FROM_OUTSIDE)}; do "
    'case $(realpath -m "$1/$place") in "$(realpath "$1")"/*) ;; '
    '*) echo "leads out of the tree: /$place"; exit 1;; esac; done'
)
# How mmdebstrap itself calls apt for the packages of --include: from outside, with the dpkg of the tree.
_APT_FROM_OUTSIDE = (
    'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -o Dir::Bin::dpkg=env -o DPkg::Options::=--unset=TMPDIR '
    '-o DPkg::Options::=dpkg -o DPkg::Chroot-Directory="$1" --yes install'
)


class PackageTree(Stage):
    """Installs packages from repositories into an empty tree, and packs that.

    Args:
        output: the packed tree.
        tree: where the tree is made, and left for whoever builds on it.
        repositories: where packages come from; the first one's suite is the release.
        packages: what to install, besides what the variant brings.
        variant: mmdebstrap's set of base packages, such as ``minbase``.
        recommends: whether recommended packages are installed too.
        architecture: of the packages, such as ``amd64``.
        bootstrap_packages: what to install before everything else, and before the scripts.
        excluded: packages that are never installed.
        archives: unpacked into the tree after the bootstrap packages.
        scripts: run inside the tree once its essential packages are there (KIWI: post_bootstrap.sh).
        kiwi: KIWI's interface for the scripts, or None.
        cache: what the build host keeps of packages and package lists between builds.
        lock: the very packages to install, or None for the newest ones.

    Attributes:
        later: space that stages after this one need.
    """

    name = "live_rootfs packages"
    format_version = 3

    def __init__(
        self,
        output: str,
        *,
        tree: str,
        repositories: t.Sequence[Repository],
        packages: t.Sequence[str],
        variant: str,
        recommends: bool,
        architecture: str,
        scripts: t.Sequence[Script],
        cache: PackageCache,
        bootstrap_packages: t.Sequence[str] = (),
        excluded: t.Sequence[str] = (),
        archives: t.Sequence[Tree] = (),
        kiwi: KiwiInterface | None = None,
        lock: PackageLock | None = None,
        source_date_epoch: int | None,
    ) -> None:
        super().__init__(output, source_date_epoch)
        self.tree = tree
        self.repositories = list(repositories)
        self.packages = sorted(set(packages))
        self.variant = variant
        self.recommends = recommends
        self.architecture = architecture
        self.scripts = list(scripts)
        self._cache = cache
        self.bootstrap_packages = sorted(set(bootstrap_packages))
        self.excluded = sorted(set(excluded))
        self.archives = list(archives)
        self.kiwi = kiwi if scripts else None
        self.lock = lock
        self.later = Space()

    def validate(self) -> None:
        validate_packages({"packages": self.packages, "bootstrap_packages": self.bootstrap_packages}, self.excluded)
        if self.lock is not None:
            self.lock.check(self._declared())

    def _declared(self) -> dict[str, t.Any]:
        """What apt's choice of packages follows from; where they come from may change, as long as they are the same."""
        return {
            "release": self.repositories[0].suite,
            "architecture": self.architecture,
            "variant": self.variant,
            "recommends": self.recommends,
            "packages": self.packages,
            "bootstrap_packages": self.bootstrap_packages,
            "packages_exclude": self.excluded,
        }

    def inputs(self) -> dict[str, t.Any]:
        return {
            # The first one is the main one.
            "repository_order": [repository.name for repository in self.repositories],
            "repositories": {repository.name: repository.inputs() for repository in self.repositories},
            "packages": self.packages,
            "variant": self.variant,
            "recommends": self.recommends,
            "architecture": self.architecture,
            "post_bootstrap_scripts": [script.identity for script in self.scripts],
            "tools": {"mmdebstrap": _mmdebstrap_version()},
            **self._rare_inputs(),
        }

    def _rare_inputs(self) -> dict[str, t.Any]:
        """Options that few images have; an image without them has the fingerprint that it had before they existed."""
        found: dict[str, t.Any] = {}
        if self.bootstrap_packages:
            found["bootstrap_packages"] = self.bootstrap_packages
        if self.excluded:
            found["packages_exclude"] = self.excluded
        if self.archives:
            found["bootstrap_archives"] = [
                {"dest": tree.dest, "entries": dict(tree.shipped.entries)} for tree in self.archives
            ]
        if self.kiwi is not None:
            found["kiwi"] = self.kiwi.inputs(self.scripts)
        if self.lock is not None:
            found["lock"] = self.lock.identity()
        return found

    def shipped(self) -> list[Shipped]:
        """Scripts and archives that come from the controller."""
        return [
            *(script.shipped for script in self.scripts if script.shipped is not None),
            *(tree.shipped for tree in self.archives),
            *([self.kiwi.functions] if self.kiwi is not None else []),
        ]

    def preflight(self) -> None:
        if os.geteuid() != 0:
            raise StageError("Packages are installed as root: run the task with become: true.")
        for tool in ("mmdebstrap", "bwrap", "unshare", "setpriv", *kept_tree.TOOLS):
            find_tool(tool)
        for index, repository in enumerate(self.repositories):
            if repository.keyring is not None and not os.path.isfile(repository.keyring):
                raise StageError(
                    f"repositories[{index}] ({repository.name}): the keyring {repository.keyring} does not exist on "
                    "the build host. Install the package that has it (debian-archive-keyring, ubuntu-keyring) "
                    "or copy it there."
                )
        require_archives(self.shipped())
        self._cache.prepare()

    def build(self, work: Work) -> dict[str, t.Any]:
        folder = scratch_folder(self.output, "sources")
        # apt reads keys and locked packages as its own user; what is secret has a mode of its own.
        os.chmod(folder, 0o711)
        try:
            sources = os.path.join(folder, "image.sources")
            record = ArchiveRecord(folder, self.repositories)
            locked = self._locked_repository(work, folder)
            with open(sources, "w", encoding="utf-8") as stream:
                stream.write(
                    locked.sources()
                    if locked is not None
                    else "\n".join(
                        repository.sources(repository.keyring_file(folder)) for repository in self.repositories
                    )
                )
            work.progress.step("reading package lists")
            work.run.run(
                self._command(self.tree, sources, folder, record, locked),
                task="installing packages",
                namespaces=True,
                extra_environment={"INITRD": "No", "DEBIAN_FRONTEND": "noninteractive"},
                on_line=InstallProgress(work.progress).line,
                hint=self._cause,
            )
            for name in self._cache.damaged(folder):
                work.run.note(f"{name} in the cache was damaged, and was downloaded again")
            self._cache.mark_used(record.files(), self.repositories if self.lock is None else ())
            facts = {"archive": self._archive(record), "tree_size": tree_size(self.tree)}
        finally:
            remove(folder)
        self._cache.hold_limit(work.run.note)
        identities.forget(self.tree)
        work.progress.step("packing the package tree")
        kept_tree.pack(self.tree, work.target, work.run)
        return facts

    def _locked_repository(self, work: Work, folder: str) -> LockedRepository | None:
        if self.lock is None:
            return None
        locked = LockedRepository(self.lock, self.repositories, self.architecture, self._cache, folder)
        locked.make(work.run, work.progress.step)
        return locked

    def _archive(self, record: ArchiveRecord) -> dict[str, t.Any]:
        """Where the packages came from; those of a lock as the lock has it."""
        if self.lock is None:
            return {"declared": self._declared(), **record.facts()}
        self.lock.check_installed(record.installed())
        return self.lock.facts()

    def _command(
        self, target: str, sources: str, folder: str, record: ArchiveRecord, locked: LockedRepository | None
    ) -> list[str]:
        command = [
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            f"--variant={self.variant}",
            f"--architectures={self.architecture}",
            # Packages of the cache are in apt's archive folder beforehand; these two would object to it or empty it.
            "--skip=download/empty,essential/unlink",
            *(f"--aptopt={name} {value}" for name, value in ACQUIRE.items()),
            # A tree that is thrown away when the build fails needs no fsync after every file.
            "--dpkgopt=force-unsafe-io",
            # mmdebstrap has just copied that of the build host, and packages ask for the full name of the machine.
            f'--setup-hook=rm -f "$1"/etc/hostname; printf %s {shlex.quote(hosts())} > "$1"/etc/hosts',
            # Before all other hooks of these kinds: some of them change the tree as well.
            f"--essential-hook={_REFUSE_LINKS_OUT}",
            f"--customize-hook={_REFUSE_LINKS_OUT}",
        ]
        if self.recommends:
            command.append("--aptopt=APT::Install-Recommends true")
        if self.packages:
            # Which version of which suite is the lock's business.
            names = self.packages if locked is None else sorted({re.split("[=/]", name)[0] for name in self.packages})
            command.append("--include=" + ",".join(names))
        if locked is None and any(repository.is_local() for repository in self.repositories):
            command.append(f"--hook-dir={_FILE_MIRROR_HOOKS}")
        if locked is None:
            command += self._apt_hooks(folder)
            command += self._fetch_hooks(folder)
        else:
            command.append(locked.setup_hook())
        command += self._keep_hooks()
        bootstrap = list(self._bootstrap(target, folder))
        if bootstrap:
            bootstrap.append(_REFUSE_LINKS_OUT)
        command += [f"--essential-hook={hook}" for hook in bootstrap]
        command.append(f"--customize-hook={record.hook()}")
        return [*command, self.repositories[0].suite, target, sources]

    def _apt_hooks(self, folder: str) -> list[str]:
        """Hooks that bring pins and credentials in before apt runs; credentials are gone before anything is kept."""
        hooks = []
        pins = "\n".join(filter(None, (preferences(self.repositories), exclusions(self.excluded))))
        if pins:
            path = os.path.join(folder, "preferences")
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(pins)
            hooks.append(f'--setup-hook=cp {shlex.quote(path)} "$1"/{_PINS}')
        credentials = "".join(repository.credentials() for repository in self.repositories)
        if credentials:
            path = os.path.join(folder, "credentials")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(credentials)
            hooks.append(
                f'--setup-hook=mkdir -p "$1"/{os.path.dirname(_CREDENTIALS)}; '
                f'cp --preserve=mode {shlex.quote(path)} "$1"/{_CREDENTIALS}'
            )
            hooks.append(f'--customize-hook=rm -f "$1"/{_CREDENTIALS}')
        return hooks

    def _bootstrap(self, target: str, folder: str) -> t.Iterator[str]:
        """Shell commands for the moment when the essential packages are there and all others are not."""
        if self.bootstrap_packages:
            names = self.bootstrap_packages
            if self.lock is not None:
                names = sorted({re.split("[=/]", name)[0] for name in names})
            yield f"{_APT_FROM_OUTSIDE} {shlex.join(names)}"
        for tree in self.archives:
            sandbox = offline_sandbox(target, self.source_date_epoch)
            for command in unpack_commands(tree, sandbox):
                yield shlex.join(command)
        if self.kiwi is None:
            for index, script in enumerate(self.scripts):
                path = script.materialize(os.path.join(folder, f"post_bootstrap-{index}"))
                yield shlex.join(script_command(offline_sandbox(target, self.source_date_epoch), path))
            return
        interface = os.path.join(folder, "kiwi")
        os.mkdir(interface)
        self.kiwi.install(interface, self.scripts)
        places = " ".join(f'"$1"/{place}' for place in kiwi_interface.PLACES)
        yield f'rm -rf {places} && cp --archive {shlex.quote(interface)}/. "$1"/'
        sandbox = offline_sandbox(target, self.source_date_epoch)
        sandbox = dataclasses.replace(sandbox, environment={**sandbox.environment, **self.kiwi.profile})
        for script in self.scripts:
            yield shlex.join(sandbox.command(kiwi_interface.command(script)))
        yield f"rm -rf {places}"

    def _cause(self, output: str) -> str | None:
        lacking = re.search(r"^space: needs (\d+) has (\d+)$", output, re.MULTILINE)
        if lacking:
            what = "the packages as large as apt says, a packed copy, the downloads, and what is made of the tree"
            raise lack_of_space(os.path.dirname(self.output), int(lacking[1]), int(lacking[2]), what)
        leading = re.search(r"^leads out of the tree: (\S+)$", output, re.MULTILINE)
        if leading:
            return (
                f"A package, post_bootstrap_scripts, or archives of the phase bootstrap made {leading[1]} or a folder "
                "above it an absolute link, which leads to another place on the build host than in the image. Make it "
                "a relative link, or make it in scripts, which run when mmdebstrap is done."
            )
        for package in self.excluded:
            if re.search(rf"(Depends|PreDepends): {re.escape(package)} .*(not installable|not going to be)", output):
                return f"packages_exclude: {package} is needed by another package. Take one of them out."
        return installation_cause(output)

    def _fetch_hooks(self, folder: str) -> list[str]:
        """Setup hooks that bring in what the cache has, once it is known to be right."""
        lists = os.path.join(folder, "lists")
        self._cache.take_lists([] if self._unchecked() else self.repositories, lists)
        wanted = [*_VARIANT_PACKAGES[self.variant], *self.bootstrap_packages, *self.packages]
        return self._cache.fetch_hooks(folder, lists, wanted, self.later)

    def _keep_hooks(self) -> list[str]:
        """Hooks that bring new packages and lists into the cache after apt ran."""
        keep = self._cache.keep_packages()
        lists = "" if self.lock is not None or self._unchecked() else f"; {self._cache.keep_lists()}"
        return [f"--essential-hook={keep}", f"--customize-hook={keep}{lists}"]

    def _unchecked(self) -> bool:
        """Whether there are lists that nobody signed.

        apt refuses a repository that it may trust without a check when it has a signed list of it, and a list that was
        not checked must not get into other builds.
        """
        return any(repository.trusted for repository in self.repositories)


def _mmdebstrap_version() -> str:
    """What ``mmdebstrap --version`` says, which takes a while, since it asks for all settings of apt first."""
    with open(find_tool("mmdebstrap"), encoding="utf-8", errors="replace") as stream:
        found = re.search(r"^our \$VERSION = '([^']+)';$", stream.read(), re.MULTILINE)
    return f"mmdebstrap {found[1]}" if found else tool_version("mmdebstrap")


def validate_packages(options: t.Mapping[str, t.Sequence[str]], excluded: t.Sequence[str]) -> None:
    """Raise StageError for what is no name of a package, or both asked for and excluded; options by their names."""
    for option, names in options.items():
        for package in names:
            if not _PACKAGE.match(package):
                raise StageError(
                    f"{option}: {package!r} is not the name of a Debian package "
                    "(lower-case letters, digits, plus, minus and dots; =version or /suite may follow)."
                )
            if re.split("[=/]", package)[0] in excluded:
                raise StageError(f"{package} is in {option} and in packages_exclude. Take it out of one of them.")
    for package in excluded:
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", package):
            raise StageError(
                f"packages_exclude: {package!r} is not the name of a Debian package "
                "(lower-case letters, digits, plus, minus and dots)."
            )


class InstallProgress:
    """Turns what mmdebstrap, apt and dpkg print into progress."""

    _PHASES = (
        ("running apt-get update", "reading package lists"),
        ("downloading packages", "downloading packages"),
        ("extracting archives", "unpacking essential packages"),
        ("installing essential packages", "installing essential packages"),
        ("installing remaining packages", "installing packages"),
        ("cleaning package lists", "cleaning up"),
    )

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._phase = "reading package lists"
        self._total = 0
        self._done = 0

    def line(self, text: str) -> None:
        """Take one line of output."""
        for sign, phase in self._PHASES:
            if sign in text:
                self._phase, self._total, self._done = phase, 0, 0
                self._progress.step(phase)
                return
        new = re.match(r"\d+ upgraded, (\d+) newly installed", text)
        if new:
            self._total, self._done = int(new.group(1)), 0
        elif text.startswith(("Unpacking ", "Setting up ")) and self._total:
            self._done += 1
            self._progress.step(self._phase, 50 * self._done / self._total)
        elif text.startswith("Get:"):
            self._progress.step(self._phase)


def installation_cause(output: str) -> str | None:
    """The likely cause of a failed installation, as a sentence, from apt's and dpkg's own words."""
    missing = re.search(r"E: (?:Unable to locate package|Package ')(?:\s*)([a-z0-9+.:-]+)", output)
    if missing:
        return (
            f"packages: {missing.group(1)} is not in any of the repositories. "
            "Correct its name, or add the repository or component that has it."
        )
    version = re.search(r"E: (Version|Release) '([^']+)' for '([^']+)' was not found", output)
    if version:
        return f"packages: {version.group(3)} is not available in {version.group(1).lower()} {version.group(2)}."
    expired = re.search(r"E: Release file for (\S+) is expired", output)
    if expired:
        return (
            f"{expired.group(1)} has expired: the mirror is no longer updated, or the clock of the build host is "
            "wrong. For a snapshot or a mirror that stands still on purpose, declare it in repositories with "
            "check_valid_until: false."
        )
    unreachable = re.search(
        r"(?:Could not resolve '|Could not connect to |Temporary failure resolving '|Unable to connect to |"
        r"Connection failed|Failed to fetch )([^'\s]*)",
        output,
    )
    unsigned = re.search(
        r"(?:The repository '([^']+)' is not signed|"
        r"The following signatures (?:couldn't be verified|were invalid)|NO_PUBKEY)",
        output,
    )
    if unreachable and not re.search(r"NO_PUBKEY|signatures", output):
        if re.search(r"\s404\s+Not Found|does not have a Release file", output):
            return f"{unreachable.group(1)} is not there (404). Check uri, suite and components of the repositories."
        return (
            f"The mirror {unreachable.group(1)} cannot be reached. "
            "Check the uri of the repositories, the build host's network and its proxy settings."
        )
    if re.search(r"does not have a Release file", output):
        return "A repository has no Release file at this place. Check uri and suite of the repositories."
    if unsigned:
        which = f"The repository {unsigned.group(1)}" if unsigned.group(1) else "A repository"
        return f"{which} is not signed by a key of its keyring. Give the right keyring, or sign the repository."
    return None

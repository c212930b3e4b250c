# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What repositories and the package cache say of packages, by apt's own tools. Private to this collection."""

from __future__ import annotations

import email.utils
import hashlib
import os
import re
import shlex
import typing as t
import urllib.parse

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import image_path
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_cache import PackageCache
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_lock import (
    HOW_TO_RENEW,
    LockedPackage,
    PackageLock,
    deb_name,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import (
    ACQUIRE,
    Repository,
    short_uri,
)

_NAMED = 5
# Files that the hook leaves for ArchiveRecord.
_INSTALLED, _SHOWN, _URIS, _RELEASES = "installed", "shown", "uris", "releases"
# Where dpkg has it in a tree.
_DATABASE = "/var/lib/dpkg"


class ArchiveRecord:
    """Where the packages of a finished tree came from, while apt's lists still tell it.

    Args:
        folder: a folder on the build host that nothing inside of the tree ever sees.
        repositories: those of the tree.
        base: a tree below this one, whose packages do not count, or None.
    """

    def __init__(self, folder: str, repositories: t.Sequence[Repository], base: str | None = None) -> None:
        self._folder = folder
        self._repositories = list(repositories)
        self._base = base

    def hook(self) -> str:
        """A shell command for mmdebstrap's customize hooks."""
        script = self._script(f'"$1"{_DATABASE}', '"$1"/var/lib/apt/lists')
        return f'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; {script}'

    def command(self, root: str, lists: str) -> list[str]:
        """The same for a tree at ``root``, as a command with ``APT_CONFIG`` in its environment; lists in ``lists``."""
        return ["sh", "-c", self._script(shlex.quote(image_path.host_path(root, _DATABASE)), shlex.quote(lists))]

    def _script(self, status: str, lists: str) -> str:
        place = {name: shlex.quote(os.path.join(self._folder, name)) for name in (_INSTALLED, _SHOWN, _URIS, _RELEASES)}
        # What apt does not know is told by its absence: a package can come from a script, too.
        installed = _list_packages(status)
        if self._base is not None:
            below = shlex.quote(os.path.join(self._folder, "below"))
            of_base = _list_packages(shlex.quote(image_path.host_path(self._base, _DATABASE)))
            installed = f"{of_base} > {below}; {installed} | grep -Fxv -f {below}"
        return (
            f"{installed} > {place[_INSTALLED]}; "
            f"names=$(sed 's/^\\([^ ]*\\) \\([^ ]*\\) .*/\\1=\\2/' {place[_INSTALLED]}); "
            f"apt-cache show $names > {place[_SHOWN]} || :; "
            f"apt-get --print-uris --quiet download $names > {place[_URIS]} || :; "
            f"mkdir {place[_RELEASES]}; cp {lists}/*Release {place[_RELEASES]}/ || :"
        )

    def installed(self) -> dict[str, str]:
        """Version of every installed package."""
        return {name: version for name, version, dummy in self._installed()}

    def files(self) -> list[str]:
        """Names of the .deb files of all installed packages, as they are in apt's archive folder."""
        return [deb_name(*package) for package in self._installed()]

    def facts(self) -> dict[str, t.Any]:
        """The packages as a lock needs them, those that came from no repository, and the Release files."""
        shown = {
            (fields.get("Package"), fields.get("Version"), fields.get("Architecture")): fields
            for fields in paragraphs(self._read(_SHOWN))
            if "SHA256" in fields
        }
        origins = self._origins()
        packages, unknown = {}, []
        for name, version, architecture in self._installed():
            fields = shown.get((name, version, architecture))
            origin = origins.get(deb_name(name, version, architecture))
            if fields is None or origin is None:
                unknown.append(name)
                continue
            packages[name] = {
                "version": version,
                "architecture": architecture,
                "sha256": fields["SHA256"],
                "priority": fields.get("Priority", "optional"),
                "repository": origin[0],
                "file": origin[1],
            }
        releases = {}
        dates = []
        for repository in self._repositories:
            found = self._release(repository)
            if found is not None:
                date = re.search(rb"^Date: *(.+)$", found, re.MULTILINE)
                releases[repository.name] = {"release_sha256": hashlib.sha256(found).hexdigest()}
                if date:
                    text = date[1].decode("ascii", "replace").strip()
                    releases[repository.name]["date"] = text
                    dates.append(int(email.utils.parsedate_to_datetime(text).timestamp()))
        return {
            "packages": packages,
            "unknown": sorted(unknown),
            "releases": releases,
            "source_date_epoch": max(dates, default=None),
        }

    def _installed(self) -> list[tuple[str, str, str]]:
        lines = (line.split() for line in self._read(_INSTALLED).splitlines())
        return [(fields[0], fields[1], fields[2]) for fields in lines if len(fields) == 3]

    def _origins(self) -> dict[str, tuple[str, str]]:
        """Repository and path below its URI, by the name of the .deb file."""
        found = {}
        for uri, file in re.findall(r"^'([^']+)' (\S+) ", self._read(_URIS), re.MULTILINE):
            for repository in self._repositories:
                prefix, place = _place(repository.uri).rstrip("/") + "/", _place(uri)
                if place.startswith(prefix):
                    found[file] = (repository.name, urllib.parse.unquote(place[len(prefix) :]))
                    break
        return found

    def _release(self, repository: Repository) -> bytes | None:
        for leaf in ("InRelease", "Release"):
            path = os.path.join(self._folder, _RELEASES, repository.list_prefix() + leaf)
            if os.path.isfile(path):
                with open(path, "rb") as stream:
                    return stream.read()
        return None

    def _read(self, name: str) -> str:
        try:
            with open(os.path.join(self._folder, name), encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""


def _list_packages(status: str) -> str:
    """A shell command printing name, version and architecture of what is installed, by dpkg's folder ``status``."""
    return (
        f"dpkg-query --admindir={status} --show "
        "--showformat='${db:Status-Status} ${Package} ${Version} ${Architecture}\\n' "
        "| sed -n 's/^installed //p'"
    )


def _place(uri: str) -> str:
    """A URI in the form in which apt prints it; for a layer, it copies what is declared as a file."""
    return re.sub(r"^file:", "copy:", short_uri(uri))


class LockedRepository:
    """A flat repository on the build host with the very packages of a lock, so that apt can install no others.

    Args:
        lock: the lock.
        repositories: where packages are that the cache does not have.
        architecture: of the image.
        cache: the package cache of the build host.
        folder: an empty folder for the repository.
    """

    def __init__(
        self,
        lock: PackageLock,
        repositories: t.Sequence[Repository],
        architecture: str,
        cache: PackageCache,
        folder: str,
    ) -> None:
        self._lock = lock
        self._repositories = list(repositories)
        self._architecture = architecture
        self._cache = cache
        self.packages = os.path.join(folder, "locked")
        self._apt = os.path.join(folder, "apt")

    def make(self, run: Runner, step: t.Callable[[str], None]) -> None:
        """Get the packages and write the index; StageError naming those that cannot be had."""
        os.mkdir(self.packages)
        step("looking for locked packages in the cache")
        missing = {}
        for name, package in self._lock.packages.items():
            taken = self._cache.take(package.deb(name), package.sha256, self.packages)
            if taken is False:
                run.note(f"{package.deb(name)} in the cache was damaged, and is downloaded again")
            if not taken:
                missing[name] = package
        if missing:
            step(f"downloading {len(missing)} locked packages")
            self._download(missing, run)
        step("listing locked packages")
        self._write_index(run)

    def sources(self) -> str:
        """The repository as a deb822 stanza. Its packages were checked one by one, so nothing signs it."""
        return f"Types: deb\nURIs: copy://{urllib.parse.quote(self.packages)}\nSuites: ./\nTrusted: yes\n"

    def link_into(self, archives: str) -> None:
        """Give apt's archive folder the packages, so that they need not be copied there."""
        for name in os.listdir(self.packages):
            if name.endswith(".deb"):
                os.link(os.path.join(self.packages, name), os.path.join(archives, name))

    def setup_hook(self) -> str:
        """An option of mmdebstrap that brings the packages in before apt runs: they need not be copied then."""
        packages = shlex.quote(self.packages)
        return (
            '--setup-hook=mkdir -p "$1"/var/cache/apt/archives/partial; '
            f"for deb in {packages}/*.deb; do "
            'ln "$deb" "$1"/var/cache/apt/archives/ 2>/dev/null || cp "$deb" "$1"/var/cache/apt/archives/; done'
        )

    def _download(self, missing: t.Mapping[str, LockedPackage], run: Runner) -> None:
        environment = {"APT_CONFIG": self._configure_apt()}
        run.run(["apt-get", "update"], task="reading package lists", extra_environment=environment)
        # It ends with 100 when it knows none of a name.
        command = ["sh", "-c", 'apt-cache show "$@" 2>/dev/null || test $? -eq 100', "sh", *sorted(missing)]
        shown = run.run(command, task="looking for locked packages", extra_environment=environment)
        self._require_offered(missing, paragraphs(shown))
        wanted = [f"{name}={package.version}" for name, package in sorted(missing.items())]
        run.run(
            ["apt-get", "download", *wanted],
            task="downloading locked packages",
            extra_environment=environment,
            cwd=self.packages,
        )
        for name, package in missing.items():
            path = os.path.join(self.packages, package.deb(name))
            found = file_sha256(path) if os.path.isfile(path) else "nothing"
            if found != package.sha256:
                raise StageError(
                    f"lock: {name} {package.version} was locked with SHA-256 {package.sha256}, but {found} came from "
                    f"the repositories. {HOW_TO_RENEW}"
                )

    def _require_offered(self, missing: t.Mapping[str, LockedPackage], shown: t.Sequence[dict[str, str]]) -> None:
        complaints = []
        for name, package in sorted(missing.items()):
            offered = {fields["Version"]: fields.get("SHA256") for fields in shown if fields.get("Package") == name}
            if package.version not in offered:
                have = f"have {', '.join(offered)}" if offered else "do not have it at all"
                complaints.append(
                    f"{name} {package.version} ({package.repository}: {package.file}, SHA-256 {package.sha256}) is "
                    f"not in the cache {self._cache.folder}, and the repositories {have}"
                )
            elif offered[package.version] != package.sha256:
                complaints.append(
                    f"{name} {package.version} was locked with SHA-256 {package.sha256}, but the repositories have "
                    f"it with {offered[package.version]}"
                )
        if complaints:
            more = f"; and {len(complaints) - _NAMED} more" if len(complaints) > _NAMED else ""
            raise StageError(
                f"lock: {'; '.join(complaints[:_NAMED])}{more}. Declare a repository that still has them, such as a "
                f"snapshot with check_valid_until: false. {HOW_TO_RENEW}"
            )

    def _configure_apt(self) -> str:
        """An apt of its own that knows the declared repositories; returns the path of its configuration."""
        for place in (
            *("etc/apt.conf.d", "etc/auth.conf.d", "etc/preferences.d", "etc/sources.list.d"),
            *("lists/partial", "cache/archives/partial"),
        ):
            os.makedirs(os.path.join(self._apt, place))
        self._write("status", "")
        keyring = os.path.join(self._apt, "etc")
        stanzas = (repository.sources(repository.keyring_file(keyring)) for repository in self._repositories)
        self._write("etc/sources.list.d/image.sources", "\n".join(stanzas))
        self._write("etc/auth.conf.d/build.conf", "".join(item.credentials() for item in self._repositories))
        return self._write(
            "apt.conf",
            f'Dir "{self._apt}";\nDir::Etc "etc";\nDir::State "{self._apt}";\n'
            f'Dir::State::lists "lists";\nDir::State::status "{self._apt}/status";\nDir::Cache "cache";\n'
            f'APT::Architecture "{self._architecture}";\nAPT::Architectures {{ "{self._architecture}"; }};\n'
            'APT::Sandbox::User "root";\n' + "".join(f'{name} "{value}";\n' for name, value in ACQUIRE.items()),
        )

    def _write(self, place: str, content: str) -> str:
        path = os.path.join(self._apt, place)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
        return path

    def _write_index(self, run: Runner) -> None:
        """Packages and Release; the fields are those of the packages themselves, but for the archive's priority."""
        texts = []
        for name, package in sorted(self._lock.packages.items()):
            deb = package.deb(name)
            control = run.run(["dpkg-deb", "--field", os.path.join(self.packages, deb)], task=f"reading {deb}")
            control = re.sub(r"^Priority:.*\n", "", control.strip() + "\n", flags=re.MULTILINE)
            size = os.path.getsize(os.path.join(self.packages, deb))
            texts.append(
                f"{control}Priority: {package.priority}\nFilename: ./{deb}\nSize: {size}\nSHA256: {package.sha256}\n"
            )
        index = "\n".join(texts).encode()
        with open(os.path.join(self.packages, "Packages"), "wb") as stream:
            stream.write(index)
        # mmdebstrap takes essential packages from the suite that it is told.
        suite = self._repositories[0].suite
        with open(os.path.join(self.packages, "Release"), "w", encoding="utf-8") as stream:
            stream.write(
                f"Suite: {suite}\nCodename: {suite}\nArchitectures: {self._architecture} all\n"
                f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
            )


def paragraphs(text: str) -> list[dict[str, str]]:
    """The paragraphs of a Debian control file, with the first line of each field."""
    found = []
    for paragraph in re.split(r"\n{2,}", text):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+): *(.*)$", paragraph, re.MULTILINE))
        if fields:
            found.append(fields)
    return found

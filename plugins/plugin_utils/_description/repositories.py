# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories of a description, and those of the playbook that replace or join them. Private to this collection."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
import typing as t
import urllib.parse

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import (
    DEBIAN_KEYRING,
    UBUNTU_KEYRING,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._description.directory import DescriptionDirectory
from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import Document, is_true
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import Place, Problem
from ansible_collections.liveforge.images.plugins.plugin_utils._description.selection import Selection

if t.TYPE_CHECKING:
    from lxml import etree

# Where the Open Build Service publishes what its projects build.
OBS_DOWNLOADS = "http://download.opensuse.org/repositories"
_REMOTE = ("http", "https", "ftp")
_DEBIAN_SECTIONS = re.compile(r"-(updates|security|backports(-sloppy)?|proposed(-updates)?)$|/updates$")
# Keys of an item of option repositories, by attribute of <repository>.
_OPTIONS = {
    "type": "type",
    "priority": "priority",
    "sourcetype": "sourcetype",
    "username": "username",
    "password": "password",
    "repository_gpgcheck": "gpgcheck",
    "package_gpgcheck": "package_gpgcheck",
}
_DEBIAN_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
_UBUNTU_HOST = re.compile(r"(^|\.)ubuntu\.com$")
_DEBIAN_HOST = re.compile(r"(^|\.)debian\.org$")
# Mirrors keep the name of the folder, and projects of the Open Build Service are called obs:ubuntu:24.04/universe.
_ARCHIVE_PATH = re.compile(r"(^|/)(debian|ubuntu)(-security|-ports|-archive)?$|^obs:(debian|ubuntu):")
_UBUNTU_COMPONENTS = frozenset(("universe", "multiverse", "restricted"))


@dataclasses.dataclass(frozen=True)
class Repository:
    """One repository, from the description or from the playbook, in KIWI's terms.

    Attributes:
        source: URL as it was given.
        place: where it was given.
        keys: URLs of keys that may sign it.
    """

    source: str
    place: Place
    keys: tuple[str, ...] = ()
    type: str | None = None
    alias: str | None = None
    priority: int | None = None
    distribution: str | None = None
    components: str | None = None
    architectures: str | None = None
    sourcetype: str | None = None
    repository_gpgcheck: bool | None = None
    package_gpgcheck: bool | None = None
    imageinclude: bool | None = None
    imageonly: bool | None = None
    username: str | None = None
    password: str | None = None

    @classmethod
    def from_element(cls, document: Document, element: etree._Element) -> Repository:
        """From an element <repository>."""
        # The schema requires it.
        source = t.cast("etree._Element", element.find("source"))
        keys = tuple(dict.fromkeys(signing.get("key", "").strip() for signing in source.iterchildren("signing")))
        booleans = {
            name: is_true(element.get(name)) if name in element.attrib else None
            for name in ("repository_gpgcheck", "package_gpgcheck", "imageinclude", "imageonly")
        }
        texts = {
            name: element.get(name) or None
            for name in (
                "type",
                "alias",
                "distribution",
                "components",
                "architectures",
                "sourcetype",
                "username",
                "password",
            )
        }
        priority = element.get("priority")
        if priority is not None and len(priority.strip()) > 10:
            raise document.error(element, "the priority is too large.", "priority")
        return cls(
            source=source.get("path", "").strip(),
            place=document.place(source, "path"),
            keys=keys,
            priority=None if priority is None else int(priority),
            **booleans,
            **texts,
        )

    def overridden(self, item: t.Mapping[str, t.Any]) -> Repository:
        """With everything that an item of option repositories gives."""
        given = {name: value for name, value in item.items() if value is not None}
        keys = tuple(given.pop("signing_keys", ()))
        return dataclasses.replace(self, **given, keys=keys or self.keys)


def repositories(selection: Selection, overrides: t.Sequence[t.Mapping[str, t.Any]], mode: str) -> list[Repository]:
    """All repositories that apply, after the playbook's were brought in.

    Args:
        selection: what of the description applies.
        overrides: items of option repositories.
        mode: ``replace`` drops those of the description (KIWI's --ignore-repos with --add-repo), ``replace_first`` sets
            what is given in the first one and adds the others (--set-repo), ``add`` puts them behind (--add-repo).
    """
    document = selection.document
    declared = [Repository.from_element(document, element) for element in selection.sections("repository")]
    if not overrides:
        return declared
    given = [
        Repository("", Place(f"option repositories[{index}]")).overridden(item) for index, item in enumerate(overrides)
    ]
    for repository in given:
        if repository.imageinclude and repository.imageonly:
            raise StageError(f"{repository.place}: imageinclude and imageonly exclude each other.")
    if mode == "add":
        return [*declared, *given]
    if mode == "replace_first" and declared:
        first = dataclasses.replace(declared[0].overridden(overrides[0]), place=given[0].place)
        return [first, *declared[1:], *given[1:]]
    return given


def repository_items(
    found: t.Sequence[Repository], files: DescriptionDirectory, manager: str, release: str, problems: list[Problem]
) -> list[dict[str, t.Any]]:
    """The repositories as role live_image takes them; what cannot work becomes a problem.

    Args:
        found: the repositories.
        files: the description directory, for this:// URLs.
        manager: name of the package manager.
        release: the release version that $releasever in URLs of keys stands for, or nothing.
        problems: is added to.
    """
    return [
        _item(repository, index, files, manager, release, problems) for index, repository in enumerate(found, start=1)
    ]


def main_repository(found: t.Sequence[Repository]) -> Repository | None:
    """The apt repository that the system comes from: its suite is the release.

    Repositories of single programs stand before it or behind it. So the archive of a distribution (see _is_archive)
    goes before others, then component main before others, then the release that most repositories are for (bookworm,
    bookworm-updates, bookworm-security), then the first. Flat ones and those only for the image do not count.
    """
    candidates = [repository for repository in found if release_of(repository) is not None and not repository.imageonly]
    shared = collections.Counter(release_of(repository) for repository in candidates)
    # The first of equal ones.
    return max(
        candidates,
        key=lambda repository: (
            _is_archive(repository),
            "main" in (repository.components or "main").split(),
            shared[release_of(repository)],
        ),
        default=None,
    )


def release_of(repository: Repository) -> str | None:
    """The release of a suite such as bookworm-updates; None for a flat repository."""
    suite = (repository.distribution or "").strip()
    # A suite that ends with a slash is a folder, except in the old spelling bookworm/updates.
    if not suite or suite.endswith("/"):
        return None
    return _DEBIAN_SECTIONS.sub("", suite) or None


def is_ubuntu(repository: Repository) -> bool:
    """Whether a repository with suites is Ubuntu's or for Ubuntu, rather than for Debian."""
    host, path = _host_and_path(repository.source)
    if _UBUNTU_HOST.search(host):
        return True
    if _DEBIAN_HOST.search(host):
        return False
    return "ubuntu" in path or not _UBUNTU_COMPONENTS.isdisjoint((repository.components or "").split())


def repository_facts(found: t.Sequence[Repository]) -> list[dict[str, t.Any]]:
    """The repositories in KIWI's terms, without what is secret."""
    return [
        {
            name: getattr(repository, name) if name != "source" else shown(repository.source)
            for name in (
                "alias",
                "source",
                "type",
                "priority",
                "distribution",
                "components",
                "imageinclude",
                "imageonly",
            )
        }
        for repository in found
    ]


def shown(url: str) -> str:
    """A URL without its password."""
    return re.sub(r"//[^/@]*@", "//***@", url)


def _item(
    repository: Repository,
    number: int,
    files: DescriptionDirectory,
    manager: str,
    release: str,
    problems: list[Problem],
) -> dict[str, t.Any]:
    item: dict[str, t.Any] = {
        "name": repository.alias or f"repository-{number}",
        "uri": _uri(repository, files, problems),
        "include_in_image": bool(repository.imageinclude or repository.imageonly),
    }
    keys = list(dict.fromkeys(_key(repository, key, files, release, problems) for key in repository.keys))
    options = dict(_OPTIONS)
    if manager == "apt":
        _apt_item(item, repository, keys, problems)
        # What apt has no word for, or what was said by _apt_item.
        for name in ("type", "sourcetype", "repository_gpgcheck", "package_gpgcheck"):
            del options[name]
    else:
        options |= {"distribution": "distribution", "components": "components"}
        if keys:
            item["keys"] = keys
        if repository.architectures:
            item["architectures"] = _architectures(repository)
    for name, option in options.items():
        if getattr(repository, name) is not None:
            item[option] = getattr(repository, name)
    if repository.imageonly:
        item["imageonly"] = True
    return item


def _apt_item(item: dict[str, t.Any], repository: Repository, keys: list[str], problems: list[Problem]) -> None:
    """What only apt repositories have."""

    def warn(text: str) -> None:
        problems.append(Problem(repository.place, text))

    item["suite"] = repository.distribution or "./"
    if repository.distribution:
        item["components"] = (repository.components or "main").split()
    elif repository.components:
        warn("components mean nothing without distribution: the repository is flat.")
    if repository.type not in (None, "apt-deb", "deb-dir"):
        warn(f"repository type {repository.type!r} is taken as apt-deb, since the package manager is apt.")
    if repository.sourcetype not in (None, "baseurl"):
        warn(f"sourcetype {repository.sourcetype!r} means nothing to apt.")
    if repository.architectures:
        item["architectures"] = [_DEBIAN_NAMES.get(name, name) for name in _architectures(repository)]
    remote = [key for key in keys if not key.startswith("file:")]
    for key in remote:
        warn(f"signing key {key!r} is not fetched. Save it beside the description and name it this://FILE.")
    if keys:
        item["keys"] = [re.sub(r"file:(//(localhost)?)?(?=/)", "", key) for key in keys]
    elif repository.repository_gpgcheck is False:
        item["trusted"] = True
    elif repository.distribution:
        # The keys of the archives that everybody knows are on the build host.
        item["keyring"] = UBUNTU_KEYRING if is_ubuntu(repository) else DEBIAN_KEYRING
    else:
        warn(
            f"nothing says who may sign repository {item['name']}: name its key with <signing key>, or say "
            'repository_gpgcheck="false".'
        )


def _architectures(repository: Repository) -> list[str]:
    return [name.strip() for name in (repository.architectures or "").split(",")]


def _uri(repository: Repository, files: DescriptionDirectory, problems: list[Problem]) -> str:
    source = repository.source
    if source.startswith("/"):
        return "file://" + os.path.normpath(source)
    try:
        parts = urllib.parse.urlsplit(source)
    except ValueError as problem:
        problems.append(Problem(repository.place, f"repository {shown(source)!r} is no URL: {problem}."))
        return source
    if parts.scheme == "this":
        return "file://" + _beside(repository.place, source, files, problems, "repository")
    if parts.scheme in ("dir", "file"):
        return "file://" + os.path.normpath(parts.path or "/")
    if parts.scheme == "obs":
        project, dummy, name = (parts.netloc + parts.path).replace(":/", ":").rstrip("/").rpartition("/")
        return "/".join((OBS_DOWNLOADS, project.replace(":", ":/"), name))
    if parts.scheme == "obsrepositories":
        problems.append(
            Problem(
                repository.place,
                f"repository {source!r} stands for what the Open Build Service offers, and cannot be used elsewhere. "
                "Give option repositories of this module.",
            )
        )
    elif parts.scheme not in _REMOTE:
        problems.append(
            Problem(
                repository.place,
                f"repository {shown(source)!r} has no known scheme (http, https, ftp, obs, file, dir, this). Give "
                "option repositories of this module.",
            )
        )
    elif parts.query.startswith("credentials="):
        problems.append(
            Problem(
                repository.place,
                "the file with credentials is not read. Give username and password in option repositories.",
            )
        )
        return urllib.parse.urlunsplit(parts._replace(query=""))
    return source


def _key(repository: Repository, key: str, files: DescriptionDirectory, release: str, problems: list[Problem]) -> str:
    if key.startswith("this:"):
        return "file://" + _beside(repository.place, key, files, problems, "signing key")
    if key.startswith("file:") and not re.match(r"file:(//(localhost)?)?/", key):
        problems.append(
            Problem(repository.place, f"signing key {key!r}: file: needs an absolute path. Use this://PATH.")
        )
    if release:
        key = key.replace("${releasever}", release).replace("$releasever", release)
    return key


def _beside(place: Place, url: str, files: DescriptionDirectory, problems: list[Problem], what: str) -> str:
    relative = url.removeprefix("this:").lstrip("/")
    path, problem = files.beside(relative or ".", place, f"{what} {url!r}")
    if problem is not None:
        problems.append(Problem(place, problem))
    return os.path.realpath(path)


def _is_archive(repository: Repository) -> bool:
    """Whether it is the archive of Debian or Ubuntu, a mirror of it, or the Open Build Service's copy."""
    host, path = _host_and_path(repository.source)
    return bool(_UBUNTU_HOST.search(host) or _DEBIAN_HOST.search(host) or _ARCHIVE_PATH.search(path))


def _host_and_path(source: str) -> tuple[str, str]:
    """Host and path of a URL in small letters; projects of the Open Build Service have no host."""
    try:
        parts = urllib.parse.urlsplit(source)
        host = parts.hostname or ""
    except ValueError:
        return "", ""
    if parts.scheme == "obs":
        return "", f"obs:{parts.netloc}{parts.path}".lower()
    return host.lower(), parts.path.rstrip("/").lower()

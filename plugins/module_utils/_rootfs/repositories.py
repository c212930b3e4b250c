# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Package repositories of the apt kind. Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import typing as t
import urllib.parse

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
UBUNTU_KEYRING = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"
_DEBIAN_MIRROR = "http://deb.debian.org/debian"
_DEBIAN_SECURITY = "http://deb.debian.org/debian-security"
_UBUNTU_MIRROR = "http://archive.ubuntu.com/ubuntu"
_UBUNTU_SECURITY = "http://security.ubuntu.com/ubuntu"


@dataclasses.dataclass(frozen=True)
class Repository:
    """One apt repository.

    Attributes:
        name: of its files in the image, such as ``debian-security``.
        uri: where it is.
        suite: such as ``bookworm``; ending in a slash for a flat repository, which has no components.
        components: such as ``main``.
        keyring: file on the build host with the keys that may sign it.
        priority: apt pin priority (apt_preferences(5)), or None for apt's own rules.
        include_in_image: whether the image keeps it as a package source.
        check_valid_until: whether a Release file that has expired is refused.
    """

    name: str
    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: str
    priority: int | None = None
    include_in_image: bool = True
    check_valid_until: bool = True

    def sources(self, keyring: str) -> str:
        """The repository as a deb822 stanza (sources.list(5)) with its keys in ``keyring``."""
        lines = ["Types: deb", f"URIs: {self.uri}", f"Suites: {self.suite}"]
        if self.components:
            lines.append(f"Components: {' '.join(self.components)}")
        lines.append(f"Signed-By: {keyring}")
        if not self.check_valid_until:
            lines.append("Check-Valid-Until: no")
        return "\n".join(lines) + "\n"

    def preferences(self, *, shared_host: bool) -> str:
        """The pin of this repository (apt_preferences(5)); by suite where several repositories share a host."""
        host = urllib.parse.urlsplit(self.uri).hostname or ""
        pin = f"release n={self.suite}" if shared_host else f'origin "{host}"'
        return f"Explanation: {self.name}\nPackage: *\nPin: {pin}\nPin-Priority: {self.priority}\n"

    def masked_uri(self) -> str:
        """The URI with a digest in place of a password."""
        parts = urllib.parse.urlsplit(self.uri)
        if parts.password is None:
            return self.uri
        digest = hashlib.sha256(self.uri.encode()).hexdigest()[:16]
        return self.uri.replace(f"{parts.username}:{parts.password}@", f"(secret {digest})@")

    def is_local(self) -> bool:
        """Whether apt reads it from the build host's own files."""
        return self.uri.startswith(("file:", "copy:"))


def preferences(repositories: t.Sequence[Repository]) -> str:
    """All pins, for one file in apt's preferences.d; empty when no repository has a priority."""
    hosts = [urllib.parse.urlsplit(repository.uri).hostname for repository in repositories]
    return "\n".join(
        repository.preferences(shared_host=hosts.count(urllib.parse.urlsplit(repository.uri).hostname) > 1)
        for repository in repositories
        if repository.priority is not None
    )


def default_repositories(distribution: str, release: str, mirror: str | None) -> list[Repository]:
    """The distribution's own repositories of a release: the release, its updates and its security updates."""
    if distribution == "debian":
        mirror, security, keyring = mirror or _DEBIAN_MIRROR, _DEBIAN_SECURITY, DEBIAN_KEYRING
        components = ("main",)
    else:
        mirror, security, keyring = mirror or _UBUNTU_MIRROR, _UBUNTU_SECURITY, UBUNTU_KEYRING
        components = ("main", "universe")
    found = [Repository(distribution, mirror, release, components, keyring)]
    if distribution == "debian" and release in ("sid", "unstable"):
        return found
    return [
        *found,
        Repository(f"{distribution}-updates", mirror, f"{release}-updates", components, keyring),
        Repository(f"{distribution}-security", security, f"{release}-security", components, keyring),
    ]


def declared_repositories(items: t.Sequence[dict[str, t.Any]]) -> list[Repository]:
    """Repositories from the option ``repositories``; StageError naming the item and what is wrong with it."""
    found: list[Repository] = []
    for index, item in enumerate(items):
        where = f"repositories[{index}]"
        name = item.get("name") or f"repository-{index + 1}"
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise StageError(f"{where}.name: {name!r} may only have letters, digits, dots, hyphens and underscores.")
        if any(name == other.name for other in found):
            raise StageError(f"{where}.name: {name!r} is used twice. Give each repository a name of its own.")
        if not re.match(r"(https?|ftp|file|copy):/", item["uri"]):
            raise StageError(f"{where}.uri: {item['uri']!r} does not start with http:, https:, ftp:, file: or copy:.")
        if not item["keyring"].startswith("/"):
            raise StageError(f"{where}.keyring: {item['keyring']!r} must be an absolute path on the build host.")
        flat = item["suite"].endswith("/")
        components = tuple(item.get("components") or (() if flat else ("main",)))
        if flat and components:
            raise StageError(f"{where}.components: a flat repository (suite {item['suite']!r}) has no components.")
        found.append(
            Repository(
                name,
                item["uri"],
                item["suite"],
                components,
                item["keyring"],
                item.get("priority"),
                item.get("include_in_image", True),
                item.get("check_valid_until", True),
            )
        )
    return found

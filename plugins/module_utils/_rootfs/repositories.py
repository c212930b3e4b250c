# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Package repositories of the apt kind. Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import typing as t
import urllib.parse

from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import image_path
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.keys import binary_keyring

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
UBUNTU_KEYRING = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"
_DEBIAN_MIRROR = "http://deb.debian.org/debian"
_DEBIAN_SECURITY = "http://deb.debian.org/debian-security"
_UBUNTU_MIRROR = "http://archive.ubuntu.com/ubuntu"
_UBUNTU_SECURITY = "http://security.ubuntu.com/ubuntu"

# How apt downloads, whoever calls it: a mirror that hangs is given up, translated descriptions are left out.
ACQUIRE = {
    "Acquire::Languages": "none",
    "Acquire::Retries": "3",
    "Acquire::http::Timeout": "30",
    "Acquire::https::Timeout": "30",
}


@dataclasses.dataclass(frozen=True)
class Repository:
    """One apt repository.

    Attributes:
        name: of its files in the image, such as ``debian-security``.
        uri: where it is.
        suite: such as ``bookworm``; ending in a slash for a flat repository, which has no components.
        components: such as ``main``.
        keyring: file on the build host with the keys that may sign it, or None when they are in ``keys``.
        priority: apt pin priority (apt_preferences(5)), or None for apt's own rules.
        include_in_image: whether the image keeps it as a package source.
        check_valid_until: whether a Release file that has expired is refused.
        keys: binary keyring with the keys that may sign it, or None.
        trusted: whether it is used without a valid signature.
        imageonly: whether it is a package source of the image, but no packages are installed from it.
        architectures: the architectures that it is asked for; none means apt's own rules.
        username: to log in with, or None.
        password: to log in with, or None.
    """

    name: str
    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: str | None
    priority: int | None = None
    include_in_image: bool = True
    check_valid_until: bool = True
    keys: bytes | None = None
    trusted: bool = False
    imageonly: bool = False
    architectures: tuple[str, ...] = ()
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)

    def sources(self, keyring: str | None) -> str:
        """The repository as a deb822 stanza (sources.list(5)) with its keys in ``keyring``."""
        lines = ["Types: deb", f"URIs: {self.uri}", f"Suites: {self.suite}"]
        if self.components:
            lines.append(f"Components: {' '.join(self.components)}")
        if self.architectures:
            lines.append(f"Architectures: {' '.join(self.architectures)}")
        if keyring is not None:
            lines.append(f"Signed-By: {keyring}")
        if not self.check_valid_until:
            lines.append("Check-Valid-Until: no")
        if self.trusted:
            lines.append("Trusted: yes")
        return "\n".join(lines) + "\n"

    def keyring_file(self, folder: str) -> str | None:
        """A file on this host with its keys; written to ``folder`` when they were given as text. None without keys."""
        if self.keys is None:
            return self.keyring
        path = os.path.join(folder, f"{self.name}.gpg")
        with open(path, "wb") as stream:
            stream.write(self.keys)
        return path

    def keyring_in_image(self, root: str) -> tuple[str, bytes] | None:
        """Where its keys belong in the image, and what to write there (nothing: they are there). None without keys."""
        if self.keys is not None:
            return f"/etc/apt/keyrings/{self.name}.gpg", self.keys
        if self.keyring is None:
            return None
        if image_path.exists(root, self.keyring):
            return self.keyring, b""
        with open(self.keyring, "rb") as stream:
            return f"/etc/apt/keyrings/{self.name}{os.path.splitext(self.keyring)[1]}", stream.read()

    def credentials(self) -> str:
        """Its entry for apt_auth.conf(5); empty when it needs none."""
        if self.username is None:
            return ""
        return f"machine {self.uri.rstrip('/')}/ login {self.username} password {self.password or ''}\n"

    def inputs(self) -> dict[str, t.Any]:
        """The repository for a fingerprint, without its name; secrets only as digests."""
        found: dict[str, t.Any] = {
            "uri": self.uri,
            "suite": self.suite,
            "components": list(self.components),
            "priority": self.priority,
            "keys": self._keys_digest(),
        }
        if not self.check_valid_until:
            found["check_valid_until"] = False
        if self.trusted:
            found["trusted"] = True
        if self.architectures:
            found["architectures"] = list(self.architectures)
        if self.username is not None:
            found["credentials"] = hashlib.sha256(self.credentials().encode()).hexdigest()[:16]
        return found

    def _keys_digest(self) -> str | None:
        if self.keys is not None:
            return hashlib.sha256(self.keys).hexdigest()
        if self.keyring is None:
            return None
        return file_sha256(self.keyring) if os.path.isfile(self.keyring) else "missing"

    def preferences(self, *, shared_host: bool) -> str:
        """The pin of this repository (apt_preferences(5)); by suite where several repositories share a host."""
        host = urllib.parse.urlsplit(self.uri).hostname or ""
        pin = f"release n={self.suite}" if shared_host else f'origin "{host}"'
        return f"Explanation: {self.name}\nPackage: *\nPin: {pin}\nPin-Priority: {self.priority}\n"

    def list_prefix(self) -> str:
        """What the names of its files in apt's lists folder start with."""
        place = re.sub(r"^[a-z]+:(//)?", "", short_uri(self.uri)).rstrip("/")
        place += f"/{self.suite.strip('/')}/" if self.suite.endswith("/") else f"/dists/{self.suite}/"
        quoted = re.sub(r'[\\|{}\[\]<>"^~_=!@#$%&*]', lambda found: f"%{ord(found[0]):02x}", place)
        return quoted.replace("/", "_")

    def is_local(self) -> bool:
        """Whether apt reads it from the build host's own files."""
        return self.uri.startswith(("file:", "copy:"))


def short_uri(uri: str) -> str:
    """A URI with one slash where apt leaves out the other two (``copy:///srv``)."""
    return re.sub(r"^(file|copy):/+", r"\1:/", uri)


def _without_login(uri: str) -> tuple[str, str | None, str | None]:
    """A URI, user name and password, which stand in what apt prints and in the image when they stay in the URI."""
    parts = urllib.parse.urlsplit(uri)
    if parts.username is None:
        return uri, None, None
    plain = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    password = urllib.parse.unquote(parts.password) if parts.password is not None else None
    return plain, urllib.parse.unquote(parts.username), password


def exclusions(packages: t.Sequence[str]) -> str:
    """A pin that makes apt refuse packages (apt_preferences(5): a priority below 0); empty when there are none."""
    if not packages:
        return ""
    return f"Explanation: packages_exclude\nPackage: {' '.join(packages)}\nPin: release *\nPin-Priority: -1\n"


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
    mirror, username, password = _without_login(mirror)
    login = {"username": username, "password": password}
    _check_credentials("mirror", {"uri": mirror, **login})
    found = [Repository(distribution, mirror, release, components, keyring, **login)]
    if distribution == "debian" and release in ("sid", "unstable"):
        return found
    return [
        *found,
        Repository(f"{distribution}-updates", mirror, f"{release}-updates", components, keyring, **login),
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
        if item.get("keyring") and not item["keyring"].startswith("/"):
            raise StageError(f"{where}.keyring: {item['keyring']!r} must be an absolute path on the build host.")
        flat = item["suite"].endswith("/")
        components = tuple(item.get("components") or (() if flat else ("main",)))
        if flat and components:
            raise StageError(f"{where}.components: a flat repository (suite {item['suite']!r}) has no components.")
        _check_trust(where, item)
        item = _with_login(where, item)
        _check_credentials(where, item)
        found.append(
            Repository(
                name,
                item["uri"],
                item["suite"],
                components,
                item.get("keyring"),
                item.get("priority"),
                item.get("include_in_image", True),
                item.get("check_valid_until", True),
                keys=_keys(where, item.get("keys")),
                trusted=bool(item.get("trusted")),
                imageonly=bool(item.get("imageonly")),
                architectures=tuple(item.get("architectures") or ()),
                username=item.get("username"),
                password=item.get("password"),
            )
        )
    if found and all(repository.imageonly for repository in found):
        raise StageError("repositories: all of them are imageonly, so there is none to install packages from.")
    return found


def _check_trust(where: str, item: t.Mapping[str, t.Any]) -> None:
    if item.get("keyring") and item.get("keys"):
        raise StageError(f"{where}: give either keyring or keys.")
    if not (item.get("keyring") or item.get("keys") or item.get("trusted")):
        raise StageError(
            f"{where}: give the keys that sign this repository as keyring (a file on the build host) or keys (files on "
            "the controller, or armored text). trusted: true uses it without any check."
        )
    if item.get("imageonly") and not item.get("include_in_image", True):
        raise StageError(f"{where}: with imageonly and without include_in_image the repository has no use at all.")
    for architecture in item.get("architectures") or ():
        if not re.fullmatch(r"[a-z0-9-]+", architecture):
            raise StageError(f"{where}.architectures: {architecture!r} is not Debian's name of an architecture.")


def _with_login(where: str, item: dict[str, t.Any]) -> dict[str, t.Any]:
    """The item with a login in its URI moved to where logins belong."""
    uri, username, password = _without_login(item["uri"])
    if username is None:
        return item
    if item.get("username") is not None or item.get("password") is not None:
        raise StageError(f"{where}.uri has a login, and so have {where}.username and password. Give it once.")
    return {**item, "uri": uri, "username": username, "password": password}


def _check_credentials(where: str, item: t.Mapping[str, t.Any]) -> None:
    if item.get("username") is None:
        if item.get("password") is not None:
            raise StageError(f"{where}.password needs {where}.username.")
        return
    if not re.match(r"(https?|ftp)://", item["uri"]):
        raise StageError(f"{where}.username: only http:, https: and ftp: repositories take a user name and password.")
    for option in ("username", "password"):
        # The format of the file has no quotes (apt_auth.conf(5)).
        if re.search(r"\s", item.get(option) or "") or item.get(option) == "":
            raise StageError(f"{where}.{option} must not be empty or hold blanks: apt has no way to write them.")


def _keys(where: str, given: t.Sequence[str] | None) -> bytes | None:
    if not given:
        return None
    keyring = b""
    for index, text in enumerate(given):
        try:
            keyring += binary_keyring(text)
        except ValueError as problem:
            raise StageError(
                f"{where}.keys[{index}] is not an armored OpenPGP public key: {problem}. Give the text of a key, or a "
                "file on the controller that holds one."
            ) from problem
    return keyring

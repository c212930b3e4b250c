# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users and groups of an image. Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

# useradd(8) on Debian, without the trailing dollar of Samba machine accounts.
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
# crypt(5): "$id$...", or a marker that no password matches.
_CRYPT_HASH = re.compile(r"\$[0-9a-z]+\$[^:\s]+\Z")


@dataclasses.dataclass(frozen=True)
class Group:
    """A group to create."""

    name: str
    gid: int | None = None
    system: bool = False


@dataclasses.dataclass(frozen=True)
class User:
    """A user to create, or (root, or one that a package made) to change.

    Attributes:
        password: crypt hash (crypt(5)), ``*`` or ``!`` for none; None leaves the account locked, as useradd does.
    """

    name: str
    password: str | None = None
    uid: int | None = None
    group: str | None = None
    groups: tuple[str, ...] = ()
    shell: str | None = None
    home: str | None = None
    comment: str | None = None
    system: bool = False
    ssh_authorized_keys: tuple[str, ...] = ()

    def identity(self) -> dict[str, t.Any]:
        """The user for a fingerprint; the password hash only as a digest."""
        values = dataclasses.asdict(self)
        del values["name"]
        values["groups"] = sorted(self.groups)
        values["ssh_authorized_keys"] = list(self.ssh_authorized_keys)
        if self.password is not None:
            values["password"] = "(secret) " + hashlib.sha256(self.password.encode()).hexdigest()[:16]
        return {key: value for key, value in values.items() if value is not None and value is not False and value != []}

    def account(self) -> dict[str, t.Any]:
        """What of the user is in /etc/passwd and /etc/group."""
        return {key: value for key, value in self.identity().items() if key not in ("password", "ssh_authorized_keys")}


def declared_groups(items: t.Sequence[t.Mapping[str, t.Any]]) -> list[Group]:
    """Groups from the option ``groups``; StageError naming the item at fault."""
    found = []
    for index, item in enumerate(items):
        _check_name(f"groups[{index}].name", item["name"])
        found.append(Group(item["name"], item.get("gid"), bool(item.get("system"))))
    return found


def declared_users(items: t.Sequence[t.Mapping[str, t.Any]]) -> list[User]:
    """Users from the option ``users``; StageError naming the item at fault."""
    found: list[User] = []
    for index, item in enumerate(items):
        where = f"users[{index}]"
        _check_name(f"{where}.name", item["name"])
        if any(user.name == item["name"] for user in found):
            raise StageError(f"{where}.name: {item['name']!r} is declared twice.")
        password = item.get("password")
        if password is not None and password not in ("*", "!", "!*") and not _CRYPT_HASH.match(password):
            raise StageError(
                f"{where}.password of {item['name']} is not a crypt hash. Plain passwords are not taken: give the "
                "output of 'mkpasswd --method=yescrypt' or of the filter password_hash('sha512')."
            )
        for key in item.get("ssh_authorized_keys") or ():
            if "\n" in key.strip():
                raise StageError(f"{where}.ssh_authorized_keys of {item['name']}: give one key an item.")
        found.append(
            User(
                name=item["name"],
                password=password,
                uid=item.get("uid"),
                group=item.get("group"),
                groups=tuple(item.get("groups") or ()),
                shell=item.get("shell"),
                home=item.get("home"),
                comment=item.get("comment"),
                system=bool(item.get("system")),
                ssh_authorized_keys=tuple(key.strip() for key in item.get("ssh_authorized_keys") or ()),
            )
        )
    return found


def _check_name(option: str, name: str) -> None:
    if not _NAME.match(name):
        raise StageError(
            f"{option}: {name!r} is not a valid name: a lower-case letter or underscore first, then at most 31 of "
            "lower-case letters, digits, hyphens and underscores."
        )

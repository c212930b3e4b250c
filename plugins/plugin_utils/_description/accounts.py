# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users and groups of a description. Private to this collection."""

from __future__ import annotations

import hashlib
import re
import typing as t

from ansible.errors import AnsibleError
from ansible.utils.encrypt import do_encrypt

from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import Document
from ansible_collections.liveforge.images.plugins.plugin_utils._description.selection import Selection

if t.TYPE_CHECKING:
    from lxml import etree

_SALT_CHARACTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Enough to slow down guessing, and still a fraction of a second without a compiled implementation.
_ROUNDS = 60000
# Hashing takes a tenth of a second each where no compiled implementation is installed.
MAXIMUM_PLAIN_PASSWORDS = 100
_CRYPT_HASH = re.compile(r"\$[0-9a-z]+\$[^:\s]+|[*!]+")


class Accounts:
    """Users by name: the first entry of a name counts, and the groups of all its entries together.

    Attributes:
        users: as live_rootfs takes them. The first group of a user is the primary one.
        groups: as live_rootfs takes them, in the order in which users name them.
        elements: the entry that counts, by name of the user.
    """

    def __init__(self, selection: Selection) -> None:
        document = selection.document
        image = document.root.get("name", "")
        self.elements: dict[str, etree._Element] = {}
        memberships: dict[str, list[str]] = {}
        for entry in selection.entries(selection.sections("users"), "user"):
            name = entry.get("name", "")
            self.elements.setdefault(name, entry)
            groups = memberships.setdefault(name, [])
            groups += (group for group in (entry.get("groups") or "").split(",") if group)
        plain = [entry for entry in self.elements.values() if entry.get("pwdformat") == "plain"]
        if len(plain) > MAXIMUM_PLAIN_PASSWORDS:
            raise document.error(
                plain[MAXIMUM_PLAIN_PASSWORDS],
                f"more than {MAXIMUM_PLAIN_PASSWORDS} users have plain passwords, which must all be hashed. Write "
                'hashes made by "openssl passwd -6", without pwdformat="plain".',
                "pwdformat",
            )
        numbers: dict[str, str] = {}
        self.users: list[dict[str, t.Any]] = []
        for name, entry in self.elements.items():
            own: dict[str, str] = {}
            for membership in dict.fromkeys(memberships[name]):
                group, dummy, number = membership.partition(":")
                own[group] = number
                numbers[group] = numbers.get(group) or number
            self.users.append(_user(document, entry, image, list(own)))
        self.groups: list[dict[str, t.Any]] = [
            {"name": name, "gid": int(number)} if number.isdecimal() and len(number) < 11 else {"name": name}
            for name, number in numbers.items()
        ]


def _user(document: Document, entry: etree._Element, image: str, groups: list[str]) -> dict[str, t.Any]:
    name = entry.get("name", "")
    user: dict[str, t.Any] = {"name": name}
    password = entry.get("password", "")
    if password and entry.get("pwdformat") == "plain":
        password = crypt_hash(document, entry, password, f"{image}\0{name}")
    elif password and not _CRYPT_HASH.fullmatch(password):
        document.warn(
            entry,
            f"the password of {name} is not a crypt hash such as $6$salt$..., so it cannot be built. If it is the "
            'password itself, say pwdformat="plain".',
            "password",
        )
    if password:
        user["password"] = password
    number = entry.get("id")
    if number is not None:
        if len(number.strip()) > 10:
            raise document.error(entry, f"the id of {name} is too large.", "id")
        user["uid"] = int(number)
    if groups:
        user["group"] = groups[0]
        user["groups"] = groups[1:]
    for option, attribute in (("home", "home"), ("comment", "realname"), ("shell", "shell")):
        if entry.get(attribute):
            user[option] = entry.get(attribute)
    return user


def crypt_hash(document: Document, entry: etree._Element, password: str, identity: str) -> str:
    """SHA-512 crypt hash of a password, the same each time.

    The salt is made of the image's and the user's name, so that another run changes nothing. It says nothing about the
    password, which a salt made of it would.
    """
    digest = hashlib.sha256(identity.encode()).digest()
    salt = "".join(_SALT_CHARACTERS[byte % 64] for byte in digest[:16])
    try:
        return t.cast("str", do_encrypt(password, "sha512_crypt", salt=salt, rounds=_ROUNDS))
    except (AnsibleError, ValueError) as problem:
        raise document.error(
            entry,
            "the plain password cannot be hashed on the controller (is the Python package passlib installed there?). "
            'Or write a hash made by "openssl passwd -6", without pwdformat="plain".',
            "password",
        ) from problem

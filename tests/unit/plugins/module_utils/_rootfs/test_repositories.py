# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Package repositories: what apt is told, what the image keeps, and what a fingerprint shows of secrets."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.keys import armored
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import (
    Repository,
    declared_repositories,
)

KEY = b"\x99\x01\x0d" + bytes(200)
SECRET = "hunter-2-secret"


def declared(**options: t.Any) -> Repository:
    item = {"uri": "https://example.org/debian", "suite": "stable", **options}
    return declared_repositories([item])[0]


def test_keys_become_a_keyring_of_the_repository(tmp_path: pathlib.Path) -> None:
    repository = declared(name="site", keys=[armored(KEY), armored(KEY)])
    path = repository.keyring_file(str(tmp_path))
    assert path == f"{tmp_path}/site.gpg"
    assert pathlib.Path(path).read_bytes() == KEY + KEY
    assert repository.keyring_in_image("/") == ("/etc/apt/keyrings/site.gpg", KEY + KEY)
    assert "Signed-By: /x\n" in repository.sources("/x")


def test_trusted_repositories_need_no_keys(tmp_path: pathlib.Path) -> None:
    repository = declared(trusted=True)
    assert repository.keyring_file(str(tmp_path)) is None
    assert repository.keyring_in_image("/") is None
    assert repository.sources(None).endswith("Trusted: yes\n")
    assert "Signed-By" not in repository.sources(None)


def test_architectures_are_asked_for() -> None:
    assert "Architectures: amd64 i386\n" in declared(trusted=True, architectures=["amd64", "i386"]).sources(None)


def test_logins_are_for_this_repository_alone_and_in_no_other_text() -> None:
    repository = declared(trusted=True, username="me", password=SECRET)
    assert repository.credentials() == f"machine https://example.org/debian/ login me password {SECRET}\n"
    assert SECRET not in repository.sources(None)
    assert SECRET not in repr(repository)
    assert SECRET not in str(repository.inputs())
    other = declared(trusted=True, username="me", password=SECRET + "x")
    assert other.inputs() != repository.inputs()


def test_a_login_in_the_uri_is_not_for_who_only_reads_package_lists() -> None:
    repository = declared(trusted=True, uri=f"https://me:{SECRET}@example.org:8080/debian")
    assert f"URIs: https://me:{SECRET}@example.org:8080/debian\n" in repository.sources(None)
    assert "URIs: https://example.org:8080/debian\n" in repository.sources(None, login=False)


def test_rare_options_are_not_in_the_fingerprint_of_those_who_lack_them() -> None:
    assert set(declared(keyring="/x").inputs()) == {"uri", "suite", "components", "priority", "keys"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"repositories\[0\]: give the keys that sign this repository as keyring .* or keys"),
        ({"keyring": "/x", "keys": [armored(KEY)]}, r"repositories\[0\]: give either keyring or keys"),
        ({"keyring": "x"}, r"repositories\[0\].keyring: 'x' must be an absolute path"),
        ({"keys": ["nonsense"]}, r"repositories\[0\].keys\[0\] is not an armored OpenPGP public key: it has no line"),
        ({"trusted": True, "password": "x"}, r"repositories\[0\].password needs repositories\[0\].username"),
        ({"trusted": True, "username": "a b"}, r"repositories\[0\].username must not be empty or hold blanks"),
        ({"trusted": True, "architectures": ["x86 64"]}, r"'x86 64' is not Debian's name of an architecture"),
        ({"trusted": True, "imageonly": True, "include_in_image": False}, r"has no use at all"),
    ],
)
def test_contradictions_are_refused(options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        declared(**options)

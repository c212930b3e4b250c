# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What apt's own tools left of where packages came from, as a lock needs it."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._rootfs.archive import ArchiveRecord, paragraphs
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import Repository

SHOWN = """\
Package: htop
Version: 3.4.1-5
Priority: optional
Architecture: amd64
Description: interactive processes viewer
 Version: not this one
SHA256: aaaa

Package: less
Version: 1:668-1
Architecture: amd64
SHA256: bbbb

Package: local
Version: 1
Architecture: all
SHA256: cccc

Package: own
Version: 1
Architecture: all
"""
URIS = """\
'http://mirror/debian/pool/main/h/htop/htop_3.4.1-5_amd64.deb' htop_3.4.1-5_amd64.deb 3 SHA256:aaaa
'http://site/debs/less_1%3a668-1_amd64.deb' less_1%3a668-1_amd64.deb 3 SHA256:bbbb
'copy:/srv/my%20debs/./local_1_all.deb' local_1_all.deb 3 SHA256:cccc
"""
REPOSITORIES = [
    Repository("debian", "http://mirror/debian/", "trixie", ("main",), "/keys.gpg"),
    Repository("local", "copy:///srv/my%20debs", "./", (), None, trusted=True),
    Repository("site", "http://site/debs", "./", (), "/keys.gpg", username="user", password="word"),
]


@pytest.fixture
def record(tmp_path: pathlib.Path) -> ArchiveRecord:
    (tmp_path / "installed").write_text("htop 3.4.1-5 amd64\nless 1:668-1 amd64\nlocal 1 all\nown 1 all\n")
    (tmp_path / "shown").write_text(SHOWN)
    (tmp_path / "uris").write_text(URIS)
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases/mirror_debian_dists_trixie_InRelease").write_text(
        "Suite: stable\nDate: Sat, 15 Nov 2025 10:00:00 UTC\n"
    )
    return ArchiveRecord(str(tmp_path), REPOSITORIES)


def test_packages_and_their_origins_are_known(record: ArchiveRecord) -> None:
    facts = record.facts()
    assert facts["packages"]["htop"] == {
        "version": "3.4.1-5",
        "architecture": "amd64",
        "sha256": "aaaa",
        "priority": "optional",
        "repository": "debian",
        "file": "pool/main/h/htop/htop_3.4.1-5_amd64.deb",
    }
    assert facts["packages"]["less"]["repository"] == "site"
    assert (facts["packages"]["local"]["repository"], facts["packages"]["local"]["file"]) == (
        "local",
        "./local_1_all.deb",
    )
    assert facts["unknown"] == ["own"]
    assert record.installed() == {"htop": "3.4.1-5", "less": "1:668-1", "local": "1", "own": "1"}


def test_the_newest_release_file_gives_the_date(record: ArchiveRecord) -> None:
    facts = record.facts()
    assert facts["releases"]["debian"]["date"] == "Sat, 15 Nov 2025 10:00:00 UTC"
    assert facts["source_date_epoch"] == 1763200800


def test_a_field_is_its_first_line() -> None:
    assert paragraphs(SHOWN)[0]["Version"] == "3.4.1-5"

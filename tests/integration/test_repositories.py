# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live_rootfs with a repository of one's own: its keys, its login, and what of them the image gets."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import typing as t

import pytest

import playbook
from web_server import QuietHandler, serve

LOGIN = ("builder", "pass-word-of-the-repository")


@pytest.fixture(scope="module")
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("repositories-test") as folder:
        playbook.own_package_cache(folder)
        yield folder


def gpg(home: pathlib.Path, *arguments: str) -> bytes:
    done = subprocess.run(
        [
            "gpg",
            "--homedir",
            str(home),
            "--batch",
            "--yes",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            *arguments,
        ],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return done.stdout


@pytest.fixture(scope="module")
def key(workspace: pathlib.Path) -> pathlib.Path:
    """A binary key file; its private part signs the repository."""
    home = workspace / "gnupg"
    home.mkdir(mode=0o700)
    gpg(home, "--quick-generate-key", "site@example.org", "rsa3072", "sign", "never")
    path = workspace / "site.gpg"
    path.write_bytes(gpg(home, "--export", "site@example.org"))
    return path


def make_package(workspace: pathlib.Path, folder: pathlib.Path, name: str, postinst: str | None = None) -> str:
    """Build a package into ``folder``; returns its paragraph of the repository's index."""
    control = workspace / "packages" / name / "DEBIAN/control"
    control.parent.mkdir(parents=True)
    fields = (
        f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: Site <site@example.org>\nDescription: tool\n"
    )
    control.write_text(fields)
    if postinst is not None:
        control.with_name("postinst").write_text(postinst)
        control.with_name("postinst").chmod(0o755)
    deb = folder / f"{name}_1.0_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(control.parent.parent), str(deb)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    content = deb.read_bytes()
    return f"{fields}Filename: ./{deb.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"


# Keeps what it sees of the folder that apt goes by, and puts links to a file of the build host wherever it can.
NOSY = """\
#!/bin/sh
cd /run/liveforge-apt || exit 1
find . -type f >/seen-names
find . -maxdepth 1 -type f -exec cat {{}} + >/seen-text
for name in below installed shown uris releases apt.conf outside.conf; do
    rm -rf $name && ln -s {victim} $name
done
rm -f lists/*
for package in archives/*.deb; do
    echo more >>$package
done
exit 0
"""


@pytest.fixture(scope="module")
def victim(workspace: pathlib.Path) -> pathlib.Path:
    """A file of the build host that no package may reach."""
    path = workspace / "file-of-the-host"
    path.write_text("of the host\n")
    return path


@pytest.fixture(scope="module")
def repository(workspace: pathlib.Path, key: pathlib.Path, victim: pathlib.Path) -> pathlib.Path:
    """A flat repository with two packages, signed."""
    folder = workspace / "www/site"
    folder.mkdir(parents=True)
    packages = make_package(workspace, folder, "site-tool")
    packages += "\n" + make_package(workspace, folder, "nosy-tool", NOSY.format(victim=victim))
    (folder / "Packages").write_text(packages)
    digest = hashlib.sha256(packages.encode()).hexdigest()
    (folder / "Release").write_text(
        "Origin: Site\nSuite: site\nCodename: site\nDate: Sat, 01 Nov 2025 00:00:00 UTC\nArchitectures: amd64 all\n"
        f"SHA256:\n {digest} {len(packages)} Packages\n"
    )
    gpg(workspace / "gnupg", "--clearsign", "--output", str(folder / "InRelease"), str(folder / "Release"))
    return folder


class Guarded(QuietHandler):
    """Serves files to who logs in."""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="site"')
            self.end_headers()
            return
        super().do_GET()


@pytest.fixture(scope="module")
def site(repository: pathlib.Path) -> t.Iterator[str]:
    with serve(functools.partial(Guarded, directory=str(repository.parent))) as port:
        yield f"http://127.0.0.1:{port}/site"


def armored(key: pathlib.Path) -> str:
    body = base64.encodebytes(key.read_bytes()).decode()
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{body}-----END PGP PUBLIC KEY BLOCK-----\n"


def rootfs(workspace: pathlib.Path, repositories: list[dict[str, t.Any]], **options: t.Any) -> dict[str, t.Any]:
    return playbook.module(
        "live_rootfs",
        {
            "dest": str(workspace / "rootfs"),
            "release": "bookworm",
            "variant": "apt",
            "lock_timeout": 0,
            "cache": str(workspace / "cache"),
            "packages": ["site-tool"],
            "repositories": [playbook.DEBIAN, *repositories],
            **options,
        },
        workspace,
    )


@pytest.fixture(scope="module")
def declared(site: str, key: pathlib.Path) -> list[dict[str, t.Any]]:
    username, password = LOGIN
    return [
        {
            "name": "site",
            "uri": site,
            "suite": "./",
            "keys": [armored(key)],
            "username": username,
            "password": password,
            "priority": 900,
        },
        {
            "name": "later",
            "uri": "http://later.example.org/debian",
            "suite": "x",
            "keys": [armored(key)],
            "imageonly": True,
        },
    ]


@pytest.fixture(scope="module")
def built(workspace: pathlib.Path, declared: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    result = rootfs(workspace, declared)
    assert not result.get("failed"), result
    return result


def test_packages_come_from_a_signed_repository_behind_a_login(built: dict[str, t.Any]) -> None:
    assert built["packages"]["site-tool"] == "1.0"


def test_keys_work_where_apt_checks_signatures_as_its_own_user(
    workspace: pathlib.Path, declared: list[dict[str, t.Any]]
) -> None:
    """mmdebstrap lets it do so when that user can get to the tree, which is not so below a home folder."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        result = rootfs(workspace, [declared[0]], dest=f"{folder}/rootfs")
        assert not result.get("failed"), result["msg"]
        assert "performed unsandboxed" not in pathlib.Path(folder, "rootfs.packages.tar.zst.log").read_text()


def test_the_image_does_not_have_the_name_of_the_build_host(built: dict[str, t.Any], workspace: pathlib.Path) -> None:
    assert not (workspace / "rootfs/etc/hostname").exists()
    assert "127.0.0.1 localhost\n" in (workspace / "rootfs/etc/hosts").read_text()


def test_the_image_has_keys_and_sources_but_no_login(
    built: dict[str, t.Any], workspace: pathlib.Path, key: pathlib.Path
) -> None:
    apt = workspace / "rootfs/etc/apt"
    assert (apt / "keyrings/site.gpg").read_bytes() == key.read_bytes()
    assert "Signed-By: /etc/apt/keyrings/site.gpg" in (apt / "sources.list.d/site.sources").read_text()
    later = (apt / "sources.list.d/later.sources").read_text()
    assert "URIs: http://later.example.org/debian" in later
    packages = workspace / "unpacked"
    packages.mkdir()
    subprocess.run(["tar", "-xf", str(workspace / "rootfs.packages.tar.zst"), "-C", str(packages)], check=True)
    for root in (workspace / "rootfs", packages):
        found = subprocess.run(["grep", "-rlF", LOGIN[1], str(root)], stdout=subprocess.PIPE, text=True, check=False)
        assert found.stdout == ""
        assert list((root / "etc/apt/auth.conf.d").glob("*")) == []


def test_the_login_is_in_no_log_and_no_stage_file(built: dict[str, t.Any], workspace: pathlib.Path) -> None:
    assert LOGIN[1] not in str({name: value for name, value in built.items() if name != "invocation"})
    assert LOGIN[1] not in str(built)
    for name in os.listdir(workspace):
        path = workspace / name
        # The options of the call itself are the test's own file.
        if path.is_file() and name != "live_rootfs.json":
            assert LOGIN[1].encode() not in path.read_bytes(), name


def test_nothing_changes_until_the_login_or_the_source_changes(
    built: dict[str, t.Any], workspace: pathlib.Path, declared: list[dict[str, t.Any]]
) -> None:
    assert rootfs(workspace, declared)["changed"] is False
    other = [{**declared[0], "password": "another"}, declared[1]]
    foreseen = rootfs(workspace, other, _ansible_check_mode=True)
    assert foreseen["reason"].startswith("changed: repositories.site.credentials")
    assert "another" not in foreseen["reason"]
    other = [declared[0], {**declared[1], "suite": "y"}]
    assert "package_sources.later.suite" in rootfs(workspace, other, _ansible_check_mode=True)["reason"]


def test_a_wrong_key_is_refused_and_trust_must_be_asked_for(
    built: dict[str, t.Any], workspace: pathlib.Path, declared: list[dict[str, t.Any]]
) -> None:
    debian = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    wrong = [{**declared[0], "keys": [armored(debian)]}]
    failed = rootfs(workspace, wrong, dest=str(workspace / "other"))
    assert failed.get("failed")
    assert "is not signed by a key of its keyring" in failed["msg"]
    trusted = [{name: value for name, value in declared[0].items() if name != "keys"} | {"trusted": True}]
    result = rootfs(workspace, trusted, dest=str(workspace / "other"))
    assert not result.get("failed"), (workspace / "other.packages.tar.zst.log").read_text()[-3000:]
    source = (workspace / "other/etc/apt/sources.list.d/site.sources").read_text()
    assert "Trusted: yes" in source and "Signed-By" not in source
    shutil.rmtree(workspace / "other")


def test_a_package_on_a_base_sees_no_login_and_reaches_no_file_of_the_host(
    built: dict[str, t.Any], workspace: pathlib.Path, declared: list[dict[str, t.Any]], victim: pathlib.Path
) -> None:
    layer = workspace / "layer"
    options = {"dest": str(layer), "base": str(workspace / "rootfs"), "packages": ["nosy-tool"]}
    result = rootfs(workspace, declared, **options)
    assert not result.get("failed"), (workspace / "layer.packages.tar.zst.log").read_text()[-3000:]
    assert result["packages"]["nosy-tool"] == "1.0"
    assert victim.read_text() == "of the host\n"
    names, text = ((layer / name).read_text() for name in ("seen-names", "seen-text"))
    assert "archives/nosy-tool_1.0_all.deb" in names
    assert "URIs: http://127.0.0.1:" in text
    assert LOGIN[1] not in text
    # Its own file is one with that in the cache, which another build may be using.
    name = "nosy-tool_1.0_all.deb"
    assert (workspace / "cache/archives" / name).read_bytes() == (workspace / "www/site" / name).read_bytes()
    # It did not get at the package lists, which tell where packages came from.
    recorded = json.loads((workspace / "layer.packages.tar.zst.stage.json").read_text())["facts"]["archive"]
    assert recorded["unknown"] == []
    assert recorded["packages"]["nosy-tool"]["repository"] == "site"

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is taken out of a finished tree, and that links of the tree lead to no file of the build host."""

from __future__ import annotations

import os
import pathlib
import stat
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._rootfs import first_boot
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.configure import Configurator

# Nothing runs inside of a tree that has no SSH server.
NOBODY = t.cast(Configurator, None)


def write(path: pathlib.Path, text: str = "x\n") -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def listing(folder: pathlib.Path) -> dict[str, str]:
    """Every file below a folder with its text, folders and links with what they are."""
    return {str(path.relative_to(folder)): described(path) for path in folder.rglob("*")}


def described(path: pathlib.Path) -> str:
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    return "folder" if path.is_dir() else path.read_text()


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    return root


@pytest.fixture
def host(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of the build host with everything that is removed or emptied where it is below a tree."""
    host = tmp_path / "host"
    for path in (
        *("machine-id", "file.log", "deep/file.log", "status-old", "passwd-", "resolv.conf", "sources.list"),
        *("apt/pkgcache.bin", "lists/list", "sources.list.d/site.list", "systemd/random-seed", "root/.bash_history"),
        *("apt/lists/list", "preferences.d/00-image-repositories", "dbus/machine-id", ".pwd.lock"),
    ):
        write(host / path)
    return host


def test_traces_of_the_build_go_and_all_else_stays(root: pathlib.Path) -> None:
    for path in (
        *("etc/.pwd.lock", "etc/passwd-", "etc/some-old", "var/lib/dpkg/status-old", "root/.bash_history"),
        *("var/cache/apt/archives/a.deb", "var/lib/apt/lists/partial/list", "tmp/.hidden", "run/lock/file"),
        *("var/log/dpkg.log", "var/log/apt/term.log", "var/lib/dbus/machine-id"),
    ):
        write(root / path)
    for path in ("etc/passwd", "var/lib/dpkg/status", "var/cache/man/index", "root/.profile"):
        write(root / path, "kept\n")
    machine_id = write(root / "etc/machine-id")
    machine_id.chmod(0o640)
    (root / "etc/link-old").symlink_to("passwd")
    (root / "var/log/link").symlink_to("dpkg.log")
    os.mkfifo(root / "tmp/pipe")
    first_boot.prepare(NOBODY, str(root))
    files = {path: text for path, text in listing(root).items() if text != "folder"}
    assert files == {
        "etc/link-old": "-> passwd",
        "etc/machine-id": "",
        "etc/passwd": "kept\n",
        "root/.profile": "kept\n",
        "var/cache/man/index": "kept\n",
        "var/lib/dpkg/status": "kept\n",
        "var/log/link": "-> dpkg.log",
    }
    assert stat.S_IMODE(machine_id.stat().st_mode) == 0o640
    assert (root / "var/log/apt").is_dir()
    for emptied in ("var/cache/apt", "var/lib/apt/lists", "tmp", "run"):
        assert (root / emptied).is_dir() and not list((root / emptied).iterdir())


def test_a_tree_without_machine_id_gets_an_empty_one(root: pathlib.Path) -> None:
    first_boot.prepare(NOBODY, str(root))
    assert listing(root) == {"etc": "folder", "etc/machine-id": ""}


LINKS_OUT = {
    "var/log": "",
    "var/cache": "",
    "var/lib/dpkg": "",
    "var/lib/apt": "",
    "var/lib/dbus": "dbus",
    "var/lib/systemd": "systemd",
    "root": "root",
    "tmp": "",
    "run": "",
    "etc/machine-id": "machine-id",
}


@pytest.mark.parametrize("links", [*([path] for path in LINKS_OUT), list(LINKS_OUT)], ids=[*LINKS_OUT, "all"])
def test_no_link_leads_to_the_build_host(root: pathlib.Path, host: pathlib.Path, links: list[str]) -> None:
    for path in links:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(host / LINKS_OUT[path])
    before = listing(host)
    first_boot.prepare(NOBODY, str(root))
    assert listing(host) == before
    for path in links:
        assert os.readlink(root / path) == str(host / LINKS_OUT[path])


def test_not_even_when_all_of_etc_is_a_link(root: pathlib.Path, host: pathlib.Path) -> None:
    (root / "etc").rmdir()
    (root / "etc").symlink_to(host)
    write(root / "usr/lib/systemd/systemd-resolved")
    before = listing(host)
    first_boot.forget_host(str(root))
    first_boot.prepare(NOBODY, str(root))
    assert listing(host) == before


def test_links_mean_files_of_the_image(root: pathlib.Path) -> None:
    files = ("home/root/.bash_history", "srv/log/x.log", "srv/cache/apt/y", "usr/dpkg/status-old", "srv/machine-id")
    for path in files:
        write(root / path)
    for path, target in (
        ("root", "/home/root"),
        ("var/log", "../srv/log"),
        ("var/cache", "/srv/cache"),
        ("var/lib/dpkg", "/usr/dpkg"),
        ("etc/machine-id", "/srv/machine-id"),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    first_boot.prepare(NOBODY, str(root))
    assert {path: listing(root)[path] for path in files if (root / path).exists()} == {"srv/machine-id": ""}


@pytest.mark.parametrize("link", ["etc/apt", "etc/apt/sources.list.d", "etc/apt/preferences.d"])
def test_package_sources_of_the_host_stay(root: pathlib.Path, host: pathlib.Path, link: str) -> None:
    (root / link).parent.mkdir(parents=True, exist_ok=True)
    (root / link).symlink_to(host / link.removeprefix("etc/apt").lstrip("/"))
    before = listing(host)
    first_boot.forget_package_sources(str(root))
    assert listing(host) == before


def test_package_sources_go_wherever_the_image_has_them(root: pathlib.Path) -> None:
    for path in ("srv/lists/site.list", "etc/apt/sources.list", "etc/apt/preferences.d/00-image-repositories"):
        write(root / path)
    write(root / "etc/apt/preferences.d/own")
    (root / "etc/apt/sources.list.d").symlink_to("/srv/lists")
    first_boot.forget_package_sources(str(root))
    files = {path: text for path, text in listing(root).items() if text != "folder"}
    assert files == {"etc/apt/preferences.d/own": "x\n", "etc/apt/sources.list.d": "-> /srv/lists"}


def test_names_are_asked_where_systemd_says(root: pathlib.Path) -> None:
    write(root / "etc/resolv.conf")
    first_boot.forget_host(str(root))
    assert listing(root) == {"etc": "folder"}
    write(root / "usr/lib/systemd/systemd-resolved")
    (root / "lib").symlink_to("/usr/lib")
    first_boot.forget_host(str(root))
    assert os.readlink(root / "etc/resolv.conf") == "../run/systemd/resolve/stub-resolv.conf"

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts of KIWI image descriptions, run unchanged by live_rootfs in a tree of real packages."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

import pytest

import playbook

KCONFIG = playbook.ROOT / "roles/live_image/files/kiwi/kconfig.sh"
RELEASE = "bookworm"

# The shape that most descriptions have, with the calls that occur most.
CONFIG = r"""#!/bin/bash
#======================================
# Functions...
#--------------------------------------
test -f /.kconfig && . /.kconfig
test -f /.profile && . /.profile

#======================================
# Greeting...
#--------------------------------------
echo "Configure image: [$kiwi_iname]-[$kiwi_profiles]..."

baseMount
suseSetupProduct
suseImportBuildKey
baseInsertService sshd
suseInsertService does-not-exist
systemctl enable systemd-networkd
baseSetRunlevel 3
baseUpdateSysConfig /etc/default/useradd SHELL /bin/bash
baseUpdateSysConfig /etc/sysconfig/network/dhcp DHCLIENT_SET_HOSTNAME yes
if [[ $kiwi_iname =~ ^kiwi ]]; then
    for profile in ${kiwi_profiles//,/ }; do echo "$profile" >> /etc/profiles-used; done
fi
{ pwd; echo "$0"; echo "$kiwi_type"; ls /image; tty || true; } > /etc/seen-by-config
env | grep ^kiwi_ | sort > /etc/environment-of-config
cat /image/.profile > /etc/profile-of-config
ip -o link show up 2>/dev/null | grep -v LOOPBACK && exit 9
rm -rf /usr/share/doc/cpio
baseCleanMount
exit 0
"""
IMAGES = """#!/bin/sh
test -f /.kconfig && . /.kconfig
set -e
test -f /etc/seen-by-config
test ! -e /usr/bin/nano
echo "$0" > /etc/seen-by-images
Rm -f /etc/profiles-used
"""
POST_BOOTSTRAP = """
test -f /.kconfig && . /.kconfig
test -f /.profile && . /.profile
set -e
# Only what comes first is there; bash runs a script without an executable bit and without a first line.
[[ ! -e /usr/sbin/sshd && -e /usr/bin/bc ]]
test -f /opt/first/early
Echo "$kiwi_iname $0 $(pwd)" > /etc/seen-by-post-bootstrap
"""
PROFILE = {
    "kiwi_iname": "kiwi-test",
    "kiwi_iversion": "1.2.3",
    "kiwi_profiles": "Live,Extra",
    "kiwi_type": "iso",
    "kiwi_displayname": 'It\'s "quoted" & $HOME',
    "kiwi_delete": "nano not-installed",
}


@pytest.fixture(scope="module")
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("kiwi-scripts-test") as folder:
        yield folder


@pytest.fixture(scope="module")
def description(workspace: pathlib.Path) -> pathlib.Path:
    """Scripts and archives as they lie in a description directory."""
    folder = workspace / "description"
    folder.mkdir()
    for name, text, mode in (
        ("config.sh", CONFIG, 0o755),
        ("images.sh", IMAGES, 0o644),
        ("post_bootstrap.sh", POST_BOOTSTRAP, 0o644),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    (folder / "early").write_text("early\n")
    subprocess.run(["tar", "-czf", str(folder / "early.tar.gz"), "-C", str(folder), "early"], check=True)
    (folder / "root/image").mkdir(parents=True)
    (folder / "root/image/note").write_text("from the overlay\n")
    return folder


@pytest.fixture(scope="module")
def declared(description: pathlib.Path) -> dict[str, t.Any]:
    def item(name: str) -> dict[str, t.Any]:
        return {"src": str(description / name), "remote_src": True}

    return {
        "release": RELEASE,
        "variant": "apt",
        "lock_timeout": 0,
        "packages": ["systemd", "openssh-server", "cpio", "nano", "iproute2", "ed"],
        "bootstrap_packages": ["bc"],
        "packages_exclude": ["dbus"],
        "recommends": True,
        "packages_remove": ["ed", "never-installed"],
        "packages_delete": ["nano", "libedit2"],
        "overlays": [item("root")],
        "archives": [{**item("early.tar.gz"), "dest": "/opt/first", "phase": "bootstrap"}],
        "post_bootstrap_scripts": [item("post_bootstrap.sh")],
        "scripts": [item("config.sh")],
        "images_scripts": [item("images.sh")],
        "kiwi_profile": PROFILE,
        "kiwi_functions": {"src": str(KCONFIG), "remote_src": True},
    }


def rootfs(workspace: pathlib.Path, options: dict[str, t.Any]) -> dict[str, t.Any]:
    return playbook.module("live_rootfs", {"dest": str(workspace / "rootfs"), **options}, workspace)


@pytest.fixture(scope="module")
def tree(workspace: pathlib.Path, declared: dict[str, t.Any]) -> pathlib.Path:
    result = rootfs(workspace, declared)
    assert not result.get("failed"), result
    return workspace / "rootfs"


def test_scripts_see_what_kiwi_shows_them(tree: pathlib.Path) -> None:
    seen = (tree / "etc/seen-by-config").read_text().splitlines()
    assert seen[:3] == ["/", "/image/config.sh", "iso"]
    assert {"config.sh", "images.sh", "note"} <= set(seen)
    assert (tree / "etc/seen-by-images").read_text() == "/image/images.sh\n"
    assert (tree / "etc/seen-by-post-bootstrap").read_text() == "kiwi-test /image/post_bootstrap.sh /\n"
    environment = (tree / "etc/environment-of-config").read_text().splitlines()
    assert environment == sorted(f"{name}={value}" for name, value in PROFILE.items())
    profile = (tree / "etc/profile-of-config").read_text().splitlines()
    assert profile[2:4] == ["kiwi_iname='kiwi-test'", "kiwi_iversion='1.2.3'"]


def test_what_they_did_is_in_the_tree(tree: pathlib.Path) -> None:
    units = tree / "etc/systemd/system"
    assert os.readlink(units / "default.target").endswith("/multi-user.target")
    assert (units / "multi-user.target.wants/ssh.service").is_symlink()
    assert (units / "multi-user.target.wants/systemd-networkd.service").is_symlink()
    assert 'SHELL="/bin/bash"' in (tree / "etc/default/useradd").read_text().splitlines()
    assert not (tree / "etc/profiles-used").exists()


def test_nothing_of_the_interface_is_left(tree: pathlib.Path, workspace: pathlib.Path) -> None:
    kept = subprocess.run(
        ["tar", "--list", "--file", str(workspace / "rootfs.packages.tar.zst")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "./etc/" in kept
    for place in (".kconfig", ".profile", "image"):
        assert not os.path.lexists(tree / place)
        assert not {f"./{place}", f"./{place}/"} & set(kept)


def test_packages_are_removed_deleted_and_excluded(tree: pathlib.Path) -> None:
    status = (tree / "var/lib/dpkg/status").read_text()
    installed = {
        paragraph.split("\n")[0].removeprefix("Package: ")
        for paragraph in status.split("\n\n")
        if "Status: install ok installed" in paragraph
    }
    assert {"bc", "openssh-server"} <= installed
    assert not {"ed", "nano", "dbus", "libedit2"} & installed
    # What needed the deleted library is still there.
    assert "openssh-client" in installed


def test_names_that_are_not_installed_are_in_the_log(tree: pathlib.Path, workspace: pathlib.Path) -> None:
    log = (workspace / "rootfs.log").read_text()
    assert "packages_remove: never-installed is not installed" in log
    assert "kconfig: this system has no service does-not-exist" in log


def test_second_run_changes_nothing_and_check_mode_foresees(
    tree: pathlib.Path, workspace: pathlib.Path, declared: dict[str, t.Any]
) -> None:
    assert rootfs(workspace, declared)["changed"] is False
    changed = {**declared, "kiwi_profile": {**PROFILE, "kiwi_iversion": "1.2.4"}}
    foreseen = rootfs(workspace, {**changed, "_ansible_check_mode": True})
    assert foreseen["changed"] and "kiwi.profile.kiwi_iversion (1.2.3 -> 1.2.4)" in foreseen["reason"]


FAILURES: list[tuple[dict[str, t.Any], str]] = [
    ({"kiwi_profile": {"1bad": "x"}}, "kiwi_profile: '1bad' is not the name of a shell variable"),
    ({"kiwi_profile": {"a": ["x"]}}, "kiwi_profile.a: ['x'] must be a text"),
    ({"kiwi_functions": None, "kiwi_profile": {}}, "kiwi_profile: the shell functions for /.kconfig are missing"),
    ({"scripts": [{"content": "exit 3"}]}, "exited with 3 while running scripts[0] (config.sh)"),
    ({"packages_exclude": ["bash"], "packages": ["bash"]}, "bash is in packages and in packages_exclude"),
    ({"packages_exclude": ["Bad"]}, "packages_exclude: 'Bad' is not the name"),
    ({"bootstrap_packages": ["Bad"]}, "bootstrap_packages: 'Bad' is not the name"),
    ({"packages": ["openssh-server"], "packages_exclude": ["openssh-client"]}, "packages_exclude: openssh-client is"),
]


@pytest.mark.parametrize(("options", "message"), FAILURES, ids=[message[:40] for dummy, message in FAILURES])
def test_failures_say_what_to_do(workspace: pathlib.Path, options: dict[str, t.Any], message: str) -> None:
    result = playbook.module(
        "live_rootfs",
        {
            "dest": str(workspace / "failing"),
            "release": RELEASE,
            "variant": "apt",
            "kiwi_profile": {},
            "kiwi_functions": {"src": str(KCONFIG), "remote_src": True},
            **options,
        },
        workspace,
    )
    assert result.get("failed"), result
    assert message in result["msg"]
    assert not (workspace / "failing").exists()

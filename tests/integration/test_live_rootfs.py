# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live_rootfs with real packages: what is in the tree, what is not, and what it says when it cannot be made."""

from __future__ import annotations

import gzip
import hashlib
import os
import pathlib
import stat
import subprocess
import typing as t

import pytest

import playbook

RELEASE = "bookworm"
EPOCH = 1763200800
SMALL: dict[str, t.Any] = {"release": RELEASE, "variant": "apt", "lock_timeout": 0}


@pytest.fixture(scope="module")
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("rootfs-test") as folder:
        yield folder


def rootfs(workspace: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    """Run the module; sources are given with remote_src, since no action plugin takes part here."""
    return playbook.module("live_rootfs", {**SMALL, "dest": str(workspace / "rootfs"), **options}, workspace)


@pytest.fixture(scope="module")
def sources(workspace: pathlib.Path) -> pathlib.Path:
    """An overlay tree, an archive and scripts."""
    overlay = workspace / "overlay"
    (overlay / "etc").mkdir(parents=True)
    (overlay / "etc/overlay-file").write_text("from the overlay\n")
    (overlay / "usr/local/bin").mkdir(parents=True)
    tool = overlay / "usr/local/bin/tool"
    tool.write_text("#!/bin/sh\necho tool\n")
    tool.chmod(0o750)
    (overlay / "etc/link").symlink_to("overlay-file")
    # /lib is a link in the image: files must go where it points, and the link must stay.
    (overlay / "lib").mkdir()
    (overlay / "lib/through-the-link").write_text("x\n")
    content = workspace / "content"
    content.mkdir()
    (content / "owned").write_text("archive\n")
    os.chown(content / "owned", 123, 456)
    (content / "both").write_text("archive\n")
    (overlay / "opt/more").mkdir(parents=True)
    (overlay / "opt/more/both").write_text("overlay\n")
    subprocess.run(["tar", "-czf", str(workspace / "more.tar.gz"), "-C", str(content), "owned", "both"], check=True)
    return workspace


@pytest.fixture(scope="module")
def declared(sources: pathlib.Path) -> dict[str, t.Any]:
    return {
        "packages": ["systemd", "openssh-server", "locales", "tzdata", "cpio"],
        "packages_remove": ["cpio"],
        "hostname": "host.example",
        "locale": "de_DE.UTF-8",
        "timezone": "Europe/Berlin",
        "keymap": "de",
        "groups": [{"name": "team", "gid": 4242}],
        "users": [
            {
                "name": "live",
                "uid": 1234,
                "groups": ["team"],
                "password": playbook.PASSWORD_HASH,
                "ssh_authorized_keys": ["ssh-ed25519 AAAAkey one", "ssh-ed25519 AAAAkey two"],
            },
            {"name": "root", "password": "*"},
        ],
        "overlays": [{"src": str(sources / "overlay"), "remote_src": True}],
        "archives": [{"src": str(sources / "more.tar.gz"), "dest": "/opt/more", "remote_src": True}],
        "files": [{"dest": "/etc/secret", "content": "s\n", "owner": "live", "group": "team", "mode": "0640"}],
        "post_bootstrap_scripts": [{"content": "test ! -e /usr/sbin/sshd && echo early > /early"}],
        "scripts": [{"content": "#!/bin/bash\nset -e\ntest -e /usr/sbin/sshd\ntest -e /etc/secret\nid -u > /late\n"}],
        "services_disabled": ["ssh.service"],
        "services_masked": ["systemd-timesyncd.service"],
        "default_target": "multi-user.target",
    }


@pytest.fixture(scope="module")
def tree(workspace: pathlib.Path, declared: dict[str, t.Any]) -> pathlib.Path:
    result = rootfs(workspace, **declared)
    assert not result.get("failed"), result
    assert result["changed"]
    assert "openssh-server" in result["packages"]
    return workspace / "rootfs"


def test_declared_things_are_in_the_tree(tree: pathlib.Path) -> None:
    assert (tree / "etc/overlay-file").read_text() == "from the overlay\n"
    assert os.readlink(tree / "etc/link") == "overlay-file"
    assert (tree / "lib").is_symlink()
    assert (tree / "usr/lib/through-the-link").exists()
    tool = (tree / "usr/local/bin/tool").stat()
    assert (stat.S_IMODE(tool.st_mode), tool.st_uid) == (0o750, 0)
    owned = (tree / "opt/more/owned").stat()
    assert (owned.st_uid, owned.st_gid) == (123, 456)
    assert (tree / "opt/more/both").read_text() == "overlay\n"
    secret = (tree / "etc/secret").stat()
    assert (secret.st_uid, secret.st_gid, stat.S_IMODE(secret.st_mode)) == (1234, 4242, 0o640)
    assert (tree / "etc/hostname").read_text() == "host.example\n"
    assert (tree / "etc/locale.conf").read_text() == "LANG=de_DE.UTF-8\n"
    assert os.readlink(tree / "etc/localtime") == "/usr/share/zoneinfo/Europe/Berlin"
    assert "KEYMAP=de" in (tree / "etc/vconsole.conf").read_text()
    assert (tree / "early").read_text() == "early\n"
    assert (tree / "late").read_text() == "0\n"
    assert not (tree / "usr/bin/cpio").exists()


def test_accounts(tree: pathlib.Path) -> None:
    passwd = (tree / "etc/passwd").read_text()
    assert "live:x:1234:" in passwd
    assert ":/home/live:/bin/bash" in passwd
    assert "team:x:4242:live" in (tree / "etc/group").read_text()
    shadow = (tree / "etc/shadow").read_text()
    assert f"live:{playbook.PASSWORD_HASH}:" in shadow
    assert "root:*:" in shadow
    keys = tree / "home/live/.ssh/authorized_keys"
    assert keys.read_text().count("ssh-ed25519") == 2
    assert (keys.stat().st_uid, stat.S_IMODE(keys.stat().st_mode)) == (1234, 0o600)


def test_services(tree: pathlib.Path) -> None:
    units = tree / "etc/systemd/system"
    assert not (units / "multi-user.target.wants/ssh.service").is_symlink()
    assert os.readlink(units / "systemd-timesyncd.service") == "/dev/null"
    assert os.readlink(units / "default.target").endswith("multi-user.target")


def test_nothing_of_the_host_or_the_build_is_left(tree: pathlib.Path) -> None:
    assert (tree / "etc/machine-id").read_bytes() == b""
    assert not list((tree / "etc/ssh").glob("ssh_host_*key*"))
    assert ssh_wants(tree) == ["liveforge-ssh-first-host-key.service"]
    assert (tree / "etc/systemd/system/multi-user.target.wants/liveforge-ssh-host-keys.service").is_symlink()
    assert not list((tree / "var/lib/apt/lists").iterdir())
    assert not list((tree / "var/cache/apt").iterdir())
    assert not [path for path in (tree / "var/log").rglob("*") if path.is_file() and not path.is_symlink()]
    host_name = os.uname().nodename
    resolv = tree / "etc/resolv.conf"
    assert not resolv.exists() or resolv.is_symlink()
    assert host_name not in (tree / "etc/hosts").read_text().split()
    for folder in ("run", "tmp"):
        assert not list((tree / folder).iterdir())
    sources = "".join(path.read_text() for path in (tree / "etc/apt/sources.list.d").iterdir())
    assert sources.count("Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg") == 3


@pytest.fixture(scope="module")
def identities(workspace: pathlib.Path) -> pathlib.Path:
    """A tree with packages that make something of their own for the machine they are installed on."""
    options = {
        "packages": ["systemd", "nvme-cli", "open-iscsi", "dropbear"],
        "source_date_epoch": EPOCH,
        "files": [{"dest": "/etc/nvme/hostid", "content": "declared\n"}],
        "post_bootstrap_scripts": [{"content": "echo $SOURCE_DATE_EPOCH $(hostname) > /early"}],
        "scripts": [{"content": "echo $SOURCE_DATE_EPOCH $(hostname) > /late"}],
    }
    result = playbook.module("live_rootfs", {**SMALL, "dest": str(workspace / "identities"), **options}, workspace)
    assert not result.get("failed"), result
    return workspace / "identities"


def test_names_and_keys_of_one_machine_are_not_in_the_image(identities: pathlib.Path) -> None:
    assert not (identities / "etc/nvme/hostnqn").exists()
    assert not list((identities / "etc/dropbear").glob("dropbear_*"))
    # open-iscsi makes its name when it starts and finds this.
    assert (identities / "etc/iscsi/initiatorname.iscsi").read_text() == "GenerateName=yes\n"
    wanted = identities / "etc/systemd/system/multi-user.target.wants"
    for unit in ("liveforge-nvme-identity.service", "liveforge-dropbear-host-keys.service"):
        assert (wanted / unit).is_symlink()
    units = [str(path.relative_to(identities)) for path in (identities / "etc/systemd/system").glob("liveforge-*")]
    checked = subprocess.run(
        ["systemd-analyze", f"--root={identities}", "--man=no", "verify", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "liveforge" not in checked.stderr, checked.stderr


def test_a_declared_identity_stays(identities: pathlib.Path) -> None:
    assert (identities / "etc/nvme/hostid").read_text() == "declared\n"


def test_scripts_see_the_declared_date_and_not_the_build_host(identities: pathlib.Path) -> None:
    for name in ("early", "late"):
        assert (identities / name).read_text() == f"{EPOCH} localhost\n"


def test_secrets_are_not_written_down(tree: pathlib.Path, workspace: pathlib.Path) -> None:
    packages = "rootfs.packages.tar.zst"
    for name in ("rootfs.stage.json", "rootfs.log", f"{packages}.stage.json", f"{packages}.log"):
        assert playbook.PASSWORD_HASH not in (workspace / name).read_text()


def test_second_run_changes_nothing_and_touched_sources_do_not_count(
    tree: pathlib.Path, workspace: pathlib.Path, declared: dict[str, t.Any]
) -> None:
    for path in (workspace / "overlay").rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    os.utime(tree / "etc/hostname", (1, 1))
    result = rootfs(workspace, **declared)
    assert (result["changed"], result["reason"][:9]) == (False, "unchanged")


def test_overlay_byte_configures_again_but_installs_nothing(
    tree: pathlib.Path, workspace: pathlib.Path, declared: dict[str, t.Any]
) -> None:
    installed = (workspace / "rootfs.packages.tar.zst.stage.json").read_text()
    before = rootfs(workspace, **declared, _ansible_check_mode=True)
    (workspace / "overlay/etc/overlay-file").write_text("from the overlay!\n")
    foreseen = rootfs(workspace, **declared, _ansible_check_mode=True, _ansible_diff=True)
    assert (tree / "etc/overlay-file").read_text() == "from the overlay\n"
    result = rootfs(workspace, **declared)
    assert foreseen["changed"] and result["changed"]
    assert foreseen["fingerprint"] == result["fingerprint"] != before["fingerprint"]
    assert foreseen["boot_fingerprint"] == result["boot_fingerprint"] == before["boot_fingerprint"]
    assert result["boot_content"] == before["boot_content"]
    assert "/etc/overlay-file" in foreseen["reason"]
    assert "/etc/overlay-file" in foreseen["diff"]["after"]
    assert (workspace / "rootfs.packages.tar.zst.stage.json").read_text() == installed
    assert (tree / "etc/overlay-file").read_text() == "from the overlay!\n"


def test_second_build_downloads_no_package(workspace: pathlib.Path, declared: dict[str, t.Any]) -> None:
    result = playbook.module(
        "live_rootfs", {**SMALL, "dest": str(workspace / "again"), "packages": declared["packages"]}, workspace
    )
    assert not result.get("failed"), result
    log = (workspace / "again.packages.tar.zst.log").read_text()
    assert "apt-get update" in log
    assert "Get:" not in log


def test_another_group_of_a_user_reaches_the_initrd(workspace: pathlib.Path, declared: dict[str, t.Any]) -> None:
    """dracut copies the lines of system groups, with their members."""
    options = {"dest": str(workspace / "again"), "packages": declared["packages"]}
    live = {"name": "live", "groups": ["adm"], "password": playbook.PASSWORD_HASH}
    results = [
        playbook.module("live_rootfs", {**SMALL, **options, "users": [user]}, workspace)
        for user in ({"name": "live"}, live, {**live, "password": "*"})
    ]
    assert [result["changed"] for result in results] == [True, True, True], results
    for fact in ("boot_fingerprint", "boot_content"):
        first, second, third = (result[fact] for result in results)
        assert first != second
        assert second == third


def test_ssh_starts_with_all_keys_when_its_configuration_names_any(
    workspace: pathlib.Path, declared: dict[str, t.Any]
) -> None:
    """Also behind a link, which means a file of the image, not of the build host."""
    declared = {
        "packages": declared["packages"],
        "files": [{"dest": "/opt/keys.conf", "content": " hostkey /etc/ssh/ssh_host_rsa_key\n"}],
        "scripts": [{"content": "ln -s /opt/keys.conf /etc/ssh/sshd_config.d/keys.conf\n"}],
    }
    again = workspace / "again"
    result = playbook.module("live_rootfs", {**SMALL, "dest": str(again), **declared}, workspace)
    assert not result.get("failed"), result
    assert ssh_wants(again) == ["liveforge-ssh-host-keys.service"]


def test_links_of_an_image_lead_to_no_file_of_the_build_host(
    workspace: pathlib.Path, declared: dict[str, t.Any]
) -> None:
    """They mean files of the image, where it has any."""
    host, again = workspace / "host", workspace / "again"
    victims = [host / path for path in ("log/app.log", "cache/apt/pkgcache.bin", "cache/debconf/x.dat", "machine-id")]
    for victim in victims:
        victim.parent.mkdir(parents=True, exist_ok=True)
        victim.write_text("of the host\n")
    overlay = workspace / "links"
    (overlay / "etc").mkdir(parents=True)
    (overlay / "etc/machine-id").symlink_to(host / "machine-id")
    script = f"""
        set -e
        rm -rf /var/log /var/cache
        ln -s {host}/log /var/log
        ln -s {host}/cache /var/cache
        mv /var/lib/dpkg /usr/share/dpkg-database
        ln -s /usr/share/dpkg-database /var/lib/dpkg
        touch /var/lib/dpkg/status-old
        mv /root /home/root
        ln -s /home/root /root
        touch /root/.bash_history
    """
    options = {
        "packages": declared["packages"],
        "overlays": [{"src": str(overlay), "remote_src": True}],
        "scripts": [{"content": script}],
    }
    result = playbook.module("live_rootfs", {**SMALL, "dest": str(again), **options}, workspace)
    assert not result.get("failed"), result
    assert [victim.read_text() for victim in victims] == ["of the host\n"] * len(victims)
    assert {path: os.readlink(again / path) for path in ("var/log", "var/cache", "etc/machine-id")} == {
        "var/log": f"{host}/log",
        "var/cache": f"{host}/cache",
        "etc/machine-id": f"{host}/machine-id",
    }
    assert not (again / "usr/share/dpkg-database/status-old").exists()
    assert not (again / "home/root/.bash_history").exists()
    assert "openssh-server" in result["packages"]


def ssh_wants(tree: pathlib.Path) -> list[str]:
    """The units that systemd starts with ssh, and waits for."""
    return sorted(path.name for path in (tree / "etc/systemd/system/ssh.service.wants").iterdir())


FAILURES: list[tuple[dict[str, t.Any], str]] = [
    ({"packages": ["no-such-package-anywhere"]}, "packages: no-such-package-anywhere is not in any"),
    ({"packages": ["Bad Name"]}, "packages: 'Bad Name' is not the name"),
    ({"users": [{"name": "live", "password": "plain"}]}, "users[0].password of live is not a crypt hash"),
    ({"users": [{"name": "Live"}]}, "users[0].name: 'Live' is not a valid name"),
    ({"hostname": "bad_name"}, "hostname: 'bad_name' is not a host name"),
    ({"files": [{"dest": "etc/x", "content": ""}]}, "files[0].dest: 'etc/x' must be the absolute path"),
    ({"files": [{"dest": "/etc/x"}]}, "files[0] (/etc/x): give either content or src"),
    ({"overlays": [{"src": "/no/such/tree", "remote_src": True}]}, "overlays[0].src: '/no/such/tree' does not exist"),
    (
        {"repositories": [{"uri": "http://127.0.0.1:9/debian", "suite": RELEASE, "keyring": "/no/such/keyring.gpg"}]},
        "the keyring /no/such/keyring.gpg does not exist",
    ),
    (
        {
            "repositories": [
                {
                    "uri": "http://127.0.0.1:9/debian",
                    "suite": RELEASE,
                    "keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
                }
            ]
        },
        "The mirror 127.0.0.1:9 cannot be reached",
    ),
    ({"timezone": "Mars/Olympus"}, "timezone: Mars/Olympus is not in"),
    ({"locale": "de_DE.UTF-8"}, "locale: de_DE.UTF-8 needs the package locales"),
    ({"packages_remove": ["never-installed"]}, "packages_remove: never-installed is not installed"),
    ({"scripts": [{"content": "echo oh no; exit 3"}]}, "exited with 3 while running scripts[0]"),
    (
        {"post_bootstrap_scripts": [{"content": "rm -rf /var/log && ln -s /nowhere/log /var/log"}]},
        "made /var/log/apt or a folder above it an absolute link",
    ),
    ({"services_enabled": ["no-such.service"], "packages": ["systemd"]}, "systemctl enable no-such.service"),
]


@pytest.mark.parametrize(("options", "message"), FAILURES, ids=[message[:40] for dummy, message in FAILURES])
def test_failures_say_what_to_do_and_leave_nothing(
    workspace: pathlib.Path, options: dict[str, t.Any], message: str
) -> None:
    dest = workspace / "failing"
    result = playbook.module("live_rootfs", {**SMALL, "dest": str(dest), **options}, workspace)
    assert result.get("failed"), result
    assert message in result["msg"]
    assert not dest.exists()
    assert not [path.name for path in workspace.iterdir() if path.name.startswith(".")]


def test_unsigned_repository_is_refused(workspace: pathlib.Path) -> None:
    repository = workspace / "unsigned"
    packages = repository / "dists/stable/main/binary-amd64"
    packages.mkdir(parents=True)
    (packages / "Packages.gz").write_bytes(gzip.compress(b""))
    (repository / "dists/stable/Release").write_text("Suite: stable\nCodename: stable\nComponents: main\n")
    result = playbook.module(
        "live_rootfs",
        {
            **SMALL,
            "dest": str(workspace / "failing"),
            "repositories": [
                {
                    "uri": f"file://{repository}",
                    "suite": "stable",
                    "keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
                }
            ],
        },
        workspace,
    )
    assert result.get("failed"), result
    assert "is not signed by a key of its keyring" in result["msg"]


def test_expired_repository_is_refused_unless_declared(workspace: pathlib.Path) -> None:
    """A mirror that stands still: refused with what to declare, taken once it is declared."""
    repository, home, keyring = workspace / "expired", workspace / "gnupg", workspace / "expired.gpg"
    packages = repository / "dists/stable/main/binary-amd64"
    packages.mkdir(parents=True)
    (packages / "Packages").write_text("")
    digest = hashlib.sha256(b"").hexdigest()
    release = repository / "dists/stable/Release"
    release.write_text(
        "Suite: stable\nCodename: stable\nComponents: main\nArchitectures: amd64\n"
        "Date: Mon, 01 Jan 2024 00:00:00 UTC\nValid-Until: Mon, 08 Jan 2024 00:00:00 UTC\n"
        f"SHA256:\n {digest} 0 main/binary-amd64/Packages\n"
    )
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    for command in (
        ["--quick-generate-key", "expired", "default", "default", "never"],
        ["--output", str(keyring), "--export"],
        ["--output", str(release.with_name("InRelease")), "--clearsign", str(release)],
    ):
        subprocess.run([*gpg, *command], check=True, capture_output=True)
    declared = {"uri": f"file://{repository}", "suite": "stable", "keyring": str(keyring)}
    options = {**SMALL, "dest": str(workspace / "failing")}
    result = playbook.module("live_rootfs", {**options, "repositories": [declared]}, workspace)
    assert "has expired" in result["msg"]
    assert "check_valid_until: false" in result["msg"]
    declared["check_valid_until"] = False
    result = playbook.module("live_rootfs", {**options, "repositories": [declared]}, workspace)
    # It has no packages, but it was accepted.
    assert "has expired" not in result["msg"]
    log = (workspace / "failing.packages.tar.zst.log").read_text()
    assert "did not find any indices" in log, log


# Notes what it could do. The clock gets the time that it has.
REACHES_OUT = """#!/bin/sh
set -e
for tool in mount mknod date; do command -v $tool; done
try() {
    name=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "$name" >>/possible; fi
}
echo x >/owned
try chown chown 12:34 /owned
try mknod mknod /zero c 1 5
try device head -c 1 /zero
try tmpfs mount -t tmpfs tmpfs /mnt
try remount mount -o remount,bind,rw /sys
try clock date -s @$(date +%s)
rm /zero
"""


def test_a_script_of_an_image_does_not_reach_the_host(
    tree: pathlib.Path, workspace: pathlib.Path, declared: dict[str, t.Any]
) -> None:
    result = rootfs(workspace, **{**declared, "scripts": [{"content": REACHES_OUT}]})
    assert result["changed"], result
    assert (tree / "possible").read_text().split() == ["chown", "mknod"]


def test_existing_tree_survives_a_failed_build(
    tree: pathlib.Path, workspace: pathlib.Path, declared: dict[str, t.Any]
) -> None:
    before = (tree / "etc/hostname").stat().st_ino
    result = rootfs(workspace, **{**declared, "scripts": [{"content": "exit 1"}]})
    assert result.get("failed")
    assert (tree / "etc/hostname").stat().st_ino == before

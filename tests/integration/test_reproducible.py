# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two builds of one image are the same bytes, however different the places are in which they are made.

The first build takes the newest packages, and its lock is written. The second one is made from the lock: later, in
another workspace on another file system with another order of directories, under another host name, umask, time
zone, language and environment, on one processor. All layers must be the same, so a lock gives the very build again.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import typing as t

import pytest

import playbook

EPOCH = 1763200800
DAY = 24 * 3600

# All that may leak from the caller into tools. The compressors and tar read options from variables of their own.
_OTHER_PLACE = """\
set -e
hostname another-host
umask 077
mount -t tmpfs -o size=4g another "$1"
mkdir "$1/tmp" "$1/home"
export HOME="$1/home" SUDO_USER=builder SUDO_UID=1234
export TMPDIR="$1/tmp" TZ=Pacific/Chatham LANGUAGE=de LC_ALL=C.utf8 LANG=de_DE.UTF-8
export SOURCE_DATE_EPOCH=1 ZSTD_CLEVEL=1 XZ_DEFAULTS=-1 TAR_OPTIONS=--numeric-owner DRACUT_KMODDIR_OVERRIDE=1
comparisons=$2
shift 2
"$@"
unset SOURCE_DATE_EPOCH
for comparison in "$comparisons"/compare-*.json; do
    "$COMPARING_PYTHON" -m ansible_collections.liveforge.images.plugins.modules.live_compare \\
        "$comparison" > "$comparison.compared"
done
"""

CASES = [
    pytest.param("bookworm", "overlay", "squashfs", id="bookworm-overlay-squashfs"),
    pytest.param("trixie", "dmsquash", "ext4", id="trixie-dmsquash-ext4", marks=pytest.mark.full),
    pytest.param("trixie", "overlay", "squashfs", id="trixie-overlay-squashfs", marks=pytest.mark.full),
    pytest.param("bookworm", "dmsquash", "ext4", id="bookworm-dmsquash-ext4", marks=pytest.mark.full),
    pytest.param("bookworm", "overlay", "ext4", id="bookworm-overlay-ext4", marks=pytest.mark.full),
    pytest.param("bookworm", "dmsquash", "squashfs", id="bookworm-dmsquash-squashfs", marks=pytest.mark.full),
    pytest.param("bookworm", "overlay", "xfs", id="bookworm-overlay-xfs", marks=pytest.mark.full),
    pytest.param("bookworm", "overlay", "btrfs", id="bookworm-overlay-btrfs", marks=pytest.mark.full),
    pytest.param("bookworm", "overlay", "erofs", id="bookworm-overlay-erofs", marks=pytest.mark.full),
]
# Of the files in the user's own tree.
NAMES = [f"file-{number}" for number in range(40)]
# Nothing sets the times and random numbers that Linux's XFS and Debian's mkfs.btrfs write; the documentation says so.
NEVER_THE_SAME = ("xfs", "btrfs")


@pytest.fixture
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("reproducible-test") as folder:
        yield folder


def overlay(folder: pathlib.Path, names: t.Sequence[str]) -> pathlib.Path:
    """A tree of the user's own, made in the order of ``names``, as a checkout makes it at any time and in any order."""
    (folder / "etc/own").mkdir(parents=True)
    for name in names:
        (folder / "etc/own" / name).write_text(name)
        (folder / "etc/own" / name).chmod(0o644)
    for path in (folder, folder / "etc", folder / "etc/own"):
        path.chmod(0o755)
    return folder


def declared(workspace: pathlib.Path, own: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    return playbook.small_image(
        "twice",
        workspace,
        source_date_epoch=EPOCH,
        packages=[
            "openssh-server",
            "locales",
            "tzdata",
            "sudo",
            "man-db",
            "python3",
            "fontconfig",
            "ca-certificates",
            "vim-tiny",
            "systemd-resolved",
            "shared-mime-info",
            "dictionaries-common",
            "less",
            "lvm2",
            # These make names and numbers for one machine.
            "nvme-cli",
            "open-iscsi",
            "mdadm",
            # Asks for the full name of the machine.
            "nullmailer",
        ],
        locale="de_DE.UTF-8",
        timezone="Europe/Berlin",
        groups=[{"name": "team"}, {"name": "crew", "system": True}],
        overlays=[{"src": str(own)}],
        scripts=[
            {"content": "date > /etc/own/written-by-a-script; rm /etc/own/written-by-a-script\n"},
            {"content": "hostname > /etc/own/built-on\n"},
        ],
        mediacheck=True,
        **options,
    )


def write_lock(workspace: pathlib.Path, name: str) -> str:
    """The lock of what the first build installed for that image or base."""
    path = workspace / f"{name}.lock.json"
    told = playbook.module("live_lock", {"root": f"{workspace}/first/{name}/rootfs", "dest": "unused"}, workspace)
    path.write_text(told["content"])
    return str(path)


def compare_with_other_place(
    workspace: pathlib.Path, image: dict[str, t.Any], bases: t.Sequence[dict[str, t.Any]] = ()
) -> dict[str, dict[str, t.Any]]:
    """Build again, in workspace/second and another place, and compare with workspace/first; by image and base."""
    other = workspace / "second"
    other.mkdir()
    comparisons = {}
    for declaration in (*bases, image):
        name = declaration["name"]
        comparisons[name] = workspace / f"compare-{name}.json"
        options = {"first": f"{workspace}/first/{name}", "second": f"{other}/{name}", "scratch": str(workspace)}
        comparisons[name].write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    prefix = ["unshare", "--mount", "--uts", "taskset", "--cpu-list", "0", "env", f"COMPARING_PYTHON={sys.executable}"]
    prefix += ["sh", "-c", _OTHER_PLACE, "sh", str(other), str(workspace)]
    run = playbook.build([image], workspace, prefix=prefix, bases=bases)
    assert run.status == 0, run.output[-4000:]
    results = {name: json.loads(pathlib.Path(f"{path}.compared").read_text()) for name, path in comparisons.items()}
    for compared in results.values():
        assert not compared.get("failed"), compared
    return results


def different(compared: dict[str, t.Any]) -> list[str]:
    return [layer["layer"] for layer in compared["layers"] if not layer["identical"]]


@pytest.mark.parametrize(("release", "flags", "filesystem"), CASES)
def test_two_builds_are_the_same_bytes(workspace: pathlib.Path, release: str, flags: str, filesystem: str) -> None:
    options = {"release": release, "flags": flags, "filesystem": filesystem}
    image = declared(workspace / "first", overlay(workspace / "own-1", NAMES), **options)
    run = playbook.build([image], workspace)
    assert run.status == 0, run.output[-4000:]

    own = overlay(workspace / "own-2", NAMES[::-1])
    again = declared(workspace / "second", own, lock=write_lock(workspace, "twice"), **options)
    compared = compare_with_other_place(workspace, again)["twice"]
    assert [layer["layer"] for layer in compared["layers"]] == ["root tree", "kernel", "initrd", "packed root", "ISO"]
    assert different(compared) == (["packed root", "ISO"] if filesystem in NEVER_THE_SAME else []), compared["msg"]
    assert_no_date_but_the_declared_one(workspace / "first/twice/rootfs")


@pytest.mark.full
def test_two_builds_on_a_base_are_the_same_bytes(workspace: pathlib.Path) -> None:
    """The packages of both are locked, each in a lock of its own."""

    def two(place: str, own: pathlib.Path, **locks: str) -> tuple[dict[str, t.Any], list[dict[str, t.Any]]]:
        common = {"workspace": str(workspace / place), "compression": "fast", "source_date_epoch": EPOCH}
        base = {
            **common,
            "name": "below",
            "release": "bookworm",
            "packages": ["openssh-server", "locales", "python3", "tree"],
            "users": [{"name": "live", "password": playbook.PASSWORD_HASH}],
        }
        image = {
            **common,
            "name": "twice",
            "base": "below",
            "packages": ["nvme-cli", "man-db", "less"],
            "packages_remove": ["tree"],
            "overlays": [{"src": str(own)}],
            "scripts": [{"content": "hostname > /etc/own/built-on; rm /etc/own/file-3\n"}],
        }
        if locks:
            base["lock"], image["lock"] = locks["below"], locks["twice"]
        return image, [base]

    image, bases = two("first", overlay(workspace / "own-1", NAMES))
    run = playbook.build([image], workspace, bases=bases)
    assert run.status == 0, run.output[-4000:]
    locks = {name: write_lock(workspace, name) for name in ("below", "twice")}
    compared = compare_with_other_place(workspace, *two("second", overlay(workspace / "own-2", NAMES[::-1]), **locks))
    assert {name: different(result) for name, result in compared.items()} == {"below": [], "twice": []}, compared
    assert [layer["layer"] for layer in compared["below"]["layers"]] == ["root tree", "packed root"]
    assert [layer["layer"] for layer in compared["twice"]["layers"]][-2:] == ["packed root", "ISO"]


def assert_no_date_but_the_declared_one(root: pathlib.Path) -> None:
    """Both builds are of one day, so what tells the day must be looked for."""
    for line in (root / "etc/shadow").read_text().splitlines():
        assert int(line.split(":")[2]) == EPOCH // DAY, line
    late = [path for path in root.rglob("*") if path.lstat().st_mtime > EPOCH]
    assert late == []
    assert os.stat(root).st_mtime <= EPOCH


def run_playbook(
    name: str, workspace: pathlib.Path, images: list[dict[str, t.Any]], *arguments: str
) -> tuple[int, str]:
    variables = workspace / "images.json"
    variables.write_text(json.dumps({"live_images": images, "live_second_workspace": str(workspace / "again")}))
    done = playbook.run([playbook.PROGRAM, str(playbook.ROOT / "playbooks" / name), "-e", f"@{variables}", *arguments])
    return done.returncode, done.stdout


@pytest.mark.full
def test_playbooks_lock_and_prove(workspace: pathlib.Path) -> None:
    """What users run: lock an image that has no lock yet, and prove it; a difference is named."""
    lock = workspace / "locks/twice.lock.json"
    image = playbook.small_image("twice", workspace / "first", lock=str(lock))
    status, output = run_playbook("lock.yml", workspace, [image], "--check", "--diff")
    assert status == 0, output[-4000:]
    assert '+  "dracut": {"version"' in output
    assert not lock.exists()
    status, output = run_playbook("lock.yml", workspace, [image])
    assert status == 0, output[-4000:]
    assert "dracut" in json.loads(lock.read_text())["packages"]
    assert not list((workspace / "first/twice").glob("lock-*"))
    status, output = run_playbook("prove-reproducible.yml", workspace, [image], "--check")
    assert status != 0 and "Run this playbook without --check" in output
    of_another_run, of_last_week = workspace / "again/liveforge-again-1", workspace / "again/liveforge-again-2"
    for folder in (of_another_run, of_last_week):
        (folder / "twice").mkdir(parents=True)
    os.utime(of_last_week, (EPOCH, EPOCH))
    status, output = run_playbook("prove-reproducible.yml", workspace, [image])
    assert status == 0, output[-4000:]
    assert "The same, byte for byte: root tree, kernel, initrd, packed root, ISO." in output
    assert list((workspace / "again").iterdir()) == [of_another_run]
    chance = {**image, "scripts": [{"content": "head -c 8 /dev/urandom > /etc/build-id\n"}]}
    status, output = run_playbook("prove-reproducible.yml", workspace, [chance])
    assert status != 0
    assert "The same, byte for byte: kernel, initrd." in output
    assert "root tree differs" in output and "etc/build-id: content (from byte 0)" in output

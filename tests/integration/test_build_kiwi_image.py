# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook with everything that a KIWI description directory can bring, and the files beside the ISO."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pathlib
import re
import subprocess
import typing as t

import pytest

import playbook

NAME = "kiwi-image"
BUNDLE = f"{NAME}-1.2.3-Build7"
MENU = """\
set default=${default_boot}
search ${search_params}
set timeout=${boot_timeout}
menuentry "${title}" {
    linux ($$root)${bootpath}/${kernel_file} ${boot_options}
    initrd ($$root)${bootpath}/${initrd_file}
}
"""
SUFFIXES = ("json", "packages", "verified", "changes")


@pytest.fixture(scope="module")
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("kiwi-image-test") as folder:
        yield folder


def script(folder: pathlib.Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def image(workspace: pathlib.Path) -> dict[str, t.Any]:
    folder = workspace / "description"
    folder.mkdir()
    (folder / "readme").write_text("read me\n")
    subprocess.run(["tar", "-C", str(folder), "-czf", str(folder / "config-cdroot.tar.gz"), "readme"], check=True)
    (folder / "menu.template").write_text(MENU)
    sources = "test -f /.kconfig && . /.kconfig\ntest -f /.profile && . /.profile\n"
    config = f"#!/bin/bash\n{sources}baseSetRunlevel 3\necho $kiwi_iname >/etc/name\nexit 0\n"
    return playbook.small_image(
        NAME,
        workspace,
        version="1.2.3",
        displayname="Kiwi Image",
        kiwi_profile={"kiwi_iname": NAME, "kiwi_profiles": "Live"},
        post_bootstrap_scripts=[
            {"src": script(folder, "post_bootstrap.sh", f"{sources}Echo $kiwi_iname >/etc/early\n")}
        ],
        scripts=[{"src": script(folder, "config.sh", config)}],
        images_scripts=[
            {"src": script(folder, "images.sh", f"#!/bin/sh\n{sources}echo changed >>/etc/debian_version\n")}
        ],
        cdroot_archives=[{"src": str(folder / "config-cdroot.tar.gz")}],
        grub_template=str(folder / "menu.template"),
        edit_boot_config={
            "src": script(folder, "edit.sh", "sed -i 's/timeout=1/timeout=2/' ${1#iso:}/boot/grub/grub.cfg\n")
        },
        bundle_format="%N-%v-Build%I",
        bundle_id="7",
    )


@pytest.fixture(scope="module")
def first(workspace: pathlib.Path, image: dict[str, t.Any]) -> playbook.Run:
    run = playbook.build([image], workspace)
    assert run.status == 0, run.output[-4000:]
    return run


@pytest.fixture
def beside(first: playbook.Run, workspace: pathlib.Path) -> dict[str, bytes]:
    """The files beside the ISO, by suffix."""
    return {suffix: (workspace / NAME / f"{BUNDLE}.{suffix}").read_bytes() for suffix in SUFFIXES}


def test_scripts_of_the_controller_ran(first: playbook.Run, workspace: pathlib.Path) -> None:
    tree = workspace / NAME / "rootfs"
    assert (tree / "etc/name").read_text() == (tree / "etc/early").read_text() == f"{NAME}\n"
    assert not [place for place in (".kconfig", ".profile", "image") if os.path.lexists(tree / place)]


def test_the_iso_has_the_bundle_name_the_menu_and_the_archive(first: playbook.Run, workspace: pathlib.Path) -> None:
    iso = workspace / NAME / f"{BUNDLE}.iso"
    assert first.results[0]["path"] == str(iso)
    info = playbook.module("live_iso_info", {"path": str(iso)}, workspace)["iso"]
    assert [entry["title"] for entry in info["menu"]] == ["Kiwi Image"]
    menu = workspace / "menu"
    subprocess.run(
        ["xorriso", "-no_rc", "-osirrox", "on", "-indev", f"stdio:{iso}", "-extract", "/boot/grub/grub.cfg", str(menu)],
        stderr=subprocess.DEVNULL,
        check=True,
    )
    # The template was filled in, and the script edited what came of it.
    assert "set timeout=2\n" in menu.read_text()
    names = subprocess.run(
        ["xorriso", "-no_rc", "-indev", f"stdio:{iso}", "-find", "/"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    assert "'/readme'" in names


def test_lists_beside_the_iso(beside: dict[str, bytes], workspace: pathlib.Path) -> None:
    lines = beside["packages"].decode().splitlines()
    assert lines == sorted(lines, key=lambda line: (line.split("|")[0], line.split("|")[4]))
    assert all(re.fullmatch(r"[a-z0-9+.-]+\|None\|[^|]+\|None\|(amd64|all)\|None\|None", line) for line in lines)
    shown = subprocess.run(
        ["dpkg-query", f"--admindir={workspace}/{NAME}/rootfs/var/lib/dpkg", "--show", "--showformat=${Package}\n"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.split()
    assert [line.split("|")[0] for line in lines] == sorted(shown)
    # images.sh changed a file of a package; that is what verification is for.
    assert re.search(r"^..5\S* +c? *\S*/debian_version$", beside["verified"].decode(), re.M)
    assert beside["verified"].splitlines() == sorted(beside["verified"].splitlines())
    own = gzip.decompress((workspace / NAME / "rootfs/usr/share/doc/dracut/changelog.Debian.gz").read_bytes())
    assert b"dracut|\n" + own.rstrip(b"\n") in beside["changes"]


def test_result_file(first: playbook.Run, beside: dict[str, bytes], workspace: pathlib.Path) -> None:
    result = json.loads(beside["json"])
    iso = workspace / NAME / f"{BUNDLE}.iso"
    assert result["iso"]["file"] == iso.name
    assert result["iso"]["size"] == iso.stat().st_size
    assert result["iso"]["sha256"] == first.results[0]["sha256"]
    assert result["iso"]["volume_id"] == f"{NAME}-1.2.3"
    assert "root=live:CDLABEL=" in result["iso"]["kernel_command_line"]
    assert (result["name"], result["version"], result["architecture"]) == (NAME, "1.2.3", "x86_64")
    assert result["kernel_version"] == first.results[0]["kernel_version"]
    assert result["packages"] == {"count": len(beside["packages"].splitlines()), "manager": "dpkg"}
    for suffix in ("packages", "verified", "changes"):
        described = result["files"][suffix]
        assert described["file"] == f"{BUNDLE}.{suffix}"
        assert described["sha256"] == hashlib.sha256(beside[suffix]).hexdigest()
    assert set(result["fingerprints"]) == {"rootfs", "boot", "squashfs", "iso"}
    assert str(workspace) not in beside["json"].decode()
    assert first.results[0]["files"] == {suffix: str(workspace / NAME / f"{BUNDLE}.{suffix}") for suffix in SUFFIXES}


def test_second_run_changes_nothing(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any], beside: dict[str, bytes]
) -> None:
    foreseen = playbook.build([image], workspace, "--check")
    assert (foreseen.status, foreseen.changed) == (0, 0), foreseen.output[-4000:]
    run = playbook.build([image], workspace)
    assert (run.status, run.changed) == (0, 0), run.output[-4000:]


def test_a_missing_or_changed_list_is_written_again_and_is_the_same(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any], beside: dict[str, bytes]
) -> None:
    (workspace / NAME / f"{BUNDLE}.packages").unlink()
    (workspace / NAME / f"{BUNDLE}.verified").write_text("changed\n")
    foreseen = playbook.build([image], workspace, "--check")
    run = playbook.build([image], workspace)
    assert run.status == 0, run.output[-4000:]
    only = {"rootfs": False, "dracut": False, "squashfs": False, "iso": False, "result": True}
    assert run.stages() == foreseen.stages() == only
    assert f"{BUNDLE}.packages does not exist" in run.results[0]["stages"]["result"]["reason"]
    for suffix, content in beside.items():
        assert (workspace / NAME / f"{BUNDLE}.{suffix}").read_bytes() == content

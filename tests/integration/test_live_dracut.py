# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live_dracut with a tree that is not to be trusted: its dracut is a script that leaves links to files of the host."""

from __future__ import annotations

import pathlib
import re
import shutil
import stat
import subprocess
import typing as t

import pytest

import playbook

KERNEL = "6.1.0-1-amd64"
MODULES = f"usr/lib/modules/{KERNEL}"
LSINITRD = "#!/bin/sh\necho dracut modules:\necho dmsquash-live\necho pollcdrom\necho =====\n"
DRACUT = "#!/bin/sh\nset -e\n"
MAKES_INITRD = "echo initrd >/run/liveforge/initrd\n"


def install(root: pathlib.Path, program: str) -> None:
    """Copy a program of the host, with its libraries."""
    path = shutil.which(program)
    assert path is not None
    listing = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
    for library in re.findall(r"(/\S+) \(0x", listing):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    shutil.copy(path, root / "usr/bin" / program)


def write(path: pathlib.Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """The least root tree of which an initrd can be made, and a secret of the host beside it."""
    root = tmp_path / "rootfs"
    for name in ("dev", "proc", "sys", "run", "tmp", "boot", "usr/bin", "usr/lib/dracut/modules.d", "usr/lib64"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in ("sh", "ln"):
        install(root, name)
    write(root / "usr/bin/lsinitrd", LSINITRD, 0o755)
    write(root / "usr/bin/dracut", DRACUT + MAKES_INITRD, 0o755)
    write(root / "usr/lib/dracut/dracut-version.sh", "DRACUT_VERSION=059-4\n")
    drivers = ("loop", "overlay", "isofs", "squashfs")
    write(root / MODULES / "modules.builtin", "".join(f"kernel/{name}.ko\n" for name in drivers))
    write(root / f"boot/vmlinuz-{KERNEL}", "kernel of the tree\n")
    write(tmp_path / "host/secret", "of the host\n", 0o600)
    return tmp_path


def live_dracut(folder: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    return playbook.module(
        "live_dracut",
        {
            "dest": str(folder / "out/boot"),
            "root": str(folder / "rootfs"),
            "flags": "dmsquash",
            "compression": "none",
            "lock_timeout": 0,
            **options,
        },
        folder,
    )


def require_untouched_host(folder: pathlib.Path) -> None:
    assert [path.name for path in (folder / "host").iterdir()] == ["secret"]
    assert (folder / "host/secret").read_text() == "of the host\n"
    assert stat.S_IMODE((folder / "host/secret").stat().st_mode) == 0o600


def test_kernel_and_initrd_and_nothing_else(folder: pathlib.Path) -> None:
    result = live_dracut(folder)
    assert result["changed"], result
    files = {path.name: path.read_text() for path in (folder / "out/boot").iterdir()}
    assert files == {"linux": "kernel of the tree\n", "initrd": "initrd\n"}
    assert result["kernel_size"] == len("kernel of the tree\n")
    assert live_dracut(folder)["changed"] is False


def test_an_absolute_link_to_the_kernel_means_the_tree(folder: pathlib.Path) -> None:
    kernel = folder / f"rootfs/boot/vmlinuz-{KERNEL}"
    kernel.rename(folder / "rootfs" / MODULES / "vmlinuz")
    kernel.symlink_to(f"/{MODULES}/vmlinuz")
    result = live_dracut(folder)
    assert result["changed"], result
    assert (folder / "out/boot/linux").read_text() == "kernel of the tree\n"


def test_a_file_of_the_host_is_not_taken_for_the_kernel(folder: pathlib.Path) -> None:
    kernel = folder / f"rootfs/boot/vmlinuz-{KERNEL}"
    kernel.unlink()
    kernel.symlink_to(folder / "host/secret")
    result = live_dracut(folder)
    assert result.get("failed"), result
    assert f"no boot/vmlinuz-{KERNEL}" in result["msg"]
    assert not (folder / "out/boot").exists()


def test_a_link_in_place_of_the_kernel_is_not_written_through(folder: pathlib.Path) -> None:
    script = f"ln -s {folder}/host/new /run/liveforge/linux\nln -s {folder}/host /run/liveforge/more\n"
    write(folder / "rootfs/usr/bin/dracut", DRACUT + script + MAKES_INITRD, 0o755)
    result = live_dracut(folder)
    assert result["changed"], result
    assert (folder / "out/boot/linux").read_text() == "kernel of the tree\n"
    assert sorted(path.name for path in (folder / "out/boot").iterdir()) == ["initrd", "linux"]
    require_untouched_host(folder)


def test_a_link_in_place_of_the_initrd_is_refused(folder: pathlib.Path) -> None:
    script = f"ln -s {folder}/host/secret /run/liveforge/initrd\n"
    write(folder / "rootfs/usr/bin/dracut", DRACUT + script, 0o755)
    result = live_dracut(folder)
    assert result.get("failed"), result
    assert "initrd that is no plain file" in result["msg"]
    assert not (folder / "out/boot").exists()
    require_untouched_host(folder)


@pytest.mark.parametrize(
    "place",
    ["modules.d", "modules.d/90mine", "dracut.conf.d", "modules.d/90dmsquash-live", "modules.d/99url-lib/url-lib.sh"],
)
def test_links_among_the_files_of_dracut_are_refused(folder: pathlib.Path, place: str) -> None:
    write(folder / "90mine/module-setup.sh", "#!/bin/sh\n", 0o755)
    write(folder / "outside/dmsquash-live-root.sh", "mkdir -m 0755 -p /run/initramfs/overlayfs\n")
    before = sorted((folder / "outside").rglob("*"))
    path = folder / "rootfs/usr/lib/dracut" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        path.rmdir()
    path.symlink_to(folder / "outside/dmsquash-live-root.sh" if path.suffix == ".sh" else folder / "outside")
    if place == "modules.d":
        # So that it does not count as missing.
        (folder / "rootfs" / str(folder / "outside").lstrip("/")).mkdir(parents=True)
    result = live_dracut(folder, dracut_modules=[{"src": str(folder / "90mine"), "remote_src": True}])
    assert result.get("failed"), result
    assert f"/usr/lib/dracut/{place}" in result["msg"]
    assert "no link" in result["msg"]
    assert sorted((folder / "outside").rglob("*")) == before
    assert (folder / "outside/dmsquash-live-root.sh").read_text() == "mkdir -m 0755 -p /run/initramfs/overlayfs\n"


def test_a_link_in_place_of_our_configuration_is_not_written_through(folder: pathlib.Path) -> None:
    path = folder / "rootfs/usr/lib/dracut/dracut.conf.d/zz-live-image.conf"
    path.parent.mkdir()
    path.symlink_to(folder / "host/secret")
    result = live_dracut(folder)
    assert result["changed"], result
    require_untouched_host(folder)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KIWI's interface for scripts, as far as it is files."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import kiwi_interface
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.kiwi_interface import KiwiInterface
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.scripts import Script

VALUES = {"kiwi_b": "it's", "kiwi_a": 'a "b" $HOME `x` \\', "kiwi_c": "two\nlines", "kiwi_d": ""}


def interface(folder: pathlib.Path, profile: dict[str, object]) -> KiwiInterface:
    functions = folder / "functions"
    functions.write_text("# functions\n")
    found = KiwiInterface.from_options(
        {
            "kiwi_profile": profile,
            "kiwi_functions": {"src": str(functions), "remote_src": True},
            "dest": str(folder / "rootfs"),
        }
    )
    assert found is not None
    return found


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_reads_the_profile_back(tmp_path: pathlib.Path, shell: str) -> None:
    text = kiwi_interface.profile_text(VALUES)
    assert text.startswith("kiwi_a='a \"b\" $HOME `x` \\'\nkiwi_b=")
    (tmp_path / "profile").write_text(text)
    names = " ".join(f'"${name}"' for name in sorted(VALUES))
    done = subprocess.run(
        [shell, "-euc", f". {tmp_path}/profile; printf '%s\\0' {names}"], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.split("\0")[:-1] == [VALUES[name] for name in sorted(VALUES)]


def test_values_are_texts_as_kiwi_writes_them(tmp_path: pathlib.Path) -> None:
    found = interface(tmp_path, {"kiwi_hybridpersistent": True, "kiwi_boot_timeout": 10, "kiwi_type": "iso"})
    assert found.profile == {"kiwi_hybridpersistent": "true", "kiwi_boot_timeout": "10", "kiwi_type": "iso"}


@pytest.mark.parametrize("profile", [{"a-b": "x"}, {"1": "x"}, {"": "x"}, {"a": None}, {"a": ["x"]}, {"a": "x\0"}])
def test_what_no_shell_takes_is_refused(tmp_path: pathlib.Path, profile: dict[str, object]) -> None:
    with pytest.raises(StageError, match="kiwi_profile"):
        interface(tmp_path, profile)


def test_scripts_have_the_names_that_kiwi_gives_them() -> None:
    names = {
        "post_bootstrap_scripts[0]": "post_bootstrap.sh",
        "scripts[0]": "config.sh",
        "scripts[1]": "config-2.sh",
        "images_scripts[0]": "images.sh",
    }
    assert {option: kiwi_interface.file_name(Script(option, text="")) for option in names} == names


@pytest.mark.parametrize(
    ("text", "executable", "command"),
    [
        ("#!/bin/sh\n", True, ["/image/config.sh"]),
        ("#!/usr/bin/python3\n", True, ["/image/config.sh"]),
        ("#!/bin/sh\n", False, ["bash", "/image/config.sh"]),
        ("echo\n", True, ["bash", "/image/config.sh"]),
    ],
)
def test_scripts_are_called_as_kiwi_calls_them(text: str, executable: bool, command: list[str]) -> None:
    assert kiwi_interface.command(Script("scripts[0]", text=text, executable=executable)) == command


def test_links_of_the_image_do_not_lead_out_of_the_tree(tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "profile").write_text("of the host\n")
    root = tmp_path / "root"
    root.mkdir()
    (root / "image").symlink_to(outside)
    (root / ".profile").symlink_to(outside / "profile")
    found = interface(tmp_path, {"a": "b"})
    found.install(str(root), [Script("scripts[0]", text="exit\n", executable=True)])
    assert os.listdir(outside) == ["profile"]
    assert (outside / "profile").read_text() == "of the host\n"
    script = root / "image/config.sh"
    assert (script.read_text(), stat.S_IMODE(script.stat().st_mode)) == ("exit\n", 0o755)
    assert (root / "image/.profile").read_text() == (root / ".profile").read_text() == "a='b'\n"
    assert (root / ".kconfig").read_text() == "# functions\n"
    found.uninstall(str(root))
    assert os.listdir(root) == []

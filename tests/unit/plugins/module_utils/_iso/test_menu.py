# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GRUB menu: written, read back, and checked by GRUB's own syntax checker."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._iso import menu
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu_reader import read_menu
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions
from ansible_collections.liveforge.images.plugins.modules import live_iso

MBRID = "0x0a1b2c3d"
LABEL = "cow-0a1b2c3d"


def options(**changes: t.Any) -> IsoOptions:
    defaults = {name: argument.get("default") for name, argument in live_iso.ARGUMENTS.items()}
    values = {
        **defaults,
        "volid": "KIOSK",
        "title": "Kiosk",
        "timeout": 7,
        "timeout_style": "countdown",
        "serial_line": "serial --unit=1",
    }
    return IsoOptions.from_parameters({**values, **changes})


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ["live", "failsafe"]),
        ({"mediacheck": True}, ["live", "failsafe", "mediacheck"]),
        ({"hybridpersistent": True}, ["live", "nopersistence", "failsafe"]),
        ({"hybridpersistent": True, "mediacheck": True}, ["live", "nopersistence", "failsafe", "mediacheck"]),
    ],
)
def test_entries(changes: dict[str, t.Any], names: list[str]) -> None:
    made = options(**changes)
    entries = menu.menu_entries(made, MBRID, LABEL)
    assert [entry.id for entry in entries] == names
    read = read_menu(menu.grub_cfg(made, entries, MBRID))
    assert [entry["id"] for entry in read] == [*names, "harddisk"]
    assert [entry["kernel_command_line"] for entry in read[:-1]] == [entry.kernel_command_line for entry in entries]
    assert read[-1]["kernel"] is None
    assert read[0]["kernel"] == "($root)/boot/x86_64/loader/linux"
    assert read[0]["initrd"] == ["($root)/boot/x86_64/loader/initrd"]


TITLES = ["Kiosk", 'It\'s "live"', "$HOME; reboot # {x}", "Größe \\n", "a}b"]


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("arguments", ["", 'x="a b" $y;z {#}'])
def test_titles_and_arguments_stay_text(title: str, arguments: str, tmp_path: pathlib.Path) -> None:
    made = options(title=title, kernelcmdline=arguments)
    entries = menu.menu_entries(made, MBRID, LABEL)
    for text in (menu.grub_cfg(made, entries, MBRID), menu.loopback_cfg(made, entries)):
        read = read_menu(text)
        assert read[0]["title"] == title
        assert read[0]["kernel_command_line"].startswith(entries[0].kernel_command_line)
        script = tmp_path / "grub.cfg"
        script.write_text(text)
        subprocess.run(["grub-script-check", str(script)], check=True)


def test_loopback_menu_takes_nothing_but_root_and_iso_path_from_outside() -> None:
    made = options(hybridpersistent=True, mediacheck=True)
    text = menu.loopback_cfg(made, menu.menu_entries(made, MBRID, LABEL))
    variables = {word.strip('"{};').split("}")[0] for word in text.replace("$", " $").split() if word.startswith("$")}
    assert {name.lstrip("${").split(")")[0] for name in variables} == {"root", "iso_path"}
    assert "search" not in text
    for entry in read_menu(text):
        assert entry["kernel_command_line"].endswith(" iso-scan/filename=${iso_path}")


def test_menu_of_the_medium_ignores_an_outer_grub() -> None:
    made = options()
    text = menu.grub_cfg(made, menu.menu_entries(made, MBRID, LABEL), MBRID)
    assert text.startswith(f"search --no-floppy --file --set=root --hint=$root /boot/{MBRID}\n")
    assert "iso_path" not in text
    assert "set timeout=7\nset timeout_style=countdown\n" in text
    assert "set default=live\n" in text


@pytest.mark.parametrize(
    ("output", "keys", "present", "absent"),
    [
        (["console"], ["console"], ["terminal_output ${live_output}"], ["serial --unit", "loadfont"]),
        (["serial"], ["serial"], ["if serial --unit=1; then", "set live_output=console"], ["loadfont"]),
        (["gfxterm", "serial"], ["console"], ["if loadfont ($root)/boot/grub/fonts/unicode.pf2"], []),
        ([], [], [], ["terminal_output", "terminal_input", "serial --unit"]),
    ],
)
def test_terminals(output: list[str], keys: list[str], present: list[str], absent: list[str]) -> None:
    made = options(output_console=output, input_console=keys)
    text = menu.grub_cfg(made, menu.menu_entries(made, MBRID, LABEL), MBRID)
    for part in present:
        assert part in text
    for part in absent:
        assert part not in text


def test_early_script_has_no_shell_constructs() -> None:
    text = menu.early_cfg(MBRID)
    assert text.splitlines()[0] == "regexp --set=1:loaded_from '^([^,]+)' $root"
    assert text.splitlines()[1].endswith(f" --hint=$loaded_from /boot/{MBRID}")
    assert all(line.split()[0] in ("regexp", "search", "set", "configfile") for line in text.splitlines())

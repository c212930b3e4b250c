# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Menus of a user's own: KIWI's template variables."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._iso import grub_template
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu_reader import read_menu
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions
from ansible_collections.liveforge.images.plugins.modules.live_iso import ARGUMENTS

TEMPLATE = """\
set default=${default_boot}
search ${search_params}
set timeout=${boot_timeout}
set timeout_style=${boot_timeout_style}
${serial_line_setup}
terminal_input ${terminal_input}
terminal_output ${terminal_output}
set isoboot="iso-scan/filename=$${iso_path}"
menuentry "${title}" --class os {
    linux ($$root)${bootpath}/${kernel_file} $${isoboot} ${boot_options}
    initrd ($$root)${bootpath}/${initrd_file}
}
menuentry "Failsafe -- $title" {
    linux ($$root)${bootpath}/${kernel_file} ${failsafe_boot_options}
}
"""


def options(**changes: t.Any) -> IsoOptions:
    defaults = {name: argument.get("default") for name, argument in ARGUMENTS.items()}
    return IsoOptions.from_parameters({**defaults, "volid": "TEST", "title": "Mine", "timeout": 7, **changes})


def filled_in(template: str = TEMPLATE, **changes: t.Any) -> str:
    return grub_template.filled_in(template, options(**changes), "0x01020304", "cow-01020304")


def test_variables_are_filled_in_and_those_of_grub_stay() -> None:
    text = filled_in()
    assert list(grub_template.problems(TEMPLATE)) == []
    for line in (
        "set default=0",
        "search --no-floppy --file --set=root --hint=$root /boot/0x01020304",
        "set timeout=7",
        "set timeout_style=menu",
        "serial --unit=0 --speed=115200",
        "terminal_input console serial",
        'set isoboot="iso-scan/filename=${iso_path}"',
        'menuentry "Mine" --class os {',
        "    initrd ($root)/boot/x86_64/loader/initrd",
    ):
        assert line in text.splitlines()
    menu = read_menu(text)
    assert menu[0]["kernel"] == "($root)/boot/x86_64/loader/linux"
    assert "root=live:CDLABEL=TEST rd.live.image" in menu[0]["kernel_command_line"]
    assert menu[1]["kernel_command_line"].endswith("nomodeset noresume edd=off 3")


def test_every_variable_of_kiwi_is_known() -> None:
    known = [
        *("search_params", "default_boot", "kernel_file", "initrd_file", "boot_options", "failsafe_boot_options"),
        *("gfxmode", "theme", "boot_timeout", "boot_timeout_style", "serial_line_setup", "title", "bootpath"),
        *("boot_directory_name", "efi_image_name", "terminal_input", "terminal_output", "hypervisor"),
    ]
    assert sorted(known) == sorted(grub_template.VARIABLES)
    text = filled_in("\n".join(f"{name}=${{{name}}}" for name in known))
    assert "boot_directory_name=grub" in text.splitlines()


def test_words_with_blanks_stay_one_word() -> None:
    text = filled_in("linux /linux ${boot_options}", kernelcmdline='a="b c" d=$x')
    assert "linux /linux 'a=b c' 'd=$x' root=live:CDLABEL=TEST" in text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a\nlinux ${no_such}\n", "grub_template, line 2: no_such is none of the variables boot_dir"),
        ("a\nb\nset x=$root\n", "grub_template, line 3: root is none of the variables"),
        ("price 5$ each", "grub_template, line 1: a dollar sign that starts no variable must be written twice"),
    ],
)
def test_what_cannot_be_filled_in_is_told_with_its_line(template: str, message: str) -> None:
    assert [problem[: len(message)] for problem in grub_template.problems(template)] == [message]


def test_all_problems_at_once() -> None:
    assert len(list(grub_template.problems("$a $b ${c} $$d $"))) == 4


def test_a_template_is_used_for_files_when_it_knows_of_them() -> None:
    assert grub_template.boots_from_a_file(TEMPLATE)
    assert not grub_template.boots_from_a_file("linux /linux ${boot_options}")


def test_fingerprint_knows_the_template_only_when_there_is_one() -> None:
    assert "grub_template" not in options().inputs()
    assert len(options(grub_template={"content": TEMPLATE}).inputs()["grub_template"]) == 64

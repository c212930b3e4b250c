# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading GRUB menus that others wrote."""

from __future__ import annotations

from ansible_collections.liveforge.images.plugins.module_utils._iso.menu_reader import read_menu

FOREIGN = r"""
# menuentry "not this one" { linux /no }
set timeout=5
if [ "$x" = "y" ]; then set z=1; fi
submenu "More..." --id more {
  menuentry "A \"quoted\" title" --class os {
    echo 'linux /not/this'
    linux   /live/vmlinuz boot=live \
            quiet "iso-scan/filename=${iso_path}" a=b\ c # comment
    initrd  /live/one.img /live/two.img
  }
}
menuentry 'Off' { halt }
menuentry "EFI" { linuxefi ($root)/k; initrdefi ($root)/i; }
"""


def test_foreign_menu() -> None:
    first, second, third = read_menu(FOREIGN)
    assert first["title"] == 'A "quoted" title'
    assert first["kernel"] == "/live/vmlinuz"
    assert first["kernel_command_line"] == 'boot=live quiet iso-scan/filename=${iso_path} "a=b c"'
    assert first["initrd"] == ["/live/one.img", "/live/two.img"]
    assert second == {"id": "", "title": "Off", "kernel": None, "initrd": [], "kernel_command_line": None}
    assert (third["kernel"], third["initrd"], third["kernel_command_line"]) == ("($root)/k", ["($root)/i"], "")


def test_text_that_is_no_menu() -> None:
    for text in ("", "\0\1", "menuentry", "menuentry 'x", "linux /k a", "${", "\\", "# x"):
        assert all(entry["kernel"] is None for entry in read_menu(text))

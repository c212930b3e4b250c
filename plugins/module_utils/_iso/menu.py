# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GRUB menu of a live ISO. Private to this collection.

Commands and variables: GRUB manual, "Commands" and "Special environment variables". For loop booting an outer GRUB sets
``iso_path`` and root, then reads ``/boot/grub/loopback.cfg`` (the convention of the Super GRUB2 project).
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._iso import kernel_command_line as command_line
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions

FONT = "boot/grub/fonts/unicode.pf2"
NEEDS_ISO_PATH = "Set iso_path to the path of the ISO file before reading loopback.cfg."


@dataclasses.dataclass(frozen=True)
class MenuEntry:
    """One entry that starts the live system.

    Attributes:
        id: name by which the entry can be chosen.
        title: what the menu shows.
        words: kernel command line, word by word.
    """

    id: str
    title: str
    words: tuple[str, ...]

    @property
    def kernel_command_line(self) -> str:
        """The command line as the kernel shows it."""
        return command_line.join(self.words)


def menu_entries(options: IsoOptions, mbrid: str, persistent_label: str) -> list[MenuEntry]:
    """The entries that start the live system; the first one is the default."""
    root = options.live_root(mbrid, persistent_label)
    entries = [MenuEntry("live", options.title, tuple(command_line.normal(root)))]
    if options.features.persistence:
        words = tuple(command_line.without_persistence(root))
        entries.append(MenuEntry("nopersistence", f"{options.title} (keep nothing)", words))
    entries.append(MenuEntry("failsafe", f"Failsafe -- {options.title}", tuple(command_line.failsafe(root))))
    if options.mediacheck:
        entries.append(MenuEntry("mediacheck", "Mediacheck", tuple(command_line.media_check(root))))
    return entries


def early_cfg(mbrid: str) -> str:
    """What a GRUB that was just loaded runs: find this very medium and read its menu.

    Plain commands only: inside a core image it is read before the shell with if is there. The disk that GRUB was loaded
    from is looked at first: there may be media with the same system and another menu.
    """
    return (
        "regexp --set=1:loaded_from '^([^,]+)' $root\n"
        f"search {search_arguments(mbrid, 'loaded_from')}\n"
        "set prefix=($root)/boot/grub\n"
        "configfile ($root)/boot/grub/grub.cfg\n"
    )


def search_arguments(mbrid: str, first: str) -> str:
    """Arguments of GRUB's search that set root to the medium, looking first at the device in its variable ``first``."""
    return f"--no-floppy --file --set=root --hint=${first} /boot/{mbrid}"


def grub_cfg(options: IsoOptions, entries: t.Sequence[MenuEntry], mbrid: str) -> str:
    """The menu of an ISO that was started as a CD or a disk."""
    parts = [
        f"search {search_arguments(mbrid, 'root')}\n",
        _terminals(options),
        _choice(options, entries),
        *(_entry(options, entry) for entry in entries),
        _HARD_DISK,
    ]
    return "".join(parts)


def loopback_cfg(options: IsoOptions, entries: t.Sequence[MenuEntry]) -> str:
    """The menu for an outer GRUB that has the ISO as a file.

    It takes ``root`` and ``iso_path`` from there and nothing else: no other variable can change what is started. The
    outer GRUB keeps its own terminals.
    """
    parts = [
        f'if [ -z "${{iso_path}}" ]; then\n  echo {quote(NEEDS_ISO_PATH)}\n  sleep 10\nfi\n',
        _choice(options, entries),
        *(_entry(options, entry, '"iso-scan/filename=${iso_path}"') for entry in entries),
    ]
    return "".join(parts)


def quote(text: str) -> str:
    """``text`` as one word of a GRUB script."""
    return "'" + text.replace("'", "'\\''") + "'"


def _choice(options: IsoOptions, entries: t.Sequence[MenuEntry]) -> str:
    return f"set default={entries[0].id}\nset timeout={options.timeout}\nset timeout_style={options.timeout_style}\n"


def _entry(options: IsoOptions, entry: MenuEntry, more: str = "") -> str:
    folder = f"($root)/boot/{options.architecture}/loader"
    words = " ".join([quote(word) for word in entry.words] + ([more] if more else []))
    return (
        f"menuentry {quote(entry.title)} --id {entry.id} --class os --unrestricted {{\n"
        "  set gfxpayload=keep\n"
        "  echo 'Loading kernel ...'\n"
        f"  linux {folder}/linux {words}\n"
        "  echo 'Loading initrd ...'\n"
        f"  initrd {folder}/initrd\n"
        "}\n"
    )


def _terminals(options: IsoOptions) -> str:
    """Use each terminal only when it works here: a machine may lack a serial port, Secure Boot forbids own fonts."""
    text = ""
    for kind, wanted in (("output", options.output_console), ("input", options.input_console)):
        text += f"set live_{kind}={'console' if 'console' in wanted else quote('')}\n"
    if "gfxterm" in options.output_console:
        text += (
            f'if loadfont ($root)/{FONT}; then\n  set gfxmode=auto\n  set live_output="${{live_output}} gfxterm"\nfi\n'
        )
    serial = [
        f'  set live_{kind}="${{live_{kind}}} serial"\n'
        for kind, wanted in (("output", options.output_console), ("input", options.input_console))
        if "serial" in wanted
    ]
    if serial:
        text += f"if {options.serial_line}; then\n{''.join(serial)}fi\n"
    for kind, wanted in (("output", options.output_console), ("input", options.input_console)):
        if wanted:
            text += f'if [ -z "${{live_{kind}}}" ]; then\n  set live_{kind}=console\nfi\n'
            text += f"terminal_{kind} ${{live_{kind}}}\n"
    return text


# A BIOS is asked for the first disk that is not this medium. When this medium is the first disk itself, the next one
# takes its number, as its boot loader expects. Leaving GRUB makes UEFI firmware go on with the next boot option.
_HARD_DISK = """\
menuentry 'Boot from Hard Disk' --id harddisk --class os --unrestricted {
  if [ "${grub_platform}" = "pc" ]; then
    if regexp '^hd0(,|$)' "${root}"; then
      drivemap -s (hd0) (hd1)
      set root=hd1
    else
      set root=hd0
    fi
    if chainloader +1; then
      boot
    fi
  fi
  exit
}
"""

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user's own GRUB menu, with KIWI's template variables filled in. Private to this collection.

The syntax is that of Python's string.Template: ``${name}`` or ``$name`` is a variable, ``$$`` a dollar sign for GRUB.
"""

from __future__ import annotations

import re
import string
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._iso import kernel_command_line as command_line
from ansible_collections.liveforge.images.plugins.module_utils._iso import layout
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu import quote, search_arguments
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions

# Words that GRUB takes as they are.
_PLAIN = re.compile(r"[A-Za-z0-9_./:=,@%+-]+\Z")
# Names of what is the same on every ISO.
_FIXED = {
    "default_boot": "0",
    "kernel_file": "linux",
    "initrd_file": "initrd",
    "hypervisor": "xen.gz",
    "gfxmode": "auto",
    "theme": "",
    "boot_directory_name": "grub",
    "efi_image_name": "bootx64.efi",
}
VARIABLES = (
    *_FIXED,
    "search_params",
    "boot_options",
    "failsafe_boot_options",
    "boot_timeout",
    "boot_timeout_style",
    "serial_line_setup",
    "title",
    "bootpath",
    "terminal_input",
    "terminal_output",
)


def problems(template: str) -> t.Iterator[str]:
    """What cannot be filled in, each as a sentence with its line."""
    for found in string.Template(template).pattern.finditer(template):
        line = template.count("\n", 0, found.start()) + 1
        name = found.group("named") or found.group("braced")
        if found.group("invalid") is not None:
            yield (
                f"grub_template, line {line}: a dollar sign that starts no variable must be written twice ($$), as in "
                "GRUB's own variables ($${root})."
            )
        elif name is not None and name not in VARIABLES:
            yield (
                f"grub_template, line {line}: {name} is none of the variables {', '.join(sorted(VARIABLES))}. One of "
                f"GRUB's own is written with two dollar signs, $${{{name}}}."
            )


def filled_in(template: str, options: IsoOptions, mbrid: str, persistent_label: str) -> str:
    """The menu of an ISO, from a template without :func:`problems`."""
    root = options.live_root(mbrid, persistent_label)
    return string.Template(template).substitute(
        _FIXED,
        search_params=search_arguments(mbrid, "root"),
        boot_options=_words(command_line.normal(root)),
        failsafe_boot_options=_words(command_line.failsafe(root)),
        boot_timeout=str(options.timeout),
        boot_timeout_style=options.timeout_style,
        serial_line_setup=options.serial_line,
        title=options.title,
        bootpath="/" + layout.kernel_path(options.architecture).rpartition("/")[0],
        terminal_input=" ".join(options.input_console) or "console",
        terminal_output=" ".join(options.output_console) or "console",
    )


def boots_from_a_file(template: str) -> bool:
    """Whether the template itself tells the initrd in which file the ISO lies, when an outer GRUB started it."""
    return "iso-scan/filename" in template


def loopback_cfg() -> str:
    """For an outer GRUB that has the ISO as a file: read the menu that came of the template."""
    return f"source /{layout.GRUB_CFG}\n"


def _words(words: t.Iterable[str]) -> str:
    return " ".join(word if _PLAIN.match(word) else quote(word) for word in words)

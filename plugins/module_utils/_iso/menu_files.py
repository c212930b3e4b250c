# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a live ISO that hold its menu. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._iso import grub_template, layout
from ansible_collections.liveforge.images.plugins.module_utils._iso.menu import MenuEntry, grub_cfg, loopback_cfg
from ansible_collections.liveforge.images.plugins.module_utils._iso.options import IsoOptions

# Options that show in these files and nowhere else on the ISO, its numbers included.
OPTIONS = frozenset(
    {
        "grub_template",
        "input_console",
        "kernelcmdline",
        "overlay_size",
        "ram",
        "serial_line",
        "timeout",
        "timeout_style",
    }
)
# Most menus take less than one of these.
_UNIT = 4096


def menu_files(options: IsoOptions, identity: layout.Identity, entries: t.Sequence[MenuEntry]) -> dict[str, bytes]:
    """Each file by its path on the ISO."""
    template = options.grub_template
    if template is None:
        menu = grub_cfg(options, entries, identity.mbrid)
    else:
        menu = grub_template.filled_in(template, options, identity.mbrid, identity.persistent_label)
    # A template that knows nothing of ISO files could not start from one; then our own entries do.
    if template is not None and grub_template.boots_from_a_file(template):
        loopback = grub_template.loopback_cfg()
    else:
        loopback = loopback_cfg(options, entries)
    return {layout.GRUB_CFG: menu.encode(), layout.LOOPBACK_CFG: loopback.encode()}


def filled_up(content: bytes) -> bytes:
    """A file with empty lines at its end up to a multiple of 4 KiB, so that another menu mostly takes as many bytes."""
    return content + b"\n" * (-len(content) % _UNIT)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which part of a root tree an initrd can be made from. Private to this collection."""

from __future__ import annotations

# Programs, libraries, kernel modules, firmware, udev and systemd files, and dracut itself.
_CODE = ("bin", "boot", "lib", "lib32", "lib64", "libx32", "sbin")
_CODE_BELOW_USR = (*_CODE, "libexec")
# What dracut's modules for consoles, keyboards and splash screens copy.
_DATA = ("consolefonts", "consoletrans", "fonts", "kbd", "keymaps", "plymouth", "terminfo", "unimaps")
# Configuration that dracut's modules read when they make an initrd for any machine (dracut.conf(5), dracut.modules(7)).
_CONFIGURATION = (
    "cmdline",
    "cmdline.d",
    "conf.d",
    "crypttab",
    "default/keyboard",
    "depmod.d",
    "dhcp",
    "dracut.conf",
    "dracut.conf.d",
    "e2fsck.conf",
    "fstab.sys",
    # dracut copies the lines of some system users and groups, with the members of these.
    "group",
    "hostid",
    "initrd-release",
    "iscsi",
    "ld.so.conf",
    "ld.so.conf.d",
    "libnl",
    "locale.conf",
    "lvm",
    "mdadm",
    "modprobe.conf",
    "modprobe.d",
    "modules",
    "modules-load.d",
    "multipath",
    "multipath.conf",
    "ndctl",
    "NetworkManager",
    "nsswitch.conf",
    "nvme",
    "os-release",
    "passwd",
    "plymouth",
    "ssl/certs",
    "sysctl.conf",
    "sysctl.d",
    "systemd/journald.conf",
    "systemd/journald.conf.d",
    "systemd/network",
    "systemd/networkd.conf",
    "systemd/networkd.conf.d",
    "systemd/resolved.conf",
    "systemd/resolved.conf.d",
    "systemd/system.conf",
    "systemd/system.conf.d",
    "terminfo",
    "udev",
    "vconsole.conf",
)
# Made from the locale and never read by dracut.
_NOT = ("usr/lib/locale",)


def is_boot_place(path: str) -> bool:
    """Whether ``path``, relative to the root of a tree, can find its way into an initrd."""
    first, dummy, rest = path.partition("/")
    if first in _CODE:
        return True
    if any(path == place or path.startswith(place + "/") for place in _NOT):
        return False
    if first == "usr":
        second, dummy, below = rest.partition("/")
        return second in _CODE_BELOW_USR or (second == "share" and below.partition("/")[0] in _DATA)
    if first == "etc":
        return any(rest == place or rest.startswith(place + "/") for place in _CONFIGURATION)
    return False

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which changes of a tree can reach an initrd."""

from __future__ import annotations

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._rootfs.boot_places import is_boot_place


@pytest.mark.parametrize(
    "path",
    [
        "usr/lib/modules/6.1/kernel/fs/ext4.ko",
        "usr/bin/mount",
        "lib",
        "boot/vmlinuz-6.1",
        "etc/dracut.conf.d/site.conf",
        "etc/modprobe.d/blacklist.conf",
        "etc/vconsole.conf",
        "etc/udev/rules.d/70-net.rules",
        "etc/passwd",
        "etc/group",
        "etc/nsswitch.conf",
        "usr/share/plymouth/themes/own/logo.png",
        "usr/share/keymaps/i386/qwertz/own.kmap.gz",
    ],
)
def test_reaches_the_initrd(path: str) -> None:
    assert is_boot_place(path)


@pytest.mark.parametrize(
    "path",
    [
        "etc/motd",
        "etc/passwd-",
        "etc/shadow",
        "etc/hostname",
        "etc/systemd/system/foo.service",
        "usr/share/doc/x",
        "usr/local/bin/tool",
        "usr/lib/locale/locale-archive",
        "home/live/file",
        "var/lib/dpkg/status",
        "library/x",
    ],
)
def test_does_not(path: str) -> None:
    assert not is_boot_place(path)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a tool may leave on the machine, found by where it lies: loop devices and mounts of files of the benchmark."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess


def remove(work: pathlib.Path) -> list[str]:
    """Detach loop devices and unmount file systems whose files lie below ``work``; return what was found.

    The tools run in a mount namespace of their own, so only loop devices are to be expected.
    """
    found = []
    for mount in reversed(pathlib.Path("/proc/self/mounts").read_text().splitlines()):
        place = mount.split()[1]
        if place.startswith(f"{work}/"):
            found.append(f"mount {place}")
            subprocess.run(["umount", "--lazy", place], check=False)
    for backing in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        file = ""
        with contextlib.suppress(OSError):
            file = backing.read_text().strip()
        if file.startswith(f"{work}/"):
            device = f"/dev/{backing.parent.parent.name}"
            found.append(f"loop device {device} of {file}")
            subprocess.run(["losetup", "--detach", device], check=False)
    return found

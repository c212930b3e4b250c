# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The class of machine that a benchmark ran on: enough to judge its figures, nothing that tells which one it was."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import typing as t


def describe(work: pathlib.Path) -> dict[str, t.Any]:
    """Processor, cores, memory, kernel, distribution, and the file system that is built on."""
    return {
        "processor": _first(r"^model name\s*: (.+)$", "/proc/cpuinfo") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": round(int(_first(r"^MemTotal:\s*(\d+) kB$", "/proc/meminfo") or 0) / 2**20, 1),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "distribution": (_first(r"^PRETTY_NAME=\"?([^\"]+)\"?$", "/etc/os-release") or "unknown"),
        "filesystem": filesystem(work),
    }


def sentence(machine: t.Mapping[str, t.Any]) -> str:
    """The same as one sentence."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']:g} GiB of memory, "
        f"{machine['distribution']}, Linux {machine['kernel']}, built on {machine['filesystem']}"
    )


def _first(pattern: str, path: str) -> str | None:
    found = re.search(pattern, pathlib.Path(path).read_text(), re.MULTILINE)
    return found.group(1) if found else None


def filesystem(folder: pathlib.Path) -> str:
    """Type of the file system that ``folder`` lies on."""
    best, kind = "", "unknown"
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        dummy, place, found, *dummy = line.split()
        if len(place) >= len(best) and folder.resolve().is_relative_to(place):
            best, kind = place, found
    return kind

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes, told apart although their numbers are used again. Private to this collection."""

from __future__ import annotations


def process_start_time(pid: int) -> str | None:
    """Start time of a process on this host, as :func:`start_time`."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return start_time(stream.read())
    except OSError:
        return None


def start_time(stat: str) -> str | None:
    """Start time of a process in clock ticks since boot (proc(5), field 22 of stat).

    Args:
        stat: text of ``/proc/PID/stat``; an empty one is that of no process.

    Returns:
        None when it has ended, also when nobody has asked for its exit status yet.
    """
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else None

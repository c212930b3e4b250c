# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one command and counts what it and all its descendants used. A program of its own, started by measuring.py.

    supervisor.py REPORT COMMAND [ARGUMENT ...]

It is the subreaper of the command: a descendant whose parent ends becomes its child, so that none escapes and each is
waited for. The kernel adds up the processor time and the writes of processes that were waited for.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Daemons such as gpg-agent stay after the command has ended. Those that end by themselves get this time, in seconds.
GRACE = 5.0


def descendants(ancestor: int) -> list[int]:
    """Processes below ``ancestor``, without it, by the parents that /proc tells."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            # A process may end between the listing and the reading.
            with contextlib.suppress(OSError):
                parent = int(pathlib.Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        waiting = [child for parent in waiting for child in children.get(parent, [])]
        found += waiting
    return found


def name_of(process: int) -> str:
    """Name of a process, or its number when it has just gone."""
    try:
        return pathlib.Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return str(process)


def wait_for_command(command: int) -> int:
    """Reap whatever ends until the command has, and return the command's exit status."""
    while True:
        process, status = os.wait()
        if process == command:
            return os.waitstatus_to_exitcode(status)


def wait_for_others(seconds: float) -> bool:
    """Reap what the command left, for so long at most; return whether nothing is left."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            process, dummy = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if process == 0:
            time.sleep(0.02)
    return False


def end_all() -> None:
    """Kill all descendants and reap them."""
    while not wait_for_others(0.2):
        for process in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def main() -> int:
    report, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    def give_up(number: int, dummy: object) -> None:
        end_all()
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, give_up)
    signal.signal(signal.SIGINT, give_up)
    started = time.monotonic()
    process = os.posix_spawnp(
        command[0], command, os.environ, setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGPIPE]
    )
    status = wait_for_command(process)
    wall = time.monotonic() - started
    left: list[str] = []
    if not wait_for_others(GRACE):
        left = sorted({name_of(process) for process in descendants(os.getpid())})
        end_all()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    # What the kernel counted for descendants that were waited for is in the numbers of their parents.
    written = {
        key: int(value)
        for key, value in (line.split(": ") for line in pathlib.Path("/proc/self/io").read_text().splitlines())
    }
    result = {
        "status": status,
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "largest_process": usage.ru_maxrss * 1024,
        "written": written["write_bytes"],
        "left": left,
    }
    pathlib.Path(report).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

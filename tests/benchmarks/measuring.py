# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures a command with all the processes that it starts, without control groups, so that it works everywhere."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t

from benchmarks import supervisor

# Seconds between two looks at the memory of all processes. One look costs a few milliseconds of processor time, which
# is not counted for the command.
INTERVAL = 0.4
# Seconds over which it is seen whether the machine is quiet.
_LOOK = 2.0
_PAGE = os.sysconf("SC_PAGESIZE")


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a command used.

    Attributes:
        status: its exit status; negative for a signal.
        wall: seconds until it ended.
        cpu: seconds of processor time, user and system, of the whole process tree, exact.
        peak_rss: bytes of resident memory of the tree at its largest, sampled; what processes share counts for each.
        peak_pss: the same, with shared memory counted once (proportional set size).
        largest_process: bytes of resident memory of the largest single process, exact.
        peak_tmpfs: bytes by which memory in tmpfs grew on the machine, sampled. No process has it in its own memory.
        written: bytes written to storage by the tree, exact. What goes to tmpfs is not storage.
        left: names of processes that the command left running, and which were ended.
        others: share of all processors that everything else on the machine used meanwhile, this measuring included.
            What it used was not there for the command.
    """

    status: int
    wall: float
    cpu: float
    peak_rss: int
    peak_pss: int
    largest_process: int
    peak_tmpfs: int
    written: int
    left: list[str]
    others: float


def measure(
    command: t.Sequence[str],
    log: pathlib.Path,
    *,
    folder: pathlib.Path,
    environment: t.Mapping[str, str],
) -> Usage:
    """Run a command to its end.

    Args:
        command: program and arguments.
        log: file for its output.
        folder: its working folder.
        environment: its whole environment.
    """
    # What earlier runs have written must not be waited for by this one.
    os.sync()
    tmpfs = _tmpfs_bytes()
    busy, started = _busy_seconds(), time.monotonic()
    peak_rss = peak_pss = peak_tmpfs = 0
    with tempfile.TemporaryDirectory() as scratch, open(log, "wb") as output:
        report = pathlib.Path(scratch, "report.json")
        process = subprocess.Popen(
            [sys.executable, supervisor.__file__, str(report), *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                rss, pss = _memory(supervisor.descendants(process.pid))
                peak_rss, peak_pss = max(peak_rss, rss), max(peak_pss, pss)
                peak_tmpfs = max(peak_tmpfs, _tmpfs_bytes() - tmpfs)
                # Wakes up when the command ends.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(INTERVAL)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if not report.exists():
            raise RuntimeError(f"{command[0]} could not be run: {log.read_text(errors='replace')[-2000:]}")
        counted = json.loads(report.read_text())
    available = (time.monotonic() - started) * (os.cpu_count() or 1)
    others = max(0.0, _busy_seconds() - busy - counted["cpu"]) / available
    return Usage(peak_rss=peak_rss, peak_pss=peak_pss, peak_tmpfs=peak_tmpfs, others=others, **counted)


def _memory(processes: t.Iterable[int]) -> tuple[int, int]:
    """Resident and proportional bytes of processes; those that have just ended have none."""
    rss = pss = 0
    for process in processes:
        with contextlib.suppress(OSError, IndexError):
            rss += int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    pss += int(line.split()[1]) * 1024
                    break
    return rss, pss


def _tmpfs_bytes() -> int:
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Shmem:"):
            return int(line.split()[1]) * 1024
    return 0


def _busy_seconds() -> float:
    """Seconds that all processors together have worked since the machine was started."""
    user, nice, system, dummy, dummy, irq, softirq, *dummy = (
        int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def wait_until_quiet(share: float, seconds: float) -> float:
    """Wait, for so many seconds at most, until less than ``share`` of the processors is in use; return what is."""
    end = time.monotonic() + seconds
    while True:
        busy = _busy_seconds()
        time.sleep(_LOOK)
        used = (_busy_seconds() - busy) / _LOOK / (os.cpu_count() or 1)
        if used < share or time.monotonic() >= end:
            return used

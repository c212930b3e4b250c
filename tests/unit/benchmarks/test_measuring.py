# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measuring a process tree: what children, grandchildren and daemons use is counted, and nothing of them stays."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from benchmarks import machine, measuring, supervisor

# Uses half a second of processor time, then ends.
SPIN = "import time\nwhile time.process_time() < 0.5: pass\n"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def twice(code: str) -> str:
    """A program that runs a program two times at once."""
    return (
        "import subprocess, sys\n"
        f"both = [subprocess.Popen([sys.executable, '-c', {code!r}]) for number in '12']\n"
        "[one.wait() for one in both]\n"
    )


def measure(command: list[str], folder: pathlib.Path) -> measuring.Usage:
    return measuring.measure(command, folder / "log", folder=folder, environment=os.environ)


def test_processor_time_of_grandchildren_is_counted(tmp_path: pathlib.Path) -> None:
    usage = measure(
        python(twice(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN!r}])")), tmp_path
    )
    assert usage.status == 0
    assert 1.0 <= usage.cpu < 2.5
    assert usage.wall > 0.5


def test_a_daemon_is_counted_ended_and_told(tmp_path: pathlib.Path) -> None:
    """It has left its session and its parent, as gpg-agent does."""
    pid = tmp_path / "pid"
    daemon = (
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        f"{SPIN}"
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(300)\n"
    )
    started = time.monotonic()
    wait = f"until [ -s {pid} ]; do sleep 0.1; done"
    usage = measure(["sh", "-c", f"{sys.executable} -c '{daemon.replace(chr(39), chr(34))}'; {wait}"], tmp_path)
    assert usage.cpu >= 0.5
    assert usage.left == [pathlib.Path(sys.executable).name]
    assert time.monotonic() - started - usage.wall >= supervisor.GRACE, "the daemon's time counts for the command"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_memory_is_that_of_all_processes_together(tmp_path: pathlib.Path) -> None:
    hold = "import time; data = b'x' * 60_000_000; time.sleep(2)"
    usage = measure(python(twice(hold)), tmp_path)
    assert 120e6 < usage.peak_pss < 200e6
    assert usage.peak_rss >= usage.peak_pss
    assert 60e6 < usage.largest_process < 100e6


def test_shared_memory_counts_once_in_the_proportional_size(tmp_path: pathlib.Path) -> None:
    shared = (
        "import os, time\n"
        "data = b'x' * 80_000_000\n"
        "children = [child for child in [os.fork()] if child]\n"
        "time.sleep(2)\n"
        "while True:\n"
        "    try: os.wait()\n"
        "    except ChildProcessError: break\n"
    )
    usage = measure(python(shared), tmp_path)
    assert 80e6 < usage.peak_pss < 140e6
    assert usage.peak_rss > 160e6


def test_bytes_written_by_children_are_counted(tmp_path: pathlib.Path) -> None:
    if machine.filesystem(tmp_path) == "tmpfs":
        pytest.skip("the folder for tests lies in tmpfs, where nothing is written to storage")
    usage = measure(["sh", "-c", "dd if=/dev/zero of=a bs=1M count=20 2>/dev/null & wait; sync"], tmp_path)
    assert 20e6 < usage.written < 25e6


def test_status_output_and_folder_are_those_of_the_command(tmp_path: pathlib.Path) -> None:
    usage = measure(["sh", "-c", "pwd; echo problem >&2; exit 7"], tmp_path)
    assert usage.status == 7
    assert (tmp_path / "log").read_text() == f"{tmp_path}\nproblem\n"


def test_a_signal_is_told_as_one(tmp_path: pathlib.Path) -> None:
    assert measure(["sh", "-c", "kill -KILL $$"], tmp_path).status == -signal.SIGKILL


def test_a_command_that_does_not_exist_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError, match="no-such-tool could not be run"):
        measure(["no-such-tool"], tmp_path)


def test_a_killed_benchmark_takes_the_command_with_it(tmp_path: pathlib.Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import os, pathlib\nfrom benchmarks import measuring\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        f"measuring.measure(['sh', '-c', 'echo $$ > {pid}; exec sleep 300'], folder / 'log', folder=folder,"
        " environment=os.environ)\n"
    )
    tests = pathlib.Path(measuring.__file__).parent.parent
    benchmark = subprocess.Popen(python(code), env={**os.environ, "PYTHONPATH": str(tests)})
    for dummy in range(200):
        if pid.exists() and pid.read_text().strip():
            break
        time.sleep(0.05)
    benchmark.kill()
    benchmark.wait()
    for dummy in range(200):
        if not pathlib.Path(f"/proc/{pid.read_text().strip()}").exists():
            return
        time.sleep(0.05)
    pytest.fail("sleep still runs")

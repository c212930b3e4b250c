# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A QEMU process with an empty machine: its protocol, its start and its end."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._qemu.machine import Drive, Machine
from ansible_collections.liveforge.images.plugins.module_utils._qemu.process import (
    FirmwareGaveUp,
    QemuProcess,
    termination_cleans_up,
    version_of,
)
from ansible_collections.liveforge.images.plugins.module_utils._qemu.qmp import QmpClient, QmpError

MACHINE = Machine("tcg", memory=64)


@pytest.fixture
def qemu() -> str:
    program = shutil.which("qemu-system-x86_64")
    assert program, "qemu-system-x86_64 is missing"
    return program


def is_running(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> bool:
    for dummy in range(100):
        if not is_running(pid):
            return True
        time.sleep(0.1)
    return False


def test_qemu_ends_with_the_block(qemu: str, tmp_path: pathlib.Path) -> None:
    with QemuProcess(qemu, MACHINE, str(tmp_path)) as process:
        process.start_machine()
        assert process.qmp.execute("query-status")["status"] == "running"
        assert pathlib.Path(f"/proc/{process.pid}/comm").read_text().startswith("qemu")
    assert not is_running(process.pid)


def test_qemu_ends_with_an_exception(qemu: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ZeroDivisionError), QemuProcess(qemu, MACHINE, str(tmp_path)) as process:
        raise ZeroDivisionError
    assert not is_running(process.pid)


def test_machine_that_cannot_start(qemu: str, tmp_path: pathlib.Path) -> None:
    machine = Machine("tcg", extra_arguments=("-device", "no-such-device"))
    refusal = pytest.raises(StageError, match=r"QEMU did not start: .*no-such-device")
    with refusal, QemuProcess(qemu, machine, str(tmp_path)) as process:
        process.start_machine()


def test_refused_command(qemu: str, tmp_path: pathlib.Path) -> None:
    with QemuProcess(qemu, MACHINE, str(tmp_path)) as process:
        process.start_machine()
        with pytest.raises(QmpError, match="send-key"):
            process.qmp.execute("send-key", keys=[{"type": "qcode", "data": "no-such-key"}])


def test_reason_of_the_end(qemu: str, tmp_path: pathlib.Path) -> None:
    with QemuProcess(qemu, MACHINE, str(tmp_path)) as process:
        process.start_machine()
        process.qmp.execute("system_reset")
        assert process.wait_for_exit(20)
        assert "host-qmp-system-reset" in process.end_reason()
        assert not process.has_powered_off()


def test_bios_that_finds_nothing_says_so(qemu: str, tmp_path: pathlib.Path) -> None:
    disk = tmp_path / "empty.img"
    disk.write_bytes(bytes(1 << 20))
    with QemuProcess(qemu, Machine("tcg", memory=64, boot_drive=Drive(str(disk))), str(tmp_path)) as process:
        process.start_machine()
        end = time.monotonic() + 30
        with pytest.raises(FirmwareGaveUp):
            while time.monotonic() < end:
                process.check_firmware()
                time.sleep(0.2)


def test_only_the_main_thread_may_start_it(qemu: str, tmp_path: pathlib.Path) -> None:
    problems: list[BaseException] = []

    def start() -> None:
        try:
            QemuProcess(qemu, MACHINE, str(tmp_path))
        except RuntimeError as problem:
            problems.append(problem)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(problems[0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_qemu_dies_with_its_parent(qemu: str, tmp_path: pathlib.Path, number: signal.Signals) -> None:
    script = textwrap.dedent(f"""
        import time
        from {QemuProcess.__module__} import QemuProcess, termination_cleans_up
        from {Machine.__module__} import Machine
        with termination_cleans_up(), QemuProcess({qemu!r}, Machine("tcg", memory=64), {str(tmp_path)!r}) as process:
            process.start_machine()
            print(process.pid, flush=True)
            time.sleep(100)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout
            pid = int(parent.stdout.readline())
            assert is_running(pid)
            parent.send_signal(number)
            assert wait_until_gone(pid)
            assert parent.wait(10) == (-number if number == signal.SIGKILL else 128 + number)
        finally:
            parent.kill()


def test_signal_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit), termination_cleans_up():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == before


def test_version(qemu: str) -> None:
    assert version_of(qemu).startswith("QEMU emulator version ")


def test_silent_peer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(QmpError, match="did not answer in time"):
            QmpClient(ours, timeout=0.2).handshake()
        theirs.close()
        with pytest.raises(QmpError, match=r"gone|closed|broke"):
            QmpClient(ours, timeout=0.2).execute("query-status")

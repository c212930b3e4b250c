# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A running QEMU and its end. Private to this collection."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import types
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import killed_with_us
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._qemu.machine import Channels, Machine, command_line
from ansible_collections.liveforge.images.plugins.module_utils._qemu.qmp import QmpClient, QmpError

_FIRMWARE_FOUND_NOTHING = "No bootable device."
_SECONDS_TO_QUIT = 5.0


class FirmwareGaveUp(Exception):
    """There is nothing to boot."""


class QemuProcess:
    """QEMU with one machine, as a context manager: when the block is left, however, QEMU is gone.

    The machine is paused until :meth:`start_machine`. QEMU also dies when this process is killed (setpriv(1)
    ``--pdeathsig``). That signal is sent when the *thread* ends that started QEMU, hence the main thread must do it.

    Args:
        program: path of QEMU.
        machine: what to run.
        folder: an existing private folder for what QEMU writes; the caller removes it.
    """

    def __init__(self, program: str, machine: Machine, folder: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("QEMU must be started from the main thread, or it would end with its thread.")
        self._firmware_log = os.path.join(folder, "firmware.log")
        self._resources = contextlib.ExitStack()
        try:
            self._errors = os.open(os.path.join(folder, "qemu.log"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._resources.callback(os.close, self._errors)
            self.serial, serial_end = self._socket_pair()
            qmp, qmp_end = self._socket_pair()
            channels = Channels(serial_end.fileno(), qmp_end.fileno(), self._firmware_log)
            self.argv = command_line(program, machine, channels)
            self._process = subprocess.Popen(
                killed_with_us(self.argv),
                pass_fds=(channels.serial_fd, channels.qmp_fd),
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                # Ctrl-C in the terminal is for us alone; we then end QEMU.
                start_new_session=True,
            )
            self._resources.callback(self.kill)
            # Only QEMU may hold its ends: we learn of its death by their closing.
            serial_end.close()
            qmp_end.close()
            self.qmp = QmpClient(qmp)
        except BaseException:
            self._resources.close()
            raise

    def __enter__(self) -> QemuProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._resources.close()

    @property
    def pid(self) -> int:
        """Process id of QEMU (setpriv replaces itself by it)."""
        return self._process.pid

    def start_machine(self) -> None:
        """Let the paused machine run.

        Raises:
            StageError: QEMU did not come up; with what it said.
        """
        try:
            self.qmp.handshake()
            self.qmp.execute("cont")
        except QmpError as problem:
            self._wait(_SECONDS_TO_QUIT)
            raise StageError(f"QEMU did not start: {self.messages() or problem}") from problem

    def check_firmware(self) -> None:
        """Raise FirmwareGaveUp as soon as the BIOS has, which only its debug output tells."""
        if _FIRMWARE_FOUND_NOTHING in self.firmware_messages():
            raise FirmwareGaveUp("the BIOS found nothing to boot")

    def wait_for_exit(self, seconds: float) -> bool:
        """Wait until QEMU ends; False when it still runs after ``seconds``."""
        return self._wait(seconds)

    def end_reason(self) -> str:
        """Why the ended machine ended, in words."""
        self._wait(_SECONDS_TO_QUIT)
        reasons = {
            "guest-reset": "the guest rebooted",
            "guest-shutdown": "the guest powered off",
            "guest-panic": "the guest panicked",
        }
        for event in self.qmp.collect_events():
            if event["event"] == "SHUTDOWN":
                cause = event["data"].get("reason", "unknown")
                return reasons.get(cause, f"QEMU shut down ({cause})")
        status = self._process.returncode
        return f"QEMU ended with status {status}" + (f": {self.messages()}" if self.messages() else "")

    def has_powered_off(self) -> bool:
        """Whether the guest itself has turned the machine off."""
        return any(
            event["event"] == "SHUTDOWN" and event["data"].get("reason") == "guest-shutdown"
            for event in self.qmp.collect_events()
        )

    def messages(self) -> str:
        """What QEMU itself has written."""
        # Not read(): the file offset is QEMU's too.
        return os.pread(self._errors, 65536, 0).decode("utf-8", "replace").strip()

    def firmware_messages(self) -> str:
        """What SeaBIOS has written; empty with UEFI firmware."""
        with contextlib.suppress(FileNotFoundError), open(self._firmware_log, "rb") as stream:
            return stream.read().decode("utf-8", "replace")
        return ""

    def kill(self) -> None:
        """End QEMU now: politely, so that it closes its images, then by force."""
        if self._process.poll() is None:
            self._process.terminate()
            if not self._wait(_SECONDS_TO_QUIT):
                self._process.kill()
                self._process.wait()

    def _socket_pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        return self._resources.enter_context(ours), self._resources.enter_context(theirs)

    def _wait(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


@contextlib.contextmanager
def termination_cleans_up() -> t.Iterator[None]:
    """Within the block, SIGTERM, SIGHUP and SIGINT raise SystemExit, so that every ``finally`` on the way runs."""

    handled = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def stop(number: int, dummy: t.Any) -> t.NoReturn:
        # A second signal must not interrupt the cleaning up.
        for each in handled:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def version_of(program: str) -> str:
    """What QEMU says of its version, such as ``QEMU emulator version 7.2.22 (Debian ...)``."""
    done = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace").partition("\n")[0].strip()

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out a boot test and reports what happened. Private to this collection."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._progress import Progress
from ansible_collections.liveforge.images.plugins.module_utils._qemu.boot_plan import (
    DEFAULT_LOGIN_SECONDS,
    BootPlan,
    Command,
    Menu,
    Milestone,
)
from ansible_collections.liveforge.images.plugins.module_utils._qemu.keys import key_chords, serial_bytes
from ansible_collections.liveforge.images.plugins.module_utils._qemu.machine import Machine
from ansible_collections.liveforge.images.plugins.module_utils._qemu.process import FirmwareGaveUp, QemuProcess
from ansible_collections.liveforge.images.plugins.module_utils._qemu.qmp import QmpError
from ansible_collections.liveforge.images.plugins.module_utils._serial.console import (
    ConsoleClosed,
    ConsoleTimeout,
    SerialConsole,
)
from ansible_collections.liveforge.images.plugins.module_utils._serial.login import LoginError, SerialLogin
from ansible_collections.liveforge.images.plugins.module_utils._serial.shell import (
    CommandTimeout,
    SerialShell,
    ShellError,
    without_markers,
)
from ansible_collections.liveforge.images.plugins.module_utils._serial.text import TextCleaner, last_lines

# What is returned of the console, in characters: Ansible is slow with results of megabytes.
CONSOLE_LIMIT = 200_000
# What is told of the console while the machine runs: one line now and then, so that it does not look dead.
_SECONDS_BETWEEN_LINES = 5.0
_SHOWN_COLUMNS = 100
_SHOWN_TAIL = 4096
# What we type to find a shell, see _serial/shell.py.
_OWN_LINE = re.compile(r"\blf\\?_[0-9a-f]|PS1= PS2=")
_LINES_IN_MESSAGE = 40
# Firmware and boot loaders poll the keyboard, and lose keys that come faster.
_SECONDS_BEFORE_ANSWER = 1.0
_SECONDS_BETWEEN_KEYS = 0.15
_KEY_HELD_MILLISECONDS = 60


@dataclasses.dataclass
class BootReport:
    """What happened so far. Times are seconds since the machine was switched on.

    Attributes:
        argv: the QEMU command line.
        milestones: when each milestone was reached, by name.
        commands: one dictionary for each command that was run.
        console: clean text of the console, its end if it is long.
        duration: until QEMU was gone.
        shutdown: seconds from the request to power off until QEMU was gone, or None when there was no request.
        powered_off: whether the guest turned the machine off, rather than being cut off.
    """

    argv: list[str] = dataclasses.field(default_factory=list)
    milestones: dict[str, float] = dataclasses.field(default_factory=dict)
    commands: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    console: str = ""
    duration: float = 0.0
    shutdown: float | None = None
    powered_off: bool = False


class _NarratedLog:
    """A log file of the console that also says, every few seconds, what its last line is."""

    def __init__(self, stream: t.BinaryIO, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress
        self._cleaner = TextCleaner()
        self._tail = ""
        self._told = 0.0

    def write(self, data: bytes) -> int:
        """Write to the log, and tell the last whole line when it is time."""
        self._tail = (self._tail + self._cleaner.feed(data))[-_SHOWN_TAIL:]
        now = time.monotonic()
        if now - self._told >= _SECONDS_BETWEEN_LINES:
            line = last_lines(without_markers(self._tail.rpartition("\n")[0]), 1).strip()
            if line and not _OWN_LINE.search(line):
                self._told = now
                self._progress.step(f"console: {line[:_SHOWN_COLUMNS]}")
        return self._stream.write(data)

    def flush(self) -> None:
        """Flush the log."""
        self._stream.flush()


def boot(
    program: str,
    machine: Machine,
    plan: BootPlan,
    folder: str,
    log_path: str,
    report: BootReport,
    progress: Progress,
) -> None:
    """Boot, look, run the commands, shut down.

    Args:
        program: path of QEMU.
        machine: what to boot.
        plan: what to wait for and what to do.
        folder: an existing private folder for temporary files.
        log_path: file for the bytes of the console; can be followed while the machine runs.
        report: filled as things happen, so that it also tells how far a failed boot came.
        progress: told what the console shows.

    Raises:
        StageError: something that was expected did not happen, or something happened that must not.
    """
    with open(log_path, "wb") as log, QemuProcess(program, machine, folder) as qemu:
        console = SerialConsole(qemu.serial.fileno(), _NarratedLog(log, progress), qemu.check_firmware)
        report.argv = qemu.argv
        started = time.monotonic()
        try:
            qemu.start_machine()
            _Session(qemu, console, plan, report, started).run()
        finally:
            qemu.kill()
            console.listen(1)
            report.console = without_markers(console.text.kept)[-CONSOLE_LIMIT:]
            report.duration = round(time.monotonic() - started, 1)


class _Session:
    """The steps of one boot. Every failure becomes a StageError with the step and the end of the console."""

    def __init__(
        self, qemu: QemuProcess, console: SerialConsole, plan: BootPlan, report: BootReport, started: float
    ) -> None:
        self._qemu = qemu
        self._console = console
        self._plan = plan
        self._report = report
        self._started = started
        self._shell: SerialShell | None = None

    def run(self) -> None:
        """All steps in order."""
        if self._plan.menu:
            with self._step("choosing in the boot menu"):
                self._choose(self._plan.menu)
        last_milestone = 0
        for milestone in self._plan.milestones:
            with self._step(f"waiting for {milestone.name!r}"):
                last_milestone = self._reach(milestone)
        if self._plan.login or self._plan.commands:
            # The prompt may be what the last milestone was.
            self._console.text.cursor = last_milestone
            self._shell = self._enter()
        try:
            if self._shell:
                self._run_commands(self._shell)
        finally:
            # After a command that failed, too: the guest may have something to write.
            if self._plan.poweroff:
                self._shut_down()

    def _choose(self, menu: Menu) -> None:
        if menu.pattern:
            self._wait([menu.pattern], menu.timeout)
            self._report.milestones["boot menu"] = self._elapsed()
        self._console.listen(menu.delay)
        for item in menu.keys:
            if menu.via == "serial":
                for data in serial_bytes(item):
                    self._console.send(data)
                    self._console.listen(_SECONDS_BETWEEN_KEYS)
                continue
            for chord in key_chords(item):
                keys = [{"type": "qcode", "data": key} for key in chord]
                try:
                    self._qemu.qmp.execute("send-key", keys=keys, **{"hold-time": _KEY_HELD_MILLISECONDS})
                except QmpError as problem:
                    raise _StepFailed(f"menu_keys: QEMU refused {item!r}: {problem}") from problem
                self._console.listen(_SECONDS_BETWEEN_KEYS)

    def _reach(self, milestone: Milestone) -> int:
        """Wait for the milestone; where on the console it begins."""
        fail_patterns = (milestone.fail,) if milestone.fail else ()
        match = self._wait([milestone.pattern], milestone.timeout, fail_patterns)
        self._report.milestones[milestone.name] = self._elapsed()
        found = self._console.text.cursor - len(match.group())
        if milestone.send is not None:
            # Whoever asks may still be about to turn off the echo.
            self._console.listen(_SECONDS_BEFORE_ANSWER)
            self._console.send_line(milestone.send)
        return found

    def _enter(self) -> SerialShell:
        shell = SerialShell(self._console)
        if self._plan.login is None:
            with self._step("looking for a shell on the console (there is no login)"):
                shell.open(self._at_most(DEFAULT_LOGIN_SECONDS))
            return shell
        login, started = self._plan.login, time.monotonic()
        with self._step(f"logging in as {login.account.user!r}"):
            dialogue = SerialLogin(self._console, login.account, self._plan.fail_patterns)
            dialogue.run(self._at_most(login.timeout))
            left = login.timeout - (time.monotonic() - started)
            shell.open(self._at_most(left), dialogue.refusals)
        self._report.milestones["shell"] = self._elapsed()
        return shell

    def _run_commands(self, shell: SerialShell) -> None:
        """Run the commands up to the first that fails."""
        for command in self._plan.commands:
            with self._step(f"running {command.cmd!r}"):
                problem = self._run_command(shell, command)
            if problem:
                raise self._failure(problem)
        with self._step("cleaning up in the guest"):
            shell.close()

    def _run_command(self, shell: SerialShell, command: Command) -> str | None:
        seconds = self._at_most(command.timeout)
        try:
            answer = shell.run(command.cmd, seconds)
        except CommandTimeout as problem:
            said = f" and said: {_quote(problem.output)}" if problem.output else ""
            return f"The command {command.cmd!r} did not end within {seconds:.0f} s{said}"
        self._report.commands.append(
            {
                "cmd": command.cmd,
                "rc": answer.rc,
                "stdout": answer.stdout,
                "exact": answer.exact,
                "seconds": answer.seconds,
            }
        )
        if command.check and answer.rc != command.expect_rc:
            return (
                f"The command {command.cmd!r} exited with {answer.rc}, not {command.expect_rc}, "
                f"and said: {_quote(answer.stdout)}"
            )
        return None

    def _shut_down(self) -> None:
        asked = time.monotonic()
        end = asked + self._plan.shutdown_timeout
        with contextlib.suppress(ConsoleClosed, QmpError):
            # The power button comes second, since not every guest listens to it.
            if self._shell:
                self._shell.power_off(self._plan.shutdown_timeout / 2)
            self._qemu.qmp.execute("system_powerdown")
            # Reading matters: a guest that cannot write to its console does not get on.
            self._console.listen(max(end - time.monotonic(), 0))
        if self._console.closed:
            self._qemu.wait_for_exit(max(end - time.monotonic(), 1))
        self._report.powered_off = self._qemu.has_powered_off()
        self._report.shutdown = round(time.monotonic() - asked, 1)

    def _wait(
        self,
        patterns: list[re.Pattern[str]],
        timeout: float,
        fail_patterns: t.Sequence[re.Pattern[str]] = (),
    ) -> re.Match[str]:
        failures = [*fail_patterns, *self._plan.fail_patterns]
        seconds = self._at_most(timeout)
        try:
            match = self._console.wait_for([*patterns, *failures], seconds)
        except ConsoleTimeout:
            wanted = " or ".join(repr(pattern.pattern) for pattern in patterns)
            raise _StepFailed(f"the console did not show {wanted} within {seconds:.0f} s") from None
        if match.re not in patterns:
            raise _StepFailed(f"the console showed {match.group().strip()!r}, which means failure")
        return match

    @contextlib.contextmanager
    def _step(self, what: str) -> t.Iterator[None]:
        try:
            yield
        except ConsoleClosed:
            raise self._failure(f"Failed at {what}: {self._qemu.end_reason()}") from None
        except (_StepFailed, LoginError, ShellError, FirmwareGaveUp) as problem:
            raise self._failure(f"Failed at {what}: {problem}") from problem

    def _failure(self, what: str) -> StageError:
        self._console.listen(0.1)
        message = f"{what}. That was {self._elapsed():.0f} s after power on."
        if self._elapsed() >= self._plan.timeout:
            message += f" The time for the whole test is used up (timeout={self._plan.timeout})."
        shown = last_lines(without_markers(self._console.text.kept), _LINES_IN_MESSAGE)
        if shown:
            return StageError(f"{message} The end of the console:\n{shown}")
        firmware = last_lines(self._qemu.firmware_messages(), _LINES_IN_MESSAGE)
        hint = "Nothing came on the serial console. Does the image use it (console=ttyS0, GRUB's serial terminal)?"
        return StageError(f"{message} {hint}" + (f" The end of the BIOS' messages:\n{firmware}" if firmware else ""))

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 1)

    def _at_most(self, seconds: float) -> float:
        """``seconds``, or what is left of the time for everything."""
        return max(min(seconds, self._plan.timeout - (time.monotonic() - self._started)), 0.0)


class _StepFailed(Exception):
    """Why a step failed, as the end of a sentence."""


def _quote(output: str) -> str:
    return repr(last_lines(output, _LINES_IN_MESSAGE)) if output.strip() else "nothing"

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs commands in a shell on a serial console. Private to this collection.

The console is a poor channel: it echoes what is typed, wraps and edits lines, and the kernel and systemd write into it
at any moment. Hence:

- Markers frame every answer. What is typed never contains a marker in one piece, so that its echo is no answer.
- Each step can be repeated without harm, and is when its marker does not come, for example because a kernel message
  has cut it in two.
- A command travels to a file in the guest, in short lines: a terminal in canonical mode cuts lines at 4095 bytes
  (termios(3), "Canonical and noncanonical mode"). So it may be long, and hold any byte.
- Its output goes to a file first. That file is shown as often as needed until its digest fits what has arrived.

The guest needs a POSIX shell, cat and mkdir. With sha256sum and wc the output is known to be exact.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import secrets
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._serial.console import ConsoleTimeout, SerialConsole

# Bytes of a file that are typed in one line. Quoting makes each four characters at most, and the line editor of
# busybox, which cannot be turned off, takes 1023.
_CHUNK = 200
_STEP_SECONDS = 20.0
_STEP_TRIES = 6
_SHOW_TRIES = 4
# After Ctrl-C, for the rest of the command to end.
_GRACE_SECONDS = 15.0
# Slowest console that is worth waiting for, bytes a second.
_SLOWEST = 1000.0
_DIGEST_LENGTH = 16

# $1: folder, $2: marker. trap: Ctrl-C ends the command and not this script (the command gets the default back).
_RUN_SCRIPT = """\
trap : INT
sh "$1/command" </dev/null >"$1/output" 2>&1
status=$?
size=$(wc -c <"$1/output" 2>/dev/null)
digest=$(sha256sum <"$1/output" 2>/dev/null)
for copy in 1 2 3; do
    printf '\\n<%s:%s:%s:%.16s>\\n' "$2" "$status" "$size" "$digest"
done
"""
_SHOW_SCRIPT = """\
printf '\\n<%s\\n' "$2"
cat "$1/output"
printf '\\n%s>\\n' "$2"
"""
# A RAM disk if there is one: the test must not change the disk that it looks at.
_MAKE_FOLDER = (
    'for d in /dev/shm "${{XDG_RUNTIME_DIR:-/run}}" /run /tmp; do LF=$d/.{nonce}; '
    '(umask 077; mkdir -p "$LF") 2>/dev/null && break; done; [ -w "$LF" ]'
)
# The kernel's messages are in its log anyway. Only root may say so.
_HUSH_KERNEL = "dmesg -n 1 2>/dev/null || sudo -n dmesg -n 1 2>/dev/null || :"
_POWER_OFF = (
    "PATH=$PATH:/usr/sbin:/sbin; systemctl poweroff || sudo -n systemctl poweroff || poweroff || sudo -n poweroff"
)
_SAFE_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ./:=,@+_")


# Lines of the console that are only there for us.
_MARKER_LINE = re.compile(r"^.*\blf\\?_[0-9a-f]{10}n\d+m.*\n?", re.MULTILINE)


class ShellError(Exception):
    """The shell did not answer, or answered what makes going on pointless."""


class CommandTimeout(Exception):
    """A command took too long and was interrupted; ``output`` is what it had written, as far as known."""

    def __init__(self, output: str) -> None:
        super().__init__("The command took too long.")
        self.output = output


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command did.

    Attributes:
        rc: exit status, as the shell tells it (128 + N after signal N).
        stdout: standard output and standard error in order, without the newlines at its end.
        exact: the guest's digest of the output fits.
        seconds: from Enter until the exit status arrived.
    """

    rc: int
    stdout: str
    exact: bool
    seconds: float


class SerialShell:
    """A shell on the console. Call :meth:`open` first.

    Args:
        console: on which a shell is waiting, or about to start.
    """

    def __init__(self, console: SerialConsole) -> None:
        self._console = console
        self._nonce = f"lf_{secrets.token_hex(5)}"
        self._steps = 0

    def open(self, seconds: float, refusals: t.Mapping[re.Pattern[str], str] | None = None) -> None:
        """Wait for the shell and make it fit for use: POSIX, no echo, no line editing.

        Args:
            seconds: how long to wait for it.
            refusals: what the console shows when no shell will come, with what it means.

        Raises:
            ShellError: no shell answered, or a refusal came.
            ConsoleClosed: the guest has gone.
        """
        self._find_shell(seconds, refusals or {})
        # Whatever shell the user has (csh, fish, zsh ...), the rest is POSIX. env is no builtin, so it works in all.
        self._console.send_line("exec env PS1= PS2= TERM=dumb HISTFILE=/dev/null COLUMNS=500 sh")
        self._find_shell(_STEP_SECONDS * 3, {})
        for line in ("command set +o emacs +o vi 2>/dev/null", "stty -echo cols 500 2>/dev/null", _HUSH_KERNEL):
            self._step(line)
        if self._step(_MAKE_FOLDER.format(nonce=self._nonce)) != 0:
            raise ShellError("the guest has no folder to write to (tried /dev/shm, /run and /tmp)")
        self._write_file("run", _RUN_SCRIPT.encode())
        self._write_file("show", _SHOW_SCRIPT.encode())

    def run(self, command: str, seconds: float) -> Answer:
        """Run a command with ``sh`` and wait for its end. Nothing is on its standard input.

        Raises:
            CommandTimeout: it was interrupted (Ctrl-C) after ``seconds``.
            ShellError: the shell does not answer any more.
            ConsoleClosed: the guest has gone.
        """
        self._write_file("command", command.encode("utf-8", "surrogateescape") + b"\n")
        marker = self._next_marker()
        end = re.compile(rf"<{marker}:(\d+): *(\d*)\s*:([0-9a-f]*)>".encode())
        started = time.monotonic()
        self._console.send_line(f'sh "$LF/run" "$LF" {_typed(marker)}')
        try:
            match = self._console.wait_for_bytes(end, seconds)
        except ConsoleTimeout:
            self._interrupt(end)
        took = time.monotonic() - started
        output, exact = self._show(match)
        return Answer(int(match[1]), output, exact, round(took, 2))

    def close(self) -> None:
        """Leave nothing behind in the guest."""
        self._step('rm -rf "$LF"')

    def power_off(self, seconds: float) -> None:
        """Tell the guest to power off. Returns when it refuses, or when it still runs after ``seconds``.

        Raises:
            ConsoleClosed: it has powered off.
        """
        marker = self._next_marker()
        self._console.send_line(f"{{ {_POWER_OFF}; }} >/dev/null 2>&1 || echo {_typed(marker)}")
        with contextlib.suppress(ConsoleTimeout):
            self._console.wait_for([re.compile(marker)], seconds)

    def _find_shell(self, seconds: float, refusals: t.Mapping[re.Pattern[str], str]) -> None:
        """Ask again and again whether a shell is there: a starting one may throw away what was typed before."""
        end = time.monotonic() + seconds
        patience = 1.0
        while True:
            marker = self._next_marker()
            self._console.send_line(f"echo {_typed(marker)}")
            answer = re.compile(marker)
            try:
                match = self._console.wait_for([answer, *refusals], min(patience, max(end - time.monotonic(), 0)))
            except ConsoleTimeout:
                if time.monotonic() >= end:
                    raise ShellError(f"no shell answered within {seconds:.0f} s") from None
                patience = min(patience * 1.5, _STEP_SECONDS)
                continue
            if match.re is not answer:
                raise ShellError(refusals[match.re])
            return

    def _step(self, line: str) -> int:
        """Have the shell do something that may be done twice, and return its exit status."""
        for dummy in range(_STEP_TRIES):
            marker = self._next_marker()
            self._console.send_line(f'{line}; echo "<"{_typed(marker)}":$?>"')
            try:
                return int(self._console.wait_for([re.compile(rf"<{marker}:(\d+)>")], _STEP_SECONDS)[1])
            except ConsoleTimeout:
                # Ends an unfinished line or quotation that a lost byte may have left.
                self._console.send(b"\x03\r")
        raise ShellError(f"the shell did not answer {_STEP_TRIES} times in {_STEP_SECONDS * _STEP_TRIES:.0f} s")

    def _write_file(self, name: str, content: bytes) -> None:
        parts = [content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK)]
        for number, part in enumerate(parts):
            self._step(f"printf '{_octal(part)}' >\"$LF/part.{number:06}\"")
        if self._step(f'cat "$LF"/part.* >"$LF/{name}" && rm -f "$LF"/part.*') != 0:
            raise ShellError(f"the guest could not store {len(content)} bytes: its RAM disk is full")

    def _interrupt(self, end: re.Pattern[bytes]) -> t.NoReturn:
        self._console.send(b"\x03")
        try:
            output, dummy = self._show(self._console.wait_for_bytes(end, _GRACE_SECONDS))
        except ConsoleTimeout:
            output = ""
        raise CommandTimeout(output)

    def _show(self, result: re.Match[bytes]) -> tuple[str, bool]:
        """The output of the last command, and whether it fits the guest's digest."""
        size, digest = int(result[2] or 0), result[3].decode()
        patience = _STEP_SECONDS / 2 + size / _SLOWEST
        data = b""
        for dummy in range(_SHOW_TRIES):
            marker = self._next_marker()
            self._console.send_line(f'sh "$LF/show" "$LF" {_typed(marker)}')
            try:
                self._console.wait_for_bytes(re.compile(rf"<{marker}\r?\n".encode()), patience)
                begin = self._console.raw.cursor
                last = self._console.wait_for_bytes(re.compile(rf"\r?\n{marker}>".encode()), patience)
            except ConsoleTimeout:
                continue
            data = self._console.raw.since(begin)[: -len(last.group())]
            # The terminal has put a carriage return before each newline (ONLCR): taking one away is exact.
            data = data.replace(b"\r\n", b"\n")
            if not digest:
                break
            if hashlib.sha256(data).hexdigest()[:_DIGEST_LENGTH] == digest:
                return _decode(data), True
        return _decode(data), False

    def _next_marker(self) -> str:
        self._steps += 1
        return f"{self._nonce}n{self._steps}m"


def without_markers(text: str) -> str:
    """The text of a console without the lines that this module had the guest write."""
    return _MARKER_LINE.sub("", text)


def _typed(marker: str) -> str:
    """The marker as a shell word that does not contain it.

    No quotes: a starting shell may lose the first half of a line, and a single quote would swallow all lines after it.
    The backslash means the same to all shells (fish knows escapes of letters, hence the underscore).
    """
    return marker.replace("_", "\\_")


def _octal(data: bytes) -> str:
    """``data`` for a single-quoted format of printf(1), with every byte that a terminal or shell may touch as octal."""
    return "".join(chr(byte) if byte in _SAFE_BYTES else f"\\{byte:03o}" for byte in data)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").rstrip("\r\n")

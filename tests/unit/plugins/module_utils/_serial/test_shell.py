# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shell driver against real shells on real pseudo terminals."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import pty
import re
import shutil
import signal
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._serial.console import ConsoleClosed, SerialConsole
from ansible_collections.liveforge.images.plugins.module_utils._serial.shell import (
    CommandTimeout,
    SerialShell,
    ShellError,
)

SHELLS = [["dash", "-i"], ["bash", "--norc", "-i"], ["bash", "--norc", "--posix", "-i"]]


@contextlib.contextmanager
def on_a_terminal(argv: list[str]) -> t.Iterator[SerialConsole]:
    """A console on which ``argv`` runs, as getty would run it: its own session and terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "vt220"
        # Ignored by what runs in the background of a script, and then by all that it starts.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execvp(argv[0], argv)
    try:
        yield SerialConsole(fd, io.BytesIO())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


@pytest.fixture(params=SHELLS, ids=" ".join)
def shell(request: pytest.FixtureRequest) -> t.Iterator[SerialShell]:
    assert shutil.which(request.param[0]), f"{request.param[0]} is missing"
    with on_a_terminal(request.param) as console:
        opened = SerialShell(console)
        opened.open(20)
        yield opened


def test_status_and_output(shell: SerialShell) -> None:
    answer = shell.run("echo one; echo two >&2; exit 7", 20)
    assert (answer.rc, answer.stdout, answer.exact) == (7, "one\ntwo", True)


def test_output_is_exact(shell: SerialShell) -> None:
    text = "tab\there\n\n  blanks  \n$HOME `id` 'q' \"dq\" \\n %s\n\x1b[1mbold\x1b[0m carriage\r\nlast: äöü €"
    quoted = text.replace("'", "'\\''")
    answer = shell.run(f"printf '%s' '{quoted}'", 20)
    assert answer.stdout == text
    assert answer.exact


def test_no_output(shell: SerialShell) -> None:
    assert shell.run(":", 20).stdout == ""


def test_command_longer_than_a_terminal_line(shell: SerialShell) -> None:
    words = [f"word{number}" for number in range(1200)]
    command = f"for w in {' '.join(words)}; do echo $w; done"
    assert len(command) > 2 * 4096
    answer = shell.run(command, 60)
    assert answer.stdout.split() == words
    assert answer.exact


def test_command_of_several_lines(shell: SerialShell) -> None:
    assert shell.run("if true\nthen\n  cat <<'EOF'\n$x\nEOF\nfi", 20).stdout == "$x"


def test_commands_do_not_share_state(shell: SerialShell) -> None:
    shell.run("cd /; x=1; set -e; exit 3", 20)
    assert shell.run('echo "${x:-unset}"', 20).stdout == "unset"


def test_standard_input_is_empty(shell: SerialShell) -> None:
    assert shell.run("cat; echo end", 20).stdout == "end"


def test_background_process_does_not_hold_the_command(shell: SerialShell) -> None:
    started = time.monotonic()
    assert shell.run("sleep 60 & echo started", 20).stdout == "started"
    assert time.monotonic() - started < 15


def test_output_that_looks_like_a_marker(shell: SerialShell) -> None:
    text = "<lf_0123456789n1m:0:5:0123456789abcdef>"
    assert shell.run(f"echo '{text}'; exit 4", 20).stdout == text


def test_slow_command_is_interrupted_and_shows_what_it_wrote(shell: SerialShell) -> None:
    with pytest.raises(CommandTimeout) as caught:
        shell.run("echo before; sleep 100; echo after", 2)
    assert caught.value.output == "before"
    assert shell.run("echo still there", 20).stdout == "still there"


def test_folder_in_the_guest_goes_away(shell: SerialShell) -> None:
    folder = pathlib.Path(shell.run('dirname "$0"', 20).stdout)
    assert folder.is_dir()
    shell.close()
    assert not folder.exists()


def test_messages_of_others_on_the_console() -> None:
    """Somebody else writes to the terminal all the time, as the kernel does: outputs must come out whole."""
    with on_a_terminal(["dash", "-i"]) as console:
        shell = SerialShell(console)
        shell.open(20)
        terminal = shell.run("readlink /proc/$PPID/fd/0", 20).stdout
        stop = threading.Event()

        def write_noise() -> None:
            with open(terminal, "wb", buffering=0) as stream:
                while not stop.wait(0.02):
                    stream.write(b"[  123.456789] kernel: something happened\r\n")

        noise = threading.Thread(target=write_noise)
        noise.start()
        try:
            for number in range(5):
                answer = shell.run(f"seq {number} 40", 20)
                assert answer.stdout.split() == [str(value) for value in range(number, 41)]
                assert answer.exact
        finally:
            stop.set()
            noise.join()


def test_output_cut_by_a_message_is_shown_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cat that writes a kernel message into the first two showings of each output."""
    cat = tmp_path / "cat"
    cat.write_text(
        "#!/bin/sh\n"
        f"real={shutil.which('cat')} shown={tmp_path}/shown\n"
        'case $1 in */output) ;; *) exec $real "$@" ;; esac\n'
        "echo >>$shown\n"
        "if [ $($real $shown | wc -l) -lt 3 ]; then echo '[  1.0] kernel: something happened'; fi\n"
        'exec $real "$@"\n'
    )
    cat.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with on_a_terminal(["dash", "-i"]) as console:
        shell = SerialShell(console)
        shell.open(20)
        answer = shell.run("echo one; echo two", 20)
    assert (answer.stdout, answer.exact) == ("one\ntwo", True)


def test_guest_without_digests(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the emergency shell of dracut: no sha256sum, no wc, no stty, no sudo."""
    for name in ("dash", "sh", "cat", "mkdir", "rm", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tmp_path))
    with on_a_terminal(["dash", "-i"]) as console:
        shell = SerialShell(console)
        shell.open(20)
        answer = shell.run("echo one; exit 3", 20)
    assert (answer.rc, answer.stdout, answer.exact) == (3, "one", False)


def test_shell_that_starts_late_and_drops_what_was_typed() -> None:
    flush = f"{sys.executable} -c 'import termios; termios.tcflush(0, termios.TCIFLUSH)'"
    script = f"sleep 3; {flush}; exec dash -i"
    with on_a_terminal(["sh", "-c", script]) as console:
        shell = SerialShell(console)
        shell.open(30)
        assert shell.run("echo here", 20).stdout == "here"


def test_first_half_of_a_line_gets_lost() -> None:
    """Seen with login(1) on a slow guest: what follows must not be taken for a continuation."""
    flush = f"{sys.executable} -c 'import os, sys; os.set_blocking(0, False); os.read(0, 9)'"
    with on_a_terminal(["sh", "-c", f"stty -icanon; sleep 2; {flush}; stty icanon; exec bash --norc -i"]) as console:
        shell = SerialShell(console)
        shell.open(30)
        assert shell.run("echo here", 20).stdout == "here"


def test_no_shell() -> None:
    with on_a_terminal(["sleep", "60"]) as console, pytest.raises(ShellError, match="no shell answered within 3 s"):
        SerialShell(console).open(3)


def test_refusal_ends_the_wait() -> None:
    refusals = {re.compile("Login incorrect"): "it refused"}
    script = "stty -echo; echo Login incorrect; cat"
    with on_a_terminal(["sh", "-c", script]) as console, pytest.raises(ShellError, match="it refused"):
        SerialShell(console).open(20, refusals)


def test_shell_that_ends() -> None:
    with on_a_terminal(["dash", "-i"]) as console:
        shell = SerialShell(console)
        shell.open(20)
        with pytest.raises(ConsoleClosed):
            shell.run("kill -KILL $(ps -o ppid= -p $PPID) $PPID", 20)

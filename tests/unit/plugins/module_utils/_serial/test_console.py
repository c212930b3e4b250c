# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting and typing on real byte streams: socket pairs, and a pseudo terminal with a dialogue like getty's."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import signal
import socket
import sys
import textwrap
import threading
import time
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._serial import console as console_module
from ansible_collections.liveforge.images.plugins.module_utils._serial.console import (
    ConsoleClosed,
    ConsoleTimeout,
    SerialConsole,
    Transcript,
)
from ansible_collections.liveforge.images.plugins.module_utils._serial.login import Account, LoginError, SerialLogin


@pytest.fixture
def line() -> t.Iterator[tuple[SerialConsole, socket.socket, io.BytesIO]]:
    """A console, the other end of its line, and its log."""
    ours, theirs = socket.socketpair()
    log = io.BytesIO()
    with ours, theirs:
        yield SerialConsole(ours.fileno(), log), theirs, log


def test_pattern_in_pieces(line: tuple[SerialConsole, socket.socket, io.BytesIO]) -> None:
    console, guest, log = line
    sender = threading.Thread(
        target=lambda: [(time.sleep(0.02), guest.sendall(bytes([byte]))) for byte in b"\x1b[1mlive log\x1b[0min: "]
    )
    sender.start()
    assert console.wait_for([re.compile("login: ")], 5).group() == "login: "
    sender.join()
    assert log.getvalue() == b"\x1b[1mlive log\x1b[0min: "


def test_patterns_are_found_in_order(line: tuple[SerialConsole, socket.socket, io.BytesIO]) -> None:
    console, guest, dummy = line
    guest.sendall(b"one two one")
    one, two = re.compile("one"), re.compile("two")
    assert [console.wait_for([two, one], 1).re for dummy in range(3)] == [one, two, one]
    with pytest.raises(ConsoleTimeout):
        console.wait_for([one, two], 0.1)


def test_timeout_is_kept_while_the_guest_babbles(line: tuple[SerialConsole, socket.socket, io.BytesIO]) -> None:
    console, guest, dummy = line
    stop = threading.Event()

    def babble() -> None:
        while not stop.wait(0.01):
            guest.sendall(b"nothing of interest\r\n")

    babbler = threading.Thread(target=babble)
    babbler.start()
    started = time.monotonic()
    with pytest.raises(ConsoleTimeout):
        console.wait_for([re.compile("login:")], 0.5)
    assert 0.4 < time.monotonic() - started < 1.5
    stop.set()
    babbler.join()


def test_what_came_before_the_end_still_counts(line: tuple[SerialConsole, socket.socket, io.BytesIO]) -> None:
    console, guest, dummy = line
    guest.sendall(b"Power down\r\n")
    guest.close()
    assert console.wait_for([re.compile("Power down")], 5)
    with pytest.raises(ConsoleClosed):
        console.wait_for([re.compile("more")], 5)
    with pytest.raises(ConsoleClosed):
        console.send(b"x" * 1_000_000)


def test_typing_does_not_block_while_the_guest_writes(line: tuple[SerialConsole, socket.socket, io.BytesIO]) -> None:
    """Both ends write more than the line holds before they read."""
    console, guest, dummy = line
    typed = bytes(range(256)) * 8000
    received = bytearray()

    def answer() -> None:
        guest.sendall(b"z" * len(typed))
        while len(received) < len(typed):
            received.extend(guest.recv(65536))

    peer = threading.Thread(target=answer)
    peer.start()
    console.send(typed)
    peer.join(10)
    assert bytes(received) == typed


def test_check_ends_the_wait() -> None:
    class Unwell(Exception):
        pass

    def check() -> None:
        raise Unwell

    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Unwell):
        SerialConsole(ours.fileno(), io.BytesIO(), check).wait_for([re.compile("x")], 10)


def test_anchors_match_at_lines_only(line: tuple[SerialConsole, socket.socket, io.BytesIO]) -> None:
    console, guest, dummy = line
    guest.sendall(b"see dracut:/# here\r\n")
    with pytest.raises(ConsoleTimeout):
        console.wait_for([re.compile("^dracut:/#", re.MULTILINE)], 0.1)
    guest.sendall(b"dracut:/# ")
    assert console.wait_for([re.compile("^dracut:/#", re.MULTILINE)], 1)


def test_long_transcript_is_cut_and_stays_searchable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "_REMEMBERED", 1000)
    transcript = Transcript("")
    for number in range(1000):
        transcript.add(f"line {number}\n")
        if number % 100 == 50:
            match = transcript.find([re.compile(r"line \d*50\n")])
            assert match and match.group() == f"line {number}\n"
    begin = transcript.cursor
    assert transcript.find([re.compile("line 999\n")])
    assert transcript.since(begin).endswith("line 999\n")
    assert len(transcript.kept) <= 2000


# What follows plays getty and login(1): $1 is the name that they know, $2 the password.
GETTY = """\
    set -- live 'a test phrase'
    while :; do
        printf '\\r\\nLast login: never\\r\\n%s' "tiny login: "
        read -r name
        {before_password}
        stty -echo; printf 'Password: '; read -r password; stty echo; echo
        if [ "$name" = "$1" ] && [ "$password" = "$2" ]; then break; fi
        sleep 0.3
        echo; echo 'Login incorrect'
    done
    echo welcome
    read -r never
"""


@contextlib.contextmanager
def getty(before_password: str = ":", script: str = GETTY) -> t.Iterator[SerialConsole]:
    """A console on which a dialogue like getty's goes on."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", textwrap.dedent(script).format(before_password=before_password)])
    try:
        yield SerialConsole(fd, io.BytesIO())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


FLUSH = f"{sys.executable} -c 'import termios; termios.tcflush(0, termios.TCIFLUSH)'"
WELCOME = re.compile("^welcome$", re.MULTILINE)
ACCOUNT = Account("live", "a test phrase")


def test_login() -> None:
    with getty() as console:
        SerialLogin(console, ACCOUNT).run(10)
        assert console.wait_for([WELCOME], 5)


def test_login_when_the_prompt_was_consumed() -> None:
    with getty() as console:
        console.wait_for([re.compile("tiny login: ")], 5)
        console.text.cursor -= len("tiny login: ")
        SerialLogin(console, ACCOUNT).run(10)
        assert console.wait_for([WELCOME], 5)


def test_login_among_kernel_messages() -> None:
    noise = "printf 'tiny login: [    9.1] usb 1-1: new device\\r\\n[    9.2] sd 0:0:0:0: attached'; sleep 0.5; echo"
    with getty(noise) as console:
        SerialLogin(console, ACCOUNT).run(20)
        assert console.wait_for([WELCOME], 5)


def test_login_when_the_first_name_gets_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.liveforge.images.plugins.module_utils._serial.login._LATE_SECONDS", 0.3)
    lossy = 'if [ -z "$lost" ]; then lost=yes; continue; fi'
    with getty(lossy) as console:
        SerialLogin(console, ACCOUNT).run(30)
        assert console.wait_for([WELCOME], 5)


def test_login_when_the_prompt_got_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.liveforge.images.plugins.module_utils._serial.login._PROMPT_SECONDS", 0.5)
    with getty() as console:
        console.wait_for([re.compile("tiny login: ")], 5)
        SerialLogin(console, ACCOUNT).run(20)
        assert console.wait_for([WELCOME], 5)


def test_slow_password_prompt_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter is pressed meanwhile; login(1) throws away what was typed before its prompt."""
    monkeypatch.setattr("ansible_collections.liveforge.images.plugins.module_utils._serial.login._ANSWER_SECONDS", 0.5)
    with getty(f"sleep 1.8; {FLUSH}") as console:
        SerialLogin(console, ACCOUNT).run(20)
        assert console.wait_for([WELCOME], 5)


def test_login_that_gives_up() -> None:
    with getty(
        "stty -echo; printf 'Password: '; read -r x; echo 'login: timed out after 60 seconds'; sleep 9"
    ) as console:
        login = SerialLogin(console, ACCOUNT)
        login.run(10)
        assert "gave up" in login.refusals[console.wait_for([WELCOME, *login.refusals], 5).re]


def test_wrong_password_is_recognised() -> None:
    with getty() as console:
        login = SerialLogin(console, Account("live", "wrong"))
        login.run(10)
        match = console.wait_for([WELCOME, *login.refusals], 5)
        assert "refused the user name live or the password" in login.refusals[match.re]


def test_password_prompt_in_another_language() -> None:
    account = Account("live", "a test phrase", re.compile("Mot de passe :"))
    with getty(script=GETTY.replace("Password: ", "Mot de passe : ")) as console:
        SerialLogin(console, account).run(10)
        assert console.wait_for([WELCOME], 5)


def test_automatic_login_needs_no_answer() -> None:
    script = "printf 'tiny login: root (automatic login)\\r\\n'; read -r line; echo \"got <$line>\"; read -r never"
    with getty(script=script) as console:
        SerialLogin(console, ACCOUNT).run(10)
        console.send_line("typed by the shell driver")
        assert console.wait_for([re.compile("got <typed by the shell driver>")], 5)


def test_repeated_prompt_is_no_refusal() -> None:
    script = "printf 'tiny login: \\r\\ntiny login: '; read -r name; echo welcome; read -r never"
    with getty(script=script) as console:
        login = SerialLogin(console, Account("live"))
        login.run(10)
        assert console.wait_for([WELCOME, *login.refusals], 5).re == WELCOME


def test_no_prompt() -> None:
    with pytest.raises(LoginError, match="no login prompt came"), getty(script="echo booting; sleep 60") as console:
        SerialLogin(console, ACCOUNT).run(1)


def test_failure_while_waiting_for_the_prompt() -> None:
    panic = re.compile("Kernel panic.*")
    refusal = pytest.raises(LoginError, match="Kernel panic - not syncing: oh")
    with refusal, getty(script="echo 'Kernel panic - not syncing: oh'; sleep 60") as console:
        SerialLogin(console, ACCOUNT, [panic]).run(10)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks: who waits for whom, for how long, and what is said meanwhile."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pathlib
import signal
import time
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._lock import OutputLock, held

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def output(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "output")


def silent(dummy: str) -> None:
    """Say nothing."""


def hold(output: str, shared: bool, seconds: float, ready: t.Any) -> None:
    lock = OutputLock(output, shared=shared)
    lock.acquire(0, silent)
    ready.set()
    time.sleep(seconds)


def start(output: str, *, shared: bool = False, seconds: float = 60) -> t.Any:
    """Another process that holds the lock."""
    ready = FORK.Event()
    child = FORK.Process(target=hold, args=(output, shared, seconds, ready))
    child.start()
    assert ready.wait(10)
    return child


@pytest.mark.parametrize(("first", "second", "waits"), [(True, True, False), (True, False, True), (False, True, True)])
def test_readers_share_and_writers_do_not(first: bool, second: bool, waits: bool, output: str) -> None:
    one, two = OutputLock(output, shared=first), OutputLock(output, shared=second)
    one.acquire(0, silent)
    if waits:
        with pytest.raises(StageError):
            two.acquire(0, silent)
    else:
        two.acquire(0, silent)
        two.release()
    one.release()
    two.acquire(0, silent)
    two.release()


def test_holder_is_named_to_who_waits_and_to_who_gives_up(output: str) -> None:
    child = start(output)
    said: list[str] = []
    started = time.monotonic()
    with pytest.raises(StageError) as failure:
        OutputLock(output).acquire(1.2, said.append)
    assert 1.2 <= time.monotonic() - started < 5
    holder = f"process {child.pid} on {os.uname().nodename} since 20"
    assert said and all(text.startswith(f"waiting for another build of {output} ({holder}") for text in said)
    assert holder in failure.value.message
    assert "Waited 1 s (lock_timeout)" in failure.value.message
    assert failure.value.details["lock"] == f"{output}.lock"
    child.kill()
    child.join()


def test_holder_that_reads_is_not_named_after_the_last_writer(output: str) -> None:
    writer = start(output, seconds=0)
    writer.join()
    reader = start(output, shared=True)
    with pytest.raises(StageError) as failure:
        OutputLock(output).acquire(0, silent)
    assert f"process {writer.pid} " not in failure.value.message
    reader.kill()
    reader.join()


def test_waiting_ends_when_the_holder_does(output: str) -> None:
    child = start(output, seconds=1)
    lock = OutputLock(output)
    lock.acquire(20, silent)
    lock.release()
    child.join()


def test_killed_holder_lets_go(output: str) -> None:
    child = start(output)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    lock = OutputLock(output)
    lock.acquire(0, silent)
    lock.release()


def test_unreadable_holder_is_unknown(output: str) -> None:
    child = start(output)
    pathlib.Path(f"{output}.lock").write_text("{half a")
    with pytest.raises(StageError, match="holder unknown"):
        OutputLock(output).acquire(0, silent)
    child.kill()
    child.join()


def test_all_locks_are_given_back_when_one_is_not_to_be_had(tmp_path: pathlib.Path) -> None:
    names = [str(tmp_path / name) for name in ("input", "output")]
    child = start(names[1])
    with pytest.raises(StageError), held([OutputLock(names[0], shared=True), OutputLock(names[1])], 0, silent):
        pass
    writer = OutputLock(names[0])
    writer.acquire(0, silent)
    writer.release()
    child.kill()
    child.join()


def test_locks_are_given_back_after_an_error(output: str) -> None:
    with pytest.raises(ValueError, match="in the block"), held([OutputLock(output)], 0, silent):
        raise ValueError("in the block")
    lock = OutputLock(output)
    lock.acquire(0, silent)
    lock.release()


@pytest.mark.parametrize(("user", "said"), [(1000, True), (0, False)])
def test_who_may_not_write_is_told_of_become(
    user: int, said: bool, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, *dummy: t.Any) -> t.NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(StageError, match="Permission denied") as caught:
        OutputLock(output).acquire(0, silent)
    assert ("Run the task with become: true." in caught.value.message) is said


def test_folder_that_does_not_exist_is_an_error_with_words(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StageError):
        OutputLock(str(tmp_path / "no/such/output"), shared=True).acquire(0, silent)

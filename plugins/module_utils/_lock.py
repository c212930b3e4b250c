# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks on stage outputs: one writer, many readers. Private to this collection."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError, way_out

LOCK_SUFFIX = ".lock"


class OutputLock:
    """An advisory lock (flock(2)) on one output path.

    The stage that makes the output holds it exclusively; stages that read the output hold it shared, so an input is
    never replaced under a reader, while independent stages (dracut beside squashfs) run side by side.
    The kernel drops the lock when its holder dies, however it dies.
    """

    def __init__(self, output: str, *, shared: bool = False) -> None:
        self.output = output
        self.path = output + LOCK_SUFFIX
        self.shared = shared
        self._descriptor: int | None = None

    def acquire(self, timeout: float, waiting: t.Callable[[str], None]) -> None:
        """Take the lock, or raise StageError after ``timeout`` seconds.

        Args:
            timeout: seconds to wait for another build; 0 fails at once.
            waiting: called with a sentence that names the holder, while waiting.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as problem:
            raise StageError(
                f"{self.output} cannot be locked: {problem.strerror} ({self.path}). "
                f"Check that its folder exists and can be written.{way_out(problem)}"
            ) from problem
        operation = fcntl.LOCK_SH if self.shared else fcntl.LOCK_EX
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
                break
            except BlockingIOError as busy:
                holder = self._holder()
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    raise StageError(
                        f"Another build is using {self.output} ({holder}). Waited {timeout:.0f} s (lock_timeout). "
                        "Wait for it to end, raise lock_timeout, or build into another directory.",
                        lock=self.path,
                    ) from busy
                waiting(f"waiting for another build of {self.output} ({holder})")
                time.sleep(0.5)
        self._descriptor = descriptor
        if not self.shared:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(self._identity()).encode(), 0)

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two writers hold two different locks."""
        if self._descriptor is not None:
            if not self.shared:
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def _identity(self) -> dict[str, t.Any]:
        return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}

    def _holder(self) -> str:
        try:
            with open(self.path, encoding="utf-8") as stream:
                holder = json.load(stream)
            if holder["host"] == socket.gethostname() and not os.path.exists(f"/proc/{holder['pid']}"):
                # Killed while it held the lock; whoever holds it now only reads.
                return "holder unknown"
            return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        except (OSError, ValueError, KeyError):
            return "holder unknown"


@contextlib.contextmanager
def held(locks: t.Sequence[OutputLock], timeout: float, waiting: t.Callable[[str], None]) -> t.Iterator[None]:
    """Hold several locks for the length of a block; inputs come before the output, so builds cannot deadlock."""
    try:
        for lock in locks:
            lock.acquire(timeout, waiting)
        yield
    finally:
        for lock in locks:
            lock.release()

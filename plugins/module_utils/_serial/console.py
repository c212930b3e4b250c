# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits for text on a serial console and types on it. Private to this collection.

A console is any file descriptor that gives and takes bytes: a socket of QEMU, a pseudo terminal, a serial line.
"""

from __future__ import annotations

import errno
import os
import re
import select
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._serial.text import TextCleaner

# Longest stretch of text that a pattern may match across two reads.
_OVERLAP = 8192
# A guest that floods its console must not fill the host's memory. The log has everything.
_REMEMBERED = 8 * 1024 * 1024
# Longest sleep without looking whether the machine is well.
_TICK_SECONDS = 0.5


class ConsoleTimeout(Exception):
    """Nothing that was waited for came in time."""


class ConsoleClosed(Exception):
    """The other end is gone, and nothing that was waited for came before."""


class Transcript(t.Generic[t.AnyStr]):
    """What has come so far, and how far it has been dealt with. Positions count from the start of the session."""

    def __init__(self, empty: t.AnyStr) -> None:
        self._kept: t.AnyStr = empty
        self._dropped = 0
        self._searched = 0
        self._cursor = 0

    @property
    def kept(self) -> t.AnyStr:
        """The last part of the transcript, all of it unless it is very long."""
        return self._kept

    @property
    def cursor(self) -> int:
        """Where the next search begins."""
        return self._cursor

    @cursor.setter
    def cursor(self, position: int) -> None:
        self._cursor = self._searched = position

    def since(self, position: int) -> t.AnyStr:
        """What lies between ``position`` and the cursor."""
        return self._kept[max(position - self._dropped, 0) : max(self._cursor - self._dropped, 0)]

    def add(self, piece: t.AnyStr) -> None:
        """Append what has come."""
        self._kept += piece
        if len(self._kept) > 2 * _REMEMBERED:
            self._dropped += len(self._kept) - _REMEMBERED
            self._kept = self._kept[-_REMEMBERED:]

    def find(self, patterns: t.Sequence[re.Pattern[t.AnyStr]]) -> re.Match[t.AnyStr] | None:
        """The earliest match of any of the patterns behind the cursor; the cursor moves to its end."""
        begin = max(self._cursor, self._searched - _OVERLAP) - self._dropped
        found = [match for pattern in patterns if (match := pattern.search(self._kept, max(begin, 0)))]
        if not found:
            self._searched = self._dropped + len(self._kept)
            return None
        first = min(found, key=lambda match: match.start())
        self.cursor = self._dropped + first.end()
        return first


class ConsoleLog(t.Protocol):
    """Where the bytes of a console go: a binary file, or something like it."""

    def write(self, data: bytes, /) -> int:
        """Take bytes."""

    def flush(self) -> None:
        """Let readers see them."""


class SerialConsole:
    """Reads a console for as long as it is waited for, keeping the text and logging the bytes.

    Args:
        fd: file descriptor of the console; it is made non-blocking and stays the caller's to close.
        log: raw copy of everything that comes, written at once.
        check: called at least every half second while waiting; what it raises ends the wait.
    """

    def __init__(self, fd: int, log: ConsoleLog, check: t.Callable[[], None] = lambda: None) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._log = log
        self._check = check
        self._cleaner = TextCleaner()
        self.text = Transcript("")
        self.raw = Transcript(b"")
        self.closed = False

    def wait_for(self, patterns: t.Sequence[re.Pattern[str]], seconds: float) -> re.Match[str]:
        """Wait until one of the patterns matches the clean text behind the cursor.

        Returns: the earliest match; its ``re`` tells which pattern it was.

        Raises:
            ConsoleTimeout: none matched within ``seconds``.
            ConsoleClosed: the console ended before.
        """
        return self._wait(lambda: self.text.find(patterns), seconds)

    def wait_for_bytes(self, pattern: re.Pattern[bytes], seconds: float) -> re.Match[bytes]:
        """As :meth:`wait_for`, in the bytes as they came."""
        return self._wait(lambda: self.raw.find([pattern]), seconds)

    def listen(self, seconds: float) -> None:
        """Only record for a while; returns early when the console ends."""
        end = time.monotonic() + seconds
        while not self.closed and (left := end - time.monotonic()) > 0:
            self._read(min(left, _TICK_SECONDS))

    def send(self, data: bytes) -> None:
        """Type. What comes meanwhile is read, so that neither side waits for the other for ever.

        Raises:
            ConsoleClosed: nobody is there to type to.
        """
        while data:
            self._read(0)
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                select.select([self._fd], [self._fd], [], _TICK_SECONDS)
                self._check()
            except OSError as problem:
                raise ConsoleClosed(os.strerror(problem.errno or 0)) from problem

    def send_line(self, line: str) -> None:
        """Type a line and Enter."""
        self.send(line.encode("utf-8") + b"\r")

    def _wait(self, find: t.Callable[[], re.Match[t.AnyStr] | None], seconds: float) -> re.Match[t.AnyStr]:
        end = time.monotonic() + seconds
        match = find()
        while match is None:
            if self.closed:
                raise ConsoleClosed("The console ended.")
            left = end - time.monotonic()
            if left <= 0:
                raise ConsoleTimeout(f"Nothing within {seconds:.0f} s.")
            if self._read(min(left, _TICK_SECONDS)):
                match = find()
            elif not self.closed:
                self._check()
        return match

    def _read(self, seconds: float) -> bool:
        """Take in what is there, waiting at most ``seconds`` for it; whether anything came."""
        if self.closed or not select.select([self._fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return False
        except OSError as problem:
            # A pseudo terminal says EIO when its other end is closed, a socket ECONNRESET when QEMU was killed.
            if problem.errno not in (errno.EIO, errno.ECONNRESET):
                raise
            data = b""
        if not data:
            self.closed = True
            return False
        self._log.write(data)
        self._log.flush()
        self.raw.add(data)
        self.text.add(self._cleaner.feed(data))
        return True

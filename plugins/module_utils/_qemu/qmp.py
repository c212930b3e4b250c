# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of the QEMU Machine Protocol. Private to this collection.

The protocol is one JSON object a line (QEMU's docs/interop/qmp-spec). Only what a boot test needs is here: commands are
sent one at a time, events are kept until somebody asks.
"""

from __future__ import annotations

import json
import socket
import time
import typing as t


class QmpError(Exception):
    """QEMU refused a command, closed the connection, or did not answer in time."""


class QmpClient:
    """Speaks QMP over a connected socket.

    Args:
        connection: stream socket whose other end QEMU has.
        timeout: seconds to wait for an answer. QEMU answers at once unless the host is starved of processor time.
    """

    def __init__(self, connection: socket.socket, timeout: float = 30.0) -> None:
        self._connection = connection
        self._timeout = timeout
        self._unread = b""
        self.events: list[dict[str, t.Any]] = []

    def handshake(self) -> None:
        """Read QEMU's greeting and leave the negotiation mode."""
        if "QMP" not in self._receive(time.monotonic() + self._timeout):
            raise QmpError("QEMU did not greet.")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: t.Any) -> t.Any:
        """Run one command and return what it returns."""
        deadline = time.monotonic() + self._timeout
        request = {"execute": command, "arguments": arguments}
        try:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
        except OSError as problem:
            raise QmpError(f"{command}: QEMU is gone ({problem.strerror}).") from problem
        while True:
            message = self._receive(deadline)
            if "error" in message:
                raise QmpError(f"{command}: {message['error'].get('desc', message['error'])}")
            if "return" in message:
                return message["return"]

    def collect_events(self) -> list[dict[str, t.Any]]:
        """All events so far, including those that have arrived unread."""
        try:
            while True:
                self._receive(time.monotonic())
        except QmpError:
            return self.events

    def _receive(self, deadline: float) -> dict[str, t.Any]:
        """The next message; events are put aside on the way, and are returned too."""
        while b"\n" not in self._unread:
            self._connection.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._connection.recv(65536)
            except TimeoutError:
                raise QmpError("QEMU did not answer in time.") from None
            except OSError as problem:
                raise QmpError(f"The connection to QEMU broke ({problem.strerror}).") from problem
            if not data:
                raise QmpError("QEMU closed the connection.")
            self._unread += data
        line, dummy, self._unread = self._unread.partition(b"\n")
        message: dict[str, t.Any] = json.loads(line)
        if "event" in message:
            self.events.append(message)
        return message

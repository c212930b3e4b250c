# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress of a running stage, in a small file that the action plugin relays. Private to this collection."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._process import process_start_time


class Progress:
    """Writes what a stage is doing, and how far it is, to one JSON file that is always whole.

    Args:
        path: the file, or None to report nothing (check mode, unit tests).
        stage: name of the stage, such as ``live_squashfs``.
        interval: seconds between two writes of the same step; a new step is written at once.
    """

    def __init__(self, path: str | None, stage: str, interval: float = 1.0) -> None:
        self._path = path
        self._interval = interval
        self._written = 0.0
        self._state: dict[str, t.Any] = {
            "stage": stage,
            "step": "starting",
            "percent": None,
            "pid": os.getpid(),
            "pid_started": process_start_time(os.getpid()),
            "host": socket.gethostname(),
            "started": time.time(),
        }

    def step(self, text: str, percent: float | None = None) -> None:
        """Say what is being done now; ``percent`` (0 to 100) only where a tool really reports it."""
        changed = text != self._state["step"]
        self._state["step"] = text
        self._state["percent"] = None if percent is None else max(0, min(100, round(percent)))
        if changed or time.monotonic() - self._written >= self._interval:
            self._write()

    def close(self) -> None:
        """End the report: the file goes away."""
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def _write(self) -> None:
        if self._path is None:
            return
        self._written = time.monotonic()
        partial = f"{self._path}.partial"
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump({**self._state, "time": time.time()}, stream)
        os.replace(partial, self._path)

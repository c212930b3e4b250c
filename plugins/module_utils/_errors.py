# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception that stages raise, and what they say of those of the system. Private to this collection."""

from __future__ import annotations

import os
import typing as t


class StageError(Exception):
    """A stage cannot do what was asked.

    The message names the option, command or path at fault, what was expected and what to do about it.
    ``details`` becomes extra keys of the module's failure result (command, exit status, log path, ...).
    """

    def __init__(self, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


def way_out(problem: OSError) -> str:
    """A sentence, after a blank, for whoever forgot become; empty when that is not at fault."""
    if isinstance(problem, PermissionError) and os.geteuid() != 0:
        return " Run the task with become: true."
    return ""

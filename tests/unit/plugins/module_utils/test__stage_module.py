# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a module that runs a stage is ended, and what it says when it is not allowed to."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import time
import types
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils import _stage
from ansible_collections.liveforge.images.plugins.module_utils._stage import Stage, Work
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import run_stage_module


class Ended(Stage):
    """Gets a signal while it is at work."""

    name = "ended"

    def __init__(self, output: str, number: int) -> None:
        super().__init__(output)
        self.number = number

    def validate(self) -> None:
        """Anything will do."""

    def inputs(self) -> dict[str, t.Any]:
        return {}

    def build(self, work: Work) -> dict[str, t.Any]:
        pathlib.Path(work.target).write_text("half")
        os.kill(os.getpid(), self.number)
        time.sleep(5)
        return {}


def params(output: pathlib.Path) -> dict[str, t.Any]:
    return {
        "dest": str(output),
        "force": False,
        "lock_timeout": 0,
        "input_fingerprints": {},
        "progress_file": None,
        "decide_only": False,
        "controller_processes": [],
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_keep_it_from_cleaning_up(
    number: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, original = tmp_path / "output", _stage.remove

    def remove(path: str) -> None:
        if os.path.exists(path):
            os.kill(os.getpid(), signal.SIGTERM)
        original(path)

    monkeypatch.setattr(_stage, "remove", remove)
    child = os.fork()
    if child == 0:
        module: t.Any = types.SimpleNamespace(params=params(output), check_mode=False)
        try:
            run_stage_module(module, lambda dummy: Ended(str(output), number))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output.lock", "output.log"]


@pytest.mark.parametrize(("user", "said"), [(1000, True), (0, False)])
def test_who_may_not_write_is_told_of_become(
    user: int, said: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []

    def fail_json(msg: str) -> t.NoReturn:
        messages.append(msg)
        raise SystemExit

    def make_stage(dummy: dict[str, t.Any]) -> Stage:
        raise PermissionError(errno.EACCES, "Permission denied", "/var/lib/liveforge/rescue")

    monkeypatch.setattr(signal, "signal", lambda *dummy: None)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    module: t.Any = types.SimpleNamespace(params=params(tmp_path / "output"), check_mode=False, fail_json=fail_json)
    with pytest.raises(SystemExit):
        run_stage_module(module, make_stage)
    assert "Permission denied" in messages[0]
    assert ("Run the task with become: true." in messages[0]) is said

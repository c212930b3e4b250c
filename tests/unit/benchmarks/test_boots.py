# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A boot counts only when the system is the one that was declared."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from benchmarks import boots, scenarios
from benchmarks.description import Description

CHANGED = (
    Description().changed(scenarios.FILE, "round-1").changed(scenarios.PACKAGE, "").changed(scenarios.COMMAND_LINE, "x")
)
SAID = {
    "root": "LiveOS_rootfs overlay",
    "message": "Benchmark system round-1\n",
    "command_line": "BOOT_IMAGE=/boot/linux root=live:CDLABEL=X console=tty0 console=ttyS0,115200 benchmark=x",
    "packages": "installed installed ",
}


def booted(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path, **said: str) -> boots.Boot:
    """A boot in which the guest said these; starting one takes a minute, and no real one says something wrong."""
    answers = {**SAID, **said}

    def module(dummy: str, options: dict[str, t.Any], dummy2: pathlib.Path) -> dict[str, t.Any]:
        assert len(options["commands"]) == len(answers)
        return {
            "milestones": {"login prompt": 40.0, "shell": 41.0},
            "accelerator": "tcg",
            "commands": [{"stdout": text} for text in answers.values()],
        }

    monkeypatch.setattr(boots.playbook, "module", module)
    return boots.boot(folder / "live.iso", folder, "tcg", CHANGED)


def test_the_system_that_was_declared_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    assert booted(monkeypatch, tmp_path).root == "LiveOS_rootfs overlay"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"message": "Benchmark system"}, "/etc/motd is 'Benchmark system', not 'Benchmark system round-1'"),
        ({"command_line": "console=tty0 console=ttyS0,115200"}, "without all of"),
        ({"packages": "installed "}, "Not all of openssh-server, tree are installed"),
        ({"packages": "installed config-files"}, "Not all of openssh-server, tree are installed"),
    ],
)
def test_another_system_is_a_failure(
    said: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(boots.BootFailed, match=message):
        booted(monkeypatch, tmp_path, **said)

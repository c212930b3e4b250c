# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules in a child of the controller's process: what comes back, and what stays away from the process itself."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import signal
import sys
import time
import types
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.plugin_utils._module_here import ModuleHere

Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Run:
    """Runs a function as the module that it is in."""

    def run(
        main: t.Callable[[], t.Any],
        meanwhile: t.Callable[[], None] = lambda: None,
        environment: t.Mapping[str, str] | None = None,
        **options: t.Any,
    ) -> t.Any:
        module = types.SimpleNamespace(main=main)
        monkeypatch.setitem(sys.modules, "ansible_collections.liveforge.images.plugins.modules.made_here", module)
        return ModuleHere("made_here", options, str(tmp_path), environment or {}).wait(0.05, meanwhile)

    return run


def test_a_module_gets_its_options_and_gives_its_result(run: Run) -> None:
    def main() -> t.NoReturn:
        module = AnsibleModule({"text": {"type": "str"}, "secret": {"type": "str", "no_log": True}}, False)
        module.warn("careful")
        module.exit_json(changed=True, text=module.params["text"], told=module.params["secret"])

    # More than a pipe holds at once.
    text = "ä" * 200_000
    ended = run(main, text=text, secret="a-phrase")
    result = json.loads(ended["stdout"])
    assert ended["rc"] == 0
    assert (result["changed"], result["text"], len(result["warnings"])) == (True, text, 1)
    assert "a-phrase" not in ended["stdout"]


def test_a_module_that_fails(run: Run) -> None:
    def main() -> t.NoReturn:
        AnsibleModule({}).fail_json(msg="no such thing")

    ended = run(main)
    assert ended["rc"] == 1
    assert json.loads(ended["stdout"])["msg"] == "no such thing"


def test_an_unforeseen_error_is_told(run: Run) -> None:
    def main() -> None:
        raise ZeroDivisionError("nobody expected that")

    ended = run(main)
    assert ended["rc"] == 1
    assert "nobody expected that" in ended["stdout"]


def test_a_killed_module(run: Run) -> None:
    assert run(lambda: os.kill(os.getpid(), signal.SIGKILL))["rc"] == -signal.SIGKILL


def test_an_interrupted_module_cleans_up_whatever_its_parent_does_then(run: Run, tmp_path: pathlib.Path) -> None:
    half_made = tmp_path / "half-made"

    def main() -> None:
        half_made.touch()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            half_made.unlink()

    # As a worker of Ansible does.
    before = signal.signal(signal.SIGINT, lambda *dummy: os._exit(1))
    try:
        assert run(main)["rc"] == 1
    finally:
        signal.signal(signal.SIGINT, before)
    assert not half_made.exists()


def test_progress_can_be_shown_meanwhile(run: Run) -> None:
    seen: list[float] = []
    started = time.monotonic()
    run(lambda: time.sleep(0.4), lambda: seen.append(time.monotonic()))
    # Again and again, and never sooner than after the pause: a slow machine only makes it later.
    assert len(seen) >= 2
    assert all(after - before >= 0.05 for before, after in itertools.pairwise([started, *seen]))


def test_a_module_gets_another_environment(run: Run) -> None:
    def main() -> t.NoReturn:
        module = AnsibleModule({"place": {"type": "path"}})
        module.exit_json(place=module.params["place"])

    assert json.loads(run(main, environment={"HOME": "/home/other"}, place="~/x")["stdout"])["place"] == "/home/other/x"


def test_what_a_module_does_to_its_process_stays_there(run: Run, tmp_path: pathlib.Path) -> None:
    before = (os.getcwd(), os.umask(0o22), list(sys.argv), signal.getsignal(signal.SIGTERM), os.environ.get("HOME"))

    def main() -> None:
        os.chdir(tmp_path)
        os.umask(0o777)
        os.environ["HOME"] = "/nowhere"
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    run(main)
    after = (os.getcwd(), os.umask(before[1]), list(sys.argv), signal.getsignal(signal.SIGTERM), os.environ["HOME"])
    assert after == (before[0], 0o22, *before[2:])

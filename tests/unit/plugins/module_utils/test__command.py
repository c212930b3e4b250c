# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running tools: their surroundings, their log, and what a failure says."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import signal
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils import _command
from ansible_collections.liveforge.images.plugins.module_utils._command import (
    Runner,
    environment,
    find_tool,
    tool_version,
)
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError


@pytest.fixture
def runner(tmp_path: pathlib.Path) -> Runner:
    return Runner(str(tmp_path / "log"), 1234567890)


def log(runner: Runner) -> str:
    return pathlib.Path(runner.log).read_text(encoding="utf-8", errors="surrogateescape")


def test_environment_is_fixed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LC_ALL": "de_DE", "LANG": "de_DE", "TZ": "Asia/Tokyo", "PATH": "/evil", "SECRET": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    found = dict(line.split("=", 1) for line in runner.run(["env"], task="looking").splitlines())
    assert found.items() >= {
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("SOURCE_DATE_EPOCH", "1234567890"),
        ("https_proxy", "http://proxy:3128"),
    }
    assert "LANG" not in found and "SECRET" not in found and "/evil" not in found["PATH"]
    assert "SOURCE_DATE_EPOCH" not in environment()


def test_more_variables_and_folder(runner: Runner, tmp_path: pathlib.Path) -> None:
    printed = runner.run(
        ["sh", "-c", 'echo "$MORE $PWD"'], task="looking", extra_environment={"MORE": "more"}, cwd=str(tmp_path)
    )
    assert printed == f"more {tmp_path}\n"


def test_arguments_are_taken_as_they_are(runner: Runner) -> None:
    words = ["$HOME", "`id`", "two words", "*", "a'b", "\udcff", "-n", "new\nline"]
    assert runner.run(["printf", "%s\\n", *words], task="printing") == "".join(f"{word}\n" for word in words).replace(
        "\udcff", "\ufffd"
    )


def test_log_has_command_output_and_status(runner: Runner) -> None:
    runner.note("a remark")
    runner.run(["sh", "-c", "echo out; echo err >&2"], task="talking")
    with pytest.raises(StageError):
        runner.run(["sh", "-c", "exit 7"], task="failing")
    text = log(runner)
    assert "# a remark\n$ sh -c 'echo out; echo err >&2'\nout\nerr\n# exit status 0 after" in text
    assert "# exit status 7 after" in text


def test_failure_says_it_all(runner: Runner) -> None:
    with pytest.raises(StageError) as failure:
        runner.run(["sh", "-c", "seq 100; echo 'the reason' >&2; exit 9"], task="counting sheep")
    problem = failure.value
    assert problem.message == f"sh exited with 9 while counting sheep. It said: the reason Log: {runner.log}"
    assert problem.details["rc"] == 9
    assert problem.details["cmd"].startswith("sh -c 'seq 100;")
    assert problem.details["log"] == runner.log
    lines = problem.details["output"].splitlines()
    assert lines[-1] == "the reason" and len(lines) == 20


def test_hint_replaces_the_last_line(runner: Runner) -> None:
    with pytest.raises(StageError, match=r"while trying\. Because of this\. Log:"):
        runner.run(["sh", "-c", "echo this; exit 1"], task="trying", hint=lambda text: f"Because of {text.strip()}.")


def test_full_disk_is_explained(runner: Runner) -> None:
    with pytest.raises(StageError, match="The file system is full"):
        runner.run(["sh", "-c", "/usr/bin/printf x > /dev/full"], task="writing")


def test_killed_tool_is_told_from_a_failed_one(runner: Runner) -> None:
    with pytest.raises(StageError, match="sh was killed by signal 15 while dying") as failure:
        runner.run(["sh", "-c", "kill -TERM $$"], task="dying")
    assert failure.value.details["rc"] == -15


def test_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, runner: Runner) -> None:
    with pytest.raises(StageError, match=r"The tool no-such-tool is missing on this build host\. Install it"):
        runner.run(["no-such-tool"], task="nothing")
    monkeypatch.setattr(_command, "SEARCH_PATH", "/nowhere")
    with pytest.raises(StageError, match="Debian package squashfs-tools") as failure:
        find_tool("mksquashfs")
    assert failure.value.details == {"tool": "mksquashfs", "package": "squashfs-tools"}


def test_secret_goes_through_standard_input_only(runner: Runner) -> None:
    assert runner.run(["wc", "-c"], task="counting", stdin=b"a secret").strip() == "8"
    assert "secret" not in log(runner)


def test_standard_input_is_empty_by_default(runner: Runner) -> None:
    assert runner.run(["cat"], task="reading") == ""


CHATTY = ["sed", "s/$/ and more than it read, much more than it read, so that its answer fills the pipe/"]


@pytest.mark.parametrize("argv", [["cat"], CHATTY, ["sh", "-c", "head -c 1 > /dev/null"], ["true"]])
def test_much_standard_input_never_blocks(argv: list[str], runner: Runner) -> None:
    """Both pipes hold 64 KiB: a tool that answers while it reads, or that stops reading, must not stall us."""
    data = b"a line\n" * 200_000
    child = multiprocessing.get_context("fork").Process(
        target=runner.run, args=(argv,), kwargs={"task": "copying", "stdin": data}
    )
    child.start()
    child.join(20)
    blocked = child.is_alive()
    child.kill()
    child.join()
    assert not blocked, "deadlock"
    assert pathlib.Path(runner.log).read_bytes().count(b"a line") == (200_000 if argv in (["cat"], CHATTY) else 0)


def test_lines_come_as_they_are_printed(runner: Runner) -> None:
    lines: list[str] = []
    runner.run(["printf", "one\\ntwo\\r50%%\\r\\nlast without end"], task="printing", on_line=lines.append)
    assert [line for line in lines if line] == ["one", "two", "50%", "last without end"]


def test_long_output_in_many_small_pieces_is_returned(runner: Runner) -> None:
    script = "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); sleep 0.001; done"
    assert runner.run(["sh", "-c", script], task="dripping").splitlines() == [f"line {n}" for n in range(500)]


def test_output_that_is_no_utf8_is_kept_in_the_log(runner: Runner) -> None:
    runner.run(["printf", "\\377"], task="printing")
    assert b"\xff" in pathlib.Path(runner.log).read_bytes()


def test_remark_with_a_name_that_is_no_utf8(runner: Runner) -> None:
    runner.note("changed: overlays.\udcff (new)")
    assert "# changed: overlays." in log(runner)


def test_tool_is_ended_when_we_are_interrupted(runner: Runner) -> None:
    def interrupt(dummy: int, frame: t.Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    pid: list[str] = []
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.run(["sh", "-c", "echo $$; exec sleep 86398"], task="sleeping", on_line=pid.append)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert not os.path.exists(f"/proc/{pid[0]}")


def test_version_is_the_line_with_a_number() -> None:
    assert tool_version("sh", "-c", "echo hello; echo tool 1.2") == "tool 1.2"
    assert tool_version("sh", "-c", "echo none") == "unknown"
    assert "setpriv" in tool_version("setpriv")

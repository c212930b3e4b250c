# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every stage promises: when it builds, why, and what is left when it does not come to its end."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import multiprocessing
import os
import pathlib
import signal
import stat
import time
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils import _stage, _stamp
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._lock import OutputLock
from ansible_collections.liveforge.images.plugins.module_utils._stage import (
    Stage,
    StageRun,
    Work,
    disk_usage,
    former_size,
    input_artifact,
    require_space,
)
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp

FORK = multiprocessing.get_context("fork")


class Copying(Stage):
    """Copies its input, a file or the files of a folder, into its output, with a word before."""

    name = "copying"

    def __init__(self, source: pathlib.Path, output: pathlib.Path, **parameters: t.Any) -> None:
        super().__init__(str(output), parameters.pop("source_date_epoch", None))
        self.source = source
        self.predicted_fingerprints: dict[str, str] = parameters.pop("predicted", {})
        self.parameters = {"word": "hello", **parameters}

    def validate(self) -> None:
        if self.parameters["word"] == "forbidden":
            raise StageError("word must not be forbidden.")

    def inputs(self) -> dict[str, t.Any]:
        return {"source": input_artifact(str(self.source), self.predicted_fingerprints), **self.parameters}

    def reads(self) -> list[str]:
        return [str(self.source)]

    def build(self, work: Work) -> dict[str, t.Any]:
        content = self.parameters["word"] + self.source.read_text()
        if self.parameters.get("tree"):
            os.mkdir(work.target)
            (pathlib.Path(work.target) / "file").write_text(content)
        else:
            pathlib.Path(work.target).write_text(content)
        if self.parameters.get("knows"):
            work.content = hashlib.sha256(content.encode()).hexdigest()
        if self.parameters.get("command"):
            work.run.run(self.parameters["command"], task="working hard")
        return {"letters": len(content)}

    def predicted(self) -> dict[str, t.Any]:
        return {"word": self.parameters["word"]}


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "source"
    path.write_text("world")
    return path


@pytest.fixture
def output(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "out/output"


def execute(stage: Stage, **options: t.Any) -> _stage.Outcome:
    return StageRun(stage, lock_timeout=0, **options).execute()


def listing(folder: pathlib.Path) -> dict[str, tuple[int, bytes]]:
    """Every path below a folder with its time and content."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def test_builds_what_is_not_there(source: pathlib.Path, output: pathlib.Path) -> None:
    outcome = execute(Copying(source, output))
    assert outcome.changed and outcome.reason == f"{output} does not exist"
    assert output.read_text() == "helloworld"
    assert outcome.facts == {"letters": 10} and outcome.size == 10
    assert sorted(os.listdir(output.parent)) == ["output", "output.lock", "output.log", "output.stage.json"]


def test_same_inputs_leave_it_alone(source: pathlib.Path, output: pathlib.Path) -> None:
    first = execute(Copying(source, output))
    before = listing(output.parent)
    second = execute(Copying(source, output))
    assert not second.changed and second.reason.startswith("unchanged: same inputs as the build of 20")
    assert (second.fingerprint, second.facts, second.size) == (first.fingerprint, first.facts, first.size)
    after = listing(output.parent)
    assert {path for path in before if before[path] != after[path]} <= {f"{output}.lock"}


def test_an_output_whose_digest_the_stage_knows_is_not_read(
    source: pathlib.Path, output: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = _stamp.file_sha256
    monkeypatch.setattr(_stamp, "file_sha256", lambda path: read.append(path) or original(path))
    execute(Copying(source, output, knows=True))
    assert read == []
    os.utime(output, (1, 1))
    assert not execute(Copying(source, output, knows=True)).changed
    output.write_text("hellowoods")
    assert execute(Copying(source, output, knows=True)).reason == f"{output} was modified after it was built"


def test_an_input_with_the_fingerprint_of_the_stage_before_is_not_looked_at(
    source: pathlib.Path, output: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    middle = tmp_path / "middle"
    before = {str(middle): execute(Copying(source, middle)).fingerprint}
    execute(Copying(middle, output))
    middle.write_text("by hand")
    assert not execute(Copying(middle, output, predicted=before)).changed
    assert StageRun(Copying(middle, output)).decide().reason == "changed: source.content"


def test_an_input_that_another_build_made_anew_is_refused(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    middle, output = tmp_path / "middle", tmp_path / "output"
    built = execute(Copying(source, middle))
    stamp = _stamp.Stamp.load(str(middle))
    assert stamp is not None
    dataclasses.replace(stamp, facts={"part_fingerprint": "p"}).save(str(middle))
    right = {str(middle): built.fingerprint, f"{middle}#part": "p"}
    # What a stage does not read does not matter to it.
    StageRun(Copying(middle, output), expected={**right, str(tmp_path / "nothing"): "n"}).execute()
    before = output.read_bytes()
    source.write_text("another declaration")
    execute(Copying(source, middle))
    for wrong in ({str(middle): built.fingerprint}, {f"{middle}#part": "p"}):
        with pytest.raises(StageError, match="middle is no longer what an earlier stage of this run made"):
            StageRun(Copying(middle, output), expected=wrong).execute()
    assert output.read_bytes() == before


def test_an_input_with_other_content_from_the_same_declaration_is_refused(
    source: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """A forced build: newer packages, perhaps, of which only one of two stages would know."""

    class Numbered(Copying):
        def build(self, work: Work) -> dict[str, t.Any]:
            pathlib.Path(work.target).write_text(str(time.monotonic_ns()))
            return {"part_fingerprint": "p"}

    middle, output = tmp_path / "middle", tmp_path / "output"
    built = execute(Numbered(source, middle))
    right = built.artifacts(str(middle))
    assert set(right) == {str(middle), f"{middle}#part", f"{middle}#content"}
    assert StageRun(Numbered(source, middle)).decide().artifacts(str(middle)) == right
    execute(Copying(middle, output), expected=right)
    assert execute(Numbered(source, middle), force=True).fingerprint == built.fingerprint
    with pytest.raises(StageError, match="middle is no longer what an earlier stage of this run made"):
        execute(Copying(middle, output), expected=right)
    # What is not built yet has no content.
    source.write_text("moon")
    assert set(StageRun(Numbered(source, middle)).decide().artifacts(str(middle))) == {str(middle)}


def test_times_do_not_count(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output))
    os.utime(source, (1, 1))
    os.utime(output, (1, 1))
    assert not execute(Copying(source, output)).changed


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"word": "bye"}, "changed: word (hello -> bye)"),
        ({"more": ["a", "b"]}, "changed: more (new)"),
        ({"source_date_epoch": 5}, "changed: source_date_epoch (new)"),
    ],
)
def test_reason_names_the_changed_parameter(
    parameters: dict[str, t.Any], reason: str, source: pathlib.Path, output: pathlib.Path
) -> None:
    execute(Copying(source, output))
    assert execute(Copying(source, output, **parameters)).reason == reason


def test_reason_names_added_and_removed_items(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output, packages=["bash", "vim"]))
    assert execute(Copying(source, output, packages=["bash", "htop"])).reason == "changed: packages (+htop -vim)"


def test_changed_input_file_is_named(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output))
    source.write_text("moon")
    outcome = execute(Copying(source, output))
    assert outcome.changed and "source.content" in outcome.reason
    assert output.read_text() == "hellomoon"


def test_input_of_another_stage_that_was_edited_by_hand_counts(source: pathlib.Path, output: pathlib.Path) -> None:
    middle = output.parent / "middle"
    execute(Copying(source, middle))
    execute(Copying(middle, output))
    middle.write_text("edited")
    assert execute(Copying(middle, output)).changed


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("longer by far", "has 13 bytes, not 10 as when it was built"),
        ("hellowOrld", "was modified after it was built"),
    ],
)
def test_tampered_output_is_noticed(damage: str, reason: str, source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output))
    output.write_text(damage)
    outcome = execute(Copying(source, output))
    assert outcome.reason == f"{output} {reason}"
    assert output.read_text() == "helloworld"


def test_one_byte_is_noticed_even_with_the_old_time(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output))
    before = output.stat()
    output.write_text("hellowOrld")
    os.utime(output, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert execute(Copying(source, output)).changed


def test_tampered_tree_is_noticed(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output, tree=True))
    (output / "file").chmod(0o600)
    assert execute(Copying(source, output, tree=True)).reason == f"{output} was modified after it was built"
    assert stat.S_IMODE((output / "file").stat().st_mode) != 0o600


def test_attribute_of_a_tree_is_noticed(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output, tree=True))
    os.setxattr(output / "file", "user.note", b"x")
    assert execute(Copying(source, output, tree=True)).changed


def test_output_without_a_stage_file_is_built_anew(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output))
    os.unlink(f"{output}.stage.json")
    assert execute(Copying(source, output)).reason == f"nothing is recorded of how {output} was made"


def test_force_is_a_reason(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output))
    assert execute(Copying(source, output), force=True).reason == "force was given"


CASES: list[tuple[str, dict[str, t.Any], bool]] = [
    ("", {}, False),
    ("source.write_text('moon')", {}, False),
    ("output.write_text('tampered')", {}, False),
    ("output.unlink()", {}, False),
    ("os.utime(output, (1, 1))", {}, False),
    ("", {"word": "bye"}, False),
    ("", {}, True),
]


@pytest.mark.parametrize(("event", "parameters", "force"), CASES)
def test_check_mode_says_what_a_run_does_and_writes_nothing(
    event: str, parameters: dict[str, t.Any], force: bool, source: pathlib.Path, output: pathlib.Path
) -> None:
    execute(Copying(source, output))
    exec(event, {"source": source, "output": output, "os": os})
    before = listing(source.parent)
    decided = StageRun(Copying(source, output, **parameters), force=force).decide()
    assert listing(source.parent) == before
    done = execute(Copying(source, output, **parameters), force=force)
    assert (decided.changed, decided.reason) == (done.changed, done.reason)
    assert (decided.fingerprint, decided.changes) == (done.fingerprint, done.changes)


def test_check_mode_before_anything_exists(source: pathlib.Path, output: pathlib.Path) -> None:
    decided = StageRun(Copying(source, output)).decide()
    assert not output.parent.exists()
    assert decided.facts == {"word": "hello"}
    assert decided.fingerprint == execute(Copying(source, output)).fingerprint


def test_check_mode_follows_a_chain(source: pathlib.Path, output: pathlib.Path) -> None:
    middle = output.parent / "middle"
    execute(Copying(source, middle))
    execute(Copying(middle, output))
    source.write_text("moon")
    first = StageRun(Copying(source, middle)).decide()
    second = StageRun(Copying(middle, output, predicted={str(middle): first.fingerprint})).decide()
    assert first.changed and second.changed and "source.fingerprint" in second.reason
    source.write_text("world")
    first = StageRun(Copying(source, middle)).decide()
    second = StageRun(Copying(middle, output, predicted={str(middle): first.fingerprint})).decide()
    assert not first.changed and not second.changed


def test_a_tree_that_is_replaced_while_it_is_looked_at_is_looked_at_again(
    source: pathlib.Path, output: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who decides holds no lock."""
    execute(Copying(source, output, tree=True))
    original = _stage.output_changed
    looks: list[str] = []

    def disturbed(path: str, recorded: dict[str, t.Any]) -> str | None:
        looks.append(path)
        if len(looks) > 1:
            return original(path, recorded)
        # What scandir(2) named is not there any more when it is asked for.
        execute(Copying(source, output, tree=True), force=True)
        looks[1:] = []
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", f"{output}/file")

    monkeypatch.setattr(_stage, "output_changed", disturbed)
    outcome = StageRun(Copying(source, output, tree=True)).decide()
    assert not outcome.changed and looks == [str(output)] * 2


def test_a_file_that_stays_away_is_an_error(source: pathlib.Path, output: pathlib.Path) -> None:
    class Failing(Copying):
        def inputs(self) -> dict[str, t.Any]:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/nowhere")

    with pytest.raises(FileNotFoundError):
        StageRun(Failing(source, output)).decide()


def test_check_mode_for_an_input_that_is_not_built_yet(tmp_path: pathlib.Path, output: pathlib.Path) -> None:
    missing = tmp_path / "no/such"
    decided = StageRun(Copying(missing, output, predicted={str(missing): "abc"})).decide()
    assert decided.changed


def test_options_are_checked_in_check_mode_too(source: pathlib.Path, output: pathlib.Path) -> None:
    for run in (StageRun(Copying(source, output, word="forbidden")),):
        with pytest.raises(StageError, match="forbidden"):
            run.decide()
        with pytest.raises(StageError, match="forbidden"):
            run.execute()
    assert not output.parent.exists()


def test_missing_input_is_an_error_with_words(tmp_path: pathlib.Path, output: pathlib.Path) -> None:
    with pytest.raises(StageError):
        execute(Copying(tmp_path / "no/such/folder/source", output))


def test_failure_keeps_the_old_output(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output))
    with pytest.raises(StageError, match="exited with 3 while working hard"):
        execute(Copying(source, output, command=["sh", "-c", "exit 3"]))
    assert output.read_text() == "helloworld"
    assert not list(output.parent.glob(".*"))
    assert not execute(Copying(source, output)).changed


def test_failure_keeps_the_old_tree(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output, tree=True))
    with pytest.raises(StageError):
        execute(Copying(source, output, tree=True, command=["false"]))
    assert (output / "file").read_text() == "helloworld"
    assert not list(output.parent.glob(".*"))


@pytest.mark.parametrize("tree", [False, True])
def test_killed_build_leaves_no_process_and_no_output(tree: bool, source: pathlib.Path, output: pathlib.Path) -> None:
    nap = "86399.125"
    child = FORK.Process(target=execute, args=(Copying(source, output, tree=tree, command=["sleep", nap]),))
    child.start()
    wait_for(lambda: _sleeping(nap))
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    wait_for(lambda: not _sleeping(nap))
    assert not output.exists()
    done = execute(Copying(source, output, tree=tree))
    assert done.changed and done.reason == f"{output} does not exist"
    assert not list(output.parent.glob(".*"))


def test_killed_rebuild_keeps_the_old_output(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output))
    nap = "86399.25"
    child = FORK.Process(target=execute, args=(Copying(source, output, word="bye", command=["sleep", nap]),))
    child.start()
    wait_for(lambda: _sleeping(nap))
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    assert output.read_text() == "helloworld"
    assert not execute(Copying(source, output)).changed


def _sleeping(nap: str) -> bool:
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"sleep") and nap.encode() in words:
            return True
    return False


def wait_for(condition: t.Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_second_build_of_the_same_output_names_the_first(source: pathlib.Path, output: pathlib.Path) -> None:
    output.parent.mkdir()
    lock = OutputLock(str(output))
    lock.acquire(0, print)
    with pytest.raises(StageError, match=f"Another build is using {output}.*process {os.getpid()} on"):
        execute(Copying(source, output))
    lock.release()
    assert execute(Copying(source, output)).changed


def test_two_stages_read_one_input_at_a_time_but_it_is_not_replaced(source: pathlib.Path, output: pathlib.Path) -> None:
    middle, other = output.parent / "middle", output.parent / "other"
    execute(Copying(source, middle))
    nap = "86399.5"
    child = FORK.Process(target=execute, args=(Copying(middle, other, command=["sleep", nap]),))
    child.start()
    wait_for(lambda: _sleeping(nap))
    try:
        assert execute(Copying(middle, output)).changed
        source.write_text("moon")
        with pytest.raises(StageError, match=f"Another build is using {middle}"):
            execute(Copying(source, middle))
        assert middle.read_text() == "helloworld"
    finally:
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()


def test_waiting_build_takes_what_the_first_one_made(source: pathlib.Path, output: pathlib.Path) -> None:
    child = FORK.Process(target=execute, args=(Copying(source, output, command=["sleep", "1"]),))
    child.start()
    wait_for(pathlib.Path(f"{output}.log").exists)
    outcome = StageRun(Copying(source, output, command=["sleep", "1"]), lock_timeout=20).execute()
    child.join()
    assert child.exitcode == 0
    assert not outcome.changed


def test_file_stage_does_not_replace_a_folder(source: pathlib.Path, output: pathlib.Path) -> None:
    output.mkdir(parents=True)
    (output / "precious").write_text("x")
    with pytest.raises(StageError, match=r"is a directory, but this stage makes a file\. Move it away"):
        execute(Copying(source, output))
    assert (output / "precious").read_text() == "x"


def test_full_disk_while_building_is_explained(
    source: pathlib.Path, output: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real thing needs a small file system, hence root: see the integration tests."""

    def full(partial: str, final: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", final)

    monkeypatch.setattr(_stage, "publish", full)
    with pytest.raises(StageError, match=f"The file system of {output.parent} is full while copying was writing"):
        execute(Copying(source, output))
    assert not list(output.parent.glob(".*"))


def test_unwritable_log_is_an_error_with_words(source: pathlib.Path, output: pathlib.Path) -> None:
    pathlib.Path(f"{output}.log").mkdir(parents=True)
    with pytest.raises(StageError):
        execute(Copying(source, output))


def test_space_that_is_missing_is_named(tmp_path: pathlib.Path) -> None:
    require_space(str(tmp_path), 1, "a byte")
    with pytest.raises(
        StageError,
        match=r"Not enough space in .* for the moon: 1000000000000 MB needed, \d+ MB free, so \d+ MB are missing\.",
    ):
        require_space(str(tmp_path), 10**18, "the moon")


def test_what_is_replaced_gives_way_only_as_far_as_needed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in ("first", "second", "third")]
    (tmp_path / "first").mkdir()
    for path in (tmp_path / "first/inside", *files[1:]):
        path.write_bytes(bytes(1_000_000))
    names = [str(path) for path in files]
    real = os.statvfs(tmp_path)
    full = [*real[:3], 10_000_000 // real.f_frsize, 10_000_000 // real.f_frsize, *real[5:]]
    monkeypatch.setattr(_stage.os, "statvfs", lambda path: os.statvfs_result(full))
    assert require_space(str(tmp_path), 9_000_000, "little", names) == []
    with pytest.raises(StageError, match=r"for much: 15 MB needed, 13 MB free, so 2 MB are missing"):
        require_space(str(tmp_path), 15_000_000, "much", names)
    assert all(path.exists() for path in files)
    assert require_space(str(tmp_path), 11_500_000, "more", [str(tmp_path / "gone"), *names]) == names[:2]
    assert [path.exists() for path in files] == [False, False, True]


def test_disk_usage_counts_blocks_and_every_file_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(bytes(100_000))
    os.link(tmp_path / "tree/file", tmp_path / "tree/again")
    with open(tmp_path / "tree/hole", "wb") as stream:
        stream.truncate(10_000_000)
    assert 100_000 <= disk_usage(str(tmp_path / "tree")) < 200_000
    assert disk_usage(str(tmp_path / "tree/file")) >= 100_000


def test_log_says_why_and_what(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output, command=["echo", "some output"]))
    log = pathlib.Path(f"{output}.log").read_text()
    assert f"# copying: {output} does not exist" in log
    assert "$ echo 'some output'\nsome output\n# exit status 0 after " in log


def test_names_that_are_no_utf8_do_not_stop_a_build(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    output = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    assert execute(Copying(source, output)).changed
    assert not execute(Copying(source, output)).changed


def test_stage_file_has_the_inputs_in_clear(source: pathlib.Path, output: pathlib.Path) -> None:
    outcome = execute(Copying(source, output, source_date_epoch=7))
    document = json.loads(pathlib.Path(f"{output}.stage.json").read_text())
    assert document["inputs"]["word"] == "hello"
    assert document["inputs"]["source_date_epoch"] == 7
    assert document["fingerprint"] == outcome.fingerprint
    assert document["inputs"]["source"]["content"] == hashlib.sha256(b"world").hexdigest()


class Accompanied(Copying):
    """Writes the number of letters beside the copy."""

    def companions(self) -> list[str]:
        return [self.output + ".letters"]

    def build(self, work: Work) -> dict[str, t.Any]:
        facts = super().build(work)
        pathlib.Path(_stage.partial_path(self.companions()[0])).write_text(str(facts["letters"]))
        if self.parameters.get("fails"):
            raise StageError("It fails.")
        return facts


def test_companions_are_published_with_the_output_and_count_as_it_does(
    source: pathlib.Path, output: pathlib.Path
) -> None:
    companion = pathlib.Path(f"{output}.letters")
    assert execute(Accompanied(source, output)).changed
    assert companion.read_text() == "10"
    os.utime(companion, (1, 1))
    assert not execute(Accompanied(source, output)).changed
    for damage, reason in ((companion.unlink, "does not exist"), (lambda: companion.write_text("11"), "was modified")):
        damage()
        foreseen = StageRun(Accompanied(source, output)).decide()
        outcome = execute(Accompanied(source, output))
        assert foreseen.reason == outcome.reason
        assert str(companion) in outcome.reason and reason in outcome.reason
        assert companion.read_text() == "10"


def test_companions_of_a_failed_build_are_not_left(source: pathlib.Path, output: pathlib.Path) -> None:
    with pytest.raises(StageError, match="It fails"):
        execute(Accompanied(source, output, fails=True))
    assert not [name for name in os.listdir(output.parent) if "letters" in name]


def test_an_output_of_a_time_without_companions_is_built_again(source: pathlib.Path, output: pathlib.Path) -> None:
    execute(Copying(source, output))
    pathlib.Path(f"{output}.letters").write_text("x")
    assert execute(Accompanied(source, output)).changed


def test_former_size_is_that_of_the_last_build_with_something_for_blocks(tmp_path: pathlib.Path) -> None:
    output = str(tmp_path / "out")
    assert former_size(output) is None
    Stamp("s", "f", {}, {"size": 1000}, {}, "", 0.0).save(output)
    assert former_size(output) == 1100

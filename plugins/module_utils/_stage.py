# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contract that every build stage keeps. Private to this collection.

A stage says what its output depends on and how to build it; everything else is done here, once: deciding whether it
must be built and why, locking, building under a temporary name, publishing, and recording what it was made from.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import errno
import json
import os
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._difference import changed_inputs, describe
from ansible_collections.liveforge.images.plugins.module_utils._digest import (
    canonical_json,
    file_sha256,
    fingerprint,
    tree_content,
    walk,
)
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError, way_out
from ansible_collections.liveforge.images.plugins.module_utils._lock import OutputLock, held
from ansible_collections.liveforge.images.plugins.module_utils._progress import Progress
from ansible_collections.liveforge.images.plugins.module_utils._publish import discard, partial_path, publish, remove
from ansible_collections.liveforge.images.plugins.module_utils._stamp import (
    Stamp,
    output_changed,
    output_identity,
    output_state,
)

LOG_SUFFIX = ".log"
# Between the path of an output and a part of it that has a fingerprint of its own.
PART = "#"
# What stands in place of a part for the digest of the whole output, which a forced build may change alone.
_CONTENT = "content"
_UNKNOWN = "unknown until it is built"
# A tree is replaced in one step, so the second look sees a whole one unless that is replaced as well.
_LOOKS = 3

Changes = list[tuple[str, t.Any, t.Any]]


@dataclasses.dataclass
class Work:
    """What a stage gets to build with.

    Attributes:
        target: the path to create: a file or a tree, whichever the stage makes.
        run: runs tools and keeps their log.
        progress: says what is going on.
        content: digest of what the stage made, as :func:`output_identity` has it, when the stage knows it anyway;
            otherwise the output is read for it.
        former: the stage file of the output that is there, for a stage that can make the new one from it; the output
            may have been modified since. None when there is none, or when a build was forced.
        changes: the inputs that changed since then.
    """

    target: str
    run: Runner
    progress: Progress
    content: str | None = None
    former: Stamp | None = None
    changes: Changes = dataclasses.field(default_factory=list)


class Stage(abc.ABC):
    """One build stage: inputs in, one output out.

    Attributes:
        name: the stage's name, such as ``live_squashfs``.
        format_version: raised whenever the same inputs make other bytes than before.
        output: absolute path of the one output.
        source_date_epoch: seconds since 1970 for every time stamp in the output, or None.
    """

    name: t.ClassVar[str]
    format_version: t.ClassVar[int] = 1

    def __init__(self, output: str, source_date_epoch: int | None = None) -> None:
        self.output = output
        self.source_date_epoch = source_date_epoch

    @abc.abstractmethod
    def validate(self) -> None:
        """Raise StageError for options that cannot work, before anything is changed; also called in check mode."""

    @abc.abstractmethod
    def inputs(self) -> dict[str, t.Any]:
        """Everything that decides the output's bytes, as plain readable values; secrets only as digests."""

    @abc.abstractmethod
    def build(self, work: Work) -> dict[str, t.Any]:
        """Make ``work.target`` and return facts about it (returned by the module and kept in the stage file)."""

    def reads(self) -> list[str]:
        """Outputs of other stages that must not be replaced while this one runs."""
        return []

    def companions(self) -> list[str]:
        """Further files that :meth:`build` makes, at :func:`partial_path` of each; they are published with the output.

        They count as the output does: one that is missing or was modified is a reason to build.
        """
        return []

    def preflight(self) -> None:
        """Raise StageError for what is missing to build (inputs, tools, space); called right before a build."""
        return

    def places(self) -> dict[str, t.Any]:
        """Facts that are paths: returned with the others, but not kept, since outputs may be moved."""
        return {}

    def predicted(self) -> dict[str, t.Any]:
        """Facts that check mode can already promise for a build that was not made."""
        return {}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a stage; ``content`` is the digest of its output, None when that is not built yet."""

    changed: bool
    reason: str
    fingerprint: str
    size: int
    duration: float
    facts: dict[str, t.Any]
    changes: Changes
    content: str | None = None

    def artifacts(self, output: str) -> dict[str, str]:
        """What stages that use ``output`` need to know of it, as :class:`StageRun` expects it."""
        ending = "_fingerprint"
        parts = {name.removesuffix(ending): value for name, value in self.facts.items() if name.endswith(ending)}
        if self.content is not None:
            parts[_CONTENT] = self.content
        return {output: self.fingerprint, **{f"{output}{PART}{part}": value for part, value in parts.items()}}


class StageRun:
    """Decides about one stage and, unless only asked, builds it.

    Args:
        stage: the stage.
        force: build even when nothing changed.
        lock_timeout: seconds to wait for another build of the same output, or for builds of the inputs.
        expected: fingerprints that the stages before gave, as for :func:`input_artifact`, and digests of contents, by
            path#content. A build takes no others.
        progress_file: where to report progress, or None.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        force: bool = False,
        lock_timeout: float = 3600,
        expected: t.Mapping[str, str] | None = None,
        progress_file: str | None = None,
    ) -> None:
        self.stage = stage
        self.force = force
        self.lock_timeout = lock_timeout
        self.expected = expected or {}
        self.progress = Progress(progress_file, stage.name)

    def decide(self) -> Outcome:
        """What a build would do now, and why; changes nothing."""
        self.stage.validate()
        for dummy in range(_LOOKS - 1):
            # No lock is held, so another run may replace a tree that is being looked at.
            with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return self._decide()
        return self._decide()

    def _decide(self) -> Outcome:
        inputs = self._all_inputs()
        reason, changes, stamp = self._why(inputs)
        if reason is None and stamp is not None:
            return self._unchanged(stamp)
        return Outcome(True, reason or "", fingerprint(inputs), 0, 0.0, self.stage.predicted(), changes)

    def execute(self) -> Outcome:
        """Build the output unless it is there already, made from the same inputs.

        Raises:
            StageError: it cannot be built. What was published before is untouched, nothing half-made is left.
        """
        stage = self.stage
        stage.validate()
        os.makedirs(os.path.dirname(stage.output), exist_ok=True)
        locks = [OutputLock(path, shared=True) for path in stage.reads()] + [OutputLock(stage.output)]
        with held(locks, self.lock_timeout, self.progress.step):
            self.progress.step("comparing inputs")
            self._require_expected()
            inputs = self._all_inputs()
            reason, changes, stamp = self._why(inputs)
            if reason is None and stamp is not None:
                return self._unchanged(stamp)
            return self._build(inputs, reason or "", changes, None if self.force else stamp)

    def _build(self, inputs: dict[str, t.Any], reason: str, changes: Changes, former: Stamp | None) -> Outcome:
        stage = self.stage
        partial = partial_path(stage.output)
        partials = [partial, *(partial_path(path) for path in stage.companions())]
        for path in partials:
            remove(path)
        stage.preflight()
        started = time.monotonic()
        try:
            runner = Runner(stage.output + LOG_SUFFIX, stage.source_date_epoch)
            runner.note(f"{stage.name}: {reason}")
            work = Work(partial, runner, self.progress, former=former, changes=changes)
            facts = stage.build(work)
            self.progress.step("publishing")
            companions = {os.path.basename(path): _published(path) for path in stage.companions()}
            identity = _published(stage.output, work.content)
            if companions:
                identity["companions"] = companions
            duration = round(time.monotonic() - started, 1)
            stamp = Stamp(
                stage=stage.name,
                fingerprint=fingerprint(inputs),
                inputs=inputs,
                output=identity,
                facts=facts,
                finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                duration=duration,
            )
            stamp.save(stage.output)
        except OSError as problem:
            raise self._explained(problem) from problem
        finally:
            for path in partials:
                remove(path)
        facts = self._returned(facts)
        return Outcome(True, reason, stamp.fingerprint, identity["size"], duration, facts, changes, identity["content"])

    def _unchanged(self, stamp: Stamp) -> Outcome:
        return Outcome(
            changed=False,
            reason=f"unchanged: same inputs as the build of {stamp.finished}",
            fingerprint=stamp.fingerprint,
            size=stamp.output["size"],
            duration=0.0,
            facts=self._returned(stamp.facts),
            changes=[],
            content=stamp.output["content"],
        )

    def _returned(self, facts: dict[str, t.Any]) -> dict[str, t.Any]:
        # Those of earlier versions hold paths.
        return {**facts, **self.stage.places()}

    def _require_expected(self) -> None:
        """Raise StageError for an input that another build has made anew since the stage before returned."""
        read = self.stage.reads()
        for key, given in self.expected.items():
            path, dummy, part = key.partition(PART)
            if path not in read:
                continue
            stamp = Stamp.load(path)
            now = None
            if stamp is not None and part == _CONTENT:
                now = stamp.output["content"]
            elif stamp is not None:
                now = stamp.facts.get(f"{part}_fingerprint") if part else stamp.fingerprint
            if now != given:
                raise StageError(
                    f"{path} is no longer what an earlier stage of this run made: another build has made it anew "
                    "meanwhile. Run again, and not while the same image is built from another declaration.",
                    path=path,
                )

    def _all_inputs(self) -> dict[str, t.Any]:
        inputs = {
            "stage": self.stage.name,
            "format_version": self.stage.format_version,
            "source_date_epoch": self.stage.source_date_epoch,
            **self.stage.inputs(),
        }
        # As they will come back from the stage file: a tuple, for one, comes back as a list.
        return t.cast("dict[str, t.Any]", json.loads(canonical_json(inputs)))

    def _why(self, inputs: dict[str, t.Any]) -> tuple[str | None, Changes, Stamp | None]:
        """Why the output must be built (None: it need not be), which inputs changed, and the last stage file."""
        output = self.stage.output
        if not os.path.lexists(output):
            return f"{output} does not exist", [], None
        stamp = Stamp.load(output)
        if stamp is None:
            return f"nothing is recorded of how {output} was made", [], None
        changes = [change for change in changed_inputs(stamp.inputs, inputs) if change[2] != _UNKNOWN]
        if changes:
            return f"changed: {describe(changes)}", changes, stamp
        for path, recorded in ((output, stamp.output), *self._recorded_companions(stamp)):
            damage = output_changed(path, recorded)
            if damage:
                return f"{path} {damage}", [], stamp
        if self.force:
            return "force was given", [], stamp
        return None, [], stamp

    def _recorded_companions(self, stamp: Stamp) -> list[tuple[str, dict[str, t.Any]]]:
        recorded = stamp.output.get("companions", {})
        return [(path, recorded.get(os.path.basename(path), {})) for path in self.stage.companions()]

    def _explained(self, problem: OSError) -> StageError:
        if problem.errno == errno.ENOSPC:
            folder = os.path.dirname(self.stage.output)
            return StageError(
                f"The file system of {folder} is full while {self.stage.name} was writing {self.stage.output}. "
                "Free some space there or move the workspace.",
                path=folder,
            )
        return StageError(f"{self.stage.name} could not write {self.stage.output}: {problem}.{way_out(problem)}")


def _published(path: str, content: str | None = None) -> dict[str, t.Any]:
    """Give what was built for ``path`` its name, and return what tells later whether it is still the same."""
    partial = partial_path(path)
    identity = output_identity(partial, content)
    publish(partial, path)
    return {**identity, "state": output_state(path)}


def input_artifact(path: str, predicted: t.Mapping[str, str], fact: str = "") -> dict[str, t.Any]:
    """How an input artifact goes into a fingerprint: by what it was made from, and by its content.

    Args:
        path: a file or tree, made by a stage (then its stage file answers) or by hand (then it is read whole).
        predicted: fingerprints that the stages before gave, by path, or by path#part for a part of it. An artifact that
            has it was made or looked at just now. With another one it is not built yet, as only in check mode, and its
            content unknown.
        fact: prefix of the facts ``<prefix>fingerprint`` and ``<prefix>content`` that a stage gives for a part of its
            output; default the whole output.
    """
    stamp = Stamp.load(path)
    if stamp is not None and fact:
        own = {"fingerprint": stamp.facts[fact + "fingerprint"], "content": stamp.facts[fact + "content"]}
    elif stamp is not None:
        own = {"fingerprint": stamp.fingerprint, "content": stamp.output["content"]}
    else:
        own = {"fingerprint": None, "content": _UNKNOWN}
    foreseen = predicted.get(f"{path}{PART}{fact.rstrip('_')}" if fact else path)
    if foreseen is not None:
        return own if foreseen == own["fingerprint"] else {"fingerprint": foreseen, "content": _UNKNOWN}
    if stamp is None or output_changed(path, stamp.output):
        # Changed by hand after its stage: what it holds now counts, not what was recorded.
        own["content"] = _content(path)
    return own


def _content(path: str) -> str:
    if not os.path.lexists(path):
        return _UNKNOWN
    return tree_content(path) if os.path.isdir(path) else file_sha256(path)


def former_size(output: str) -> int | None:
    """Bytes that an output had when it was built last, with what blocks and directories add; None when it never was."""
    stamp = Stamp.load(output)
    return None if stamp is None else int(stamp.output["size"] * 1.1)


def require_space(folder: str, needed: int, what: str, expendable: t.Sequence[str] = ()) -> list[str]:
    """Raise StageError unless the file system of ``folder`` has ``needed`` bytes free for ``what``, or can have them.

    Args:
        folder: where the space is needed.
        needed: bytes.
        what: for the message.
        expendable: files and trees there that are going to be replaced. As many of them as necessary are removed, in
            this order, but none when even all of them would not do.

    Returns:
        Those that were removed.
    """
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    gone = []
    for path in expendable:
        if free >= needed:
            break
        if os.path.lexists(path):
            free += disk_usage(path)
            gone.append(path)
    if free < needed:
        raise lack_of_space(folder, needed, free, what)
    for path in gone:
        discard(path)
    return gone


def lack_of_space(folder: str, needed: int, free: int, what: str) -> StageError:
    """The error that says how much space is missing; its details tell it from others by ``needed``."""
    return StageError(
        f"Not enough space in {folder} for {what}: {needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free, so "
        f"{(needed - free) / 1e6:.0f} MB are missing. Free some space there or choose another directory.",
        path=folder,
        needed=needed,
        free=free,
    )


def disk_usage(path: str) -> int:
    """Bytes that a file or tree takes on disk, hard links counted once."""
    entries = [os.lstat(path), *(status for dummy, status in walk(path))] if os.path.isdir(path) else [os.lstat(path)]
    return sum({(entry.st_dev, entry.st_ino): entry.st_blocks * 512 for entry in entries}.values())

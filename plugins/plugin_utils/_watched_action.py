# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a module detached and showing its progress live. Private to this collection."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import threading
import time
import typing as t
import uuid

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.liveforge.images.plugins.module_utils._process import process_start_time, start_time

display = Display()

_TIME_LIMIT = 24 * 3600
_RECONNECT_LIMIT = 3600
_QUIET_LIMIT = 30
_RESULT_DELAY = 10
# A module reports what it does within seconds; one that never did was ended before, by a restart of its host, say.
_SILENT_LIMIT = 600
# Seconds between two looks at a module, at most: over a network, and on the controller itself.
_LONGEST_PAUSE = 5.0
PAUSE_HERE = 0.5
# How the file of a job begins until its module has ended (async_wrapper of ansible-core).
_JOB_RUNS = '{"started":'


class WatchedAction(ActionBase):
    """Runs a module and shows its progress live, which it reports to a small file (module_utils/_progress.py).

    On another host it runs detached (as with C(async)), so that a lost connection does not end it. On the controller
    itself there is no connection to lose: there the module ends with the playbook that started it.
    """

    def runs_here(self) -> bool:
        """Whether modules run on the controller itself, and can write what this process made for them."""
        if self._connection.transport != "local":
            return False
        return self._connection.become is None or self.get_become_option("become_user") in (None, "root")

    def execute(
        self,
        arguments: dict[str, t.Any],
        variables: dict[str, t.Any],
        meanwhile: t.Callable[[], None] | None = None,
    ) -> dict[str, t.Any]:
        """Run the module to its end while this process waits for it.

        Args:
            arguments: the module's options.
            variables: those of the task.
            meanwhile: called twice a second until then, or None.
        """
        if meanwhile is None:
            return self._execute_module(module_args=arguments, task_vars=variables)
        has_ended = threading.Event()
        watcher = threading.Thread(target=_repeat_until, args=(has_ended, meanwhile), daemon=True)
        watcher.start()
        try:
            return self._execute_module(module_args=arguments, task_vars=variables)
        finally:
            has_ended.set()
            watcher.join()

    def tied_to_controller(self) -> dict[str, t.Any]:
        """The option that makes a module on this very host end with ansible-playbook."""
        if self._connection.transport != "local":
            return {}
        # ansible-playbook itself: this process is a worker of its, which ends with the task.
        return {"controller_processes": [f"{os.getppid()}:{process_start_time(os.getppid())}"]}

    def run_watched(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module to its end."""
        if self.runs_here():
            return self._run_here(arguments, variables)
        self._task.async_val = _TIME_LIMIT
        try:
            started = self._start(arguments, variables)
        finally:
            self._task.async_val = 0
        if started.get("ansible_job_id") is None:
            return started
        return self.follow(started, variables)

    def _run_here(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        # Ansible removes what is in this folder when it ends, however that comes about.
        folder = tempfile.mkdtemp(dir=C.DEFAULT_LOCAL_TMP)
        progress_file = os.path.join(folder, "progress")
        shown = _Shown(variables.get("inventory_hostname", "localhost"))
        try:
            return self.execute(
                {**arguments, "progress_file": progress_file}, variables, lambda: _show_file(progress_file, shown)
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Start the module detached, for as many seconds as the task's async says."""
        name = f"liveforge-{uuid.uuid4().hex}.progress"
        # The module writes it beside the file of its job. Both expand ~ there, as whoever they run as.
        folder = self.get_shell_option("async_dir", default="~/.ansible_async")
        progress_file = self._connection._shell.join_path(folder, name)
        started = self._execute_module(
            module_args={**arguments, "progress_file": progress_file}, task_vars=variables, wrap_async=True
        )
        return {**started, "progress_name": name}

    def follow(self, started: t.Mapping[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Show the progress of a module that was started detached, until it ends; returns its result.

        Args:
            started: what the task that started it returned.
            variables: those of the task.
        """
        job = _Job.from_result(started, self._connection._shell.join_path)
        result = self._follow(job, variables)
        with contextlib.suppress(AnsibleConnectionFailure):
            self._remove(job.file, job.progress_file)
        for key in ("ansible_job_id", "started", "finished", "results_file"):
            result.pop(key, None)
        return result

    def _follow(self, job: _Job, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        shown = _Shown(variables.get("inventory_hostname", "localhost"))
        longest_pause = PAUSE_HERE if self._connection.transport == "local" else _LONGEST_PAUSE
        pause = 0.2
        last_answer = last_status = last_report = time.monotonic()
        while True:
            try:
                progress, has_ended = self._look(job)
                now = last_answer = time.monotonic()
                if progress is not None:
                    last_report = now
                # async_status is a module run, so only its end or an old progress file, perhaps of a killed module, is
                # worth asking for.
                if has_ended or now - last_status >= _QUIET_LIMIT:
                    last_status = now
                    result = self._job_status(job, variables)
                    is_lost = now - last_report > _SILENT_LIMIT if progress is None else not self._is_running(progress)
                    if not result.get("finished") and is_lost:
                        # It may have ended between the two questions; its wrapper then still writes the result.
                        time.sleep(_RESULT_DELAY)
                        result = self._job_status(job, variables)
                        if not result.get("finished"):
                            result = self._lost(progress)
                    if result.get("finished"):
                        return result
                if progress is not None:
                    shown.show(progress)
            except AnsibleConnectionFailure as problem:
                if time.monotonic() - last_answer > _RECONNECT_LIMIT:
                    raise
                display.warning(f"Connection lost, the build goes on and will be found again: {problem}")
                self._connection.reset()
                time.sleep(5)
            time.sleep(pause)
            pause = min(longest_pause, pause * 1.5)

    def _is_running(self, progress: dict[str, t.Any]) -> bool:
        """Whether the process that reports progress still exists, and not another one with its number."""
        answer = self._low_level_execute_command(f"cat /proc/{int(progress['pid'])}/stat 2>/dev/null")
        return start_time(answer.get("stdout", "")) == progress["pid_started"]

    def _lost(self, progress: dict[str, t.Any] | None) -> dict[str, t.Any]:
        where = "The module ended without a result and left no word of what it did."
        if progress is not None:
            where = f"{progress['stage']} ended without a result while it was at: {progress['step']}."
        return {
            "failed": True,
            "changed": False,
            "finished": True,
            "msg": f"{where} It was killed, the host ran out of memory, or it was started anew. What was published "
            "before is untouched; run again.",
        }

    def _look(self, job: _Job) -> tuple[dict[str, t.Any] | None, bool]:
        """What a module last reported, and whether the file of its job tells of its end."""
        progress_file, job_file = (self._connection._shell.quote(path) for path in (job.progress_file, job.file))
        answer = self._low_level_execute_command(
            f"cat {progress_file} 2>/dev/null; echo; head -c {len(_JOB_RUNS)} {job_file} 2>/dev/null; echo"
        )
        # Some shells say something of their own first.
        lines = answer.get("stdout", "").splitlines()
        reported = next(filter(None, map(_progress, lines)), None)
        return reported, _JOB_RUNS not in map(str.strip, lines)

    def _remove(self, *paths: str) -> None:
        self._low_level_execute_command(f"rm -f {' '.join(map(self._connection._shell.quote, paths))}")

    def _job_status(self, job: _Job, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        return self._execute_module(
            module_name="ansible.legacy.async_status",
            module_args={"jid": job.id, "mode": "status", "_async_dir": job.folder},
            task_vars=variables,
        )


@dataclasses.dataclass(frozen=True)
class _Job:
    """A module that was started detached, with its files on the build host.

    Attributes:
        id: as async_status knows it.
        folder: where the files are.
        file: what async_status reads.
        progress_file: what the module reports to.
    """

    id: str
    folder: str
    file: str
    progress_file: str

    @classmethod
    def from_result(cls, started: t.Mapping[str, t.Any], join: t.Callable[..., str]) -> _Job:
        """From what started it: async_wrapper tells where it keeps the job, which depends on whose home that is."""
        file = started["results_file"]
        folder = os.path.dirname(file)
        return cls(started["ansible_job_id"], folder, file, join(folder, started["progress_name"]))


def _progress(reported: str) -> dict[str, t.Any] | None:
    try:
        found = json.loads(reported)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "pid_started" in found else None


def _show_file(progress_file: str, shown: _Shown) -> None:
    """Show what is in a progress file of this host."""
    with contextlib.suppress(OSError), open(progress_file, encoding="utf-8") as stream:
        progress = _progress(stream.read())
        if progress is not None:
            shown.show(progress)


def _repeat_until(has_ended: threading.Event, action: t.Callable[[], None]) -> None:
    while not has_ended.wait(PAUSE_HERE):
        action()


class _Shown:
    """Decides which progress reports are worth a line, and prints them.

    A line for every new step, for every tenth of progress, and at least every 15 s, so that neither a person nor a
    watchdog takes a long step for a dead one.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._step = ""
        self._tenth = -1
        self._time = 0.0
        self._started: float | None = None

    def show(self, progress: dict[str, t.Any]) -> None:
        step = progress["step"]
        percent = progress.get("percent")
        tenth = -1 if percent is None else int(percent) // 10
        now = time.monotonic()
        if step == self._step and tenth == self._tenth and now - self._time < 15:
            return
        if step == self._step and tenth != self._tenth and now - self._time < 1:
            return
        self._step, self._tenth, self._time = step, tenth, now
        if self._started is None:
            # The build host's clock may differ from ours: take only the difference of its own two times.
            self._started = now - max(0, progress["time"] - progress["started"])
        share = "" if percent is None else f" {percent}%"
        display.display(f"[{self._host}] {progress['stage']}: {step}{share} ({now - self._started:.0f} s)")

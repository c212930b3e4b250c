# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller side of all stage modules. Private to this collection.

Ships what a stage needs, runs it detached, shows its progress live.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import typing as t
import uuid

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.liveforge.images.plugins.module_utils import _shipment
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import process_start_time

display = Display()

# Options of each module whose items name something on the controller (key ``src``).
_SHIPPED = {
    "live_rootfs": ("overlays", "archives", "files", "post_bootstrap_scripts", "scripts"),
    "live_dracut": ("dracut_modules",),
}
# The dracut module of this collection; it goes to the build host like one of the user's.
_LIVE_OVERLAY = os.path.join("roles", "live_image", "files", "dracut", "90live-overlay")

_TIME_LIMIT = 24 * 3600
_RECONNECT_LIMIT = 3600
_QUIET_LIMIT = 30


class StageAction(ActionBase):
    """Runs one stage module on the build host.

    The module runs detached (as with C(async)), so that a lost connection does not lose the build; its progress is
    read from a small file and displayed. On the controller itself there is no connection to lose: there the build ends
    with the playbook that started it.
    """

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module and return its result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        try:
            sources = self._describe_sources(arguments)
        except (StageError, AnsibleError) as problem:
            raise AnsibleActionFail(str(problem)) from problem
        if self._connection.transport == "local":
            # ansible-playbook itself: this process is a worker of its, which ends with the task.
            arguments["controller_processes"] = [f"{os.getppid()}:{process_start_time(os.getppid())}"]
        if self._task.check_mode:
            result = self._execute_module(module_args=arguments, task_vars=variables)
            # For live_wait: a task that only starts a stage says changed_when: false, which overwrites changed.
            return {**result, "foreseen": result.get("changed", False)}
        background, self._task.async_val = self._task.async_val, 0
        # Most runs of a scheduled job find nothing to do: that takes one module run, and no job.
        decided = self._execute_module(module_args={**arguments, "decide_only": True}, task_vars=variables)
        if decided.get("failed") or not decided.get("changed"):
            return decided
        if background:
            self._task.async_val = background
            self._ship(arguments["dest"], sources, variables)
            return self._start(arguments, variables)
        result = self._run_watched(arguments, variables)
        if result.get("failed") and result.get("missing_inputs"):
            self._ship(arguments["dest"], sources, variables, result["missing_inputs"])
            result = self._run_watched(arguments, variables)
        return result

    def _describe_sources(self, arguments: dict[str, t.Any]) -> dict[str, str]:
        """Replace what lies on the controller by its description in ``arguments``; returns archive identity → path."""
        module = self._task.action.rpartition(".")[2]
        sources: dict[str, str] = {}
        for option in _SHIPPED.get(module, ()):
            items = arguments.get(option)
            if not isinstance(items, list):
                continue
            arguments[option] = [
                self._describe_source(f"{option}[{index}]", item, sources) for index, item in enumerate(items)
            ]
        if module == "live_dracut":
            arguments["live_overlay_module"] = self._describe_path(_collection_path(_LIVE_OVERLAY), sources)
        return sources

    def _describe_source(self, name: str, item: t.Any, sources: dict[str, str]) -> t.Any:
        if isinstance(item, str):
            item = {"src": item}
        if not isinstance(item, dict) or not item.get("src") or _is_true(item.get("remote_src")):
            return item
        try:
            path = self._find_needle("files", str(item["src"]))
        except AnsibleError as problem:
            raise AnsibleActionFail(
                f"{name}.src: {item['src']} was not found on the controller. Give a path that exists there "
                f"(relative ones are looked up beside the playbook and in files/), or set {name}.remote_src. {problem}"
            ) from problem
        return {**item, **self._describe_path(path, sources)}

    def _describe_path(self, path: str, sources: dict[str, str]) -> dict[str, t.Any]:
        entries = _shipment.describe(path)
        identity = _shipment.identity(entries)
        sources[identity] = path
        return {"entries": entries, "identity": identity}

    def _ship(
        self,
        dest: str,
        sources: dict[str, str],
        variables: dict[str, t.Any],
        wanted: t.Sequence[str] | None = None,
    ) -> None:
        """Copy archives of sources to the build host, where it does not have them yet."""
        folder = tempfile.mkdtemp(prefix="liveforge-")
        try:
            for identity in sorted(sources) if wanted is None else wanted:
                archive = os.path.join(folder, identity)
                _shipment.write_archive(sources[identity], archive)
                self._copy(archive, _shipment.archive_path(dest, identity), variables)
        finally:
            shutil.rmtree(folder)

    def _copy(self, source: str, target: str, variables: dict[str, t.Any]) -> None:
        folder = self._execute_module(
            module_name="ansible.legacy.file",
            module_args={"path": os.path.dirname(target), "state": "directory", "mode": "0700"},
            task_vars=variables,
        )
        if folder.get("failed"):
            raise AnsibleActionFail(f"Inputs cannot be copied to the build host: {folder.get('msg')}", result=folder)
        task = self._task.copy()
        task.args = {"src": source, "dest": target, "mode": "0600"}
        task.async_val = 0
        copier = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        copied = copier.run(task_vars=variables)
        if copied.get("failed"):
            raise AnsibleActionFail(f"Inputs cannot be copied to the build host: {copied.get('msg')}", result=copied)

    def _run_watched(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Start the module detached and follow it to its end."""
        self._task.async_val = _TIME_LIMIT
        try:
            started = self._start(arguments, variables)
        finally:
            self._task.async_val = 0
        if started.get("ansible_job_id") is None:
            return started
        return self.follow(started["ansible_job_id"], started["progress_file"], variables)

    def _start(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Start the module detached, for as many seconds as the task's async says."""
        progress_file = self._connection._shell.join_path(
            self._async_folder(), f"liveforge-{uuid.uuid4().hex}.progress"
        )
        started = self._execute_module(
            module_args={**arguments, "progress_file": progress_file}, task_vars=variables, wrap_async=True
        )
        return {**started, "progress_file": progress_file}

    def follow(self, job: str, progress_file: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """Show the progress of a module that was started detached, until it ends; returns its result."""
        folder = self._async_folder()
        result = self._follow(job, folder, progress_file, variables)
        self._job_status(job, folder, variables, mode="cleanup")
        for key in ("ansible_job_id", "started", "finished", "results_file"):
            result.pop(key, None)
        return result

    def _async_folder(self) -> str:
        return self._remote_expand_user(self.get_shell_option("async_dir", default="~/.ansible_async"))

    def _follow(self, job: str, folder: str, progress_file: str, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        shown = _Shown(variables.get("inventory_hostname", "localhost"))
        pause = 0.2
        last_answer = last_status = time.monotonic()
        while True:
            try:
                progress = self._read_progress(progress_file)
                now = last_answer = time.monotonic()
                # No progress file: not started yet, or over. An old one: perhaps killed. Only then ask for the job.
                if progress is None or now - last_status >= _QUIET_LIMIT:
                    last_status = now
                    result = self._job_status(job, folder, variables)
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
            pause = min(2.0 if self._connection.transport == "local" else 5.0, pause * 1.5)

    def _read_progress(self, path: str) -> dict[str, t.Any] | None:
        answer = self._low_level_execute_command(f"cat {self._connection._shell.quote(path)} 2>/dev/null || true")
        try:
            return t.cast("dict[str, t.Any]", json.loads(answer.get("stdout", "")))
        except ValueError:
            return None

    def _job_status(self, job: str, folder: str, variables: dict[str, t.Any], mode: str = "status") -> dict[str, t.Any]:
        return self._execute_module(
            module_name="ansible.legacy.async_status",
            module_args={"jid": job, "mode": mode, "_async_dir": folder},
            task_vars=variables,
        )


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


def _collection_path(relative: str) -> str:
    # __file__ is <collection>/plugins/plugin_utils/_stage_action.py
    return os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), relative)


def _is_true(value: t.Any) -> bool:
    return str(value).lower() in ("true", "yes", "on", "1", "y", "t")

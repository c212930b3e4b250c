# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all stage modules share between their options and their stage. Private to this collection."""

from __future__ import annotations

import os
import signal
import threading
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._difference import as_diff
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError, way_out
from ansible_collections.liveforge.images.plugins.module_utils._process import process_start_time
from ansible_collections.liveforge.images.plugins.module_utils._stage import Outcome, Stage, StageRun

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# Mirrors plugins/doc_fragments/stage.py.
STAGE_ARGUMENTS: dict[str, t.Any] = {
    "dest": {"type": "path", "required": True},
    "source_date_epoch": {"type": "int"},
    "force": {"type": "bool", "default": False},
    "lock_timeout": {"type": "int", "default": 3600},
    "input_fingerprints": {"type": "dict", "default": {}},
    "decide_only": {"type": "bool", "default": False},
    "progress_file": {"type": "path"},
    "controller_processes": {"type": "list", "elements": "str", "default": []},
}


def run_stage_module(module: AnsibleModule, make_stage: t.Callable[[dict[str, t.Any]], Stage]) -> t.NoReturn:
    """Run the stage that ``make_stage`` builds from the module's options, and end the module with its outcome."""
    os.umask(0o022)
    for number in _ENDING:
        signal.signal(number, _stop)
    end_with(module.params["controller_processes"])
    run: StageRun | None = None
    only_decide = module.check_mode or module.params["decide_only"]
    try:
        _require_absolute(module.params["dest"])
        stage = make_stage(dict(module.params))
        run = StageRun(
            stage,
            force=module.params["force"],
            lock_timeout=module.params["lock_timeout"],
            expected=module.params["input_fingerprints"],
            progress_file=None if only_decide else module.params["progress_file"],
        )
        outcome = run.decide() if only_decide else run.execute()
    except StageError as problem:
        module.fail_json(msg=problem.message, **problem.details)
    except OSError as problem:
        module.fail_json(
            msg=f"{module.params['dest']} cannot be built: {problem}. Check the place and its file system."
            + way_out(problem)
        )
    finally:
        if run is not None:
            run.progress.close()
    # AnsibleModule would put stat(2)'s size of a directory over the size of the tree.
    module.add_path_info = lambda result: result
    module.exit_json(**_result(stage, outcome, with_diff=bool(module._diff)))


def _require_absolute(dest: str) -> None:
    if not os.path.isabs(dest) or dest.endswith("/"):
        raise StageError(f"dest must be an absolute path without a trailing slash, not {dest!r}.")


def _result(stage: Stage, outcome: Outcome, *, with_diff: bool) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {
        **outcome.facts,
        "changed": outcome.changed,
        "msg": outcome.reason,
        "path": stage.output,
        "reason": outcome.reason,
        "fingerprint": outcome.fingerprint,
        "artifacts": outcome.artifacts(stage.output),
        "size": outcome.size,
        "duration": outcome.duration,
        "log": stage.output + ".log",
    }
    if with_diff:
        changes = outcome.changes or ([("build", None, outcome.reason)] if outcome.changed else [])
        result["diff"] = as_diff(stage.output, changes)
    return result


# Whoever ends ansible-playbook sends one to its group, and end_with sends another.
_ENDING = (signal.SIGINT, signal.SIGTERM)


def _stop(signum: int, dummy: t.Any) -> t.NoReturn:
    # The next one must not end the removing.
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    # An exception, so that every finally clause on the way up removes what it made.
    raise SystemExit(128 + signum)


# Seconds for removing what was half made, which for a tree on a busy disk takes a while. Tools are ended at once.
_TIME_TO_CLEAN_UP = 60


def end_with(processes: t.Sequence[str]) -> None:
    """End this process soon after any of ``processes`` (``pid:start time``) has ended.

    The action plugin names itself when the build host is the controller: killing ansible-playbook must then end the
    build. Over a network it names nobody, so that a lost connection does not lose the build.
    """
    if not processes:
        return

    def watch() -> None:
        while all(_is_running(process) for process in processes):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_TIME_TO_CLEAN_UP)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _is_running(process: str) -> bool:
    pid, dummy, started = process.partition(":")
    return process_start_time(int(pid)) == started

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows on the controller what a build of several images came to, and writes it to files."""

from __future__ import annotations

import json
import os
import typing as t
import uuid

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.liveforge.images.plugins.plugin_utils._summary import in_short, summary_lines, unfinished

display = Display()


class ActionModule(ActionBase):
    """Prints the summary as plain lines, since a task's result would show as one long JSON string."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Print and write the summary."""
        super().run(tmp, task_vars)
        dummy, options = self.validate_argument_spec(
            argument_spec={
                "results": {"type": "list", "elements": "dict"},
                "declared": {"type": "dict", "default": {}},
                "results_file": {"type": "path"},
                "paths_file": {"type": "path"},
            }
        )
        results = [*(options["results"] or []), *unfinished(options["declared"], options["results"] or [])]
        # Before the builds there is nothing to show.
        lines = summary_lines(results) if options["results"] is not None else []
        for line in lines:
            display.display(line)
        if options["results_file"]:
            _write("results_file", options["results_file"], json.dumps(results, indent=1, sort_keys=True) + "\n")
        if options["paths_file"]:
            built = [result["path"] for result in results if result.get("path")]
            _write("paths_file", options["paths_file"], "".join(f"{path}\n" for path in built))
        return {"changed": False, "summary": lines, "images": in_short(results)}


def _write(option: str, path: str, text: str) -> None:
    # Not named by the process: containers that share the folder count their own.
    partial = f"{path}.{uuid.uuid4().hex}.partial"
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(partial, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(partial, path)
    except OSError as problem:
        raise AnsibleActionFail(
            f"{option}: {path} cannot be written on the controller: {problem.strerror}. Give the path of a file in a "
            "directory that this user can write to."
        ) from problem

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller side of live_wait."""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._watched_action import WatchedAction


class ActionModule(WatchedAction):
    """Follows a stage that an earlier task started with C(async) and C(poll: 0)."""

    _supports_async = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Show the stage's progress until it ends, and return its result."""
        dummy, options = self.validate_argument_spec(argument_spec={"job": {"type": "dict", "required": True}})
        job = options["job"]
        if job.get("ansible_job_id") is None:
            # It could not even be started, or ran at once (check mode): then this is its result already.
            return {**job, "changed": job.get("foreseen", job.get("changed", False))}
        return self.follow(job, task_vars or {})

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller side of live_boot."""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._watched_action import WatchedAction


class ActionModule(WatchedAction):
    """Runs the module detached and shows what the guest's console says meanwhile."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Boot, and return the module's result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = {**self._task.args, **self.tied_to_controller()}
        if self._task.check_mode or self._task.async_val:
            return self._execute_module(
                module_args=arguments, task_vars=variables, wrap_async=bool(self._task.async_val)
            )
        return self.run_watched(arguments, variables)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks the declaration of one image on the controller, before anything is changed anywhere."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.plugin_utils._image_spec import ImageSpec
from ansible_collections.liveforge.images.plugins.plugin_utils._stage_action import find_source

display = Display()


class ActionModule(ActionBase):
    """Returns the image with all defaults and the options of each stage; runs nothing on the build host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Check the declaration and return it completed."""
        super().run(tmp, task_vars)
        options = self._task.args.get("options")
        if not isinstance(options, dict):
            raise AnsibleActionFail("options must be a dictionary: the declaration of one image.")
        bases = self._task.args.get("bases") or []
        if not isinstance(bases, list):
            raise AnsibleActionFail(
                "live_bases must be a list of bases, such as [{name: debian12, release: bookworm}]."
            )
        # Those of the playbook, and those of the role's own variable.
        options = {**options, "bases": [*bases, *(options.get("bases") or [])]}
        name = options.get("name") or "image without name"
        try:
            spec = ImageSpec(options, lambda source: find_source(self, source))
        except StageError as problem:
            raise AnsibleActionFail(f"{name}: {problem.message}") from problem
        for warning in spec.warnings():
            display.warning(f"{name}: {warning}")
        # Password hashes are part of it: nothing to show, even with -v.
        return {"changed": False, "spec": spec.result(), "_ansible_no_log": True}

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks declarations of images on the controller, before anything is changed anywhere."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.plugin_utils._image_spec import ImageSpec
from ansible_collections.liveforge.images.plugins.plugin_utils._stage_action import find_source, read_source

display = Display()


class ActionModule(ActionBase):
    """Returns the image with all defaults and the options of each stage; runs nothing on the build host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Check the declaration and return it completed, or check several and return nothing."""
        super().run(tmp, task_vars)
        bases = self._task.args.get("bases") or []
        if not isinstance(bases, list):
            raise AnsibleActionFail(
                "live_bases must be a list of bases, such as [{name: debian12, release: bookworm}]."
            )
        if "images" in self._task.args:
            if "options" in self._task.args:
                raise AnsibleActionFail("images and options exclude each other: leave one of them out.")
            self._check(self._task.args["images"], bases)
            return {"changed": False}
        options = self._task.args.get("options")
        if not isinstance(options, dict):
            raise AnsibleActionFail("options must be a dictionary: the declaration of one image.")
        # Password hashes are part of it: nothing to show, even with -v.
        return {"changed": False, "spec": self._spec(options, bases).result(), "_ansible_no_log": True}

    def _spec(self, options: dict[str, t.Any], bases: list[t.Any], place: str = "image without name") -> ImageSpec:
        # Those of the playbook, and those of the role's own variable.
        options = {**options, "bases": [*bases, *(options.get("bases") or [])]}
        name = options.get("name") or place
        try:
            spec = ImageSpec(
                options,
                lambda source: find_source(self, source),
                lambda source: read_source(self, source),
                self._task.args.get("defaults") or {},
            )
        except StageError as problem:
            raise AnsibleActionFail(f"{name}: {problem.message}") from problem
        for warning in spec.warnings():
            display.warning(f"{name}: {warning}")
        return spec

    def _check(self, images: t.Any, bases: list[t.Any]) -> None:
        if not isinstance(images, list) or not images:
            raise AnsibleActionFail(
                "live_images must be a list with at least one image, such as "
                "[{name: rescue, release: bookworm, packages: [openssh-server]}]. Give it with -e @my-images.yml."
            )
        problems = []
        for place, options in enumerate(images):
            if not isinstance(options, dict):
                problems.append(f"live_images[{place}] must be a dictionary: the declaration of one image.")
                continue
            try:
                self._spec(options, bases, f"live_images[{place}]")
            except AnsibleActionFail as problem:
                problems.append(str(problem))
        if problems:
            raise AnsibleActionFail(" ".join(problems))
        names = [str(item["name"]) for item in [*images, *bases] if isinstance(item, dict) and "name" in item]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise AnsibleActionFail(
                "live_images, live_bases: two of them have the same name, and so the same place on the build host "
                f"({', '.join(repeated)}). Give each a name of its own."
            )

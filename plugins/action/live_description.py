# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a KIWI image description on the controller."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.plugin_utils._description.presentation import as_images, as_variables
from ansible_collections.liveforge.images.plugins.plugin_utils._description.reading import (
    Reading,
    Request,
    read_description,
)

display = Display()

# As the module's documentation has it.
ARGUMENTS: dict[str, t.Any] = {
    "path": {"type": "path", "required": True},
    "file": {"type": "str"},
    "profiles": {"type": "list", "elements": "str", "default": []},
    "arch": {"type": "str", "default": "x86_64"},
    "build_type": {"type": "str", "default": "iso"},
    "strict": {"type": "bool", "default": False},
    "repositories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "source": {"type": "str", "required": True},
            "type": {"type": "str", "choices": ["apk", "apt-deb", "apt-rpm", "deb-dir", "mirrors", "rpm-md"]},
            "alias": {"type": "str"},
            "priority": {"type": "int"},
            "distribution": {"type": "str"},
            "components": {"type": "str"},
            "architectures": {"type": "str"},
            "sourcetype": {"type": "str", "choices": ["baseurl", "metalink", "mirrorlist"]},
            "signing_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "repository_gpgcheck": {"type": "bool"},
            "package_gpgcheck": {"type": "bool"},
            "imageinclude": {"type": "bool"},
            "imageonly": {"type": "bool"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
        },
    },
    "repositories_mode": {"type": "str", "choices": ["replace", "replace_first", "add"], "default": "replace"},
    "trusted_paths": {"type": "list", "elements": "path", "default": []},
    "show": {"type": "str", "choices": ["nothing", "variables", "images"], "default": "nothing"},
}


class ActionModule(ActionBase):
    """Returns the image that a description declares; reads only, and runs nothing on the build host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Read the description and return it as an image."""
        super().run(tmp, task_vars)
        dummy, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        reading = self._read(options)
        presentations = {"variables": as_variables, "images": as_images}
        if options["show"] != "nothing":
            display.display(presentations[options["show"]](reading))
        return {
            "changed": False,
            "image": reading.image,
            "warnings": reading.warnings,
            "description": reading.description,
            # Password hashes and credentials of repositories are part of it: nothing to show, even with -v.
            "_ansible_no_log": True,
        }

    def _read(self, options: dict[str, t.Any]) -> Reading:
        path, file = self._directory(options["path"]), options["file"]
        if os.path.isfile(path) and file is None:
            path, file = os.path.split(path)
        try:
            return read_description(
                Request(
                    path=path,
                    file=file,
                    profiles=tuple(options["profiles"]),
                    arch=options["arch"],
                    build_type=options["build_type"],
                    strict=options["strict"],
                    repositories=tuple(options["repositories"]),
                    repositories_mode=options["repositories_mode"],
                    trusted_paths=tuple(self._directory(trusted) for trusted in options["trusted_paths"]),
                )
            )
        except StageError as problem:
            raise AnsibleActionFail(problem.message) from problem

    def _directory(self, path: str) -> str:
        # Like all sources: in the current folder, and then as include_vars does, beside the playbook.
        path = os.path.expanduser(path)
        return os.path.abspath(path if os.path.lexists(path) else self._loader.path_dwim(path))

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a module of this collection without starting another Python for it. Private to this collection.

Packing a module, starting Python and reading all that it imports takes longer than most stages need to find out that
there is nothing to do. A child of this process has all of that already. What it runs is the module as it is, with its
options in a file, as Ansible lets anybody run a module by hand; so nothing of what a module does is done here.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import traceback
import typing as t

from ansible.module_utils import _internal
from ansible.module_utils.common.json import Direction, get_module_encoder

# How options and results are written, unless a module is told otherwise.
PROFILE = "legacy"


class ModuleHere:
    """A module that runs in a child of this process.

    Args:
        name: the module, such as ``live_iso``.
        arguments: its options, with those that Ansible itself adds.
        folder: a folder that only this user can read, for a file with the options; whoever made it removes it.
        environment: variables in place of those of this process.
    """

    def __init__(
        self, name: str, arguments: t.Mapping[str, t.Any], folder: str, environment: t.Mapping[str, str]
    ) -> None:
        module = importlib.import_module(f"ansible_collections.liveforge.images.plugins.modules.{name}")
        path = os.path.join(folder, "arguments")
        with open(path, "w", encoding="utf-8") as stream:
            encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
            json.dump({"ANSIBLE_MODULE_ARGS": arguments}, stream, cls=encoder)
        reading, writing = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(reading)
            os.environ.update(environment)
            _run(module.main, [name, path], writing)
        os.close(writing)
        self._reading = reading

    def wait(self, pause: float, meanwhile: t.Callable[[], None]) -> dict[str, t.Any]:
        """Wait for its end and return what came of it, as of a command: ``stdout`` and ``rc``.

        Args:
            pause: seconds between two calls of ``meanwhile``.
            meanwhile: called until then.
        """
        said = bytearray()
        while True:
            if not select.select([self._reading], [], [], pause)[0]:
                meanwhile()
                continue
            chunk = os.read(self._reading, 1 << 16)
            if not chunk:
                break
            said += chunk
        os.close(self._reading)
        dummy, status = os.waitpid(self._child, 0)
        return {"stdout": said.decode(errors="surrogateescape"), "stderr": "", "rc": os.waitstatus_to_exitcode(status)}


def _run(main: t.Callable[[], t.Any], command: list[str], writing: int) -> t.NoReturn:
    """Be the module: the child never returns to what its parent was doing."""
    status = 1
    try:
        # As in a new Python. A worker of Ansible ends at once, but a module first removes what is half made.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # By this Ansible tells whether warnings are shown, or are part of the result as with any module.
        _internal.is_controller = False
        sys.argv = command
        sys.stdout = sys.stderr = open(writing, "w", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
    finally:
        os._exit(status)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts that run inside a root tree. Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import Shipped
from ansible_collections.liveforge.images.plugins.module_utils._sandbox import Sandbox
from ansible_collections.liveforge.images.plugins.module_utils._stage import Work

_INSIDE = "/run/liveforge-script"


@dataclasses.dataclass(frozen=True)
class Script:
    """One script, given as text or as a shipped file.

    Attributes:
        option: the option and item it comes from, such as ``scripts[0]``, for messages.
        text: its text, or None when it was shipped.
        shipped: the file, or None when its text was given.
        executable: whether the file may be executed; matters to KIWI's way of calling scripts only.
    """

    option: str
    text: str | None = None
    shipped: Shipped | None = None
    executable: bool = False

    @classmethod
    def from_item(cls, option: str, item: t.Mapping[str, t.Any], dest: str) -> Script:
        """From one item of ``scripts`` or ``post_bootstrap_scripts``: ``content``, or ``src`` as shipped."""
        if (item.get("content") is None) == (item.get("src") is None):
            raise StageError(f"{option}: give either content or src.")
        if item.get("content") is not None:
            return cls(option, text=item["content"])
        shipped = Shipped.from_item(option, item, dest)
        if shipped.source is not None:
            return cls(option, shipped=shipped, executable=os.access(shipped.source, os.X_OK))
        return cls(option, shipped=shipped, executable=bool(item.get("executable")))

    @property
    def identity(self) -> str:
        """SHA-256 of the script."""
        if self.shipped is not None:
            return self.shipped.identity
        return hashlib.sha256((self.text or "").encode()).hexdigest()

    def content(self) -> bytes:
        """Its text."""
        return self.shipped.content() if self.shipped is not None else (self.text or "").encode()

    def materialize(self, path: str) -> str:
        """Write the script, executable, to ``path`` on this host and return it."""
        content = self.content()
        if not content.startswith(b"#!"):
            content = b"#!/bin/sh\n" + content
        with open(path, "wb") as stream:
            stream.write(content)
        os.chmod(path, 0o755)
        return path


def script_command(sandbox: Sandbox, path: str) -> list[str]:
    """The host command that runs the script at ``path`` inside a tree, in the tree's root folder."""
    return dataclasses.replace(sandbox, binds=(*sandbox.binds, (path, _INSIDE, False))).command([_INSIDE])


def declared_scripts(option: str, options: t.Mapping[str, t.Any]) -> tuple[Script, ...]:
    """All scripts of one option of live_rootfs."""
    return tuple(
        Script.from_item(f"{option}[{index}]", item, options["dest"]) for index, item in enumerate(options[option])
    )


def run_script(work: Work, script: Script, sandbox: Sandbox, folder: str) -> None:
    """Run one script inside a tree; StageError with its last words when it fails."""
    path = script.materialize(os.path.join(folder, script.option))
    try:
        work.run.run(script_command(sandbox, path), task=f"running {script.option} inside the root tree")
    finally:
        os.unlink(path)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stage file beside each output: what it was made from. Private to this collection."""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import (
    file_sha256,
    file_state,
    tree_content,
    tree_state,
)

STAMP_SUFFIX = ".stage.json"
STAMP_SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Stamp:
    """What a finished stage recorded: its inputs in clear, their fingerprint, the output's identity, and facts."""

    stage: str
    fingerprint: str
    inputs: dict[str, t.Any]
    output: dict[str, t.Any]
    facts: dict[str, t.Any]
    finished: str
    duration: float

    @staticmethod
    def path_for(output: str) -> str:
        """Where the stage file of ``output`` lies."""
        return output + STAMP_SUFFIX

    @classmethod
    def load(cls, output: str) -> Stamp | None:
        """The stage file of ``output``; None when there is none, or none that this version can read."""
        try:
            with open(cls.path_for(output), encoding="utf-8") as stream:
                document = json.load(stream)
            if document.pop("schema") != STAMP_SCHEMA:
                return None
            return cls(**document)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def save(self, output: str) -> None:
        """Write the stage file whole (write, fsync, rename)."""
        path = self.path_for(output)
        partial = path + ".partial"
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump({"schema": STAMP_SCHEMA, **dataclasses.asdict(self)}, stream, indent=1, sort_keys=True)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)


def output_identity(path: str, content: str | None = None) -> dict[str, t.Any]:
    """What tells later whether ``path`` is still what a stage made; ``content`` is its digest, when that is known."""
    if os.path.isdir(path):
        return {"kind": "tree", "content": content or tree_content(path), "size": tree_size(path)}
    return {"kind": "file", "content": content or file_sha256(path), "size": os.path.getsize(path)}


def output_state(path: str) -> t.Any:
    """What tells cheaply that nobody touched ``path`` meanwhile, recorded beside the identity under its final name."""
    return tree_state(path) if os.path.isdir(path) else file_state(path)


def output_changed(path: str, recorded: dict[str, t.Any]) -> str | None:
    """Why ``path`` is not what was recorded of it, as a clause, or None. Content counts: a touched mtime does not."""
    if not os.path.lexists(path):
        return "does not exist"
    kind = "tree" if os.path.isdir(path) else "file"
    if kind != recorded.get("kind"):
        return f"is a {kind}, not a {recorded.get('kind')}"
    if output_state(path) == recorded.get("state"):
        return None
    if kind == "tree":
        return None if tree_content(path) == recorded.get("content") else "was modified after it was built"
    if os.path.getsize(path) != recorded.get("size"):
        return f"has {os.path.getsize(path)} bytes, not {recorded.get('size')} as when it was built"
    return None if file_sha256(path) == recorded.get("content") else "was modified after it was built"


def tree_size(root: str) -> int:
    """Bytes of all regular files below ``root``, hard links counted once."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for folder, dummy, names in os.walk(root):
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            inode = (status.st_dev, status.st_ino)
            if inode not in seen:
                seen.add(inode)
                total += status.st_size
    return total

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stage that writes down what is known of a finished image, beside it. Private to this collection."""

from __future__ import annotations

import json
import os
import shutil
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import find_tool, tool_version
from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._layers import whole_tree
from ansible_collections.liveforge.images.plugins.module_utils._publish import partial_path
from ansible_collections.liveforge.images.plugins.module_utils._result.packages import (
    changes,
    has_dpkg,
    installed,
    verification,
)
from ansible_collections.liveforge.images.plugins.module_utils._stage import Stage, Work, input_artifact
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp, output_changed

SUFFIX = ".json"
COMPANIONS = ("packages", "verified", "changes")
# The inputs that the lists of packages, verification and changelogs are made from.
_LISTED = ("packaged", "base", "tools")
_SCHEMA = 1


class ResultStage(Stage):
    """The outputs of all other stages in; a JSON file, and lists of packages, verification and changelogs out.

    Args:
        output: path of the JSON file; the others have its name with another suffix.
        name: of the image.
        version: of the image.
        artifacts: paths of the other stages' outputs, by ``rootfs``, ``boot``, ``squashfs`` and ``iso``, and by
            ``base`` the tree below ``rootfs`` when that is a layer.
        foreseen: fingerprints by path that check mode foresees for inputs that are not built yet.
        warn: shows a warning.
    """

    name = "live_result"
    format_version = 3

    def __init__(
        self,
        output: str,
        *,
        name: str,
        version: str,
        artifacts: t.Mapping[str, str],
        foreseen: t.Mapping[str, str],
        source_date_epoch: int | None,
        warn: t.Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__(output, source_date_epoch)
        self.image = {"name": name, "version": version}
        self.artifacts = dict(artifacts)
        self.foreseen = foreseen
        self._warn = warn
        self._inputs: dict[str, t.Any] = {}

    def validate(self) -> None:
        if not self.output.endswith(SUFFIX):
            raise StageError(f"dest: {self.output!r} must end with {SUFFIX}; the other files get other suffixes.")

    def reads(self) -> list[str]:
        return list(self.artifacts.values())

    def companions(self) -> list[str]:
        return list(self.files().values())

    def files(self) -> dict[str, str]:
        """Path of each companion, by its suffix."""
        return {suffix: f"{self.output.removesuffix(SUFFIX)}.{suffix}" for suffix in COMPANIONS}

    def places(self) -> dict[str, t.Any]:
        return {"files": {"json": self.output, **self.files()}}

    def inputs(self) -> dict[str, t.Any]:
        artifacts = {name: input_artifact(path, self.foreseen) for name, path in self.artifacts.items()}
        self._inputs = {
            **artifacts,
            "packaged": _packaged(self.artifacts["rootfs"], artifacts["rootfs"]["content"]),
            "image": self.image,
            # It is part of what is written.
            "iso_file": os.path.basename(self.artifacts["iso"]),
            "tools": {"bwrap": tool_version("bwrap")},
        }
        return self._inputs

    def preflight(self) -> None:
        find_tool("bwrap")
        for name, path in self.artifacts.items():
            if Stamp.load(path) is None:
                raise StageError(
                    f"{name}: nothing is recorded of how {path} was made ({Stamp.path_for(path)} is missing or cannot "
                    "be read). Build it with its module."
                )

    def build(self, work: Work) -> dict[str, t.Any]:
        files = {suffix: partial_path(path) for suffix, path in self.files().items()}
        packages = self._kept(files)
        if packages is None:
            with whole_tree(self.output, self.artifacts["rootfs"], self.artifacts.get("base")) as root:
                packages = self._listed(work, root, files)
        document = self._document(packages, {suffix: _described(path) for suffix, path in files.items()})
        _write(work.target, [json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"])
        return {
            "packages_count": packages["count"],
            "packages_manager": packages["manager"],
        }

    def _kept(self, files: t.Mapping[str, str]) -> dict[str, t.Any] | None:
        """Copy the lists of the last run when they are of the same tree, and return what they hold; else None."""
        last = Stamp.load(self.output)
        if last is None or last.inputs.get("format_version") != self.format_version:
            return None
        if any(last.inputs.get(name) != self._inputs.get(name) for name in _LISTED):
            return None
        # Nothing changed at all: then somebody forces it, and wants them made.
        if all(last.inputs.get(name) == value for name, value in self._inputs.items()):
            return None
        paths, recorded = self.files(), last.output.get("companions", {})
        if any(output_changed(path, recorded.get(os.path.basename(path), {})) for path in paths.values()):
            return None
        for suffix, partial in files.items():
            shutil.copyfile(paths[suffix], partial)
        return {"count": last.facts["packages_count"], "manager": last.facts["packages_manager"]}

    def _listed(self, work: Work, root: str, files: t.Mapping[str, str]) -> dict[str, t.Any]:
        """Write the lists of what is in a tree, and return what is known of its packages."""
        packages = installed(root)
        if not has_dpkg(root):
            tree = self.artifacts["rootfs"]
            self._warn(f"{tree} has no database of dpkg: the lists of packages, verification and changelogs are empty.")
        work.progress.step("listing packages")
        _write(files["packages"], [package.line().encode() for package in packages])
        work.progress.step("verifying packages")
        _write(files["verified"], [verification(root, work.run).encode()])
        work.progress.step("collecting changelogs")
        _write(files["changes"], changes(root, packages))
        return {"count": len(packages), "manager": "dpkg" if has_dpkg(root) else None}

    def _document(self, packages: dict[str, t.Any], files: dict[str, dict[str, t.Any]]) -> dict[str, t.Any]:
        """What is known of the image; the same on every host: names without folders, and no time of the build."""
        stamps = {name: Stamp.load(path) for name, path in self.artifacts.items()}
        facts = {name: stamp.facts if stamp is not None else {} for name, stamp in stamps.items()}
        outputs = {name: stamp.output if stamp is not None else {} for name, stamp in stamps.items()}
        return {
            "schema": _SCHEMA,
            **self.image,
            "architecture": "x86_64",
            "source_date_epoch": self.source_date_epoch,
            "iso": {
                "file": os.path.basename(self.artifacts["iso"]),
                "size": outputs["iso"]["size"],
                "sha256": outputs["iso"]["content"],
                "volume_id": facts["iso"].get("volid"),
                "mbrid": facts["iso"].get("mbrid"),
                "kernel_command_line": facts["iso"].get("kernel_command_line"),
            },
            "kernel_version": facts["boot"].get("kernel_version"),
            "packages": packages,
            "files": {
                suffix: {"file": os.path.basename(path), **files[suffix]} for suffix, path in self.files().items()
            },
            "fingerprints": {name: stamp.fingerprint for name, stamp in stamps.items() if stamp is not None},
        }


def _packaged(root: str, content: str) -> str:
    """Digest of what of a tree the lists are made from; that of the whole tree, when no more is known of it."""
    stamp = Stamp.load(root)
    if stamp is None or stamp.output["content"] != content:
        return content
    return str(stamp.facts.get("packaged_content", content))


def _write(path: str, content: t.Iterable[bytes]) -> None:
    with open(path, "wb") as stream:
        stream.writelines(content)


def _described(path: str) -> dict[str, t.Any]:
    return {"size": os.path.getsize(path), "sha256": file_sha256(path)}

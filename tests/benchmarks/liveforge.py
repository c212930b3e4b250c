# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""liveforge itself: the collection of this checkout, through ansible-playbook."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import playbook
from ansible_collections.liveforge.images.plugins.module_utils._stage import disk_usage
from benchmarks.description import Description
from benchmarks.scenarios import Scenario
from benchmarks.tool import Command, Tool, Unavailable, debian_version, remove_tree

# In the cache of live_rootfs, what was downloaded. All else there may be results, which a cold build must not find.
_DOWNLOADS = {"archives", "lists"}
# What a build leaves in its workspace.
_PLACES = {
    "root tree": "rootfs",
    "its packages": "rootfs.packages.tar.zst",
    "kernel and initrd": "boot",
    "squashfs": "squashfs.img",
}
# What goes to the base, for the variant with one: which packages there are, and where they come from.
_BASE = [
    "architecture",
    "boot_packages",
    "bootstrap_packages",
    "distribution",
    "mirror",
    "packages",
    "packages_exclude",
    "recommends",
    "release",
    "repositories",
    "variant",
]


def _commit() -> str:
    """The commit that is measured, where this is a clone, such as `` (0a83b52)``; ``-dirty`` with changes in it."""
    command = ["git", "-C", str(playbook.ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return f" ({done.stdout.strip()})" if done.returncode == 0 else ""


class Liveforge(Tool):
    """Reads the KIWI description as it is. Its own compression is used instead of the xz that KIWI defaults to.

    The variant ``base`` declares the packages of the description as a base, and what is left as an image on it.
    """

    family = "liveforge"
    variants = ("", "base", "smallest")
    warming_variant = ""

    @property
    def flags(self) -> t.Collection[str]:
        """Only live-overlay can stack a base."""
        return ("overlay",) if self.variant == "base" else super().flags

    def install(self) -> str:
        for package in ("mmdebstrap", "squashfs-tools", "xorriso", "bubblewrap"):
            debian_version(package)
        if not self._ansible().exists():
            raise Unavailable(f"{self._ansible()} is missing; run scripts/environment test")
        for line in (playbook.ROOT / "galaxy.yml").read_text().splitlines():
            if line.startswith("version:"):
                return f"{line.split()[1]}{_commit()}"
        raise Unavailable("galaxy.yml names no version")

    def start_cold(self) -> None:
        self.clear()
        if self.cache.exists():
            for entry in self.cache.iterdir():
                if entry.name not in _DOWNLOADS:
                    remove_tree(entry) if entry.is_dir() else entry.unlink()

    def command(self, scenario: Scenario, description: Description, mirror: str) -> Command:
        source = self.tree / "description"
        description.write(source, mirror)
        variables = self.tree / "variables.json"
        variables.write_text(
            json.dumps(
                {
                    "description": str(source),
                    "changes": {
                        "workspace": str(self.tree / "workspace"),
                        "cache": str(self.cache),
                        **({"compression": self.variant} if self.variant == "smallest" else {}),
                    },
                    "base": _BASE if self.variant == "base" else [],
                    "live_results": str(self._results()),
                }
            )
        )
        self._results().unlink(missing_ok=True)
        here = pathlib.Path(__file__).parent
        return Command(
            [str(self._ansible()), str(here / "liveforge.yml"), "-e", f"@{variables}"],
            "ansible-playbook, the same each time",
        )

    def iso(self) -> pathlib.Path:
        return pathlib.Path(self._result()["path"])

    def facts(self) -> dict[str, t.Any]:
        result = self._result()
        kept = {key: result[key] for key in ("path", "changed", "reason", "seconds", "stages")}
        if self.variant == "base":
            # Its tree and its squashfs are a part of what goes into the ISO.
            return kept
        iso = self.iso()
        places = {name: iso.with_name(place) for name, place in _PLACES.items()} | {"ISO": iso}
        return {**kept, "disk": {name: disk_usage(str(path)) for name, path in places.items()}}

    def _result(self) -> dict[str, t.Any]:
        if not self._results().exists():
            raise FileNotFoundError(f"{self._results()} was not written")
        return t.cast("dict[str, t.Any]", json.loads(self._results().read_text())[0])

    def reason(self, output: str) -> str:
        if self._results().exists():
            failed = [result["error"] for result in json.loads(self._results().read_text()) if "error" in result]
            # Written before the builds, for images that never came to an end.
            if failed and not failed[0].startswith("not finished"):
                return str(failed[0])[:300]
        return super().reason(output)

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
            "PATH": f"{self._ansible().parent}:{os.environ['PATH']}",
        }

    def _results(self) -> pathlib.Path:
        return self.tree / "results.json"

    @staticmethod
    def _ansible() -> pathlib.Path:
        return pathlib.Path(sys.executable).parent / "ansible-playbook"

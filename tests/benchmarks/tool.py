# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the benchmark needs to know of a tool that builds images."""

from __future__ import annotations

import abc
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import typing as t

from benchmarks.description import FLAGS, Description
from benchmarks.scenarios import SCENARIOS, Scenario

# Lines of output that are more likely than the last one to say what went wrong.
_TELLING = re.compile(r"^E: |\berror\b|\bfailed\b", re.IGNORECASE)


class Unavailable(Exception):
    """The tool cannot be used here; the text says why."""


@dataclasses.dataclass(frozen=True)
class Command:
    """What a user of the tool would type.

    Attributes:
        argv: program and arguments.
        how: in one line, for readers of the results.
    """

    argv: list[str]
    how: str


class Tool(abc.ABC):
    """One tool in one configuration.

    Args:
        work: folder of the benchmark. What is below ``work/trees`` goes when the benchmark ends; ``work/tools`` and
            ``work/caches`` stay.
        variant: which configuration, such as the compression.
    """

    # What all variants share: the installation and the cache of packages.
    family: t.ClassVar[str]
    variants: t.ClassVar[tuple[str, ...]]
    # The one that builds fastest, with which the downloads are made.
    warming_variant: t.ClassVar[str]
    # Those of SCENARIOS that the tool knows.
    scenarios: t.ClassVar[tuple[Scenario, ...]] = SCENARIOS

    def __init__(self, work: pathlib.Path, variant: str) -> None:
        self.variant = variant
        self.tree = work / "trees" / self.name
        self.installation = work / "tools" / self.family
        self.cache = work / "caches" / self.family

    @property
    def name(self) -> str:
        """As options and results have it."""
        return f"{self.family}-{self.variant}" if self.variant else self.family

    @property
    def flags(self) -> t.Collection[str]:
        """Those flags of the description that it can build."""
        return FLAGS

    @abc.abstractmethod
    def install(self) -> str:
        """Install the tool where it is missing and return its version.

        Raises:
            Unavailable: it cannot be installed or used.
        """

    @abc.abstractmethod
    def start_cold(self) -> None:
        """Forget everything but downloads. Not measured."""

    @abc.abstractmethod
    def command(self, scenario: Scenario, description: Description, mirror: str) -> Command:
        """Bring the description to where the tool reads it, and return the command that builds. Only that is measured.

        Args:
            scenario: what changed since the build before.
            description: the description as it is now.
            mirror: where packages come from.
        """

    @abc.abstractmethod
    def iso(self) -> pathlib.Path:
        """The image that the last build made.

        Raises:
            FileNotFoundError: there is none.
        """

    def environment(self) -> dict[str, str]:
        """The environment of the command, with a home of its own: settings and keys of root are not for it."""
        home = self.tree / "home"
        # gpg wants a place for its keys.
        (home / ".gnupg").mkdir(parents=True, exist_ok=True, mode=0o700)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
        }

    def facts(self) -> dict[str, t.Any]:
        """What the tool itself tells of the last build."""
        return {}

    def reason(self, output: str) -> str:
        """Why a build failed, in one line of what the tool said."""
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        telling = [line for line in lines if _TELLING.search(line)]
        return (telling or lines or ["it said nothing"])[-1][:300]

    def clear(self) -> None:
        """Remove the tree, when nothing is mounted in it."""
        remove_tree(self.tree)


def remove_tree(folder: pathlib.Path) -> None:
    """Remove a folder with all its content.

    Raises:
        RuntimeError: something is mounted below it, so that removing it might remove files of the host.
    """
    mounted = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    inside = [path for path in mounted if path.startswith(f"{folder}/")]
    if inside:
        raise RuntimeError(f"These are still mounted, so {folder} is left alone: {', '.join(inside)}")
    if folder.exists():
        shutil.rmtree(folder)


def debian_version(package: str) -> str:
    """Version of an installed Debian package.

    Raises:
        Unavailable: it is not installed.
    """
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    status, dummy, version = asked.stdout.partition(" ")
    if status != "installed":
        raise Unavailable(f"the Debian package {package} is not installed (scripts/benchmark installs it on Debian 12)")
    return version

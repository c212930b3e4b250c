# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The installed packages of a root tree, as KIWI writes them beside its images. Private to this collection."""

from __future__ import annotations

import dataclasses
import gzip
import typing as t
import zlib

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import image_path
from ansible_collections.liveforge.images.plugins.module_utils._sandbox import Sandbox

_STATUS = "var/lib/dpkg/status"
_DOCUMENTATION = "usr/share/doc"


@dataclasses.dataclass(frozen=True, order=True)
class Package:
    """One installed package."""

    name: str
    architecture: str
    version: str

    def line(self) -> str:
        """KIWI's line: name, epoch, version, release, architecture, DISTURL and license; dpkg keeps three of them."""
        return f"{self.name}|None|{self.version}|None|{self.architecture}|None|None\n"


def has_dpkg(root: str) -> bool:
    """Whether a tree has a database of dpkg."""
    return image_path.host_file(root, _STATUS) is not None


def installed(root: str) -> list[Package]:
    """The packages that dpkg has installed in a tree, sorted; none without its database."""
    found = []
    for paragraph in (image_path.read_text(root, _STATUS) or "").split("\n\n"):
        # A line that starts with a blank continues the field before it; the fields here have one line.
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            found.append(Package(fields["Package"], fields["Architecture"], fields["Version"]))
    return sorted(found)


def verification(root: str, run: Runner) -> str:
    """What ``dpkg --verify`` says of a tree: one line for each file that is not as its package brought it; sorted.

    Empty for a tree that has no dpkg.
    """
    if not has_dpkg(root) or not image_path.exists(root, "usr/bin/dpkg"):
        return ""
    # It may end with 1 for what it found, and with 2 when it could not look.
    command = Sandbox(root).command(["sh", "-c", "dpkg --verify || test $? -eq 1"])
    output = run.run(command, task="verifying installed packages")
    return "".join(sorted(f"{line}\n" for line in output.splitlines() if line))


def changes(root: str, packages: t.Sequence[Package]) -> t.Iterator[bytes]:
    """The changelogs of packages in their order: a line ``NAME|`` and the text, where the tree has it."""
    for package in packages:
        yield f"{package.name}|\n".encode()
        text = _changelog(root, package)
        if text is not None:
            yield text.rstrip(b"\n") + b"\n"
        yield b"\n"


def _changelog(root: str, package: Package) -> bytes | None:
    """The Debian changelog of a package (Debian policy, section 12.7), or None."""
    # A rebuild for one architecture has one of its own; packages made for Debian have no other changelog.
    for name in (f"changelog.Debian.{package.architecture}.gz", "changelog.Debian.gz", "changelog.gz"):
        path = image_path.host_file(root, f"{_DOCUMENTATION}/{package.name}/{name}")
        if path is None:
            continue
        try:
            with gzip.open(path) as stream:
                return stream.read()
        except (OSError, EOFError, zlib.error):
            return None
    return None

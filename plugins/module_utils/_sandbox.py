# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands inside a root tree, in namespaces of their own. Private to this collection."""

from __future__ import annotations

import dataclasses
import typing as t

# What a program started by init in that system would find; nothing of the build host's.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    # Debian's dracut hooks skip making an initrd when this says No; live_dracut makes the one that counts.
    "INITRD": "No",
}


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """Builds bwrap(1) command lines that run programs inside ``root``.

    Nothing is ever mounted in the host's namespace, and everything inside ends with the process that started it.

    Attributes:
        root: the tree that becomes ``/``.
        writable: whether the tree may be changed; otherwise it is mounted read-only.
        binds: (host path, path inside, writable) triples; the path inside must exist when the tree is read-only.
        environment: variables on top of the fixed ones.
    """

    root: str
    writable: bool = False
    binds: tuple[tuple[str, str, bool], ...] = ()
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    def command(self, argv: t.Sequence[str]) -> list[str]:
        """The host command that runs ``argv`` inside the tree."""
        line = ["bwrap", "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        # No network either: what goes into an image is declared, not fetched by a script.
        line.append("--unshare-net")
        line += ["--bind" if self.writable else "--ro-bind", self.root, "/"]
        line += ["--dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys", "--tmpfs", "/run", "--tmpfs", "/tmp"]
        for source, target, writable in self.binds:
            line += ["--bind" if writable else "--ro-bind", source, target]
        line.append("--clearenv")
        for name, value in sorted({**_ENVIRONMENT, **self.environment}.items()):
            line += ["--setenv", name, value]
        return [*line, "--chdir", "/", "--", *argv]

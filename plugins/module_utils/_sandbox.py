# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands inside a root tree, in namespaces of their own. Private to this collection."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import HOST_NAME

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
# What root may do inside, with the numbers of capabilities(7): what a container engine leaves to it, in which packages
# are installed every day, without raw sockets. dracut takes CAP_MKNOD (its device nodes cannot be opened inside, since
# bwrap mounts everything nodev) and, for ldconfig, CAP_SYS_CHROOT. Left out is what reaches the build host: mounts,
# clock, kernel modules, raw disks, and CAP_DAC_READ_SEARCH, which opens files outside of the tree by their handles.
_CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}

# Options of bwrap(1): packages and scripts write the name of the machine into files.
OWN_HOST_NAME = ("--unshare-uts", "--hostname", HOST_NAME)


def capability_options() -> list[str]:
    """Options of bwrap(1) that take from root inside whatever it could reach the build host with."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as stream:
        found = re.search(r"^CapEff:\s*([0-9a-f]+)$", stream.read(), re.MULTILINE)
    own = int(found[1], 16) if found else 0
    options = ["--cap-drop", "ALL"]
    for name, number in _CAPABILITIES.items():
        # Asked to keep one that is not there, as in some containers, bwrap keeps all and says nothing.
        if own >> number & 1:
            options += ["--cap-add", name]
    return options


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """Builds bwrap(1) command lines that run programs inside ``root``.

    Nothing is ever mounted in the host's namespace, and everything inside ends with the process that started it. Root
    inside owns the tree, and nothing else of the host (:func:`capability_options`).

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
        line = ["bwrap", "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", *OWN_HOST_NAME]
        # No network either: what goes into an image is declared, not fetched by a script.
        line += ["--unshare-net", *capability_options()]
        line += ["--bind" if self.writable else "--ro-bind", self.root, "/"]
        line += ["--dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys", "--tmpfs", "/run", "--tmpfs", "/tmp"]
        for source, target, writable in self.binds:
            line += ["--bind" if writable else "--ro-bind", source, target]
        line.append("--clearenv")
        for name, value in sorted({**_ENVIRONMENT, **self.environment}.items()):
            line += ["--setenv", name, value]
        return [*line, "--chdir", "/", "--", *argv]

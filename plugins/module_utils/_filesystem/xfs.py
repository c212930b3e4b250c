# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""XFS images. Private to this collection."""

from __future__ import annotations

import os
import re
import struct

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner, find_tool, tool_version
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import (
    MIB,
    Filesystem,
    ImageRequest,
    empty_image,
)
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.ext import Ext
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.tree import TreeScan

_KERNEL = "linux.uml"
_DONE = "liveforge: the tree is copied"

# Linux 6.1 as a process keeps the extended state of its processes in a buffer that is too small for processors with
# AMX, and panics. It does without that state where ptrace(2) does not give it, so seccomp(2) answers PTRACE_GETREGSET
# and PTRACE_SETREGSET with EINVAL. Classic BPF: operation, jumps for true and false, constant (linux/filter.h).
# What is lost then are the upper halves of vector registers, which glibc(tunables) leaves alone when it is told so.
_WITHOUT_VECTORS = "GLIBC_TUNABLES=glibc.cpu.hwcaps=" + ",".join(
    f"-{name}" for name in ("AVX", "AVX2", "AVX512F", "AVX512VL", "AVX512BW", "AVX512DQ", "AVX_Fast_Unaligned_Load")
)
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_WITHOUT_REGISTER_SETS = b"".join(
    struct.pack("<HBBI", *instruction)
    for instruction in (
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 0, 6, 0xC000003E),  # AUDIT_ARCH_X86_64; all others are allowed
        (_LOAD, 0, 0, 0),  # the system call
        (_EQUAL, 0, 4, 101),  # ptrace
        (_LOAD, 0, 0, 16),  # its first argument
        (_EQUAL, 1, 0, 0x4204),  # PTRACE_GETREGSET
        (_EQUAL, 0, 1, 0x4205),  # PTRACE_SETREGSET
        (_RETURN, 0, 0, 0x00050000 | 22),  # SECCOMP_RET_ERRNO with EINVAL
        (_RETURN, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    )
)

# /init of the user-mode kernel. Its root is the host's, read-only; its mounts exist only inside it.
_INIT = f"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir /run/from /run/to
mount -t ext4 -o ro /dev/ubdb /run/from &&
    mount -t xfs /dev/ubda /run/to &&
    cp --archive --sparse=auto -- /run/from/. /run/to/ &&
    rmdir /run/to/lost+found &&
    touch --reference=/run/from /run/to &&
    umount /run/to &&
    echo '{_DONE}'
echo o >/proc/sysrq-trigger
sleep 60
"""


class Xfs(Filesystem):
    """An image filled by the kernel's own XFS, which runs as an ordinary process (user-mode Linux).

    No released mkfs.xfs up to 6.16 can fill an image from a tree without losing something: prototype files know
    no hard links, no extended attributes and no blanks in names. So the tree goes into an ext4 image first, and a
    user-mode kernel copies it over: no loop device, no mount on the host, no virtual machine.
    """

    name = "xfs"
    label_length = 12
    smallest = 320  # mkfs.xfs(8) refuses less than 300 MB since 5.19
    copies = 2

    def tools(self) -> tuple[str, ...]:
        return (self.maker, "xfs_repair", "bwrap", *Ext("ext4").tools())

    def version(self) -> str:
        kernel = tool_version(_KERNEL, "--version") if _kernel_is_there() else "none"
        return f"{super().version()}, user-mode Linux {kernel}"

    def require(self) -> None:
        super().require()
        if not _kernel_is_there():
            raise StageError(
                "filesystem: xfs needs user-mode Linux on the build host. Install it (Debian package user-mode-linux) "
                "or choose ext4, which needs nothing more.",
                tool=_KERNEL,
                package="user-mode-linux",
            )

    def space(self, scan: TreeScan, size: int) -> int:
        between = Ext("ext4")
        return super().space(scan, size) + between.space(scan, between.default_size(scan))

    def make(self, request: ImageRequest, run: Runner) -> None:
        source = os.path.join(request.scratch, "source.ext4")
        between = Ext("ext4")
        between.make(
            ImageRequest(
                path=source,
                view=request.view,
                scan=request.scan,
                size=between.default_size(request.scan),
                label=None,
                uuid=request.uuid,
                options=(),
                source_date_epoch=request.source_date_epoch,
                scratch=request.scratch,
            ),
            run,
        )
        empty_image(request)
        run.run(self.mkfs(request), task="making the xfs image", hint=lambda text: self._hint(text, request))
        self._copy(source, request, run)
        os.unlink(source)
        run.run(["xfs_repair", "-n", request.path], task="checking the image")

    def mkfs(self, request: ImageRequest) -> list[str]:
        """The command that makes it, empty."""
        label = ["-L", request.label] if request.label else []
        return [self.maker, "-q", "-m", f"uuid={request.uuid}", *label, *request.options, request.path]

    def _copy(self, source: str, request: ImageRequest, run: Runner) -> None:
        script = os.path.join(request.scratch, "init")
        with open(script, "w", encoding="utf-8") as stream:
            stream.write(_INIT)
        os.chmod(script, 0o755)
        seccomp = os.path.join(request.scratch, "seccomp")
        with open(seccomp, "wb") as stream:
            stream.write(_WITHOUT_REGISTER_SETS)
        line = ["sh", "-c", 'exec 3<"$1"; shift; exec "$@"', "sh", seccomp]
        line += ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", "--seccomp", "3", "--"]
        line += [_KERNEL, "mem=256M", f"ubd0={request.path}", f"ubd1r={source}", "root=none", "rootfstype=hostfs"]
        line += ["rootflags=/", "ro", f"init={script}", "con=null", "con0=null,fd:1", "quiet", "selinux=0"]
        # A kernel that panics ends instead of waiting for ever. What it does not know becomes init's environment.
        line += ["panic=-1", _WITHOUT_VECTORS]
        line.append(f"uml_dir={request.scratch}/")
        # It keeps its memory in a file below TMPDIR, which need not be a tmpfs.
        printed = run.run(
            line,
            task="copying the tree into the xfs image",
            namespaces=True,
            extra_environment={"TMPDIR": request.scratch},
        )
        if _DONE not in printed:
            hint = f" {self.too_small(request)}" if "No space left" in printed else ""
            said = [text for text in re.split(r"[\r\n]+", printed) if text.startswith(("cp: ", "mount: ", "umount: "))]
            raise StageError(
                f"The tree could not be copied into the xfs image.{hint} It said: {(said or ['nothing'])[0]} "
                f"Log: {run.log}",
                log=run.log,
            )

    def _hint(self, text: str, request: ImageRequest) -> str | None:
        if "must be larger than" in text or "too small" in text:
            return f"{request.size // MIB} MiB are too small for xfs. Raise size or leave it out."
        return None


def _kernel_is_there() -> bool:
    try:
        find_tool(_KERNEL)
    except StageError:
        return False
    return True

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running the tools: killed with us, logged whole, explained on failure. Private to this collection."""

from __future__ import annotations

import collections
import functools
import os
import re
import selectors
import shlex
import shutil
import subprocess
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_TAIL_LINES = 20
_KEPT_BYTES = 4 << 20

# Debian package of each tool, for the message that a tool is missing.
TOOL_PACKAGES = {
    "btrfs": "btrfs-progs",
    "bwrap": "bubblewrap",
    "debugfs": "e2fsprogs",
    "dump.erofs": "erofs-utils",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "fsck.erofs": "erofs-utils",
    "grub-mkimage": "grub-common",
    "implantisomd5": "isomd5sum",
    "linux.uml": "user-mode-linux",
    "mcopy": "mtools",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.erofs": "erofs-utils",
    "mkfs.ext2": "e2fsprogs",
    "mkfs.ext3": "e2fsprogs",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mkfs.xfs": "xfsprogs",
    "mksquashfs": "squashfs-tools",
    "mmd": "mtools",
    "mmdebstrap": "mmdebstrap",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "stdbuf": "coreutils",
    "unshare": "util-linux",
    "unsquashfs": "squashfs-tools",
    "xfs_repair": "xfsprogs",
    "xorriso": "xorriso",
}

# What packages and scripts take for the name of the machine, wherever an image is built.
HOST_NAME = "localhost"


def environment(source_date_epoch: int | None = None) -> dict[str, str]:
    """The environment of every tool: fixed, so that the caller's locale, time zone and paths cannot leak into bytes."""
    result = {
        "PATH": SEARCH_PATH,
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "C",
        "TZ": "UTC",
    }
    result.update({name: os.environ[name] for name in _PASSED_ON if name in os.environ})
    if source_date_epoch is not None:
        result["SOURCE_DATE_EPOCH"] = str(source_date_epoch)
    return result


def find_tool(name: str) -> str:
    """Full path of a tool; StageError naming the Debian package that has it when it is missing."""
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        package = TOOL_PACKAGES.get(name, name)
        raise StageError(
            f"The tool {name} is missing on this build host. Install it (Debian package {package}) "
            "or run the role liveforge.images.build_host.",
            tool=name,
            package=package,
        )
    return path


def tool_version(name: str, *arguments: str) -> str:
    """First line with a digit that a tool prints of its version (``--version`` unless arguments say otherwise)."""
    return _version(find_tool(name), arguments or ("--version",))


# A stage asks several times, and some tools take a tenth of a second to answer.
@functools.cache
def _version(path: str, arguments: tuple[str, ...]) -> str:
    done = subprocess.run(
        [path, *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if re.search(r"\d", line):
            return line.strip()
    return "unknown"


def killed_with_us(argv: t.Sequence[str], *, namespaces: bool = False) -> list[str]:
    """``argv`` behind a prefix that ends it when this process dies, however it dies.

    Args:
        argv: the command.
        namespaces: also give it mount and PID namespaces of its own, so that whatever it mounts or starts ends with
            it, and the host name HOST_NAME; needs root. setpriv(1) covers a killed parent, unshare(1)
            ``--kill-child`` the descendants.
    """
    prefix = [find_tool("setpriv"), "--pdeathsig", "KILL", "--"]
    if namespaces:
        prefix += [find_tool("unshare"), "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        prefix += ["--propagation", "private", "--"]
        prefix += ["sh", "-c", 'hostname "$1" && shift && exec "$@"', "sh", HOST_NAME]
    return [*prefix, *argv]


class Runner:
    """Runs the commands of one stage and keeps their output in its log.

    Args:
        log: path of the log file; it is started anew.
        source_date_epoch: seconds since 1970 that tools take for "now", or None.
    """

    def __init__(self, log: str, source_date_epoch: int | None = None) -> None:
        self.log = log
        self.source_date_epoch = source_date_epoch
        with open(self.log, "w", encoding="utf-8"):
            pass

    def run(
        self,
        argv: t.Sequence[str],
        *,
        task: str,
        stdin: bytes | None = None,
        extra_environment: t.Mapping[str, str] | None = None,
        cwd: str = "/",
        on_line: t.Callable[[str], None] | None = None,
        namespaces: bool = False,
        hint: t.Callable[[str], str | None] | None = None,
    ) -> str:
        """Run one command to its end and return what it printed (standard output and error, in order).

        Args:
            argv: the command; argv[0] is looked up on the fixed search path.
            task: what it does, for the failure message, such as ``packing the root tree``.
            stdin: bytes for its standard input (secrets go here, never into argv).
            extra_environment: variables on top of :func:`environment`.
            cwd: its working directory.
            on_line: called with each line as it comes (a carriage return ends a line too).
            namespaces: see :func:`killed_with_us`.
            hint: turns the output of a failed command into a sentence about its cause, or None.

        Raises:
            StageError: the command failed; with ``cmd``, ``rc``, ``output`` (last lines) and ``log``.
        """
        command = [find_tool(argv[0]), *argv[1:]]
        started = time.monotonic()
        with open(self.log, "ab", buffering=0) as log:
            log.write(f"$ {shlex.join(argv)}\n".encode("utf-8", "surrogateescape"))
            process = subprocess.Popen(
                killed_with_us(command, namespaces=namespaces),
                env={**environment(self.source_date_epoch), **(extra_environment or {})},
                cwd=cwd,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            try:
                output = _communicate(process, stdin, log, on_line)
                status = process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise
            log.write(f"# exit status {status} after {time.monotonic() - started:.1f} s\n".encode())
        text = output.decode("utf-8", "replace")
        if status != 0:
            raise self._failure(argv, task, status, text, hint)
        return text

    def note(self, text: str) -> None:
        """Add a line of our own to the log."""
        with open(self.log, "a", encoding="utf-8", errors="surrogateescape") as log:
            log.write(f"# {text}\n")

    def _failure(
        self,
        argv: t.Sequence[str],
        task: str,
        status: int,
        text: str,
        hint: t.Callable[[str], str | None] | None,
    ) -> StageError:
        tail = [line for line in re.split(r"[\r\n]+", text) if line.strip()][-_TAIL_LINES:]
        how = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
        cause = hint(text) if hint else None
        if cause is None and "No space left on device" in text:
            cause = "The file system is full (No space left on device). Free some space or move the workspace."
        message = f"{argv[0]} {how} while {task}."
        if cause:
            message += f" {cause}"
        elif tail:
            message += f" It said: {tail[-1].strip()}"
        return StageError(
            f"{message} Log: {self.log}", cmd=shlex.join(argv), rc=status, output="\n".join(tail), log=self.log
        )


def _communicate(
    process: subprocess.Popen[bytes],
    stdin: bytes | None,
    log: t.BinaryIO | t.Any,
    on_line: t.Callable[[str], None] | None,
) -> bytes:
    """Feed and drain a process at once; returns the last 4 MiB of its output."""
    if process.stdout is None:
        raise RuntimeError("standard output is not a pipe")
    kept: collections.deque[bytes] = collections.deque()
    size = 0
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if process.stdin is not None:
            # A writable pipe may take less than we have: never wait for a tool that waits for us.
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        unsent = stdin or b""
        while selector.get_map():
            for key, dummy in selector.select():
                if key.fileobj is process.stdin and process.stdin is not None:
                    try:
                        unsent = unsent[os.write(key.fd, unsent[:65536]) :] if unsent else b""
                    except BlockingIOError:
                        continue
                    except BrokenPipeError:
                        unsent = b""
                    if not unsent:
                        selector.unregister(key.fileobj)
                        process.stdin.close()
                    continue
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                log.write(chunk)
                kept.append(chunk)
                size += len(chunk)
                while size > _KEPT_BYTES:
                    size -= len(kept.popleft())
                if on_line is not None:
                    *lines, pending = re.split(rb"[\r\n]+", pending + chunk)
                    for line in lines:
                        on_line(line.decode("utf-8", "replace"))
    if on_line is not None and pending:
        on_line(pending.decode("utf-8", "replace"))
    return b"".join(kept)

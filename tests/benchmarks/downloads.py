# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Downloads, the same for all tools: apt-cacher-ng on this machine, which measured builds see without the network."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import subprocess
import time
import typing as t

from benchmarks import description
from benchmarks.tool import Unavailable

PROGRAM = pathlib.Path("/usr/sbin/apt-cacher-ng")
_SECONDS_TO_START = 20
# apt-cacher-ng 3.7 listens nowhere when it is told a port above 32767, which is where the kernel takes free ones from.
_PORTS = range(23142, 23342)


@contextlib.contextmanager
def mirror(folder: pathlib.Path, *, offline: bool) -> t.Iterator[str]:
    """Serve Debian's archive from a cache, and give its address.

    Args:
        folder: where the cache is kept.
        offline: whether only what is in the cache is served.

    Raises:
        Unavailable: apt-cacher-ng is missing or does not start.
    """
    if not PROGRAM.exists():
        raise Unavailable(f"{PROGRAM} is missing; install the Debian package apt-cacher-ng")
    folder.mkdir(parents=True, exist_ok=True)
    port = _port(folder)
    with open(folder / "output.log", "wb") as log:
        process = subprocess.Popen(
            [
                # It must not outlive a benchmark that is killed.
                *("setpriv", "--pdeathsig", "TERM", "--"),
                str(PROGRAM),
                "ForeGround=1",
                f"Port={port}",
                "BindAddress=127.0.0.1",
                f"CacheDir={folder}/cache",
                f"LogDir={folder}",
                f"Offlinemode={int(offline)}",
                # Files are kept until the folder is removed.
                "ExThreshold=3650",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(process, port, folder / "output.log")
        yield f"http://127.0.0.1:{port}/{description.mirror_of_source().partition('://')[2]}"
    finally:
        process.terminate()
        process.wait()


def _port(folder: pathlib.Path) -> int:
    """A free port, the same in every run as long as it is free: the tools key their own caches with the address."""
    record = folder / "port"
    recorded = int(record.read_text()) if record.exists() else None
    for port in [recorded] if recorded in _PORTS else _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            record.write_text(str(port))
            return port
    raise Unavailable(
        f"port {recorded} is in use, by another benchmark perhaps; if not, remove {record}"
        if recorded in _PORTS
        else f"no port from {_PORTS[0]} to {_PORTS[-1]} is free"
    )


def _wait_for(process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise Unavailable(f"apt-cacher-ng does not start: {log.read_text(errors='replace')[-500:] or 'it says nothing'}")

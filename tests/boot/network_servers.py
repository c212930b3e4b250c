# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that guests boot from: HTTP, AoE and NFS, each gone without a trace when its block is left.

HTTP and NFS listen on the loopback interface, which a guest with ``network: user`` sees as 10.0.2.2. AoE is no IP
protocol, so its guest gets a network card of its own, see :func:`aoe`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import typing as t

import playbook
from web_server import QuietHandler, serve

# The host as QEMU's user network shows it to the guest.
HOST = "10.0.2.2"
_NFS_TREE = playbook.CACHE / "nfs-ganesha"
_START_SECONDS = 30


@contextlib.contextmanager
def http(folder: pathlib.Path) -> t.Iterator[str]:
    """Serve a folder by Python's own server, a process of its own; yields the URL of the folder for the guest."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with _process(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        found = re.search(rb"port (\d+)", server.stdout.readline() if server.stdout else b"")
        if not found:
            raise RuntimeError(f"http.server did not start (status {server.poll()}).")
        yield f"http://{HOST}:{int(found[1])}"


@contextlib.contextmanager
def http_that_stops(
    folder: pathlib.Path, after: int, how: t.Literal["close", "stall"], times: int | None = None
) -> t.Iterator[str]:
    """Serve a folder, but send no more than a part of each file.

    Args:
        folder: what is served.
        after: bytes of the body that are still sent.
        how: ``close`` ends the connection there; ``stall`` keeps it open and sends nothing more.
        times: that many downloads are cut short, later ones are whole; None cuts all.
    """
    ended = threading.Event()
    left = [times]

    class Handler(QuietHandler):
        def copyfile(self, source: t.Any, outputfile: t.Any) -> None:
            if left[0] == 0:
                super().copyfile(source, outputfile)
                return
            if left[0]:
                left[0] -= 1
            outputfile.write(source.read(after))
            outputfile.flush()
            if how == "stall":
                ended.wait()
            self.close_connection = True

    try:
        with serve(functools.partial(Handler, directory=str(folder))) as port:
            yield f"http://{HOST}:{port}"
            ended.set()
    finally:
        ended.set()


@contextlib.contextmanager
def https(folder: pathlib.Path, scratch: pathlib.Path) -> t.Iterator[str]:
    """Serve a folder by TLS, with a certificate that nobody knows; ``scratch`` is for the certificate."""
    certificate, key = scratch / "certificate.pem", scratch / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=live boot test"]
    command += ["-addext", f"subjectAltName=IP:{HOST}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(functools.partial(QuietHandler, directory=str(folder)), context) as port:
        yield f"https://{HOST}:{port}"


@dataclasses.dataclass(frozen=True)
class AoeTarget:
    """Where the guest finds an AoE target.

    Attributes:
        name: as in AOEINTERFACE=e0.1, and the file name below /dev/etherd.
        qemu_args: what connects the guest to the target's Ethernet: a network card on which there is nothing else.
    """

    name: str
    qemu_args: list[str]


@contextlib.contextmanager
def aoe(image: pathlib.Path, shelf: int = 0, slot: int = 1) -> t.Iterator[AoeTarget]:
    """Export an image, read-only, with vblade on an Ethernet in a network namespace of its own.

    It serves one guest after the other. Needs root, vblade, and ip (iproute2).
    """
    program = str(pathlib.Path(__file__).with_name("aoe_target.py"))
    with tempfile.TemporaryDirectory(prefix="aoe-") as folder:
        path = pathlib.Path(folder) / "ethernet"
        # The first process of a PID namespace takes all others with it, and the last one takes the network namespace.
        command = ["unshare", "--net", "--pid", "--fork", "--kill-child", sys.executable, program]
        with _process([*command, str(image), str(path), str(shelf), str(slot)]) as target:
            _wait(path.exists, target, "vblade")
            network = f"stream,id=aoe,server=off,addr.type=unix,addr.path={path}"
            card = "virtio-net-pci,netdev=aoe,romfile="
            yield AoeTarget(f"e{shelf}.{slot}", ["-netdev", network, "-device", card])


@contextlib.contextmanager
def nfs(folder: pathlib.Path) -> t.Iterator[str]:
    """Export a folder, read-only, by NFS version 4; yields a URL for the guest, with the port in it.

    The server is nfs-ganesha, which needs no kernel support. It is unpacked into the cache of the tests and runs from
    there, since the installed package would start a server of its own at once.
    """
    if not _NFS_TREE.exists():
        partial = _NFS_TREE.with_suffix(".partial")
        subprocess.run(["rm", "-rf", str(partial)], check=True)
        packages = "--include=nfs-ganesha,nfs-ganesha-vfs"
        subprocess.run(["mmdebstrap", "--quiet", "--variant=extract", packages, "bookworm", str(partial)], check=True)
        (partial / "etc/mtab").symlink_to("/proc/self/mounts")
        for mount_point in ("dev", "proc", "run", "tmp", "var/lib/nfs", "srv"):
            (partial / mount_point).mkdir(parents=True, exist_ok=True)
        partial.rename(_NFS_TREE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="nfs-") as scratch:
        config = pathlib.Path(scratch) / "ganesha.conf"
        config.write_text(
            f"NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; Bind_addr = 127.0.0.1; Enable_UDP = false;"
            " Enable_NLM = false; Enable_RQUOTA = false; }\n"
            # Graceless: a client that comes at once need not wait for 90 s. Not 4.2: newer kernels then use READ_PLUS,
            # which this server answers with errors.
            "NFSV4 { Graceless = true; RecoveryBackend = fs; Minor_Versions = 0, 1; }\n"
            "NFS_KRB5 { Active_krb5 = false; }\n"
            "EXPORT { Export_Id = 1; Path = /srv; Pseudo = /srv; Protocols = 4; Transports = TCP; Access_Type = RO;"
            " Squash = No_Root_Squash; SecType = sys; FSAL { Name = VFS; } }\n"
        )
        log = pathlib.Path(scratch) / "log"
        command = ["bwrap", "--die-with-parent", "--unshare-pid", "--ro-bind", str(_NFS_TREE), "/"]
        command += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run"]
        command += ["--tmpfs", "/var/lib/nfs", "--dir", "/var/lib/nfs/ganesha"]
        command += ["--ro-bind", str(config), "/tmp/ganesha.conf", "--ro-bind", str(folder), "/srv"]
        # Files are opened by their handles, which only root may do.
        command += ["--cap-add", "ALL", "ganesha.nfsd", "-F", "-L", "STDERR", "-f", "/tmp/ganesha.conf"]
        with log.open("wb") as stream, _process([*command, "-p", "/tmp/pid"], stderr=stream, stdout=stream) as server:
            _wait(lambda: _answers(port), server, "nfs-ganesha", log)
            yield f"nfs://{HOST}:{port}/srv"


@contextlib.contextmanager
def _process(command: list[str], **options: t.Any) -> t.Iterator[subprocess.Popen[bytes]]:
    """Run a process while the block runs; it also dies with this one."""
    with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait(
    ready: t.Callable[[], bool], process: subprocess.Popen[bytes], name: str, log: pathlib.Path | None = None
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-2000:] if log else ""
            raise RuntimeError(f"{name} did not start (status {process.returncode}). {said}")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False

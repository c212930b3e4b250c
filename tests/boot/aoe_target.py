# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An AoE target on an Ethernet of its own. Run by network_servers in a network namespace, as root.

vblade serves the image on a TAP device, and this program carries the frames between the TAP device and the QEMU that
is connected to a Unix socket (QEMU's ``-netdev stream``: each frame after its length in four bytes, big-endian). So
the host's own network never sees any of it.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
INTERFACE = "aoe0"


def main(image: str, path: str, shelf: str, slot: str) -> None:
    """Serve ``image`` as eSHELF.SLOT to whoever connects to the socket ``path``, one after the other."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", INTERFACE, "up"], check=True)
    target = subprocess.Popen(["vblade", "-r", shelf, slot, INTERFACE, image], stdout=subprocess.PIPE)
    # Its one line of output says that it serves.
    if target.stdout is None or not target.stdout.readline():
        sys.exit(f"vblade ended with status {target.wait()}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            guest = listener.accept()[0]
            with guest:
                carry(tap, guest)


def carry(tap: int, guest: socket.socket) -> None:
    """Carry frames in both directions until the guest is gone."""
    received = b""
    while True:
        ready = select.select([tap, guest], [], [])[0]
        try:
            if tap in ready:
                frame = os.read(tap, 65536)
                guest.sendall(struct.pack("!I", len(frame)) + frame)
            if guest in ready:
                data = guest.recv(65536)
                if not data:
                    return
                received += data
        except ConnectionError:
            return
        while len(received) >= 4 and len(received) >= 4 + (size := struct.unpack_from("!I", received)[0]):
            os.write(tap, received[4 : 4 + size])
            received = received[4 + size :]


if __name__ == "__main__":
    main(*sys.argv[1:])

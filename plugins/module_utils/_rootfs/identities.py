# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and keys that packages make for the machine they are installed on. Private to this collection.

Installed into an image, these would be shared by all machines that boot it, be others in every build, and partly those
of the build host. SSH host keys of OpenSSH have a module of their own.
"""

from __future__ import annotations

import dataclasses
import os

from ansible_collections.liveforge.images.plugins.module_utils._rootfs import image_path
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.configure import Configurator

_ISCSI_NAME = "etc/iscsi/initiatorname.iscsi"
# What the start script of Debian's open-iscsi takes for "make a name now".
_ISCSI_MAKES_ITS_NAME = b"GenerateName=yes\n"
# From the firmware's number of the machine, where it has one, as nvme-gen-hostnqn(1) takes it: so both are the same at
# each boot. Without starting a program, since the login prompt waits for this.
_NVME = """\
[Unit]
Description=Make the NVMe host identity
Documentation=man:nvme-gen-hostnqn(1)
ConditionFileNotEmpty=|!/etc/nvme/hostnqn
ConditionFileNotEmpty=|!/etc/nvme/hostid
Before=nvmf-autoconnect.service nvmefc-boot-connections.service

[Service]
Type=oneshot
WorkingDirectory=/etc/nvme
ExecStart=/bin/sh -c '\\
    uuid=; firmware=/sys/class/dmi/id/product_uuid; [ ! -r $$firmware ] || read -r uuid < $$firmware; \\
    case "$$uuid" in \\
    00000000-*|[Ff][Ff][Ff][Ff][Ff][Ff][Ff][Ff]-*) uuid= ;; \\
    ????????-????-????-????-????????????) ;; \\
    *) uuid= ;; \\
    esac; \\
    [ -n "$$uuid" ] || read -r uuid < /proc/sys/kernel/random/uuid; \\
    [ -s hostnqn ] || echo nqn.2014-08.org.nvmexpress:uuid:$$uuid > hostnqn; \\
    [ -s hostid ] || echo $$uuid > hostid'

[Install]
WantedBy=multi-user.target
"""
# Empty is what a power cut left of a key in persistent storage; systemd takes two dollars for one.
# Without the RSA key, whose primes take long to find: clients that need one are older than these two kinds.
_DROPBEAR = """\
[Unit]
Description=Make the host keys of Dropbear
Documentation=man:dropbearkey(1)
ConditionFileNotEmpty=|!/etc/dropbear/dropbear_ed25519_host_key
ConditionFileNotEmpty=|!/etc/dropbear/dropbear_ecdsa_host_key
Before=dropbear.service

[Service]
Type=oneshot
WorkingDirectory=/etc/dropbear
ExecStart=/bin/sh -c 'kind=ed25519; {make}'
ExecStart=/bin/sh -c 'kind=ecdsa; {make}'

[Install]
WantedBy=multi-user.target
""".format(
    make="k=dropbear_$${kind}_host_key; [ -s $$k ] || { rm -f $$k; dropbearkey -t $$kind -f $$k; }",
)


@dataclasses.dataclass(frozen=True)
class _Identity:
    """What one package makes.

    Attributes:
        files: what it writes when it is installed.
        program: what is there when it is.
        unit: name of the systemd unit by which a booted system makes its own.
        content: of that unit.
    """

    files: tuple[str, ...]
    program: str
    unit: str
    content: str


_IDENTITIES = (
    _Identity(("etc/nvme/hostnqn", "etc/nvme/hostid"), "usr/sbin/nvme", "liveforge-nvme-identity.service", _NVME),
    _Identity(
        tuple(f"etc/dropbear/dropbear_{kind}_host_key" for kind in ("dss", "ecdsa", "ed25519", "rsa")),
        "usr/sbin/dropbear",
        "liveforge-dropbear-host-keys.service",
        _DROPBEAR,
    ),
)


def forget(root: str) -> None:
    """Take out what packages have just made; overlays and files come later, and what these bring stays."""
    for path in (path for identity in _IDENTITIES for path in identity.files):
        with image_path.place(root, path, follow=False) as found:
            if found is not None and found.status() is not None:
                os.unlink(found.name, dir_fd=found.folder)
    with image_path.place(root, _ISCSI_NAME, follow=False) as found:
        if found is not None and found.text() is not None:
            flags = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(found.name, flags, dir_fd=found.folder), "wb") as stream:
                stream.write(_ISCSI_MAKES_ITS_NAME)


def make_at_boot(configure: Configurator, root: str) -> None:
    """Have the image make at boot what it has not."""
    for identity in _IDENTITIES:
        if image_path.exists(root, identity.program, follow=False):
            configure.write(f"/etc/systemd/system/{identity.unit}", identity.content.encode())
            configure.run(["systemctl", "enable", identity.unit], f"enabling {identity.unit}")

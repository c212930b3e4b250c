# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH host keys that a live system makes for itself when it boots. Private to this collection."""

from __future__ import annotations

import re

from ansible_collections.liveforge.images.plugins.module_utils._rootfs import image_path
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.configure import Configurator

_FIRST_UNIT = "liveforge-ssh-first-host-key.service"
_ALL_UNIT = "liveforge-ssh-host-keys.service"
_FIRST = """\
[Unit]
Description=Make an SSH host key
Documentation=man:ssh-keygen(1)
# Empty is what a power cut left of a key in persistent storage.
ConditionFileNotEmpty=!/etc/ssh/ssh_host_ed25519_key
Before=ssh.service ssh.socket

[Service]
Type=oneshot
ExecStartPre=/usr/bin/rm -f /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key.pub
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key

[Install]
WantedBy=multi-user.target ssh.service
"""
# Finding the primes of an RSA key takes many seconds on slow machines. This is no oneshot unit, so that nothing waits
# for it: neither ssh, nor the login prompt, which systemd holds back as long as it has jobs (Type=idle).
_OTHERS = """\
[Unit]
Description=Make the other SSH host keys
Documentation=man:ssh-keygen(1)
ConditionFileNotEmpty=|!/etc/ssh/ssh_host_ecdsa_key
ConditionFileNotEmpty=|!/etc/ssh/ssh_host_rsa_key
After=ssh.service

[Service]
Type=exec
Nice=19
ExecStart=/usr/bin/ssh-keygen -A
ExecStopPost=-/usr/bin/systemctl --no-block try-reload-or-restart ssh.service

[Install]
WantedBy=multi-user.target
"""
_ALL = """\
[Unit]
Description=Make the SSH host keys
Documentation=man:ssh-keygen(1)
Before=ssh.service ssh.socket

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target ssh.service
"""


# Inside the image, so that no link leads to files of the build host.
_TAKE_AND_SHOW = """\
set -e
cd /etc/ssh 2>/dev/null || exit 0
rm -f ssh_host_*key*
cat sshd_config sshd_config.d/*.conf 2>/dev/null || :
"""
# Another file than those that are read here may name keys, too.
_MAY_NAME_KEYS = r"\s*(HostKey\b|Include\b(?!\s+/etc/ssh/sshd_config\.d/\*\.conf\s*$))"


def make_at_boot(configure: Configurator, root: str) -> None:
    """Take the host keys out of a tree with an SSH server, and have the image make its own when it boots.

    ssh starts as soon as there is an Ed25519 key, and offers the others when they are found; or with all of them, when
    its configuration names keys: it may name none but the last one.
    """
    if not image_path.exists(root, "usr/sbin/sshd", follow=False):
        return
    text = configure.run(["sh", "-c", _TAKE_AND_SHOW], "taking out the SSH host keys")
    units = {_ALL_UNIT: _ALL} if _may_name_keys(text) else {_FIRST_UNIT: _FIRST, _ALL_UNIT: _OTHERS}
    for unit, content in units.items():
        configure.write(f"/etc/systemd/system/{unit}", content.encode())
    configure.run(["systemctl", "enable", *units], "enabling the generation of SSH host keys")


def _may_name_keys(configuration: str) -> bool:
    """Whether this sshd_config(5) says, or may say, which host keys to use."""
    return any(re.match(_MAY_NAME_KEYS, line, re.IGNORECASE) for line in configuration.splitlines())

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the configuration of an SSH server names host keys."""

from __future__ import annotations

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._rootfs.host_keys import _may_name_keys


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("HostKey /etc/ssh/ssh_host_rsa_key\n", True),
        ("Port 22\n\thostkey=/etc/ssh/key\n", True),
        ("#HostKey /etc/ssh/ssh_host_rsa_key\n", False),
        ("HostKeyAlgorithms ssh-ed25519\n", False),
        ("Include /etc/ssh/sshd_config.d/*.conf\nPort 22\n", False),
        ("Include /etc/ssh/sshd_config.d/*.conf /opt/own/*\n", True),
        ("include /opt/own/sshd.conf\n", True),
        ("", False),
    ],
)
def test_configuration_that_may_name_host_keys(text: str, named: bool) -> None:
    assert _may_name_keys(text) is named

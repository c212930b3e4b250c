# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the configuration of an SSH server names host keys."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._rootfs.host_keys import _names_keys


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("HostKey /etc/ssh/ssh_host_rsa_key\n", True),
        ("Port 22\n\thostkey=/etc/ssh/key\n", True),
        ("#HostKey /etc/ssh/ssh_host_rsa_key\n", False),
        ("HostKeyAlgorithms ssh-ed25519\n", False),
    ],
)
@pytest.mark.parametrize("name", ["sshd_config", "sshd_config.d/own.conf"])
def test_configuration_that_names_host_keys(tmp_path: pathlib.Path, name: str, text: str, named: bool) -> None:
    # Not a pattern, although a path may look like one.
    folder = tmp_path / "image[1]"
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert _names_keys(str(folder)) is named


def test_what_is_behind_a_link_may_name_host_keys(tmp_path: pathlib.Path) -> None:
    """A link can lead out of the tree, so it is not followed; a dangling one is a link, too."""
    (tmp_path / "sshd_config").write_text("Port 22\n")
    (tmp_path / "sshd_config.d").mkdir()
    (tmp_path / "sshd_config.d/own.conf").symlink_to("/opt/own/sshd.conf")
    assert _names_keys(str(tmp_path))

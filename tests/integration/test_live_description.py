# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KIWI descriptions through ansible-playbook, as a user reads them."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import yaml

import playbook

DESCRIPTIONS = playbook.ROOT / "tests/unit/plugins/plugin_utils/_description/descriptions"
_READ_AND_CHECK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - liveforge.images.live_description:
        path: {path}
      register: read
    - liveforge.images.live_image_spec:
        options: "{{{{ read.image }}}}"
      register: checked
    - ansible.builtin.debug:
        msg: "ISO={{{{ checked.spec.outputs.iso }}}} changed={{{{ read.changed }}}}"
"""


def run(*arguments: str | pathlib.Path, folder: pathlib.Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook, in ``folder`` or where the tests run."""
    return subprocess.run(
        [pathlib.Path(sys.executable).parent / "ansible-playbook", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0", "COLUMNS": "400"},
    )


def test_what_is_read_is_what_the_role_takes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "play.yml").write_text(_READ_AND_CHECK.format(path=DESCRIPTIONS / "debian-12-overlay"))
    for arguments in ([], ["--check", "--diff"]):
        done = run(tmp_path / "play.yml", *arguments)
        assert done.returncode == 0, done.stdout
        assert "ISO=/var/lib/liveforge/Rescue/Rescue.x86_64-1.2.0.iso changed=False" in done.stdout


def test_a_relative_path_is_below_the_current_folder_or_beside_the_playbook(tmp_path: pathlib.Path) -> None:
    here, beside = tmp_path / "here", tmp_path / "beside"
    here.mkdir()
    shutil.copytree(DESCRIPTIONS / "debian-12-overlay", beside / "rescue")
    (beside / "play.yml").write_text(_READ_AND_CHECK.format(path="rescue"))
    done = run(beside / "play.yml", folder=here)
    assert "Rescue.x86_64-1.2.0.iso" in done.stdout, done.stdout
    shutil.copytree(DESCRIPTIONS / "debian-12-overlay", here / "rescue")
    config = here / "rescue/config.xml"
    config.write_text(config.read_text().replace("1.2.0", "7.0.0"))
    done = run(beside / "play.yml", folder=here)
    assert "Rescue.x86_64-7.0.0.iso" in done.stdout, done.stdout


def test_password_hashes_are_not_shown_even_when_verbose(tmp_path: pathlib.Path) -> None:
    (tmp_path / "play.yml").write_text(_READ_AND_CHECK.format(path=DESCRIPTIONS / "debian-12-overlay"))
    done = run(tmp_path / "play.yml", "-vvv")
    assert done.returncode == 0
    assert "hash.of.open-sesame" not in done.stdout + done.stderr


def test_show_description_prints_yaml_of_the_same_image() -> None:
    done = run(
        playbook.ROOT / "playbooks/show_description.yml",
        *("-e", f"description={DESCRIPTIONS / 'debian-12-overlay'}", "-e", "description_as=images"),
    )
    assert done.returncode == 0, done.stdout
    shown = done.stdout.partition("\n---\n")[2].partition("\nok: ")[0]
    (image,) = yaml.safe_load(shown)["live_images"]
    assert image["name"] == "Rescue"
    assert image["hybridpersistent_filesystem"] == "xfs"
    assert image["overlays"] == [{"src": str(DESCRIPTIONS / "debian-12-overlay/root"), "dest": "/"}]


def test_warnings_and_errors_reach_the_user(tmp_path: pathlib.Path) -> None:
    arguments = ("-e", f"description={DESCRIPTIONS / 'initrd'}", "-e", "description_strict=false")
    done = run(playbook.ROOT / "playbooks/show_description.yml", *arguments)
    place = f"{DESCRIPTIONS}/initrd/config.xml:12"
    assert f"[WARNING]: {place}: attribute verity_blocks of <type> is not honoured" in done.stdout + done.stderr
    done = run(playbook.ROOT / "playbooks/show_description.yml", *arguments[:2], "-e", "description_strict=true")
    assert done.returncode == 2
    assert f"{place}: attribute verity_blocks of <type> is not honoured" in done.stdout + done.stderr

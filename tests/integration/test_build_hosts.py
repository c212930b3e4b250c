# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On which hosts the playbooks work, and in which folders there: nothing lands in other places by mistake."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import pytest

import playbook

PLAYBOOKS = sorted(
    str(path.relative_to(playbook.ROOT))
    for path in (playbook.ROOT / "playbooks").rglob("*.yml")
    if re.search(r"^  hosts: (?!localhost)", path.read_text(), re.MULTILINE)
)
HOSTS: dict[str, t.Any] = {"hosts": {"web1": {}}}


def hosts_of(name: str, folder: pathlib.Path, inventory: dict[str, t.Any]) -> tuple[int, str]:
    """What ansible-playbook lists, without anything being run."""
    file = folder / "inventory.json"
    file.write_text(json.dumps(inventory))
    done = playbook.run([playbook.PROGRAM, str(playbook.ROOT / name), "-i", str(file), "--list-hosts"])
    return done.returncode, done.stdout


def test_all_playbooks_are_looked_at() -> None:
    assert len(PLAYBOOKS) == 6


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_an_inventory_without_build_hosts_is_refused(name: str, tmp_path: pathlib.Path) -> None:
    status, said = hosts_of(name, tmp_path, {"others": HOSTS})
    assert status != 0, said
    assert "none of them is in the group build_hosts" in said
    assert "put localhost into it" in said


@pytest.mark.parametrize(
    ("inventory", "hosts"),
    [
        ({"build_hosts": {}}, "localhost"),
        ({"others": {"hosts": {"localhost": {}}}}, "localhost"),
        ({"others": HOSTS, "build_hosts": {"hosts": {"builder": {}}}}, "builder"),
        ({"others": HOSTS, "build_hosts": {"hosts": {"localhost": {}}}}, "localhost"),
        ({"others": HOSTS, "build_hosts": {}}, None),
    ],
    ids=["no host", "localhost alone", "a build host", "localhost as build host", "empty group"],
)
def test_build_hosts_of_an_inventory(tmp_path: pathlib.Path, inventory: dict[str, t.Any], hosts: str | None) -> None:
    status, said = hosts_of("playbooks/provision.yml", tmp_path, inventory)
    assert (status == 0) is (hosts is not None), said
    if hosts is not None:
        assert re.findall(r"hosts \(1\):\n +(\S+)", said) == [hosts], said


def test_images_lie_in_the_folders_of_role_build_host(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    folders = ("-e", f"build_host_workspace={tmp_path}/file", "-e", f"build_host_cache={tmp_path}/cache")
    run = playbook.build([{"name": "rescue", "release": "bookworm"}], tmp_path, *folders)
    assert run.status != 0
    assert f"{tmp_path}/file/rescue/rootfs" in run.results[0]["error"], run.output
    done = playbook.run([playbook.PROGRAM, str(playbook.ROOT / "playbooks/cache.yml"), *folders])
    assert f"{tmp_path}/cache has 0 files" in done.stdout, done.stdout

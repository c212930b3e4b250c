# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A build over SSH: a connection that breaks does not lose it, and its progress is seen meanwhile."""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import typing as t

import pytest

import playbook
from integration import torture_tree


class SshServer:
    """sshd(8) on a port of the loopback interface, for root with a key made for this test."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self.folder / "host",
            "AuthorizedKeysFile": self.folder / "user.pub",
            "PermitRootLogin": "prohibit-password",
            "StrictModes": "no",
            # Without PAM, sshd takes no key for an account whose password is locked, as root's often is.
            "UsePAM": "yes",
            "PidFile": "none",
        }
        arguments = [argument for name, value in options.items() for argument in ("-o", f"{name}={value}")]
        self._process = subprocess.Popen(["/usr/sbin/sshd", "-f", "/dev/null", "-D", *arguments])
        deadline = time.monotonic() + 30
        while not self._listens():
            assert self._process.poll() is None, "sshd ended"
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.1)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def cut(self) -> None:
        """End the server and every connection to it, as a network that fails does."""
        if self._process is not None:
            subprocess.run(["pkill", "-KILL", "-P", str(self._process.pid)], check=False)
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: pathlib.Path) -> t.Iterator[SshServer]:
    running = SshServer(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.cut()


@pytest.fixture
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("connection-test") as folder:
        yield folder


def test_lost_connection_does_not_lose_the_build(
    server: SshServer, workspace: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    inventory = tmp_path / "inventory.json"
    host = {
        "ansible_host": "127.0.0.1",
        "ansible_port": server.port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(tmp_path / "user"),
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        "ansible_python_interpreter": sys.executable,
    }
    inventory.write_text(json.dumps({"build_hosts": {"hosts": {"builder": host}}}))
    play = tmp_path / "play.json"
    rootfs = {
        "dest": f"{workspace}/rootfs",
        "release": "bookworm",
        "variant": "apt",
        "scripts": [{"content": "sleep 25; echo whole > /finished\n"}],
    }
    play.write_text(
        json.dumps(
            [
                {
                    "hosts": "builder",
                    "gather_facts": False,
                    "tasks": [{"name": "Build", "liveforge.images.live_rootfs": rootfs}],
                }
            ]
        )
    )
    output = tmp_path / "output"
    with open(output, "wb") as stream:
        process = subprocess.Popen(
            [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(play)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )
    try:
        _wait_for("live_rootfs: running scripts[0]", output, 180)
        server.cut()
        time.sleep(8)
        server.start()
        assert process.wait(180) == 0, output.read_text()
    finally:
        process.kill()
        process.wait()
    text = output.read_text()
    assert "Connection lost, the build goes on" in text
    assert "changed=1" in text
    assert (workspace / "rootfs/finished").read_text() == "whole\n"


def test_home_of_the_caller_need_not_be_that_of_the_user(tmp_path: pathlib.Path) -> None:
    """As with sudo --preserve-env, in containers and under schedulers; nothing of the run stays there."""
    tree, home, play = tmp_path / "tree", tmp_path / "home", tmp_path / "play.json"
    home.mkdir()
    for name in ("usr", "proc", "sys", "dev", "run", "tmp"):
        (tree / name).mkdir(parents=True)
    pack = {"root": str(tree), "dest": str(tmp_path / "squashfs.img")}
    play.write_text(
        json.dumps(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "become": True,
                    "tasks": [
                        {
                            "name": "Start packing",
                            "liveforge.images.live_squashfs": pack,
                            "async": 600,
                            "poll": 0,
                            "register": "job",
                        },
                        {"name": "Wait for it", "liveforge.images.live_wait": {"job": "{{ job }}"}},
                    ],
                }
            ]
        )
    )
    done = subprocess.run(
        [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), str(play)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(home), "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "squashfs.img").exists()
    assert list((home / ".ansible_async").iterdir()) == []


def test_on_the_controller_a_stage_says_the_same_in_a_child_as_by_another_python(tmp_path: pathlib.Path) -> None:
    """An environment is one of the reasons to start a Python of its own."""
    for name in ("usr", "proc", "sys", "dev", "run", "tmp"):
        (tmp_path / "tree" / name).mkdir(parents=True)
    secret = tmp_path / "tree/usr/secret"
    secret.touch()
    os.setxattr(secret, torture_tree.ACL, torture_tree.acl(4, 4, 4, 4))
    image = tmp_path / "squashfs.img"
    # Stages say the digest of what they made, so both have to make the same.
    pack = {"root": str(tmp_path / "tree"), "dest": str(image), "source_date_epoch": 1735689600}
    tasks = [
        {"liveforge.images.live_squashfs": pack},
        {"liveforge.images.live_squashfs": pack},
        {"liveforge.images.live_squashfs": {"root": "/nowhere", "dest": f"{image}.2"}, "ignore_errors": True},
        {"liveforge.images.live_squashfs": {"dest": str(image)}, "ignore_errors": True},
    ]
    said = []
    for environment, is_in_a_child in (({}, True), ({"ANY": "thing"}, False)):
        play = {"hosts": "localhost", "gather_facts": False, "become": True, "environment": environment}
        (tmp_path / "play.json").write_text(json.dumps([{**play, "tasks": tasks}]))
        for path in (image, pathlib.Path(f"{image}.stage.json")):
            path.unlink(missing_ok=True)
        done = playbook.run([playbook.PROGRAM, "--diff", "-v", str(tmp_path / "play.json")])
        assert "ok=4    changed=1" in done.stdout, done.stdout
        assert "usr/secret" in done.stdout
        # Ansible tells of every module file that it packs.
        again = playbook.run([playbook.PROGRAM, "-vvv", str(tmp_path / "play.json")])
        assert ("Using module file" not in again.stdout) == is_in_a_child, again.stdout
        # Times, and how long it took.
        said.append(re.sub(r'\d{4}-\d\d-\d\dT[\d:]+Z|"duration": [\d.]+|, column \d+.*', "", done.stdout))
    assert said[0] == said[1]


def _wait_for(text: str, log: pathlib.Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)

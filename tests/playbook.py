# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection's playbook and modules for tests, as a user would: through ansible-playbook, for real."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
CACHE = pathlib.Path(os.environ.get("LIVEFORGE_TEST_CACHE", pathlib.Path.home() / ".cache" / "liveforge-tests"))
# No word that also stands in paths: Ansible masks passwords wherever they occur in results.
PASSWORD = "a-test-phrase"
PASSWORD_HASH = (
    "$6$liveforgetests$uHROOD0KEIbdhjtmwTpl0ZgjUEpqNCYnBwUOyqz5FLitUNH4xRfGlF30YM5zlDOk.adBH8oPgEaXoHye3tnUE."
)

# Debian 12 as a repository, for tests that declare further ones.
DEBIAN = {
    "name": "debian",
    "uri": "http://deb.debian.org/debian",
    "suite": "bookworm",
    "keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
}


@contextlib.contextmanager
def fresh_folder(name: str) -> t.Iterator[pathlib.Path]:
    """A new folder on disk, gone afterwards; trees of device nodes and foreign owners do not belong into pytest's."""
    folder = CACHE / name
    remove_folder(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        remove_folder(folder)


def remove_folder(folder: pathlib.Path) -> None:
    """Remove ``folder``, if it exists, and first unmount what a run that was killed left mounted below it."""
    real = os.path.realpath(folder)
    for mount in reversed(mount_points()):
        if mount.startswith(f"{real}/"):
            # Lazily: something that survived the run may still use it.
            subprocess.run(["umount", "--lazy", mount], check=True)
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def mount_points() -> list[str]:
    """All mount points that this process sees, in the order in which they were mounted."""
    fields = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    # Blanks and the like are written as \040.
    return [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field) for field in fields]


def own_package_cache(folder: pathlib.Path) -> None:
    """Make ``folder``/cache: packages of Debian may come from the host's cache, but those made here stay out of it."""
    (folder / "cache").mkdir()
    archives = pathlib.Path("/var/cache/liveforge/archives")
    if archives.exists():
        link_tree(archives, folder / "cache/archives")


def link_tree(source: pathlib.Path, dest: pathlib.Path) -> None:
    """Make ``dest`` as a copy of hard links, or of files where the two lie on different file systems."""
    if subprocess.run(["cp", "-al", str(source), str(dest)], capture_output=True, check=False).returncode != 0:
        subprocess.run(["rm", "-rf", str(dest)], check=True)
        subprocess.run(["cp", "-a", str(source), str(dest)], check=True)


def run(command: t.Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook and wait for the end, whatever it is; what it complains about is in its output, too."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0", "COLUMNS": "400"},
    )


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run of ansible-playbook came to."""

    status: int
    output: str
    results: list[dict[str, t.Any]]

    @property
    def changed(self) -> int:
        """The number of changed tasks on all hosts, from the recap of a run that succeeded."""
        counts = re.findall(r"changed=(\d+)", self.output)
        # A run that failed early changed nothing either.
        assert self.status == 0 and counts, f"status {self.status}:\n{self.output[-4000:]}"
        return sum(map(int, counts))

    def stages(self) -> dict[str, bool]:
        """Which stages of the first image were built (or would be)."""
        return {name: stage["changed"] for name, stage in self.results[0]["stages"].items()}


def command(
    images: list[dict[str, t.Any]], folder: pathlib.Path, *arguments: str, bases: t.Sequence[dict[str, t.Any]] = ()
) -> list[str]:
    """The command line that builds ``images``; its files lie in ``folder``."""
    variables = folder / "images.json"
    variables.write_text(json.dumps({"live_images": images, "live_bases": list(bases)}))
    return [
        PROGRAM,
        str(ROOT / "playbooks" / "build-live.yml"),
        "-e",
        f"@{variables}",
        "-e",
        f"live_results={folder}/results.json",
        *arguments,
    ]


def build(
    images: list[dict[str, t.Any]],
    folder: pathlib.Path,
    *arguments: str,
    prefix: t.Sequence[str] = (),
    bases: t.Sequence[dict[str, t.Any]] = (),
) -> Run:
    """Build ``images`` and wait for the end, whatever it is.

    Args:
        images: the declarations.
        folder: for the files of this run.
        arguments: further ones for ansible-playbook.
        prefix: a command that runs the command, such as unshare.
        bases: declarations of bases that the images name.
    """
    results = folder / "results.json"
    results.unlink(missing_ok=True)
    done = run([*prefix, *command(images, folder, *arguments, bases=bases)])
    return Run(done.returncode, done.stdout, json.loads(results.read_text()) if results.exists() else [])


def module(name: str, options: dict[str, t.Any], folder: pathlib.Path) -> dict[str, t.Any]:
    """Run one module of the collection on this host and return its result, failed or not."""
    arguments = folder / f"{name}.json"
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    done = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.liveforge.images.plugins.modules.{name}", str(arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"{name} gave no result: {done.stdout}\n{done.stderr}")
    return t.cast("dict[str, t.Any]", json.loads(lines[-1]))


def small_image(name: str, workspace: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    """The smallest image that boots to a login, for tests that need any image."""
    return {
        "name": name,
        "release": "bookworm",
        "workspace": str(workspace),
        "hostname": name,
        "users": [{"name": "live", "password": PASSWORD_HASH}],
        "compression": "fast",
        "kernelcmdline": "console=tty0 console=ttyS0,115200",
        "timeout": 1,
        **options,
    }

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How live-overlay looks into file systems of others: they may belong to a hibernated system, so not a byte changes."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import subprocess
import typing as t

import pytest

import playbook

LIBRARY = playbook.ROOT / "roles/live_image/files/dracut/90live-overlay/live-overlay-lib.sh"
# The smallest that their mkfs makes, and more.
MEBIBYTES = {"ext3": 32, "ext4": 32, "xfs": 320, "btrfs": 128}
# As a power failure leaves them: with something in the journal that is nowhere else; and without such a thing, but with
# a deleted file that was open.
JOURNAL = 'echo hello > "$3/file"; sync "$3/file"; cp --sparse=always "$1" "$2"'
OPEN_FILE = """
exec 9> "$3/open"; echo hello >&9; rm "$3/open"
fsfreeze --freeze "$3"; cp --sparse=always "$1" "$2"; fsfreeze --unfreeze "$3"
"""
STATES = [(filesystem, JOURNAL) for filesystem in MEBIBYTES] + [("ext3", OPEN_FILE), ("ext4", OPEN_FILE)]


def in_private(script: str, *arguments: str | pathlib.Path) -> None:
    """Run a script by dash where nobody else sees its mounts, which end with it."""
    command = ["unshare", "--mount", "--propagation", "private", "--", "dash", "-euc", script, "dash"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def digest(path: pathlib.Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def make_unclean(filesystem: str, state: str, folder: pathlib.Path) -> pathlib.Path:
    """A file system that nobody unmounted."""
    clean, unclean, place = folder / "clean.img", folder / "unclean.img", folder / "place"
    place.mkdir()
    with open(clean, "wb") as stream:
        stream.truncate(MEBIBYTES[filesystem] << 20)
    subprocess.run([f"mkfs.{filesystem}", "-q", str(clean)], check=True)
    in_private(f'mount -o loop "$1" "$3"; {state}', clean, unclean, place)
    return unclean


@pytest.fixture(params=STATES, ids=lambda state: f"{state[0]}-{'journal' if state[1] == JOURNAL else 'open-file'}")
def unclean(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> pathlib.Path:
    return make_unclean(*request.param, tmp_path)


@pytest.fixture
def device(unclean: pathlib.Path) -> t.Iterator[str]:
    """A block device with that file system, which can be written to."""
    command = ["losetup", "--find", "--show", str(unclean)]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        yield made
    finally:
        subprocess.run(["losetup", "--detach", made], check=True)


# What the library expects of dracut.
MOUNT = f"""
getcmdline() {{ :; }}
getarg() {{ :; }}
. {LIBRARY}
live_mount_readonly "$1" "$2"
ls "$2" > /dev/null
umount "$2"
sync
"""


def test_a_file_system_that_is_looked_into_stays_as_it_is(
    device: str, unclean: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    before = digest(unclean)
    in_private(MOUNT, device, tmp_path / "found")
    assert digest(unclean) == before
    # The device of a file is read-only, so that a replay would fail instead of changing it. Another file: mount would
    # take the device that this one has already.
    twin = tmp_path / "twin.img"
    shutil.copyfile(unclean, twin)
    in_private(MOUNT, twin, tmp_path / "found")
    assert digest(twin) == before
    # There was something to write, and `ro` alone does not keep the kernel from it.
    in_private('mount -o ro "$1" "$2"; umount "$2"; sync', device, tmp_path / "found")
    assert digest(unclean) != before

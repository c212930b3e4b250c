# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What live-overlay does with file systems of others, which are mounted for real.

It looks into them without changing a byte, since they may belong to a hibernated system; a folder in one of them that
is named as the place for persistent data is used as far as it can be.
"""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import re
import shutil
import subprocess
import typing as t

import pytest

from integration.live_overlay_shell import MODULE, SOURCE

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


def in_private(script: str, *arguments: str | pathlib.Path) -> str:
    """Run a script by dash where nobody else sees its mounts, which end with it; returns what it printed."""
    command = ["unshare", "--mount", "--propagation", "private", "--", "dash", "-euc", script, "dash"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def digest(path: pathlib.Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def make_filesystem(filesystem: str, path: pathlib.Path) -> pathlib.Path:
    """A file that is a new file system."""
    with open(path, "wb") as stream:
        stream.truncate(MEBIBYTES[filesystem] << 20)
    subprocess.run([f"mkfs.{filesystem}", "-q", str(path)], check=True)
    return path


def make_unclean(filesystem: str, state: str, folder: pathlib.Path) -> pathlib.Path:
    """A file system that nobody unmounted."""
    clean, unclean, place = make_filesystem(filesystem, folder / "clean.img"), folder / "unclean.img", folder / "place"
    place.mkdir()
    in_private(f'mount -o loop "$1" "$3"; {state}', clean, unclean, place)
    return unclean


@pytest.fixture(params=STATES, ids=lambda state: f"{state[0]}-{'journal' if state[1] == JOURNAL else 'open-file'}")
def unclean(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> pathlib.Path:
    return make_unclean(*request.param, tmp_path)


@contextlib.contextmanager
def attached(path: pathlib.Path) -> t.Iterator[str]:
    """A block device with the content of a file, which can be written to."""
    command = ["losetup", "--find", "--show", str(path)]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        yield made
    finally:
        subprocess.run(["losetup", "--detach", made], check=True)


@pytest.fixture
def device(unclean: pathlib.Path) -> t.Iterator[str]:
    with attached(unclean) as made:
        yield made


# What the library expects of dracut.
MOUNT = f"""
getcmdline() {{ :; }}
getarg() {{ :; }}
. {MODULE}/live-overlay-lib.sh
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


# ---- a folder for persistent data

STORE = f"""
mount -t tmpfs none /run
{SOURCE}
live_say() {{ echo "said: $*"; }}
udevadm() {{ :; }}
open_folder() {{
    live_readonly=
    live_parameters=$2
    live_open_named_store "$1:/deep/store" || echo "problem: $live_problem"
}}
"""
FILL = """
echo precious > "$live_upper/kept"
dd if=/dev/zero "of=$live_upper/fill" bs=64k 2> /dev/null || yes > "$live_upper/fill2" 2> /dev/null || :
umount /run/overlay/place
"""


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> pathlib.Path:
    return make_filesystem("ext4", tmp_path / "disk.img")


def test_full_folder_is_shown_and_can_be_emptied(disk: pathlib.Path) -> None:
    look = """
        open_folder "$1" ""
        echo "readonly: $live_readonly, $(cat "$live_upper/kept")"
        ! touch "$live_upper/new" 2> /dev/null || echo "wrote to it"
        umount /run/overlay/place
    """
    reset = """
        open_folder "$1" rd.live.overlay.reset
        echo "readonly: $live_readonly"
        ls -A "$live_upper" "${live_upper%/*}"
    """
    with attached(disk) as device:
        said = in_private(f'{STORE}open_folder "$1" ""\n{FILL}{look}{reset}', device)
    first, second = said.split("readonly: yes, precious\n")
    assert f"said: The persistent store {device}:/deep/store is full" in first
    assert "wrote to it" not in said
    assert "readonly: \n" in second
    assert "kept" not in second and ".emptied" not in second


def test_folder_that_cannot_be_made_is_a_reason(disk: pathlib.Path) -> None:
    """A file system without one free inode."""
    fill = 'number=0; while true > "/mnt/$number"; do number=$((number + 1)); done 2> /dev/null'
    with attached(disk) as device:
        said = in_private(f'{STORE}mount "$1" /mnt; {fill}; umount /mnt; open_folder "$1" ""', device)
    assert re.search(f"problem: {device}:/deep/store cannot have the folders .*No space left", said)


def test_folder_of_a_damaged_file_system_is_not_used(disk: pathlib.Path) -> None:
    """What e2fsck may not mend without asking is left alone."""
    with attached(disk) as device:
        in_private(f'{STORE}open_folder "$1" ""\n{FILL}', device)
        # The root directory, and the mark of a file system with errors, without which e2fsck does not look.
        damage = "clri <2>\nset_super_value state 2\n"
        subprocess.run(["debugfs", "-w", "-f", "-", device], input=damage, text=True, check=True, capture_output=True)
        said = in_private(f'{STORE}open_folder "$1" ""; mountpoint /run/overlay/place || :', device)
    assert f"problem: the file system on {device} is damaged" in said
    assert "is not a mountpoint" in said

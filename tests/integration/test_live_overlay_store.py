# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the shell functions of live-overlay do to disks, by bash and by dash: files stand in for the disks.

The boot tests show the whole of it; here are the many kinds of disks for which a boot each would take too long.
"""

from __future__ import annotations

import pathlib
import random
import re
import subprocess

import pytest

from integration.live_overlay_shell import SOURCE

MIB = 1 << 20
SECTOR = 512
SIZE = 400 * MIB
# An encrypted store that is open holds its partition or file.
STILL_OPEN = "[ ! -e /dev/mapper/live-store ] || echo still open;"


class Machine:
    """A sandbox with the host's programs and the disk /dev/vdx."""

    def __init__(self, folder: pathlib.Path, shell: str) -> None:
        self.shell = shell
        self.disk = folder / "disk.img"
        self.devices = {"vdx": self.disk}
        self.sysfs = folder / "sysfs"
        (self.sysfs / "vdx" / "queue").mkdir(parents=True)
        for name, value in {"queue/logical_block_size": SECTOR, "ext_range": 256, "ro": 0}.items():
            self.attribute(f"vdx/{name}", value)
        self.resize(SIZE)

    def attribute(self, name: str, value: int) -> None:
        (self.sysfs / name).write_text(f"{value}\n")

    def resize(self, size: int) -> None:
        with open(self.disk, "ab") as stream:
            stream.truncate(size)
        self.attribute("vdx/size", size // SECTOR)

    def write(self, offset: int, content: bytes) -> None:
        with open(self.disk, "r+b") as stream:
            stream.seek(offset)
            stream.write(content)

    def table(self, kind: str, *partitions: tuple[int, int]) -> None:
        """A partition table (first sectors and counts of sectors), written over what is there; the kernel sees it."""
        lines = [f"label: {kind}", *(f"start={start}, size={count}, type=L" for start, count in partitions)]
        command = ["sfdisk", "--quiet", "--wipe", "never", "--wipe-partitions", "never", str(self.disk)]
        subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True)
        for number, (start, count) in enumerate(partitions, 1):
            self.kernel_sees(number, start, count)

    def kernel_sees(self, number: int, start: int, count: int) -> None:
        """A partition in /sys, whatever is on the disk."""
        folder = self.sysfs / "vdx" / f"vdx{number}"
        folder.mkdir()
        for name, value in {"partition": number, "start": start, "size": count}.items():
            self.attribute(f"vdx/vdx{number}/{name}", value)
        (self.sysfs / f"vdx{number}").symlink_to(f"vdx/vdx{number}")

    def run(self, script: str) -> str:
        command = ["bwrap", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/run"]
        command += ["--bind", str(self.sysfs), "/sys/class/block"]
        for name, path in self.devices.items():
            command += ["--bind", str(path), f"/dev/{name}"]
        command += [self.shell, "-c", SOURCE + script]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def new_partition(self, medium: str) -> tuple[int, int] | str:
        """First byte and size of what would be formatted, or why nothing would be: losetup comes before any writing."""
        said = self.run(f"""
            losetup() {{ echo "$*" > /run/losetup; return 1; }}
            live_medium={medium}
            said=$(live_make_partition vdx)
            if [ -e /run/losetup ]; then cat /run/losetup; else echo "$said"; fi
        """)
        found = re.fullmatch(r"--find --show --offset (\d+) --sizelimit (\d+) /dev/vdx\n", said)
        return (int(found[1]), int(found[2])) if found else said

    def resets_partition(self, programs: str) -> str:
        """Whether rd.live.overlay.reset deletes a partition with the label of a store, and why.

        Args:
            programs: functions that stand in for e2fsck and mount.
        """
        return self.run(f"""
            {programs}
            live_delete_partition() {{ {STILL_OPEN} echo "deleted: $live_problem"; exit; }}
            live_parameters=rd.live.overlay.reset
            live_medium=/dev/vdx1
            live_open_partition_store || echo "kept: $live_problem"
        """)

    def resets_file(self, programs: str) -> str:
        """The same with a file beside the ISO, whose content is that of /dev/vdx."""
        return self.run(f"""
            {programs}
            losetup() {{ [ "$1" = --detach ] || echo /dev/vdx; }}
            live_open_carrier() {{ :; }}
            live_make_store_file() {{ {STILL_OPEN} echo "deleted: $found"; exit; }}
            live_say() {{ found=$*; }}
            live_parameters=rd.live.overlay.reset
            live_medium=/dev/vdx1
            mkdir /run/overlay/isoscan
            : > /run/overlay/isoscandev
            : > /run/overlay/isoscan/live_system.cow
            live_open_file_store || echo "kept: $live_problem"
            [ -e /run/overlay/isoscan/live_system.cow ]
        """)


@pytest.fixture(params=["bash", "dash"])
def machine(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Machine:
    return Machine(tmp_path, request.param)


def make_filesystem(path: pathlib.Path, kind: str, label: str) -> None:
    """A file system on all of a file, without any files in it."""
    empty = path.with_suffix(".empty")
    empty.mkdir()
    command = {
        "ext4": ["mkfs.ext4", "-q", "-F", "-L", label, str(path)],
        "vfat": ["mkfs.vfat", "-n", label, str(path)],
        "btrfs": ["mkfs.btrfs", "-q", "-f", "-L", label, str(path)],
        "squashfs": ["mksquashfs", str(empty), str(path), "-noappend", "-quiet", "-no-progress"],
    }[kind]
    size = path.stat().st_size
    subprocess.run(command, check=True, capture_output=True)
    with open(path, "ab") as stream:
        stream.truncate(size)


def write_iso(machine: Machine) -> int:
    """An ISO at the start of the disk, which is not hybrid; returns its size in whole MiB."""
    tree, iso = machine.disk.with_suffix(".tree"), machine.disk.with_suffix(".iso")
    tree.mkdir()
    (tree / "data").write_bytes(random.Random(1).randbytes(20 * MIB))
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-V", "LIVE", "-o", str(iso), str(tree)]
    subprocess.run(command, check=True, capture_output=True)
    content = iso.read_bytes()
    machine.write(0, content)
    end = int.from_bytes(content[32848:32852], "little") * 2048
    assert 20 * MIB < end <= len(content)
    return (end + MIB - 1) // MIB


# ---- a partition for persistent data


@pytest.mark.parametrize(
    ("filesystem", "table"),
    [
        ("ext4", None),
        ("ext4", "boot sector"),
        ("ext4", "partition"),
        ("btrfs", "partition"),
        ("vfat", None),
        ("squashfs", None),
    ],
)
def test_file_system_on_the_whole_disk_is_not_formatted(filesystem: str, table: str | None, machine: Machine) -> None:
    """Not even when its first sector looks like a partition table, as a boot loader's may."""
    make_filesystem(machine.disk, filesystem, "WHOLE")
    if table == "boot sector":
        machine.write(510, b"\x55\xaa")
    elif table == "partition":
        machine.table("dos", (2048, 2048))
    said = machine.new_partition("/dev/vdx")
    assert said == f"/dev/vdx as a whole holds {filesystem}, which leaves no room for a partition\n"


@pytest.mark.parametrize("kind", ["gpt", "dos"])
def test_partition_lies_behind_the_iso(kind: str, machine: Machine) -> None:
    """Behind all of it, although its only partition ends before; a GPT still has its copy where the ISO ends."""
    machine.resize(32 * MIB)
    end = write_iso(machine)
    machine.table(kind, (2048, 4096))
    machine.resize(SIZE)
    for medium in ("/dev/vdx", "/dev/vdx1"):
        assert machine.new_partition(medium) == (end * MIB, SIZE - (end + 1) * MIB)


def test_iso_without_partition_table_is_left_alone(machine: Machine) -> None:
    write_iso(machine)
    said = machine.new_partition("/dev/vdx")
    assert said == "/dev/vdx has no partition table (GPT or MBR) that could take another partition\n"


@pytest.mark.parametrize("kind", ["gpt", "dos"])
def test_partition_lies_behind_the_last_one(kind: str, machine: Machine) -> None:
    """Other bytes where an ISO has its size mean nothing."""
    machine.table(kind, (2048, 2048), (40960, 40960))
    machine.write(32848, b"\xff\xff\xff\x7f")
    assert machine.new_partition("/dev/vdx1") == (40 * MIB, SIZE - 41 * MIB)


@pytest.mark.parametrize("kind", ["gpt", "dos"])
def test_partition_lies_behind_what_the_kernel_uses(kind: str, machine: Machine) -> None:
    """The kernel may know a partition that is not, or no longer, in the table."""
    machine.table(kind, (2048, 2048))
    machine.kernel_sees(2, 100 * MIB // SECTOR, 50 * MIB // SECTOR)
    assert machine.new_partition("/dev/vdx1") == (150 * MIB, SIZE - 151 * MIB)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("dos", "/dev/vdx has 0 MiB left behind its last partition"), ("gpt", "/dev/vdx has no partition table")],
)
def test_disk_that_is_smaller_than_its_table_says(kind: str, reason: str, machine: Machine) -> None:
    machine.table(kind, (2048, 2048), (4096, 300 * MIB // SECTOR))
    machine.resize(SIZE // 2)
    assert str(machine.new_partition("/dev/vdx1")).startswith(reason)


def test_disk_without_anything_that_could_have_been_booted(machine: Machine) -> None:
    machine.table("dos")
    assert machine.new_partition("/dev/vdx") == (
        "/dev/vdx as a whole holds no ISO, which leaves no room for a partition\n"
    )


def test_logical_volume_gets_no_partition(machine: Machine) -> None:
    """Even when an ISO was written to it, with its table."""
    machine.table("dos", (2048, 2048))
    machine.attribute("vdx/ext_range", 1)
    assert machine.new_partition("/dev/vdx") == "/dev/vdx is not a disk that can have partitions\n"


# ---- rd.live.overlay.reset

DAMAGED = "e2fsck() { echo bad; return 4; }"
ANOTHER_IMAGE = """
    e2fsck() { :; }
    umount() { :; }
    mount() { mkdir -p "$live_store/rw" "$live_store/work"; echo OTHER > "$live_store/live-image"; }
"""
NO_FOLDERS = "e2fsck() { :; }; mount() { :; }; umount() { :; }"
DAMAGED_INSIDE = """
    live_tag_of() {
        case "$*" in
            /dev/vdx[12]*) ;;
            /dev/vdx*TYPE) echo crypto_LUKS ;;
            /dev/vdx*LABEL) echo lukscow ;;
            *TYPE) echo ext4 ;;
            *LABEL) echo cow ;;
        esac
    }
    live_open_encrypted() { mkdir /dev/mapper; : > /dev/mapper/live-store; }
    cryptsetup() { [ "$*" != "close live-store" ] || rm /dev/mapper/live-store; }
    e2fsck() { echo bad; return 4; }
"""
RESETS = [
    ("ext4", "cow", DAMAGED, "deleted: ", "is damaged"),
    ("ext4", "lukscow", DAMAGED_INSIDE, "deleted: ", "is damaged"),
    ("vfat", "cow", DAMAGED, "kept: ", "holds vfat"),
    ("ext4", "cow", ANOTHER_IMAGE, "kept: ", "holds the data of the image OTHER"),
    ("ext4", "cow", NO_FOLDERS, "kept: ", "is not a persistent store"),
]


@pytest.mark.parametrize(("filesystem", "label", "programs", "what", "reason"), RESETS)
def test_reset_replaces_no_partition_but_a_store(
    filesystem: str, label: str, programs: str, what: str, reason: str, machine: Machine, tmp_path: pathlib.Path
) -> None:
    """What happens to have the label of a store, but is none, or another image's, stays; a damaged store does not."""
    machine.table("dos", (2048, 2048), (4096, 2048), (8192, 32768))
    for number, mebibytes in ((1, 1), (2, 1), (3, 16)):
        part = tmp_path / f"part{number}.img"
        with open(part, "wb") as stream:
            stream.truncate(mebibytes * MIB)
        machine.devices[f"vdx{number}"] = part
    make_filesystem(machine.devices["vdx3"], filesystem, label)
    said = machine.resets_partition(programs)
    assert said.startswith(what)
    assert reason in said


@pytest.mark.parametrize(
    ("filesystem", "label", "programs", "what", "reason"),
    [*RESETS, ("ext4", "DATA", DAMAGED, "kept: ", "is damaged")],
)
def test_reset_replaces_no_file_but_a_store(
    filesystem: str, label: str, programs: str, what: str, reason: str, machine: Machine
) -> None:
    machine.resize(16 * MIB)
    make_filesystem(machine.disk, filesystem, label)
    said = machine.resets_file(programs)
    assert said.startswith(what)
    assert reason in said


# ---- which store


def test_none_wins_over_a_store_with_another_name(machine: Machine) -> None:
    """The menu of an image may name a store by `rd.overlay=`; one parameter must start without it."""
    said = machine.run("""
        live_parameters="rd.overlay=LABEL=DATA rd.live.overlay="
        getarg() {
            case $1 in
                rd.overlay=) echo LABEL=DATA ;;
                rd.live.overlay=) echo "$wanted" ;;
                *) return 1 ;;
            esac
        }
        for wanted in '' none; do echo "$wanted: $(live_wanted_store)"; done
    """)
    assert said == ": named LABEL=DATA\nnone: \n"


# ---- passphrases


@pytest.mark.parametrize("traced", [True, False])
def test_passphrase_is_used_and_not_traced(traced: bool, machine: Machine) -> None:
    """A new one, then the same for a store that exists; the trace goes on after each, if there was one."""
    said = machine.run(f"""
        plymouth() {{ [ "$1" = --ping ] || printf '%s' 'correct battery staple'; }}
        cryptsetup() {{ cat /run/overlay/key >> /run/used && echo / >> /run/used; }}
        modprobe() {{ :; }}
        exec 2> /run/trace
        {"set -x" if traced else ":"}
        live_encrypt /dev/vdx || : failed
        : after the first
        rm /run/overlay/key
        live_open_encrypted /dev/vdx || : failed
        : after the second
        set +x
        cat /run/used /run/trace
    """)
    phrase = "correct battery staple/\n"
    # To format, to open, and to open what exists.
    assert said.startswith(3 * phrase)
    trace = said.removeprefix(3 * phrase)
    assert "battery" not in trace
    assert "failed" not in trace
    for line in ("after the first", "cryptsetup open", "after the second"):
        assert (line in trace) == traced

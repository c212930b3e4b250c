# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every feature of our dracut module live-overlay, looked at from inside the booted guest."""

from __future__ import annotations

import pathlib
import re
import subprocess
import typing as t

import pytest

import playbook
from boot import feature_images, network_servers, variants
from boot.feature_images import (
    FALLBACK,
    HEALTH,
    MIB,
    STATUS,
    FeatureImage,
    disk_with_files,
    status,
    stick_with_file,
)

WRITE = "echo {} | sudo tee /etc/kept && sync"
READ = "cat /etc/kept"
SPACE = "df --output=size -BM / | tail -n 1"
NEW = "rd.live.overlay.persistent"
PASSPHRASE = "correct battery staple"
# With large blocks first; then to the last byte.
FILL = ("sudo dd if=/dev/zero of=/var/fill bs=64k; sync", "sudo sh -c 'yes > /var/fill2'; sync")
LOGIN = {"name": "login prompt", "pattern": "login: "}
OVERLAY_12 = variants.Variant("bookworm", "overlay", "squashfs")


@pytest.fixture(scope="module")
def bookworm() -> FeatureImage:
    return feature_images.build("bookworm")


@pytest.fixture(scope="module")
def trixie() -> FeatureImage:
    return feature_images.build("trixie")


@pytest.fixture(scope="module")
def sid() -> FeatureImage:
    return feature_images.build("sid")


def partitions(disk: pathlib.Path) -> list[tuple[int, int]]:
    """First byte and size of each partition."""
    text = subprocess.run(["sfdisk", "--dump", str(disk)], check=True, capture_output=True, text=True).stdout
    return [(int(a) * 512, int(b) * 512) for a, b in re.findall(r"start= *(\d+), size= *(\d+)", text)]


def with_partition(disk: pathlib.Path, number: int, command: list[str], status: int = 0) -> str:
    """Run a command on a partition, put into a file of its own meanwhile."""
    start, size = partitions(disk)[number - 1]
    part = disk.with_suffix(".part")
    for source, target, more in ((disk, part, [f"skip={start}"]), (part, disk, [f"seek={start}"])):
        flags = ["iflag=skip_bytes,count_bytes", "oflag=seek_bytes", "conv=notrunc,sparse"]
        if source is part:
            done = subprocess.run([*command, str(part)], capture_output=True, text=True, check=False)
            assert done.returncode == status, done.stderr
        subprocess.run(
            ["dd", f"if={source}", f"of={target}", "bs=1M", f"count={size}", "status=none", *flags, *more], check=True
        )
    part.unlink()
    return done.stdout + done.stderr


def damage_inodes(disk: pathlib.Path, start: int, layout: str) -> None:
    """Damage an ext4 file system: superblock and group descriptors stay, the first inodes do not.

    Args:
        disk: that holds it.
        start: its first byte there.
        layout: what dumpe2fs says of it.
    """
    table = int(re.search(r"Inode table at (\d+)-", layout)[1])  # type: ignore[index]
    block = int(re.search(r"Block size: +(\d+)", layout)[1])  # type: ignore[index]
    with open(disk, "r+b") as stream:
        stream.seek(start + table * block)
        stream.write(b"\xff" * (8 * block))


def disk_for_data(path: pathlib.Path, mebibytes: int) -> dict[str, t.Any]:
    """Make a disk that is one ext4 with the label DATA; returns the options of a boot from another disk beside it."""
    with open(path, "wb") as stream:
        stream.truncate(mebibytes * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-L", "DATA", str(path)], check=True)
    return {"media": "disk", "disks": [{"path": str(path), "snapshot": False}], "snapshot": True}


# ---- temporary overlay, sources


@pytest.mark.full
def test_overlay_size_is_percent_or_mebibytes(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.overlay.size`: MiB, percent of memory; what is neither gives half of the memory and a reason."""
    said = bookworm.boot(tmp_path, f"{bookworm.root} rd.live.overlay.size=300", [SPACE, STATUS])["said"]
    assert said[0].strip() == "300M"
    assert status(said[1])["overlay"] == "temporary"
    said = bookworm.boot(tmp_path, f"rd.live.overlay.size=much {bookworm.root}", [SPACE, FALLBACK])["said"]
    assert 900 < int(said[0].strip().rstrip("M")) < 1024, "half of 2 GiB"
    assert "rd.live.overlay.size=much" in said[1]


@pytest.mark.full
@pytest.mark.parametrize("place", ["LABEL", "UUID", "device"])
def test_medium_by(place: str, bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`root=live:LABEL=`, `UUID=`, `/dev/...`."""
    uuid = subprocess.run(
        ["blkid", "-p", "-o", "value", "-s", "UUID", str(bookworm.iso)], check=True, capture_output=True, text=True
    ).stdout.strip()
    spec = {"LABEL": f"LABEL={bookworm.volid}", "UUID": f"UUID={uuid}", "device": "/dev/vda"}[place]
    said = bookworm.boot(tmp_path, f"root=live:{spec}", [STATUS, HEALTH], media="disk", snapshot=True)["said"]
    assert status(said[0]) == {"medium": "/dev/vda1", "overlay": "temporary"}
    assert said[1] == "running"


@pytest.mark.full
@pytest.mark.parametrize("filesystem", ["erofs", "xfs", "btrfs", "ext2"])
def test_root_file_systems_in_another_place(filesystem: str, bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.dir`, `rd.live.squashimg`: any root that live_squashfs makes, on a plain ISO, even CD only."""
    folder = tmp_path / "iso" / "elsewhere"
    folder.mkdir(parents=True)
    options = {"root": str(bookworm.folder / "rootfs"), "filesystem": filesystem, "dest": str(folder / "root.img")}
    packed = playbook.module("live_squashfs", {**options, "compression": "fast"}, tmp_path)
    assert not packed.get("failed"), packed["msg"]
    for beside in folder.glob("root.img.*"):
        beside.unlink()
    iso = tmp_path / "other.iso"
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-V", "OTHER", "-o", str(iso), str(tmp_path / "iso")]
    subprocess.run(command, check=True, capture_output=True)
    parameters = "rd.live.squashimg=root.img root=live:CDLABEL=OTHER rd.live.dir=elsewhere"
    commands = ["findmnt -no FSTYPE /run/overlay/rootfsbase", "findmnt -no FSTYPE /", HEALTH]
    said = bookworm.boot(tmp_path, parameters, commands, image=iso, media="cdrom")["said"]
    assert said == [filesystem, "overlay", "running"]


@pytest.mark.full
def test_two_media_with_one_label(bookworm: FeatureImage, trixie: FeatureImage, tmp_path: pathlib.Path) -> None:
    """The image that the kernel belongs to is taken, by rd.live.mbrid=; without it, the console says which."""
    other = tmp_path / "other.img"
    command = ["xorriso", "-no_rc", "-indev", str(trixie.iso), "-outdev", str(other), "-volid", bookworm.volid]
    subprocess.run([*command, "-boot_image", "any", "replay"], check=True, capture_output=True)
    number = next(line for line in _grub_menu(bookworm).split() if line.strip("'").startswith("rd.live.mbrid="))
    disks = [{"path": str(bookworm.iso), "readonly": True}]
    options = {"image": other, "media": "disk", "disks": disks}
    said = bookworm.boot(tmp_path, f"{bookworm.root} {number.strip(chr(39))}", [STATUS], **options)["said"]
    assert status(said[0])["medium"] == "/dev/vdb1"
    choice = r"Several media fit root=live:CDLABEL=\S+: /dev/vda1 /dev/vdb1\. Taking /dev/vda1"
    expect = [{"name": "choice", "pattern": choice}]
    result = bookworm.boot(tmp_path, bookworm.root, login=None, expect=expect, cut=True, **options)
    assert "choice" in result["milestones"]


def _grub_menu(image: FeatureImage) -> str:
    command = ["xorriso", "-no_rc", "-osirrox", "on", "-indev", str(image.iso)]
    command += ["-concat", "append", "-", "/boot/grub/grub.cfg"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.full
def test_device_mapper_snapshot(trixie: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.overlay.overlayfs=0` with a file system image: / is that file system, written to in memory."""
    said = trixie.boot(
        tmp_path,
        f"{trixie.root} rd.live.overlay.overlayfs=0",
        ["findmnt -no SOURCE,FSTYPE /", WRITE.format("snapshot"), READ, HEALTH, STATUS],
    )["said"]
    assert said[0].split() == ["/dev/mapper/live-rw", "ext4"]
    assert said[2:4] == ["snapshot", "running"]
    assert status(said[4])["overlay"] == "device-mapper"


@pytest.mark.full
@pytest.mark.parametrize("name", ["bookworm", "trixie"])
def test_initrd_without_systemd(name: str, tmp_path: pathlib.Path) -> None:
    image = feature_images.build(f"{name}-without-systemd")
    disk = image.copy_to_disk(tmp_path / "disk.img", 700)
    result = image.boot(tmp_path, f"{image.root} {NEW}", [STATUS, HEALTH], image=disk, media="disk")
    assert status(result["said"][0])["overlay"] == "persistent"
    assert result["said"][1] == "running"
    assert result["powered_off"]


# ---- memory


def test_root_in_memory_lets_the_cd_go(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.ram`: after the copy the CD can be ejected, and every file is still there."""
    result = bookworm.boot(
        tmp_path,
        f"rd.live.ram {bookworm.root}",
        [
            STATUS,
            # Opening the drive would close its tray again.
            "echo 0 | sudo tee /proc/sys/dev/cdrom/autoclose; sudo eject /dev/sr0; sudo head -c 1 /dev/sr0 2>&1",
            "echo 3 | sudo tee /proc/sys/vm/drop_caches; sudo tar -C /usr -c . | wc -c",
            HEALTH,
        ],
    )
    said = result["said"]
    assert status(said[0])["memory"] == "yes"
    assert "No medium found" in said[1]
    assert int(said[2].split()[-1]) > 100 * MIB
    assert said[3] == "running"
    assert "Copying to memory: 100 %" in result["console"]
    assert result["powered_off"]


@pytest.mark.full
def test_too_little_memory_runs_from_the_medium(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """512 MB and `rd.live.ram`: boots from the CD, and says why."""
    result = bookworm.boot(tmp_path, f"{bookworm.root} rd.live.ram", [STATUS, FALLBACK, HEALTH], memory=512)
    assert "memory" not in status(result["said"][0])
    assert re.search(r"rd\.live\.ram: copying \d+ MiB would leave -?\d+ MiB of memory", result["said"][1])
    assert result["said"][2] == "running"


# ---- persistence in a partition


def test_new_partition_keeps_data_over_power_cuts(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.overlay.persistent` on a GPT disk: a partition is made once; media check, reset, readonly; RAM."""
    disk = bookworm.copy_to_disk(tmp_path / "disk.img", 1024)
    first = bookworm.boot(
        tmp_path, f"{bookworm.root} {NEW}", [STATUS, WRITE.format("first"), HEALTH], image=disk, media="disk", cut=True
    )
    assert status(first["said"][0]) == {"medium": "/dev/vda1", "store": "/dev/vda3", "overlay": "persistent"}
    assert first["said"][2] == "running"
    assert len(partitions(disk)) == 3
    # As a USB stick; the media check must pass although the partition table has changed.
    again = bookworm.boot(
        tmp_path,
        f"{NEW} mediacheck=1 {bookworm.root}",
        [STATUS, READ, WRITE.format("second")],
        image=disk,
        media="usb",
    )
    assert status(again["said"][0]) == {
        "medium": "/dev/sda1", "mediacheck": "passed", "store": "/dev/sda3", "overlay": "persistent"
    }  # fmt: skip
    assert again["said"][1] == "first"
    assert again["powered_off"]
    assert len(partitions(disk)) == 3
    # Write-protected, it still shows its data.
    options = {"attached": False, "disks": [{"path": str(disk), "interface": "usb", "readonly": True}]}
    protected = bookworm.boot(tmp_path, f"{bookworm.root} {NEW}", [STATUS, READ, FALLBACK, HEALTH], **options)["said"]
    assert status(protected[0])["overlay"] == "readonly"
    assert protected[1] == "second"
    assert "write-protected" in protected[2]
    assert protected[3] == "running"
    assert "clean" in with_partition(disk, 3, ["e2fsck", "-n"])
    assert "needs_recovery" not in with_partition(disk, 3, ["dumpe2fs", "-h"]), "the shutdown left a dirty journal"


@pytest.mark.full
def test_readonly_and_reset(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.overlay.readonly` shows the data and writes nothing, `rd.overlay=none` does not even look, and
    `rd.live.overlay.reset` empties the store."""
    disk = bookworm.copy_to_disk(tmp_path / "disk.img", 1024)
    options = {"image": disk, "media": "disk"}
    bookworm.boot(tmp_path, f"{bookworm.root} {NEW}", [WRITE.format("first")], **options)
    before = disk.read_bytes()
    said = bookworm.boot(
        tmp_path, f"rd.live.overlay.readonly {NEW} {bookworm.root}", [READ, WRITE.format("lost"), STATUS], **options
    )["said"]
    assert said[0] == "first"
    assert status(said[2])["overlay"] == "readonly"
    said = bookworm.boot(tmp_path, f"rd.overlay=none {NEW} {bookworm.root}", [STATUS], **options)["said"]
    assert status(said[0])["overlay"] == "temporary"
    assert disk.read_bytes() == before, "something was written"
    said = bookworm.boot(
        tmp_path, f"{bookworm.root} {NEW} rd.live.overlay.reset", ["test -e /etc/kept; echo $?", STATUS], **options
    )["said"]
    assert said[0] == "1"
    assert status(said[1])["overlay"] == "persistent"


@pytest.mark.full
@pytest.mark.parametrize(("name", "filesystem"), [("bookworm", "xfs"), ("sid", "btrfs"), ("sid", "ext4")])
def test_filesystem_and_size_of_the_partition(name: str, filesystem: str, tmp_path: pathlib.Path) -> None:
    """`rd.live.overlay.cowfs` and `rd.live.overlay.persistent.size`; sid's image has an MBR, bookworm's a GPT."""
    image = feature_images.build(name)
    disk = image.copy_to_disk(tmp_path / "disk.img", 1500)
    parameters = f"{image.root} {NEW} rd.live.overlay.cowfs={filesystem} rd.live.overlay.persistent.size=400"
    commands = [STATUS, WRITE.format("kept"), "findmnt -no FSTYPE /run/overlay/overlayfs", HEALTH]
    said = image.boot(tmp_path, parameters, commands, image=disk, media="disk")["said"]
    assert status(said[0])["overlay"] == "persistent"
    assert said[2:] == [filesystem, "running"]
    assert partitions(disk)[2][1] == 400 * MIB
    said = image.boot(tmp_path, f"{image.root} {NEW}", [READ], image=disk, media="disk")["said"]
    assert said[0] == "kept"


@pytest.mark.full
def test_new_partition_on_an_nvme_disk(trixie: FeatureImage, tmp_path: pathlib.Path) -> None:
    """Partitions of an NVMe disk have another kind of name."""
    disk = trixie.copy_to_disk(tmp_path / "disk.img", 700)
    options = {"attached": False, "disks": [{"path": str(disk), "interface": "nvme", "snapshot": False}]}
    said = trixie.boot(tmp_path, f"{trixie.root} {NEW}", [STATUS, WRITE.format("kept")], **options)["said"]
    assert status(said[0])["store"] == "/dev/nvme0n1p3"
    assert trixie.boot(tmp_path, f"{trixie.root} {NEW}", [READ], **options)["said"] == ["kept"]


@pytest.mark.full
def test_only_the_boot_disk_is_touched(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """A file system labelled cow on another disk is not taken, and nothing is written to it."""
    disk = bookworm.copy_to_disk(tmp_path / "disk.img", 1024)
    other = tmp_path / "other.img"
    with open(other, "wb") as stream:
        stream.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-L", "cow", str(other)], check=True)
    before = other.read_bytes()
    said = bookworm.boot(
        tmp_path,
        f"{bookworm.root} {NEW}",
        [STATUS],
        image=disk,
        media="disk",
        disks=[{"path": str(other), "snapshot": False}],
    )["said"]
    assert status(said[0])["store"] == "/dev/vda3"
    assert other.read_bytes() == before


@pytest.mark.full
@pytest.mark.parametrize("fault", ["cdrom", "no-room", "write-protected", "wrong-cowfs", "foreign"])
def test_no_persistence_says_why(fault: str, bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """What cannot be used is left alone; the reason is on the console and in /run/overlay/fallback."""
    size = (bookworm.iso.stat().st_size + MIB - 1) // MIB
    disk = bookworm.copy_to_disk(tmp_path / "disk.img", size + (20 if fault == "no-room" else 400))
    parameters, reason, options = f"{bookworm.root} {NEW}", "", {"image": disk, "media": "disk"}
    match fault:
        case "cdrom":
            options, reason = {}, "started from a CD or DVD"
        case "no-room":
            reason = r"MiB left behind its last partition, and a persistent store takes at least 64 MiB"
        case "write-protected":
            options = {"image": bookworm.iso, "media": "cdrom", "disks": [{"path": str(disk), "readonly": True}]}
            options["append"] = f"console=ttyS0,115200 root=live:/dev/vda {NEW}"
            reason = "/dev/vda is write-protected"
        case "wrong-cowfs":
            parameters += " rd.live.overlay.cowfs=btrfs"
            reason = "this image cannot make btrfs file systems"
        case "foreign":
            subprocess.run(["sfdisk", "-q", "--append", str(disk)], input="type=L\n", text=True, check=True)
            with_partition(disk, 3, ["mkfs.vfat", "-n", "cow"])
            # Which would replace a store.
            parameters += " rd.live.overlay.reset"
            reason = "holds vfat, and an overlay needs ext4, xfs or btrfs"
    before = subprocess.run(["sha256sum", str(disk)], capture_output=True, check=True).stdout
    result = bookworm.boot(tmp_path, parameters, [STATUS, FALLBACK, HEALTH], **options)
    assert status(result["said"][0])["overlay"] == "temporary"
    assert re.search(reason, result["said"][1])
    assert re.search("live-overlay: No persistent data: .*" + reason, result["console"])
    assert result["said"][2] == "running"
    assert subprocess.run(["sha256sum", str(disk)], capture_output=True, check=True).stdout == before


@pytest.mark.full
@pytest.mark.parametrize("filesystem", ["ext4", "vfat"])
def test_medium_without_partition_table_stays_whole(
    filesystem: str, bookworm: FeatureImage, tmp_path: pathlib.Path
) -> None:
    """The live files on a file system that takes the whole disk: not a byte of it changes, and the console says why."""
    disk = disk_with_files(bookworm, tmp_path / "disk.img", filesystem)
    before = subprocess.run(["sha256sum", str(disk)], capture_output=True, check=True).stdout
    commands = [STATUS, FALLBACK, HEALTH]
    result = bookworm.boot(tmp_path, f"root=live:LABEL=WHOLE {NEW}", commands, image=disk, media="disk")
    assert subprocess.run(["sha256sum", str(disk)], capture_output=True, check=True).stdout == before
    assert status(result["said"][0]) == {"medium": "/dev/vda", "overlay": "temporary"}
    reason = f"No persistent data: /dev/vda as a whole holds {filesystem}, which leaves no room for a partition"
    assert reason in result["said"][1]
    assert f"live-overlay: {reason}" in result["console"]
    assert result["said"][2] == "running"


@pytest.mark.full
def test_damaged_and_full_stores(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """A full store shows its data, a damaged one is left alone unless a new one is asked for; all say so."""
    disk = bookworm.copy_to_disk(tmp_path / "disk.img", 500)
    options = {"image": disk, "media": "disk"}
    bookworm.boot(tmp_path, f"{bookworm.root} {NEW}", [WRITE.format("kept"), *FILL], cut=True, **options)
    said = bookworm.boot(tmp_path, f"{bookworm.root} {NEW}", [STATUS, FALLBACK, READ, HEALTH], **options)["said"]
    assert status(said[0])["overlay"] == "readonly"
    assert "is full" in said[1]
    assert said[2:] == ["kept", "running"]
    start, dummy = partitions(disk)[2]
    damage_inodes(disk, start, with_partition(disk, 3, ["dumpe2fs"]))
    said = bookworm.boot(tmp_path, f"{bookworm.root} {NEW}", [STATUS, FALLBACK, HEALTH], **options)["said"]
    assert status(said[0])["overlay"] == "temporary"
    assert "is damaged" in said[1]
    assert said[2] == "running"
    said = bookworm.boot(tmp_path, f"{bookworm.root} {NEW} rd.overlay.reset", [STATUS, HEALTH], **options)["said"]
    assert status(said[0])["overlay"] == "persistent"
    assert said[1] == "running"


@pytest.mark.full
@pytest.mark.parametrize("place", ["partition", "file"])
def test_power_cut_while_the_store_is_made(place: str, bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """What the first start left half made is not trusted: the next one makes a whole store."""
    parameters = f"{bookworm.root} {NEW}"
    if place == "partition":
        image = bookworm.copy_to_disk(tmp_path / "disk.img", 1500)
    else:
        image = stick_with_file(bookworm, tmp_path / "stick.img", "ext4", 1200)
        parameters += " iso-scan/filename=/isos/live.iso"
    expect = [{"name": "making", "pattern": "Making an ext4 file system"}]
    bookworm.boot(tmp_path, parameters, image=image, media="disk", login=None, expect=expect, cut=True)
    if place == "partition":
        assert len(partitions(image)) == 2
    said = bookworm.boot(tmp_path, parameters, [STATUS, HEALTH], image=image, media="disk")["said"]
    assert status(said[0])["overlay"] == "persistent"
    assert said[1] == "running"


# ---- persistence in a file, iso-scan


@pytest.mark.parametrize(
    "filesystem",
    ["vfat", *(pytest.param(f, marks=pytest.mark.full) for f in ("ext4", "btrfs", "xfs", "exfat", "ntfs"))],
)
def test_file_beside_the_iso_keeps_data(filesystem: str, tmp_path: pathlib.Path) -> None:
    """`iso-scan/filename=` with `rd.live.overlay.persistent`: a cow file, its path and size, kept over a power cut."""
    # Debian 12's kernel has no ntfs3.
    image = feature_images.build("trixie" if filesystem == "ntfs" else "bookworm")
    stick = stick_with_file(image, tmp_path / "stick.img", filesystem, 1100)
    parameters = f"{NEW} iso-scan/filename=/isos/live.iso {image.root} rd.live.cowfile.mbsize=200"
    if filesystem != "vfat":
        parameters += " rd.live.cowfile.path=data/my.cow rd.live.cowfile.sparse"
    name = "live_system.cow" if filesystem == "vfat" else "data/my.cow"
    commands = [STATUS, WRITE.format("first"), f"stat -c %s /run/overlay/isoscan/{name}", HEALTH]
    options = {"image": stick, "media": "usb"}
    said = image.boot(tmp_path, parameters, commands, cut=True, **options)["said"]
    assert status(said[0])["store"] == f"isoscan/{name}"
    assert said[2:] == [str(200 * MIB), "running"]
    result = image.boot(tmp_path, parameters, [STATUS, READ], **options)
    assert status(result["said"][0])["overlay"] == "persistent"
    assert result["said"][1] == "first"
    assert result["powered_off"]


@pytest.mark.full
def test_full_stick_with_the_iso(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """An ISO file on a vfat stick without room for a cow file."""
    size = bookworm.iso.stat().st_size // MIB + 60
    stick = stick_with_file(bookworm, tmp_path / "stick.img", "vfat", size)
    parameters = f"{NEW} iso-scan/filename=/isos/live.iso {bookworm.root}"
    said = bookworm.boot(tmp_path, parameters, [FALLBACK, HEALTH], image=stick, media="usb")["said"]
    assert re.search(r"has \d+ MiB free, and the file for persistent data takes 500 MiB", said[0])
    assert said[1] == "running"


@pytest.mark.full
def test_file_that_vfat_cannot_hold(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """Its files end before 4 GiB, however large the stick is."""
    stick = stick_with_file(bookworm, tmp_path / "stick.img", "vfat", 6000)
    parameters = f"{NEW} rd.live.cowfile.mbsize=4096 iso-scan/filename=/isos/live.iso {bookworm.root}"
    said = bookworm.boot(tmp_path, parameters, [FALLBACK, STATUS], image=stick, media="usb")["said"]
    assert "files on vfat are smaller than 4096 MiB (rd.live.cowfile.mbsize=4096)" in said[0]
    assert status(said[1])["overlay"] == "temporary"


@pytest.mark.full
@pytest.mark.parametrize("filesystem", ["vfat", "ext4", "btrfs"])
def test_iso_file_in_memory_releases_the_stick(filesystem: str, trixie: FeatureImage, tmp_path: pathlib.Path) -> None:
    stick = stick_with_file(trixie, tmp_path / "stick.img", filesystem, 800)
    parameters = f"iso-scan/filename=isos/live.iso rd.live.ram {trixie.root}"
    commands = [STATUS, "findmnt -n /run/overlay/isoscan; echo $?", HEALTH]
    # As a disk: a CD has sectors of 2048 bytes, in which no vfat of a stick can be read.
    said = trixie.boot(tmp_path, parameters, commands, image=stick, media="usb")
    assert said["said"][1:] == ["1", "running"]


@pytest.mark.full
@pytest.mark.parametrize(
    "word", ["rd.live.overlay=LABEL=DATA", "rd.live.overlay=/dev/vdb:/deep/store/", "rd.overlay=LABEL=DATA"]
)
def test_named_store(word: str, bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """dracut's names: `rd.live.overlay=DEVICE[:PATH]` and `rd.overlay=`."""
    options = disk_for_data(tmp_path / "data.img", 200)
    parameters = f"{word} {bookworm.root}"
    bookworm.boot(tmp_path, parameters, [WRITE.format("named")], cut=True, **options)
    said = bookworm.boot(tmp_path, parameters, [READ, STATUS], **options)["said"]
    assert said[0] == "named"
    assert status(said[1])["overlay"] == "persistent"


@pytest.mark.full
def test_named_folder_that_is_full_or_damaged(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """Its data is shown when nothing can be written, it can be emptied, and a damaged file system is left alone."""
    data = tmp_path / "data.img"
    options = disk_for_data(data, 64)
    parameters = f"rd.live.overlay=LABEL=DATA:/deep/store {bookworm.root}"
    bookworm.boot(tmp_path, parameters, [WRITE.format("kept"), *FILL], cut=True, **options)
    said = bookworm.boot(tmp_path, parameters, [STATUS, FALLBACK, READ, HEALTH], **options)["said"]
    assert status(said[0])["overlay"] == "readonly"
    assert "/dev/vdb:/deep/store is full" in said[1]
    assert said[2:] == ["kept", "running"]
    commands = [STATUS, f"{READ} 2>&1", "df --output=pcent /run/overlay/place | tail -n 1", HEALTH]
    said = bookworm.boot(tmp_path, f"{parameters} rd.live.overlay.reset", commands, **options)["said"]
    assert status(said[0])["overlay"] == "persistent"
    assert "No such file" in said[1]
    assert int(said[2].strip().rstrip("%")) < 50, "what was there still takes room"
    assert said[3] == "running"
    layout = subprocess.run(["dumpe2fs", str(data)], check=True, capture_output=True, text=True).stdout
    damage_inodes(data, 0, layout)
    said = bookworm.boot(tmp_path, parameters, [STATUS, FALLBACK, HEALTH], **options)["said"]
    assert status(said[0])["overlay"] == "temporary"
    assert "the file system on /dev/vdb is damaged" in said[1]
    assert said[2] == "running"


# ---- encryption


@pytest.mark.full
def test_encrypted_partition(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.overlay.crypt=luks2`: set up with a passphrase; three wrong ones give a temporary overlay. The trace of
    `rd.live.debug` is root's alone, and has what comes after the questions, but no passphrase."""
    disk = bookworm.copy_to_disk(tmp_path / "disk.img", 700)
    parameters = f"{bookworm.root} {NEW} rd.live.overlay.crypt=luks2 rd.live.debug"
    # Counted in the guest by one word of the passphrase: the console must not show all of it.
    trace = "sudo sh -c 'cd /run/overlay; stat -c %a trace; grep -c live-store trace; grep -c battery trace'"
    options = {"image": disk, "media": "disk"}
    new = [
        {"name": "new", "pattern": "New passphrase:", "send": PASSPHRASE},
        {"name": "again", "pattern": "The same again:", "send": PASSPHRASE},
        LOGIN,
    ]
    said = bookworm.boot(tmp_path, parameters, [STATUS, trace, WRITE.format("secret")], expect=new, **options)["said"]
    assert status(said[0])["overlay"] == "persistent"
    assert re.fullmatch(r"600\n[1-9]\d*\n0", said[1].strip())
    assert with_partition(disk, 3, ["cryptsetup", "isLuks", "--type", "luks2"]) == ""
    assert b"secret\n" not in disk.read_bytes()
    tries = [{"name": str(number), "pattern": f"{number} of 3", "send": "wrong"} for number in (1, 2, 3)]
    opened = [tries[0], {**tries[1], "send": PASSPHRASE}, LOGIN]
    result = bookworm.boot(tmp_path, parameters, [READ, HEALTH, trace], expect=opened, **options)
    assert result["said"][:2] == ["secret", "running"]
    assert re.fullmatch(r"600\n[1-9]\d*\n0", result["said"][2].strip())
    assert PASSPHRASE not in result["console"]
    said = bookworm.boot(tmp_path, parameters, [STATUS, FALLBACK], expect=[*tries, LOGIN], **options)["said"]
    assert status(said[0])["overlay"] == "temporary"
    assert "no passphrase of three opened /dev/vda3" in said[1]


@pytest.mark.full
def test_encryption_key_on_another_disk(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.overlay.key=LABEL=KEYS:/live.key`: nobody is asked."""
    disk = bookworm.copy_to_disk(tmp_path / "disk.img", 700)
    tree, keys = tmp_path / "keys", tmp_path / "keys.img"
    tree.mkdir()
    (tree / "live.key").write_bytes(bytes(range(256)))
    subprocess.run(["mkfs.ext4", "-q", "-L", "KEYS", "-d", str(tree), str(keys), "8M"], check=True)
    parameters = f"{bookworm.root} {NEW} rd.live.overlay.crypt=luks2 rd.live.overlay.key=LABEL=KEYS:/live.key"
    options = {"image": disk, "media": "disk"}
    key = {"disks": [{"path": str(keys)}]}
    bookworm.boot(tmp_path, parameters, [WRITE.format("by key")], **options, **key)
    assert bookworm.boot(tmp_path, parameters, [READ], **options, **key)["said"] == ["by key"]
    said = bookworm.boot(tmp_path, parameters, [FALLBACK], **options)["said"]
    assert "there is no such device (rd.live.overlay.key)" in said[0]


# ---- media check


def test_one_flipped_byte_stops_the_media_check(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.check` as well as `mediacheck`: progress and verdict on every console, and no boot."""
    disk = bookworm.copy_to_disk(tmp_path / "disk.img", 600)
    with open(disk, "r+b") as stream:
        stream.seek(bookworm.iso.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))
    result = bookworm.boot(
        tmp_path,
        # The serial console is not the main one here.
        f"rd.live.check {bookworm.root} console=tty0",
        image=disk,
        media="usb",
        login=None,
        cut=True,
        fail_patterns=["login: "],
        expect=[
            {"name": "progress", "pattern": "Media check: 50 %"},
            {"name": "verdict", "pattern": "Media check FAILED"},
        ],
    )
    assert "verdict" in result["milestones"]


# ---- network


@pytest.mark.full
@pytest.mark.parametrize("what", ["iso", "squashfs"])
@pytest.mark.parametrize("name", ["bookworm", "trixie"])
def test_boots_from_a_web_server(name: str, what: str, tmp_path: pathlib.Path) -> None:
    """`root=live:http://`: into memory, and the network is as the image wants it afterwards."""
    image = feature_images.build(name)
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / f"live.{what}").symlink_to(image.iso if what == "iso" else image.folder / "squashfs.img")
    with network_servers.http(folder) as url:
        said = image.boot(
            tmp_path,
            f"root=live:{url}/live.{what}",
            [
                STATUS,
                HEALTH,
                "ip -o address show scope global; ip -o link show up | grep -v lo:",
                "ls /run/systemd/network /etc/systemd/network",
            ],
            network="user",
        )["said"]
    assert status(said[0])["downloaded"] == f"{url}/live.{what}"
    assert said[1] == "running"
    assert said[2] == "", "the image configures no network, so there must be none"


@pytest.mark.full
def test_downloaded_iso_in_memory_leaves_its_image_alone(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """`rd.live.ram` with `root=live:http://`: what is not needed any more is given back."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "live.iso").symlink_to(bookworm.iso)
    with network_servers.http(folder) as url:
        said = bookworm.boot(
            tmp_path,
            f"root=live:{url}/live.iso rd.live.ram",
            [STATUS, HEALTH, "cat /sys/block/loop*/loop/backing_file", "grep Shmem: /proc/meminfo"],
            network="user",
        )["said"]
    assert status(said[0])["memory"] == "yes"
    assert said[1] == "running"
    assert "memory/squashfs.img" in said[2]
    assert "memory/image" not in said[2]
    # Both would take twice as much; what else is in file systems in memory is little.
    squashfs = (bookworm.folder / "squashfs.img").stat().st_size
    assert int(said[3].split()[1]) * 1024 < squashfs + 60 * MIB < squashfs + bookworm.iso.stat().st_size


@pytest.mark.full
@pytest.mark.parametrize("name", ["bookworm", "trixie"])
def test_boots_by_https(name: str, tmp_path: pathlib.Path) -> None:
    """`https://`: a certificate that nobody knows stops the boot and is named; rd.noverifyssl takes it."""
    image = feature_images.build(name)
    with network_servers.https(image.folder, tmp_path) as url:
        parameters = f"rd.noverifyssl root=live:{url}/{image.iso.name}"
        said = image.boot(tmp_path, parameters, [STATUS, HEALTH], network="user")["said"]
        image.boot(
            tmp_path,
            f"root=live:{url}/{image.iso.name}",
            login=None,
            cut=True,
            network="user",
            fail_patterns=["login: "],
            expect=[{"name": "reason", "pattern": r"Downloading \S+ failed: curl: \(60\) SSL certificate"}],
        )
    assert status(said[0])["downloaded"] == f"{url}/{image.iso.name}"
    assert said[1] == "running"


@pytest.mark.full
def test_web_server_that_stops_in_the_middle(bookworm: FeatureImage, tmp_path: pathlib.Path) -> None:
    """Interrupted once, the download is repeated; interrupted always, the console says what happened."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "live.iso").symlink_to(bookworm.iso)
    with network_servers.http_that_stops(folder, 50 * MIB, "close", times=1) as url:
        result = bookworm.boot(tmp_path, f"root=live:{url}/live.iso", [HEALTH], network="user")
    assert "was interrupted" in result["console"]
    assert result["said"] == ["running"]
    with network_servers.http_that_stops(folder, 50 * MIB, "stall") as url:
        bookworm.boot(
            tmp_path,
            f"root=live:{url}/live.iso",
            login=None,
            cut=True,
            network="user",
            fail_patterns=["login: "],
            expect=[{"name": "reason", "pattern": r"Downloading \S+ failed: curl: \(28\)"}],
        )


@pytest.mark.full
@pytest.mark.parametrize("name", ["bookworm", "trixie"])
def test_boots_by_ata_over_ethernet(name: str, tmp_path: pathlib.Path) -> None:
    """`root=live:AOEINTERFACE=e0.1` from a real vblade."""
    image = feature_images.build(name)
    with network_servers.aoe(image.iso) as target:
        said = image.boot(
            tmp_path,
            f"root=live:AOEINTERFACE={target.name} {NEW}",
            [STATUS, FALLBACK, HEALTH],
            qemu_args=target.qemu_args,
        )["said"]
    assert status(said[0])["medium"].startswith(f"/dev/etherd/{target.name}")
    assert "over the network" in said[1]
    assert said[2] == "running"


# ---- what is not understood, size of the initrd


@pytest.mark.full
@pytest.mark.parametrize("name", ["bookworm", "trixie"])
def test_unknown_source_is_named(name: str, tmp_path: pathlib.Path) -> None:
    """From dracut 101 on, which Debian 13 has, the machine is switched off, but not before one can read why."""
    end = {"bookworm": "Refusing to continue", "trixie": "Switching off in a minute"}[name]
    image = feature_images.build(name)
    result = image.boot(
        tmp_path,
        "root=live:nfs:server:/path",
        login=None,
        cut=True,
        fail_patterns=["login: "],
        expect=[
            {"name": "reason", "pattern": r"root=live:nfs:server:/path is not understood. It takes CDLABEL="},
            {"name": "end", "pattern": end},
        ],
    )
    assert "end" in result["milestones"]


def test_initrd_carries_only_what_is_declared(bookworm: FeatureImage) -> None:
    """Our module adds less than a megabyte, and each tool only where something declared needs it."""
    plain = listing(variants.WORKSPACE / str(OVERLAY_12), variants.build(OVERLAY_12)["path"])
    full = listing(bookworm.folder, str(bookworm.iso))
    # Not dmsetup: dracut's own modules bring it wherever it is installed.
    for program in ("mkfs.xfs", "mkfs.btrfs", "cryptsetup", "curl"):
        assert not [path for path in plain if path.endswith(f"/{program}")], program
    for program in ("mkfs.xfs", "cryptsetup", "curl"):
        assert [path for path in full if path.endswith(f"/{program}")], program
    assert not [path for path in plain if path.endswith("systemd-networkd")]
    for driver in ("cifs", "ocfs2", "libceph", "rbd"):
        assert not [path for path in plain if f"/{driver}.ko" in path], driver
        assert [path for path in full if f"/{driver}.ko" in path], driver
    ours = [size for path, size in full.items() if "live-overlay" in path]
    assert len(ours) > 8
    assert sum(ours) < MIB


def listing(folder: pathlib.Path, iso: str) -> dict[str, int]:
    """Paths and sizes of what is in the initrd of an image, by the lsinitrd of that image."""
    assert iso.startswith(str(folder))
    sandbox = ["bwrap", "--ro-bind", str(folder / "rootfs"), "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    command = [*sandbox, "--ro-bind", str(folder / "boot"), "/mnt", "lsinitrd", "/mnt/initrd"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = re.findall(r"^[-l]\S+ +\d+ +\S+ +\S+ +(\d+) \w+ +\d+ +\S+ +(\S+)", text, re.MULTILINE)
    return {path: int(size) for size, path in lines}


@pytest.mark.full
@pytest.mark.parametrize("name", ["bookworm", "sid", "trixie"])
def test_boots_and_shuts_down_cleanly(name: str, tmp_path: pathlib.Path) -> None:
    """Running, nothing failed, and off within a minute with the medium still mounted."""
    image = feature_images.build(name)
    result = image.boot(tmp_path, image.root, [HEALTH, "systemctl --failed --no-legend --plain"], shutdown_timeout=60)
    assert result["said"] == ["running", ""]
    assert result["powered_off"]
    assert "Failed unmounting" not in result["console"]

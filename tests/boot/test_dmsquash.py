# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every feature of the distributions' dmsquash-live, looked at from inside the booted guest.

One image a release has all features declared. The kernel is booted directly, with the parameters that a feature needs;
where the boot menu is what matters, the ISO is booted.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re
import subprocess
import typing as t

import pytest

import playbook
from boot import network_servers, variants

STORES = {"bookworm": "xfs", "trixie": "ext4", "sid": "btrfs"}
OVERLAYFS = "rd.live.image rd.live.overlay.overlayfs=1"
HEALTH = "systemctl is-system-running --wait"
ROOT = "findmnt -no SOURCE,FSTYPE / | tr -s ' '"
LOOPS = "cat /sys/block/loop*/loop/backing_file"
ON_OVERLAYFS = "LiveOS_rootfs overlay"
VOLUME = "0f0e0d0c-0b0a-4908-8706-050403020100"
PASSPHRASE = "correct battery staple"
LOGIN_PROMPT = {"name": "login prompt", "pattern": "login: "}
MIB = 1 << 20


class Image(t.NamedTuple):
    """A built image: the ISO, the folder with kernel, initrd and squashfs, and the kernel parameter that finds it."""

    iso: pathlib.Path
    folder: pathlib.Path
    root: str


def build(release: str, persistence: dict[str, t.Any] | None = None) -> Image:
    """The image of a release, with every feature, built or taken from an earlier run.

    Args:
        release: of Debian.
        persistence: that option, in place of hybridpersistent.
    """
    return _build(release, json.dumps(persistence))


@functools.cache
def _build(release: str, persistence: str) -> Image:
    name = f"dmsquash-{release}" + ("-device" if persistence != "null" else "")
    options: dict[str, t.Any] = {"hybridpersistent": True, "hybridpersistent_filesystem": STORES[release]}
    if persistence != "null":
        options = {"persistence": json.loads(persistence)}
    declaration = playbook.small_image(
        name,
        variants.WORKSPACE,
        **(variants.SID if release == "sid" else {"release": release}),
        flags="dmsquash",
        filesystem="ext4",
        **options,
        network_boot=["http", "aoe", "nfs"],
        mediacheck=True,
        packages=["sudo", "eject", "dmsetup"],
        files=[{"dest": "/etc/sudoers.d/live", "content": "live ALL=(ALL) NOPASSWD: ALL\n", "mode": "0440"}],
    )
    folder = variants.WORKSPACE / f"{name}.run"
    folder.mkdir(parents=True, exist_ok=True)
    run = playbook.build([declaration], folder)
    if run.status != 0:
        raise RuntimeError(f"{name} could not be built:\n{run.output[-6000:]}")
    iso = pathlib.Path(run.results[0]["path"])
    return Image(iso, iso.parent, f"root=live:CDLABEL={run.results[0]['volid']}")


@pytest.fixture(params=["bookworm", "trixie", "sid"])
def image(request: pytest.FixtureRequest) -> Image:
    """Each release with its own version of dracut: 059, 106 and the newest."""
    return build(request.param)


@pytest.fixture
def bookworm() -> Image:
    """For what continuous integration runs, and for what does not depend on the version."""
    return build("bookworm")


def boot(folder: pathlib.Path, commands: t.Sequence[str], *, cut: bool = False, **options: t.Any) -> list[str]:
    """Boot, log in, run commands and return what they said.

    Args:
        folder: for the files of this boot.
        commands: for the guest.
        cut: cut the power at the end instead of shutting down.
        options: of live_boot.
    """
    result = playbook.module(
        "live_boot",
        {
            "login": {"user": "live", "password": playbook.PASSWORD},
            "commands": [{"cmd": command, "check": False, "timeout": 300} for command in commands],
            "poweroff": not cut,
            # On a busy host, emulated processors wait for each other until the kernel takes it for a lockup.
            "cpus": 1,
            "console_log": str(folder / "console.log"),
            **options,
        },
        folder,
    )
    assert not result.get("failed"), f"{result['msg']}\n{result.get('console', '')[-4000:]}"
    return [command["stdout"] for command in result["commands"]]


def direct(image: Image, parameters: str) -> dict[str, str]:
    """Options of live_boot for a boot without boot loader."""
    return {
        "kernel": str(image.folder / "boot/linux"),
        "initrd": str(image.folder / "boot/initrd"),
        "append": f"console=ttyS0,115200 {parameters}",
    }


def copy_to_disk(image: Image, path: pathlib.Path, more: int) -> pathlib.Path:
    """A disk with the ISO written to it and ``more`` MiB behind it."""
    subprocess.run(["cp", "--reflink=auto", str(image.iso), str(path)], check=True)
    with open(path, "r+b") as stream:
        stream.truncate((path.stat().st_size // MIB + 1 + more) * MIB)
    return path


def partition_count(disk: pathlib.Path) -> int:
    text = subprocess.run(["sfdisk", "--dump", str(disk)], check=True, capture_output=True, text=True).stdout
    return len(re.findall("start=", text))


@pytest.mark.full
def test_device_mapper_snapshot_takes_the_writes(image: Image, tmp_path: pathlib.Path) -> None:
    """Without overlayfs, the file system image is the origin of a device-mapper snapshot."""
    root, table, written, health = boot(
        tmp_path,
        [ROOT, "sudo dmsetup table live-rw", "echo new | sudo tee /usr/written", HEALTH],
        image=str(image.iso),
        **direct(image, f"{image.root} rd.live.image"),
    )
    assert root == "/dev/mapper/live-rw ext4"
    assert "snapshot" in table
    assert (written, health) == ("new", "running")


@pytest.mark.full
def test_root_in_memory_needs_the_medium_no_more(image: Image, tmp_path: pathlib.Path) -> None:
    """With rd.live.ram the squashfs is in memory; the CD can be unmounted and ejected."""
    loops, out, read, health = boot(
        tmp_path,
        [
            LOOPS,
            "sudo umount /run/initramfs/live && sudo eject /dev/sr0; echo $?",
            # Nothing that was read before may help: all of it must come from memory now.
            "echo 3 | sudo tee /proc/sys/vm/drop_caches >/dev/null; sudo find /usr -type f -exec cat {} + | wc -c",
            HEALTH,
        ],
        image=str(image.iso),
        memory=3072,
        **direct(image, f"{image.root} {OVERLAYFS} rd.live.ram"),
    )
    # Newer kernels leave out /run, since it is a mount point of its own.
    assert "/initramfs/squashed.img" in loops
    assert out == "0"
    assert int(read) > 100 * MIB
    assert health == "running"


@pytest.mark.full
def test_iso_file_on_a_disk(image: Image, tmp_path: pathlib.Path) -> None:
    """iso-scan/filename finds the ISO as a file on a disk."""
    tree, disk = tmp_path / "tree", tmp_path / "disk.img"
    tree.mkdir()
    subprocess.run(["cp", "--reflink=auto", str(image.iso), str(tree / "live.iso")], check=True)
    size = image.iso.stat().st_size // MIB + 64
    subprocess.run(["mkfs.ext4", "-q", "-d", str(tree), str(disk), f"{size}M"], check=True)
    loops, root, health = boot(
        tmp_path,
        [LOOPS, ROOT, HEALTH],
        disks=[{"path": str(disk), "interface": "usb"}],
        **direct(image, f"iso-scan/filename=/live.iso {image.root} {OVERLAYFS}"),
    )
    assert "live.iso" in loops
    assert (root, health) == (ON_OVERLAYFS, "running")


@pytest.mark.full
def test_http_server_that_stops_once(bookworm: Image, tmp_path: pathlib.Path) -> None:
    """The ISO comes by HTTP; a download that ends in the middle is begun again."""
    with network_servers.http_that_stops(bookworm.folder, 50 * MIB, "close", times=1) as url:
        loops, root, health = boot(
            tmp_path,
            [LOOPS, ROOT, HEALTH],
            network="user",
            **direct(bookworm, f"root=live:{url}/{bookworm.iso.name} {OVERLAYFS}"),
        )
    assert bookworm.iso.name in loops
    assert (root, health) == (ON_OVERLAYFS, "running")


@pytest.mark.full
def test_http(image: Image, tmp_path: pathlib.Path) -> None:
    """The squashfs alone comes by HTTP."""
    with network_servers.http(image.folder) as url:
        loops, root, health = boot(
            tmp_path,
            [LOOPS, ROOT, HEALTH],
            network="user",
            **direct(image, f"root=live:{url}/squashfs.img {OVERLAYFS}"),
        )
    assert "squashfs.img" in loops
    assert (root, health) == (ON_OVERLAYFS, "running")


@pytest.mark.full
def test_https(bookworm: Image, tmp_path: pathlib.Path) -> None:
    """The ISO comes by HTTPS; rd.noverifyssl accepts a certificate that nobody knows."""
    with network_servers.https(bookworm.folder, tmp_path) as url:
        (loops,) = boot(
            tmp_path,
            [LOOPS],
            network="user",
            **direct(bookworm, f"root=live:{url}/{bookworm.iso.name} {OVERLAYFS} rd.noverifyssl"),
        )
    assert bookworm.iso.name in loops


@pytest.mark.full
def test_nfs(image: Image, tmp_path: pathlib.Path) -> None:
    """The ISO lies on an NFS server and is read from there as needed."""
    with network_servers.nfs(image.folder) as url:
        loops, root, health = boot(
            tmp_path,
            [LOOPS, ROOT, HEALTH],
            network="user",
            **direct(image, f"root=live:{url}/{image.iso.name} {OVERLAYFS} ip=dhcp rd.neednet=1"),
        )
    assert image.iso.name in loops
    assert (root, health) == (ON_OVERLAYFS, "running")


@pytest.mark.full
def test_aoe(image: Image, tmp_path: pathlib.Path) -> None:
    """The ISO is the disk of an AoE target; the kernel's aoe driver reads it."""
    with network_servers.aoe(image.iso) as target:
        device = f"/dev/etherd/{target.name}"
        medium, root, health = boot(
            tmp_path,
            ["findmnt -no SOURCE /run/initramfs/live", ROOT, HEALTH],
            qemu_args=target.qemu_args,
            **direct(image, f"root=live:{device} {OVERLAYFS} rd.driver.pre=aoe rd.neednet=1 ip=link6"),
        )
    assert medium == device
    assert (root, health) == (ON_OVERLAYFS, "running")


@pytest.mark.full
def test_media_check_passes_and_the_system_starts(image: Image, tmp_path: pathlib.Path) -> None:
    """rd.live.check on a good medium."""
    (health,) = boot(
        tmp_path,
        [HEALTH],
        image=str(image.iso),
        expect=[{"name": "verdict", "pattern": "PASS", "timeout": 300}, LOGIN_PROMPT],
        **direct(image, f"{image.root} {OVERLAYFS} rd.live.check"),
    )
    assert health == "running"


@pytest.mark.full
def test_media_check_stops_at_one_flipped_bit(image: Image, tmp_path: pathlib.Path) -> None:
    """rd.live.check on a medium with one wrong bit in the squashfs."""
    damaged = tmp_path / "damaged.iso"
    subprocess.run(["cp", "--reflink=auto", str(image.iso), str(damaged)], check=True)
    with open(damaged, "r+b") as stream:
        stream.seek(damaged.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))
    result = playbook.module(
        "live_boot",
        {
            "image": str(damaged),
            "expect": [
                {"name": "verdict", "pattern": "FAIL", "timeout": 300, "fail": "login: "},
                {"name": "stopped", "pattern": "check failed", "timeout": 60, "fail": "login: "},
            ],
            "fail_patterns": [],
            "poweroff": False,
            **direct(image, f"{image.root} {OVERLAYFS} rd.live.check"),
        },
        tmp_path,
    )
    assert not result.get("failed"), f"{result['msg']}\n{result.get('console', '')[-4000:]}"


def keeps_what_was_written(image: Image, folder: pathlib.Path, interface: str) -> pathlib.Path:
    """Boot a disk by its own menu, write, cut the power, boot again; returns the disk."""
    disk = copy_to_disk(image, folder / "disk.img", 400)
    before = partition_count(disk)
    if interface == "usb":
        options: dict[str, t.Any] = {"image": str(disk), "media": "usb", "snapshot": False}
    else:
        # Started directly, since not every firmware starts from NVMe.
        options = {
            **direct(image, _words(image, disk)),
            "disks": [{"path": str(disk), "interface": interface, "snapshot": False}],
        }
    root, said = boot(folder, [ROOT, "echo precious | sudo tee /var/kept && sync"], cut=True, **options)
    assert (root, said) == (ON_OVERLAYFS, "precious")
    assert partition_count(disk) == before + 1
    kept, health = boot(folder, ["cat /var/kept", HEALTH], **options)
    assert (kept, health) == ("precious", "running")
    return disk


def _words(image: Image, disk: pathlib.Path) -> str:
    """The kernel line of the default menu entry."""
    told = playbook.module("live_iso_info", {"path": str(image.iso)}, disk.parent)
    assert not told.get("failed"), told["msg"]
    return t.cast("str", told["iso"]["menu"][0]["kernel_command_line"])


def test_keeps_what_was_written_on_a_stick(bookworm: Image, tmp_path: pathlib.Path) -> None:
    """hybridpersistent: the default entry makes a partition on the stick; what lies there survives a power cut."""
    keeps_what_was_written(bookworm, tmp_path, "usb")


@pytest.mark.full
@pytest.mark.parametrize("release", ["trixie", "sid"])
def test_keeps_what_was_written_with_other_dracuts(release: str, tmp_path: pathlib.Path) -> None:
    """The same with dracut 106 and the newest, and it can be forgotten again."""
    image = build(release)
    disk = keeps_what_was_written(image, tmp_path, "usb")
    (kept,) = boot(
        tmp_path,
        ["test -e /var/kept && echo there || echo gone"],
        disks=[{"path": str(disk), "interface": "usb", "snapshot": False}],
        **direct(image, f"{_words(image, disk)} rd.live.overlay.reset"),
    )
    assert kept == "gone"


@pytest.mark.full
def test_keeps_what_was_written_on_an_nvme_disk(image: Image, tmp_path: pathlib.Path) -> None:
    """Partitions of an NVMe disk have another kind of name."""
    keeps_what_was_written(image, tmp_path, "nvme")


def prepared(disk: pathlib.Path, label: str, mebibytes: int, **content: pathlib.Path | None) -> pathlib.Path:
    """A disk with an ext4 file system and, at its top, folders (None) and copies of files."""
    tree = disk.with_suffix(".tree")
    tree.mkdir()
    for name, source in content.items():
        if source is None:
            (tree / name).mkdir()
        else:
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(tree / name)], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-L", label, "-d", str(tree), str(disk), f"{mebibytes}M"], check=True)
    subprocess.run(["rm", "-r", str(tree)], check=True)
    return disk


@pytest.mark.full
@pytest.mark.parametrize("store", ["folder", "file", "snapshot"])
def test_prepared_store(store: str, image: Image, tmp_path: pathlib.Path) -> None:
    """rd.live.overlay=DEVICE:/PATH, where the path is a folder, a file with a file system, or a snapshot's changes."""
    changes = tmp_path / "changes"
    if store == "file":
        prepared(changes, "INNER", 100, overlayfs=None, ovlwork=None)
    elif store == "snapshot":
        with changes.open("wb") as stream:
            stream.truncate(150 * MIB)
    content = {"live": None, "ovlwork": None} if store == "folder" else {"live": changes}
    disk = prepared(tmp_path / "data.img", "DATA", 250, **content)
    options: dict[str, t.Any] = {
        "image": str(image.iso),
        "disks": [{"path": str(disk), "snapshot": False}],
        **direct(image, f"rd.live.overlay=LABEL=DATA:/live rd.live.image {image.root}"),
    }
    root, said = boot(tmp_path, [ROOT, "echo precious | sudo tee /var/kept && sync"], cut=True, **options)
    assert root == ("/dev/mapper/live-rw ext4" if store == "snapshot" else ON_OVERLAYFS)
    assert said == "precious"
    assert boot(tmp_path, ["cat /var/kept", HEALTH], **options) == ["precious", "running"]


@pytest.mark.full
def test_prepared_file_beside_the_iso(image: Image, tmp_path: pathlib.Path) -> None:
    """Booted from an ISO file on a stick, with a store in a file on the same stick."""
    store = prepared(tmp_path / "store.img", "INNER", 100, overlayfs=None, ovlwork=None)
    size = image.iso.stat().st_size // MIB + 300
    disk = prepared(tmp_path / "stick.img", "STICK", size, isos=image.iso, store=store)
    options: dict[str, t.Any] = {
        "disks": [{"path": str(disk), "interface": "usb", "snapshot": False}],
        **direct(
            image,
            f"iso-scan/filename=/isos {image.root} {OVERLAYFS} rd.live.overlay=/dev/disk/by-label/STICK:/store",
        ),
    }
    root, said = boot(tmp_path, [ROOT, "echo precious | sudo tee /var/kept && sync"], cut=True, **options)
    assert (root, said) == (ON_OVERLAYFS, "precious")
    assert boot(tmp_path, ["cat /var/kept", HEALTH], **options) == ["precious", "running"]


@pytest.mark.full
@pytest.mark.parametrize("release", ["bookworm", "trixie", "sid"])
def test_encrypted_store(release: str, tmp_path: pathlib.Path) -> None:
    """An encrypted store that was prepared: the passphrase is asked for; without it the system starts all the same."""
    image = build(release, persistence={"mode": "device", "device": f"UUID={VOLUME}:/live", "encryption": "luks2"})
    disk = tmp_path / "data.img"
    with disk.open("wb") as stream:
        stream.truncate(200 * MIB)
    options: dict[str, t.Any] = {
        "image": str(image.iso),
        "disks": [{"path": str(disk), "snapshot": False}],
        **direct(image, _words(image, disk)),
    }
    # Nothing is there yet. The guest prepares it, since it can open the volume.
    format_volume = f"echo -n '{PASSPHRASE}' | sudo cryptsetup luksFormat -q --pbkdf-force-iterations 4 --pbkdf-memory "
    format_volume += (
        f"65536 --uuid {VOLUME} /dev/vda - && echo -n '{PASSPHRASE}' | sudo cryptsetup open /dev/vda new -d -"
    )
    fill = "sudo mkfs.ext4 -q /dev/mapper/new && sudo mount /dev/mapper/new /mnt && sudo mkdir /mnt/live /mnt/ovlwork"
    fill += " && sudo umount /mnt && sudo cryptsetup close new && echo made"
    root, health, dummy, made = boot(tmp_path, [ROOT, HEALTH, format_volume, fill], **options)
    assert (root, health) == (ON_OVERLAYFS, "running")
    assert made == "made"
    prompt = "[Pp]lease enter passphrase|Enter passphrase"
    opened = [{"name": "passphrase", "pattern": prompt, "send": PASSPHRASE}, LOGIN_PROMPT]
    root, said = boot(
        tmp_path, [ROOT, "echo precious | sudo tee /var/kept && sync"], cut=True, expect=opened, **options
    )
    assert (root, said) == (ON_OVERLAYFS, "precious")
    kept, health = boot(tmp_path, ["cat /var/kept", HEALTH], expect=opened, **options)
    assert (kept, health) == ("precious", "running")
    assert b"precious" not in disk.read_bytes()


@pytest.mark.full
def test_starts_without_a_place_to_keep_anything(image: Image, tmp_path: pathlib.Path) -> None:
    """From a CD the default entry of an image with hybridpersistent starts by itself, with a temporary overlay."""
    root, health = boot(tmp_path, [ROOT, HEALTH], image=str(image.iso))
    assert (root, health) == (ON_OVERLAYFS, "running")


@pytest.mark.full
def test_starts_from_a_disk_without_room(image: Image, tmp_path: pathlib.Path) -> None:
    """The same from a stick that the ISO fills."""
    root, health = boot(tmp_path, [ROOT, HEALTH], image=str(image.iso), media="usb")
    assert (root, health) == (ON_OVERLAYFS, "running")

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images with every feature of live-overlay declared, booted directly: kernel and initrd by QEMU, no boot loader.

That saves the time of the boot loaders, which the matrix covers, and lets each test say its own kernel parameters.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import subprocess
import typing as t

import playbook
from boot import variants

# Where the booted system reads what the initrd decided.
STATUS = "cat /run/overlay/status"
FALLBACK = "cat /run/overlay/fallback"
HEALTH = "systemctl is-system-running --wait"
MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class FeatureImage:
    """A built image.

    Attributes:
        iso: the ISO.
        folder: of its kernel, initrd and squashfs.
        volid: volume id.
    """

    iso: pathlib.Path
    folder: pathlib.Path
    volid: str

    @property
    def root(self) -> str:
        """The kernel parameter by which the medium is found."""
        return f"root=live:CDLABEL={self.volid}"

    def copy_to_disk(self, path: pathlib.Path, mebibytes: int) -> pathlib.Path:
        """A disk of that size with the ISO written to it, as dd does it to a stick."""
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(self.iso), str(path)], check=True)
        with open(path, "r+b") as stream:
            stream.truncate(mebibytes * MIB)
        return path

    def boot(
        self,
        folder: pathlib.Path,
        parameters: str,
        commands: t.Sequence[str] = (),
        *,
        image: pathlib.Path | None = None,
        attached: bool = True,
        cut: bool = False,
        **options: t.Any,
    ) -> dict[str, t.Any]:
        """Boot, log in, run commands; what they print is added to the result as ``said``.

        Args:
            folder: for files of this boot.
            parameters: for the kernel, besides the console.
            commands: for the guest.
            image: what to boot from; by default the ISO.
            attached: whether it is there; otherwise one of ``disks`` is the medium.
            cut: cut the power at the end instead of shutting down.
            options: of live_boot.
        """
        given = {
            "image": str(image or self.iso) if attached else None,
            "kernel": str(self.folder / "boot/linux"),
            "initrd": str(self.folder / "boot/initrd"),
            "append": f"console=ttyS0,115200 {parameters}",
            "snapshot": False,
            "login": {"user": "live", "password": playbook.PASSWORD},
            "commands": [{"cmd": command, "check": False, "timeout": 300} for command in commands],
            "poweroff": not cut,
            "console_log": str(folder / "console.log"),
            **options,
        }
        result = playbook.module(
            "live_boot", {name: value for name, value in given.items() if value is not None}, folder
        )
        assert not result.get("failed"), f"{result['msg']}\n{result.get('console', '')[-4000:]}"
        result["said"] = [command["stdout"] for command in result["commands"]]
        return result


def status(text: str) -> dict[str, str]:
    """The lines of /run/overlay/status."""
    return dict(line.partition("=")[::2] for line in text.splitlines())


def stick_with_file(image: FeatureImage, path: pathlib.Path, filesystem: str, mebibytes: int) -> pathlib.Path:
    """A stick with one file system, and the ISO as the file /isos/live.iso on it."""
    tree = path.with_suffix(".tree")
    (tree / "isos").mkdir(parents=True)
    subprocess.run(["cp", "--reflink=auto", str(image.iso), str(tree / "isos/live.iso")], check=True)
    with open(path, "wb") as stream:
        stream.truncate(mebibytes * MIB)
    if filesystem == "vfat":
        subprocess.run(["mkfs.vfat", "-F", "32", str(path)], check=True, capture_output=True)
        subprocess.run(["mcopy", "-s", "-i", str(path), str(tree / "isos"), "::"], check=True)
    elif filesystem == "btrfs":
        subprocess.run(["mkfs.btrfs", "-q", "--rootdir", str(tree), str(path)], check=True)
    elif filesystem == "ext4":
        subprocess.run(["mkfs.ext4", "-q", "-d", str(tree), str(path)], check=True)
    else:
        force = {"xfs": ["-f"], "ntfs": ["-QF"], "exfat": []}[filesystem]
        subprocess.run([f"mkfs.{filesystem}", *force, str(path)], check=True, capture_output=True)
        _fill_in_guest(image, path, "ntfs3" if filesystem == "ntfs" else filesystem)
    subprocess.run(["rm", "-r", str(tree)], check=True)
    return path


def disk_with_files(image: FeatureImage, path: pathlib.Path, filesystem: str) -> pathlib.Path:
    """A disk without a partition table: one file system with the label WHOLE, LiveOS/squashfs.img, and 200 MiB free."""
    tree = path.with_suffix(".tree")
    (tree / "LiveOS").mkdir(parents=True)
    squashfs = image.folder / "squashfs.img"
    subprocess.run(["cp", "--reflink=auto", str(squashfs), str(tree / "LiveOS/squashfs.img")], check=True)
    with open(path, "wb") as stream:
        stream.truncate((squashfs.stat().st_size // MIB + 200) * MIB)
    if filesystem == "vfat":
        subprocess.run(["mkfs.vfat", "-F", "32", "-n", "WHOLE", str(path)], check=True, capture_output=True)
        subprocess.run(["mcopy", "-s", "-i", str(path), str(tree / "LiveOS"), "::"], check=True)
    else:
        subprocess.run(["mkfs.ext4", "-q", "-L", "WHOLE", "-d", str(tree), str(path)], check=True)
    subprocess.run(["rm", "-r", str(tree)], check=True)
    return path


def _fill_in_guest(image: FeatureImage, stick: pathlib.Path, kind: str) -> None:
    """Put the ISO on a stick whose file system no tool can fill: the guest copies the CD it was started from."""
    command = f"sudo mkdir /tmp/stick; sudo mount -t {kind} /dev/vda /tmp/stick && sudo mkdir /tmp/stick/isos"
    command += " && sudo dd if=/dev/sr0 of=/tmp/stick/isos/live.iso bs=1M && sudo umount /tmp/stick && echo filled"
    disks = [{"path": str(stick), "snapshot": False}]
    said = image.boot(stick.parent, image.root, [command], disks=disks)["said"]
    assert said[0].endswith("filled"), said


@functools.cache
def build(name: str) -> FeatureImage:
    """The image of that name, built or taken from an earlier run of the tests."""
    declaration = playbook.small_image(
        f"features-{name}",
        variants.WORKSPACE,
        hostname="features",
        files=[{"dest": "/etc/sudoers.d/live", "content": "live ALL=(ALL) NOPASSWD: ALL\n", "mode": "0440"}],
        **_DECLARATIONS[name],
    )
    folder = variants.WORKSPACE / f"features-{name}.run"
    folder.mkdir(parents=True, exist_ok=True)
    run = playbook.build([declaration], folder)
    if run.status != 0:
        raise RuntimeError(f"{name} could not be built:\n{run.output[-6000:]}")
    iso = pathlib.Path(run.results[0]["path"])
    return FeatureImage(iso, iso.parent, run.results[0]["volid"])


_DECLARATIONS: dict[str, dict[str, t.Any]] = {
    # dracut 059, the root directly in the squashfs.
    "bookworm": {
        "release": "bookworm",
        "flags": "overlay",
        "filesystem": "squashfs",
        "packages": ["sudo", "eject"],
        "persistence": {"mode": "auto", "filesystem": "xfs", "encryption": "luks2"},
        "network_boot": ["http", "aoe"],
        "mediacheck": True,
    },
    # dracut 106, a file system inside the squashfs.
    "trixie": {
        "release": "trixie",
        "flags": "overlay",
        "filesystem": "ext4",
        "packages": ["sudo", "eject"],
        "overlay_type": "device-mapper",
        "network_boot": ["http", "aoe"],
        "mediacheck": True,
    },
    # The newest dracut, and an MBR as partition table.
    "sid": {
        **variants.SID,
        "flags": "overlay",
        "filesystem": "squashfs",
        "packages": ["sudo", "eject"],
        "persistence": {"mode": "auto", "filesystem": "btrfs"},
        "efiparttable": "msdos",
        "mediacheck": True,
    },
    # An initrd without systemd.
    **{
        f"{release}-without-systemd": {
            "release": release,
            "flags": "overlay",
            "filesystem": "squashfs",
            "packages": ["sudo"],
            "initrd_omit_modules": ["systemd", "systemd-initrd", "dracut-systemd", "systemd-sysusers"],
        }
        for release in ("bookworm", "trixie")
    },
}

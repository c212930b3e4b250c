# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of the boot matrix: built by the playbook, once for all tests, kept between runs."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pathlib
import typing as t

import playbook

WORKSPACE = playbook.CACHE / "boot"
# The newest dracut. A mirror of sid that stands still has an expired Release file.
SID: dict[str, t.Any] = {
    "release": "sid",
    "repositories": [
        {**playbook.DEBIAN, "suite": "sid", "check_valid_until": False},
    ],
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One kind of image: Debian release, dracut module, file system of the root."""

    release: str
    flags: str
    filesystem: str

    def __str__(self) -> str:
        return f"{self.release}-{self.flags}-{self.filesystem}"

    @property
    def uses_device_mapper(self) -> bool:
        """dmsquash's own choice for a root that is a file system image."""
        return self.flags == "dmsquash" and self.filesystem not in ("squashfs", "erofs")

    @property
    def has_ssh(self) -> bool:
        """Once for each release: its host keys are made in the same way with any dracut module."""
        return self.flags == "overlay"

    def declaration(self) -> dict[str, t.Any]:
        """The image, as a user would declare it."""
        return playbook.small_image(
            str(self),
            WORKSPACE,
            release=self.release,
            flags=self.flags,
            filesystem=self.filesystem,
            hostname=f"live-{self.flags}",
            packages=["openssh-server", "sudo"] if self.has_ssh else ["sudo"],
            overlays=[{"src": str(WORKSPACE / f"{self}.overlay")}],
            files=[{"dest": "/etc/sudoers.d/live", "content": "live ALL=(ALL) NOPASSWD: ALL\n", "mode": "0440"}],
        )


@functools.cache
def build(variant: Variant) -> dict[str, t.Any]:
    """Build the image of a variant, or take the one that an earlier run built from the same inputs."""
    overlay = WORKSPACE / f"{variant}.overlay" / "etc"
    overlay.mkdir(parents=True, exist_ok=True)
    (overlay / "overlay-marker").write_text(f"declared for {variant}\n")
    folder = WORKSPACE / f"{variant}.run"
    folder.mkdir(exist_ok=True)
    run = playbook.build([variant.declaration()], folder)
    if run.status != 0:
        raise RuntimeError(f"{variant} could not be built:\n{run.output[-6000:]}")
    return run.results[0]


def squashfs_head(variant: Variant) -> str:
    """SHA-256 of the first MiB of the squashfs of this build: its superblock tells it from any other."""
    with open(WORKSPACE / str(variant) / "squashfs.img", "rb") as stream:
        return hashlib.sha256(stream.read(1 << 20)).hexdigest()


def boot(result: dict[str, t.Any], folder: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    """Boot with live_boot, log in as the declared user, and return what the module returns."""
    return playbook.module(
        "live_boot",
        {
            "image": result["path"],
            "login": {"user": "live", "password": playbook.PASSWORD},
            "console_log": str(folder / "console.log"),
            **options,
        },
        folder,
    )

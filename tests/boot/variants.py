# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of the boot matrix: built by the playbook, once for all tests, kept between runs."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import os
import pathlib
import re
import typing as t

import playbook


def _digest_of_the_code() -> str:
    """What makes an image of its inputs: the stages do not take it for an input themselves."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in ("plugins", "roles") for path in (playbook.ROOT / folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(playbook.ROOT)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


# Images of other code would say nothing about this one.
WORKSPACE = playbook.CACHE / f"boot-{_digest_of_the_code()}"
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


@contextlib.contextmanager
def claimed_workspace() -> t.Iterator[None]:
    """Keep the folder of the images for this run, and remove those of other code, unless another run uses them."""
    WORKSPACE.mkdir(parents=True, exist_ok=True)
    with _locked(WORKSPACE, fcntl.LOCK_SH):
        for folder in playbook.CACHE.iterdir():
            if re.fullmatch("boot(-[0-9a-f]{12})?", folder.name) and folder != WORKSPACE:
                # It is in use, or another run removes it as well.
                unless_taken = contextlib.suppress(BlockingIOError, FileNotFoundError)
                with unless_taken, _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    playbook.remove_folder(folder)
        yield


@contextlib.contextmanager
def _locked(folder: pathlib.Path, how: int) -> t.Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


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

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live-build, with live-boot and initramfs-tools, which is what it makes images with on Debian 12."""

from __future__ import annotations

import pathlib
import shlex
import shutil
import subprocess
import typing as t

from benchmarks import scenarios
from benchmarks.description import SOURCE, Description
from benchmarks.scenarios import Scenario
from benchmarks.tool import Command, Tool, Unavailable, debian_version

# What the description has for KIWI's sake, or what live-build installs by itself in another form.
_NOT_FOR_LIVE_BUILD = {
    "dracut",
    "dracut-network",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "grub2-common",
    "kiwi-dracut-live",
    "linux-image-amd64",
}
_BOOTLOADERS = pathlib.Path("/usr/share/live/build/bootloaders/grub-pc")
_ADD_USER = """\
#!/bin/sh
set -e
groupadd live
useradd --create-home --gid live --shell /bin/bash --password '{password}' live
"""


class LiveBuild(Tool):
    """The same system as near as live-build comes to it: same packages, user and overlay; another initrd and menu."""

    family = "live-build"
    variants = ("xz", "zstd")
    warming_variant = "zstd"

    @property
    def flags(self) -> t.Collection[str]:
        """It has live-boot instead of dracut, and one way to mount the root."""
        return ("overlay",)

    def install(self) -> str:
        version = debian_version("live-build")
        debian_version("debootstrap")
        return version

    def start_cold(self) -> None:
        self.clear()

    def command(self, scenario: Scenario, description: Description, mirror: str) -> Command:
        self._configure(description, mirror)
        # Packages that were downloaded stay; live-build looks for them here.
        cache = self.tree / "cache"
        if not cache.is_symlink():
            shutil.rmtree(self.cache / "bootstrap", ignore_errors=True)
            self.cache.mkdir(parents=True, exist_ok=True)
            cache.symlink_to(self.cache)
        if scenario in (scenarios.COLD, scenarios.UNCHANGED):
            return Command(["lb", "build"], "lb build")
        clean = "lb clean --binary" if scenario == scenarios.COMMAND_LINE else "lb clean"
        return Command(["sh", "-c", f"{clean} && lb build"], f"{clean}, then lb build")

    def iso(self) -> pathlib.Path:
        return next(iter(self.tree.glob("*.hybrid.iso")), None) or self._no_iso()

    def _no_iso(self) -> pathlib.Path:
        raise FileNotFoundError(f"There is no ISO file in {self.tree}")

    def _configure(self, description: Description, mirror: str) -> None:
        """What a user would keep in git: `lb config` with its options, and the folder config."""
        self.tree.mkdir(parents=True, exist_ok=True)
        # fmt: off
        options = [
            "lb", "config",
            "--distribution", "bookworm",
            "--archive-areas", "main",
            "--mirror-bootstrap", mirror, "--mirror-chroot", mirror, "--mirror-binary", mirror,
            "--security", "false", "--updates", "false", "--backports", "false",
            "--apt-recommends", "false", "--apt-indices", "false",
            "--firmware-chroot", "false", "--firmware-binary", "false",
            "--debian-installer", "none", "--memtest", "none", "--source", "false", "--win32-loader", "false",
            # Nobody else makes files for downloads in parts.
            "--binary-image", "iso-hybrid", "--bootloaders", "grub-pc grub-efi", "--zsync", "false",
            "--chroot-squashfs-compression-type", self.variant,
            "--bootappend-live", f"boot=live {description.kernel_parameters()}",
            "--iso-volume", "BENCHMARK",
        ]
        # fmt: on
        done = subprocess.run(options, cwd=self.tree, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"{shlex.join(options)} failed: {(done.stderr or done.stdout).strip()[-500:]}")
        config = self.tree / "config"
        packages = [name for name in description.package_names() if name not in _NOT_FOR_LIVE_BUILD]
        lists = config / "package-lists"
        # Not live-config, which would make a user of its own.
        (lists / "live.list.chroot").write_text("live-boot\nlive-boot-initramfs-tools\n")
        (lists / "benchmark.list.chroot").write_text("\n".join(packages) + "\n")
        overlay = config / "includes.chroot"
        shutil.copytree(SOURCE / "root", overlay, dirs_exist_ok=True)
        (overlay / "etc/motd").write_text(f"{description.message}\n")
        # It relies on live-config for new keys. All but liveforge keep those that were made with the image.
        for hook in (config / "hooks/normal").glob("*-remove-openssh-server-host-keys.hook.chroot"):
            hook.unlink()
        hook = config / "hooks/normal/0100-user.hook.chroot"
        hook.write_text(_ADD_USER.format(password=description.password()))
        hook.chmod(0o755)
        self._give_menu_a_timeout(config / "bootloaders/grub-pc")

    @staticmethod
    def _give_menu_a_timeout(folder: pathlib.Path) -> None:
        """live-build's menu waits for ever; all others here wait for a second."""
        if not folder.exists():
            shutil.copytree(_BOOTLOADERS, folder, symlinks=False)
            menu = folder / "config.cfg"
            # The tune at the start takes time on some machines.
            lines = [line for line in menu.read_text().splitlines() if "play" not in line]
            menu.write_text("\n".join([*lines, "set timeout=1", ""]))

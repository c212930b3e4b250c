# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What dracut shall put into the initrd of a live image, per dracut module. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import fingerprint
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._initrd.unasked import (
    configuration,
    unasked_drivers,
    unasked_modules,
)
from ansible_collections.liveforge.images.plugins.module_utils._live import dmsquash, overlay
from ansible_collections.liveforge.images.plugins.module_utils._live.features import LiveFeatures

# Modules that do harm in a live initrd: ifcfg fails without dbus and takes dracut with it (059), overlay-root and
# resume claim the root or wait for a swap partition, btrfs benchmarks its RAID code at every boot.
_HARMFUL = ("btrfs", "ifcfg", "overlay-root", "resume")
_LIVE_MODULES = ("live-overlay", "kiwi-live", "dmsquash-live", "dmsquash-live-autooverlay", "dmsquash-live-ntfs")
_PROGRAM_FOLDERS = ("usr/bin", "usr/sbin", "bin", "sbin")
_COMPRESSORS = {
    # Level 9 makes what zstd's level 15 (dracut's own choice) makes but for one percent, in a quarter of the time.
    "zstd": ("zstd", "zstd -{level} -q -T0", 9, (1, 19)),
    # One thread: with more, xz's output depends on their number.
    "xz": ("xz", "xz --check=crc32 -{level} -T1", 6, (0, 9)),
    "gzip": ("gzip", "gzip -n -{level}", 6, (1, 9)),
    "none": (None, "cat", 0, (0, 0)),
}


@dataclasses.dataclass(frozen=True)
class InitrdContent:
    """Names of the dracut modules, kernel drivers and programs in a finished initrd."""

    modules: frozenset[str]
    drivers: frozenset[str]
    programs: frozenset[str] = frozenset()

    @classmethod
    def from_listing(cls, listing: str) -> InitrdContent:
        """From what lsinitrd(1) prints: a list of modules after a heading, and ``ls -l`` lines of all files."""
        modules: set[str] = set()
        drivers: set[str] = set()
        programs: set[str] = set()
        in_modules = False
        for line in listing.splitlines():
            if line.startswith("dracut modules:"):
                in_modules = True
            elif line.startswith("====="):
                in_modules = False
            elif in_modules:
                modules.add(line.strip())
            else:
                driver = re.search(r"lib/modules/\S+/([^/\s]+)\.ko(?:\.\w+)?$", line)
                if driver:
                    drivers.add(driver.group(1).replace("-", "_"))
                program = re.search(r" (?:usr/)?s?bin/([^/\s]+)(?: -> \S+)?$", line)
                if program:
                    programs.add(program.group(1))
        return cls(frozenset(modules), frozenset(drivers), frozenset(programs))


@dataclasses.dataclass(frozen=True)
class DracutPlan:
    """The choices of live_dracut, and what follows from them for dracut's command line.

    Attributes:
        features: what the live system is to be able to do.
        modules: further dracut modules.
        omit_modules: dracut modules to leave out.
        drivers: further kernel drivers.
        omit_drivers: kernel drivers to leave out.
        compression: ``zstd``, ``xz``, ``gzip`` or ``none``.
        compression_level: of that compressor; None for our default.
        dracut: number of the image's dracut, such as 59 or 106; None while it is not known.
        brings_modules: whether dracut modules are added that the image does not have installed.
    """

    features: LiveFeatures
    modules: tuple[str, ...] = ()
    omit_modules: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    omit_drivers: tuple[str, ...] = ()
    compression: str = "zstd"
    compression_level: int | None = None
    dracut: int | None = None
    brings_modules: bool = False

    @property
    def live(self) -> types.ModuleType:
        """What knows the live module of the image."""
        return dmsquash if self.features.flags == "dmsquash" else overlay

    def validate(self) -> None:
        """Raise StageError for choices that contradict each other."""
        problems = list(self.live.problems(self.features))
        if problems:
            raise StageError(" ".join(problems), problems=problems)
        rivals = sorted(set(_LIVE_MODULES) & set(self.modules))
        if rivals:
            raise StageError(
                f"modules: {', '.join(rivals)} is chosen by flags (overlay or dmsquash), and not here: all live "
                "modules claim root=live: and exclude each other."
            )
        both = sorted(set(self.wanted_modules()) & set(self.omit_modules))
        if both:
            raise StageError(f"omit_modules: {', '.join(both)} is needed by this image. Take it out.")
        dummy, dummy2, default, (lowest, highest) = _COMPRESSORS[self.compression]
        level = default if self.compression_level is None else self.compression_level
        if not lowest <= level <= highest:
            raise StageError(
                f"compression_level: {level} is not a level of {self.compression}; it takes {lowest} to {highest}."
            )

    def inputs(self) -> dict[str, t.Any]:
        """The plan for a fingerprint."""
        values = dataclasses.asdict(self)
        features = values.pop("features")
        # The one follows from the root tree, the other says less than what is left out.
        del values["dracut"], values["brings_modules"]
        values["unasked"] = [*self.unasked_modules(), *self.unasked_drivers()]
        # What only changes the kernel command line changes no initrd.
        features["persistence"] = (
            sorted(overlay.parts(self.features))
            if self.features.flags == "overlay"
            else dmsquash.store_kind(self.features)
        )
        del features["ram"], features["overlay_size"], features["layered"]
        features["network_boot"] = list(self.features.network_boot)
        values.update(features)
        if self.features.flags == "dmsquash":
            values["repairs"] = fingerprint([dataclasses.asdict(fault) for fault in dmsquash.REPAIRS])
        for name in ("modules", "omit_modules", "drivers", "omit_drivers"):
            values[name] = sorted(values[name])
        return values

    def wanted_modules(self) -> tuple[str, ...]:
        """The dracut modules that must be in the initrd."""
        return tuple(dict.fromkeys([*self.live.dracut_modules(self.features, self.dracut), "pollcdrom", *self.modules]))

    def unasked_modules(self) -> list[str]:
        """The dracut modules to leave out although dracut would take them unasked.

        None when the user asks for modules of any kind: which others those depend on is not known here.
        """
        if self.modules or self.brings_modules:
            return []
        return [name for name in unasked_modules(self.features) if name not in self.wanted_modules()]

    def unasked_drivers(self) -> list[str]:
        """The kernel drivers to leave out although dracut would take them unasked.

        None when the user asks for modules or drivers of any kind: dracut would leave out what those depend on.
        """
        if self.modules or self.brings_modules or self.drivers:
            return []
        return list(unasked_drivers(self.features))

    def wanted_drivers(self) -> tuple[str, ...]:
        """The kernel drivers that must be in the initrd or in the kernel itself."""
        filesystem = self.features.filesystem
        drivers = ["loop", "overlay", "isofs", "squashfs" if filesystem != "erofs" else "erofs"]
        if self.features.nested:
            # The ext4 driver serves ext2 and ext3, too.
            drivers.append("ext4" if filesystem.startswith("ext") else filesystem)
        drivers += self.live.drivers(self.features)
        return tuple(dict.fromkeys([*drivers, *(driver.replace("-", "_") for driver in self.drivers)]))

    def require(self, root: str) -> None:
        """Raise StageError naming the package when a tool that the initrd needs is missing in the tree."""
        compressor = _COMPRESSORS[self.compression][0]
        wanted = [(compressor, compressor)] if compressor else []
        wanted += self.live.programs(self.features, self.dracut)
        for tool, package in wanted:
            if not any(os.path.lexists(os.path.join(root, folder, tool)) for folder in _PROGRAM_FOLDERS):
                raise StageError(
                    f"The initrd needs {tool}, which is not in {root}. Add the package {package} to the packages of "
                    "the image."
                )

    def configuration(self) -> str:
        """What dracut's configuration says for this plan: the optional parts of live-overlay, and what is left out."""
        parts = ""
        if self.features.flags == "overlay":
            parts = f'live_overlay_parts="{" ".join(overlay.parts(self.features))}"\n'
        return parts + configuration(self.unasked_modules(), self.unasked_drivers(), _HARMFUL)

    def command(self, kernel_version: str, initrd: str, scratch: str) -> list[str]:
        """dracut's command line, to be run inside the tree.

        Args:
            kernel_version: of the kernel.
            initrd: path of the result inside the tree.
            scratch: writable folder inside the tree.
        """
        dummy, compress, default, dummy2 = _COMPRESSORS[self.compression]
        level = default if self.compression_level is None else self.compression_level
        rivals = [module for module in _LIVE_MODULES if module not in self.wanted_modules()]
        omitted = sorted({*rivals, *(set(_HARMFUL) - set(self.modules)), *self.omit_modules})
        command = [
            "dracut",
            "--force",
            "--no-hostonly",
            "--no-hostonly-cmdline",
            "--no-hostonly-default-device",
            "--no-early-microcode",
            "--reproducible",
            # Distributions ship stripped files.
            "--nostrip",
            "--tmpdir",
            scratch,
            "--compress",
            compress.format(level=level),
            "--add",
            " ".join(self.wanted_modules()),
            "--omit",
            " ".join(omitted),
            "--add-drivers",
            " ".join(self.wanted_drivers()),
        ]
        if self.omit_drivers:
            command += ["--omit-drivers", " ".join(self.omit_drivers)]
        return [*command, initrd, kernel_version]

    def check(self, content: InitrdContent, builtin: t.AbstractSet[str]) -> None:
        """Raise StageError unless everything wanted is in the finished initrd. dracut itself only warns."""
        modules = [name for name in self.wanted_modules() if name not in content.modules]
        drivers = [name for name in self.wanted_drivers() if name not in content.drivers and name not in builtin]
        if modules:
            raise StageError(
                f"The initrd lacks the dracut module {', '.join(modules)}, so the image could not boot as declared. "
                "Install the package that has it (see the log for what dracut said about it)."
            )
        programs = [item for item in self.live.programs(self.features, self.dracut) if item[0] not in content.programs]
        if programs:
            names = ", ".join(program for program, dummy in programs)
            packages = ", ".join(sorted({package for dummy, package in programs}))
            raise StageError(
                f"The initrd lacks {names}, so the image could not do what is declared. Add {packages} to the packages "
                "of the image, and see the log for what dracut said."
            )
        if drivers:
            raise StageError(
                f"The initrd lacks the kernel driver {', '.join(drivers)}, and the kernel does not have it built in. "
                "Correct its name (or filesystem), or choose a kernel that has it."
            )

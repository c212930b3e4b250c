# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kiwi-ng: the Debian package, and the newest release from the Python package index."""

from __future__ import annotations

import pathlib
import shlex
import shutil
import subprocess
import sys
import time
import typing as t

from lxml import etree

from benchmarks import scenarios
from benchmarks.description import EXTRA_PACKAGE, Description
from benchmarks.scenarios import Scenario
from benchmarks.tool import Command, Tool, Unavailable, debian_version, remove_tree

# KIWI calls its module dracut-kiwi-live, Debian's package of it is kiwi-dracut-live.
_UNUSABLE_CHECK = "check_dracut_module_for_live_iso_in_package_list"
# Seconds for which an installation of the newest release is taken for that.
_NEWEST_FOR = 86400
# The defaults of live_squashfs and live_dracut. KIWI's own -b 1M comes before these, and the last one counts.
_TUNED_TYPE: dict[str, str | None] = {
    "squashfscompression": "zstd",
    "fscreateoptions": "-Xcompression-level 6 -b 256K -mem 128M",
}
_TUNED_DRACUT = 'compress="zstd -9 -q -T0"\n'


class Kiwi(Tool):
    """What both releases have in common.

    KIWI has no notion of an unchanged or changed input. A user who builds again runs ``system build`` again, which
    takes as long as the first time. We give it the least that its manual allows: the root tree of the build before is
    kept, brought up to date by hand, and only ``system create`` is run on it.
    """

    variants = ("xz", "zstd")
    warming_variant = "zstd"

    def start_cold(self) -> None:
        self.clear()

    def command(self, scenario: Scenario, description: Description, mirror: str) -> Command:
        source = self.tree / "description"
        description.write(source, mirror, type_attributes=self._type_attributes(), without=self._without())
        self._complete(source)
        config = self.tree / "kiwi.yml"
        config.write_text(self._runtime_config())
        output = self.tree / "output"
        root = output / "build/image-root"
        # Its own place for temporary files is /var/tmp, where they would stay if it were killed.
        temporary = self.tree / "temporary"
        temporary.mkdir(exist_ok=True)
        # fmt: off
        kiwi = [
            self._program(),
            "--config", str(config),
            "--shared-cache-dir", str(self.cache),
            "--temp-dir", str(temporary),
            "--logfile", str(self.tree / f"{scenario.name}.log"),
            "system",
        ]
        # fmt: on
        create = [*kiwi, "create", "--root", str(root), "--target-dir", str(output)]
        if scenario == scenarios.COLD:
            build = [*kiwi, "build", "--description", str(source), "--target-dir", str(output)]
            return Command(build, "kiwi-ng system build")
        if scenario == scenarios.PACKAGE:
            update = [*kiwi, "update", "--root", str(root), "--add-package", EXTRA_PACKAGE]
            both = f"{shlex.join(update)} && {shlex.join(create)}"
            return Command(["sh", "-c", both], "kiwi-ng system update --add-package, then system create")
        if scenario == scenarios.FILE:
            shutil.copytree(source / "root", root, dirs_exist_ok=True)
            return Command(create, "the file copied into the root tree (not measured), then kiwi-ng system create")
        if scenario == scenarios.COMMAND_LINE:
            # This is where `create` reads the description.
            shutil.copy(source / "config.xml", root / "image/config.xml")
            return Command(create, "config.xml in the root tree edited (not measured), then kiwi-ng system create")
        return Command(create, "kiwi-ng system create")

    def iso(self) -> pathlib.Path:
        found = sorted((self.tree / "output").glob("*.iso"))
        if len(found) != 1:
            raise FileNotFoundError(f"{len(found)} ISO files in {self.tree}/output, where there should be one")
        return found[0]

    def environment(self) -> dict[str, str]:
        # Keeps Debian's packages from making an initrd of their own during the installation, in KIWI's favour.
        return {**super().environment(), "INITRD": "No"}

    def _type_attributes(self) -> dict[str, str | None]:
        """xz is what KIWI uses when nothing is said."""
        return {} if self.variant == "xz" else {"squashfscompression": self.variant}

    def _without(self) -> tuple[str, ...]:
        """Packages that this release does not want in the image."""
        return ()

    def _complete(self, source: pathlib.Path) -> None:
        """Make the description one that this release can build."""

    def _program(self) -> str:
        raise NotImplementedError

    def _runtime_config(self) -> str:
        raise NotImplementedError


class DebianKiwi(Kiwi):
    """KIWI 9.24 of Debian 12. It packs ext4 inside the squashfs, and lets nobody ask for anything else."""

    family = "kiwi-debian"

    def install(self) -> str:
        version = debian_version("kiwi")
        if not pathlib.Path(self._program()).exists():
            raise Unavailable(f"{self._program()} is missing although the Debian package kiwi is installed")
        return version

    def _type_attributes(self) -> dict[str, str | None]:
        return {**super()._type_attributes(), "filesystem": None}

    def _complete(self, source: pathlib.Path) -> None:
        """Without a check of signatures: apt of the image, run as its own user, finds no folder for temporary files."""
        path = source / "config.xml"
        document = etree.parse(path)
        for repository in document.iterfind("repository"):
            repository.set("repository_gpgcheck", "false")
            for signing in repository.findall("source/signing"):
                t.cast("etree._Element", signing.getparent()).remove(signing)
        document.write(path, xml_declaration=True, encoding="utf-8")

    def _program(self) -> str:
        return "/usr/bin/kiwi-ng"

    def _runtime_config(self) -> str:
        return f"runtime_checks:\n  - disable:\n    - {_UNUSABLE_CHECK}\n"


class NewestKiwi(Kiwi):
    """The newest release of the Python package index, with its own dracut module in place of Debian's older one.

    The variant ``tuned`` has the compressors of liveforge's defaults, with their levels and sizes, for squashfs and
    initrd. Nobody who follows KIWI's manual gets them: without being told, dracut takes gzip at its highest level on
    one core, and mksquashfs zstd's level 15. It tells what is left when compressors do not count.
    """

    family = "kiwi-newest"
    variants = ("xz", "zstd", "tuned")

    @property
    def flags(self) -> t.Collection[str]:
        """With ext4 inside, as for dmsquash, the options would be those of mkfs.ext4."""
        return ("overlay",) if self.variant == "tuned" else super().flags

    def install(self) -> str:
        modules = self.installation / "dracut"
        # The newest of last month is not the newest.
        if not modules.exists() or time.time() - modules.stat().st_mtime > _NEWEST_FOR:
            remove_tree(self.installation)
            environment = self.installation / "venv"
            _run([sys.executable, "-m", "venv", str(environment)])
            pip = [str(environment / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
            _run([*pip, "install", "kiwi"])
            version = self._version()
            source_only = ["--no-deps", "--no-binary", "kiwi"]
            _run([*pip, "download", *source_only, "--dest", str(self.installation), f"kiwi=={version}"])
            self._unpack_modules(next(self.installation.glob("kiwi-*.tar.gz")), modules)
        return self._version()

    def _version(self) -> str:
        return _run([self._program(), "--version"]).split()[-1]

    @staticmethod
    def _unpack_modules(archive: pathlib.Path, modules: pathlib.Path) -> None:
        """Only the source distribution has the dracut modules."""
        partial = modules.with_suffix(".partial")
        partial.mkdir(exist_ok=True)
        wanted = [f"*/dracut/modules.d/{module}/*" for module in ("55kiwi-live", "59kiwi-lib")]
        extract = ["tar", "--extract", "--file", str(archive), "--directory", str(partial), "--no-same-owner"]
        _run([*extract, "--strip-components=3", "--wildcards", *wanted])
        partial.rename(modules)

    def _without(self) -> tuple[str, ...]:
        return ("kiwi-dracut-live",)

    def _type_attributes(self) -> dict[str, str | None]:
        return _TUNED_TYPE if self.variant == "tuned" else super()._type_attributes()

    def _complete(self, source: pathlib.Path) -> None:
        shutil.copytree(
            self.installation / "dracut", source / "root/usr/lib/dracut/modules.d", dirs_exist_ok=True, symlinks=True
        )
        if self.variant == "tuned":
            configuration = source / "root/etc/dracut.conf.d"
            configuration.mkdir(parents=True, exist_ok=True)
            (configuration / "compress.conf").write_text(_TUNED_DRACUT)

    def _program(self) -> str:
        return str(self.installation / "venv/bin/kiwi-ng")

    def _runtime_config(self) -> str:
        return f"runtime_checks:\n  disable:\n    - {_UNUSABLE_CHECK}\n"


def _run(command: t.Sequence[str]) -> str:
    """Standard output of a command.

    Raises:
        Unavailable: it failed.
    """
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{shlex.join(command)} failed: {said[-1] if said else f'status {done.returncode}'}")
    return done.stdout

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image that all tools build: the KIWI description in the folder description, and what the scenarios change."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import typing as t

from lxml import etree

from benchmarks import scenarios
from benchmarks.scenarios import Scenario

SOURCE = pathlib.Path(__file__).parent / "description"
# Small, without dependencies that the image does not have, and used by nobody.
EXTRA_PACKAGE = "tree"
# What the image needs beside the packages of the description, by the flags of its <type>.
FLAGS = {"overlay": (), "dmsquash": ("dracut-live",)}


@dataclasses.dataclass(frozen=True)
class Description:
    """The description as it stands after some changes.

    Attributes:
        message: content of /etc/motd, an overlay file.
        packages: packages beside those of the description.
        command_line: kernel parameters beside those of the description.
        flags: which dracut module mounts the root, one of FLAGS.
    """

    message: str = "Benchmark system"
    packages: tuple[str, ...] = ()
    command_line: tuple[str, ...] = ()
    flags: str = "overlay"

    def changed(self, scenario: Scenario, token: str) -> Description:
        """What a scenario makes of it; ``token`` makes the change another one than in the round before."""
        if scenario == scenarios.FILE:
            return dataclasses.replace(self, message=f"Benchmark system {token}")
        if scenario == scenarios.PACKAGE:
            return dataclasses.replace(self, packages=(*self.packages, EXTRA_PACKAGE))
        if scenario == scenarios.COMMAND_LINE:
            return dataclasses.replace(self, command_line=(f"benchmark={token}",))
        return self

    def write(
        self,
        folder: pathlib.Path,
        mirror: str,
        *,
        type_attributes: t.Mapping[str, str | None] | None = None,
        without: t.Collection[str] = (),
    ) -> None:
        """Write it as a description directory.

        Args:
            folder: the directory; files of an earlier state are replaced.
            mirror: where packages come from.
            type_attributes: attributes of <type> to set, or to remove with None.
            without: packages to leave out.
        """
        shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
        document = self._document()
        for source in document.iterfind("repository/source"):
            source.set("path", mirror)
        kind = t.cast("etree._Element", document.find("preferences/type"))
        for name, value in (type_attributes or {}).items():
            if value is None:
                kind.attrib.pop(name, None)
            else:
                kind.set(name, value)
        for package in document.findall("packages/package"):
            if package.get("name") in without:
                t.cast("etree._Element", package.getparent()).remove(package)
        (folder / "config.xml").write_bytes(etree.tostring(document, xml_declaration=True, encoding="utf-8"))
        (folder / "root/etc/motd").write_text(f"{self.message}\n")

    def package_names(self) -> list[str]:
        """All packages."""
        return [str(package.get("name")) for package in self._document().iterfind("packages/package")]

    def password(self) -> str:
        """Crypt hash of the password of the user."""
        return str(t.cast("etree._Element", self._document().find("users/user")).get("password"))

    def kernel_parameters(self) -> str:
        """The kernel command line, as <type> has it."""
        return str(t.cast("etree._Element", self._document().find("preferences/type")).get("kernelcmdline"))

    def _document(self) -> etree._Element:
        document = etree.parse(SOURCE / "config.xml").getroot()
        image = t.cast("etree._Element", document.find("packages[@type='image']"))
        for name in (*FLAGS[self.flags], *self.packages):
            etree.SubElement(image, "package", name=name)
        kind = t.cast("etree._Element", document.find("preferences/type"))
        kind.set("flags", self.flags)
        if self.flags == "dmsquash":
            # With a squashfs alone, images of kiwi-ng do not boot: dracut 059 looks for an overlay that nobody made.
            kind.set("filesystem", "ext4")
        kind.set("kernelcmdline", " ".join([str(kind.get("kernelcmdline")), *self.command_line]))
        return document


def mirror_of_source() -> str:
    """The mirror that the description names."""
    return str(t.cast("etree._Element", etree.parse(SOURCE / "config.xml").find("repository/source")).get("path"))

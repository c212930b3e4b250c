# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock of an image: which packages a build installed, to the byte. Private to this collection."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._difference import changed_inputs, describe
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import kept_tree
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp

SCHEMA = 1
HOW_TO_RENEW = "Renew it with the playbook liveforge.images.lock, or build without lock and write it with live_lock."


@dataclasses.dataclass(frozen=True)
class LockedPackage:
    """One package of a lock.

    Attributes:
        version: as dpkg tells it.
        architecture: such as ``amd64`` or ``all``.
        sha256: of the .deb file.
        priority: as the repository gives it, which may differ from what the package itself says.
        repository: name of the repository that it came from.
        file: path of the .deb file below the URI of the repository.
    """

    version: str
    architecture: str
    sha256: str
    priority: str
    repository: str
    file: str

    def deb(self, name: str) -> str:
        """The name that apt gives the .deb file in its archive folder."""
        return deb_name(name, self.version, self.architecture)


@dataclasses.dataclass(frozen=True)
class PackageLock:
    """All packages of a build.

    Attributes:
        declared: what the packages were chosen by: release, variant, names and so on; not where they come from.
        repositories: by name, with the date and digest of their Release files when the lock was made.
        packages: by name.
        source_date_epoch: seconds since 1970 of the newest Release file, or None when none had a date.
    """

    declared: t.Mapping[str, t.Any]
    repositories: t.Mapping[str, t.Mapping[str, t.Any]]
    packages: t.Mapping[str, LockedPackage]
    source_date_epoch: int | None

    @classmethod
    def parse(cls, text: str) -> PackageLock:
        """From the text of a lock file; StageError saying what is wrong with it."""
        try:
            document = json.loads(text)
            schema = document["schema"]
            if schema != SCHEMA:
                raise StageError(f"lock: the file has schema {schema}; this version reads {SCHEMA}. {HOW_TO_RENEW}")
            packages = {name: LockedPackage(**fields) for name, fields in document["packages"].items()}
            lock = cls(document["declared"], document["repositories"], packages, document["source_date_epoch"])
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            detail = f"{type(problem).__name__}: {problem}"
            raise StageError(f"lock: the file is no lock of live_lock ({detail}). {HOW_TO_RENEW}") from problem
        for name, package in packages.items():
            if not re.fullmatch(r"[0-9a-f]{64}", package.sha256) or not re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", name):
                raise StageError(f"lock: the entry of {name} has no valid name and SHA-256. {HOW_TO_RENEW}")
        return lock

    @classmethod
    def of_build(cls, root: str) -> PackageLock:
        """The lock of a root tree that live_rootfs built; StageError when nothing tells what is in it."""
        packages = root + kept_tree.SUFFIX
        stamp = Stamp.load(packages)
        if stamp is None or "archive" not in stamp.facts:
            raise StageError(
                f"root: nothing is recorded of where the packages of {root} came from ({Stamp.path_for(packages)}). "
                "Build it with live_rootfs; one of an earlier version needs force: true."
            )
        tree = Stamp.load(root)
        if tree is None or tree.facts.get("packages_content") != stamp.output["content"]:
            raise StageError(
                f"root: {root} was not made from the packages in {packages}, but from earlier ones: its last build "
                "failed, or another one is running. Build it with live_rootfs again, with force: true."
            )
        archive = stamp.facts["archive"]
        if archive["unknown"]:
            raise StageError(
                f"root: {', '.join(archive['unknown'])} came from no repository (but from a script or an archive), so "
                "the lock cannot say where to get it. Put it into a repository, or install it in scripts."
            )
        inputs = stamp.inputs
        repositories = {
            name: {
                **{field: inputs["repositories"][name][field] for field in ("uri", "suite", "components")},
                **archive["releases"].get(name, {}),
            }
            # A layer without packages has none.
            for name in inputs.get("repository_order", ())
        }
        return cls(
            archive["declared"],
            repositories,
            {name: LockedPackage(**fields) for name, fields in archive["packages"].items()},
            archive["source_date_epoch"],
        )

    def text(self) -> str:
        """The lock file: JSON with one line for each package, so that a diff shows what changed and nothing else."""
        lines = ["{", f' "schema": {SCHEMA},', f' "source_date_epoch": {json.dumps(self.source_date_epoch)},']
        for name in ("declared", "repositories", "packages"):
            entries = {
                key: dataclasses.asdict(value) if isinstance(value, LockedPackage) else value
                for key, value in getattr(self, name).items()
            }
            body = ",\n".join(f"  {json.dumps(key)}: {json.dumps(entries[key])}" for key in self._order(name))
            lines.append(f' "{name}": {{\n{body}\n }}' + ("" if name == "packages" else ","))
        return "\n".join([*lines, "}"]) + "\n"

    def _order(self, name: str) -> list[str]:
        # The first repository is the main one.
        return list(self.repositories) if name == "repositories" else sorted(getattr(self, name))

    def check(self, declared: t.Mapping[str, t.Any]) -> None:
        """Raise StageError unless the lock was made for what is declared now.

        Args:
            declared: what packages are chosen by now.
        """
        changes = changed_inputs(dict(self.declared), dict(declared))
        if changes:
            raise StageError(f"lock: it was made for another declaration: {describe(changes)}. {HOW_TO_RENEW}")

    def identity(self) -> dict[str, str]:
        """What a build from it depends on, for a fingerprint."""
        return {name: f"{package.version} {package.sha256[:16]}" for name, package in self.packages.items()}

    def facts(self) -> dict[str, t.Any]:
        """What a build from it records of where its packages came from, see :meth:`of_build`."""
        known = ("release_sha256", "date")
        return {
            "declared": dict(self.declared),
            "packages": {name: dataclasses.asdict(package) for name, package in self.packages.items()},
            "unknown": [],
            "releases": {
                name: {field: item[field] for field in known if field in item}
                for name, item in self.repositories.items()
            },
            "source_date_epoch": self.source_date_epoch,
        }

    def check_installed(self, installed: t.Mapping[str, str]) -> None:
        """Raise StageError unless exactly the locked packages are installed.

        Args:
            installed: versions by name.
        """
        locked = {name: package.version for name, package in self.packages.items()}
        changes = changed_inputs(locked, dict(installed))
        if changes:
            raise StageError(
                f"lock: what is installed is not what was locked: {describe(changes)}. A script may have installed or "
                "removed packages, the base may have others, or mmdebstrap chooses others than when the lock was made. "
                f"{HOW_TO_RENEW}"
            )


def deb_name(name: str, version: str, architecture: str) -> str:
    """The name that apt gives a .deb file in its archive folder."""
    return f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"


def package_changes(before: PackageLock | None, after: PackageLock) -> list[str]:
    """Sentences such as ``htop 3.2.2-2 -> 3.3.0-1`` for every package that is not the same in two locks."""
    old = before.packages if before is not None else {}
    found = []
    for name in sorted({*old, *after.packages}):
        one, other = old.get(name), after.packages.get(name)
        if one is None and other is not None:
            found.append(f"+{name} {other.version}")
        elif other is None and one is not None:
            found.append(f"-{name} {one.version}")
        elif one is not None and other is not None and one.version != other.version:
            found.append(f"{name} {one.version} -> {other.version}")
        elif one is not None and other is not None and one.sha256 != other.sha256:
            found.append(f"{name} {one.version}: other bytes of the same version")
    return found

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the system in a root tree shall be, apart from its packages. Private to this collection."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.accounts import (
    Group,
    User,
    declared_groups,
    declared_users,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.boot_places import is_boot_place
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.configure import File, Services, Tree
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.kiwi_interface import KiwiInterface
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.scripts import Script, declared_scripts
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import Shipped

# RFC 1123, section 2.1.
_HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\Z")
_MODE = re.compile(r"0?[0-7]{3,4}\Z")


@dataclasses.dataclass(frozen=True)
class Declaration:
    """Overlays, accounts, settings, files, scripts and removals, in the order in which they are applied."""

    trees: tuple[Tree, ...] = ()
    hostname: str | None = None
    locale: str | None = None
    keymap: str | None = None
    timezone: str | None = None
    groups: tuple[Group, ...] = ()
    users: tuple[User, ...] = ()
    files: tuple[File, ...] = ()
    services: Services = dataclasses.field(default_factory=Services)
    scripts: tuple[Script, ...] = ()
    images_scripts: tuple[Script, ...] = ()
    kiwi: KiwiInterface | None = None
    packages_remove: tuple[str, ...] = ()
    packages_delete: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> Declaration:
        """From the options of live_rootfs; StageError naming the option at fault."""
        dest = options["dest"]
        return cls(
            # As KIWI has it: what an overlay holds wins over archives.
            trees=(
                *archives(options, "image"),
                *_trees("overlays", options["overlays"], dest, keep_owners=False),
            ),
            hostname=options["hostname"],
            locale=options["locale"],
            keymap=options["keymap"],
            timezone=options["timezone"],
            groups=tuple(declared_groups(options["groups"])),
            users=tuple(declared_users(options["users"])),
            files=tuple(_file(f"files[{index}]", item, dest) for index, item in enumerate(options["files"])),
            services=Services(
                tuple(options["services_enabled"]),
                tuple(options["services_disabled"]),
                tuple(options["services_masked"]),
                options["default_target"],
            ),
            scripts=declared_scripts("scripts", options),
            images_scripts=declared_scripts("images_scripts", options),
            kiwi=KiwiInterface.from_options(options),
            packages_remove=tuple(options["packages_remove"]),
            packages_delete=tuple(options["packages_delete"]),
        )

    def validate(self) -> None:
        """Raise StageError for values that cannot work."""
        if self.hostname is not None and not _HOSTNAME.match(self.hostname):
            raise StageError(
                f"hostname: {self.hostname!r} is not a host name: letters, digits and hyphens, parts of at most 63 "
                "characters separated by dots (RFC 1123)."
            )
        for file in self.files:
            if not file.dest.startswith("/") or file.dest.endswith("/") or "/../" in file.dest:
                raise StageError(f"{file.option}.dest: {file.dest!r} must be the absolute path of a file in the image.")
            if not _MODE.match(file.mode):
                raise StageError(f"{file.option}.mode: {file.mode!r} is not an octal mode such as '0644'; quote it.")
        for tree in self.trees:
            if not tree.dest.startswith("/"):
                raise StageError(f"{tree.shipped.option}.dest: {tree.dest!r} must be an absolute path in the image.")

    def inputs(self) -> dict[str, t.Any]:
        """The declaration for a fingerprint."""
        return {
            "overlays": _tree_inputs(self.trees, "overlays"),
            "archives": _tree_inputs(self.trees, "archives"),
            "hostname": self.hostname,
            "locale": self.locale,
            "keymap": self.keymap,
            "timezone": self.timezone,
            # The order decides about numbers that are not declared.
            "group_order": [group.name for group in self.groups],
            "groups": {group.name: dataclasses.asdict(group) for group in self.groups},
            "user_order": [user.name for user in self.users],
            "users": {user.name: user.identity() for user in self.users},
            "files": {file.dest: _file_inputs(file) for file in self.files},
            "services": {
                "enabled": list(self.services.enabled),
                "disabled": list(self.services.disabled),
                "masked": list(self.services.masked),
                "default_target": self.services.default_target,
            },
            "scripts": [script.identity for script in self.scripts],
            "packages_remove": sorted(self.packages_remove),
            **self._late_inputs(),
        }

    def boot_inputs(self) -> dict[str, t.Any]:
        """The part of the declaration that an initrd can depend on; scripts can change anything."""
        found: dict[str, t.Any] = {
            "keymap": self.keymap,
            "locale": self.locale,
            "groups": [dataclasses.asdict(group) for group in self.groups],
            "users": [[user.name, user.account()] for user in self.users],
            "scripts": [script.identity for script in self.scripts],
            "packages_remove": sorted(self.packages_remove),
            "archives": _tree_inputs(self.trees, "archives"),
            "files": {file.dest: _file_inputs(file) for file in self.files if is_boot_place(file.dest.lstrip("/"))},
            **self._late_inputs(),
        }
        for tree in self.trees:
            if tree.shipped.option.startswith("overlays"):
                prefix = tree.dest.strip("/")
                found[tree.shipped.option] = {
                    path: entry
                    for path, entry in tree.shipped.entries.items()
                    if is_boot_place(f"{prefix}{path}".lstrip("/")) and not entry.endswith(" directory")
                }
        return found

    def _late_inputs(self) -> dict[str, t.Any]:
        """Options that few images have; an image without them has the fingerprint that it had before they existed."""
        found: dict[str, t.Any] = {}
        if self.images_scripts:
            found["images_scripts"] = [script.identity for script in self.images_scripts]
        if self.packages_delete:
            found["packages_delete"] = sorted(self.packages_delete)
        scripts = self.all_scripts()
        if self.kiwi is not None and scripts:
            found["kiwi"] = self.kiwi.inputs(scripts)
        return found

    def all_scripts(self) -> tuple[Script, ...]:
        """The scripts in the order in which they run."""
        return (*self.scripts, *self.images_scripts)

    def shipped(self) -> list[Shipped]:
        """All trees and files whose bytes come from an archive."""
        return [
            *(tree.shipped for tree in self.trees),
            *(file.shipped for file in self.files if file.shipped is not None),
            *(script.shipped for script in self.all_scripts() if script.shipped is not None),
            *([self.kiwi.functions] if self.kiwi is not None else []),
        ]


def archives(options: t.Mapping[str, t.Any], phase: str) -> list[Tree]:
    """The archives of the options of live_rootfs that are unpacked in one phase (``bootstrap`` or ``image``)."""
    items = options["archives"]
    trees = _trees("archives", items, options["dest"], keep_owners=True)
    return [tree for tree, item in zip(trees, items, strict=True) if (item.get("phase") or "image") == phase]


def _trees(option: str, items: t.Sequence[t.Mapping[str, t.Any]], dest: str, *, keep_owners: bool) -> list[Tree]:
    return [
        Tree(Shipped.from_item(f"{option}[{index}]", item, dest), item.get("dest") or "/", keep_owners)
        for index, item in enumerate(items)
    ]


def _file(option: str, item: t.Mapping[str, t.Any], dest: str) -> File:
    if (item.get("content") is None) == (item.get("src") is None):
        raise StageError(f"{option} ({item['dest']}): give either content or src.")
    return File(
        option=option,
        dest=item["dest"],
        content=item.get("content"),
        shipped=Shipped.from_item(option, item, dest) if item.get("src") is not None else None,
        owner=item.get("owner") or "root",
        group=item.get("group") or "root",
        mode=item.get("mode") or "0644",
    )


def _tree_inputs(trees: t.Sequence[Tree], option: str) -> dict[str, t.Any]:
    # By position, not by path: the same overlay lies elsewhere in another checkout or AWX job.
    return {
        tree.shipped.option.partition("[")[2].rstrip("]"): {"dest": tree.dest, "entries": dict(tree.shipped.entries)}
        for tree in trees
        if tree.shipped.option.startswith(option)
    }


def _file_inputs(file: File) -> dict[str, t.Any]:
    if file.shipped is not None:
        content = file.shipped.identity
    else:
        content = hashlib.sha256((file.content or "").encode()).hexdigest()
    return {"sha256": content, "owner": file.owner, "group": file.group, "mode": file.mode}

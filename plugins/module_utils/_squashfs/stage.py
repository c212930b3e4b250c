# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stage that packs a root tree into the image of a live system. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import typing as t
import uuid

from ansible_collections.liveforge.images.plugins.module_utils._command import find_tool
from ansible_collections.liveforge.images.plugins.module_utils._digest import fingerprint
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.base import MIB, Filesystem, ImageRequest
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.erofs import Erofs, ErofsCompression
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.tree import (
    REQUIRED_DIRECTORIES,
    TreeScan,
    excluded_paths,
    named,
    scan,
)
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.view import TreeView
from ansible_collections.liveforge.images.plugins.module_utils._layers import base_content
from ansible_collections.liveforge.images.plugins.module_utils._publish import remove
from ansible_collections.liveforge.images.plugins.module_utils._squashfs import pack as packing_tool
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.compression import Compression
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.options import ImageOptions
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.pack import Packing, pack
from ansible_collections.liveforge.images.plugins.module_utils._stage import Stage, Work, input_artifact, require_space
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp

# What compressing leaves of a root tree at most, unless much of it is compressed already. Before a tree was packed once
# with the same compression, nobody knows better. Algorithms that are not here compress better.
_PACKED_SHARES = {"uncompressed": 1.0, "lz4": 0.5, "lz4hc": 0.45, "lzo": 0.45}
_PACKED_SHARE = 0.35


class SquashfsStage(Stage):
    """Packs a tree.

    Args:
        output: path of the image.
        options: what to make of it.
        predicted: fingerprints by path that check mode foresees.
        source_date_epoch: see :class:`Stage`.
        warn: takes a sentence about what the image cannot keep.
    """

    name = "live_squashfs"
    format_version = 2

    def __init__(
        self,
        output: str,
        options: ImageOptions,
        *,
        predicted: t.Mapping[str, str] | None = None,
        source_date_epoch: int | None = None,
        warn: t.Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__(output, source_date_epoch)
        self.options = options
        self._predicted = predicted or {}
        self._warn = warn
        self._scan = TreeScan()
        self._excluded: list[str] = []

    def validate(self) -> None:
        root = self.options.root
        self.options.check(with_epoch=self.source_date_epoch is not None)
        if f"{os.path.realpath(self.output)}/".startswith(os.path.realpath(root).rstrip("/") + "/"):
            raise StageError(f"dest: {self.output} lies inside root ({root}). Choose a place outside of it.")

    def inputs(self) -> dict[str, t.Any]:
        options = self.options
        found = {
            "root": input_artifact(options.root, self._predicted),
            "filesystem": options.filesystem,
            "compression": dataclasses.asdict(self.options.how_to_compress()),
            "size": options.size,
            "size_additive": options.size_additive,
            "label": options.label,
            "fscreateoptions": list(options.fscreateoptions),
            "exclude": sorted(set(options.exclude)),
            "tools": self._versions(),
        }
        if options.layer:
            found["layer"] = True
        return found

    def _versions(self) -> dict[str, str]:
        if self.options.filesystem == "erofs":
            return {Erofs.maker: Erofs().version()}
        versions = {"mksquashfs": packing_tool.version()}
        if self.options.nested is not None:
            versions[self.options.nested.maker] = self.options.nested.version()
        return versions

    def predicted(self) -> dict[str, t.Any]:
        return {"filesystem": self.options.filesystem, "compression": self._compression_facts()}

    def _compression_facts(self) -> dict[str, t.Any]:
        compression = self.options.how_to_compress()
        if isinstance(compression, ErofsCompression):
            return {"algorithm": compression.algorithm, "level": None, "block_size": compression.cluster}
        return {"algorithm": compression.algorithm, "level": compression.level, "block_size": compression.block_size}

    def reads(self) -> list[str]:
        return [self.options.root]

    def preflight(self) -> None:
        options = self.options
        if not os.path.isdir(options.root):
            raise StageError(
                f"root: {options.root} is not a directory. Build the root tree first, such as with live_rootfs."
            )
        if not options.layer:
            _require_tree(options.root)
        compression = self.options.how_to_compress()
        if isinstance(compression, ErofsCompression):
            Erofs().require(compression)
            if options.label is not None and not Erofs().has_labels():
                raise StageError(f"label: {Erofs().version()} of this build host cannot set labels. Leave it out.")
        else:
            for tool in packing_tool.TOOLS:
                find_tool(tool)
        if self.options.nested is not None:
            self.options.nested.require()
        self._excluded = excluded_paths(options.root, options.exclude)
        self._scan = scan(options.root, self._excluded)
        if self.options.nested is not None:
            self.options.nested.refuse(self._scan)
        if options.filesystem == "squashfs":
            self._refuse_lost_rights()
        require_space(os.path.dirname(self.output), self._needed_space(), f"the image of {options.root}")

    def packed_share(self) -> float:
        """What packing makes of a tree that was never packed, as a multiple of the tree."""
        return _PACKED_SHARES.get(self.options.how_to_compress().algorithm, _PACKED_SHARE)

    def _needed_space(self) -> int:
        """Bytes that building takes, with the image as well compressed as the last one was."""
        needed = int(self._scan.data * self.packed_share())
        stamp = Stamp.load(self.output)
        # Of a layer with next to nothing in it, the ratio is 0.
        if stamp is not None and stamp.facts.get("compression") == self._compression_facts() and stamp.facts["ratio"]:
            needed = int(self._scan.size / stamp.facts["ratio"])
        nested = self.options.nested
        if nested is not None:
            needed += nested.space(self._scan, self._nested_size(nested))
        return needed

    def _refuse_lost_rights(self) -> None:
        if self._scan.acls_in_force:
            raise StageError(
                "filesystem: squashfs has no access control lists, and without those of "
                f"{named(self._scan.acls_in_force)} somebody would get more rights. Remove them (setfacl -b), exclude "
                "the files, or choose ext4 or erofs."
            )
        lost = self._dropped()
        if lost:
            self._warn(f"squashfs cannot keep the access control lists or special attributes of {named(lost)}.")

    def _dropped(self) -> list[str]:
        return sorted({*self._scan.acls, *self._scan.other_attributes}) if self.options.filesystem == "squashfs" else []

    def build(self, work: Work) -> dict[str, t.Any]:
        folder, name = os.path.split(self.output)
        scratch = os.path.join(folder, f".{name}.work")
        remove(scratch)
        os.mkdir(scratch, 0o755)
        try:
            return self._build(work, scratch)
        finally:
            remove(scratch)

    def _build(self, work: Work, scratch: str) -> dict[str, t.Any]:
        compression = self.options.how_to_compress()
        rootfs_size = None
        identity: str | None = self._identity()
        if isinstance(compression, ErofsCompression):
            self._make_erofs(work, scratch, compression, str(identity))
        elif self.options.nested is not None:
            rootfs_size = self._make_nested(work, scratch, self.options.nested, compression, str(identity))
        else:
            identity = None
            self._pack_tree(work, compression)
        os.chmod(work.target, 0o644)
        size = os.path.getsize(work.target)
        return {
            "filesystem": self.options.filesystem,
            "compression": self._compression_facts(),
            "inodes": self._scan.inodes,
            "uncompressed_size": self._scan.size,
            "ratio": round(self._scan.size / size, 2),
            "rootfs_size": rootfs_size,
            "uuid": identity,
            "dropped_attributes": self._dropped(),
            **({"base_content": base_content(self.options.root)} if self.options.layer else {}),
        }

    def _identity(self) -> str:
        """UUID from what goes into the image alone, so that the same content gets the same one wherever it was made."""
        inputs = self.inputs()
        kept = {name: value for name, value in inputs.items() if name != "tools"}
        kept["root"] = inputs["root"]["content"]
        return str(uuid.UUID(hex=fingerprint(kept)[:32], version=5))

    def _pack_tree(self, work: Work, compression: Compression) -> None:
        packing = Packing(
            source=self.options.root,
            target=work.target,
            compression=compression,
            inodes=self._scan.inodes,
            size=self._scan.size,
            excluded=tuple(self._excluded),
            options=self.options.fscreateoptions,
            processors=self.options.processors,
            memory=self.options.memory,
        )
        pack(packing, work.run, work.progress, "packing the root tree")

    def _make_nested(
        self,
        work: Work,
        scratch: str,
        filesystem: Filesystem,
        compression: Compression,
        identity: str,
    ) -> int:
        container = os.path.join(scratch, "container")
        os.makedirs(os.path.join(container, "LiveOS"))
        request = ImageRequest(
            path=os.path.join(container, "LiveOS", "rootfs.img"),
            view=TreeView(self.options.root, self._excluded, _subfolder(scratch, "tree")),
            scan=self._scan,
            size=self._nested_size(filesystem),
            label=self.options.label,
            uuid=identity,
            options=self.options.fscreateoptions,
            source_date_epoch=self.source_date_epoch,
            scratch=_subfolder(scratch, "files"),
        )
        work.progress.step(f"making the {filesystem.name} image")
        filesystem.make(request, work.run)
        packing = Packing(
            source=container,
            target=work.target,
            compression=compression,
            inodes=3,
            size=request.size,
            processors=self.options.processors,
            memory=self.options.memory,
        )
        pack(packing, work.run, work.progress, f"packing the {filesystem.name} image")
        return request.size

    def _nested_size(self, filesystem: Filesystem) -> int:
        """Bytes of the file system image inside the squashfs."""
        given = (self.options.size or 0) * MIB
        if given and not self.options.size_additive:
            return given
        return filesystem.default_size(self._scan) + given

    def _make_erofs(self, work: Work, scratch: str, compression: ErofsCompression, identity: str) -> None:
        work.progress.step("packing the root tree")
        Erofs().make(
            work.target,
            TreeView(self.options.root, self._excluded, _subfolder(scratch, "tree")),
            self._scan,
            compression,
            uuid=identity,
            label=self.options.label,
            options=self.options.fscreateoptions,
            source_date_epoch=self.source_date_epoch,
            run=work.run,
        )


def _subfolder(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    os.mkdir(path)
    return path


def _require_tree(root: str) -> None:
    # lstat: a link would lead into the build host.
    missing = [
        name
        for name in REQUIRED_DIRECTORIES
        if os.path.islink(os.path.join(root, name)) or not os.path.isdir(os.path.join(root, name))
    ]
    if missing:
        raise StageError(
            f"root: {root} has no directories {', '.join(missing)}. A live system mounts there, and the initrd tells a "
            "root tree by them. Create them in the tree, or check that root names the right one."
        )

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two builds compared layer by layer: root tree, kernel, initrd, packed root, ISO. Private to this collection."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import tempfile
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._compare.difference import Difference, bytes_differ
from ansible_collections.liveforge.images.plugins.module_utils._compare.filesystems import (
    compare_filesystems,
    kind_of,
)
from ansible_collections.liveforge.images.plugins.module_utils._compare.initrds import compare_initrds, is_initrd
from ansible_collections.liveforge.images.plugins.module_utils._compare.isos import compare_isos, is_iso
from ansible_collections.liveforge.images.plugins.module_utils._compare.trees import (
    Listing,
    compare_trees,
    listing,
    listing_sha256,
)
from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

# What the role live_image leaves in the folder of an image, in the order in which it is made.
_LAYERS = (
    ("root tree", "rootfs"),
    ("kernel", os.path.join("boot", "linux")),
    ("initrd", os.path.join("boot", "initrd")),
    ("packed root", "squashfs.img"),
)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One artifact of an image on both sides, by path.

    Attributes:
        name: what it is, such as ``initrd``.
        first: its path on the first side.
        second: its path on the second side.
    """

    name: str
    first: str
    second: str


def layers(first: str, second: str) -> list[Layer]:
    """What is to be compared for two paths.

    Args:
        first: the folder of an image with its outputs, or one file or tree of it.
        second: the same of another build.

    Raises:
        StageError: a path is missing, or the two are not of one kind.
    """
    for option, path in (("first", first), ("second", second)):
        if not os.path.exists(path):
            raise StageError(f"{option}: {path} does not exist on this host.")
    if os.path.isdir(first) != os.path.isdir(second):
        raise StageError(f"first, second: one of {first} and {second} is a directory, the other is not.")
    if not os.path.isdir(first):
        return [Layer(_kind(first), first, second)]
    isos = _isos(first, second)
    outputs = [_outputs(first, isos[0]), _outputs(second, isos[1])]
    if not any(outputs):
        return [Layer("tree", first, second)]
    for name in outputs[0]:
        if name not in outputs[1]:
            raise StageError(f"second: {second} has no {name}, but {first} has one. Build both of them whole.")
    for name in outputs[1]:
        if name not in outputs[0]:
            raise StageError(f"first: {first} has no {name}, but {second} has one. Build both of them whole.")
    return [Layer(name, path, outputs[1][name]) for name, path in outputs[0].items()]


def _isos(first: str, second: str) -> list[str | None]:
    """The file names of the ISO images in two folders. Of several versions, that of the other folder's only one."""
    found = {
        folder: sorted(name for name in os.listdir(folder) if name.endswith(".iso") and not name.startswith("."))
        for folder in (first, second)
    }
    for folder, other in ((first, second), (second, first)):
        if len(found[folder]) > 1 and len(found[other]) == 1:
            found[folder] = [name for name in found[folder] if name in found[other]] or found[folder]
        if len(found[folder]) > 1:
            raise StageError(
                f"{folder} has several ISO images: {', '.join(found[folder])}. Name two of them in first and second."
            )
    return [found[folder][0] if found[folder] else None for folder in (first, second)]


def _outputs(folder: str, iso: str | None) -> dict[str, str]:
    """The outputs of the role live_image in a folder, with this ISO."""
    found = {name: os.path.join(folder, place) for name, place in _LAYERS}
    if iso is not None:
        found["ISO"] = os.path.join(folder, iso)
    present = {name: path for name, path in found.items() if os.path.exists(path)}
    # A root tree has /boot, too, but none of the others.
    return present if {"packed root", "ISO"} & set(present) else {}


def _kind(path: str) -> str:
    if is_iso(path):
        return "ISO"
    if kind_of(path) is not None:
        return "packed root"
    return "initrd" if is_initrd(path) else "file"


def compare_layer(layer: Layer, limit: int, run: Runner, scratch: str) -> dict[str, t.Any]:
    """Digests of a layer on both sides, and what differs.

    Args:
        layer: what to compare.
        limit: at most that many differences are described, the others counted.
        run: runs the tools.
        scratch: folder for unpacked files; nothing is left in it.
    """
    listings = (listing(layer.first), listing(layer.second)) if os.path.isdir(layer.first) else None
    digests, differences = _digests(layer, listings), iter(())
    with contextlib.ExitStack() as stack:
        if digests[0] != digests[1]:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="liveforge-compare-", dir=scratch))
            differences = _differences(layer, listings, run, folder)
        shown = list(itertools.islice(differences, limit))
        omitted = sum(1 for dummy in differences)
    return {
        "layer": layer.name,
        "first": layer.first,
        "second": layer.second,
        "first_sha256": digests[0],
        "second_sha256": digests[1],
        "identical": digests[0] == digests[1],
        "differences": [{**dataclasses.asdict(difference), "msg": difference.sentence()} for difference in shown],
        "omitted": omitted,
    }


def _digests(layer: Layer, listings: tuple[Listing, Listing] | None) -> tuple[str, str]:
    if listings is not None:
        return listing_sha256(listings[0]), listing_sha256(listings[1])
    return file_sha256(layer.first), file_sha256(layer.second)


def _differences(
    layer: Layer, listings: tuple[Listing, Listing] | None, run: Runner, folder: str
) -> t.Iterator[Difference]:
    paths = (layer.first, layer.second)
    if listings is not None:
        return compare_trees(*paths, listings)
    if all(map(is_iso, paths)):
        return compare_isos(*paths)
    if kind_of(layer.first) is not None:
        return compare_filesystems(*paths, run, folder)
    if layer.name == "initrd":
        return compare_initrds(*paths, run, folder)
    return bytes_differ(*paths)

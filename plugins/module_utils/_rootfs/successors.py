# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Space for what later stages make of a root tree, beside it. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp


@dataclasses.dataclass(frozen=True)
class Space:
    """An amount of disk space.

    Attributes:
        share: part of it that grows with the tree: 0.5 is half of the tree's size.
        size: bytes besides, however large the tree is.
    """

    share: float = 0.0
    size: int = 0

    def beside(self, tree: int) -> int:
        """Bytes beside a tree of so many bytes."""
        return int(self.share * tree) + self.size


@dataclasses.dataclass(frozen=True)
class Successor:
    """What a stage makes of the tree, or of what another one made of it.

    Attributes:
        path: where it is made, in the file system of the tree.
        expected: its size, as long as it was never made.
        scratch: what making it takes for a while, besides.
        includes: files that go into it, besides, as long as it was never made.
    """

    path: str
    expected: Space
    scratch: Space = Space()
    includes: tuple[str, ...] = ()

    @classmethod
    def from_option(cls, option: t.Mapping[str, t.Any]) -> Successor:
        """From an item of the option ``successors`` of live_rootfs."""
        return cls(
            option["path"],
            Space(option["share"], option["size"]),
            Space(option["scratch"], option["scratch_size"]),
            tuple(option["includes"]),
        )


def space_for(successors: t.Iterable[Successor]) -> Space:
    """The space that making these takes at most, one after the other; each replaces what was made in its place."""
    most, kept = Space(), Space()
    for successor in successors:
        former = _size(successor.path)
        if former:
            new = Space(0.0, former)
        else:
            new = Space(successor.expected.share, successor.expected.size + sum(map(_size, successor.includes)))
        most = Space(
            max(most.share, kept.share + new.share + successor.scratch.share),
            max(most.size, kept.size + new.size + successor.scratch.size),
        )
        kept = Space(kept.share + new.share, kept.size + new.size - former)
    return most


def _size(path: str) -> int:
    """Bytes of what a stage made; 0 when it is not there."""
    stamp = Stamp.load(path)
    return int(stamp.output["size"]) if stamp is not None and os.path.lexists(path) else 0

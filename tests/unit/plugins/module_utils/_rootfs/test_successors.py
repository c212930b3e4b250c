# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Space for what is made of a root tree: known of what was made before, expected of all else."""

from __future__ import annotations

import pathlib

from ansible_collections.liveforge.images.plugins.module_utils._rootfs.successors import Space, Successor, space_for
from ansible_collections.liveforge.images.plugins.module_utils._stamp import Stamp

MB = 1_000_000


def made(path: pathlib.Path, size: int) -> None:
    """As if a stage had made it."""
    path.write_text("output")
    Stamp("test", "0", {}, {"kind": "file", "size": size}, {}, "2026-01-01T00:00:00Z", 0.0).save(str(path))


def chain(folder: pathlib.Path, scratch: float = 0.0, base: pathlib.Path | None = None) -> list[Successor]:
    return [
        Successor(str(folder / "boot"), Space(0, 60 * MB)),
        Successor(str(folder / "squashfs.img"), Space(0.35), Space(scratch)),
        Successor(str(folder / "live.iso"), Space(0.35, 90 * MB), includes=(str(base),) if base else ()),
    ]


def test_everything_stays_that_is_made_for_the_first_time(tmp_path: pathlib.Path) -> None:
    assert space_for(chain(tmp_path)) == Space(0.7, 150 * MB)
    assert space_for(chain(tmp_path)).beside(1000 * MB) == 850 * MB


def test_what_is_made_again_replaces_the_last_one_before_the_next_is_made(tmp_path: pathlib.Path) -> None:
    for name, size in (("boot", 50 * MB), ("squashfs.img", 300 * MB), ("live.iso", 360 * MB)):
        made(tmp_path / name, size)
    assert space_for(chain(tmp_path)) == Space(0.0, 360 * MB)


def test_of_what_is_gone_nothing_is_replaced(tmp_path: pathlib.Path) -> None:
    made(tmp_path / "squashfs.img", 300 * MB)
    (tmp_path / "squashfs.img").unlink()
    assert space_for(chain(tmp_path)) == Space(0.7, 150 * MB)


def test_another_version_has_an_iso_of_its_own(tmp_path: pathlib.Path) -> None:
    for name, size in (("boot", 50 * MB), ("squashfs.img", 300 * MB), ("old.iso", 360 * MB)):
        made(tmp_path / name, size)
    assert space_for(chain(tmp_path)) == Space(0.35, 300 * MB)


def test_a_file_system_inside_is_there_while_it_is_packed(tmp_path: pathlib.Path) -> None:
    assert space_for(chain(tmp_path, scratch=1.1)).share == 0.35 + 1.1


def test_an_iso_holds_the_base_too(tmp_path: pathlib.Path) -> None:
    base = tmp_path / "base.img"
    made(base, 200 * MB)
    assert space_for(chain(tmp_path, base=base)).size == 350 * MB

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of two folders is compared."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._compare.images import layers
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError


def folder(path: pathlib.Path, *isos: str) -> str:
    path.mkdir()
    for name in ("squashfs.img", *isos):
        (path / name).write_bytes(b"")
    return str(path)


def test_of_several_versions_that_of_the_other_folder_is_compared(tmp_path: pathlib.Path) -> None:
    first = folder(tmp_path / "first", "rescue.x86_64-1.iso", "rescue.x86_64-2.iso")
    second = folder(tmp_path / "second", "rescue.x86_64-2.iso")
    for sides in ((first, second), (second, first)):
        found = {layer.name: layer for layer in layers(*sides)}
        assert found["ISO"].first.endswith("/rescue.x86_64-2.iso")
        assert found["ISO"].second.endswith("/rescue.x86_64-2.iso")


@pytest.mark.parametrize("others", [("c.iso",), (), ("a.iso", "b.iso")])
def test_several_versions_without_a_counterpart_are_refused(tmp_path: pathlib.Path, others: tuple[str, ...]) -> None:
    first, second = folder(tmp_path / "first", "a.iso", "b.iso"), folder(tmp_path / "second", *others)
    with pytest.raises(StageError, match=r"first has several ISO images: a\.iso, b\.iso"):
        layers(first, second)


def test_isos_of_one_each_may_have_other_names(tmp_path: pathlib.Path) -> None:
    first, second = folder(tmp_path / "first", "a.iso"), folder(tmp_path / "second", "b.iso")
    assert [layer.name for layer in layers(first, second)] == ["packed root", "ISO"]

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kernel is taken."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._initrd.dracut import DracutPlan
from ansible_collections.liveforge.images.plugins.module_utils._initrd.stage import Initrd
from ansible_collections.liveforge.images.plugins.module_utils._live.features import LiveFeatures


def stage(root: pathlib.Path, kernel: str | None) -> Initrd:
    return Initrd(
        str(root.parent / "boot"),
        root=str(root),
        plan=DracutPlan(LiveFeatures(), compression="none"),
        kernel=kernel,
        own_modules=[],
        predicted={},
        source_date_epoch=None,
    )


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    for version in ("6.9.12-amd64", "6.10.3-amd64", "6.1.0-50-amd64"):
        (tmp_path / "root/usr/lib/modules" / version).mkdir(parents=True)
    return tmp_path / "root"


def test_newest_kernel_by_number_not_by_letter(root: pathlib.Path) -> None:
    assert stage(root, None)._kernel_version() == "6.10.3-amd64"


def test_named_kernel(root: pathlib.Path) -> None:
    assert stage(root, "6.1.0-50-amd64")._kernel_version() == "6.1.0-50-amd64"


def test_kernel_that_is_not_installed_is_refused_with_those_that_are(root: pathlib.Path) -> None:
    with pytest.raises(StageError, match=r"kernel: 5\.10 is not installed .* 6\.1\.0-50-amd64, 6\.10\.3-amd64"):
        stage(root, "5.10")._kernel_version()


def test_tree_without_kernel_names_the_package(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StageError, match="Add a kernel"):
        stage(tmp_path, None)._kernel_version()

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives that the controller brought: whole ones are used, others are asked for again."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.liveforge.images.plugins.module_utils import _shipment
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import shipped
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import (
    Shipped,
    forget_others,
    require_archives,
)


def brought(tmp_path: pathlib.Path, name: str) -> Shipped:
    tree = tmp_path / name
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/name").write_text(name)
    entries = _shipment.describe(str(tree))
    item = {"entries": entries, "identity": _shipment.identity(entries)}
    found = Shipped.from_item("overlays[0]", item, str(tmp_path / "rootfs"))
    _shipment.place_archive(str(tree), found.archive)
    return found


def test_damaged_archives_are_asked_for_again(tmp_path: pathlib.Path) -> None:
    one, two = brought(tmp_path, "one"), brought(tmp_path, "two")
    require_archives([one, two])
    # What a power failure leaves of a file that was renamed before it was written.
    pathlib.Path(two.archive).write_bytes(b"")
    with pytest.raises(StageError) as caught:
        require_archives([one, two])
    assert caught.value.details["missing_inputs"] == [two.identity]


def test_archives_of_nobody_go_and_those_of_another_run_that_is_bringing_its_own_stay(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = brought(tmp_path, "one"), brought(tmp_path, "two")
    partial = pathlib.Path(one.archive).with_name(f".{one.identity}.x7f.partial")
    partial.write_bytes(b"half")
    forget_others(str(tmp_path / "rootfs"), [one])
    assert pathlib.Path(one.archive).exists() and partial.exists()
    assert not pathlib.Path(two.archive).exists()
    monkeypatch.setattr(shipped, "_STALE_SECONDS", -1)
    forget_others(str(tmp_path / "rootfs"), [one])
    assert pathlib.Path(one.archive).exists() and not partial.exists()

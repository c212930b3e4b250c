# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stage file: written whole, read with suspicion."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._stamp import (
    Stamp,
    output_changed,
    output_identity,
    output_state,
    tree_size,
)


def stamp(**values: t.Any) -> Stamp:
    """A stage file's content."""
    usual = {"stage": "s", "fingerprint": "f", "inputs": {}, "output": {}, "facts": {}, "finished": "", "duration": 1.0}
    return Stamp(**(usual | values))


def test_what_is_saved_is_loaded(tmp_path: pathlib.Path) -> None:
    output = str(tmp_path / "output")
    saved = stamp(inputs={"list": [1, None, "ü\udcff"], "nested": {"a": True}}, duration=1.5)
    saved.save(output)
    assert Stamp.load(output) == saved
    assert os.listdir(tmp_path) == ["output.stage.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"schema": 1}', '{"schema": 1, "other": 2}', "\xff"])
def test_damaged_file_is_as_good_as_none(text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "output.stage.json").write_text(text, encoding="latin-1")
    assert Stamp.load(str(tmp_path / "output")) is None


def test_file_of_another_version_is_as_good_as_none(tmp_path: pathlib.Path) -> None:
    stamp().save(str(tmp_path / "output"))
    path = tmp_path / "output.stage.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))
    assert Stamp.load(str(tmp_path / "output")) is None


def test_missing_file_is_none(tmp_path: pathlib.Path) -> None:
    assert Stamp.load(str(tmp_path / "output")) is None


def recorded(path: pathlib.Path) -> dict[str, t.Any]:
    """What a stage records of its output."""
    return {**output_identity(str(path)), "state": output_state(str(path))}


def test_unchanged_file_and_tree(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("x")
    for name in ("tree", "tree/file"):
        identity = recorded(tmp_path / name)
        assert identity == json.loads(json.dumps(identity))
        assert output_changed(str(tmp_path / name), identity) is None
        os.utime(tmp_path / name, (1, 1))
        assert output_changed(str(tmp_path / name), identity) is None


def test_reasons(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "output"
    path.write_text("content")
    identity = recorded(path)
    path.write_text("contenT")
    assert output_changed(str(path), identity) == "was modified after it was built"
    path.write_text("c")
    assert output_changed(str(path), identity) == "has 1 bytes, not 7 as when it was built"
    path.unlink()
    assert output_changed(str(path), identity) == "does not exist"
    path.mkdir()
    assert output_changed(str(path), identity) == "is a tree, not a file"


def test_copy_in_place_of_the_original_is_fine(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "output"
    path.write_text("content")
    identity = recorded(path)
    (tmp_path / "copy").write_text("content")
    os.replace(tmp_path / "copy", path)
    assert output_changed(str(path), identity) is None


def test_a_digest_that_is_known_is_not_taken_again(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "output"
    path.write_text("content")
    assert output_identity(str(path), "known") == {"kind": "file", "content": "known", "size": 7}
    assert output_identity(str(tmp_path), "known")["content"] == "known"


def test_size_counts_hard_links_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(bytes(1000))
    os.link(tmp_path / "folder/file", tmp_path / "hard")
    (tmp_path / "other").write_bytes(bytes(10))
    assert tree_size(str(tmp_path)) == 1010

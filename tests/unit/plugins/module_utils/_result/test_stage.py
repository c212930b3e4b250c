# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written down of an image, and when its lists of packages are made again."""

from __future__ import annotations

import copy
import gzip
import json
import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._result import stage as result
from ansible_collections.liveforge.images.plugins.module_utils._result.stage import ResultStage
from ansible_collections.liveforge.images.plugins.module_utils._stage import Stage, StageRun, Work

STATUS = """\
Package: {name}
Status: install ok installed
Architecture: all
Version: 1.0

"""


class Made(Stage):
    """An artifact with one file, or a tree with one package, by a text."""

    name = "made"

    def __init__(self, output: pathlib.Path, text: str, unpackaged: str) -> None:
        super().__init__(str(output))
        self.text = text
        self.unpackaged = unpackaged

    def validate(self) -> None:
        """Anything will do."""

    def inputs(self) -> dict[str, t.Any]:
        return {"text": self.text, "unpackaged": self.unpackaged}

    def build(self, work: Work) -> dict[str, t.Any]:
        target = pathlib.Path(work.target)
        if pathlib.Path(self.output).name == "rootfs":
            (target / "var/lib/dpkg").mkdir(parents=True)
            (target / "var/lib/dpkg/status").write_text(STATUS.format(name=self.text))
            folder = target / "usr/share/doc" / self.text
            folder.mkdir(parents=True)
            (folder / "changelog.gz").write_bytes(gzip.compress(b"a change\n"))
            (target / "unpackaged").write_text(self.unpackaged)
            return {"packaged_content": f"of {self.text}"}
        target.write_text(self.text)
        return {}


class Image:
    """Artifacts in a folder, and the stage that writes down what is known of them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        for name in ("rootfs", "boot", "squashfs", "iso"):
            self.make(name, "first")

    def make(self, name: str, text: str, unpackaged: str = "") -> None:
        StageRun(Made(self.folder / name, text, unpackaged), lock_timeout=0).execute()

    def stage(self) -> ResultStage:
        return ResultStage(
            str(self.folder / "image.json"),
            name="image",
            version="1.0",
            artifacts={name: str(self.folder / name) for name in ("rootfs", "boot", "squashfs", "iso")},
            foreseen={},
            source_date_epoch=None,
        )

    def write(self, *, force: bool = False) -> dict[str, t.Any]:
        outcome = StageRun(self.stage(), force=force, lock_timeout=0).execute()
        assert outcome.changed
        return t.cast("dict[str, t.Any]", json.loads((self.folder / "image.json").read_text()))

    def lists(self) -> dict[str, str]:
        return {suffix: (self.folder / f"image.{suffix}").read_text() for suffix in result.COMPANIONS}


@pytest.fixture
def image(tmp_path: pathlib.Path) -> Image:
    return Image(tmp_path)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one whenever the packages of a tree are listed."""
    seen: list[str] = []
    original = result.installed
    monkeypatch.setattr(result, "installed", lambda root: seen.append(root) or original(root))
    return seen


def test_files_are_where_the_workspace_is_now(image: Image, tmp_path: pathlib.Path) -> None:
    image.write()
    moved = copy.copy(image)
    moved.folder = tmp_path / "moved"
    shutil.copytree(image.folder, moved.folder, ignore=shutil.ignore_patterns("moved"))
    run = StageRun(moved.stage(), lock_timeout=0)
    for outcome in (run.decide(), run.execute()):
        assert not outcome.changed
        assert outcome.facts["files"] == {
            suffix: str(moved.folder / f"image.{suffix}") for suffix in ("json", *result.COMPANIONS)
        }
    assert str(image.folder) not in (image.folder / "image.json.stage.json").read_text()


def test_the_packages_are_written_down(image: Image) -> None:
    document = image.write()
    assert document["packages"] == {"count": 1, "manager": "dpkg"}
    assert image.lists()["packages"] == "first|None|1.0|None|all|None|None\n"
    assert image.lists()["changes"] == "first|\na change\n\n"


def test_another_iso_of_the_same_tree_keeps_the_lists(image: Image, looks: list[str]) -> None:
    before, lists = image.write(), image.lists()
    image.make("iso", "second")
    after = image.write()
    assert len(looks) == 1
    assert image.lists() == lists
    assert after["iso"]["sha256"] != before["iso"]["sha256"]
    assert {name: after[name] for name in ("packages", "files")} == {
        name: before[name] for name in ("packages", "files")
    }


def test_another_tree_has_other_lists(image: Image, looks: list[str]) -> None:
    image.write()
    image.make("rootfs", "second")
    image.write()
    assert len(looks) == 2
    assert image.lists()["packages"].startswith("second|")


def test_another_tree_with_the_same_packages_keeps_the_lists(image: Image, looks: list[str]) -> None:
    before, lists = image.write(), image.lists()
    image.make("rootfs", "first", unpackaged="a greeting")
    after = image.write()
    assert len(looks) == 1
    assert image.lists() == lists
    assert after["fingerprints"]["rootfs"] != before["fingerprints"]["rootfs"]


def test_a_tree_changed_by_hand_is_listed_again(image: Image, looks: list[str]) -> None:
    image.write()
    (image.folder / "rootfs/var/lib/dpkg/status").write_text(STATUS.format(name="third"))
    image.write()
    assert len(looks) == 2
    assert image.lists()["packages"].startswith("third|")


def test_a_damaged_list_is_made_again(image: Image, looks: list[str]) -> None:
    image.write()
    lists = image.lists()
    (image.folder / "image.packages").write_text("something else")
    image.make("iso", "second")
    image.write()
    assert len(looks) == 2
    assert image.lists() == lists


def test_force_makes_the_lists_again(image: Image, looks: list[str]) -> None:
    image.write()
    image.write(force=True)
    assert len(looks) == 2

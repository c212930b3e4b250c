# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole descriptions, each with the image that it must come to (expected.yml beside it)."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.liveforge.images.plugins.plugin_utils._description import presentation
from ansible_collections.liveforge.images.plugins.plugin_utils._description.image import OPTIONS
from ansible_collections.liveforge.images.plugins.plugin_utils._image_spec import ImageSpec
from unit.plugins.plugin_utils._description.reading_of import FOLDER, portable, read, warnings

CASES = [
    (folder, number)
    for folder in sorted(path.name for path in FOLDER.iterdir())
    for number, dummy in enumerate(yaml.safe_load((FOLDER / folder / "expected.yml").read_text()))
]


def _case(folder: str, number: int) -> dict[str, t.Any]:
    return yaml.safe_load((FOLDER / folder / "expected.yml").read_text())[number]


@pytest.mark.parametrize(("folder", "number"), CASES)
def test_description_comes_to_the_expected_image(folder: str, number: int) -> None:
    case = _case(folder, number)
    reading = read(FOLDER / folder, **{key: _tuple(value) for key, value in case["options"].items()})
    image = portable(reading.image, FOLDER / folder)
    image["kiwi_profile"] = {name: value for name, value in image["kiwi_profile"].items() if value}
    assert image == case["image"]
    assert warnings(reading, FOLDER / folder) == case["warnings"]


def test_every_option_of_the_table_is_produced_by_some_description() -> None:
    produced = {option for folder, number in CASES for option in _case(folder, number)["image"]}
    assert produced == set(OPTIONS)


@pytest.mark.parametrize(("folder", "flags"), [("debian-12-overlay", "overlay"), ("debian-13-dmsquash", "dmsquash")])
def test_debian_descriptions_are_images_that_the_role_takes(folder: str, flags: str) -> None:
    reading = read(FOLDER / folder)
    image = reading.image
    # Nothing that the role would not build.
    assert reading.warnings == []
    result = ImageSpec(image, lambda source: source).result()
    assert result["outputs"]["iso"].endswith(
        "/" + (image.get("bundle_name") or reading.description["result_name"]) + ".iso"
    )
    assert result["dracut"]["flags"] == flags
    assert result["dracut"]["hybridpersistent"] is True
    assert result["dracut"]["hybridpersistent_filesystem"] == "xfs"


@pytest.mark.parametrize("folder", ["debian-12-overlay", "debian-13-dmsquash"])
def test_shown_variables_and_images_declare_the_same_image(folder: str) -> None:
    reading = read(FOLDER / folder)
    variables = yaml.safe_load(presentation.as_variables(reading))
    assert {name.removeprefix("live_image_"): value for name, value in variables.items()} == reading.image
    assert yaml.safe_load(presentation.as_images(reading)) == {"live_images": [reading.image]}


def test_shown_yaml_has_no_repository_password_and_no_template() -> None:
    reading = read(FOLDER / "repositories")
    shown = presentation.as_variables(reading)
    assert "top secret" not in shown
    assert "hidden" not in shown
    assert "{{ password_of_private }}" in shown
    assert "https://me:{{ password_of_inside }}@inside.example.com" in shown
    assert not any("top secret" in warning or "hidden" in warning for warning in reading.warnings)
    hostile = reading.image | {"displayname": "{{ lookup('pipe', 'id') }}"}
    shown = presentation.as_variables(reading.__class__(hostile, [], reading.description))
    assert "live_image_displayname: !unsafe" in shown


def _tuple(value: t.Any) -> t.Any:
    return tuple(value) if isinstance(value, list) else value

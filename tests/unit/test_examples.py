# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples that a newcomer starts from: they are valid, and what they build can be reached."""

from __future__ import annotations

import re
import typing as t

import pytest
import yaml

import playbook
from ansible_collections.liveforge.images.plugins.plugin_utils._image_spec import ImageSpec

EXAMPLES = (
    "README.md",
    "docs/many-images-on-one-base.md",
    "playbooks/examples/default.yml",
    "playbooks/examples/shared-base.yml",
)


def first_example(name: str) -> dict[str, t.Any]:
    text = (playbook.ROOT / name).read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return t.cast("dict[str, t.Any]", yaml.safe_load(blocks[0] if name.endswith(".md") else text))


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_declare_a_network(name: str) -> None:
    example = first_example(name)
    assert example["live_images"]
    for image in example["live_images"]:
        spec = ImageSpec({**image, "bases": example.get("live_bases", [])}, lambda source: source)
        trees = [spec.options, *([spec.base.options] if spec.base is not None else [])]
        files = [file["dest"] for tree in trees for file in tree["files"]]
        services = [service for tree in trees for service in tree["services_enabled"]]
        assert [file for file in files if file.startswith("/etc/systemd/network/")], files
        assert "systemd-networkd.service" in services

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that the action takes are those that the module documents."""

from __future__ import annotations

import typing as t

import yaml

from ansible_collections.liveforge.images.plugins.action.live_description import ARGUMENTS
from ansible_collections.liveforge.images.plugins.modules.live_description import DOCUMENTATION


def test_documented_options_are_the_taken_ones() -> None:
    assert _facts(yaml.safe_load(DOCUMENTATION)["options"], "suboptions") == _facts(ARGUMENTS, "options")


def _facts(options: dict[str, t.Any], inner: str) -> dict[str, t.Any]:
    keys = ("type", "elements", "required", "default", "choices")
    return {
        name: {key: option[key] for key in keys if key in option}
        | ({"options": _facts(option[inner], inner)} if inner in option else {})
        for name, option in options.items()
    }

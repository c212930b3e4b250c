# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which input changed, in words."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._difference import as_diff, changed_inputs, describe


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ({"a": 1}, {"a": 2}, "a (1 -> 2)"),
        ({"a": "x"}, {}, "a (gone)"),
        ({}, {"a": "x"}, "a (new)"),
        ({"a": None}, {"a": "x"}, "a (new)"),
        ({"a": False}, {"a": True}, "a (False -> True)"),
        ({"u": {"live": {"groups": ["a"]}}}, {"u": {"live": {"groups": ["a", "b"]}}}, "u.live.groups (+b)"),
        ({"p": ["a", "b"]}, {"p": ["b", "a"]}, "p (order)"),
        ({"p": ["x" * 50]}, {"p": []}, "p (-" + "x" * 36 + "...)"),
        ({"p": []}, {"p": list("abcdef")}, "p (+a +b +c +d and 2 more)"),
        ({"digest": "0" * 64}, {"digest": "1" * 64}, "digest"),
        ({"a": {"x": 1}}, {"a": "text"}, "a"),
        ({}, dict.fromkeys("abcdef", 1), "a (new), b (new), c (new), d (new), and 2 more"),
    ],
)
def test_sentence(before: dict[str, t.Any], after: dict[str, t.Any], sentence: str) -> None:
    assert describe(changed_inputs(before, after)) == sentence


def test_nothing_changed() -> None:
    assert changed_inputs({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) == []


def test_diff_has_both_sides() -> None:
    diff = as_diff("/out", changed_inputs({"a": 1, "same": 0, "old": "x"}, {"a": 2, "same": 0, "word": "ü"}))
    assert diff["before"] == '{\n "a": 1,\n "old": "x"\n}\n'
    assert diff["after"] == '{\n "a": 2,\n "word": "ü"\n}\n'
    assert "/out" in diff["before_header"] and "/out" in diff["after_header"]


def test_diff_of_what_did_not_exist_has_one_side() -> None:
    diff = as_diff("/out", [("build", None, "/out does not exist")])
    assert diff["before"] == "" and "does not exist" in diff["after"]

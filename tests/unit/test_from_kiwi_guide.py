# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide's table of elements and attributes says what the schema says, and leaves none out."""

from __future__ import annotations

import playbook
from ansible_collections.liveforge.images.plugins.plugin_utils._description.schema import Treatment, schema

GUIDE = (playbook.ROOT / "docs/from-kiwi.md").read_text()


def rows() -> list[str]:
    """The rows that the table must have: each element, then its attributes."""
    found = []
    for element in schema().elements.values():
        inside = _parents(element.define)
        found.append(_row(f"`<{element.tag}>`{inside}", element.treatment))
        for attribute in element.attributes.values():
            name = attribute.name.rpartition("}")[2]
            found.append(_row(f"`<{element.tag} {name}>`{inside}", attribute.treatment))
    return list(dict.fromkeys(found))


def _row(name: str, treatment: Treatment) -> str:
    said = {
        "honoured": "honoured",
        "informative": "kept as a fact",
        "warned": f"warned: {treatment.means}",
        "refused": f"refused: {treatment.means}",
        "other types": "other image types only",
    }[treatment.live]
    return f"| {name} | {said} |"


def _parents(define: str) -> str:
    tag = schema().elements[define].tag
    if sum(element.tag == tag for element in schema().elements.values()) == 1:
        return ""
    parents = {
        element.tag
        for element in schema().elements.values()
        for child in element.children.values()
        if child.define == define
    }
    return f" in {', '.join(f'`<{parent}>`' for parent in sorted(parents))}"


def test_every_element_and_attribute_is_in_the_table_with_its_treatment() -> None:
    written = [line for line in GUIDE.splitlines() if line.startswith("| `<")]
    assert len(rows()) > 350
    assert [row for row in rows() if row not in written] == []
    assert [row for row in written if row not in rows()] == []

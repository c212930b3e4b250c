# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a description says that a live image does not honour. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import DescriptionError, Problem
from ansible_collections.liveforge.images.plugins.plugin_utils._description.schema import Element, schema
from ansible_collections.liveforge.images.plugins.plugin_utils._description.selection import Selection

if t.TYPE_CHECKING:
    from lxml import etree

_SECTIONS = (
    "certificates",
    "containers",
    "description",
    "drivers",
    "extension",
    "preferences",
    "repository",
    "strip",
    "users",
)
_PACKAGES = ("bootstrap", "image", "delete", "uninstall")


def not_honoured(selection: Selection) -> list[Problem]:
    """A warning for each element and attribute that applies and is not honoured; DescriptionError for refused ones."""
    document = selection.document
    image = schema().elements["image"]
    found = list(_attributes(selection, document.root, image))
    sections = [section for tag in _SECTIONS for section in selection.sections(tag)]
    sections += selection.packages(*_PACKAGES, selection.type.get("image", ""))
    for section in sections:
        found += _element(selection, section, t.cast("Element", schema().child(image, section.tag)))
    refused = [problem for problem in found if problem.text.startswith("refused: ")]
    if refused:
        raise DescriptionError(refused, "{count} things cannot be built")
    return found


def _element(selection: Selection, node: etree._Element, element: Element) -> t.Iterator[Problem]:
    document = selection.document
    treatment = element.treatment
    if treatment.live == "warned":
        yield Problem(document.place(node), f"<{element.tag}> is not honoured: {treatment.means}.")
        return
    if treatment.live == "other types":
        yield Problem(document.place(node), f"<{element.tag}> is not honoured: it means nothing to a live image.")
        return
    yield from _attributes(selection, node, element)
    if element.open:
        return
    for child in node.iterchildren("*"):
        if child.tag == "type" and child is not selection.type:
            continue
        known = schema().child(element, child.tag)
        if known is not None and selection.matches_architecture(child):
            yield from _element(selection, child, known)


def _attributes(selection: Selection, node: etree._Element, element: Element) -> t.Iterator[Problem]:
    for name in node.attrib:
        attribute = element.attributes.get(str(name))
        if attribute is None:
            continue
        place = selection.document.place(node, str(name))
        means = attribute.treatment.means
        # Other types are just read.
        if attribute.treatment.live == "refused" and selection.type.get("image") == "iso":
            yield Problem(place, f"refused: attribute {name} of <{element.tag}>: {means}.")
        elif attribute.treatment.live in ("refused", "warned"):
            yield Problem(place, f"attribute {name} of <{element.tag}> is not honoured: {means}.")

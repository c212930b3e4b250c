# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema of descriptions: what may stand where, and what becomes of it in a live image. Private to this collection.

lxml's RELAX NG validator decides; it names the first thing that does not fit and rarely the reason. So the same file
is also read as a table of elements and attributes, from which all errors are told at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import os
import re
import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description import versions
from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import Document, etree
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import Problem

# More than anybody reads; a hostile file could have a million.
MAXIMUM_ERRORS = 10000
_RNG = "{http://relaxng.org/ns/structure/1.0}"
_LIVE = "{urn:liveforge:description}"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_BUILTIN = {
    "boolean": (re.compile(r"true|false|1|0"), "true, false, 1 or 0"),
    "nonNegativeInteger": (re.compile(r"\+?[0-9]+|-0+"), "a whole number that is not negative"),
    "integer": (re.compile(r"[+-]?[0-9]+"), "a whole number"),
}
# An expression that lists all choices says less than this.
_PATTERN_NAMES = {
    "x86_64|i586": "architectures with commas between them, such as x86_64,aarch64",
    "C|POSIX": "languages with commas between them, such as en_US,de_DE (always UTF-8, so without .UTF-8); or C, POSIX",
}


@dataclasses.dataclass(frozen=True)
class Datatype:
    """What a value may be.

    Attributes:
        values: the words it may be.
        pattern: an expression it may fit, or None.
        expected: the pattern in words.
        minimum: the least number.
        anything: whether all text (and, for an element, all content) is allowed.
    """

    values: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    expected: str = ""
    minimum: int | None = None
    anything: bool = False

    def allows(self, value: str) -> bool:
        """Whether the value is one of this type, white space around it aside."""
        if self.anything:
            return True
        value = " ".join(value.split())
        if value in self.values:
            return True
        if self.pattern is None or not self.pattern.fullmatch(value):
            return False
        return self.minimum is None or (len(value) < 20 and int(value) >= self.minimum)

    def allowed(self) -> str:
        """What is allowed, as text."""
        parts = ([", ".join(sorted(self.values))] if self.values else []) + ([self.expected] if self.expected else [])
        return ", or ".join(parts)


@dataclasses.dataclass(frozen=True)
class Treatment:
    """What becomes of an element or attribute in a live image: see the head of schema.rng."""

    live: str
    means: str = ""


@dataclasses.dataclass(frozen=True)
class Attribute:
    """An attribute of an element."""

    name: str
    datatype: Datatype
    required: bool
    treatment: Treatment
    types: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Child:
    """How often an element may stand in another."""

    define: str
    required: bool
    repeated: bool


@dataclasses.dataclass(frozen=True)
class Element:
    """An element: what it may have and hold."""

    define: str
    tag: str
    treatment: Treatment
    attributes: dict[str, Attribute]
    children: dict[str, Child]
    content: Datatype | None

    @property
    def open(self) -> bool:
        """Whether it may hold anything at all."""
        return self.content is not None and self.content.anything and self.define == "extension"


class Schema:
    """schema.rng as a table."""

    def __init__(self) -> None:
        tree = etree.parse(os.path.join(os.path.dirname(__file__), "schema.rng"))
        self._relaxng = etree.RelaxNG(tree)
        self._defines = {define.get("name"): define for define in tree.getroot().iter(_RNG + "define")}
        self.elements: dict[str, Element] = {}
        for name, define in self._defines.items():
            element = define.find(_RNG + "element")
            if element is not None and element.get("name"):
                self.elements[name] = self._element(name, element)

    def child(self, parent: Element, tag: t.Any) -> Element | None:
        """What an element of this name is inside another."""
        child = parent.children.get(tag) if isinstance(tag, str) else None
        return self.elements[child.define] if child is not None else None

    def errors(self, document: Document) -> list[Problem]:
        """Everything in which a description (brought up to the newest version) does not fit the schema."""
        problems: list[Problem] = []
        root = document.root
        if root.tag != "image":
            return [Problem(document.place(root), f"the outermost element must be <image>, not <{_shown(root.tag)}>.")]
        pending = [(root, self.elements["image"])]
        while pending and len(problems) < MAXIMUM_ERRORS:
            node, element = pending.pop()
            problems += itertools.islice(self._node_errors(document, node, element), MAXIMUM_ERRORS)
            if not element.open:
                for child in node.iterchildren("*"):
                    known = self.child(element, child.tag)
                    if known is not None:
                        pending.append((child, known))
        if len(problems) >= MAXIMUM_ERRORS:
            problems.append(Problem(document.place(root), f"there are more than {MAXIMUM_ERRORS} errors."))
        if not problems and not self._relaxng.validate(root):
            # Should not happen: the table and the validator read the same file.
            problems = [
                Problem(document.place(root), f"line {entry.line}: {entry.message}")
                for entry in self._relaxng.error_log
            ]
        return problems

    def normalize(self, document: Document) -> None:
        """Take the white space around values of attributes away, where it means nothing; the description is valid."""
        pending = [(document.root, self.elements["image"])]
        while pending:
            node, element = pending.pop()
            for name, value in node.attrib.items():
                known = element.attributes.get(name)
                if known is not None and not known.datatype.anything:
                    node.set(name, " ".join(value.split()))
            for child in node.iterchildren("*"):
                inner = self.child(element, child.tag)
                if inner is not None:
                    pending.append((child, inner))

    def _node_errors(self, document: Document, node: etree._Element, element: Element) -> t.Iterator[Problem]:
        name = f"<{element.tag}>"
        for attribute, value in node.attrib.items():
            shown = _shown(attribute)
            known = element.attributes.get(attribute)
            if known is None:
                if element.open:
                    continue
                former = versions.FORMER_ATTRIBUTES.get((element.tag, shown), "")
                allowed = _choices("attribute", shown, tuple(sorted(map(_shown, element.attributes))))
                yield Problem(
                    document.place(node, shown), f"{name} has no attribute {shown}. {former or allowed}".strip()
                )
            elif not known.datatype.allows(value):
                allowed = known.datatype.allowed()
                former = versions.FORMER_VALUES.get((element.tag, value.strip()), "")
                if (element.tag, shown) == ("image", "schemaversion"):
                    allowed = f"{versions.OLDEST} to {versions.NEWEST}"
                yield Problem(
                    document.place(node, shown),
                    f"{name}: attribute {shown} is {value!r}. Allowed: {allowed}. {former}".strip(),
                )
        missing = [
            attribute.name
            for attribute in element.attributes.values()
            if attribute.required and attribute.name not in node.attrib
        ]
        if element.open:
            return
        text = _own_text(node) if element.content is None else ""
        if text and missing == ["name"]:
            yield Problem(
                document.place(node),
                f"{name} has the text {text[:60]!r}, but its name is an attribute: {name[:-1]} name=...>.",
            )
            missing, text = [], ""
        for attribute in missing:
            yield Problem(document.place(node), f"{name} needs the attribute {attribute}.")
        if text:
            yield Problem(document.place(node), f"{name} cannot contain text, but has {text[:60]!r}.")
        yield from self._content_errors(document, node, element)

    def _content_errors(self, document: Document, node: etree._Element, element: Element) -> t.Iterator[Problem]:
        name = f"<{element.tag}>"
        counts: dict[str, int] = {}
        for child in node.iterchildren("*"):
            known = element.children.get(child.tag)
            if known is None:
                allowed = _choices("element", _shown(child.tag), tuple(sorted(element.children)))
                yield Problem(document.place(child), f"{name} cannot contain <{_shown(child.tag)}>. {allowed}".strip())
                continue
            counts[child.tag] = counts.get(child.tag, 0) + 1
            if counts[child.tag] == 2 and not known.repeated:
                yield Problem(document.place(child), f"{name} can contain <{child.tag}> only once.")
        for tag, child in element.children.items():
            if child.required and tag not in counts:
                yield Problem(document.place(node), f"{name} needs an element <{tag}>.")
        if element.content is None:
            return
        text = _own_text(node)
        if not element.content.allows(text):
            former = versions.FORMER_VALUES.get((element.tag, text), "")
            allowed = element.content.allowed()
            yield Problem(document.place(node), f"{name} is {text[:60]!r}. Allowed: {allowed}. {former}".strip())

    def _element(self, define: str, element: etree._Element) -> Element:
        found = Element(define, element.get("name"), _treatment(element), {}, {}, None)
        content = self._collect(element, found, required=True, repeated=False)
        return dataclasses.replace(found, content=content)

    def _collect(self, parent: etree._Element, found: Element, *, required: bool, repeated: bool) -> Datatype | None:
        content = None
        for node in parent.iterchildren("*"):
            kind = node.tag.removeprefix(_RNG)
            if kind in ("interleave", "optional", "zeroOrMore", "oneOrMore"):
                inner = self._collect(
                    node,
                    found,
                    required=required and kind in ("interleave", "oneOrMore"),
                    repeated=repeated or kind in ("zeroOrMore", "oneOrMore"),
                )
                content = inner or content
            elif kind == "attribute":
                name = re.sub("^xsi:", _XSI, node.get("name"))
                types = tuple((node.get(_LIVE + "types") or "").split())
                found.attributes[name] = Attribute(name, self._datatype(node), required, _treatment(node), types)
            elif kind == "ref" and self._defines[node.get("name")].find(_RNG + "element[@name]") is not None:
                tag = self._defines[node.get("name")].find(_RNG + "element").get("name")
                found.children[tag] = Child(node.get("name"), required, repeated)
            elif kind != "empty":
                content = self._single(node)
        return content

    def _datatype(self, parent: etree._Element) -> Datatype:
        return self._single(next(parent.iterchildren("*")))

    def _single(self, node: etree._Element) -> Datatype:
        kind = node.tag.removeprefix(_RNG)
        if kind == "ref":
            if node.get("name") == "anything":
                return Datatype(anything=True)
            return self._datatype(self._defines[node.get("name")])
        if kind == "text":
            return Datatype(anything=True)
        if kind == "value":
            return Datatype(values=(node.text,))
        if kind == "choice":
            parts = [self._single(part) for part in node.iterchildren("*")]
            pattern = next((part for part in parts if part.pattern is not None), Datatype())
            values = tuple(value for part in parts for value in part.values)
            return dataclasses.replace(pattern, values=values)
        parameters = {parameter.get("name"): parameter.text for parameter in node.iterchildren(_RNG + "param")}
        if "pattern" in parameters:
            source = parameters["pattern"]
            words = next((words for part, words in _PATTERN_NAMES.items() if part in source), f"what fits {source}")
            return Datatype(pattern=re.compile(source, re.ASCII), expected=words)
        pattern, words = _BUILTIN[node.get("type")]
        minimum = int(parameters["minInclusive"]) if "minInclusive" in parameters else None
        least = f" of at least {minimum}" if minimum is not None else ""
        return Datatype(pattern=pattern, expected=words + least, minimum=minimum)


@functools.cache
def schema() -> Schema:
    """The schema, read once."""
    return Schema()


def _treatment(node: etree._Element) -> Treatment:
    return Treatment(node.get(_LIVE + "live") or "honoured", node.get(_LIVE + "means") or "")


def _own_text(node: etree._Element) -> str:
    # Not by XPath, which takes quadratic time for many children.
    return " ".join("".join([node.text or "", *(child.tail or "" for child in node)]).split())


def _shown(name: t.Any) -> str:
    return str(name).replace(_XSI, "xsi:")


@functools.lru_cache(maxsize=1000)
def _choices(kind: str, given: str, allowed: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(given, allowed, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Allowed: {', '.join(allowed)}." if allowed else f"It has no {kind}s."

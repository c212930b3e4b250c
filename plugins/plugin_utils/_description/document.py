# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loading a description and what it includes, with the line of everything. Private to this collection."""

from __future__ import annotations

import os
import re
import typing as t
import urllib.parse

from ansible_collections.liveforge.images.plugins.plugin_utils._description.directory import (
    MAXIMUM_BYTES,
    DescriptionDirectory,
    read,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import (
    DescriptionError,
    Place,
    Problem,
)

try:
    from lxml import etree
except ImportError as problem:
    etree = None
    LXML_IMPORT_ERROR: ImportError | None = problem
else:
    LXML_IMPORT_ERROR = None

# The format needs eight levels, extensions of other tools a few more.
MAXIMUM_DEPTH = 64
MAXIMUM_INCLUDES = 100
# Lines of one start tag. Looking back without an end for each of many elements could take hours.
MAXIMUM_TAG_LINES = 200
# White space, byte order marks and the zeros of wide characters before the first tag.
_MARKS = b" \t\r\n\0\xef\xbb\xbf\xfe\xff"
_ENTITY = re.compile(r"<!ENTITY\b")


class Document:
    """A description with its includes put in place.

    Attributes:
        file: path of the description.
        root: its element <image>.
        included: paths of the included files.
        warnings: what is accepted although it does not do what it seems to.

    Raises:
        DescriptionError: naming file and line.
    """

    def __init__(self, directory: DescriptionDirectory, file: str) -> None:
        if LXML_IMPORT_ERROR is not None:
            raise DescriptionError.at(
                Place(file), "the Python package lxml is needed on the controller to read descriptions. Install it."
            ) from LXML_IMPORT_ERROR
        self.file = file
        self.included: list[str] = []
        self.warnings: list[Problem] = []
        self._directory = directory
        self._bytes = 0
        self._lines: dict[str, list[str]] = {}
        # By child of <image>, since only those can come from another file. Holds the elements, so that they stay
        # the same objects.
        self._origin: dict[etree._Element, str] = {}
        self.root = self._parse(file)
        includes = list(self.root.iterchildren("include"))
        if len(includes) > MAXIMUM_INCLUDES:
            raise self.error(includes[MAXIMUM_INCLUDES], f"more than {MAXIMUM_INCLUDES} files are included.")
        for include in includes:
            self._include(include)

    def place(self, element: etree._Element, attribute: str | None = None) -> Place:
        """Where an element starts, or one of its attributes stands."""
        top = element
        while top is not self.root and top.getparent() is not None and top.getparent() is not self.root:
            top = top.getparent()
        file = self._origin.get(top, self.file)
        # libxml2 knows the line where the start tag ends.
        end = element.sourceline or 0
        lines = self._lines[file]
        tag = re.compile(rf"<([\w.-]+:)?{re.escape(etree.QName(element).localname)}(?![\w.-])")
        earliest = max(0, end - MAXIMUM_TAG_LINES)
        start = next(
            (number for number in range(min(end, len(lines)), earliest, -1) if tag.search(lines[number - 1])), end
        )
        if attribute is None:
            return Place(file, start)
        wanted = re.compile(rf"(?<![\w:.-]){re.escape(attribute)}\s*=")
        for number in range(start, min(end, len(lines)) + 1):
            if wanted.search(lines[number - 1]):
                return Place(file, number)
        return Place(file, start)

    def warn(self, element: etree._Element, text: str, attribute: str | None = None) -> None:
        """Note something that the user should know."""
        self.warnings.append(Problem(self.place(element, attribute), text))

    def error(self, element: etree._Element, text: str, attribute: str | None = None) -> DescriptionError:
        """An error at an element or attribute, to be raised."""
        return DescriptionError.at(self.place(element, attribute), text)

    def _parse(self, file: str) -> etree._Element:
        content = read(file)
        self._bytes += len(content)
        if self._bytes > MAXIMUM_BYTES:
            raise DescriptionError.at(
                Place(file), f"a description and what it includes can have {MAXIMUM_BYTES} bytes together at most."
            )
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            attribute_defaults=False,
            huge_tree=False,
        )
        try:
            root = etree.fromstring(content, parser)
        except (etree.XMLSyntaxError, LookupError, ValueError) as problem:
            if content.strip() and not content.lstrip(_MARKS).startswith(b"<"):
                raise DescriptionError.at(
                    Place(file),
                    "this is not XML. A description in YAML, JSON, TOML or INI must be converted first: "
                    '"kiwi-ng image info --description DIRECTORY --print-xml" prints it as XML.',
                ) from problem
            line = getattr(problem, "lineno", 0) or 0
            # It may quote several lines of the file.
            reason = " ".join((getattr(problem, "msg", None) or str(problem)).split())
            raise DescriptionError.at(Place(file, line), f"this is not well-formed XML: {reason}.") from problem
        encoding = root.getroottree().docinfo.encoding or "utf-8"
        try:
            text = content.decode(encoding, "replace")
        except LookupError:
            text = content.decode("utf-8", "replace")
        # As libxml2 counts: only line feeds.
        self._lines[file] = text.split("\n")
        self._refuse_entities(root, file)
        _limit_depth(root, file)
        return root

    def _refuse_entities(self, root: etree._Element, file: str) -> None:
        dtd = root.getroottree().docinfo.internalDTD
        declared = list(dtd.iterentities()) if dtd is not None else []
        used = next(root.iter(etree.Entity), None)
        if declared or used is not None:
            line = used.sourceline if used is not None else 0
            for number, text in enumerate(self._lines[file], start=1):
                if declared and _ENTITY.search(text):
                    line = number
                    break
            raise DescriptionError.at(
                Place(file, line or 0),
                "entities of one's own (<!ENTITY ...>) are not expanded, since they can be used to read files or to "
                "fill the memory. Write their text where they are used, or take it from an <include>. "
                "(&lt; &gt; &amp; &quot; &apos; and numbers such as &#228; are fine.)",
            )

    def _include(self, include: etree._Element) -> None:
        reference = include.get("from")
        if reference is None:
            # The schema's complaint says what is missing.
            return
        path = self._directory.require_trusted(
            self._include_path(include, reference), self.place(include, "from"), f"<include from={reference!r}>"
        )
        if not os.path.isfile(path):
            raise self.error(include, f"<include from={reference!r}>: {path} does not exist.", "from")
        if path == self.file:
            raise self.error(include, f"<include from={reference!r}>: a description cannot include itself.", "from")
        included = self._parse(path)
        if included.tag != "image":
            raise DescriptionError.at(
                Place(path, included.sourceline or 0),
                f"the outermost element of an included file must be <image>, not <{included.tag}>.",
            )
        if path not in self.included:
            self.included.append(path)
        children = [child for child in included if isinstance(child.tag, str)]
        parent = include.getparent()
        position = parent.index(include)
        # What follows the include may be text, which belongs to the removed element.
        parent.remove(include)
        for offset, child in enumerate(children):
            self._origin[child] = path
            parent.insert(position + offset, child)
        for child in children:
            if child.tag == "include":
                raise self.error(
                    child, "an included file cannot include others. Name this file in the description itself."
                )

    def _include_path(self, include: etree._Element, reference: str) -> str:
        if "\0" in reference:
            raise self.error(include, "<include>: the name holds a null character.", "from")
        folder = self._directory.path
        if reference.startswith("this:"):
            return os.path.normpath(os.path.join(folder, reference.removeprefix("this:").lstrip("/")))
        try:
            parts = urllib.parse.urlsplit(reference)
        except ValueError as problem:
            raise self.error(include, f"<include from={reference!r}>: {problem}.", "from") from problem
        if parts.scheme == "file":
            path = urllib.parse.unquote(parts.netloc.removeprefix("localhost") + parts.path)
            if not path.startswith("/"):
                self.warn(
                    include,
                    f"<include from={reference!r}>: taken as this://{path}. KIWI looks below the folder it is started "
                    "in.",
                    "from",
                )
            return os.path.normpath(os.path.join(folder, path))
        if parts.scheme:
            raise self.error(
                include, f"<include from={reference!r}>: only this:// and file:// can be included.", "from"
            )
        return os.path.normpath(os.path.join(folder, reference))


def text_of(element: etree._Element | None) -> str:
    """Text of an element without comments, with white space as one blank; empty when there is no element."""
    if element is None:
        return ""
    return " ".join(t.cast("str", element.xpath("string()")).split())


def is_true(value: str | None) -> bool:
    """The value of a boolean of XML Schema."""
    return value is not None and value.strip() in ("true", "1")


def _limit_depth(root: etree._Element, file: str) -> None:
    depth = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > MAXIMUM_DEPTH:
            raise DescriptionError.at(
                Place(file, element.sourceline or 0), f"elements are nested more than {MAXIMUM_DEPTH} levels deep."
            )

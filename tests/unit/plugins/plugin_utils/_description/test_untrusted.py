# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Descriptions from anybody: none makes the reader hang, crash, read elsewhere or reach the network."""

from __future__ import annotations

import os
import pathlib
import socket
import sys
import time
import typing as t

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.plugin_utils._description.directory import (
    MAXIMUM_BYTES,
    DescriptionDirectory,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import Document
from ansible_collections.liveforge.images.plugins.plugin_utils._description.reading import Reading
from ansible_collections.liveforge.images.plugins.plugin_utils._description.schema import Element, schema
from unit.plugins.plugin_utils._description.reading_of import FOLDER, description, read

_OPENED: list[str] = []
_WATCHED: list[bool] = []


def _audit(event: str, arguments: tuple[t.Any, ...]) -> None:
    if not _WATCHED:
        return
    if event == "open" and isinstance(arguments[0], str):
        _OPENED.append(os.path.abspath(arguments[0]))
    elif event.startswith(("socket.", "urllib.", "subprocess.", "os.exec", "os.system", "os.posix_spawn")):
        _OPENED.append(event)


sys.addaudithook(_audit)
SAMPLES = [path.read_bytes() for path in sorted(FOLDER.glob("*/*.[xk][mi][lw]*"))]
SLOW = settings(
    max_examples=150,
    deadline=10000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can open a connection."""

    def refuse(*dummy: t.Any, **dummies: t.Any) -> t.Any:
        raise AssertionError("the reader opened a connection")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def survives(folder: pathlib.Path, content: bytes, **options: t.Any) -> Reading | None:
    """Read, or refuse in words; in a short time, and without opening anything outside of the folder."""
    _OPENED.clear()
    _WATCHED.append(True)
    started = time.monotonic()
    try:
        return read(folder, content, **options)
    except StageError as problem:
        assert problem.message
        assert "Traceback" not in problem.message
        return None
    finally:
        _WATCHED.clear()
        assert time.monotonic() - started < 9
        allowed = (str(folder), os.path.dirname(sys.modules[StageError.__module__].__file__ or ""))
        code = (".py", ".pyc", ".rng", ".so")
        assert [path for path in _OPENED if not path.startswith(allowed) and not path.endswith(code)] == []


@SLOW
@given(content=st.binary(max_size=300))
def test_any_bytes(tmp_path: pathlib.Path, content: bytes) -> None:
    survives(tmp_path, content)


@SLOW
@given(data=st.data())
def test_damaged_descriptions(tmp_path: pathlib.Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for dummy in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "remove", "insert", "repeat"])):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "remove":
                del content[at : at + data.draw(st.integers(1, 40))]
            case "insert":
                content[at:at] = data.draw(st.sampled_from(_FRAGMENTS)).encode()
            case _:
                content[at:at] = content[at : at + 200]
        content = content or bytearray(b" ")
    survives(tmp_path, bytes(content))


_FRAGMENTS = (
    "../../../../../etc/passwd",
    "file:///etc/passwd",
    "/etc/shadow",
    "http://192.0.2.1/x",
    '<!DOCTYPE image [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
    "&e;",
    "&#0;",
    "<![CDATA[",
    "]]>",
    '<include from="file:///etc/passwd"/>',
    '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>',
    '<?xml-stylesheet href="http://192.0.2.1/"?>',
    "\ufeff",
    "-1",
    "9" * 5000,
    "//[",
    "%N%%p%",
)
_WORDS = st.one_of(
    st.sampled_from(
        [
            *_FRAGMENTS[:4],
            "true",
            "0",
            "1",
            "iso",
            "apt",
            "A",
            "A,B",
            "B",
            "x86_64",
            "this://../x",
            "obs://a/b",
            "this://[",
            "//[",
            "{{ 1 }}",
            "9" * 30,
            ".",
            "..",
            "",
            "bookworm",
        ]
    ),
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=20
    ),
)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


@st.composite
def _element(draw: st.DrawFn, element: Element, depth: int) -> str:
    """An element that mostly fits the schema."""
    attributes = []
    for attribute in element.attributes.values():
        if "}" not in attribute.name and (attribute.required or draw(st.integers(0, 4)) == 0):
            values = attribute.datatype.values
            value = draw(st.sampled_from(values) if values and draw(st.integers(0, 9)) else _WORDS)
            attributes.append(f' {attribute.name}="{_escaped(value)}"')
    inner = []
    if depth < 7:
        for child in element.children.values():
            often = draw(st.integers(0, 3)) == 0
            for dummy in range(int(child.required) + int(often) * draw(st.integers(1, 2))):
                inner.append(draw(_element(schema().elements[child.define], depth + 1)))
    if element.content is not None:
        values = element.content.values
        inner.append(_escaped(draw(st.sampled_from(values) if values else _WORDS)))
    return f"<{element.tag}{''.join(attributes)}>{''.join(draw(st.permutations(inner)))}</{element.tag}>"


@SLOW
@given(data=st.data())
def test_descriptions_made_of_the_schema(tmp_path: pathlib.Path, data: st.DataObject) -> None:
    elements = schema().elements
    tags = st.sampled_from(
        ["repository", "packages", "users", "preferences", "profiles", "drivers", "strip", "include"]
    )
    body = [data.draw(_element(elements[tag], 0)) for tag in data.draw(st.lists(tags, max_size=6))]
    medium = data.draw(_element(elements["type"], 0))
    text = description("\n".join(body), type='<type image="iso"/>' if data.draw(st.booleans()) else medium)
    reading = survives(tmp_path, text.encode("utf-8"), profiles=tuple(data.draw(st.sampled_from([[], ["A"]]))))
    if reading is not None:
        for item in reading.image.get("files", []) + reading.image.get("archives", []):
            assert os.path.realpath(item["src"]).startswith(str(tmp_path))
            assert ".." not in item["dest"].split("/")


@SLOW
@given(data=st.data())
def test_schema_table_and_relax_ng_agree(tmp_path: pathlib.Path, data: st.DataObject) -> None:
    element = data.draw(_element(schema().elements[data.draw(st.sampled_from(["repository", "packages", "type"]))], 0))
    body, medium = (element, '<type image="iso"/>') if not element.startswith("<type") else ("", element)
    root = etree.fromstring(description(body, type=medium).encode())
    (tmp_path / "config.xml").write_text(description(body, type=medium))
    document = Document(DescriptionDirectory(str(tmp_path)), str(tmp_path / "config.xml"))
    assert (not schema().errors(document)) == schema()._relaxng.validate(root)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "iso-8859-1"])
def test_other_encodings(tmp_path: pathlib.Path, encoding: str) -> None:
    name = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    text = description().replace('name="sample"', 'name="sample" displayname="Ärger"')
    reading = read(tmp_path, f'<?xml version="1.0" encoding="{name}"?>\n{text}'.encode(encoding))
    assert reading.image["displayname"] == "Ärger"


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE image [<!ENTITY e "text">]>',
        '<!DOCTYPE image [\n<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE image [<!ENTITY % p SYSTEM "http://192.0.2.1/x.dtd"> %p;]>',
        '<!DOCTYPE image [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY e "&b;&b;&b;&b;">]>',
    ],
)
def test_entities_of_ones_own_are_refused_with_their_line(tmp_path: pathlib.Path, doctype: str) -> None:
    for use in ("&e;", ""):
        text = doctype + description(preferences=f"<timezone>{use}</timezone>")
        assert survives(tmp_path, text.encode()) is None
        with pytest.raises(StageError) as caught:
            read(tmp_path)
        line = next(number for number, part in enumerate(doctype.split("\n"), start=1) if "<!ENTITY" in part)
        assert "not expanded" in caught.value.message or "not well-formed" in caught.value.message
        assert f"config.xml:{line}: " in caught.value.message or "%p" in doctype


def test_external_dtd_is_not_read(tmp_path: pathlib.Path) -> None:
    text = '<!DOCTYPE image SYSTEM "http://192.0.2.1/image.dtd">\n' + description()
    assert survives(tmp_path, text.encode()) is not None
    (tmp_path / "image.dtd").write_text('<!ENTITY e "read">')
    text = '<!DOCTYPE image SYSTEM "image.dtd">\n' + description(preferences="<timezone>&e;</timezone>")
    assert survives(tmp_path, text.encode()) is None


def test_deep_large_and_odd_files_are_refused(tmp_path: pathlib.Path) -> None:
    deep = description("<extension>" + "<x>" * 100 + "</x>" * 100 + "</extension>")
    with pytest.raises(StageError, match=r"nested more than 64 levels|not well-formed"):
        read(tmp_path, deep)
    with pytest.raises(StageError, match="not well-formed"):
        read(tmp_path, "<x>" * 5000)
    with pytest.raises(StageError, match=f"has more than {MAXIMUM_BYTES} bytes"):
        read(tmp_path, description("<!--" + "x" * MAXIMUM_BYTES + "-->"))
    (tmp_path / "config.xml").unlink()
    os.mkfifo(tmp_path / "exclude_files.yaml")
    with pytest.raises(StageError, match="not a regular file"):
        read(tmp_path, description())


@pytest.mark.parametrize(
    "body",
    [
        '<include from="file://{outside}/part.xml"/>',
        '<include from="this://../outside/part.xml"/>',
        '<include from="this://link/part.xml"/>',
        '<include from="this:///../outside/part.xml"/>',
        '<include from="../outside/part.xml"/>',
        '<packages type="image"><archive name="../outside/part.xml"/></packages>',
        '<packages type="image"><archive name="{outside}/part.xml"/></packages>',
        '<packages type="image"><file name="link/part.xml"/></packages>',
        '<repository><source path="this://../outside"/></repository>',
        '<repository><source path="http://x"><signing key="this://link/part.xml"/></source></repository>',
    ],
)
def test_nothing_outside_is_referred_to_unless_trusted(tmp_path: pathlib.Path, body: str) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "part.xml").write_text('<image><packages type="image"><package name="secret"/></packages></image>')
    (inside / "link").symlink_to(outside)
    text = description(body.replace("{outside}", str(outside)))
    with pytest.raises(StageError, match=f"config.xml:4: .*leads to {outside}.*trusted_paths"):
        read(inside, text)
    assert read(inside, trusted_paths=(str(outside),)).image["name"] == "sample"


@pytest.mark.parametrize("name", ["root", "config.sh", "Desktop", "config-cdroot.tar", "exclude_files.yaml"])
def test_what_lies_beside_the_description_may_not_lead_out_of_it(tmp_path: pathlib.Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / name).symlink_to("/etc")
    text = description('<profiles><profile name="Desktop" description="d" import="true"/></profiles>')
    with pytest.raises(StageError, match=rf"{name}: .* leads to /etc, outside"):
        read(inside, text)


def test_profile_names_cannot_lead_out_of_the_directory(tmp_path: pathlib.Path) -> None:
    text = description(
        '<profiles><profile name=".." description="d" import="true"/>'
        '<profile name="../../etc" description="d" import="true"/></profiles>'
    )
    assert "overlays" not in read(tmp_path, text).image


def test_includes_go_one_level_deep_and_end(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.xml").write_text('<image>\n<include from="this://b.xml"/></image>')
    (tmp_path / "b.xml").write_text('<image><include from="this://a.xml"/></image>')
    with pytest.raises(StageError, match=r"a\.xml:2: an included file cannot include others"):
        read(tmp_path, description('<include from="this://a.xml"/>'))
    with pytest.raises(StageError, match="cannot include itself"):
        read(tmp_path, description('<include from="this://config.xml"/>'))
    with pytest.raises(StageError, match=r"config\.xml:4: .* does not exist"):
        read(tmp_path, description('<include from="this://none.xml"/>'))
    with pytest.raises(StageError, match="only this:// and file:// can be included"):
        read(tmp_path, description('<include from="https://example.com/x.xml"/>'))
    (tmp_path / "c.xml").write_text("<packages/>")
    with pytest.raises(StageError, match=r"c\.xml:1: the outermost element of an included file must be <image>"):
        read(tmp_path, description('<include from="this://c.xml"/>'))

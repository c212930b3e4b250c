# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the description reader share: reading a text or a folder, with short paths."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description.reading import (
    Reading,
    Request,
    read_description,
)

FOLDER = pathlib.Path(__file__).parent / "descriptions"

_WHOLE = """<image schemaversion="{version}" name="sample">
<description type="system"><author>a</author><contact>c</contact><specification>s</specification></description>
<preferences><version>1.0.0</version><packagemanager>apt</packagemanager>{preferences}{type}</preferences>
{body}
</image>
"""


def description(
    body: str = "", *, type: str = '<type image="iso"/>', preferences: str = "", version: str = "8.5"
) -> str:
    """Text of a small valid description; what is given starts on its fourth line."""
    return _WHOLE.format(version=version, preferences=preferences, type=type, body=body)


def read(folder: pathlib.Path, text: str | bytes | None = None, **options: t.Any) -> Reading:
    """Read a description in a folder, written there first when its text is given."""
    if text is not None:
        (folder / "config.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_description(Request(str(folder), **options))


def warnings(reading: Reading, folder: pathlib.Path) -> list[str]:
    """Warnings that do not depend on what role live_image can build so far, with short paths."""
    return [
        warning.replace(f"{folder}/", "").replace(str(folder), "DIR")
        for warning in reading.warnings
        if " role live_image " not in warning and ", which it needs." not in warning
    ]


def portable(value: t.Any, folder: pathlib.Path) -> t.Any:
    """The value with DIR for the folder."""
    if isinstance(value, dict):
        return {key: portable(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [portable(item, folder) for item in value]
    return value.replace(str(folder), "DIR") if isinstance(value, str) else value

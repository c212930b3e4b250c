# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that are a text, given as such or as a file. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError


def text_of(parameters: t.Mapping[str, t.Any], option: str) -> str | None:
    """The text of an option that takes ``content`` or ``src``; the action plugin has read what lies on the controller.

    Raises:
        StageError: neither or both are given, or the file on this host cannot be read.
    """
    item = parameters[option]
    if item is None:
        return None
    if (item.get("content") is None) == (item.get("src") is None):
        raise StageError(f"{option}: give either content or src.")
    if item.get("content") is not None:
        return t.cast("str", item["content"])
    try:
        with open(item["src"], encoding="utf-8") as stream:
            return stream.read()
    except (OSError, ValueError) as problem:
        raise StageError(
            f"{option}.src: {item['src']} cannot be read on the build host as text: {problem}. Without remote_src it "
            "is looked up on the controller, by the action plugin of the module."
        ) from problem

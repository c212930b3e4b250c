# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The name that somebody may have meant. What users read of it is in nearest.yml."""

from __future__ import annotations

import difflib
import typing as t


def nearest(name: t.Any, names: t.Iterable[t.Any]) -> str:
    """The one of ``names`` that looks most like ``name``, or an empty string when none does."""
    return next(iter(difflib.get_close_matches(str(name), [str(known) for known in names], n=1)), "")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter by its name."""
        return {"nearest": nearest}

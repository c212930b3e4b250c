# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which input changed between two builds, in words. Private to this collection."""

from __future__ import annotations

import json
import typing as t

_MISSING = object()


def changed_inputs(before: t.Any, after: t.Any, name: str = "") -> list[tuple[str, t.Any, t.Any]]:
    """The leaves that differ, as (name, before, after); names are dotted paths such as ``users.live.groups``.

    Lists of plain values are one leaf. A side that lacks the leaf has None there.
    """
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in sorted(set(before) | set(after), key=str):
            child = f"{name}.{key}" if name else str(key)
            found += changed_inputs(before.get(key, _MISSING), after.get(key, _MISSING), child)
        return found
    return [(name, None if before is _MISSING else before, None if after is _MISSING else after)]


def describe(changes: t.Sequence[tuple[str, t.Any, t.Any]], limit: int = 4) -> str:
    """The changed inputs as one clause, such as ``packages (+htop), overlays./etc/motd``."""
    parts = []
    for name, before, after in changes[:limit]:
        if isinstance(before, list) and isinstance(after, list):
            added = [f"+{value}" for value in after if value not in before]
            removed = [f"-{value}" for value in before if value not in after]
            shown = [item if len(item) <= 40 else item[:37] + "..." for item in (added + removed)[:limit]]
            more = len(added) + len(removed) - len(shown)
            text = " ".join(shown) + (f" and {more} more" if more > 0 else "") or "order"
            parts.append(f"{name} ({text})")
        elif before is None:
            parts.append(f"{name} (new)")
        elif after is None:
            parts.append(f"{name} (gone)")
        elif isinstance(before, (str, int, float, bool)) and len(f"{before}{after}") <= 60:
            parts.append(f"{name} ({before} -> {after})")
        else:
            parts.append(name)
    if len(changes) > limit:
        parts.append(f"and {len(changes) - limit} more")
    return ", ".join(parts)


def as_diff(output: str, changes: t.Sequence[tuple[str, t.Any, t.Any]]) -> dict[str, str]:
    """The changed inputs in the form that Ansible shows with ``--diff``."""

    def side(index: int) -> str:
        values = {change[0]: change[index] for change in changes if change[index] is not None}
        return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n" if values else ""

    return {
        "before_header": f"{output} (inputs of the last build)",
        "after_header": f"{output} (inputs now)",
        "before": side(1),
        "after": side(2),
    }

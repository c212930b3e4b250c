# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a build of several images came to, as text for people. Private to this collection."""

from __future__ import annotations

import typing as t

_UNFINISHED = "not finished: the host was lost or failed before (see above)"


def summary_lines(results: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """A few lines for each image: what happened and why, where it lies, how long each stage took, whether it boots."""
    lines: list[str] = []
    for result in results:
        lines += [*_image_lines(result), ""]
    return lines[:-1]


def unfinished(declared: t.Mapping[str, t.Any], results: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """A result for each declared image of each host that has none: its host was lost, or failed before.

    Args:
        declared: the images by host, by name or as their users declared them; what is no image is left out.
        results: what is known.
    """
    known = {(str(result["host"]), str(result["name"])) for result in results}
    return [
        {"name": name, "host": host, "changed": False, "boot": [], "error": _UNFINISHED}
        for host, images in declared.items()
        for name in _names(images)
        if (host, name) not in known
    ]


def _names(images: t.Any) -> list[str]:
    # They may not have been checked yet.
    items = images if isinstance(images, list) else []
    names = [image.get("name") if isinstance(image, t.Mapping) else image for image in items]
    return [str(name) for name in names if name]


def in_short(results: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """What the next job needs to know of each image."""
    keys = ("name", "host", "path", "sha256", "size", "error")
    return [{key: result[key] for key in keys if key in result} for result in results]


def _image_lines(result: t.Mapping[str, t.Any]) -> list[str]:
    title = f"{result['name']} {result.get('version', '')}".strip() + f" on {result['host']}"
    if result.get("error"):
        known = [f"  built, but not good: {result['path']}"] if result.get("path") else []
        return [f"{title}: FAILED", f"  {result['error']}", *known]
    foreseen = result.get("check_mode", False)
    built = "would be built" if foreseen else "built"
    state = built if result["changed"] else "unchanged"
    lines = [f"{title}: {state}", f"  {result['path']}"]
    if result.get("sha256"):
        lines.append(f"  {result['size'] / 1e6:.0f} MB, SHA-256 {result['sha256']}")
    for name, stage in result["stages"].items():
        state = ("build" if foreseen else "built") if stage["changed"] else "same"
        lines.append(f"  {name:<9} {state:<6} {stage['seconds']:7.1f} s  {stage['reason']}")
    lines += [f"  boot      {_boot_text(boot)}" for boot in result.get("boot") or ()]
    if not result.get("boot"):
        lines.append("  boot      not tested (the image declares no boot_tests, or nothing was built)")
    return lines


def _boot_text(boot: t.Mapping[str, t.Any]) -> str:
    how = f"{boot['firmware']} {boot['media']}"
    when = f", tested {boot['tested']}" if boot.get("tested") else ""
    return f"{how}: passed in {boot['seconds']:.0f} s ({boot['accelerator']}){when}"

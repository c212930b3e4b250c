# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An ISO that differs from the last one in its menu alone. Private to this collection.

Without a media check tag nothing on an ISO depends on what its menu says. So where only the menu changed, and takes
as many bytes as before, the ISO that xorriso would write is the last one with other bytes in two files. Copying it and
writing those takes a fraction of the time, and gives the same ISO. (Without a fixed date, the one difference is that
the dates on it remain those of the ISO that it was made from.)
"""

from __future__ import annotations

import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso import menu_files
from ansible_collections.liveforge.images.plugins.module_utils._iso.digest import digest_with
from ansible_collections.liveforge.images.plugins.module_utils._iso.files import open_iso
from ansible_collections.liveforge.images.plugins.module_utils._publish import flush
from ansible_collections.liveforge.images.plugins.module_utils._side_by_side import side_by_side
from ansible_collections.liveforge.images.plugins.module_utils._stage import Work
from ansible_collections.liveforge.images.plugins.module_utils._stamp import output_changed

_INPUTS = {f"options.{name}" for name in menu_files.OPTIONS}


def is_all_that_changed(work: Work) -> bool:
    """Whether the last ISO was made from the same inputs but for those that show in its menu files."""
    return bool(work.changes) and {name for name, dummy, dummy2 in work.changes} <= _INPUTS


def write(work: Work, output: str, menus: t.Mapping[str, bytes]) -> str | None:
    """Make ``work.target`` from the ISO ``output``.

    Args:
        work: what the stage got to build with.
        output: the last ISO.
        menus: the new menu files, by path on the ISO.

    Returns:
        Its SHA-256, or None when it cannot be made so: a menu takes more or fewer bytes, or the last ISO is not, or not
        surely, what it was when it was written and checked.
    """
    former = work.former
    if former is None or output_changed(output, former.output) is not None:
        return None
    try:
        before = _exchange(work, output, menus)
    except StageError as problem:
        work.run.note(problem.message)
        return None
    if before is None:
        return None
    work.progress.step("checking the ISO")
    whole, checked, dummy = side_by_side(
        lambda: file_sha256(work.target),
        # With the former menus in their places it must still be the ISO that was checked when it was written.
        lambda: digest_with(work.target, before),
        lambda: flush(work.target),
    )
    return whole if checked == former.output["content"] else None


def _exchange(work: Work, output: str, menus: t.Mapping[str, bytes]) -> dict[int, bytes] | None:
    """Copy the last ISO and write the menus; returns what was there before, by place, or None when they do not fit."""
    work.progress.step("copying the ISO")
    work.run.run(["cp", "--no-preserve=mode", "--reflink=auto", "--", output, work.target], task="copying the ISO")
    with open_iso(work.target) as iso:
        if any(name not in iso.files or iso.files[name].size != len(content) for name, content in menus.items()):
            return None
        places = {name: iso.files[name].extents[0][0] for name in menus}
        before = {places[name]: iso.read(name) for name in menus}
    work.progress.step("writing the menu")
    with open(work.target, "r+b") as stream:
        for name, content in menus.items():
            stream.seek(places[name])
            stream.write(content)
    return before

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base that an image names: where it is declared, and what it decides for the image. Private to this collection."""

from __future__ import annotations

import difflib
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.modules import live_rootfs, live_squashfs

# What an image takes over from its base, to install further packages as the base does.
_TAKEN_OVER = ("distribution", "release", "architecture", "mirror", "repositories", "recommends", "packages_exclude")
# What was done once and for all when the base was made.
_DONE = ("variant", "bootstrap_packages", "post_bootstrap_scripts", "exclude")
# Options of the packing that speak of another file system than squashfs, and what the role wires itself.
_NOT_FOR_A_BASE = {
    "filesystem",
    "erofscompression",
    "size",
    "size_additive",
    "label",
    "root",
    "layer",
    "base",
    "kiwi_functions",
    "successors",
}
_BASE_OPTIONS = (
    {"name", "workspace", "boot_packages", "source_date_epoch", "force", "lock_timeout"}
    | set(live_rootfs.ARGUMENTS)
    | set(live_squashfs.ARGUMENTS)
) - _NOT_FOR_A_BASE


def find_base(image: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The declaration of the base that an image names.

    Args:
        image: the options of the image, with ``base`` and ``bases``.

    Raises:
        StageError: it is not there or not there once, or has options that a base cannot have.
    """
    bases, wanted = image.get("bases") or [], image["base"]
    for index, base in enumerate(bases):
        if not isinstance(base, t.Mapping) or not base.get("name"):
            raise StageError(f"live_bases[{index}]: a base must be a dictionary with a name.")
    found = [base for base in bases if base["name"] == wanted]
    if not found:
        names = [str(base["name"]) for base in bases]
        near = difflib.get_close_matches(str(wanted), names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Declared are: {', '.join(names) or 'none'}."
        raise StageError(f"base: no base {wanted!r} is declared in live_bases. {hint}")
    if len(found) > 1:
        raise StageError(f"base: live_bases declares {len(found)} bases with the name {wanted!r}. Rename one of them.")
    base = {name: value for name, value in found[0].items() if value is not None}
    if "base" in base:
        raise StageError(f"base {wanted}: a base cannot have a base itself (base: {base['base']}). Leave that out.")
    for name in sorted(base):
        if name not in _BASE_OPTIONS:
            near = difflib.get_close_matches(name, sorted(_BASE_OPTIONS), n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise StageError(
                f"base {wanted}: {name} is no option of a base, which is a root tree and its packing. Declare what is "
                f"about booting and the ISO with the images.{hint}"
            )
    if wanted == image.get("name"):
        raise StageError(f"base: the image {wanted} has the name of its base, and so its place. Rename one of them.")
    return base


def inherited(
    image: t.Mapping[str, t.Any], declared: t.Mapping[str, t.Any], base: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """The options of an image, with those that its base decides.

    Args:
        image: the options of the image.
        declared: the base as its user declared it.
        base: the same with all defaults.

    Raises:
        StageError: the image asks for something else than the base.
    """
    result = dict(image)
    for option in (*_TAKEN_OVER, *_DONE):
        wanted = result.pop(option, None)
        there = declared.get(option, base[option])
        if wanted is not None and wanted != there:
            # Mirrors and repositories may hold passwords.
            said = f" ({there})" if isinstance(there, (str, bool)) and option != "mirror" else ""
            raise StageError(
                f"{option}: the base {base['name']} decides about that{said}, and this image declares something else "
                f"({option}, base). Take {option} out of the image, or change the base."
            )
        if option in _TAKEN_OVER and option in declared:
            result[option] = declared[option]
    return result

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a description applies: profiles, architecture and build type. Private to this collection."""

from __future__ import annotations

import contextlib
import difflib
import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import Document, is_true
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import (
    DescriptionError,
    Place,
    Problem,
)

if t.TYPE_CHECKING:
    from lxml import etree

# How Debian calls them, and how KIWI's filters (uname -m) do.
_OTHER_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}


class Selection:
    """The parts of a description that apply to one image.

    Attributes:
        profiles: names of the profiles that apply, in the order in which they were asked for or found.
        type: the element <type> of the build type.

    Args:
        document: the description, valid against the schema.
        profiles: names of profiles asked for; none means those that have import="true".
        arch: architecture of the image as uname -m tells it.
        build_type: value of attribute image of the type to build.

    Raises:
        DescriptionError: for unknown profiles and types.
    """

    def __init__(self, document: Document, profiles: t.Sequence[str], arch: str, build_type: str) -> None:
        self.document = document
        self.arch = arch
        self._filtered_out: set[tuple[str, int]] = set()
        self.available = self._available_profiles()
        self.profiles = self._selected_profiles(profiles)
        self.type = self._build_type(build_type)

    def sections(self, tag: str) -> list[etree._Element]:
        """Children of <image> of this name whose profiles and arch apply."""
        return [
            section
            for section in self.document.root.iterchildren(tag)
            if self._matches_profiles(section) and self.matches_architecture(section)
        ]

    def entries(self, sections: t.Iterable[etree._Element], tag: str) -> list[etree._Element]:
        """Elements of this name in sections, without those for other architectures."""
        return [
            entry for section in sections for entry in section.iterchildren(tag) if self.matches_architecture(entry)
        ]

    def packages(self, *types: str) -> list[etree._Element]:
        """Sections <packages> of these types."""
        return [section for section in self.sections("packages") if section.get("type") in types]

    def preference(self, tag: str, *, last: bool = False) -> etree._Element | None:
        """The first (or last) element of this name in <preferences>."""
        found = self.entries(self.sections("preferences"), tag)
        if not found:
            return None
        return found[-1 if last else 0]

    def matches_architecture(self, element: etree._Element) -> bool:
        """Whether attribute arch is absent or names the architecture of the image."""
        names = element.get("arch")
        if not names:
            return True
        listed = [name.strip() for name in names.split(",")]
        if self.arch in listed:
            return True
        same = [name for name in listed if _OTHER_NAMES.get(name) == self.arch]
        if same:
            place = self.document.place(element, "arch")
            if (place.file, place.line) not in self._filtered_out:
                self._filtered_out.add((place.file, place.line))
                self.document.warnings.append(
                    Problem(
                        place,
                        f"<{element.tag}> is for {names} and so not for {self.arch}: filters compare with the name "
                        f"that the kernel uses. Write arch={_OTHER_NAMES[same[0]]!r}.",
                    )
                )
        return False

    def _matches_profiles(self, section: etree._Element) -> bool:
        names = section.get("profiles")
        if not names:
            return True
        listed = names.split(",")
        if any(name in self.profiles for name in listed):
            return True
        if any(name.strip() in self.profiles for name in listed):
            self.document.warn(
                section,
                f"profiles={names!r} does not match because of the white space around names. Remove it.",
                "profiles",
            )
        return False

    def _available_profiles(self) -> dict[str, etree._Element]:
        # The last of a name counts, but each can say that it is imported.
        found = self.entries(self.document.root.iterchildren("profiles"), "profile")
        imported = (profile.get("name", "") for profile in found if is_true(profile.get("import")))
        self._imported = list(dict.fromkeys(imported))
        return {profile.get("name", ""): profile for profile in found}

    def _selected_profiles(self, asked: t.Sequence[str]) -> list[str]:
        if not asked:
            return self._imported
        selected: list[str] = []
        for name in asked:
            if name not in self.available:
                raise DescriptionError.at(Place(self.document.file), f"option profiles: {self._unknown(name)}")
            self._add_profile(name, selected)
        return selected

    def _add_profile(self, name: str, selected: list[str]) -> None:
        """Add a profile and then, one after the other, what it requires."""
        pending = [name]
        while pending:
            name = pending.pop()
            if name in selected:
                continue
            selected.append(name)
            required = []
            for entry in self.available[name].iterchildren("requires"):
                if self.matches_architecture(entry):
                    if entry.get("profile") not in self.available:
                        raise self.document.error(entry, self._unknown(entry.get("profile", "")), "profile")
                    required.append(entry.get("profile", ""))
            pending += reversed(required)

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, list(self.available), n=1)
        known = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(self.available)) or 'none'}."
        return f"there is no profile {name!r} for {self.arch}. {known}"

    def _build_type(self, wanted: str) -> etree._Element:
        types = self.entries(self.sections("preferences"), "type")
        matching = [entry for entry in types if entry.get("image") == wanted]
        if not matching:
            others = sorted({entry.get("image", "") for entry in types})
            chosen = f"profiles {', '.join(self.profiles)}" if self.profiles else "no profile"
            instead = f"only {', '.join(others)}" if others else "nor any other"
            with_type = sorted(self._profiles_with(wanted))
            advice = f"Profiles that have one: {', '.join(with_type)}." if with_type else "No profile has one."
            raise DescriptionError.at(
                Place(self.document.file),
                f"there is no <type image={wanted!r}> with {chosen}, {instead}. {advice}",
            )
        if len(matching) > 1:
            raise DescriptionError(
                (
                    Problem(
                        self.document.place(entry),
                        f"<type image={wanted!r}> applies together with another one. Put each into <preferences> of a "
                        "profile of its own, and select one of them.",
                    )
                    for entry in matching
                ),
                f"{{count}} types {wanted} apply",
            )
        return matching[0]

    def _profiles_with(self, wanted: str) -> set[str]:
        """Profiles that bring a type, by themselves or by what they require."""
        own = {
            name
            for section in self.document.root.iterchildren("preferences")
            if any(entry.get("image") == wanted for entry in section.iterchildren("type"))
            for name in (section.get("profiles") or "").split(",")
        }
        found = set()
        for name in self.available:
            selected: list[str] = []
            with contextlib.suppress(DescriptionError):
                self._add_profile(name, selected)
            if not own.isdisjoint(selected):
                found.add(name)
        return found

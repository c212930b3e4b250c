# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a KIWI image description: from a directory to an image. Private to this collection."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.liveforge.images.plugins.plugin_utils._description.directory import DescriptionDirectory
from ansible_collections.liveforge.images.plugins.plugin_utils._description.document import Document, is_true, text_of
from ansible_collections.liveforge.images.plugins.plugin_utils._description.image import Image
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import DescriptionError, grouped
from ansible_collections.liveforge.images.plugins.plugin_utils._description.repositories import (
    Repository,
    repositories,
    repository_facts,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._description.rules import (
    broken_rules,
    broken_type_rules,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._description.schema import schema
from ansible_collections.liveforge.images.plugins.plugin_utils._description.selection import Selection
from ansible_collections.liveforge.images.plugins.plugin_utils._description.treatment import not_honoured
from ansible_collections.liveforge.images.plugins.plugin_utils._description.versions import upgrade


@dataclasses.dataclass(frozen=True)
class Request:
    """What to read: the options of live_description.

    Attributes:
        path: the description directory on the controller.
        file: name of the description in it, or None to look for it.
        profiles: names of profiles; none means those of the description that are imported.
        arch: architecture of the image, as ``uname -m`` tells it.
        build_type: the image type, ``iso``.
        strict: whether warnings are errors.
        repositories: repositories of the playbook (items of its option repositories).
        repositories_mode: see repositories.repositories().
        trusted_paths: directories besides ``path`` that may be read.
    """

    path: str
    file: str | None = None
    profiles: tuple[str, ...] = ()
    arch: str = "x86_64"
    build_type: str = "iso"
    strict: bool = False
    repositories: tuple[t.Mapping[str, t.Any], ...] = ()
    repositories_mode: str = "replace"
    trusted_paths: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a description comes to.

    Attributes:
        image: options of role live_image.
        warnings: each with file and line, sorted.
        description: facts about the description.
    """

    image: dict[str, t.Any]
    warnings: list[str]
    description: dict[str, t.Any]


def read_description(request: Request) -> Reading:
    """Read, check and resolve a description; DescriptionError with all that is wrong with it."""
    files = DescriptionDirectory(request.path, request.trusted_paths)
    document = Document(files, files.find(request.file))
    declared_version, dropped = upgrade(document)
    problems = schema().errors(document) or broken_rules(document)
    if problems:
        raise DescriptionError(problems)
    schema().normalize(document)
    selection = Selection(document, request.profiles, request.arch, request.build_type)
    problems = broken_type_rules(document, selection.type)
    if problems:
        raise DescriptionError(problems)
    warnings = document.warnings
    applying = {selection.type, *selection.sections("repository")}
    warnings += (problem for element, problem in dropped if element in applying)
    warnings += not_honoured(selection)
    found = repositories(selection, request.repositories, request.repositories_mode)
    image = Image(selection, files, found, warnings)
    warnings += image.unsupported()
    told = grouped(warnings)
    if request.strict and told:
        raise DescriptionError(told, "{count} things are not honoured, and strict is set")
    return Reading(image.options, [str(problem) for problem in told], _facts(selection, image, found, declared_version))


def _facts(
    selection: Selection, image: Image, found: t.Sequence[Repository], declared_version: str
) -> dict[str, t.Any]:
    document = selection.document
    described = document.root.find("description")
    preferences = selection.sections("preferences")
    return {
        "file": document.file,
        "included": list(document.included),
        "schemaversion": declared_version,
        "author": text_of(None if described is None else described.find("author")),
        "contacts": [] if described is None else [text_of(contact) for contact in described.iterchildren("contact")],
        "specification": text_of(None if described is None else described.find("specification")),
        "profiles": list(selection.profiles),
        "available_profiles": [
            {
                "name": name,
                "description": profile.get("description", ""),
                "import": is_true(profile.get("import")),
            }
            for name, profile in selection.available.items()
        ],
        "build_types": [entry.get("image", "") for entry in selection.entries(preferences, "type")],
        "arch": selection.arch,
        "package_manager": image.manager,
        "repositories": repository_facts(found),
        "result_name": image.result_name,
    }

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A description that was read, as YAML for playbooks. Private to this collection."""

from __future__ import annotations

import re
import typing as t

import yaml

from ansible_collections.liveforge.images.plugins.plugin_utils._description.reading import Reading


def as_variables(reading: Reading) -> str:
    """Variables of role live_image."""
    image = _without_secrets(reading.image)
    return _head(reading) + _dump({f"live_image_{name}": value for name, value in image.items()})


def as_images(reading: Reading) -> str:
    """The list live_images of playbook build_live, with one item."""
    return _head(reading) + _dump({"live_images": [_without_secrets(reading.image)]})


class _Dumper(yaml.SafeDumper):
    """Indents lists as people (and yamllint) do, and writes no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: t.Any) -> bool:
        return True


def _dump(value: t.Any) -> str:
    # What looks like a template would be one in a playbook.
    return yaml.dump(_Unsafe.wrap(value), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


class _Unsafe(str):
    """Text that Ansible must not take for a template."""

    @classmethod
    def wrap(cls, value: t.Any) -> t.Any:
        """The value with such texts marked."""
        if isinstance(value, dict):
            return {key: cls.wrap(item) for key, item in value.items()}
        if isinstance(value, list):
            return [cls.wrap(item) for item in value]
        if isinstance(value, str) and not isinstance(value, _Template) and re.search(r"\{[{%#]", value):
            return cls(value)
        return value


class _Template(str):
    """Text that is a template."""


_Dumper.add_representer(_Unsafe, lambda dumper, value: dumper.represent_scalar("!unsafe", str(value)))
_Dumper.add_representer(_Template, lambda dumper, value: dumper.represent_str(str(value)))


def _head(reading: Reading) -> str:
    profiles = ", ".join(reading.description["profiles"]) or "none"
    lines = ["---", f"# From {reading.description['file']}, profiles: {profiles}"]
    if _has_secret(reading.image):
        lines.append("# Passwords of repositories are not shown: give them, for example with Ansible Vault.")
    return "\n".join(lines) + "\n"


def _has_secret(image: t.Mapping[str, t.Any]) -> bool:
    return any("password" in item or _URL_PASSWORD.search(item["uri"]) for item in image.get("repositories", []))


_URL_PASSWORD = re.compile(r"//([^/@:]*):[^/@]*@")


def _without_secrets(image: dict[str, t.Any]) -> dict[str, t.Any]:
    """The image with variables in place of passwords of repositories. Users have hashes."""
    if not _has_secret(image):
        return image
    items = []
    for item in image["repositories"]:
        variable = "password_of_" + re.sub(r"\W", "_", item["name"])
        shown = dict(item)
        if "password" in item:
            shown["password"] = _Template("{{ " + variable + " }}")
        if _URL_PASSWORD.search(item["uri"]):
            shown["uri"] = _Template(_URL_PASSWORD.sub(rf"//\1:{{{{ {variable} }}}}@", item["uri"]))
        items.append(shown)
    return {**image, "repositories": items}

"""Sphinx configuration; scripts/build-docs copies it beside the generated pages."""

from __future__ import annotations

import typing as t

from docutils import nodes

if t.TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "liveforge.images"
author = "Liveforge contributors"
project_copyright = "2026 Liveforge contributors"

# The guides are Markdown, the generated reference is reStructuredText with antsibull's roles.
extensions = ["myst_parser", "sphinx_antsibull_ext"]
# Headings of a guide can be linked as guide.md#heading.
myst_heading_anchors = 3

html_theme = "sphinx_ansible_theme"
html_title = project
html_theme_options = {"topbar_links": {}}

_ANSIBLE_DOCS = "https://docs.ansible.com/ansible/latest"
_BUILTIN = "ansible_collections.ansible.builtin."
# Labels of Ansible's own documentation that antsibull-docs puts into the pages it generates.
_ANSIBLE_PAGES = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}


def link_to_ansible(
    app: Sphinx, env: object, reference: nodes.Element, text: nodes.TextElement
) -> nodes.reference | None:
    """Link a label that belongs to Ansible's documentation; any other unknown label stays an error.

    Intersphinx would do the same with an inventory that it downloads at each build.
    """
    label = str(reference.get("reftarget", ""))
    page = _ANSIBLE_PAGES.get(label)
    if label.startswith(_BUILTIN):
        page = "collections/ansible/builtin/" + label.removeprefix(_BUILTIN) + ".html"
    if page is None:
        return None
    return nodes.reference("", "", text, internal=False, refuri=f"{_ANSIBLE_DOCS}/{page}")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", link_to_ansible)

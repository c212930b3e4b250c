# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Layers: trees that are stacked with overlayfs, and what is left of one when it says nothing any more."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._layers import reduce_layer

MODULE = "ansible_collections.liveforge.images.plugins.module_utils._layers"


def files(root: pathlib.Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.fixture
def trees(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    base, layer = tmp_path / "base", tmp_path / "lay:er,1"
    for folder in (base, layer):
        (folder / "etc").mkdir(parents=True)
    (base / "etc/kept").write_text("kept\n")
    (base / "etc/gone").write_text("gone\n")
    (base / "opt/tool").mkdir(parents=True)
    (base / "opt/tool/old").write_text("old\n")
    return base, layer


def stack(base: pathlib.Path, layer: pathlib.Path, command: str) -> str:
    """Run a shell command in the stacked tree, in a process of its own, and return what it prints."""
    program = f"""
        import os, subprocess
        from {MODULE} import stacked
        with stacked({str(layer) + ".out"!r}, [{str(base)!r}], upper={str(layer)!r}) as root:
            subprocess.run(["sh", "-ec", {command!r}], cwd=root, check=True)
        assert not os.path.lexists(root)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_changes_go_into_the_layer_and_nowhere_else(trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    base, layer = trees
    before = files(base)
    said = stack(
        base, layer, "cat etc/kept; echo new > etc/new; rm etc/gone; rm -r opt/tool; mkdir opt/tool; ls opt/tool"
    )
    reduce_layer(str(layer), str(base))
    assert said == "kept"
    assert files(base) == before
    assert files(layer) == {"etc", "etc/new", "etc/gone", "opt", "opt/tool"}
    assert (layer / "etc/gone").lstat().st_rdev == 0 and (layer / "etc/gone").is_char_device()
    assert os.getxattr(layer / "opt/tool", "trusted.overlay.opaque") == b"y"
    # Nothing of this host stays in it, and nothing is mounted in its namespace.
    for path in layer.rglob("*"):
        assert set(os.listxattr(path, follow_symlinks=False)) <= {"trusted.overlay.opaque"}
    assert str(layer) not in pathlib.Path("/proc/self/mountinfo").read_text()
    assert stack(base, layer, "ls etc opt/tool").split() == ["etc:", "kept", "new", "opt/tool:"]


@pytest.mark.parametrize(
    "command",
    [
        "touch etc/kept",
        "cp etc/kept x; mv x etc/kept",
        "echo x > etc/new; rm etc/new",
        "mkdir -p var/a; rm -r var",
        "chmod 600 etc/kept; chmod 644 etc/kept",
    ],
)
def test_what_is_as_in_the_base_leaves_no_trace(command: str, trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    base, layer = trees
    stack(base, layer, command)
    reduce_layer(str(layer), str(base))
    assert files(layer) == set()


@pytest.mark.parametrize(
    ("command", "left"),
    [
        ("chmod 600 etc/kept", {"etc", "etc/kept"}),
        ("chown 7 etc/kept", {"etc", "etc/kept"}),
        ("chmod 700 etc", {"etc"}),
        ("rm etc/kept; ln -s gone etc/kept", {"etc", "etc/kept"}),
        ("ln etc/kept etc/second", {"etc", "etc/kept", "etc/second"}),
        ("rm -r etc; mkdir etc; echo kept > etc/kept", {"etc", "etc/kept"}),
    ],
)
def test_what_differs_stays(command: str, left: set[str], trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    base, layer = trees
    stack(base, layer, command)
    reduce_layer(str(layer), str(base))
    assert files(layer) == left

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the scenarios change of the description, and what --tools and --scenarios choose."""

from __future__ import annotations

import pathlib

import pytest
from lxml import etree

import playbook
from benchmarks import __main__ as command
from benchmarks import scenarios
from benchmarks.description import EXTRA_PACKAGE, Description

MIRROR = "http://127.0.0.1:1/debian"


def test_each_scenario_changes_one_thing(tmp_path: pathlib.Path) -> None:
    seen = {}
    for scenario in scenarios.SCENARIOS:
        folder = tmp_path / scenario.name
        Description().changed(scenario, "round-1").write(folder, MIRROR)
        seen[scenario] = ((folder / "config.xml").read_text(), (folder / "root/etc/motd").read_text())
    cold = seen[scenarios.COLD]
    assert seen[scenarios.UNCHANGED] == cold
    assert seen[scenarios.FILE] == (cold[0], "Benchmark system round-1\n")
    assert seen[scenarios.PACKAGE] != cold and seen[scenarios.PACKAGE][1] == cold[1]
    assert EXTRA_PACKAGE in Description().changed(scenarios.PACKAGE, "").package_names()
    assert Description().changed(scenarios.COMMAND_LINE, "x").kernel_parameters().endswith(" benchmark=x")


def test_changes_add_up(tmp_path: pathlib.Path) -> None:
    description = Description()
    for scenario in scenarios.SCENARIOS:
        description = description.changed(scenario, "round-2")
    description.write(
        tmp_path, MIRROR, type_attributes={"squashfscompression": "zstd", "filesystem": None}, without=["zstd"]
    )
    document = etree.parse(tmp_path / "config.xml").getroot()
    names = [package.get("name") for package in document.iterfind("packages/package")]
    assert EXTRA_PACKAGE in names and "zstd" not in names and "dracut" in names
    assert document.find("repository/source").get("path") == MIRROR
    kind = document.find("preferences/type")
    assert kind.get("filesystem") is None
    assert (kind.get("squashfscompression"), "benchmark=round-2" in kind.get("kernelcmdline")) == ("zstd", True)


def test_password_is_the_one_that_the_boot_logs_in_with() -> None:
    assert Description().password() == playbook.PASSWORD_HASH


def test_tools_and_scenarios_are_chosen_by_name(tmp_path: pathlib.Path) -> None:
    found = command.chosen("liveforge:cmdline+file,kiwi-newest-xz", "cold,unchanged", tmp_path)
    assert [(tool.name, [scenario.name for scenario in wanted]) for tool, wanted in found] == [
        ("liveforge", ["cold", "file", "cmdline"]),
        ("kiwi-newest-xz", ["cold", "unchanged"]),
    ]


def test_all_tools_by_default(tmp_path: pathlib.Path) -> None:
    assert {tool.name for tool, dummy in command.chosen(None, None, tmp_path)} == {
        "kiwi-newest-xz",
        "kiwi-newest-zstd",
        "kiwi-newest-tuned",
        "kiwi-debian-xz",
        "kiwi-debian-zstd",
        "live-build-xz",
        "live-build-zstd",
        "liveforge",
        "liveforge-base",
        "liveforge-smallest",
    }
    assert command.chosen(command.REDUCED, None, tmp_path)


@pytest.mark.parametrize(
    ("tools", "names", "message"),
    [
        ("liveforg", None, "no tool 'liveforg'; the tools are kiwi-newest-xz"),
        ("liveforge:hot", None, "liveforge has no scenario 'hot'; it has cold"),
        ("liveforge", "warm", "liveforge has no scenario 'warm'; it has cold"),
        ("liveforge:cold,liveforge:file", None, "liveforge is named twice; give its scenarios together"),
    ],
)
def test_unknown_names_are_refused(tools: str, names: str | None, message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=message):
        command.chosen(tools, names, tmp_path)


def test_flags_are_those_of_the_description_and_of_tools_that_have_them(tmp_path: pathlib.Path) -> None:
    Description(flags="dmsquash").write(tmp_path, MIRROR)
    document = etree.parse(tmp_path / "config.xml").getroot()
    assert document.find("preferences/type").get("flags") == "dmsquash"
    assert document.find("packages[@type='image']/package[@name='dracut-live']") is not None
    assert "dracut-live" not in Description().package_names()
    tools = dict(command.chosen(None, "cold", tmp_path))
    assert [tool.name for tool in tools if "dmsquash" not in tool.flags] == [
        "kiwi-newest-tuned",
        "live-build-xz",
        "live-build-zstd",
        "liveforge-base",
    ]


@pytest.mark.parametrize("text", [None, "[]", "{}", "no JSON"])
def test_a_file_that_holds_no_results_is_told(tmp_path: pathlib.Path, text: str | None) -> None:
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=f"--from {path}: not a file of results"):
        command.read(path)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the benchmark shows: medians, ratios only from three runs on, and everything that failed."""

from __future__ import annotations

import typing as t

import pytest

from benchmarks import table

MACHINE = {
    "processor": "AMD EPYC",
    "cores": 2,
    "memory": 23.4,
    "kernel": "6.1",
    "distribution": "Debian GNU/Linux 12",
    "filesystem": "ext4",
}
ZSTD = "kiwi-newest-zstd"


def run(tool: str, scenario: str, number: int, failure: str | None = None, **figures: float) -> dict[str, t.Any]:
    booted = {"boot": {"accelerator": "tcg"}} if failure is None else {}
    return {"tool": tool, "scenario": scenario, "round": number, "failure": failure, **booted, **figures}


def results(*runs: dict[str, t.Any], **unavailable: str) -> table.Results:
    tools = dict.fromkeys(run["tool"] for run in runs)
    return table.Results(
        {
            "date": "2026-11-25T12:00:00+00:00",
            "command": "scripts/benchmark --reduced",
            "machine": MACHINE,
            "tools": {tool: {"family": tool, "version": "1.0", "how": {}} for tool in tools},
            "unavailable": unavailable,
            "runs": list(runs),
        }
    )


def three(tool: str, scenario: str, *walls: float, **figures: float) -> list[dict[str, t.Any]]:
    return [run(tool, scenario, number, wall=wall, **figures) for number, wall in enumerate(walls, 1)]


def test_ratio_is_that_of_the_medians() -> None:
    measured = results(*three(ZSTD, "cold", 80, 81, 300), *three("liveforge", "cold", 40, 10, 40.5))
    assert measured.ratio((ZSTD, "cold"), ("liveforge", "cold"), "wall") == pytest.approx(81 / 40)


@pytest.mark.parametrize(("reference", "ours"), [((80, 81), (40, 40, 40)), ((80, 81, 82), (40, 41)), ((), (1, 2, 3))])
def test_no_ratio_over_fewer_than_three_runs(reference: tuple[float, ...], ours: tuple[float, ...]) -> None:
    measured = results(*three(ZSTD, "cold", *reference), *three("liveforge", "cold", *ours))
    with pytest.raises(table.TooFewRuns, match="of 3 runs"):
        measured.ratio((ZSTD, "cold"), ("liveforge", "cold"), "wall")


def test_a_failed_run_counts_for_nothing() -> None:
    broken = run("liveforge", "cold", 3, "exit status 1: no space", wall=1.0)
    measured = results(*three(ZSTD, "cold", 80, 81, 82), *three("liveforge", "cold", 40, 41), broken)
    with pytest.raises(table.TooFewRuns, match="liveforge, cold: 2 of 3 runs"):
        measured.ratio((ZSTD, "cold"), ("liveforge", "cold"), "wall")
    assert "no space" in table.report(measured)


def test_two_runs_show_figures_and_say_why_there_is_no_ratio() -> None:
    shown = table.report(results(*three(ZSTD, "cold", 80, 82), *three("liveforge", "cold", 40, 42)))
    assert "81.0" in shown and "41.0" in shown
    assert "(2 runs)" in shown
    assert "times " not in shown.replace("times faster", "")


def test_times_are_shown_as_times_faster_and_sizes_as_shares() -> None:
    measured = results(
        *three(ZSTD, "cold", 80, 80, 80, iso_size=400e6), *three("liveforge", "cold", 20, 20, 20, iso_size=300e6)
    )
    head, row = table.ratios_table(measured, ZSTD)
    cells = dict(zip(head, row, strict=True))
    assert cells["wall, times faster"] == "4.00 times"
    assert cells["ISO, of its"] == "0.75 times"
    assert cells["login, times faster"] == "-"


def test_a_ratio_within_the_noise_says_so() -> None:
    measured = results(*three(ZSTD, "cold", 45, 85, 79), *three("liveforge", "cold", 44, 46, 43))
    assert table.ratios_table(measured, ZSTD)[1][2] == "1.80 times (they overlap)"


def test_a_scenario_is_compared_with_the_same_scenario_only() -> None:
    measured = results(*three(ZSTD, "cold", 80, 80, 80), *three("liveforge", "file", 5, 5, 5))
    assert table.ratios_table(measured, ZSTD)[1:] == []


def test_what_is_not_installed_is_told_with_its_reason() -> None:
    measured = results(*three(ZSTD, "cold", 80, 80, 80), **{"live-build-xz": "not installed: no such package"})
    assert "live-build-xz (all): not installed: no such package" in table.report(measured)


def test_documentation_has_ratios_and_no_absolute_figures() -> None:
    measured = results(
        *three(ZSTD, "cold", 81.25, 81.25, 81.25, cpu=106.5), *three("liveforge", "cold", 32.5, 32.5, 32.5, cpu=53.25)
    )
    block = table.documentation(measured)
    assert "| cold build | liveforge | 2.50 times | 2.00 times |" in block
    assert "2026-11-25" in block and "`scripts/benchmark --reduced`" in block and "2 cores" in block
    assert not any(figure in block for figure in ("81.2", "32.5", "106.5", "53.2"))


def test_each_run_of_the_benchmark_is_documented_by_itself() -> None:
    first = results(*three(ZSTD, "cold", 80, 80, 80), *three("liveforge", "cold", 40, 40, 40))
    second = results(*three(ZSTD, "cold", 90, 90, 90), *three("live-build-zstd", "cold", 30, 30, 30))
    block = table.documentation(first, second)
    assert block.count(table.BEGIN) == block.count(table.END) == 1
    one, other = block.split("\n### ")[1:]
    assert one.startswith(f"{ZSTD}, liveforge\n") and "| cold build | liveforge | 2.00 times |" in one
    assert other.startswith(f"{ZSTD}, live-build-zstd\n") and "| cold build | live-build-zstd | 3.00 times |" in other


def test_documentation_is_refused_without_a_ratio() -> None:
    with pytest.raises(table.TooFewRuns, match="it takes 3 runs"):
        table.documentation(results(*three(ZSTD, "cold", 80, 80), *three("liveforge", "cold", 20, 20)))


def test_documentation_is_refused_when_nothing_was_booted() -> None:
    measured = results(*three(ZSTD, "cold", 80, 80, 80), *three("liveforge", "cold", 20, 20, 20))
    for one in measured.document["runs"]:
        del one["boot"]
    with pytest.raises(table.TooFewRuns, match="No image was booted"):
        table.documentation(measured)


def test_documentation_says_what_a_build_leaves_on_disk() -> None:
    measured = results(*three(ZSTD, "cold", 80, 80, 80), *three("liveforge", "cold", 20, 20, 20))
    measured.document["runs"][-1]["facts"] = {"disk": {"root tree": 1000, "squashfs": 270, "ISO": 330}}
    assert "multiples of the root tree: squashfs 0.27, ISO 0.33, in all 1.60." in table.documentation(measured)


def test_block_replaces_the_one_before_and_nothing_else() -> None:
    page = f"# Title\n\n{table.BEGIN}\nold\n{table.END}\n\nEnd\n"
    once = table.replace_block(page, f"{table.BEGIN}\nnew\n{table.END}")
    assert once == f"# Title\n\n{table.BEGIN}\nnew\n{table.END}\n\nEnd\n"
    with pytest.raises(ValueError, match="no lines"):
        table.replace_block("# Title\n", once)

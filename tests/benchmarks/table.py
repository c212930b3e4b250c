# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What comes of the runs: medians, ratios of them, and the tables that show them."""

from __future__ import annotations

import dataclasses
import statistics
import typing as t

from benchmarks import machine, scenarios
from benchmarks.scenarios import Scenario

# With fewer runs there is no saying what is the machine's noise, so there is no ratio.
RUNS_FOR_RATIO = 3
# Against these, if they were measured: KIWI as it is without further options, with the one option that makes it
# faster, and with our compressors.
REFERENCES = ("kiwi-newest-xz", "kiwi-newest-zstd", "kiwi-newest-tuned")
BEGIN = "<!-- What follows was written by scripts/benchmark --docs. Do not edit. -->"
END = "<!-- Here ends what scripts/benchmark --docs wrote. -->"
_COMMAND = "scripts/benchmark --docs"

Run = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Measure:
    """One thing that was measured.

    Attributes:
        name: key in a run.
        title: heading of its column.
        unit: divisor and format of a figure of it.
        faster: whether the ratio tells how many times less the tool needs than the reference; otherwise it tells how
            much it has of the reference's.
    """

    name: str
    title: str
    unit: tuple[float, str]
    faster: bool = True


MEASURES = (
    Measure("wall", "wall s", (1, "{:.1f}")),
    Measure("cpu", "CPU s", (1, "{:.1f}")),
    Measure("peak_pss", "memory MB", (1e6, "{:.0f}"), faster=False),
    Measure("peak_rss", "RSS MB", (1e6, "{:.0f}"), faster=False),
    Measure("largest_process", "largest MB", (1e6, "{:.0f}"), faster=False),
    Measure("peak_tmpfs", "tmpfs MB", (1e6, "{:.0f}"), faster=False),
    Measure("written", "written MB", (1e6, "{:.0f}"), faster=False),
    Measure("iso_size", "ISO MB", (1e6, "{:.1f}"), faster=False),
    Measure("initrd_size", "initrd MB", (1e6, "{:.1f}"), faster=False),
    Measure("boot_seconds", "login s", (1, "{:.1f}")),
    Measure("others", "others %", (0.01, "{:.0f}"), faster=False),
)


# These say how good the figures are, or the same in another way.
_FIGURES_ONLY = ("largest_process", "peak_tmpfs", "others")


class TooFewRuns(Exception):
    """A ratio was asked for that rests on too little; the text says on what."""


class Results:
    """The runs of one benchmark.

    Args:
        document: what the benchmark wrote as JSON.
    """

    def __init__(self, document: t.Mapping[str, t.Any]) -> None:
        self.document = document

    def figures(self, tool: str, scenario: str, measure: str) -> list[float]:
        """What was measured, one number for each run that succeeded."""
        return [
            float(run[measure])
            for run in self.document["runs"]
            if (run["tool"], run["scenario"]) == (tool, scenario)
            and run["failure"] is None
            and run.get(measure) is not None
        ]

    def failures(self) -> list[tuple[str, str, str]]:
        """Tool, scenario and reason of everything that could not be measured."""
        missing = [(tool, "all", reason) for tool, reason in self.document["unavailable"].items()]
        failed = [
            (run["tool"], f"{run['scenario']}, round {run['round']}", run["failure"])
            for run in self.document["runs"]
            if run["failure"] is not None
        ]
        return [*missing, *failed]

    def ratio(self, over: tuple[str, str], under: tuple[str, str], measure: str) -> float:
        """Ratio of two medians.

        Args:
            over: tool and scenario of the dividend.
            under: those of the divisor.
            measure: what is compared.

        Raises:
            TooFewRuns: one of them has fewer than three runs.
        """
        medians = []
        for tool, scenario in (over, under):
            found = self.figures(tool, scenario, measure)
            if len(found) < RUNS_FOR_RATIO:
                raise TooFewRuns(f"{tool}, {scenario}: {len(found)} of {RUNS_FOR_RATIO} runs")
            medians.append(statistics.median(found))
        if medians[1] == 0:
            raise TooFewRuns(f"{under[0]}, {under[1]}: {measure} is 0")
        return medians[0] / medians[1]

    def rows(self) -> list[tuple[str, Scenario]]:
        """Tools and scenarios that were tried, in the order in which tables show them."""
        tried = {(run["tool"], run["scenario"]) for run in self.document["runs"]}
        return [
            (tool, scenario)
            for scenario in scenarios.SCENARIOS
            for tool in self.document["tools"]
            if (tool, scenario.name) in tried
        ]


def figures_table(results: Results) -> str:
    """Medians of everything, and how far the wall times lie apart, for a terminal."""
    table = [["scenario", "tool", "runs", *(measure.title for measure in MEASURES), "wall from..to"]]
    for tool, scenario in results.rows():
        walls = results.figures(tool, scenario.name, "wall")
        row = [scenario.name, tool, str(len(walls))]
        for measure in MEASURES:
            found = results.figures(tool, scenario.name, measure.name)
            divisor, form = measure.unit
            row.append(form.format(statistics.median(found) / divisor) if found else "-")
        row.append(f"{min(walls):.1f}..{max(walls):.1f}" if walls else "-")
        table.append(row)
    return _aligned(table)


def ratios_table(results: Results, reference: str) -> list[list[str]]:
    """How each tool compares with ``reference`` in the same scenario; the first row holds the headings.

    A cell without enough runs says so instead of showing a ratio.
    """
    shown = [measure for measure in MEASURES if measure.name not in _FIGURES_ONLY]
    table = [["scenario", "tool", *(_heading(measure) for measure in shown)]]
    measured = {scenario.name for tool, scenario in results.rows() if tool == reference}
    for tool, scenario in results.rows():
        if tool == reference or scenario.name not in measured:
            continue
        row = [scenario.title, tool]
        for measure in shown:
            row.append(_cell(results, (tool, scenario.name), (reference, scenario.name), measure))
        table.append(row)
    return table


def failures_text(results: Results) -> str:
    """What could not be measured and why, or nothing."""
    return "\n".join(f"{tool} ({what}): {reason}" for tool, what, reason in results.failures())


def report(results: Results) -> str:
    """Everything, for a terminal."""
    parts = [machine.sentence(results.document["machine"]), figures_table(results)]
    for reference in REFERENCES:
        table = ratios_table(results, reference)
        if len(table) > 1:
            parts.append(f"Compared with {reference}\n{_aligned(table)}")
    failed = failures_text(results)
    if failed:
        parts.append(f"Not measured\n{failed}")
    return "\n\n".join(parts)


def documentation(*all_results: Results) -> str:
    """The block of docs/how-fast.md: ratios only, those of each run of the benchmark by themselves.

    Raises:
        TooFewRuns: a run of the benchmark has not one ratio to show.
    """
    return "\n\n".join([BEGIN, *(part for results in all_results for part in _documented(results)), END])


def _disk_sentence(results: Results) -> str | None:
    """What the newest cold build of liveforge left on disk, as multiples of its root tree."""
    found = [
        run["facts"]["disk"]
        for run in results.document["runs"]
        if (run["tool"], run["scenario"]) == ("liveforge", "cold")
        and "disk" in (run.get("facts") or {})
        and run["failure"] is None
    ]
    if not found:
        return None
    (tree, whole), *others = found[-1].items()
    shares = ", ".join(f"{name} {size / whole:.2f}" for name, size in others)
    return f"Disk space, as multiples of the {tree}: {shares}, in all {sum(found[-1].values()) / whole:.2f}."


def _documented(results: Results) -> list[str]:
    document = results.document
    facts = [
        f"Measured on {document['date'][:10]} with `{document.get('command') or _COMMAND}` on this machine: "
        f"{machine.sentence(document['machine'])}.",
        "Versions: " + ", ".join(f"{tool} {version}" for tool, version in _versions(document).items()) + ".",
    ]
    accelerators = sorted({run["boot"]["accelerator"] for run in document["runs"] if run.get("boot")})
    if not accelerators:
        raise TooFewRuns("No image was booted (--skip-boot). Nothing is documented of images that may not boot.")
    facts[1] += f" Boots ran in QEMU with {', '.join(accelerators)}."
    if disk := _disk_sentence(results):
        facts.append(disk)
    tables = []
    for reference in REFERENCES:
        table = ratios_table(results, reference)
        if any("times" in cell for row in table[1:] for cell in row):
            tables += [f"#### Compared with {reference}", _markdown(table)]
    if not tables:
        raise TooFewRuns(
            f"No ratio can be shown of {', '.join(document['tools'])}: it takes {RUNS_FOR_RATIO} runs of "
            f"{' or '.join(REFERENCES)} and of another tool."
        )
    failed = results.failures()
    if failed:
        tables.append("Not measured:")
        tables.append("\n".join(f"- {tool} ({what}): {reason.splitlines()[0]}" for tool, what, reason in failed))
    return [f"### {', '.join(document['tools'])}", *facts, *tables]


def replace_block(page: str, block: str) -> str:
    """Put the block into a page.

    Raises:
        ValueError: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    dummy, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page has no lines {BEGIN!r} and {END!r}.")
    return before + block + after


def _cell(results: Results, tool: tuple[str, str], reference: tuple[str, str], measure: Measure) -> str:
    over, under = (reference, tool) if measure.faster else (tool, reference)
    figures = [results.figures(*side, measure.name) for side in (tool, reference)]
    try:
        ratio = f"{results.ratio(over, under, measure.name):.2f} times"
    except TooFewRuns:
        return "-" if not all(figures) else f"({min(map(len, figures))} runs)"
    (least, most), (least_other, most_other) = ((min(found), max(found)) for found in figures)
    return f"{ratio} (they overlap)" if least < most_other and least_other < most else ratio


def _heading(measure: Measure) -> str:
    name = measure.title.rpartition(" ")[0]
    return f"{name}, times faster" if measure.faster else f"{name}, of its"


def _versions(document: Run) -> dict[str, str]:
    """Each tool once, without its variants."""
    found: dict[str, str] = {}
    for facts in document["tools"].values():
        found.setdefault(facts["family"], facts["version"])
    return found


def _aligned(table: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def _markdown(table: list[list[str]]) -> str:
    head, *rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)

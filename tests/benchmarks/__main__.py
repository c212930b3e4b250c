# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds one image with liveforge and its peers, and compares. Run by scripts/benchmark; see README.md."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import signal
import sys
import typing as t

import playbook
from benchmarks import scenarios, table
from benchmarks.description import FLAGS, Description
from benchmarks.kiwi import DebianKiwi, NewestKiwi
from benchmarks.live_build import LiveBuild
from benchmarks.liveforge import Liveforge
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.session import Plan, Session
from benchmarks.tool import Tool

PAGE = playbook.ROOT / "docs" / "how-fast.md"
FAMILIES: tuple[type[Tool], ...] = (NewestKiwi, DebianKiwi, LiveBuild, Liveforge)
# The figures that goals are set for. The slowest builds are made only where they are needed.
REDUCED = (
    "kiwi-newest-zstd:cold+unchanged+file+cmdline,kiwi-newest-tuned:cold+file+cmdline,kiwi-newest-xz:cold,"
    "liveforge:cold+unchanged+file+cmdline,liveforge-base:cold+unchanged+file+cmdline,liveforge-smallest:cold"
)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="scripts/benchmark", description=__doc__)
    made.add_argument(
        "--tools",
        help="tools to measure, separated by commas, each optionally with scenarios, such as "
        "kiwi-newest-zstd,liveforge:cold+file (default: all)",
    )
    made.add_argument(
        "--scenarios",
        help=f"scenarios for tools that name none, separated by commas: {', '.join(s.name for s in SCENARIOS)}",
    )
    made.add_argument("--reduced", action="store_true", help=f"short for --tools {REDUCED}")
    made.add_argument(
        "--flags",
        choices=list(FLAGS),
        default=Description().flags,
        help="which dracut module mounts the root (default: overlay); dmsquash is for kiwi-ng (but kiwi-newest-tuned), "
        "liveforge and liveforge-smallest",
    )
    made.add_argument("--runs", type=int, default=3, help="rounds (default: 3; fewer give no ratios; 0 only downloads)")
    made.add_argument("--skip-boot", action="store_true", help="do not boot the images")
    made.add_argument("--accelerator", default="tcg", choices=["tcg", "kvm", "auto"], help="for boots (default: tcg)")
    made.add_argument(
        "--wait", type=float, default=60, help="seconds to wait for a quiet machine before each build (default: 60)"
    )
    made.add_argument(
        "--work",
        type=pathlib.Path,
        default=pathlib.Path(os.environ.get("LIVEFORGE_BENCHMARKS", "~/.cache/liveforge-benchmarks")),
        help="folder for trees, tools and downloads, with 8 GB of room (default: $LIVEFORGE_BENCHMARKS or "
        "~/.cache/liveforge-benchmarks)",
    )
    made.add_argument("--json", type=pathlib.Path, help="file for the results (default: results-TIME.json in --work)")
    made.add_argument(
        "--from",
        type=pathlib.Path,
        dest="earlier",
        action="append",
        help="show the results in this file, which may be given more than once; measure nothing",
    )
    made.add_argument("--docs", action="store_true", help=f"write the ratios into {PAGE.relative_to(playbook.ROOT)}")
    return made


def tool_of(name: str, work: pathlib.Path) -> Tool:
    """The tool of a name.

    Raises:
        ValueError: there is none.
    """
    tools = {tool.name: tool for family in FAMILIES for tool in (family(work, v) for v in family.variants)}
    if name not in tools:
        raise ValueError(f"There is no tool {name!r}; the tools are {', '.join(tools)}.")
    return tools[name]


def scenarios_of(names: t.Sequence[str], tool: Tool) -> tuple[Scenario, ...]:
    """The scenarios of these names in their order, the cold build first: the others start from it.

    Raises:
        ValueError: there is none of a name, or not for this tool.
    """
    known = {scenario.name: scenario for scenario in tool.scenarios}
    for name in names:
        if name not in known:
            raise ValueError(f"{tool.name} has no scenario {name!r}; it has {', '.join(known)}.")
    return tuple(known[name] for name in known if name in names or known[name] == scenarios.COLD)


def chosen(
    tools: str | None, default_scenarios: str | None, work: pathlib.Path
) -> list[tuple[Tool, tuple[Scenario, ...]]]:
    """What --tools and --scenarios say.

    Raises:
        ValueError: a name is not known.
    """
    names = tools.split(",") if tools else [f(work, v).name for f in FAMILIES for v in f.variants]
    found = []
    for item in names:
        name, dummy, own = item.strip().partition(":")
        tool = tool_of(name, work)
        if tool.name in [other.name for other, dummy in found]:
            raise ValueError(f"{name} is named twice; give its scenarios together, such as {name}:cold+file.")
        wanted = own.split("+") if own else (default_scenarios.split(",") if default_scenarios else None)
        found.append((tool, tool.scenarios if wanted is None else scenarios_of(wanted, tool)))
    return found


def measured(options: argparse.Namespace) -> dict[str, t.Any]:
    """Run the benchmark that the options describe."""
    if os.geteuid() != 0:
        raise ValueError("Images are built as root; run scripts/benchmark, which uses sudo.")
    if options.runs < 0:
        raise ValueError("--runs must not be negative.")
    work = options.work.expanduser().resolve()
    stamp = datetime.datetime.now().strftime("%Y-%m-%dT%H%M%S")
    results = (options.json or work / f"results-{stamp}.json").expanduser().absolute()
    tools = chosen(REDUCED if options.reduced else options.tools, options.scenarios, work)
    without = [tool.name for tool, dummy in tools if options.flags not in tool.flags]
    if without:
        raise ValueError(f"--flags {options.flags}: not for {', '.join(without)}; name the others with --tools.")
    plan = Plan(
        tools=tuple(tools),
        runs=options.runs,
        work=work,
        results=results,
        accelerator=None if options.skip_boot else options.accelerator,
        quiet_seconds=options.wait,
        command=_command(options),
        description=Description(flags=options.flags),
    )
    document = Session(plan).run()
    print(f"Results: {results}", file=sys.stderr)
    return document


def read(path: pathlib.Path) -> dict[str, t.Any]:
    """Results that an earlier run has written.

    Raises:
        ValueError: the file cannot be read, or holds something else.
    """
    try:
        document = json.loads(path.read_text())
        missing = {"date", "machine", "runs", "tools", "unavailable"} - set(document)
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except (OSError, TypeError, ValueError) as problem:
        raise ValueError(f"--from {path}: not a file of results of scripts/benchmark: {problem}") from problem
    return document


def _command(options: argparse.Namespace) -> str:
    """What to type for the same benchmark, without what belongs to this machine."""
    words = ["scripts/benchmark"]
    if options.reduced:
        words.append("--reduced")
    elif options.tools:
        words += ["--tools", options.tools]
    if options.scenarios:
        words += ["--scenarios", options.scenarios]
    if options.flags != Description().flags:
        words += ["--flags", options.flags]
    if options.runs != 3:
        words += ["--runs", str(options.runs)]
    if options.skip_boot:
        words.append("--skip-boot")
    if options.accelerator != "tcg":
        words += ["--accelerator", options.accelerator]
    return " ".join(words)


def main() -> int:
    options = parser().parse_args()
    # Ended from outside, it cleans up as at its own end.
    signal.signal(signal.SIGTERM, lambda number, dummy: sys.exit(128 + number))
    try:
        earlier = [read(path) for path in options.earlier or ()]
        shown = [table.Results(document) for document in earlier or [measured(options)]]
        print("\n\n".join(table.report(results) for results in shown))
        if options.docs:
            PAGE.write_text(table.replace_block(PAGE.read_text(), table.documentation(*shown)))
            print(f"Written to {PAGE}", file=sys.stderr)
    except (ValueError, table.TooFewRuns) as problem:
        print(f"ERROR: {problem}", file=sys.stderr)
        return 2
    return 1 if any(results.failures() for results in shown) else 0


if __name__ == "__main__":
    sys.exit(main())

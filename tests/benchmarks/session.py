# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A benchmark from its plan to its results: installs, warms the downloads, runs all tools in alternation, looks."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import sys
import tempfile
import typing as t

from benchmarks import boots, downloads, leftovers, machine, measuring, scenarios
from benchmarks.description import Description
from benchmarks.scenarios import Scenario
from benchmarks.tool import Tool, Unavailable, remove_tree

# Downloads of yesterday are renewed: Debian may have published newer packages.
_DOWNLOADS_LAST = datetime.timedelta(days=1)
# All tools run in a mount namespace of their own: what they leave mounted goes with it. Their /var/tmp is a folder in
# their tree: kiwi-ng leaves files there, whatever it is told of temporary folders.
_NAMESPACE = ["unshare", "--mount", "--propagation", "private", "--"]
_OWN_VAR_TMP = 'mount --bind "$1" /var/tmp && shift && exec "$@"'
# Share of the processors that others may use before a build starts.
_QUIET = 0.05
# After these there must be another image.
_CHANGING = (scenarios.FILE, scenarios.PACKAGE, scenarios.COMMAND_LINE)
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        tools: the tools, each with its scenarios in order; they begin with the cold build.
        runs: number of rounds.
        work: folder for everything.
        results: JSON file to write.
        accelerator: for boots, or None for no boots.
        quiet_seconds: how long to wait for a quiet machine before each build.
        command: the command line, for readers of the results.
        description: what cold builds are made from.
    """

    tools: tuple[tuple[Tool, tuple[Scenario, ...]], ...]
    runs: int
    work: pathlib.Path
    results: pathlib.Path
    accelerator: str | None
    quiet_seconds: float
    command: str
    description: Description


class Session:
    """One benchmark."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.usable: list[tuple[Tool, tuple[Scenario, ...]]] = []
        self.document: dict[str, t.Any] = {
            "format": FORMAT,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": plan.command,
            "machine": machine.describe(plan.work),
            "tools": {},
            "unavailable": {},
            "warming": [],
            "runs": [],
        }

    def run(self) -> dict[str, t.Any]:
        """Do it all and return the document, which is also written after each step.

        Whatever happens, the trees are removed, and nothing stays mounted or attached.
        """
        trees = self.plan.work / "trees"
        proxy = self.plan.work / "caches/apt-cacher-ng"
        remove_tree(trees)
        trees.mkdir(parents=True)
        try:
            self._install()
            with downloads.mirror(proxy, offline=False) as mirror:
                self._warm(mirror)
            with downloads.mirror(proxy, offline=True) as mirror:
                for number in range(1, self.plan.runs + 1):
                    self._round(number, mirror)
        finally:
            for problem in leftovers.remove(self.plan.work):
                _say(f"left behind, removed now: {problem}")
            remove_tree(trees)
            self._write()
        return self.document

    def _install(self) -> None:
        for tool, wanted in self.plan.tools:
            try:
                version = tool.install()
            except Unavailable as reason:
                self._give_up(tool, f"not installed: {reason}")
                continue
            self.document["tools"][tool.name] = {"family": tool.family, "version": version, "how": {}}
            self.usable.append((tool, wanted))
            _say(f"{tool.name}: version {version}")

    def _warm(self, mirror: str) -> None:
        """Build once with each tool, unless that was done today, so that all that it downloads is there.

        These builds do not count. Their images are booted, so that one that does not boot is found before the rounds.
        """
        failed: dict[str, str] = {}
        for family in dict.fromkeys(tool.family for tool, dummy in self.usable):
            warming = next(tool for tool, dummy in self.usable if tool.family == family)
            warming = type(warming)(self.plan.work, warming.warming_variant)
            stamp = self.plan.work / "caches" / f"{family}.warm"
            # What a scenario adds must be there as well.
            wanted = self.plan.description.changed(scenarios.PACKAGE, "")
            identity = f"{mirror} {warming.install()} {sorted(wanted.package_names())}"
            if _is_fresh(stamp, identity):
                continue
            _say(f"{family}: downloading, with a build that does not count")
            warming.tree.mkdir(parents=True, exist_ok=True)
            warming.cache.mkdir(parents=True, exist_ok=True)
            run = self._build(warming, scenarios.COLD, wanted, mirror, 0)
            if run["failure"] is None:
                self._look(warming, scenarios.COLD, 0, run, wanted)
            self.document["warming"].append(run)
            warming.clear()
            if run["failure"] is not None:
                failed[family] = f"the first build, which downloads, failed: {run['failure']}"
            else:
                stamp.write_text(identity)
        for tool, wanted_scenarios in [pair for pair in self.usable if pair[0].family in failed]:
            self.usable.remove((tool, wanted_scenarios))
            self._give_up(tool, failed[tool.family])

    def _round(self, number: int, mirror: str) -> None:
        """All tools one after the other; each round begins with another one."""
        shift = (number - 1) % max(len(self.usable), 1)
        for tool, wanted in self.usable[shift:] + self.usable[:shift]:
            tool.start_cold()
            tool.tree.mkdir(parents=True, exist_ok=True)
            tool.cache.mkdir(parents=True, exist_ok=True)
            description = self.plan.description
            for scenario in wanted:
                description = description.changed(scenario, f"round-{number}")
                run = self._build(tool, scenario, description, mirror, number)
                if run["failure"] is None:
                    self._look(tool, scenario, number, run, description)
                self.document["runs"].append(run)
                self._write()
                if run["failure"] is not None:
                    # What comes next would start from a broken tree.
                    break
            tool.clear()

    def _build(
        self, tool: Tool, scenario: Scenario, description: Description, mirror: str, number: int
    ) -> dict[str, t.Any]:
        run: dict[str, t.Any] = {"round": number, "tool": tool.name, "scenario": scenario.name, "failure": None}
        log = tool.tree / f"{scenario.name}-output.log"
        try:
            command = tool.command(scenario, description, mirror)
            if tool.name in self.document["tools"]:
                self.document["tools"][tool.name]["how"][scenario.name] = command.how
            run["busy_before"] = round(measuring.wait_until_quiet(_QUIET, self.plan.quiet_seconds), 3)
            _say(f"round {number}: {tool.name}, {scenario.title}: {command.how}")
            usage = measuring.measure(
                isolated(command.argv, tool.tree / "var-tmp"),
                log,
                folder=tool.tree,
                environment=tool.environment(),
            )
            run.update(dataclasses.asdict(usage))
            if usage.status != 0:
                reason = tool.reason(log.read_text(errors="replace"))
                run["failure"] = f"exit status {usage.status}: {reason} (log: {self._keep_log(log, run)})"
            else:
                tool.iso().stat()
                run["facts"] = tool.facts()
        except (Unavailable, OSError, RuntimeError) as problem:
            run["failure"] = str(problem)
        if run["failure"] is None:
            _say(
                f"  {run['wall']:.1f} s, {run['cpu']:.1f} CPU s, at most {run['peak_pss'] / 1e6:.0f} MB; "
                f"others used {run['others']:.0%} of the processors"
            )
        else:
            _say(f"  FAILED: {run['failure']}")
        return run

    def _keep_log(self, log: pathlib.Path, run: t.Mapping[str, t.Any]) -> str:
        """Copy a log to where it is not removed, and return its name."""
        kept = self.plan.results.with_suffix(f".{run['tool']}-{run['scenario']}-{run['round']}.log")
        kept.write_bytes(log.read_bytes())
        return kept.name

    def _look(
        self, tool: Tool, scenario: Scenario, number: int, run: dict[str, t.Any], description: Description
    ) -> None:
        """Read the image, and boot it, unless it is the one that was booted before."""
        with tempfile.TemporaryDirectory(dir=self.plan.work) as scratch:
            folder = pathlib.Path(scratch)
            try:
                image = boots.inspect(tool.iso(), folder)
                run.update({"iso_size": image.size, "iso_sha256": image.sha256, "initrd_size": image.initrd_size})
                run["kernel_command_line"] = image.kernel_command_line
                same = self._is_the_last_one(tool, number, image.sha256)
                if same and scenario in _CHANGING:
                    raise RuntimeError("it is the image of the build before, although something else was declared")
                if self.plan.accelerator is None or same:
                    return
                run["busy_before_boot"] = round(measuring.wait_until_quiet(_QUIET, self.plan.quiet_seconds), 3)
                booted = boots.boot(tool.iso(), folder, self.plan.accelerator, description)
            except (boots.BootFailed, RuntimeError) as problem:
                run["failure"] = f"the image was built, but: {problem}"
                _say(f"  FAILED: {run['failure']}")
                return
        run.update({"boot_seconds": booted.seconds, "boot": dataclasses.asdict(booted)})
        _say(f"  boots in {booted.seconds:.1f} s ({booted.accelerator}); root is {booted.root}")

    def _is_the_last_one(self, tool: Tool, number: int, sha256: str) -> bool:
        """Whether an image is one that the tool has made in this round already."""
        return any(
            run["tool"] == tool.name and run["round"] == number and run.get("iso_sha256") == sha256
            for run in self.document["runs"]
        )

    def _give_up(self, tool: Tool, reason: str) -> None:
        self.document["unavailable"][tool.name] = reason
        _say(f"{tool.name} is left out: {reason}")
        self._write()

    def _write(self) -> None:
        self.plan.results.parent.mkdir(parents=True, exist_ok=True)
        partial = self.plan.results.with_suffix(".partial")
        partial.write_text(json.dumps(self.document, indent=1) + "\n")
        partial.rename(self.plan.results)


def isolated(command: t.Sequence[str], var_tmp: pathlib.Path) -> list[str]:
    """The command in a mount namespace of its own, where ``var_tmp``, which is made, is /var/tmp."""
    var_tmp.mkdir(exist_ok=True)
    var_tmp.chmod(0o1777)
    return [*_NAMESPACE, "sh", "-c", _OWN_VAR_TMP, "sh", str(var_tmp), *command]


def _is_fresh(stamp: pathlib.Path, identity: str) -> bool:
    if not stamp.exists() or stamp.read_text() != identity:
        return False
    made = datetime.datetime.fromtimestamp(stamp.stat().st_mtime, datetime.UTC)
    return datetime.datetime.now(datetime.UTC) - made < _DOWNLOADS_LAST


def _say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)

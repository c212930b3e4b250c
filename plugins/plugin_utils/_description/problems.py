# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where something stands in a description, and what is wrong there. Private to this collection."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError


@dataclasses.dataclass(frozen=True, order=True)
class Place:
    """A line of a file; line 0 is the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """What is wrong, or not honoured, at a place."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


def grouped(problems: t.Iterable[Problem]) -> list[Problem]:
    """Problems sorted by file and line; the same words about several lines of a file are said once, with all lines."""
    lines: dict[tuple[str, str], list[int]] = {}
    for problem in sorted(set(problems)):
        lines.setdefault((problem.place.file, problem.text), []).append(problem.place.line)
    return sorted(
        Problem(Place(file, found[0]), f"{text} The same in {_lines(found[1:])}." if len(found) > 1 else text)
        for (file, text), found in lines.items()
    )


def _lines(numbers: t.Sequence[int]) -> str:
    """Sorted line numbers in words, those that follow each other as a range."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)
    return f"line {shown}" if len(numbers) == 1 else f"lines {shown}"


class DescriptionError(StageError):
    """A description cannot be read, with everything that is wrong with it in one message.

    Attributes:
        problems: sorted by file and line.
    """

    def __init__(self, problems: t.Iterable[Problem], headline: str = "The description has {count} errors") -> None:
        self.problems = sorted(set(problems))
        lines = [str(problem) for problem in self.problems]
        if len(lines) > 1:
            lines = [headline.format(count=len(lines)) + ":", *(f"  {line}" for line in lines)]
        super().__init__("\n".join(lines))

    @classmethod
    def at(cls, place: Place, text: str) -> DescriptionError:
        """With one problem."""
        return cls([Problem(place, text)])

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured: one cold build, and builds after one thing changed."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One build of a round.

    Attributes:
        name: as options and results have it.
        title: as tables show it.
    """

    name: str
    title: str


COLD = Scenario("cold", "cold build")
UNCHANGED = Scenario("unchanged", "nothing changed")
FILE = Scenario("file", "one overlay file changed")
PACKAGE = Scenario("package", "one package added")
COMMAND_LINE = Scenario("cmdline", "kernel command line changed")
# In this order in each round: each build starts from what the one before it left.
SCENARIOS = (COLD, UNCHANGED, FILE, PACKAGE, COMMAND_LINE)

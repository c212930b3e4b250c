# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What root may do in the sandbox, whatever the build host leaves to it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

# Numbers of capabilities(7).
ALLOWED = {0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 27, 29, 31}
AUDIT_WRITE = 29
CODE = """\
import subprocess
from ansible_collections.liveforge.images.plugins.module_utils._sandbox import Sandbox
subprocess.run(Sandbox("/").command(["cat", "/proc/self/status"]), check=True)
"""


@pytest.mark.parametrize(
    ("prefix", "missing"),
    [([], set()), (["setpriv", "--bounding-set", "-audit_write"], {AUDIT_WRITE})],
    ids=["all", "container"],
)
def test_root_keeps_no_capability_that_reaches_the_host(prefix: list[str], missing: set[int]) -> None:
    command = [*prefix, sys.executable, "-c", CODE]
    status = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    assert found is not None
    assert {number for number in range(64) if int(found[1], 16) >> number & 1} == ALLOWED - missing

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every boot test shares."""

from __future__ import annotations

import typing as t

import pytest

from boot import variants


@pytest.fixture(scope="session", autouse=True)
def workspace_of_the_images() -> t.Iterator[None]:
    with variants.claimed_workspace():
        yield

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shells of these tests run on this host: what the code under test leaves in a guest must not stay here."""

from __future__ import annotations

import pathlib
import shutil
import typing as t

import pytest


@pytest.fixture(autouse=True)
def no_folders_left() -> t.Iterator[None]:
    """Remove the folders that shells of this test made; a guest loses them with its memory."""
    places = [pathlib.Path(place) for place in ("/dev/shm", "/run", "/tmp")]
    before = {path for place in places for path in place.glob(".lf*")}
    yield
    for place in places:
        for path in set(place.glob(".lf*")) - before:
            shutil.rmtree(path, ignore_errors=True)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The port of the cache that all tools download through."""

from __future__ import annotations

import contextlib
import socket

import pytest

from benchmarks import downloads
from benchmarks.tool import Unavailable


def test_the_port_is_one_that_apt_cacher_ng_can_listen_on(tmp_path):
    assert 1024 < downloads._port(tmp_path) <= 32767


def test_the_port_stays_the_same(tmp_path):
    assert downloads._port(tmp_path) == downloads._port(tmp_path)


def test_a_port_that_cannot_be_listened_on_is_not_kept(tmp_path):
    (tmp_path / "port").write_text("38947")
    assert downloads._port(tmp_path) <= 32767


def test_another_port_is_taken_for_a_new_folder(tmp_path):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # While a benchmark runs on this machine, somebody else has it already.
        with contextlib.suppress(OSError):
            other.bind(("127.0.0.1", downloads._PORTS[0]))
            other.listen()
        assert downloads._port(tmp_path) != downloads._PORTS[0]


def test_a_recorded_port_in_use_is_told(tmp_path):
    port = downloads._port(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(Unavailable, match=f"port {port} is in use"):
            downloads._port(tmp_path)

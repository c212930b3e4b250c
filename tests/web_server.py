# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Serves files over HTTP to what is tested."""

from __future__ import annotations

import contextlib
import ssl
import threading
import typing as t
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(SimpleHTTPRequestHandler):
    """Does not write its log into the output of the tests."""

    def log_message(self, format: str, *args: t.Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serve(handler: t.Any, context: ssl.SSLContext | None = None) -> t.Iterator[int]:
    """Serve HTTP in a thread of this process, on this host alone; yields the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()

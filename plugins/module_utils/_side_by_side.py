# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work on several cores within one process: digests and waiting for a disk. Private to this collection."""

from __future__ import annotations

import concurrent.futures
import typing as t


def side_by_side(*tasks: t.Callable[[], t.Any]) -> list[t.Any]:
    """Run each of ``tasks`` in a thread of its own, and return what they return in their order.

    A task's exception is raised here. After that, or when a signal ends this process, none of them is waited for.
    """
    pool = concurrent.futures.ThreadPoolExecutor(len(tasks))
    try:
        return [future.result() for future in [pool.submit(task) for task in tasks]]
    finally:
        pool.shutdown(wait=False)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller side of live_result."""

from __future__ import annotations

from ansible_collections.liveforge.images.plugins.plugin_utils._stage_action import StageAction


class ActionModule(StageAction):
    """The stage that writes down what is known of an image."""

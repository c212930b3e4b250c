# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shell functions of live-overlay, for tests that call them outside of an initrd."""

from __future__ import annotations

import playbook

MODULE = playbook.ROOT / "roles/live_image/files/dracut/90live-overlay"
# Reads them, with what they expect of dracut; they then read its parameters from $live_parameters.
SOURCE = f"""
getcmdline() {{ :; }}
getarg() {{ return 1; }}
getargbool() {{ return 0; }}
for part in lib medium crypt store; do . {MODULE}/live-overlay-$part.sh; done
mkdir -p /run/overlay
"""

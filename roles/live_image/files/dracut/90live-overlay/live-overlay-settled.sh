#!/bin/sh
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# initqueue/settled hook: looks for the medium whenever devices have settled. A process of its own, since hooks are
# sourced and would leave their variables behind.

[ -e /run/overlay/ready ] || [ -e /run/overlay/failed ] || /sbin/live-overlay-root

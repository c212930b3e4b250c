#!/bin/sh
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# initqueue/timeout hook: the medium has not appeared. Says what was looked for and what is there.

# dracut runs it again and again; once is enough.
[ -e /run/overlay/ready ] || [ -e /run/overlay/told ] || (
    # shellcheck source=SCRIPTDIR/live-overlay-lib.sh
    . /lib/live-overlay/lib.sh
    mkdir -p /run/overlay
    : > /run/overlay/told
    live_say "Live medium not found: $(live_wanted)."
    live_say "Block devices and labels seen so far:"
    live_list_devices
    live_say "Check that the medium is plugged in and written whole, and that its label is the one above."
)

#!/bin/sh
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# mount hook: puts the overlay, or the snapshot, where dracut expects the root. live-overlay-root has prepared it.

if [ -e /run/overlay/ready ] && ! ismounted "$NEWROOT"; then
    if [ -e /run/overlay/layers ]; then
        mount -n -t overlay -o "$(cat /run/overlay/layers)" LiveOS_rootfs "$NEWROOT"
    else
        mount -n /dev/mapper/live-rw "$NEWROOT"
    fi
fi

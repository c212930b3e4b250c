#!/bin/sh
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# mount hook: puts the overlay where dracut expects the root. The lower layers were mounted by live-overlay-root.

if [ -e /run/overlay/ready ] && ! ismounted "$NEWROOT"; then
    mount -n -t overlay -o \
        lowerdir=/run/overlay/rootfsbase,upperdir=/run/overlay/overlayfs/rw,workdir=/run/overlay/overlayfs/work \
        LiveOS_rootfs "$NEWROOT"
fi

#!/bin/sh
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# pre-pivot hook: what the booted system must find in order.

# What the root is made of stays mounted until the very end, when systemd-shutdown makes all that is left read-only. A
# persistent store that is unmounted before goes on below the root, out of sight and never clean; the others cannot be
# unmounted, and would only make shutting down look like a failure.
live_mounts=
for live_mount in /run/overlay/*/; do
    live_mount=${live_mount%/}
    live_mounts="$live_mounts /run/systemd/system/run-overlay-${live_mount##*/}.mount.d"
done
# shellcheck disable=SC2086 # several paths, without blanks
mkdir -p $live_mounts
for live_mount in $live_mounts; do
    printf '[Unit]\nDefaultDependencies=no\n' > "$live_mount/50-live-overlay.conf"
done
unset live_mount live_mounts

# What was loaded over the network is in memory, so the image finds the network as if it had not been used: no
# addresses, interfaces down, none of dracut's configuration. ATA over Ethernet needs its interface.
case "$(getarg root=)" in
    live:http://* | live:https://* | live:ftp://*)
        (
            [ ! -d /run/systemd/system ] || systemctl stop systemd-networkd.socket systemd-networkd.service
            for interface in /sys/class/net/*; do
                [ "$(cat "$interface/type")" = 1 ] || continue
                ip address flush dev "${interface##*/}"
                ip link set dev "${interface##*/}" down
            done
            rm -rf /run/systemd/network /run/systemd/netif /run/systemd/resolve
        ) > /dev/null 2>&1
        ;;
esac

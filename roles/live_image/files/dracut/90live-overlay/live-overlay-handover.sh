#!/bin/sh
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# pre-pivot hook of images that can start from a server: what the booted system must find in order.

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

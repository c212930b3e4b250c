#!/bin/sh
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# cmdline hook: claims root=live:..., and makes the initqueue wait until the root has been found.

case "$(getarg root=)" in
    live:*)
        # Read by dracut after this hook: tells it that somebody knows how to handle this root.
        # shellcheck disable=SC2034
        rootok=1
        # shellcheck disable=SC2154 # hookdir is set by dracut
        echo '[ -e /run/overlay/ready ]' > "$hookdir/initqueue/finished/live-overlay.sh"
        ;;
esac

# A server on the network: bring up an interface, by DHCP unless the user says how.
case "$(getarg root=)" in
    live:http://* | live:https://* | live:ftp://*)
        mkdir -p /etc/cmdline.d
        {
            echo rd.neednet=1
            getarg ip= > /dev/null || echo ip=dhcp
        } > /etc/cmdline.d/49-live-overlay.conf
        ;;
esac

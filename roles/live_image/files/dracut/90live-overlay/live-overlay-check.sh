#!/bin/sh
# shellcheck shell=dash
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The media check (mediacheck, rd.live.check). The tag is in the 512 bytes that ISO 9660 leaves to applications:
#   LIVE SHA256SUM = ...;LIVE START = ...;LIVE END = ...;
# It covers the bytes from START to END, so neither the partition table nor the volume descriptor: it still holds after
# a partition for persistent data was added. An ISO of somebody else may have isomd5sum's tag instead.

# live_check_tag FIELD: the value of one field of the tag.
live_check_tag() {
    echo "$live_tag" | tr ';' '\n' | sed -n "s/^ *$1 = *//p"
}

# live_check_medium DEVICE-OR-FILE: goes on when it is good, stops when it is damaged.
live_check_medium() {
    local medium=$1 first end wanted found
    live_arg_bool 0 mediacheck || live_arg_bool 0 rd.live.check || return 0
    # The tag speaks of the whole disk, not of the partition on it.
    case "$medium" in
        # A target is a disk, and its name in /sys is another.
        /dev/etherd/*) ;;
        /dev/*) medium=/dev/$(live_disk_of "$medium") ;;
    esac
    live_tag=$(dd "if=$medium" bs=1 skip=33651 count=512 status=none | tr -d '\000')
    wanted=$(live_check_tag 'LIVE SHA256SUM')
    first=$(live_check_tag 'LIVE START')
    end=$(live_check_tag 'LIVE END')
    if [ "${#wanted}" = 64 ] && live_is_number "$first" && live_is_number "$end"; then
        live_say "Checking the medium $medium ($((end / 1048576)) MiB)."
        found=$(live_read "$medium" "$first" "$end" "Media check" | sha256sum)
        if [ "${found%% *}" = "$wanted" ]; then
            live_good_medium
        else
            live_damaged_medium
        fi
    elif [ -n "$(live_check_tag 'ISO MD5SUM')" ] && command -v checkisomd5 > /dev/null; then
        live_say "Checking the medium $medium."
        if checkisomd5 "$medium" > /run/overlay/mediacheck 2>&1; then
            live_good_medium
        else
            live_damaged_medium
        fi
    else
        live_fall_back "Media check: this image offers none (mediacheck: true makes one that does). Going on in 10 seconds."
        sleep 10
    fi
}

live_good_medium() {
    live_say "Media check passed. The medium is good."
    live_note mediacheck passed
}

live_damaged_medium() {
    live_fail "Media check FAILED. The medium is damaged or was modified: do not use it. Write it anew and check again."
}

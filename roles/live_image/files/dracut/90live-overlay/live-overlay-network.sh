#!/bin/sh
# shellcheck shell=dash
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Media on the network: ATA over Ethernet through the kernel's aoe driver, and files fetched with curl.

# live_start_aoe NAME: asks for the device (e0.1). AoE needs interfaces that are up, but no addresses.
live_start_aoe() {
    local interface
    if ! command -v ip > /dev/null || ! modprobe -q aoe; then
        live_fail "root=live:AOEINTERFACE=$1: this image cannot boot by ATA over Ethernet (network_boot: [aoe] makes one that can)."
    fi
    for interface in /sys/class/net/*; do
        [ "$(cat "$interface/type")" = 1 ] && ip link set dev "${interface##*/}" up
    done
    # The driver asks for servers by itself just once a minute.
    [ -e /dev/etherd/discover ] && echo > /dev/etherd/discover
    return 0
}

# live_aoe_device NAME: the device once it is there.
live_aoe_device() {
    if [ -b "/dev/etherd/$1" ]; then echo "/dev/etherd/$1"; fi
}

# Starts what dracut's network modules leave to others: systemd-networkd of dracut 059 knows no ip=dhcp that was not on
# the kernel's own command line, and gets a configuration only when nobody else has made one.
live_start_network() {
    [ -e /run/overlay/network-started ] && return
    : > /run/overlay/network-started
    [ -x /lib/systemd/systemd-networkd ] && [ -d /run/systemd/system ] || return 0
    for file in /run/systemd/network/*.network /etc/systemd/network/*.network; do
        [ -e "$file" ] && return
    done
    mkdir -p /run/systemd/network
    printf '[Match]\nType=ether\n[Network]\nDHCP=yes\n' > /run/systemd/network/90-live-overlay.network
    systemctl restart systemd-networkd.service
}

# Whether an interface has an address with which servers can be reached.
live_is_online() {
    [ -n "$(ip -o address show scope global up)" ]
}

# live_download URL: fetches it to /run/overlay/memory/image. Returns 1 as long as the network is not up.
live_download() {
    local url=$1 target=/run/overlay/memory/image size least left try=1 problem
    command -v curl > /dev/null \
        || live_fail "root=live:$url: this image cannot boot from a web server (network_boot: [http] makes one that can)."
    live_start_network
    live_is_online || return 1
    size=$(live_curl --head "$url" | tr -d '\r' | sed -n 's/^[Cc]ontent-[Ll]ength: *\([0-9]*\)$/\1/p' | tail -n 1)
    if ! live_is_number "$size" || [ "$size" = 0 ]; then
        # A server that does not tell: as much as there is.
        size=$((($(live_memory_left 0) - $(live_least_memory)) * 1048576))
    fi
    least=$(live_least_memory)
    left=$(live_memory_left "$size")
    [ "$left" -ge "$least" ] || live_fail "$url needs $((size / 1048576)) MiB of memory and would leave $left MiB for the system, less than the $least MiB of rd.minmem."
    live_mount_memory /run/overlay/memory "$size" || live_fail "No file system in memory could be made for $url."
    while ! problem=$(live_fetch "$url" "$target" "$size"); do
        # What is wrong with the address does not get better: curl(1), exit codes 22 (HTTP error), 3, 6, 60.
        case "$problem" in
            *'(22)'* | *'(3)'* | *'(60)'*) try=5 ;;
            # Nor does a server that cannot go on in the middle of a file, except from the start.
            *'(33)'*) rm -f "$target" ;;
        esac
        [ "$try" -lt 5 ] || live_fail "Downloading $url failed: ${problem:-no answer}. Check the server and the address."
        live_say "Downloading $url was interrupted (${problem:-no answer}); going on in 5 seconds ($try of 5)."
        try=$((try + 1))
        sleep 5
    done
    live_note downloaded "$url"
}

live_curl() {
    local proxy
    ! live_arg_bool 0 rd.noverifyssl || set -- --insecure "$@"
    ! proxy=$(live_arg proxy=) || set -- --proxy "$proxy" "$@"
    # 20 seconds without data: the server is gone.
    curl --silent --show-error --fail --location --globoff --connect-timeout 20 --speed-limit 1 --speed-time 20 "$@"
}

# live_fetch URL FILE SIZE: one try, going on where the last one ended; prints what went wrong.
live_fetch() {
    local fetcher tenth=0 now
    live_curl --continue-at - --output "$2" "$1" 2> /run/overlay/curl.log &
    fetcher=$!
    while kill -0 "$fetcher" 2> /dev/null; do
        sleep 1
        [ -e "$2" ] || continue
        now=$(($(stat -c %s "$2") * 10 / $3))
        if [ "$now" -gt "$tenth" ]; then
            tenth=$now
            [ "$tenth" -le 10 ] && live_say "Downloading: $((tenth * 10)) %"
        fi
    done
    if wait "$fetcher"; then return 0; fi
    # About certificates, curl says more than the one line that matters.
    grep '^curl: ' /run/overlay/curl.log | tail -n 1
    return 1
}

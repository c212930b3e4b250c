#!/bin/sh
# shellcheck shell=dash
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Encrypted persistent stores: LUKS2, opened as /dev/mapper/live-store with a passphrase or a key file. Whatever opens
# it stands in /run/overlay/key for as short a time as possible. Functions return 1 with the reason in live_problem.
# shellcheck disable=SC2034 # live_problem is read where the store is opened

# live_ask QUESTION: what is typed on the console, which shows nothing of it. A trace (rd.live.debug, rd.debug) must not
# hold it either: what handles passphrases is a subshell without one, and in the shell outside nothing has changed.
live_ask() (
    set +x
    if command -v plymouth > /dev/null && plymouth --ping 2> /dev/null; then
        plymouth ask-for-password --prompt="$1"
    else
        stty -echo < /dev/console
        printf '%s' "live-overlay: $1 " > /dev/console
        IFS= read -r answer < /dev/console
        stty echo < /dev/console
        echo > /dev/console
        printf '%s' "$answer"
    fi
)

# Asks for a new passphrase, twice, and puts it into /run/overlay/key.
live_choose_passphrase() (
    set +x
    for try in 1 2 3; do
        first=$(live_ask "New passphrase:")
        second=$(live_ask "The same again:")
        if [ -n "$first" ] && [ "$first" = "$second" ]; then
            printf '%s' "$first" > /run/overlay/key
            exit
        fi
        live_say "The two do not match, or are empty."
    done
    exit 1
)

# An empty file for the key, for root's eyes only.
live_clear_key() {
    rm -f /run/overlay/key
    (umask 077 && : > /run/overlay/key)
}

# Copies the key file of rd.live.overlay.key=DEVICE:/PATH (or /PATH in the initrd) to where only root reads it.
# Returns 1 with live_problem set when it is not there.
live_fetch_key() {
    local place device path
    place=$(live_arg rd.live.overlay.key=)
    device=${place%%:*}
    path=${place#*:}
    if [ "$device" = "$place" ]; then
        [ -f "$place" ] && cat "$place" > /run/overlay/key && return
        live_problem="the initrd has no key file $place (rd.live.overlay.key)"
        return 1
    fi
    device=$(live_wait_for "$device") || { live_problem="$place: there is no such device (rd.live.overlay.key)"; return 1; }
    if live_mount_readonly "$device" /run/overlay/keydevice; then
        [ -f "/run/overlay/keydevice/$path" ] && cat "/run/overlay/keydevice/$path" > /run/overlay/key
        umount -n /run/overlay/keydevice
        [ -s /run/overlay/key ] && return
    fi
    live_problem="$device has no key file $path (rd.live.overlay.key)"
    return 1
}

# Puts a new passphrase or the declared key into /run/overlay/key.
live_new_key() {
    live_clear_key
    if [ -n "$(live_arg rd.live.overlay.key=)" ]; then
        live_fetch_key
        return
    fi
    live_say "Persistent data will be encrypted. Choose a passphrase."
    live_choose_passphrase && return
    live_problem="no passphrase was chosen in three tries"
    return 1
}

live_has_crypt() {
    command -v cryptsetup > /dev/null && modprobe -q dm_crypt && return
    live_problem="this image cannot encrypt (persistence with encryption: luks2 makes one that can)"
    return 1
}

# live_encrypt DEVICE: makes it a LUKS2 volume and opens it.
live_encrypt() {
    local said
    live_has_crypt && live_new_key || return
    if said=$(cryptsetup luksFormat --batch-mode --type luks2 --label lukscow --key-file /run/overlay/key "$1" 2>&1) \
        && said=$(cryptsetup open --key-file /run/overlay/key "$1" live-store 2>&1); then
        # The key stays until the finished store is opened.
        return
    fi
    rm -f /run/overlay/key
    live_problem="encrypting failed: $(echo "$said" | tail -n 1)"
    return 1
}

live_close_encrypted() {
    [ ! -e /dev/mapper/live-store ] || cryptsetup close live-store
}

# live_open_encrypted DEVICE [--readonly]
live_open_encrypted() {
    local device=$1 try=1
    shift
    live_has_crypt || return
    if [ -s /run/overlay/key ] && cryptsetup open --key-file /run/overlay/key "$device" live-store 2> /dev/null; then
        rm -f /run/overlay/key
        return
    fi
    live_clear_key
    if [ -n "$(live_arg rd.live.overlay.key=)" ]; then
        live_fetch_key || return
        cryptsetup open "$@" --key-file /run/overlay/key "$device" live-store 2> /dev/null && try=0
        rm -f /run/overlay/key
        [ "$try" = 0 ] && return
        live_is_damaged "$device"
        live_problem="the key of rd.live.overlay.key does not open $device"
        return 1
    fi
    while [ "$try" -le 3 ]; do
        live_ask "Passphrase for the persistent data on $device ($try of 3):" > /run/overlay/key
        if cryptsetup open "$@" --key-file /run/overlay/key "$device" live-store 2> /dev/null; then
            rm -f /run/overlay/key
            return
        fi
        live_say "That passphrase does not open $device."
        try=$((try + 1))
    done
    rm -f /run/overlay/key
    live_is_damaged "$device"
    live_problem="no passphrase of three opened $device"
    return 1
}

#!/bin/sh
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Finds the live medium and mounts everything below the overlay. Runs again and again until the medium is there; every
# step before "the medium is there" leaves nothing behind.

# shellcheck source=SCRIPTDIR/live-overlay-lib.sh
. /lib/live-overlay-lib.sh

# Stops looking, with the reason on the console; dracut then halts, or gives a shell with rd.shell.
live_fail() {
    : > /run/overlay/failed
    live_say "$*"
    die "live-overlay: $*"
    exit 1
}

live_check_medium() {
    getargbool 0 mediacheck || getargbool 0 rd.live.check || return 0
    # The tag covers the whole disk, not the partition on it.
    _live_disk=$(readlink -f "/sys/class/block/${1##*/}/..")
    _live_disk=/dev/${_live_disk##*/}
    [ -b "$_live_disk" ] || _live_disk=$1
    command -v checkisomd5 > /dev/null || live_fail "This image has no tool for the media check (checkisomd5)."
    live_say "Checking the medium $_live_disk ..."
    if checkisomd5 "$_live_disk" > /run/overlay/mediacheck 2>&1; then
        live_say "The medium is good."
    else
        live_fail "The medium is damaged or was modified: do not use it. ($(grep -v '^$' /run/overlay/mediacheck | tail -n 1))"
    fi
}

mkdir -p /run/overlay
modprobe -q loop
modprobe -q overlay

scan=$(getarg iso-scan/filename=)
if [ -n "$scan" ]; then
    device=$(live_scan_for_file "$scan")
else
    device=$(live_find_device)
    [ -z "$device" ] || device=$(live_prefer_partition "$device")
fi
if [ -z "$device" ]; then
    if [ ! -e /run/overlay/waiting ]; then
        : > /run/overlay/waiting
        live_say "Waiting for $(live_wanted)."
    fi
    exit 0
fi

live_check_medium "$device"
echo "$device" > /run/overlay/isodev
live_mount_readonly "$device" /run/overlay/live || live_fail "$device cannot be mounted as live medium."

dir=$(getarg rd.live.dir=)
image=$(getarg rd.live.squashimg=)
image=/run/overlay/live/${dir:-LiveOS}/${image:-squashfs.img}
[ -f "$image" ] || live_fail "$device has no ${image#/run/overlay/live/} (rd.live.dir, rd.live.squashimg)."

live_mount_readonly "$image" /run/overlay/squashfs_container || live_fail "$image cannot be mounted. Is the medium whole?"
mkdir -p /run/overlay/rootfsbase
if [ -f /run/overlay/squashfs_container/LiveOS/rootfs.img ]; then
    live_mount_readonly /run/overlay/squashfs_container/LiveOS/rootfs.img /run/overlay/rootfsbase \
        || live_fail "LiveOS/rootfs.img inside $image cannot be mounted."
else
    mount -n --bind /run/overlay/squashfs_container /run/overlay/rootfsbase
    umount -n -l /run/overlay/squashfs_container
fi

mkdir -p /run/overlay/overlayfs
mount -n -t tmpfs -o "mode=0755,size=$(live_overlay_size)" live-overlay /run/overlay/overlayfs \
    || live_fail "rd.live.overlay.size=$(getarg rd.live.overlay.size=) is no size for a file system in memory."
mkdir -m 0755 /run/overlay/overlayfs/rw /run/overlay/overlayfs/work

: > /run/overlay/ready

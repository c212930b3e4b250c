#!/bin/sh
# shellcheck shell=dash
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Finds the live medium and mounts everything below the overlay. Runs again and again until the medium is there; every
# step before "the medium is there" leaves nothing behind.

# shellcheck source=SCRIPTDIR/live-overlay-lib.sh
. /lib/live-overlay/lib.sh
# shellcheck source=SCRIPTDIR/live-overlay-medium.sh
. /lib/live-overlay/medium.sh
# shellcheck source=SCRIPTDIR/live-overlay-network.sh
. /lib/live-overlay/network.sh
# shellcheck source=SCRIPTDIR/live-overlay-check.sh
. /lib/live-overlay/check.sh
# shellcheck source=SCRIPTDIR/live-overlay-crypt.sh
. /lib/live-overlay/crypt.sh
# shellcheck source=SCRIPTDIR/live-overlay-store.sh
. /lib/live-overlay/store.sh

# The medium: a device, or an ISO or image file. Ends this run when it is not there yet.
find_medium() {
    local scan spec
    scan=$(live_arg iso-scan/filename=)
    spec=$(live_spec)
    if [ -n "$scan" ]; then
        live_medium=$(live_scan_for_file "$scan")
    else
        case "$spec" in
            http://* | https://* | ftp://*)
                if live_download "$spec"; then live_medium=/run/overlay/memory/image; else live_medium=; fi
                ;;
            AOEINTERFACE=*)
                live_start_aoe "${spec#*=}"
                live_medium=$(live_find_medium)
                ;;
            CDLABEL=* | LABEL=* | UUID=* | PARTUUID=* | PARTLABEL=* | /dev/*) live_medium=$(live_find_medium) ;;
            *) live_fail "root=live:$spec is not understood. It takes CDLABEL=, LABEL=, UUID=, PARTUUID=, PARTLABEL=, a path below /dev, AOEINTERFACE=, http://, https:// or ftp://." ;;
        esac
    fi
    [ -n "$live_medium" ] && return
    if [ ! -e /run/overlay/waiting ]; then
        : > /run/overlay/waiting
        live_say "Waiting for $(live_wanted)."
    fi
    exit 0
}

# Mounts the medium and sets image to what holds the root: a file on it, or the medium itself.
open_medium() {
    local dir name type
    type=$(live_tag_of "$live_medium" TYPE)
    case "$type" in
        squashfs | erofs)
            image=$live_medium
            return
            ;;
    esac
    if [ ! -b "$live_medium" ]; then
        iso_loop=$(losetup --read-only --find --show "$live_medium") || live_fail "No loop device for $live_medium."
        # Freed when the loop device is: with rd.live.ram nothing else stays of a downloaded ISO.
        case "$live_medium" in
            /run/overlay/memory/*) rm -f "$live_medium" ;;
        esac
        live_medium=$iso_loop
    fi
    echo "$live_medium" > /run/overlay/isodev
    live_mount_readonly "$live_medium" /run/overlay/live "$type" || live_fail "$live_medium cannot be mounted as live medium."
    dir=$(live_arg rd.live.dir=)
    dir=${dir:-LiveOS}
    name=$(live_arg rd.live.squashimg=)
    image=/run/overlay/live/$dir/${name:-squashfs.img}
    [ -f "$image" ] || [ ! -f "/run/overlay/live/$dir/rootfs.img" ] || image=/run/overlay/live/$dir/rootfs.img
    [ -f "$image" ] || live_fail "$live_medium has no ${image#/run/overlay/live/} (rd.live.dir, rd.live.squashimg)."
}

# rd.live.layers=FILE,FILE...: images beside the root's that lie below it, the uppermost first. Sets layers to their
# paths. The root's image is then a layer itself: what was changed, added and deleted on top of them.
find_layers() {
    local name names
    layers=''
    names=$(live_arg rd.live.layers= | tr , ' ')
    [ -n "$names" ] || return 0
    [ "$image" != "$live_medium" ] || live_fail "rd.live.layers=$(live_arg rd.live.layers=): $live_medium is a $(live_tag_of "$image" TYPE) alone, with no layers beside it. Start from the whole ISO."
    for name in $names; do
        case "$name" in
            */*) live_fail "rd.live.layers: $name must be the name of a file beside ${image#/run/overlay/live/}, without a folder." ;;
        esac
        [ -f "${image%/*}/$name" ] || live_fail "$live_medium has no $(live_beside "$name") (rd.live.layers), on which ${image##*/} is built. Is the medium whole?"
        layers="$layers ${image%/*}/$name"
    done
    live_note layers "${image##*/},$(live_arg rd.live.layers=)"
}

# live_beside NAME: the path on the medium of a file beside the image.
live_beside() {
    local folder=${image%/*}
    echo "${folder#/run/overlay/live/}/$1"
}

# rd.live.ram: the image and what lies below it go into memory, and the medium is free to go.
copy_to_memory() {
    local size=0 left file copied=''
    case "$image" in
        /run/overlay/memory/*) return ;;
    esac
    # shellcheck disable=SC2086 # several paths; rd.live.layers has no blanks
    for file in "$image" $layers; do
        size=$((size + $(live_size_of "$file")))
    done
    left=$(live_memory_left "$size")
    if [ "$left" -lt "$(live_least_memory)" ]; then
        live_fall_back "rd.live.ram: copying $((size / 1048576)) MiB would leave $left MiB of memory, less than the $(live_least_memory) MiB of rd.minmem. Running from the medium, which must stay."
        return
    fi
    # With a downloaded ISO, its image is copied out of it, and the rest is given back with the loop device below.
    if ! live_mount_memory /run/overlay/memory "$size" || ! copy_images; then
        umount -n /run/overlay/memory
        live_fall_back "rd.live.ram: copying to memory failed. Running from the medium, which must stay."
        return
    fi
    image=/run/overlay/memory/squashfs.img
    layers=$copied
    live_note memory yes
    mountpoint -q /run/overlay/live && umount -n /run/overlay/live
    [ -z "$iso_loop" ] || losetup --detach "$iso_loop"
    if mountpoint -q /run/overlay/isoscan; then
        # Busy when the persistent data is in a file on it.
        umount -n /run/overlay/isoscan 2> /dev/null || medium_stays=yes
    fi
    case "$live_upper" in
        /run/overlay/store/* | /run/overlay/place/* | /run/overlay/overlayfs/*) medium_stays=yes ;;
    esac
    if [ -n "$medium_stays" ]; then
        live_say "The image is in memory. The persistent data is not: its disk must stay."
    else
        live_say "The image is in memory. The medium can be removed."
    fi
}

# Copies the image and its layers to /run/overlay/memory; sets copied to the paths of the layers there.
copy_images() {
    local file number=0
    live_read "$image" 0 "$(live_size_of "$image")" "Copying to memory" > /run/overlay/memory/squashfs.img || return
    for file in $layers; do
        number=$((number + 1))
        live_read "$file" 0 "$(live_size_of "$file")" "Copying ${file##*/} to memory" \
            > "/run/overlay/memory/layer$number.img" || return
        copied="$copied /run/overlay/memory/layer$number.img"
    done
}

mount_root() {
    local base=/run/overlay/rootfsbase
    [ -z "$layers" ] || base=/run/overlay/layer0
    lower=$base
    live_mount_readonly "$image" "$base" || live_fail "$image cannot be mounted. Is the medium whole?"
    root_image=
    if [ -f "$base/LiveOS/rootfs.img" ]; then
        # Not moved: systemd makes all mounts shared, and the kernel does not move what is mounted below a shared one.
        mkdir -p /run/overlay/squashfs_container
        mount -n --bind "$base" /run/overlay/squashfs_container
        umount -n -l "$base"
        root_image=/run/overlay/squashfs_container/LiveOS/rootfs.img
        live_mount_readonly "$root_image" "$base" || live_fail "LiveOS/rootfs.img inside $image cannot be mounted."
    else
        case "$image" in
            */rootfs.img) root_image=$image ;;
        esac
    fi
    [ -z "$layers" ] || mount_layers
}

# Mounts the layers and sets lower to all of them. The root is stacked on them directly; /run/overlay/rootfsbase shows
# the whole read-only root, as it does without layers.
mount_layers() {
    local file number=0
    for file in $layers; do
        number=$((number + 1))
        live_mount_readonly "$file" "/run/overlay/layer$number" || live_fail "$file (rd.live.layers) cannot be mounted. Is the medium whole?"
        lower=$lower:/run/overlay/layer$number
    done
    mkdir -p /run/overlay/rootfsbase
    mount -n -t overlay -o "ro,lowerdir=$lower" live-layers /run/overlay/rootfsbase \
        || live_fail "$(live_beside "${image##*/}") and the layers of rd.live.layers cannot be stacked. Is the medium whole?"
}

# Value for tmpfs's size=: a bare number means MiB (as for dracut), anything else is passed on (50%, 2g).
overlay_size() {
    local size
    size=$(live_arg rd.live.overlay.size=)
    if [ -z "$size" ]; then
        size=$(live_arg rd.overlay=)
        case "$size" in
            tmpfs:size=*) size=${size#tmpfs:size=} size=${size%%,*} ;;
            *) size= ;;
        esac
    fi
    case "$size" in
        # tmpfs takes 0 for no limit at all.
        '' | 0 | 0%) echo 50% ;;
        *[!0-9]*) echo "$size" ;;
        *) echo "${size}m" ;;
    esac
}

mount_temporary_overlay() {
    mkdir -p /run/overlay/overlayfs
    if ! mount -n -t tmpfs -o "mode=0755,size=$(overlay_size)" live-overlay /run/overlay/overlayfs 2> /dev/null; then
        live_fall_back "rd.live.overlay.size=$(overlay_size) is no size for a file system in memory (such as 40% or 1024). Using 50%."
        mount -n -t tmpfs -o mode=0755,size=50% live-overlay /run/overlay/overlayfs
    fi
}

# rd.live.overlay.overlayfs=0: a device-mapper snapshot of the root's file system, its changes in memory.
# Returns 1 when that is not possible.
make_snapshot() {
    local base changes
    live_arg_bool 1 rd.live.overlay.overlayfs && return 1
    if [ -n "$live_upper" ]; then
        live_fall_back "rd.live.overlay.overlayfs=0: persistent data needs overlayfs. Using that."
        return 1
    fi
    if [ -n "$layers" ]; then
        live_fall_back "rd.live.overlay.overlayfs=0: a snapshot is one of a single file system, and this root has layers. Using overlayfs."
        return 1
    fi
    if [ -z "$root_image" ]; then
        live_fall_back "rd.live.overlay.overlayfs=0: a snapshot needs a file system image, and this root is a squashfs or erofs. Using overlayfs."
        return 1
    fi
    if ! command -v dmsetup > /dev/null; then
        live_fall_back "rd.live.overlay.overlayfs=0: this image has no device mapper (overlay_type: device-mapper makes one that has). Using overlayfs."
        return 1
    fi
    modprobe -q dm_snapshot
    mount_temporary_overlay
    # One MiB is left, so that the file system in memory is never the one that runs full.
    truncate -s $(($(stat -f -c '%b * %S' /run/overlay/overlayfs) - 1048576)) /run/overlay/overlayfs/changes
    umount -n /run/overlay/rootfsbase
    if ! base=$(losetup --read-only --find --show "$root_image") \
        || ! changes=$(losetup --find --show /run/overlay/overlayfs/changes) \
        || ! dmsetup create live-rw --table "0 $(blockdev --getsz "$base") snapshot $base $changes N 8"; then
        live_fail "The device-mapper snapshot of LiveOS/rootfs.img could not be made."
    fi
    udevadm settle
    live_note overlay device-mapper
}

# Mounts the overlay where dracut expects the root.
mount_overlay() {
    if [ -n "$live_upper" ] && [ -z "$live_readonly" ]; then
        if mount_overlayfs "$lower" "$live_upper" "$live_work"; then
            live_note overlay persistent
            return
        fi
        live_fall_back "The persistent data in $live_upper cannot be used for an overlay. Starting without it."
        live_upper=
    fi
    mount_temporary_overlay
    mkdir -m 0755 /run/overlay/overlayfs/rw /run/overlay/overlayfs/work
    if [ -n "$live_upper" ]; then
        lower=$live_upper:$lower
        live_note overlay readonly
    else
        live_note overlay temporary
    fi
    mount_overlayfs "$lower" /run/overlay/overlayfs/rw /run/overlay/overlayfs/work \
        || live_fail "The overlay above $image cannot be mounted. Is the medium whole?"
}

# mount_overlayfs LOWER UPPER WORK
mount_overlayfs() {
    mount -n -t overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" LiveOS_rootfs "$NEWROOT"
}

# What the root is made of stays mounted until the very end, when systemd-shutdown makes all that is left read-only. A
# persistent store that is unmounted before goes on below the root, out of sight and never clean; the others cannot be
# unmounted, and would only make shutting down look like a failure.
keep_mounted() {
    local folder folders=''
    for folder in /run/overlay/*/; do
        folder=${folder%/}
        folders="$folders /run/systemd/system/run-overlay-${folder##*/}.mount.d"
    done
    # shellcheck disable=SC2086 # several paths, without blanks
    mkdir -p $folders
    for folder in $folders; do
        printf '[Unit]\nDefaultDependencies=no\n' > "$folder/50-live-overlay.conf"
    done
}

live_medium=''
mkdir -p /run/overlay
if live_arg_bool 0 rd.live.debug; then
    # It stays in the booted system, where it is root's.
    (umask 077 && : >> /run/overlay/trace)
    exec 2>> /run/overlay/trace
    set -x
fi
modprobe -q -a loop overlay
iso_loop='' medium_stays=''
find_medium
live_note medium "$live_medium"
live_check_medium "$live_medium"
# Before anything of the medium is mounted: the kernel does not take a new partition on a disk that is in use.
live_open_store
open_medium
find_layers
if live_arg_bool 0 rd.live.ram; then copy_to_memory; fi
mount_root
# Mounted here, not by a hook for that: dracut starts some ten programs around one.
if make_snapshot; then
    mount -n /dev/mapper/live-rw "$NEWROOT" || live_fail "The device-mapper snapshot of LiveOS/rootfs.img cannot be mounted."
else
    mount_overlay
fi
keep_mounted
: > /run/overlay/ready

#!/bin/sh
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Functions of the dracut module live-overlay. The mount points are those of KIWI's live images:
#   /run/overlay/isoscan              file system that holds the ISO as a file (iso-scan/filename=)
#   /run/overlay/live                 the ISO
#   /run/overlay/squashfs_container   LiveOS/squashfs.img, when it holds another file system
#   /run/overlay/rootfsbase           the read-only root
#   /run/overlay/overlayfs            what is written: rw/ and work/

# shellcheck source=/dev/null
type getarg > /dev/null 2>&1 || . /lib/dracut-lib.sh

# Prints a message where the user looks, whatever the log level.
live_say() {
    echo "live-overlay: $*" > /dev/console 2> /dev/null
    echo "<6>live-overlay: $*" > /dev/kmsg 2> /dev/null || :
}

# What root=live: asks for, without the prefix.
live_spec() {
    _live_root=$(getarg root=)
    echo "${_live_root#live:}"
}

# What is being looked for, in words.
live_wanted() {
    _live_scan=$(getarg iso-scan/filename=)
    if [ -n "$_live_scan" ]; then
        echo "a file system with the file $_live_scan (iso-scan/filename)"
    else
        echo "root=live:$(live_spec)"
    fi
}

# One line for every block device that has content.
live_list_devices() {
    for _live_node in /sys/class/block/*; do
        _live_node=/dev/${_live_node##*/}
        case "$_live_node" in
            /dev/loop* | /dev/ram* | /dev/zram*) continue ;;
        esac
        [ -b "$_live_node" ] || continue
        _live_content=$(blkid -o value -s LABEL -s TYPE "$_live_node" 2> /dev/null | sed ':a;N;$!ba;s/\n/, /g')
        live_say "  $_live_node ${_live_content:-(no file system)}"
    done
}

# /dev/disk/by-X/VALUE for a tag as udev writes it (slashes and blanks are escaped), when it exists.
live_by_tag() {
    _live_link=/dev/disk/by-$1/$(echo "$2" | sed 's,/,\\x2f,g;s, ,\\x20,g')
    [ -e "$_live_link" ] && readlink -f "$_live_link"
}

# The device that root=live: names, if it is there.
live_find_device() {
    _live_value=$(live_spec)
    case "$_live_value" in
        CDLABEL=* | LABEL=*) live_by_tag label "${_live_value#*=}" ;;
        UUID=*) live_by_tag uuid "${_live_value#*=}" ;;
        PARTUUID=*) live_by_tag partuuid "${_live_value#*=}" ;;
        PARTLABEL=*) live_by_tag partlabel "${_live_value#*=}" ;;
        /dev/*) [ -b "$_live_value" ] && readlink -f "$_live_value" ;;
    esac
}

# A hybrid ISO on a stick shows its label on the disk and on partition 1. The partition is the one to mount: a mounted
# whole disk could not get another partition while the system runs.
live_prefer_partition() {
    _live_disk=${1##*/}
    _live_label=$(blkid -o value -s LABEL "$1" 2> /dev/null)
    for _live_part in "/sys/class/block/$_live_disk/$_live_disk"*; do
        [ -e "$_live_part/partition" ] || continue
        if [ "$(cat "$_live_part/partition")" = 1 ]; then
            _live_part=/dev/${_live_part##*/}
            if [ -n "$_live_label" ] && [ "$(blkid -o value -s LABEL "$_live_part" 2> /dev/null)" = "$_live_label" ]; then
                echo "$_live_part"
                return
            fi
        fi
    done
    echo "$1"
}

# Options that keep a read-only mount from replaying a journal: the file system may belong to a hibernated system.
live_readonly_options() {
    case "$1" in
        ext3 | ext4) echo ro,noload ;;
        xfs) echo ro,norecovery,nouuid ;;
        btrfs) echo ro,rescue=nologreplay ;;
        *) echo ro ;;
    esac
}

# live_mount_readonly DEVICE-OR-FILE DIRECTORY: mounts it without writing a single byte to it.
live_mount_readonly() {
    _live_type=$(blkid -p -o value -s TYPE "$1" 2> /dev/null)
    [ -n "$_live_type" ] || return 1
    _live_options=$(live_readonly_options "$_live_type")
    [ -b "$1" ] || _live_options=loop,$_live_options
    mkdir -p "$2"
    mount -n -t "$_live_type" -o "$_live_options" "$1" "$2" 2> /dev/null
}

# Whether an ISO file has the label that root=live: asks for: another ISO may have the same path on another disk, and
# kernel and root must belong together.
live_is_wanted_label() {
    case "$(live_spec)" in
        CDLABEL=* | LABEL=*) ;;
        *) return 0 ;;
    esac
    _live_wanted_label=$(live_spec)
    _live_found_label=$(blkid -p -o value -s LABEL "$1" 2> /dev/null)
    [ "$_live_found_label" = "${_live_wanted_label#*=}" ] && return 0
    live_say "$1 has the label '$_live_found_label', not '${_live_wanted_label#*=}': looking on."
    return 1
}

# Looks for the ISO file of iso-scan/filename= on every file system; prints the loop device of the ISO.
live_scan_for_file() {
    for _live_link in /dev/disk/by-uuid/*; do
        [ -b "$_live_link" ] || continue
        _live_node=$(readlink -f "$_live_link")
        [ -e "/run/overlay/scanned-${_live_node##*/}" ] && continue
        live_mount_readonly "$_live_node" /run/overlay/isoscan || continue
        if [ -f "/run/overlay/isoscan/$1" ] && live_is_wanted_label "/run/overlay/isoscan/$1"; then
            losetup --read-only --find --show "/run/overlay/isoscan/$1" && return
        fi
        : > "/run/overlay/scanned-${_live_node##*/}"
        umount -n /run/overlay/isoscan
    done
}

# Value for tmpfs's size=: a bare number means MiB (as for dracut), anything else is passed on (50%, 2g).
live_overlay_size() {
    _live_size=$(getarg rd.live.overlay.size=)
    case "$_live_size" in
        # tmpfs takes 0 for no limit at all.
        '' | 0 | 0%) echo 50% ;;
        *[!0-9]*) echo "$_live_size" ;;
        *) echo "${_live_size}m" ;;
    esac
}

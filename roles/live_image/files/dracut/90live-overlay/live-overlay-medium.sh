#!/bin/sh
# shellcheck shell=dash
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Finds the medium that root=live: or iso-scan/filename= names.

# A hybrid ISO on a stick shows its label on the disk and on partition 1. The partition is the one to mount: a mounted
# whole disk could not get another partition while the system runs.
live_prefer_partition() {
    local name=${1##*/} label='' part
    for part in $(live_partitions_of "$name"); do
        label=${label:-$(live_tag_of "$1" LABEL)}
        if [ -n "$label" ] && [ "$(live_tag_of "/dev/$part" LABEL)" = "$label" ]; then
            echo "/dev/$part"
            return
        fi
    done
    echo "$1"
}

# Whether a device can be written at all as far as the hardware says.
live_is_writable() {
    local disk
    disk=$(live_disk_of "$1")
    case "$disk" in
        sr*) return 1 ;;
    esac
    [ "$(cat "/sys/class/block/$disk/ro")" = 0 ]
}

# Whether the image that this kernel belongs to is on the device: its ISO has a file with the number on the command line.
live_is_same_image() {
    local number found=1
    number=$(live_arg rd.live.mbrid=)
    [ -n "$number" ] && live_mount_readonly "$1" /run/overlay/probe || return 1
    [ -e "/run/overlay/probe/boot/$number" ] && found=0
    umount -n /run/overlay/probe
    return $found
}

# live_choose DEVICE...: the one to take among several with the label that was asked for.
live_choose() {
    local device chosen=
    if [ $# = 1 ]; then
        echo "$1"
        return
    fi
    for device in "$@"; do
        live_is_same_image "$device" && chosen="$chosen $device"
    done
    # shellcheck disable=SC2086 # device names have no blanks
    [ -z "$chosen" ] || set -- $chosen
    chosen=$1
    if [ $# -gt 1 ]; then
        if live_arg_bool 0 rd.live.overlay.persistent; then
            for device in "$@"; do
                live_is_writable "$device" && chosen=$device && break
            done
        fi
        live_say "Several media fit root=live:$(live_spec): $*. Taking $chosen. Unplug the others if that is wrong."
    fi
    echo "$chosen"
}

# The medium with a label. udev has one link per label, so all devices are asked once the link is there.
live_medium_by_label() {
    local link node device found=
    link=$(live_device_by label "$1") || return
    for node in $(live_block_devices); do
        [ "$(live_tag_of "/dev/$node" LABEL)" = "$1" ] || continue
        device=$(live_prefer_partition "/dev/$node")
        case "$found " in
            *" $device "*) ;;
            *) found="$found $device" ;;
        esac
    done
    # shellcheck disable=SC2086 # device names have no blanks
    live_choose ${found:-$link}
}

# The device that root=live: names, if it is there.
live_find_medium() {
    local spec device
    spec=$(live_spec)
    case "$spec" in
        CDLABEL=* | LABEL=*) live_medium_by_label "${spec#*=}" ;;
        AOEINTERFACE=*) live_aoe_device "${spec#*=}" ;;
        *)
            device=$(live_device_of_spec "$spec") && live_prefer_partition "$device"
            ;;
    esac
}

# Whether an ISO file has the label that root=live: asks for: another ISO may have the same path on another disk, and
# kernel and root must belong together.
live_has_wanted_label() {
    local spec label
    spec=$(live_spec)
    case "$spec" in
        CDLABEL=* | LABEL=*) ;;
        *) return 0 ;;
    esac
    label=$(live_tag_of "$1" LABEL)
    [ "$label" = "${spec#*=}" ] && return 0
    live_say "$1 has the label '$label', not '${spec#*=}': looking on."
    return 1
}

# Mounts the file system that holds the ISO file of iso-scan/filename= at /run/overlay/isoscan; prints the path there.
live_scan_for_file() {
    local node
    for node in $(live_block_devices); do
        [ -e "/run/overlay/scanned-$node" ] && continue
        case "$(live_tag_of "/dev/$node" TYPE)" in
            ext[234] | xfs | btrfs | vfat | exfat | ntfs | iso9660 | udf | f2fs) ;;
            *) continue ;;
        esac
        live_mount_readonly "/dev/$node" /run/overlay/isoscan || continue
        if [ -f "/run/overlay/isoscan/$1" ] && live_has_wanted_label "/run/overlay/isoscan/$1"; then
            echo "/dev/$node" > /run/overlay/isoscandev
            echo "/run/overlay/isoscan/${1#/}"
            return
        fi
        : > "/run/overlay/scanned-$node"
        umount -n /run/overlay/isoscan
    done
}

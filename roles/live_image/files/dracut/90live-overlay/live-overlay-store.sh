#!/bin/sh
# shellcheck shell=dash disable=SC2154 # live_medium is set by live-overlay-root
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Persistent stores: where what is written survives a reboot. A store is a file system with the folders rw/ and work/
# (upperdir and workdir of overlayfs), in one of three places:
#   - a partition on the disk that the system was booted from, with the label cow
#   - a file beside the ISO, when the ISO itself is a file (iso-scan/filename=)
#   - what rd.live.overlay= or rd.overlay= names
# Each function returns 1 with the reason in live_problem. Nothing is formatted but free space and new files, and what
# was made comes into sight last: the partition's entry in the table, or the file's name. So power may fail at any time.

live_store=/run/overlay/overlayfs
live_upper=
live_work=
live_readonly=
live_unlocked=
# Set when a store of ours cannot be used any more.
live_damaged=

# Whether overlayfs can write on this type of file system (it needs extended attributes and d_type).
live_can_hold_overlay() {
    case "$1" in
        ext[234] | xfs | btrfs | f2fs) ;;
        *) return 1 ;;
    esac
}

# live_wait_for SPECIFICATION: the device, which may take some seconds to appear.
live_wait_for() {
    local seconds=0
    udevadm settle --timeout=10
    while ! live_device_of_spec "$1"; do
        [ "$seconds" -lt 10 ] || return 1
        sleep 1
        seconds=$((seconds + 1))
    done
}

# live_make_store DEVICE: encrypts it when asked for, makes the file system and the two folders. The device is one that
# nothing refers to yet.
live_make_store() {
    local device=$1 made=$1 filesystem said options
    filesystem=$(live_arg rd.live.overlay.cowfs=)
    filesystem=${filesystem:-ext4}
    case "$filesystem" in
        # Discarding first would only take time: the free space of a stick or a sparse file holds nothing.
        ext4) options="-q -F -m 1 -E nodiscard" ;;
        xfs | btrfs) options="-q -f -K" ;;
        *)
            live_problem="rd.live.overlay.cowfs=$filesystem is not one of ext4, xfs, btrfs"
            return 1
            ;;
    esac
    if ! command -v "mkfs.$filesystem" > /dev/null; then
        live_problem="this image cannot make $filesystem file systems (persistence with filesystem: $filesystem makes one that can)"
        return 1
    fi
    case "$(live_arg rd.live.overlay.crypt=)" in
        '' | 0 | no | none | off | luks | luks2 | 1 | yes) ;;
        *)
            live_problem="rd.live.overlay.crypt=$(live_arg rd.live.overlay.crypt=) is not luks2 or none"
            return 1
            ;;
    esac
    if live_wants_encryption; then
        live_encrypt "$device" || return
        made=/dev/mapper/live-store
    fi
    live_say "Making an $filesystem file system for persistent data."
    # shellcheck disable=SC2086 # several options
    if said=$("mkfs.$filesystem" $options -L cow "$made" 2>&1) \
        && said=$(mount -n -t "$filesystem" "$made" "$live_store" 2>&1); then
        mkdir -m 0755 "$live_store/rw" "$live_store/work" && live_name_store
        sync
        umount -n "$live_store"
    else
        live_problem="mkfs.$filesystem: $(echo "$said" | grep -v '^$' | tail -n 1)"
        made=
    fi
    live_close_encrypted
    [ -n "$made" ]
}

live_wants_encryption() {
    case "$(live_arg rd.live.overlay.crypt=)" in
        luks | luks2 | 1 | yes) return 0 ;;
    esac
    live_arg_bool 0 rd.live.encrypt || [ -n "$(live_arg rd.overlay.crypt=)" ]
}

# live_is_damaged DEVICE: notes that it cannot be used, if it is ours: stores get one of two labels when they are made.
live_is_damaged() {
    case "$(live_tag_of "$1" LABEL)" in
        cow | lukscow) live_damaged=yes ;;
    esac
}

# live_unlock DEVICE: opens it when it is encrypted; live_opened is then what holds the file system.
live_unlock() {
    live_opened=$1
    if [ "$(live_tag_of "$1" TYPE)" = crypto_LUKS ]; then
        live_open_encrypted "$1" ${live_readonly:+--readonly} || return
        live_opened=/dev/mapper/live-store
        live_unlocked=yes
    elif [ -z "$live_unlocked" ] && live_wants_encryption; then
        live_problem="$1 is not encrypted, but encryption was asked for (rd.live.overlay.crypt)"
        return 1
    fi
}

# Stores remember the image they belong to, since several ISO files may share a stick.
live_name_store() {
    live_image_label > "$live_store/live-image"
}

live_image_label() {
    live_tag_of "$live_medium" LABEL
}

# live_check_filesystem DEVICE TYPE: mends what can be mended without asking; fails when there is more.
live_check_filesystem() {
    local status
    case "$2" in
        ext[234]) command -v e2fsck > /dev/null || return 0 ;;
        *) return 0 ;;
    esac
    e2fsck -p "$1" > /run/overlay/store-check 2>&1
    status=$?
    # e2fsck(8): 4 and above mean that errors are left.
    [ "$status" -ge 4 ] || return 0
    live_is_damaged "$1"
    live_problem="the file system on $1 is damaged (e2fsck says: $(tail -n 1 /run/overlay/store-check)); e2fsck -f $1 on another system may mend it"
    return 1
}

# live_mount_store DEVICE: opens, checks and mounts a store that exists, and finds its two folders.
live_mount_store() {
    local device type owner
    live_unlock "$1" || return
    device=$live_opened
    type=$(live_tag_of "$device" TYPE)
    if ! live_can_hold_overlay "$type"; then
        live_problem="$device holds ${type:-no file system}, and an overlay needs ext4, xfs or btrfs"
        return 1
    fi
    if [ -n "$live_readonly" ]; then
        live_mount_readonly_store "$device"
        return
    fi
    live_check_filesystem "$device" "$type" || return
    if ! mount -n -t "$type" "$device" "$live_store" 2> /run/overlay/store-check; then
        live_is_damaged "$device"
        live_problem="the $type file system on $device cannot be mounted ($(tail -n 1 /run/overlay/store-check))"
        return 1
    fi
    owner=$(cat "$live_store/live-image" 2> /dev/null)
    if [ -n "$owner" ] && [ "$owner" != "$(live_image_label)" ]; then
        live_problem="$1 holds the data of the image $owner, not of $(live_image_label)"
        umount -n "$live_store"
        return 1
    fi
    live_take_folders "$device" || { umount -n "$live_store"; return 1; }
    if ! live_has_room "$live_work"; then
        umount -n "$live_store"
        live_fall_back_full "$1"
        live_mount_readonly_store "$device"
    fi
}

# live_take_folders NAME: the folders of our own and KIWI's stores, or of dracut's (dmsquash-live, overlayfs).
live_take_folders() {
    local ours
    ours=LiveOS/overlay-$(live_image_label)-$(live_tag_of "$live_medium" UUID)
    if live_has_folder "$live_store/rw"; then
        live_upper=$live_store/rw live_work=$live_store/work
    elif live_has_folder "$live_store/$ours"; then
        live_upper=$live_store/$ours live_work=$live_store/LiveOS/ovlwork
    elif live_has_folder "$live_store/overlayfs"; then
        live_upper=$live_store/overlayfs live_work=$live_store/ovlwork
    elif [ -d "$live_store/overlay" ] && [ -d "$live_store/ovlwork" ]; then
        live_upper=$live_store/overlay live_work=$live_store/ovlwork
    elif [ -n "$live_explicit" ] && [ -z "$live_readonly" ]; then
        live_upper=$live_store/rw live_work=$live_store/work
    else
        live_problem="$1 is not a persistent store: it has no folder rw"
        return 1
    fi
    [ -n "$live_readonly" ] || live_prepare_folders "$1"
}

# Whether there is a folder for what is written, or was, until the power failed while it was emptied.
live_has_folder() {
    [ -d "$1" ] || { [ -z "$live_readonly" ] && [ -d "$1.emptied" ]; }
}

# live_prepare_folders NAME: the two folders, for writing; empty when that is asked for.
live_prepare_folders() {
    live_make_folders "$1" || return
    ! live_wants_reset || live_empty_store "$1"
}

# live_make_folders NAME: the two folders, where they are missing. What was to be removed before goes first, for the room.
live_make_folders() {
    rm -rf "$live_upper.emptied" "$live_work.emptied"
    mkdir -p "$live_upper" "$live_work" 2> /run/overlay/store-check && return
    live_problem="$1 cannot have the folders of a persistent store ($(tail -n 1 /run/overlay/store-check))"
    return 1
}

# live_mount_readonly_store DEVICE: its content becomes a layer below a temporary overlay.
live_mount_readonly_store() {
    live_readonly=yes
    live_store=/run/overlay/store
    if ! live_mount_readonly "$1" "$live_store"; then
        live_problem="$1 cannot be mounted read-only"
        return 1
    fi
    live_take_folders "$1" || { umount -n "$live_store"; return 1; }
}

live_wants_reset() {
    live_arg_bool 0 rd.live.overlay.reset || live_arg_bool 0 rd.overlay.reset
}

# live_empty_store NAME: by renaming first, so that half an old tree is never taken for a whole one.
live_empty_store() {
    if ! mv "$live_upper" "$live_upper.emptied" 2> /run/overlay/store-check \
        || ! mv "$live_work" "$live_work.emptied" 2> /run/overlay/store-check; then
        live_problem="$1 cannot be emptied ($(tail -n 1 /run/overlay/store-check))"
        return 1
    fi
    # At once, where there is room: a file system that is full to the last byte takes them when something is gone.
    mkdir -m 0755 "$live_upper" "$live_work" 2> /dev/null
    live_make_folders "$1" || return
    sync
    live_say "The persistent store was emptied (rd.live.overlay.reset)."
}

# overlayfs needs a little room even to be mounted, and a system without any does not start.
live_has_room() {
    local status=0
    dd if=/dev/zero "of=$1/.room" bs=64k count=16 status=none conv=fsync 2> /dev/null || status=1
    rm -f "$1/.room"
    return $status
}

live_fall_back_full() {
    live_fall_back "The persistent store $1 is full. Its data is there, but what is written now is lost at shutdown. Delete something after starting with rd.live.overlay=none, or start once with rd.live.overlay.reset."
}

# ---- partition

# The partition on a disk that holds a store, with its label; never one of another disk.
live_find_store_partition() {
    local part label
    for part in $(live_partitions_of "$1"); do
        [ "/dev/$part" != "$live_medium" ] || continue
        label=$(live_tag_of "/dev/$part" LABEL)
        case "$label" in
            cow | lukscow)
                echo "/dev/$part"
                return
                ;;
        esac
    done
    return 1
}

# live_open_partition_store: the store on the disk that was booted from, made when there is none.
live_open_partition_store() {
    local disk device
    case "$live_medium" in
        /dev/sr*)
            live_problem="the system was started from a CD or DVD, which cannot be written"
            return 1
            ;;
        /dev/etherd/* | /run/overlay/memory/*)
            live_problem="the system was started over the network"
            return 1
            ;;
    esac
    disk=$(live_disk_of "$live_medium")
    if device=$(live_find_store_partition "$disk"); then
        live_is_writable "$live_medium" || live_readonly_disk "$disk"
        live_mount_store "$device" && live_note store "$device" && return
        [ -n "$live_readonly" ] && return 1
        [ -n "$live_damaged" ] && live_wants_reset || return
        live_say "$live_problem. Making a new one (rd.live.overlay.reset)."
        live_close_encrypted
        live_delete_partition "$disk" "$device" || return
    elif [ -n "$live_readonly" ]; then
        live_problem="there is no persistent store on /dev/$disk to read (rd.live.overlay.readonly)"
        return 1
    fi
    if ! live_is_writable "$live_medium"; then
        live_problem="/dev/$disk is write-protected"
        return 1
    fi
    device=$(live_make_partition "$disk") || { live_problem=$device; return 1; }
    live_mount_store "$device" && live_note store "$device"
}

live_readonly_disk() {
    live_readonly=yes
    live_fall_back "/dev/$1 is write-protected: its persistent data is used, but what is written now is lost at shutdown."
}

live_delete_partition() {
    local number
    number=$(cat "/sys/class/block/${2##*/}/partition")
    live_problem="partition $number of /dev/$1 could not be deleted"
    sfdisk --quiet --no-reread --no-tell-kernel --delete "/dev/$1" "$number" > /run/overlay/sfdisk 2>&1 \
        && partx --delete --nr "$number" "/dev/$1" && udevadm settle
}

# live_used_sectors DISK: prints where its last partition and the ISO on it end. What lies behind is nobody's; when that
# is not certain, prints why and returns 1.
live_used_sectors() {
    local disk=$1 type used iso=0 entry start size
    type=$(live_tag_of "/dev/$disk" TYPE)
    if [ "$type" = iso9660 ] && [ "$(dd "if=/dev/$disk" bs=1 skip=32769 count=5 status=none)" = CD001 ]; then
        # In blocks of 2048 bytes (ECMA-119 8.4.8).
        iso=$(($(dd "if=/dev/$disk" bs=1 skip=32848 count=4 status=none | od -A n -t u4) * 4))
    elif [ -n "$type" ] || [ "/dev/$disk" = "$live_medium" ]; then
        # Not even when there is a table, too: what looks like an empty one may be the boot sector of a file system.
        echo "/dev/$disk as a whole holds ${type:-no ISO}, which leaves no room for a partition"
        return 1
    fi
    used=$(partx --show --noheadings --raw --output END "/dev/$disk" | sort -n | tail -n 1)
    used=$((${used:-0} + 1))
    # partx passes over partitions that the table itself calls impossible, but the kernel may use them.
    for entry in "/sys/class/block/$disk/$disk"*; do
        if [ -e "$entry/partition" ] && read -r start < "$entry/start" && read -r size < "$entry/size" \
            && [ $((start + size)) -gt "$used" ]; then
            used=$((start + size))
        fi
    done
    [ "$used" -ge "$iso" ] || used=$iso
    echo "$used"
}

# live_make_partition DISK: prints the device of the new partition, or what stands in the way.
live_make_partition() {
    local disk=$1 total used size limit loop name table
    if [ "$(cat "/sys/class/block/$disk/queue/logical_block_size")" != 512 ]; then
        echo "/dev/$disk has sectors of another size than 512 bytes"
        return 1
    fi
    # A logical volume, say: even with a table on it, the kernel would not show the new partition.
    if [ "$(cat "/sys/class/block/$disk/ext_range")" = 1 ]; then
        echo "/dev/$disk is not a disk that can have partitions"
        return 1
    fi
    used=$(live_used_sectors "$disk") || { echo "$used"; return 1; }
    table=$(live_tag_of "/dev/$disk" PTTYPE)
    case "$table" in
        gpt | dos) ;;
        *)
            echo "/dev/$disk has no partition table (GPT or MBR) that could take another partition"
            return 1
            ;;
    esac
    # In sectors, from one MiB boundary to another; the last MiB is left for the backup GPT.
    used=$(((used + 2047) / 2048 * 2048))
    total=$(cat "/sys/class/block/$disk/size")
    # An MBR counts sectors with 32 bits.
    if [ "$table" != gpt ] && [ "$total" -gt 4294967295 ]; then total=4294967295; fi
    size=$(((total - used) / 2048 * 2048 - 2048))
    limit=$(live_arg rd.live.overlay.persistent.size=)
    if live_is_number "$limit" && [ "$limit" -gt 0 ] && [ "$size" -gt $((limit * 2048)) ]; then size=$((limit * 2048)); fi
    if [ "$size" -lt 131072 ]; then
        [ "$size" -gt 0 ] || size=0
        echo "/dev/$disk has $((size / 2048)) MiB left behind its last partition, and a persistent store takes at least 64 MiB"
        return 1
    fi
    live_say "Making a partition of $((size / 2048)) MiB for persistent data on /dev/$disk."
    if ! loop=$(losetup --find --show --offset $((used * 512)) --sizelimit $((size * 512)) "/dev/$disk"); then
        echo "no loop device for the free space of /dev/$disk"
        return 1
    fi
    live_problem=
    # The start may still look like what lay there before.
    dd if=/dev/zero "of=$loop" bs=1M count=4 status=none conv=fsync
    live_make_store "$loop"
    losetup --detach "$loop"
    if [ -n "$live_problem" ]; then
        echo "$live_problem"
        return 1
    fi
    sync
    blockdev --flushbufs "/dev/$disk"
    if ! echo "start=$used, size=$size, type=L" | sfdisk --quiet --append --no-reread --no-tell-kernel \
        --wipe never --wipe-partitions never "/dev/$disk" > /run/overlay/sfdisk 2>&1; then
        echo "the partition table of /dev/$disk takes no further partition (sfdisk says: $(tail -n 1 /run/overlay/sfdisk))"
        return 1
    fi
    blockdev --flushbufs "/dev/$disk"
    partx --update "/dev/$disk" > /dev/null 2>&1
    udevadm settle --timeout=30
    for name in $(live_partitions_of "$disk"); do
        if [ "$(cat "/sys/class/block/$name/start")" = "$used" ]; then
            echo "/dev/$name"
            return
        fi
    done
    echo "the kernel does not see the new partition of /dev/$disk; it will be used from the next start on"
    return 1
}

# ---- file

# live_make_store_file PATH: a file with a store in it.
live_make_store_file() {
    local path=$1 size free loop new=$1.new folder
    folder=${path%/*}
    size=$(live_arg rd.live.cowfile.mbsize=)
    live_is_number "$size" && [ "$size" -gt 0 ] || size=500
    mkdir -p "$folder"
    if [ "$(stat -f -c %T "$folder")" = msdos ] && [ "$size" -ge 4096 ]; then
        live_problem="files on vfat are smaller than 4096 MiB (rd.live.cowfile.mbsize=$size)"
        return 1
    fi
    # What a failed first start left behind.
    rm -f "$new"
    free=$(stat -f -c '%a %S' "$folder")
    free=$((${free% *} * ${free#* } / 1048576))
    if [ "$free" -lt "$size" ]; then
        live_problem="the file system with the ISO has $free MiB free, and the file for persistent data takes $size MiB (rd.live.cowfile.mbsize)"
        return 1
    fi
    live_say "Making a file of $size MiB for persistent data: ${path#/run/overlay/}."
    if live_arg_bool 0 rd.live.cowfile.sparse; then
        truncate -s "${size}M" "$new"
    else
        fallocate --length "${size}MiB" "$new" 2> /dev/null \
            || live_read /dev/zero 0 $((size * 1048576)) "Allocating the file" > "$new"
    fi
    if [ ! -e "$new" ] || [ "$(stat -c %s "$new")" -lt $((size * 1048576)) ] || ! loop=$(losetup --find --show "$new"); then
        rm -f "$new"
        live_problem="a file of $size MiB could not be written beside the ISO"
        return 1
    fi
    live_problem=
    live_make_store "$loop"
    losetup --detach "$loop"
    if [ -n "$live_problem" ]; then
        rm -f "$new"
        return 1
    fi
    sync
    mv "$new" "$path"
    sync
}

# live_open_store_file PATH: opens a store in a file, after making it if need be.
live_open_store_file() {
    local path=$1 loop
    if [ -e "$path" ] && [ ! -f "$path" ]; then
        live_problem="${path#/run/overlay/} is not a file"
        return 1
    fi
    if [ ! -e "$path" ]; then
        if [ -n "$live_readonly" ]; then
            live_problem="there is no file ${path#/run/overlay/} to read (rd.live.overlay.readonly)"
            return 1
        fi
        live_make_store_file "$path" || return
    fi
    if ! loop=$(losetup --find --show ${live_readonly:+--read-only} "$path"); then
        live_problem="${path#/run/overlay/} cannot be attached to a loop device"
        return 1
    fi
    if live_mount_store "$loop"; then
        live_note store "${path#/run/overlay/}"
        return
    fi
    losetup --detach "$loop"
    return 1
}

# Mounts the file system with the ISO so that it can be written. The ISO is not in use yet.
live_open_carrier() {
    local device type
    device=$(cat /run/overlay/isoscandev)
    type=$(live_tag_of "$device" TYPE)
    if ! live_is_writable "$device"; then
        live_problem="$device, which holds the ISO, is write-protected"
        return 1
    fi
    umount -n /run/overlay/isoscan
    if live_check_filesystem "$device" "$type"; then
        mount -n -t "$(live_mount_type "$type")" -o rw "$device" /run/overlay/isoscan 2> /run/overlay/store-check && return
        live_problem="the $type file system on $device, which holds the ISO, cannot be written ($(tail -n 1 /run/overlay/store-check))"
    fi
    live_mount_readonly "$device" /run/overlay/isoscan || live_fail "$device cannot be mounted again."
    return 1
}

# The store in the file beside the ISO.
live_open_file_store() {
    local path
    if [ ! -e /run/overlay/isoscandev ]; then
        live_problem="the system was not started from an ISO file, so there is no place for a file beside it"
        return 1
    fi
    path=$(live_arg rd.live.cowfile.path=)
    path=${path:-live_system.cow}
    live_check_path "$path" || return
    path=/run/overlay/isoscan/${path#/}
    [ -n "$live_readonly" ] || live_open_carrier || return
    live_open_store_file "$path" && return
    [ -z "$live_readonly" ] && [ -n "$live_damaged" ] && live_wants_reset || return
    live_say "$live_problem. Making a new one (rd.live.overlay.reset)."
    live_close_encrypted
    rm -f "$path"
    live_open_store_file "$path"
}

live_check_path() {
    case "/$1/" in
        */../* | *[!A-Za-z0-9._/@+=-]*)
            live_problem="the path $1 has characters other than letters, digits and ._/@+=-, or leads upwards"
            return 1
            ;;
    esac
}

# ---- a named place

# live_open_named_store PLACE: DEVICE, DEVICE:PATH or DEVICE:auto, where PATH is a folder or a file on it.
live_open_named_store() {
    local device=${1%%:*} path='' type
    case "$1" in
        *:*) path=${1#*:} ;;
    esac
    [ "$path" != auto ] || path=
    # The work folder of an overlay lies beside its upper folder, and must not come to lie in it.
    while [ "$path" != "${path%/}" ]; do path=${path%/}; done
    live_explicit=yes
    if ! device=$(live_wait_for "$device"); then
        live_problem="$1: there is no such device"
        return 1
    fi
    live_is_writable "$device" || live_readonly_disk "$(live_disk_of "$device")"
    if [ -z "$path" ]; then
        live_mount_store "$device" && live_note store "$device"
        return
    fi
    live_check_path "$path" && live_unlock "$device" || return
    path=/${path#/}
    device=$live_opened
    type=$(live_tag_of "$device" TYPE)
    mkdir -p /run/overlay/place
    if [ "$device" = "$(cat /run/overlay/isoscandev 2> /dev/null)" ]; then
        [ -n "$live_readonly" ] || live_open_carrier || return
        mount -n --bind /run/overlay/isoscan /run/overlay/place
    elif [ -n "$live_readonly" ]; then
        live_mount_readonly "$device" /run/overlay/place
    else
        live_check_filesystem "$device" "$type" || return
        mount -n -t "$(live_mount_type "$type")" "$device" /run/overlay/place 2> /dev/null
    fi
    if ! mountpoint -q /run/overlay/place; then
        live_problem="$device holds ${type:-no file system} and cannot be mounted"
        return 1
    fi
    if [ -f "/run/overlay/place$path" ] || ! live_can_hold_overlay "$type"; then
        live_open_store_file "/run/overlay/place$path"
        return
    fi
    if [ ! -d "/run/overlay/place$path" ] && [ -n "$live_readonly" ]; then
        live_problem="$device has no folder $path to read"
        return 1
    fi
    live_upper=/run/overlay/place$path
    live_work=${live_upper%/*}/ovlwork
    if [ -z "$live_readonly" ]; then
        live_prepare_folders "$device:$path" || return
        if ! live_has_room "$live_work"; then
            live_readonly=yes
            live_fall_back_full "$device:$path"
            mount -n -o remount,ro /run/overlay/place
        fi
    fi
    live_note store "$device:$path"
}

# ---- which one

# What persistent store is asked for: nothing, "partition", "file", "auto", or "named PLACE".
live_wanted_store() {
    local place
    # Whatever else is asked for, so that one parameter always starts without.
    case "$(live_arg rd.live.overlay=)" in
        none | None | NONE) return ;;
    esac
    # dracut's overlayfs-crypt: the device, and options after a comma.
    place=$(live_arg rd.overlay.crypt=)
    place=${place%%,*}
    [ -n "$place" ] || place=$(live_arg rd.overlay=)
    case "$place" in
        LABEL=* | UUID=* | PARTUUID=* | PARTLABEL=* | /dev/* | none | None | NONE) ;;
        *) place=$(live_arg rd.live.overlay=) ;;
    esac
    case "$place" in
        LABEL=* | UUID=* | PARTUUID=* | PARTLABEL=* | /dev/*)
            echo "named $place"
            return
            ;;
        none | None | NONE) return ;;
    esac
    live_arg_bool 0 rd.live.overlay.persistent || return
    place=$(live_arg rd.live.overlay.persistent=)
    case "$place" in
        partition | file) echo "$place" ;;
        *) echo auto ;;
    esac
}

# live_open_store: mounts the persistent store that is asked for. Returns 1 when the overlay is to be temporary.
live_open_store() {
    local wanted
    wanted=$(live_wanted_store)
    [ -n "$wanted" ] || return
    live_readonly=
    live_explicit=
    live_problem="this image keeps no data (persistence: auto makes one that does)"
    if live_arg_bool 0 rd.live.overlay.readonly || live_arg_bool 0 rd.overlay.readonly; then live_readonly=yes; fi
    mkdir -p "$live_store"
    case "$wanted" in
        named*) live_open_named_store "${wanted#named }" && return ;;
        partition)
            if [ -e /run/overlay/isoscandev ]; then
                live_problem="the system was started from an ISO file, so its disk gets no partition"
            else
                command -v sfdisk > /dev/null && live_open_partition_store && return
            fi
            ;;
        file) live_open_file_store && return ;;
        auto)
            if [ -e /run/overlay/isoscandev ]; then
                live_open_file_store && return
            else
                command -v sfdisk > /dev/null && live_open_partition_store && return
            fi
            ;;
    esac
    rm -f /run/overlay/key
    ! mountpoint -q /run/overlay/place || umount -n /run/overlay/place
    live_close_encrypted
    live_fall_back "No persistent data: $live_problem. What is written now is lost at shutdown."
    live_store=/run/overlay/overlayfs live_upper='' live_work='' live_readonly=
    return 1
}

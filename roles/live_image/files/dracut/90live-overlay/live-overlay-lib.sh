#!/bin/sh
# shellcheck shell=dash
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What all parts of the dracut module live-overlay share. The mount points are those of KIWI's live images:
#   /run/overlay/isoscan              file system that holds the ISO as a file (iso-scan/filename=)
#   /run/overlay/live                 the ISO
#   /run/overlay/squashfs_container   LiveOS/squashfs.img, when it holds another file system
#   /run/overlay/rootfsbase           the read-only root
#   /run/overlay/overlayfs            what is written: rw/ and work/
# and of our own:
#   /run/overlay/layer0 ...           the parts of a root in layers, the uppermost first (rd.live.layers)
#   /run/overlay/memory               what was copied into memory (rd.live.ram) or downloaded
#   /run/overlay/store                a persistent store of which only the content is used (rd.live.overlay.readonly)
#   /run/overlay/status               what was decided, as NAME=VALUE lines, for the booted system
#   /run/overlay/fallback             why something that was asked for is not in use; absent when all is

# shellcheck source=/dev/null
type getarg > /dev/null 2>&1 || . /lib/dracut-lib.sh

# Asking dracut starts two programs each time. Most of what is asked for is not there, which needs none.
live_parameters=$(getcmdline)

# live_arg NAME=: the value of a kernel parameter, as of getarg.
live_arg() {
    case "$live_parameters" in
        *"$1"*) getarg "$1" ;;
        *) return 1 ;;
    esac
}

# live_arg_bool DEFAULT NAME: whether it is on, as of getargbool.
live_arg_bool() {
    case "$live_parameters" in
        *"$2"*) getargbool "$1" "$2" ;;
        *) [ "$1" != 0 ] ;;
    esac
}

# Prints a message where the user looks, whatever the log level, and into the kernel's log for afterwards. Users look at
# any of the consoles, and /dev/console is only the last one.
live_say() {
    local console consoles=console
    read -r consoles < /sys/class/tty/console/active
    for console in $consoles; do
        echo "live-overlay: $*" > "/dev/$console"
    done 2> /dev/null
    echo "<7>live-overlay: $*" > /dev/kmsg 2> /dev/null || :
}

# live_note NAME VALUE: a line for the booted system.
live_note() {
    echo "$1=$2" >> /run/overlay/status
}

# Something that was asked for is not possible, and the boot goes on without it.
live_fall_back() {
    live_say "$*"
    echo "$*" >> /run/overlay/fallback
}

# Stops looking, with the reason on the console; dracut then halts, or gives a shell (rd.shell). From dracut 101 on it
# switches the machine off at once, and nobody would see the reason.
live_fail() {
    : > /run/overlay/failed
    live_say "$*"
    if [ -n "$DRACUT_SYSTEMD" ] && ! live_arg_bool 0 rd.shell && grep -q 'force poweroff' /lib/dracut-lib.sh; then
        live_say "Switching off in a minute."
        sleep 60
    fi
    die "live-overlay: $*"
    exit 1
}

# What root=live: asks for, without the prefix.
live_spec() {
    local root
    root=$(live_arg root=)
    echo "${root#live:}"
}

# What is being looked for, in words.
live_wanted() {
    local scan
    scan=$(live_arg iso-scan/filename=)
    if [ -n "$scan" ]; then
        echo "a file system with the file $scan (iso-scan/filename)"
    else
        echo "root=live:$(live_spec)"
    fi
}

# live_tag_of DEVICE-OR-FILE TAG: its LABEL, TYPE or UUID, read from the device itself.
live_tag_of() {
    blkid -p -o value -s "$2" "$1" 2> /dev/null
}

# Names (vda, vda1) of all block devices that may be somebody's medium.
live_block_devices() {
    local node size
    for node in /sys/class/block/*; do
        node=${node##*/}
        case "$node" in
            loop* | ram* | zram* | fd*) continue ;;
        esac
        [ -b "/dev/$node" ] && read -r size < "/sys/class/block/$node/size" && [ "$size" != 0 ] && echo "$node"
    done
}

# One line for every block device.
live_list_devices() {
    local node content
    for node in $(live_block_devices); do
        content=$(blkid -p -o value -s LABEL -s TYPE "/dev/$node" 2> /dev/null | sed ':a;N;$!ba;s/\n/, /g')
        live_say "  /dev/$node ${content:-(no file system)}"
    done
}

# The name of the disk that a device lies on: of sda1 it is sda, of sda sda.
live_disk_of() {
    local name=${1##*/} parent
    if [ -e "/sys/class/block/$name/partition" ]; then
        parent=$(readlink -f "/sys/class/block/$name/..")
        name=${parent##*/}
    fi
    echo "$name"
}

# Names of the partitions of a disk, in their order on the disk's table.
live_partitions_of() {
    local entry
    set -- "$1" "/sys/class/block/$1/$1"*/partition
    [ -e "$2" ] || return 0
    for entry in "/sys/class/block/$1/$1"*; do
        [ -e "$entry/partition" ] && echo "$(cat "$entry/partition") ${entry##*/}"
    done | sort -n | sed 's/.* //'
}

# live_mount_type TYPE: the name by which the kernel mounts what blkid calls TYPE.
live_mount_type() {
    case "$1" in
        ntfs) echo ntfs3 ;;
        *) echo "$1" ;;
    esac
}

# Options that keep a read-only mount from writing: the file system may belong to a hibernated system. Besides journals
# there are deleted files that were open, which ext2 to ext4 clear up unless their device cannot be written: a loop device
# of it cannot.
live_readonly_options() {
    case "$1" in
        ext2) echo loop,ro ;;
        ext3 | ext4) echo loop,ro,noload ;;
        f2fs) echo ro,norecovery ;;
        xfs) echo ro,norecovery,nouuid ;;
        btrfs) echo ro,rescue=nologreplay ;;
        *) echo ro ;;
    esac
}

# live_mount_readonly DEVICE-OR-FILE DIRECTORY [TYPE]: mounts it without writing a single byte to it.
live_mount_readonly() {
    local type options
    type=${3:-$(live_tag_of "$1" TYPE)}
    [ -n "$type" ] || return 1
    options=$(live_readonly_options "$type")
    [ -b "$1" ] || options=loop,${options#loop,}
    mkdir -p "$2"
    mount -n -t "$(live_mount_type "$type")" -o "$options" "$1" "$2" 2> /dev/null
}

# live_device_by TAG VALUE: the device whose TAG (label, uuid, partuuid, partlabel) udev has seen; slashes and blanks
# are escaped in the names of its links.
live_device_by() {
    local link
    link=/dev/disk/by-$1/$(echo "$2" | sed 's,/,\\x2f,g;s, ,\\x20,g')
    [ -e "$link" ] && readlink -f "$link"
}

# The device of a specification such as LABEL=x or /dev/sdb1, when it is there.
live_device_of_spec() {
    case "$1" in
        LABEL=* | CDLABEL=*) live_device_by label "${1#*=}" ;;
        UUID=*) live_device_by uuid "${1#*=}" ;;
        PARTUUID=*) live_device_by partuuid "${1#*=}" ;;
        PARTLABEL=*) live_device_by partlabel "${1#*=}" ;;
        /dev/*) [ -b "$1" ] && readlink -f "$1" ;;
        *) return 1 ;;
    esac
}

# live_read FILE FIRST END WORDS: bytes FIRST up to END on standard output, with the progress on the console.
live_read() {
    local at=$2 part count
    part=$((($3 - $2) / 10 + 1))
    while [ "$at" -lt "$3" ]; do
        count=$(($3 - at < part ? $3 - at : part))
        dd "if=$1" bs=1M iflag=skip_bytes,count_bytes,fullblock "skip=$at" "count=$count" status=none || return 1
        at=$((at + count))
        live_say "$4: $(((at - $2) * 100 / ($3 - $2))) %"
    done
}

# Bytes of a file or block device.
live_size_of() {
    if [ -b "$1" ]; then
        blockdev --getsize64 "$1"
    else
        stat -c %s "$1"
    fi
}

# live_is_number TEXT
live_is_number() {
    case "$1" in
        '' | *[!0-9]*) return 1 ;;
    esac
}

# live_memory_left SIZE: MiB that remain for the system when SIZE bytes are put into memory.
live_memory_left() {
    local available
    available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
    echo $((available / 1024 - $1 / 1048576))
}

# MiB that must remain; dracut's parameter with a smaller default, since here it is about what is really available.
live_least_memory() {
    local least
    least=$(live_arg rd.minmem=)
    if live_is_number "$least"; then echo "$least"; else echo 256; fi
}

# live_mount_memory DIRECTORY SIZE: a file system in memory with room for SIZE bytes in few files.
live_mount_memory() {
    mkdir -p "$1"
    mount -n -t tmpfs -o "mode=0755,size=$(($2 + 4194304))" live-memory "$1"
}

# shellcheck shell=bash
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# dracut module live-overlay: the root of a live image, read-only below an overlay (dracut.modules(7)).
#
# live_overlay_parts in dracut's configuration names what the image needs besides a temporary overlay:
#   xfs, btrfs     further file systems for persistent stores
#   crypt          encrypted persistent stores
#   http, aoe      media on the network
#   device-mapper  a snapshot in place of overlayfs

# shellcheck disable=SC2154 # moddir, initdir and dracutbasedir are set by dracut

_live_has_part() {
    [[ " ${live_overlay_parts-} " == *" $1 "* ]]
}

# Only on request: it claims root=live:, which a normal system never has.
check() {
    return 255
}

depends() {
    local modules="base fs-lib udev-rules"
    # A module of its own from dracut 108 on.
    if compgen -G "$dracutbasedir/modules.d/[0-9][0-9]initqueue" > /dev/null; then modules+=" initqueue"; fi
    # Hooks run in the sh of the image. Otherwise dracut takes bash, which takes longer to start.
    if [[ $(readlink -f "${dracutsysrootdir-}/bin/sh") == */dash ]]; then modules+=" dash"; fi
    if _live_has_part http; then modules+=" network url-lib"; fi
    if _live_has_part aoe; then modules+=" kernel-network-modules"; fi
    if _live_has_part crypt || _live_has_part device-mapper; then modules+=" dm"; fi
    echo "$modules"
}

installkernel() {
    # Live images boot on machines other than the one they are made on, so nothing here depends on this host.
    hostonly='' instmods loop squashfs erofs overlay isofs udf cdrom sr_mod sd_mod usb_storage uas
    # A stick that holds the ISO as a file may have any of these, and the vfat ones need their character sets.
    hostonly='' instmods ext4 xfs btrfs vfat exfat ntfs3 f2fs nls_cp437 nls_ascii nls_iso8859_1 nls_utf8
    if _live_has_part aoe; then hostonly='' instmods aoe; fi
    if _live_has_part device-mapper; then hostonly='' instmods dm_mod dm_snapshot; fi
    if _live_has_part crypt; then hostonly='' instmods dm_crypt xts aes sha256 "=crypto"; fi
}

install() {
    local part
    inst_multiple mount umount mountpoint losetup blkid blockdev modprobe udevadm readlink mkdir mv rm sync cat dd od \
        stat sed grep tr tail sort truncate sleep sha256sum
    # For ISOs of other builders.
    inst_multiple -o checkisomd5
    # Persistent stores are asked for when the image is booted, as with KIWI.
    inst_multiple -o sfdisk partx fallocate mkfs.ext4 e2fsck
    if _live_has_part xfs; then inst_multiple mkfs.xfs; fi
    if _live_has_part btrfs; then inst_multiple mkfs.btrfs; fi
    if _live_has_part http || _live_has_part aoe; then inst_multiple ip; fi
    if _live_has_part http; then inst_multiple curl; fi
    if _live_has_part device-mapper; then inst_multiple dmsetup; fi
    if _live_has_part crypt; then
        inst_multiple cryptsetup stty
        # Loaded by name when a thread of its key derivation ends.
        inst_libdir_file "libgcc_s.so*"
    fi
    for part in lib medium network check crypt store; do
        inst_simple "$moddir/live-overlay-$part.sh" "/lib/live-overlay/$part.sh"
    done
    inst_script "$moddir/live-overlay-root.sh" /sbin/live-overlay-root
    # Checkouts and archives may lose modes on the way here.
    chmod 0755 "$initdir/sbin/live-overlay-root"
    inst_hook cmdline 28 "$moddir/parse-live-overlay.sh"
    inst_hook initqueue/settled 50 "$moddir/live-overlay-settled.sh"
    inst_hook initqueue/timeout 90 "$moddir/live-overlay-timeout.sh"
    # No hooks for mount and pre-pivot in all images: dracut leaves these steps out when nobody has any.
    if _live_has_part http; then inst_hook pre-pivot 20 "$moddir/live-overlay-handover.sh"; fi
    dracut_need_initqueue
}

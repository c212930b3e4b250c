# shellcheck shell=bash
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# dracut module live-overlay: the root of a live image, read-only below an overlay in memory (dracut.modules(7)).

# shellcheck disable=SC2154 # moddir and initdir are set by dracut

# Only on request: it claims root=live:, which a normal system never has.
check() {
    return 255
}

depends() {
    echo base fs-lib udev-rules
}

installkernel() {
    # Live images boot on machines other than the one they are made on, so nothing here depends on this host.
    hostonly='' instmods loop squashfs erofs overlay isofs udf cdrom sr_mod sd_mod usb_storage uas
    # A stick that holds the ISO as a file may have any of these, and the vfat ones need their character sets.
    hostonly='' instmods ext4 xfs btrfs vfat exfat ntfs3 nls_cp437 nls_ascii nls_iso8859_1 nls_utf8
}

install() {
    inst_multiple mount umount losetup blkid modprobe readlink mkdir cat sed grep tail
    # The tool comes with an image that offers a media check.
    inst_multiple -o checkisomd5
    inst_script "$moddir/live-overlay-lib.sh" /lib/live-overlay-lib.sh
    inst_script "$moddir/live-overlay-root.sh" /sbin/live-overlay-root
    # Checkouts and archives may lose modes on the way here.
    chmod 0755 "$initdir/sbin/live-overlay-root"
    inst_hook cmdline 28 "$moddir/parse-live-overlay.sh"
    inst_hook initqueue/settled 50 "$moddir/live-overlay-settled.sh"
    inst_hook initqueue/timeout 90 "$moddir/live-overlay-timeout.sh"
    inst_hook mount 01 "$moddir/mount-live-overlay.sh"
    dracut_need_initqueue
}

#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_iso
short_description: Write a hybrid live ISO image
version_added: 0.1.0
description:
  - Puts a kernel, an initrd and a squashfs into one ISO image that starts by BIOS and by UEFI, as a CD, as a disk and
    as a file that another GRUB boots.
  - The boot loaders come from the packages of the build host, so the image itself needs none.
  - Before the ISO gets its name, it is read back. Volume id, boot entries, partition table, menu and the SHA-256 of
    kernel, initrd and squashfs must be what was asked for.
  - The squashfs goes into the ISO from where it lies. It is not copied before.
  - With O(source_date_epoch), the same inputs give the same bytes. All identifiers of the ISO follow from its
    content.
author:
  - Liveforge maintainers (@liveforge)
extends_documentation_fragment:
  - liveforge.images.stage
  - liveforge.images.stage.attributes
  - liveforge.images.live_features
options:
  boot:
    description:
      - Directory with the files C(linux) and C(initrd), as M(liveforge.images.live_dracut) makes it.
    type: path
    required: true
  squashfs:
    description:
      - The image that becomes C(LiveOS/squashfs.img), as M(liveforge.images.live_squashfs) makes it.
    type: path
    required: true
  base:
    description:
      - The packed base, when O(squashfs) is a layer on it. It becomes C(LiveOS/base.img), and the kernel command line
        tells C(live-overlay) to stack O(squashfs) on it (C(rd.live.layers)).
      - Not possible with O(flags=dmsquash).
    type: path
  architecture:
    description:
      - Architecture of the kernel. It is part of the paths on the ISO.
    type: str
    choices: [x86_64]
    default: x86_64
  volid:
    description:
      - Volume id of the ISO. The initrd finds its medium by it, as C(root=live:CDLABEL=).
      - It takes 1 to 32 of the characters V(a-z), V(A-Z), V(0-9), V(_), V(.) and V(-).
      - The default is the one of KIWI. Choose another one when two media of this kind may be in one machine, because
        then the wrong one could be started.
    type: str
    default: CDROM
  title:
    description:
      - Name of the system in the boot menu.
    type: str
    default: Live
  ram:
    description:
      - Whether the default menu entry copies the root into memory, so that the medium can be removed (C(rd.live.ram)).
      - Without enough memory, V(flags=overlay) runs from the medium and says so.
    type: bool
    default: false
  overlay_size:
    description:
      - Size of the temporary overlay (C(rd.live.overlay.size)), in MiB (V(1024)) or percent of the memory (V(40%)).
      - With O(flags=overlay) the default is half of the memory. dracut's module uses it for
        O(overlay_type=device-mapper) only, and takes 20 percent of the memory otherwise.
    type: str
  kernelcmdline:
    description:
      - Kernel parameters of your own. They come first in every menu entry that starts the live system.
      - A parameter with a blank goes into double quotes. Single quotes and backslashes are refused, because GRUB
        would hand over something else. C(root=) is refused too, because O(volid) says where the root is.
    type: str
    default: ""
  firmware:
    description:
      - Which firmware starts the ISO.
      - V(uefi) has the boot loaders that the distribution of the build host has signed for Secure Boot (Debian
        packages C(shim-signed) and C(grub-efi-amd64-signed)). The kernel must be signed as well for Secure Boot to
        start it.
      - V(efi) has a GRUB that is not signed and a few megabytes smaller.
      - V(bios) is for a PC BIOS only.
    type: str
    choices: [bios, efi, uefi]
    default: uefi
  eficsm:
    description:
      - With O(firmware=efi) and O(firmware=uefi), also start from a PC BIOS.
    type: bool
    default: true
  efiparttable:
    description:
      - Partition table for starting as a disk.
      - The default is V(gpt), but V(msdos) for O(firmware=bios), and for O(flags=dmsquash) with O(persistence)
        because C(dmsquash-live-autooverlay) cannot add a partition to a GPT.
    type: str
    choices: [msdos, gpt]
  gpt_hybrid_mbr:
    description:
      - With a GPT, also have an active entry in its MBR. Some BIOSes do not start from a disk without one.
    type: bool
    default: true
  efifatimagesize:
    description:
      - Size of the EFI partition in MiB, V(3) to V(31). The default is what its content needs, with some room.
      - More is impossible, because El Torito counts the partition in 512-byte blocks with 16 bits.
    type: int
  timeout:
    description:
      - Seconds until the default entry starts. V(0) starts it at once, V(-1) waits for a choice.
    type: int
    default: 10
  timeout_style:
    description:
      - What is to be seen before the default entry starts.
    type: str
    choices: [menu, countdown, hidden]
    default: menu
  output_console:
    description:
      - Where the menu appears, as a list of V(console), V(gfxterm) and V(serial), or one text with blanks between
        them.
      - A terminal that the machine does not have is left out at boot. An empty list leaves it to GRUB.
    type: list
    elements: str
    default: [console, serial]
  input_console:
    description:
      - Where the menu takes keys from, as a list of V(console) and V(serial), or one text with a blank between them.
    type: list
    elements: str
    default: [console, serial]
  serial_line:
    description:
      - GRUB's C(serial) command, run when V(serial) is one of the terminals.
    type: str
    default: serial --unit=0 --speed=115200
  application_id:
    description:
      - Application id of the ISO, at most 128 letters, digits, blanks and some punctuation. The default is RV(mbrid).
      - ISO 9660 stores capital letters only.
    type: str
  publisher:
    description:
      - Publisher of the ISO, with the same rule as O(application_id). The default is none.
    type: str
    default: ""
  cdroot:
    description:
      - Directory on the build host whose content is added to the root of the ISO.
      - It must not contain files that the module writes itself.
    type: path
  cdroot_archives:
    description:
      - Tar archives, compressed or not, that are unpacked into the root of the ISO, in this order (KIWI's
        C(config-cdroot.tar)). They must not contain files that the module writes itself.
    type: list
    elements: dict
    default: []
    suboptions:
      src:
        description: Path on the controller. Relative paths are looked up as M(ansible.builtin.copy) does.
        type: str
        required: true
      remote_src:
        description: Whether C(src) is on the build host.
        type: bool
        default: false
      entries:
        description: Set by the action plugin.
        type: dict
      identity:
        description: Set by the action plugin.
        type: str
  grub_template:
    description:
      - A GRUB menu of your own in place of the module's. V(${name}) stands for one of KIWI's template variables,
        and V($$) for a dollar sign of GRUB's own. The guide on scripts of KIWI descriptions lists the variables.
      - When the text has C(iso-scan/filename), it is also used for booting the ISO as a file. Otherwise the module's
        own menu is.
    type: dict
    suboptions: &text
      content:
        description: The text.
        type: str
      src:
        description: Path on the controller. Exactly one of C(content) and C(src) is needed.
        type: str
      remote_src:
        description: Whether C(src) is on the build host.
        type: bool
        default: false
  edit_boot_config:
    description:
      - Script that edits what the ISO will hold (KIWI's C(editbootconfig)). C(bash) runs it with the arguments
        C(iso:DIRECTORY) and C(1), where DIRECTORY holds everything of the ISO but kernel, initrd and squashfs. It may
        change, add and remove files there. Below C(EFI) are those of the EFI partition.
      - It sees the programs of the build host, of its C(/etc) only what programs need to run, and, in its current
        directory, O(root). All of it is read-only, and there is no network.
    type: dict
    suboptions: *text
  root:
    description: The root tree for O(edit_boot_config), as M(liveforge.images.live_rootfs) made it.
    type: path
  base_root:
    description: The tree below O(root), when that is a layer.
    type: path
requirements:
  - pycdlib (Python library on the build host)
  - xorriso
  - grub-mkimage and the GRUB modules of the wanted firmware
  - mkfs.vfat and mtools, unless O(firmware=bios)
  - implantisomd5, if O(mediacheck=true)
  - bubblewrap, with O(edit_boot_config)
notes:
  - Files on the ISO have KIWI's names, C(boot/x86_64/loader/linux), C(boot/x86_64/loader/initrd),
    C(LiveOS/squashfs.img), C(boot/grub/grub.cfg), C(boot/grub/loopback.cfg) and C(boot/mbrid).
  - When none but the options changed that RV(mbrid) does not depend on, the last ISO is mostly copied and its menu
    replaced. That takes less time and gives the same bytes as writing it anew; without O(source_date_epoch) the dates
    on it are those of the last ISO. With O(mediacheck) or O(edit_boot_config) it is always written anew.
  - To boot the ISO as a file, let a GRUB loop-mount it, set C(iso_path) to its path and read
    C(/boot/grub/loopback.cfg) inside it.
seealso:
  - module: liveforge.images.live_dracut
  - module: liveforge.images.live_squashfs
  - module: liveforge.images.live_iso_info
"""

EXAMPLES = r"""
- name: Write the ISO
  liveforge.images.live_iso:
    dest: /srv/live/kiosk/kiosk.iso
    boot: /srv/live/kiosk/boot
    squashfs: /srv/live/kiosk/root.squashfs
    volid: KIOSK-2026.11
    title: Kiosk
    source_date_epoch: 1764547200

- name: Write an ISO that keeps what users write, for a stick
  liveforge.images.live_iso:
    dest: /srv/live/rescue/rescue.iso
    boot: /srv/live/rescue/boot
    squashfs: /srv/live/rescue/root.squashfs
    volid: RESCUE
    title: Rescue
    persistence:
      mode: auto
      filesystem: xfs
    kernelcmdline: console=tty0 console=ttyS0,115200
    mediacheck: true
"""

RETURN = r"""
path:
  description: The ISO.
  returned: success
  type: str
  sample: /srv/live/kiosk/kiosk.iso
fingerprint:
  description: SHA-256 over everything that decides the bytes of the ISO.
  returned: success
  type: str
artifacts:
  description:
    - What to give to stages that use the output, as O(input_fingerprints).
  returned: success
  type: dict
reason:
  description: Why the ISO was written, or why not.
  returned: success
  type: str
  sample: "changed: options.title (Live -> Kiosk)"
msg:
  description: The same as RV(reason).
  returned: success
  type: str
size:
  description: Size of the ISO in bytes. It is 0 in check mode if there is something to write.
  returned: success
  type: int
duration:
  description: Seconds that the build took, V(0.0) if there was nothing to do.
  returned: success
  type: float
log:
  description: File with the output of all tools.
  returned: success
  type: str
volid:
  description: Volume id.
  returned: success
  type: str
  sample: KIOSK-2026.11
mbrid:
  description:
    - Identifier of the system on this ISO, as KIWI writes it. It is the name of a file in C(/boot), by which GRUB finds
      the medium, and the disk signature.
    - It follows from the content, so ISOs with different systems have different ones. O(kernelcmdline), O(ram),
      O(overlay_size), O(timeout), O(timeout_style), O(input_console), O(serial_line) and O(grub_template) do not count.
  returned: when all inputs exist
  type: str
  sample: "0x1fa4c03b"
kernel_command_line:
  description:
    - Kernel command line of the default menu entry. With O(grub_template) or O(edit_boot_config) it is that of the
      first entry that starts a kernel, or null.
  returned: when all inputs exist
  type: str
  sample: root=live:CDLABEL=KIOSK-2026.11 rd.live.image systemd.gpt_auto=0
menu:
  description: The menu entries that start the live system. The first one is the default.
  returned: when all inputs exist
  type: list
  elements: dict
  contains:
    id:
      description: Name of the entry, V(live), V(nopersistence), V(failsafe) or V(mediacheck).
      type: str
    title:
      description: What the menu shows.
      type: str
    kernel_command_line:
      description: Its kernel command line.
      type: str
sha256:
  description: SHA-256 of the ISO.
  returned: when the ISO exists
  type: str
media_check:
  description: The checksum in the ISO for O(mediacheck), as RV(liveforge.images.live_iso_info#module:iso.media_check).
  returned: when the ISO exists
  type: dict
content_check:
  description:
    - The checksum in the ISO for O(mediacheck) with O(flags=overlay), as
      RV(liveforge.images.live_iso_info#module:iso.content_check).
  returned: when the ISO exists
  type: dict
layout:
  description: How the ISO starts, read back from it.
  returned: when the ISO exists
  type: dict
  contains:
    el_torito:
      description: Boot entries for a CD, as RV(liveforge.images.live_iso_info#module:iso.el_torito).
      type: list
      elements: dict
    partition_table:
      description: Partition table for a disk, as RV(liveforge.images.live_iso_info#module:iso.partition_table).
      type: dict
    boot_loaders:
      description: Boot loaders, as RV(liveforge.images.live_iso_info#module:iso.boot_loaders).
      type: list
      elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.module_utils._iso.stage import LiveIsoStage
from ansible_collections.liveforge.images.plugins.module_utils._live.features import FEATURE_ARGUMENTS
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import STAGE_ARGUMENTS, run_stage_module

_TEXT = {
    "type": "dict",
    "options": {
        "content": {"type": "str"},
        "src": {"type": "str"},
        "remote_src": {"type": "bool", "default": False},
    },
}
ARGUMENTS: dict[str, t.Any] = {
    "boot": {"type": "path", "required": True},
    "squashfs": {"type": "path", "required": True},
    "base": {"type": "path"},
    "architecture": {"type": "str", "choices": ["x86_64"], "default": "x86_64"},
    "volid": {"type": "str", "default": "CDROM"},
    "title": {"type": "str", "default": "Live"},
    **FEATURE_ARGUMENTS,
    "ram": {"type": "bool", "default": False},
    "overlay_size": {"type": "str"},
    "kernelcmdline": {"type": "str", "default": ""},
    "firmware": {"type": "str", "choices": ["bios", "efi", "uefi"], "default": "uefi"},
    "eficsm": {"type": "bool", "default": True},
    "efiparttable": {"type": "str", "choices": ["msdos", "gpt"]},
    "gpt_hybrid_mbr": {"type": "bool", "default": True},
    "efifatimagesize": {"type": "int"},
    "timeout": {"type": "int", "default": 10},
    "timeout_style": {"type": "str", "choices": ["menu", "countdown", "hidden"], "default": "menu"},
    "output_console": {"type": "list", "elements": "str", "default": ["console", "serial"]},
    "input_console": {"type": "list", "elements": "str", "default": ["console", "serial"]},
    "serial_line": {"type": "str", "default": "serial --unit=0 --speed=115200"},
    "application_id": {"type": "str"},
    "publisher": {"type": "str", "default": ""},
    "cdroot": {"type": "path"},
    "cdroot_archives": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "src": {"type": "str", "required": True},
            "remote_src": {"type": "bool", "default": False},
            "entries": {"type": "dict"},
            "identity": {"type": "str"},
        },
    },
    "grub_template": _TEXT,
    "edit_boot_config": _TEXT,
    "root": {"type": "path"},
    "base_root": {"type": "path"},
}


def make_stage(options: dict[str, t.Any]) -> LiveIsoStage:
    """The stage for the module's options."""
    return LiveIsoStage.from_parameters(options)


def main() -> t.NoReturn:
    """Run the module."""
    module = AnsibleModule(argument_spec={**STAGE_ARGUMENTS, **ARGUMENTS}, supports_check_mode=True)
    run_stage_module(module, make_stage)


if __name__ == "__main__":
    main()

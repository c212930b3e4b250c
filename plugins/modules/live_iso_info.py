#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_iso_info
short_description: Tell what a live ISO image is and what it starts
version_added: 0.1.0
description:
  - Reads an ISO image, wherever it was made, and returns its volume, boot entries, partition table, boot menu with
    the kernel command lines, live images, boot loaders and media check tag.
  - Nothing is mounted, and no privileges beyond reading the file are needed.
author:
  - Liveforge maintainers (@liveforge)
attributes:
  check_mode:
    support: full
    description: Reads only, so it does the same in check mode.
  diff_mode:
    support: none
    description: Changes nothing.
  facts:
    support: none
    description: Returns its findings as RV(iso), not as facts of the host.
options:
  path:
    description:
      - The ISO file.
    type: path
    required: true
  digests:
    description:
      - Also read the whole file, for the SHA-256 of it and of kernel, initrd and live images, and to check the media
        check tag.
    type: bool
    default: false
  query:
    description:
      - A JMESPath expression that picks something from RV(iso). What it finds is returned as RV(result).
      - See U(https://jmespath.org).
    type: str
requirements:
  - pycdlib (Python library on the managed host)
  - jmespath (Python library on the managed host), if O(query) is used
seealso:
  - module: liveforge.images.live_iso
"""

EXAMPLES = r"""
- name: Look at an ISO
  liveforge.images.live_iso_info:
    path: /srv/live/kiosk/kiosk.iso
  register: kiosk

- name: Make sure that it starts by Secure Boot, too
  ansible.builtin.assert:
    that:
      - "'efi' in (kiosk.iso.el_torito | map(attribute='platform'))"
      - "'grubx64.efi' in (kiosk.iso.boot_loaders | map(attribute='name'))"

- name: Get the kernel command line of the failsafe entry
  liveforge.images.live_iso_info:
    path: /srv/live/kiosk/kiosk.iso
    query: "menu[?id=='failsafe'] | [0].kernel_command_line"
  register: failsafe

- name: Check a downloaded ISO against its own checksum
  liveforge.images.live_iso_info:
    path: /srv/download/live.iso
    digests: true
    query: media_check.status
  register: check
  failed_when: check.result == 'damaged'
"""

RETURN = r"""
iso:
  description: What the ISO is.
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
    size:
      description: Its size in bytes.
      type: int
    sha256:
      description: Its SHA-256.
      returned: if O(digests=true)
      type: str
    volume_id:
      description: Volume id, which the initrd looks for.
      type: str
      sample: KIOSK-2026.11
    volume_size:
      description: Size of the volume in bytes.
      type: int
    application_id:
      description: Application id.
      type: str
    publisher:
      description: Publisher.
      type: str
    preparer:
      description: Data preparer.
      type: str
    system_id:
      description: System id.
      type: str
    created:
      description: Date of the volume in UTC, or V(null) if it has none.
      type: str
      sample: "2026-11-22T20:15:00Z"
    modified:
      description: Date of the last change in UTC, or V(null) if it has none.
      type: str
    rock_ridge:
      description: Whether there are names and modes for Linux.
      type: bool
    joliet:
      description: Whether there are names for Windows.
      type: bool
    el_torito:
      description: Boot entries for starting as a CD.
      type: list
      elements: dict
      contains:
        platform:
          description: V(bios), V(efi), V(powerpc), V(mac) or a number.
          type: str
        bootable:
          description: Whether the entry is marked bootable.
          type: bool
        emulation:
          description: Emulated medium of the entry, V(0) for none.
          type: int
        load_sectors:
          description: Number of 512-byte blocks that the firmware loads.
          type: int
        start:
          description: First byte of the boot image.
          type: int
    partition_table:
      description: Partition table for starting as a disk.
      type: dict
      contains:
        type:
          description: V(gpt), V(mbr) or V(none).
          type: str
        id:
          description: Disk GUID or disk signature.
          type: str
        hybrid:
          description: Whether the MBR of a GPT has more than the protective entry.
          type: bool
        problems:
          description: What is wrong with the table, as sentences.
          type: list
          elements: str
        partitions:
          description: The partitions.
          type: list
          elements: dict
          contains:
            number:
              description: Number of the partition.
              type: int
            type:
              description: Type GUID, or type byte such as V(0xef).
              type: str
            start:
              description: First byte.
              type: int
            size:
              description: Size in bytes.
              type: int
            flags:
              description: Flags, such as V(active) or V(read-only).
              type: list
              elements: str
            name:
              description: Name in a GPT.
              type: str
    menu_file:
      description: Path of the GRUB menu on the ISO, or V(null).
      type: str
      sample: boot/grub/grub.cfg
    menu:
      description: The entries of the GRUB menu.
      type: list
      elements: dict
      contains:
        id:
          description: Name of the entry, empty if it has none.
          type: str
        title:
          description: What the menu shows.
          type: str
        kernel:
          description: Path of the kernel as the menu gives it, or V(null) if the entry starts none.
          type: str
        initrd:
          description: Paths of the initrds as the menu gives them.
          type: list
          elements: str
        kernel_command_line:
          description:
            - Kernel command line, or V(null) if the entry starts no kernel. Variables of GRUB stay as they are.
          type: str
    loopback_menu:
      description: The entries for an outer GRUB that boots the ISO as a file, like those of RV(iso.menu).
      type: list
      elements: dict
    live:
      description: The files below C(LiveOS).
      type: list
      elements: dict
      contains:
        path:
          description: Path on the ISO.
          type: str
          sample: LiveOS/squashfs.img
        size:
          description: Size in bytes.
          type: int
        type:
          description: V(squashfs), V(erofs) or V(unknown).
          type: str
        compression:
          description: Compression that the image uses.
          returned: if the type is known
          type: str
          sample: zstd
        block_size:
          description: Block size of the image in bytes.
          returned: if the type is known
          type: int
        sha256:
          description: SHA-256 of the file.
          returned: if O(digests=true)
          type: str
    kernel:
      description: The kernel that the menu starts, with C(path), C(size) and C(sha256), or V(null).
      type: dict
    initrd:
      description: The initrd that the menu loads, with C(path), C(size) and C(sha256), or V(null).
      type: dict
    boot_loaders:
      description: The boot loaders that were recognised.
      type: list
      elements: dict
      contains:
        firmware:
          description: V(bios) or V(efi).
          type: str
        name:
          description: Name of the loader, or file name of the EFI program.
          type: str
        medium:
          description: V(cd) or V(disk).
          returned: for V(bios)
          type: str
        path:
          description: Path in the EFI partition.
          returned: for V(efi)
          type: str
        size:
          description: Size in bytes.
          returned: for V(efi)
          type: int
    content_check:
      description:
        - The checksum in the ISO by which the dracut module live-overlay checks the medium at boot. It covers all but
          the partition table and the volume descriptor, so it holds when a partition was added.
      type: dict
      contains:
        status:
          description: V(absent) without one, V(unchecked) unless O(digests=true), else V(intact) or V(damaged).
          type: str
        digest:
          description: SHA-256 of the bytes from RV(iso.content_check.start) to RV(iso.content_check.end).
          returned: if there is one
          type: str
        start:
          description: First byte that is covered.
          returned: if there is one
          type: int
        end:
          description: Byte behind the last one that is covered.
          returned: if there is one
          type: int
    media_check:
      description: The checksum in the ISO by which the medium can be checked at boot.
      type: dict
      contains:
        kind:
          description: V(isomd5sum), V(checkmedia) or V(none).
          type: str
        status:
          description:
            - V(absent) without a tag, V(unchecked) unless O(digests=true), else V(intact) or V(damaged).
            - The tag of checkmedia stays V(unchecked).
          type: str
        algorithm:
          description: Digest algorithm.
          returned: if there is a tag
          type: str
        digest:
          description: The digest.
          returned: if there is a tag
          type: str
        skipped_blocks:
          description: Blocks at the end that are not checked.
          returned: for V(isomd5sum)
          type: int
result:
  description: What O(query) found.
  returned: if O(query) is used
  type: raw
"""

import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso.files import PYCDLIB_IMPORT_ERROR
from ansible_collections.liveforge.images.plugins.module_utils._iso.inspect import inspect

try:
    import jmespath
except ImportError:
    jmespath = None
    JMESPATH_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    JMESPATH_IMPORT_ERROR = None


def main() -> t.NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "digests": {"type": "bool", "default": False},
            "query": {"type": "str"},
        },
        supports_check_mode=True,
    )
    if PYCDLIB_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("pycdlib"), exception=PYCDLIB_IMPORT_ERROR)
    search = _compiled(module, module.params["query"])
    try:
        iso = inspect(module.params["path"], digests=module.params["digests"])
    except StageError as problem:
        module.fail_json(msg=problem.message, **problem.details)
    result = {"iso": iso}
    if search is not None:
        try:
            result["result"] = search(iso)
        except jmespath.exceptions.JMESPathError as problem:
            module.fail_json(msg=f"query {module.params['query']!r} does not fit what the ISO has: {problem}.")
    module.exit_json(changed=False, **result)


def _compiled(module: AnsibleModule, query: str | None) -> t.Callable[[t.Any], t.Any] | None:
    """The query, ready to be applied; a wrong one ends the module before anything is read."""
    if query is None:
        return None
    if JMESPATH_IMPORT_ERROR is not None:
        module.fail_json(
            msg=missing_required_lib("jmespath", reason="for the option query"), exception=JMESPATH_IMPORT_ERROR
        )
    try:
        return jmespath.compile(query).search
    except jmespath.exceptions.JMESPathError as problem:
        # The library adds a drawing of the place on lines of its own.
        module.fail_json(msg=f"query {query!r} is not a JMESPath expression: {str(problem).splitlines()[0]}")


if __name__ == "__main__":
    main()

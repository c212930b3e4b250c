#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_squashfs
short_description: Pack a root tree into the image of a live system
version_added: 0.1.0
description:
  - Makes the file that a live ISO has as C(LiveOS/squashfs.img) from a root tree.
  - With O(filesystem=squashfs) the tree is packed directly. With V(ext4), V(ext3), V(ext2), V(xfs) and V(btrfs) it
    becomes a file system image C(LiveOS/rootfs.img) inside a squashfs, which is what device-mapper snapshots of
    C(dmsquash-live) need. With V(erofs) the file is an EROFS image itself. The file has the same name on an ISO in
    all these cases.
  - The tree is only read, so C(live_dracut) may use it at the same time. No loop device is used and nothing is
    mounted on the build host. A build that is killed leaves no process and no mount.
  - Owners, modes, times, extended attributes with file capabilities, hard links, device nodes and all file names
    are kept. What a file system cannot keep is looked for before building. The module then names the files and
    fails. Squashfs knows no access control lists. They are dropped with a warning, and it is a failure if somebody
    would get more rights by that.
  - With O(source_date_epoch) the same inputs make the same bytes with V(squashfs), V(ext2), V(ext3), V(ext4) and
    V(erofs). The kernel and C(mkfs.btrfs) put random numbers and times into V(xfs) and V(btrfs) images.
    Files with several extended attributes have them in the order in which the file system of O(root) lists them.
author: Liveforge maintainers (@liveforge)
extends_documentation_fragment:
  - liveforge.images.stage
  - liveforge.images.stage.attributes
requirements:
  - python >= 3.11 on the build host
  - squashfs-tools on the build host, or erofs-utils with O(filesystem=erofs)
  - e2fsprogs with O(filesystem=ext4), O(filesystem=ext3) and O(filesystem=ext2)
  - xfsprogs, e2fsprogs and user-mode-linux with O(filesystem=xfs)
  - btrfs-progs with O(filesystem=btrfs)
  - root (C(become))
options:
  root:
    description:
      - Absolute path of the root tree on the build host, made by M(liveforge.images.live_rootfs) or by hand.
      - It must have the directories C(usr), C(proc), C(sys), C(dev), C(run) and C(tmp).
    type: path
    required: true
  layer:
    description:
      - Whether O(root) is a layer that M(liveforge.images.live_rootfs) made with
        O(liveforge.images.live_rootfs#module:base).
      - It need not have the directories of a root tree, and must become a V(squashfs) (O(filesystem)).
    type: bool
    default: false
  filesystem:
    description:
      - File system of the root tree.
      - V(erofs) needs an initrd that knows it. C(dmsquash-live) does since dracut 103, which Debian 12 has not.
    type: str
    choices: [squashfs, ext4, ext3, ext2, xfs, btrfs, erofs]
    default: squashfs
  compression:
    description:
      - How hard to compress. Larger blocks save space and slow down booting.
      - V(fast) is zstd level 3 in blocks of 128 KiB, V(balanced) zstd level 6 in 256 KiB, V(small) zstd level 19 in
        1 MiB, V(smallest) xz with the filter for x86 programs in 1 MiB.
      - With O(filesystem=erofs), V(fast) is lz4, V(balanced) lz4hc level 9, V(small) lz4hc level 12 and V(smallest)
        lzma.
    type: str
    choices: [fast, balanced, small, smallest]
    default: balanced
  squashfscompression:
    description: Compression algorithm of the squashfs, in place of that of O(compression).
    type: str
    choices: [uncompressed, gzip, lzo, lz4, xz, zstd]
  erofscompression:
    description:
      - Compression with O(filesystem=erofs), in place of that of O(compression), as C(mkfs.erofs -z) takes it.
      - For example V(lz4hc,12), V(zstd,level=12) (needs Linux 6.10 in the image), or V(uncompressed).
    type: str
  compression_level:
    description: Level of V(zstd) (1 to 22), V(gzip) or V(lzo) (1 to 9), in place of that of O(compression).
    type: int
  block_size:
    description: Size of compressed blocks, a power of two from V(4K) to V(1M), in place of that of O(compression).
    type: str
  size:
    description:
      - Size in MiB of the file system image inside the squashfs.
      - The default has room for half as much data again as the tree has.
    type: int
  size_additive:
    description: Whether O(size) is added to what would be the size without it, instead of being the size.
    type: bool
    default: false
  label:
    description: Label of the file system. Squashfs has none.
    type: str
  fscreateoptions:
    description:
      - More options for the tool that makes the file system, C(mksquashfs) or C(mkfs) of the type.
      - A list, or one string that is split as a shell does.
    type: raw
    default: []
  exclude:
    description:
      - Patterns of paths relative to O(root) that are left out. C(*) does not match slashes.
      - The directories C(usr), C(proc), C(sys), C(dev), C(run) and C(tmp) themselves always stay.
    type: list
    elements: str
    default: [proc/*, sys/*, dev/*, run/*, tmp/*]
  processors:
    description: How many processors C(mksquashfs) may use. The default is all. Makes no difference to the image.
    type: int
  memory:
    description:
      - How many MiB C(mksquashfs) may use for buffers. The default is V(128), or 16 for each processor if that is more.
      - Makes no difference to the image.
    type: int
seealso:
  - module: liveforge.images.live_rootfs
  - module: liveforge.images.live_dracut
  - module: liveforge.images.live_iso
"""

EXAMPLES = r"""
- name: Pack the root tree
  liveforge.images.live_squashfs:
    root: /var/lib/liveforge/rescue/rootfs
    dest: /var/lib/liveforge/rescue/squashfs.img
    source_date_epoch: 1735689600
  become: true

- name: Make an ext4 image inside a squashfs for device-mapper snapshots, fast
  liveforge.images.live_squashfs:
    root: /var/lib/liveforge/rescue/rootfs
    dest: /var/lib/liveforge/rescue/squashfs.img
    filesystem: ext4
    size: 4096
    label: rescue
    compression: fast
  become: true

- name: Leave out documentation, and spare a small build host
  liveforge.images.live_squashfs:
    root: /var/lib/liveforge/rescue/rootfs
    dest: /var/lib/liveforge/rescue/squashfs.img
    exclude: [proc/*, sys/*, dev/*, run/*, tmp/*, usr/share/doc/*]
    squashfscompression: zstd
    compression_level: 15
    processors: 1
    memory: 256
  become: true
"""

RETURN = r"""
path:
  description: The image.
  returned: always
  type: str
  sample: /var/lib/liveforge/rescue/squashfs.img
reason:
  description: Why it was built, or why not.
  returned: always
  type: str
fingerprint:
  description: SHA-256 over all inputs.
  returned: always
  type: str
artifacts:
  description:
    - What to give to stages that use the output, as O(input_fingerprints).
  returned: always
  type: dict
filesystem:
  description: File system of the root tree.
  returned: always
  type: str
  sample: squashfs
compression:
  description: What it is compressed with.
  returned: always
  type: dict
  contains:
    algorithm:
      description: Algorithm.
      type: str
      sample: zstd
    level:
      description: Its level, or null when it has none or uses the tool's default.
      type: int
      sample: 9
    block_size:
      description: Bytes compressed as one.
      type: int
      sample: 262144
inodes:
  description: Files of every type and directories in the image of the tree, hard links counted once.
  returned: when the output exists
  type: int
uncompressed_size:
  description: Bytes of all files, hard links counted once.
  returned: when the output exists
  type: int
ratio:
  description: How many times the image is smaller than that.
  returned: when the output exists
  type: float
  sample: 3.01
rootfs_size:
  description: Bytes of the file system image inside the squashfs, or null when there is none.
  returned: when the output exists
  type: int
uuid:
  description: UUID of the file system, or null for squashfs, which has none. It follows from the inputs.
  returned: when the output exists
  type: str
base_content:
  description: Digest of the tree that the layer was made on, by which M(liveforge.images.live_iso) tells its base.
  returned: with O(layer=true), when the image exists
  type: str
dropped_attributes:
  description: Paths that lost access control lists or special attributes because squashfs cannot store them.
  returned: when the output exists
  type: list
  elements: str
  sample: [var/log/journal]
size:
  description: Bytes of the image. V(0) when check mode predicts a build.
  returned: always
  type: int
duration:
  description: Seconds that the build took. V(0) when there was nothing to do.
  returned: always
  type: float
log:
  description: Log of all tools that ran.
  returned: always
  type: str
"""

import os
import shlex
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._filesystem.tree import DEFAULT_EXCLUDES
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.compression import ALGORITHMS, PRESETS
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.options import ImageOptions
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.stage import SquashfsStage
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import STAGE_ARGUMENTS, run_stage_module

ARGUMENTS: dict[str, t.Any] = {
    "root": {"type": "path", "required": True},
    "layer": {"type": "bool", "default": False},
    "filesystem": {
        "type": "str",
        "choices": ["squashfs", "ext4", "ext3", "ext2", "xfs", "btrfs", "erofs"],
        "default": "squashfs",
    },
    "compression": {"type": "str", "choices": list(PRESETS), "default": "balanced"},
    "squashfscompression": {"type": "str", "choices": list(ALGORITHMS)},
    "erofscompression": {"type": "str"},
    "compression_level": {"type": "int"},
    "block_size": {"type": "str"},
    "size": {"type": "int"},
    "size_additive": {"type": "bool", "default": False},
    "label": {"type": "str"},
    "fscreateoptions": {"type": "raw", "default": []},
    "exclude": {"type": "list", "elements": "str", "default": list(DEFAULT_EXCLUDES)},
    "processors": {"type": "int"},
    "memory": {"type": "int"},
}


def make_stage(options: dict[str, t.Any], warn: t.Callable[[str], None] = lambda text: None) -> SquashfsStage:
    """The stage for the module's options."""
    own = {name: options[name] for name in ARGUMENTS}
    own["root"] = os.path.normpath(own["root"])
    own["fscreateoptions"] = _words(own["fscreateoptions"])
    own["exclude"] = tuple(own["exclude"])
    return SquashfsStage(
        options["dest"],
        ImageOptions(**own),
        predicted=options["input_fingerprints"],
        source_date_epoch=options["source_date_epoch"],
        warn=warn,
    )


def _words(value: t.Any) -> tuple[str, ...]:
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as problem:
        raise StageError(f"fscreateoptions: {value!r} has an open quote or escape.") from problem
    if not isinstance(words, list):
        raise StageError(f"fscreateoptions must be a list of words, or one string, not {value!r}.")
    return tuple(str(word) for word in words)


def main() -> t.NoReturn:
    """Run the module."""
    module = AnsibleModule(argument_spec={**STAGE_ARGUMENTS, **ARGUMENTS}, supports_check_mode=True)
    run_stage_module(module, lambda options: make_stage(options, module.warn))


if __name__ == "__main__":
    main()

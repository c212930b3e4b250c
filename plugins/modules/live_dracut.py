#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_dracut
short_description: Make kernel and initrd of a live image
version_added: 0.1.0
description:
  - Runs the image's own dracut inside its root tree, which is only read, and puts C(linux) and C(initrd) into a
    directory.
  - Lists the finished initrd and fails when a dracut module or kernel driver that the image needs is not in it.
  - Changes of the tree that cannot reach an initrd (a message of the day, say) do not run dracut again.
author: Liveforge maintainers (@liveforge)
extends_documentation_fragment:
  - liveforge.images.stage
  - liveforge.images.stage.attributes
  - liveforge.images.live_features
requirements:
  - python >= 3.11 on the build host
  - bubblewrap, util-linux on the build host
  - dracut in the root tree (and dracut-live for O(flags=dmsquash) on Debian)
  - root (C(become))
options:
  base:
    description: The tree below O(root), when that is a layer that M(liveforge.images.live_rootfs) made.
    type: path
  root:
    description: The root tree, such as live_rootfs makes.
    type: path
    required: true
  kernel:
    description: Version of the kernel to use when several are installed. The default is the newest.
    type: str
  modules:
    description:
      - Further dracut modules that must be in the initrd.
      - Without any, and without O(dracut_modules), what dracut adds only because its programs are installed is left out
        unless a live feature needs it, such as the network, LVM, software RAID and encryption. A configuration file of
        the image that asks for modules (C(add_dracutmodules) in C(dracut.conf(5))) keeps them, too.
    type: list
    elements: str
    default: []
  dracut_modules:
    description:
      - Dracut modules to bring along, which the image need not have installed. They are directories such as
        C(90mymodule).
      - Name them in O(modules), too, unless they install themselves.
    type: list
    elements: dict
    default: []
    suboptions:
      src:
        description: Path of the directory on the controller.
        type: str
        required: true
      remote_src:
        description: Whether O(dracut_modules[].src) is on the build host.
        type: bool
        default: false
      entries:
        description: Set by the action plugin.
        type: dict
      identity:
        description: Set by the action plugin.
        type: str
  omit_modules:
    description: Dracut modules to leave out.
    type: list
    elements: str
    default: []
  drivers:
    description:
      - Further kernel drivers that must be in the initrd.
      - Without any, drivers for file systems and block devices of networks and clusters are left out, such as C(nfs),
        C(ceph) and C(gfs2), unless O(network_boot) is set, O(persistence) is a prepared device, dracut modules are
        asked for (O(modules), O(dracut_modules)), a configuration file of the image asks for modules or drivers
        (C(add_drivers) in C(dracut.conf(5))), or a package has one of them loaded at each boot
        (C(/usr/lib/modules-load.d)).
    type: list
    elements: str
    default: []
  omit_drivers:
    description: Kernel drivers to leave out, as regular expressions.
    type: list
    elements: str
    default: []
  compression:
    description: Compressor of the initrd. It must be installed in the tree.
    type: str
    choices: [zstd, xz, gzip, none]
    default: zstd
  compression_level:
    description: Level of the compressor. The default is V(9) for zstd and V(6) for the others.
    type: int
  live_overlay_module:
    description: This collection's own dracut module. Set by the action plugin.
    type: dict
seealso:
  - module: liveforge.images.live_rootfs
  - module: liveforge.images.live_iso
"""

EXAMPLES = r"""
- name: Make kernel and initrd with this collection's live module
  liveforge.images.live_dracut:
    dest: /var/lib/liveforge/rescue/boot
    root: /var/lib/liveforge/rescue/rootfs
  become: true

- name: Make kernel and initrd with the distribution's live module and a module of our own
  liveforge.images.live_dracut:
    dest: /var/lib/liveforge/rescue/boot
    root: /var/lib/liveforge/rescue/rootfs
    flags: dmsquash
    filesystem: ext4
    dracut_modules:
      - src: dracut/90site-banner
    modules: [site-banner]
    drivers: [nvme, mlx5_core]
  become: true
"""

RETURN = r"""
path:
  description: The directory with C(linux) and C(initrd).
  returned: always
  type: str
  sample: /var/lib/liveforge/rescue/boot
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
kernel_version:
  description: Version of the kernel.
  returned: when the output exists
  type: str
  sample: 6.1.0-50-amd64
dracut_version:
  description: Version of dracut in the image.
  returned: when the output exists
  type: str
  sample: 059-4
dracut_modules:
  description: Names of all dracut modules in the initrd.
  returned: when the output exists
  type: list
  elements: str
kernel_size:
  description: Bytes of the kernel.
  returned: when the output exists
  type: int
initrd_size:
  description: Bytes of the initrd.
  returned: when the output exists
  type: int
size:
  description: Bytes of both. V(0) when check mode predicts a build.
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
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.module_utils._initrd.dracut import DracutPlan
from ansible_collections.liveforge.images.plugins.module_utils._initrd.stage import (
    LIVE_OVERLAY_FOLDER,
    DracutModule,
    Initrd,
)
from ansible_collections.liveforge.images.plugins.module_utils._live.features import FEATURE_ARGUMENTS, LiveFeatures
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import Shipped
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import STAGE_ARGUMENTS, run_stage_module

_NAMES = {"type": "list", "elements": "str", "default": []}
ARGUMENTS: dict[str, t.Any] = {
    "root": {"type": "path", "required": True},
    "base": {"type": "path"},
    **FEATURE_ARGUMENTS,
    "kernel": {"type": "str"},
    "modules": _NAMES,
    "dracut_modules": {
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
    "omit_modules": _NAMES,
    "drivers": _NAMES,
    "omit_drivers": _NAMES,
    "compression": {"type": "str", "choices": ["zstd", "xz", "gzip", "none"], "default": "zstd"},
    "compression_level": {"type": "int"},
    "live_overlay_module": {"type": "dict"},
}


def make_stage(options: dict[str, t.Any]) -> Initrd:
    """The stage for the module's options."""
    dest = options["dest"]
    own_modules = [
        DracutModule(
            os.path.basename(item["src"].rstrip("/")), Shipped.from_item(f"dracut_modules[{index}]", item, dest)
        )
        for index, item in enumerate(options["dracut_modules"])
    ]
    if options["flags"] == "overlay":
        live_overlay = Shipped.from_item("live_overlay_module", options["live_overlay_module"] or {}, dest)
        own_modules.append(DracutModule(LIVE_OVERLAY_FOLDER, live_overlay))
    plan = DracutPlan(
        LiveFeatures.from_options(options),
        modules=tuple(options["modules"]),
        omit_modules=tuple(options["omit_modules"]),
        drivers=tuple(options["drivers"]),
        omit_drivers=tuple(options["omit_drivers"]),
        compression=options["compression"],
        compression_level=options["compression_level"],
        brings_modules=bool(options["dracut_modules"]),
    )
    return Initrd(
        dest,
        root=options["root"],
        plan=plan,
        kernel=options["kernel"],
        own_modules=own_modules,
        predicted=options["input_fingerprints"],
        source_date_epoch=options["source_date_epoch"],
        base=options["base"],
    )


def main() -> t.NoReturn:
    """Run the module."""
    module = AnsibleModule(argument_spec={**STAGE_ARGUMENTS, **ARGUMENTS}, supports_check_mode=True)
    run_stage_module(module, make_stage)


if __name__ == "__main__":
    main()

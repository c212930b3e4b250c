#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_result
short_description: Write down what is known of a finished live image, beside it
version_added: 0.1.0
description:
  - Writes four files that have the name of O(dest) and a suffix of their own.
  - The C(.json) file has the image's name and version, the ISO's file name, size, SHA-256, volume id and kernel command
    line, the version of the kernel, the number of packages, and the fingerprints of all stages.
  - The C(.packages) file has a line for each package as KIWI writes it,
    C(name|epoch|version|release|arch|disturl|license). dpkg knows name, version and
    architecture only, so the other fields are C(None).
  - The C(.verified) file has what C(dpkg --verify) says of the root tree, one line for each file that is not as its
    package brought it.
  - The C(.changes) file has the changelog of each package, where the tree still has it.
  - The same image gives the same bytes. No path of the build host and no time of the build is in them.
author: Liveforge maintainers (@liveforge)
extends_documentation_fragment:
  - liveforge.images.stage
  - liveforge.images.stage.attributes
requirements:
  - python >= 3.11 on the build host
  - bubblewrap on the build host
  - root (C(become))
options:
  root:
    description: The root tree, as M(liveforge.images.live_rootfs) made it.
    type: path
    required: true
  base:
    description: The tree below O(root), when that is a layer that M(liveforge.images.live_rootfs) made.
    type: path
  boot:
    description: Kernel and initrd, as M(liveforge.images.live_dracut) made them.
    type: path
    required: true
  squashfs:
    description: The packed root tree, as M(liveforge.images.live_squashfs) made it.
    type: path
    required: true
  iso:
    description: The ISO, as M(liveforge.images.live_iso) made it.
    type: path
    required: true
  name:
    description: Name of the image.
    type: str
    required: true
  version:
    description: Version of the image.
    type: str
    default: 1.0.0
seealso:
  - module: liveforge.images.live_iso
"""

EXAMPLES = r"""
- name: Write down what is known of the image
  liveforge.images.live_result:
    dest: /var/lib/liveforge/rescue/rescue.x86_64-1.0.0.json
    root: /var/lib/liveforge/rescue/rootfs
    boot: /var/lib/liveforge/rescue/boot
    squashfs: /var/lib/liveforge/rescue/squashfs.img
    iso: /var/lib/liveforge/rescue/rescue.x86_64-1.0.0.iso
    name: rescue
  become: true
"""

RETURN = r"""
path:
  description: The JSON file.
  returned: always
  type: str
  sample: /var/lib/liveforge/rescue/rescue.x86_64-1.0.0.json
files:
  description: Path of each file by its suffix.
  returned: when the output exists
  type: dict
  contains:
    json:
      description: What is known of the image.
      type: str
    packages:
      description: List of packages.
      type: str
    verified:
      description: Files that are not as their package brought them.
      type: str
    changes:
      description: Changelogs.
      type: str
packages_count:
  description: Number of installed packages.
  returned: when the output exists
  type: int
packages_manager:
  description: Whose database they are in, V(dpkg); null for a tree without one.
  returned: when the output exists
  type: str
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
size:
  description: Bytes of the JSON file. V(0) when check mode predicts a build.
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

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.module_utils._result.stage import ResultStage
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import STAGE_ARGUMENTS, run_stage_module

ARGUMENTS: dict[str, t.Any] = {
    "root": {"type": "path", "required": True},
    "base": {"type": "path"},
    "boot": {"type": "path", "required": True},
    "squashfs": {"type": "path", "required": True},
    "iso": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "default": "1.0.0"},
}


def make_stage(options: dict[str, t.Any], warn: t.Callable[[str], None] = lambda text: None) -> ResultStage:
    """The stage for the module's options."""
    return ResultStage(
        options["dest"],
        name=options["name"],
        version=options["version"],
        artifacts={
            "rootfs": options["root"],
            **({"base": options["base"]} if options["base"] is not None else {}),
            "boot": options["boot"],
            "squashfs": options["squashfs"],
            "iso": options["iso"],
        },
        foreseen=options["input_fingerprints"],
        source_date_epoch=options["source_date_epoch"],
        warn=warn,
    )


def main() -> t.NoReturn:
    """Run the module."""
    module = AnsibleModule(argument_spec={**STAGE_ARGUMENTS, **ARGUMENTS}, supports_check_mode=True)
    run_stage_module(module, lambda options: make_stage(options, module.warn))


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_compare
short_description: Tell in which file of which layer two builds of a live image differ
version_added: 0.1.0
description:
  - Compares two builds of an image by the SHA-256 of root tree listing, kernel, initrd, packed root and ISO, and looks
    into each layer that is not the same.
  - For a root tree it names the path and the attribute, for an initrd the file in its archive or the order of its
    files, for a squashfs or another packed file system the file or what else of it differs, and for an ISO the
    file or the sectors between the files.
  - A root tree is compared by path, type, mode, owner, group, modification time, size, content, link target, hard
    links, device number and extended attributes. Access times and inode numbers do not count.
  - Both builds must be on the host that runs the module. Nothing there is changed.
author: Liveforge maintainers (@liveforge)
attributes:
  check_mode:
    support: full
    description: The module changes nothing and does the same in check mode.
  diff_mode:
    support: none
    description: The differences are what the module returns.
requirements:
  - python >= 3.11 on the build host
  - pycdlib on the build host, for ISO images
  - zstd, xz or gzip on the build host, for initrds of that compression
  - squashfs-tools, e2fsprogs, erofs-utils on the build host, for packed roots
  - root (C(become)), to unpack devices, owners and extended attributes
options:
  first:
    description: >-
      Directory of an image below its workspace, as the role P(liveforge.images.live_image#role) leaves it, or one
      file or tree out of it.
    type: path
    required: true
  second:
    description: The same of the other build.
    type: path
    required: true
  limit:
    description: At most that many differences of a layer are described. The others are counted.
    type: int
    default: 20
  scratch:
    description: >-
      Directory for the unpacked files of layers that differ, with room for both root trees. Nothing is left in it. The
      default is the directory in which O(second) is.
    type: path
seealso:
  - module: liveforge.images.live_lock
  - module: liveforge.images.live_iso_info
"""

EXAMPLES = r"""
- name: Compare two builds
  liveforge.images.live_compare:
    first: /var/lib/liveforge/rescue
    second: /var/lib/liveforge-again/rescue
  become: true
  register: comparison

- name: Compare two ISO images, and fail when they are not the same
  liveforge.images.live_compare:
    first: /srv/yesterday/rescue.iso
    second: /srv/today/rescue.iso
  become: true
  register: comparison
  failed_when: not comparison.identical
"""

RETURN = r"""
identical:
  description: Whether all layers are the same, byte for byte.
  returned: always
  type: bool
layers:
  description: Each layer in the order in which a build makes them.
  returned: always
  type: list
  elements: dict
  contains:
    layer:
      description: V(root tree), V(kernel), V(initrd), V(packed root), V(ISO), or V(tree) or V(file) for anything else.
      type: str
    first:
      description: Its path in the first build.
      type: str
    second:
      description: Its path in the second build.
      type: str
    first_sha256:
      description: SHA-256 of the file, or of the listing of a tree, in the first build.
      type: str
    second_sha256:
      description: The same in the second build.
      type: str
    identical:
      description: Whether they are the same.
      type: bool
    differences:
      description: What differs, empty when nothing does.
      type: list
      elements: dict
      contains:
        place:
          description: Path of the file, or range of bytes.
          type: str
        what:
          description: Attribute that differs, such as V(mode), V(time) or V(content (from byte 12\)).
          type: str
        first:
          description: Its value in the first build. Null when only the second build has the place.
          type: str
        second:
          description: The same for the second build.
          type: str
        msg:
          description: The difference as a sentence.
          type: str
    omitted:
      description: Number of further differences.
      type: int
msg:
  description: What is the same and what is not, in words.
  returned: always
  type: str
"""

import os
import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.module_utils._command import Runner
from ansible_collections.liveforge.images.plugins.module_utils._compare.images import compare_layer, layers
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError


def main() -> t.NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "first": {"type": "path", "required": True},
            "second": {"type": "path", "required": True},
            "limit": {"type": "int", "default": 20},
            "scratch": {"type": "path"},
        },
        supports_check_mode=True,
    )
    options = module.params
    scratch = options["scratch"] or os.path.dirname(os.path.abspath(options["second"]))
    try:
        with tempfile.TemporaryDirectory(prefix="liveforge-compare-", dir=scratch) as folder:
            run = Runner(os.path.join(folder, "log"))
            found = [
                compare_layer(layer, options["limit"], run, folder)
                for layer in layers(options["first"], options["second"])
            ]
    except StageError as problem:
        module.fail_json(msg=problem.message, **problem.details)
    except OSError as problem:
        module.fail_json(msg=f"{options['first']} and {options['second']} cannot be compared: {problem}")
    identical = all(layer["identical"] for layer in found)
    module.exit_json(changed=False, identical=identical, layers=found, msg=_summary(found))


def _summary(found: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    same = [layer["layer"] for layer in found if layer["identical"]]
    parts = [f"The same, byte for byte: {', '.join(same)}."] if same else []
    for layer in found:
        if layer["identical"]:
            continue
        parts.append(f"{layer['layer']} differs ({layer['first_sha256']}, {layer['second_sha256']}):")
        parts += [f"{difference['msg']};" for difference in layer["differences"]]
        if layer["omitted"]:
            parts.append(f"and {layer['omitted']} more differences;")
    return " ".join(parts)


if __name__ == "__main__":
    main()

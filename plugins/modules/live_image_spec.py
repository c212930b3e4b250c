#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_image_spec
short_description: Check the declaration of a live image as a whole
version_added: 0.1.0
description:
  - Checks everything that can be checked before a build, on the controller. Names, types, values, combinations of
    options and
    the existence of overlays and scripts.
  - Returns the declaration with all defaults, and what each stage of the build is told.
  - The role P(liveforge.images.live_image#role) uses it. There is seldom a reason to call it otherwise.
author: Liveforge maintainers (@liveforge)
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: It never changes anything.
  action:
    support: full
    description: It runs on the controller.
options:
  options:
    description:
      - The options of role P(liveforge.images.live_image#role), without the role's prefix.
      - Either this or O(images) is needed.
    type: dict
  images:
    description:
      - Several such declarations. They are checked, and that no two of them, or of O(bases), have the same name.
        Nothing is returned.
    type: list
    elements: dict
  bases:
    description: Bases that the image may name, in addition to those among its options.
    type: list
    elements: dict
    default: []
  defaults:
    description: Options for images, and for their bases, that do not declare them, such as C(workspace) and C(cache).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Check a declaration
  liveforge.images.live_image_spec:
    options:
      name: rescue
      release: bookworm
      packages: [openssh-server]
  register: rescue

- name: Check all of a playbook before the first is built
  liveforge.images.live_image_spec:
    images: "{{ live_images }}"
    bases: "{{ live_bases }}"
"""

RETURN = r"""
spec:
  description: The completed declaration.
  returned: with O(options)
  type: dict
  contains:
    name:
      description: Name of the image.
      returned: success
      type: str
    version:
      description: Version of the image.
      returned: success
      type: str
    folder:
      description: Directory of the image on the build host.
      returned: success
      type: str
    outputs:
      description: Output path of each stage.
      returned: success
      type: dict
    boot_tests:
      description: Boot tests of the image.
      returned: success
      type: list
      elements: dict
    base:
      description:
        - Name of the base, and the options of M(liveforge.images.live_rootfs) and M(liveforge.images.live_squashfs) for
          it.
      returned: when the image has a base
      type: dict
    rootfs:
      description: Options of M(liveforge.images.live_rootfs).
      returned: success
      type: dict
    dracut:
      description: Options of M(liveforge.images.live_dracut).
      returned: success
      type: dict
    squashfs:
      description: Options of M(liveforge.images.live_squashfs).
      returned: success
      type: dict
    iso:
      description: Options of M(liveforge.images.live_iso).
      returned: success
      type: dict
    result:
      description: Options of M(liveforge.images.live_result).
      returned: success
      type: dict
"""

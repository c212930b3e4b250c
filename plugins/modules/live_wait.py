#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_wait
short_description: Follow a stage that was started in the background
version_added: 0.1.0
description:
  - Shows the progress of a stage module that an earlier task started with C(async) and C(poll=0), until it ends, and
    returns
    its result as if the stage had run in this task.
  - That way two stages can run side by side, such as M(liveforge.images.live_dracut) beside
    M(liveforge.images.live_squashfs).
author: Liveforge maintainers (@liveforge)
attributes:
  check_mode:
    support: full
    description: A stage that ran in check mode has its result already, which is returned.
  diff_mode:
    support: full
    description: The difference is the stage's.
  action:
    support: full
    description: It runs on the controller and asks the build host.
options:
  job:
    description: What the task that started the stage registered.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Start making kernel and initrd
  liveforge.images.live_dracut:
    dest: /var/lib/liveforge/rescue/boot
    root: /var/lib/liveforge/rescue/rootfs
  become: true
  async: 7200
  poll: 0
  register: dracut

- name: Pack the root tree meanwhile
  liveforge.images.live_squashfs:
    dest: /var/lib/liveforge/rescue/squashfs.img
    root: /var/lib/liveforge/rescue/rootfs
  become: true

- name: Wait for kernel and initrd
  liveforge.images.live_wait:
    job: "{{ dracut }}"
  become: true
"""

RETURN = r"""
reason:
  description: Why the stage was built, or why not. All other return values are those of the stage's module.
  returned: always
  type: str
"""

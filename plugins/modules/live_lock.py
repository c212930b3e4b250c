#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_lock
short_description: Write down the exact packages of a build, to build from them again
version_added: 0.1.0
description:
  - Writes a lock file on the controller with version, architecture, SHA-256 and origin of every package that
    M(liveforge.images.live_rootfs) installed into a tree, and with the digests and dates of the repositories.
  - Of a tree with a O(liveforge.images.live_rootfs#module:base) it has the packages that the tree adds to the base or
    replaces in it; the base has a lock of its own.
  - Builds to which the file is given (option O(liveforge.images.live_rootfs#module:lock)) install exactly these
    packages.
  - The file is JSON with one line for each package in a fixed order, made for committing it and for reading its diffs.
  - Nothing on the build host is changed.
author: Liveforge maintainers (@liveforge)
attributes:
  check_mode:
    support: full
    description: Tells whether the file would be written, and writes nothing.
  diff_mode:
    support: full
    description: Shows which lines of the file change, that is which packages.
requirements:
  - python >= 3.11 on the build host
options:
  root:
    description:
      - The root tree on the build host, as M(liveforge.images.live_rootfs) made it.
      - Leave it out to find out, before a tree is built, whether O(dest) can be written. Then nothing is written.
    type: path
  dest:
    description:
      - The lock file on the controller.
      - A relative path is looked up as builds do it, in the current directory and then as M(ansible.builtin.copy) does.
        The file that is found is renewed. A new one is made below the current directory, with directories that are
        missing.
    type: path
    required: true
  return_content:
    description: Whether the text of the lock is returned as RV(content).
    type: bool
    default: false
seealso:
  - module: liveforge.images.live_rootfs
  - module: liveforge.images.live_compare
"""

EXAMPLES = r"""
- name: Build with the newest packages
  liveforge.images.live_rootfs:
    dest: /var/lib/liveforge/rescue/rootfs
    release: trixie
    packages: [linux-image-amd64, dracut, systemd-sysv]
  become: true

- name: Lock them
  liveforge.images.live_lock:
    root: /var/lib/liveforge/rescue/rootfs
    dest: locks/rescue.lock.json
  become: true

- name: Build from the lock, now or next year
  liveforge.images.live_rootfs:
    dest: /var/lib/liveforge/rescue/rootfs
    release: trixie
    packages: [linux-image-amd64, dracut, systemd-sysv]
    lock:
      src: locks/rescue.lock.json
  become: true
"""

RETURN = r"""
dest:
  description: The lock file on the controller.
  returned: always
  type: str
  sample: /home/me/images/locks/rescue.lock.json
content:
  description: Text of the lock file, for where the controller is a container that does not keep files.
  returned: when return_content is true
  type: str
changes:
  description: One entry for each package that changed.
  returned: when root is given
  type: list
  elements: str
  sample: [+htop 3.4.1-5, openssl 3.5.1-1 -> 3.5.4-1]
packages:
  description: Number of packages in the lock.
  returned: when root is given
  type: int
source_date_epoch:
  description: >-
    Seconds since 1970 of the newest repository. The role P(liveforge.images.live_image#role) takes it for every time
    stamp of an image with this lock. Null when no repository tells a date.
  returned: when root is given
  type: int
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_lock import PackageLock


def main() -> t.NoReturn:
    """Read what is recorded of a tree. The action plugin of the same name writes the file on the controller."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path"},
            "dest": {"type": "path", "required": True},
            "return_content": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if module.params["root"] is None:
        # The action plugin knows whether the file can be written, and does not start this module.
        module.exit_json(changed=False)
    try:
        lock = PackageLock.of_build(module.params["root"])
    except StageError as problem:
        module.fail_json(msg=problem.message, **problem.details)
    module.exit_json(changed=False, content=lock.text())


if __name__ == "__main__":
    main()

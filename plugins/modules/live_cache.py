#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_cache
short_description: Show and prune what a build host keeps of downloads
version_added: 0.1.0
description:
  - Tells what is in the package cache of M(liveforge.images.live_rootfs), and when a build last used it.
  - Builds hold a limit by themselves when they are given O(liveforge.images.live_rootfs#module:cache_max_size).
  - With O(max_size) or O(max_age) it removes entries, least recently used first, and what a killed build left
    unfinished a day ago or longer. Without them nothing is removed.
  - It can run at any time, since builds have links or copies of their own of all that they use. An entry that a build
    has linked stays, since removing it would free nothing. With a cache on another file system than the builds, an
    entry of which they have copies can be removed.
  - Workspaces of images are not looked at.
author: Liveforge maintainers (@liveforge)
attributes:
  check_mode:
    support: full
    description: Tells what would be removed, and removes nothing.
  diff_mode:
    support: full
    description: Lists the removed entries.
requirements:
  - python >= 3.11 on the build host
options:
  cache:
    description: The cache on the build host. One that does not exist is empty.
    type: path
    default: /var/cache/liveforge
  max_size:
    description:
      - Size that may stay, in bytes or with a unit such as V(500M), V(2G) (powers of 1024).
      - Entries in use, and those that O(keep) protects, can make it larger. V(0) keeps nothing else.
    type: str
  max_age:
    description:
      - How long ago the last use may be, in seconds or with a unit out of V(s), V(m), V(h), V(d), V(w), such as V(30d).
    type: str
  keep:
    description: Number of the most recently used entries that stay, whatever their age and size.
    type: int
    default: 0
seealso:
  - module: liveforge.images.live_rootfs
"""

EXAMPLES = r"""
- name: Look at the cache
  liveforge.images.live_cache:
  become: true
  register: cache

- name: Remove what was not used for a month, and then as much as makes it 5 GiB
  liveforge.images.live_cache:
    max_age: 30d
    max_size: 5G
  become: true
"""

RETURN = r"""
cache:
  description: The cache.
  returned: always
  type: str
  sample: /var/cache/liveforge
entries:
  description: What is in it, or stays in it, least recently used first.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Where it is.
      type: str
      sample: /var/cache/liveforge/archives/less_590-2.1~deb12u2_amd64.deb
    kind:
      description: V(package), V(list) of packages, or V(unfinished).
      type: str
    size:
      description: Bytes.
      type: int
    last_used:
      description: When a build last used it, in UTC.
      type: str
      sample: '2026-11-25T12:00:00Z'
    in_use:
      description: Whether a build has a link to it, or is writing it.
      type: bool
removed:
  description: What was removed, least recently used first, with the same keys.
  returned: always
  type: list
  elements: dict
size:
  description: Bytes of all RV(entries).
  returned: always
  type: int
freed:
  description: Bytes of all RV(removed).
  returned: always
  type: int
"""

import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_cache import (
    CacheEntry,
    age_option,
    entries,
    prunable,
    prune,
    size_option,
)

ARGUMENTS: dict[str, t.Any] = {
    "cache": {"type": "path", "default": "/var/cache/liveforge"},
    "max_size": {"type": "str"},
    "max_age": {"type": "str"},
    "keep": {"type": "int", "default": 0},
}


def _shown(entry: CacheEntry) -> dict[str, t.Any]:
    return {
        "path": entry.path,
        "kind": entry.kind,
        "size": entry.size,
        "last_used": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.used)),
        "in_use": entry.in_use,
    }


def run(options: dict[str, t.Any], *, only_tell: bool) -> dict[str, t.Any]:
    """Show and prune the cache; the module's result."""
    max_size = size_option("max_size", options["max_size"])
    max_age = age_option("max_age", options["max_age"])
    if options["keep"] < 0:
        raise StageError(f"keep: {options['keep']} must not be negative.")
    if not os.path.isabs(options["cache"]):
        raise StageError(f"cache: {options['cache']!r} must be an absolute path.")
    found = entries(options["cache"])
    removed: list[CacheEntry] = []
    if max_size is not None or max_age is not None:
        removed = prunable(found, max_size=max_size, max_age=max_age, keep=options["keep"], now=time.time())
        if not only_tell:
            removed = prune(removed)
    gone = {entry.path for entry in removed}
    stays = [entry for entry in found if entry.path not in gone]
    return {
        "changed": bool(removed),
        "cache": options["cache"],
        "entries": [_shown(entry) for entry in stays],
        "removed": [_shown(entry) for entry in removed],
        "size": sum(entry.size for entry in stays),
        "freed": sum(entry.size for entry in removed),
        "diff": {
            "before": "".join(f"{entry.path}\n" for entry in removed),
            "after": "",
            "before_header": options["cache"],
            "after_header": options["cache"],
        },
    }


def main() -> t.NoReturn:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = run(module.params, only_tell=module.check_mode)
    except StageError as problem:
        module.fail_json(msg=problem.message, **problem.details)
    except OSError as problem:
        module.fail_json(msg=f"{module.params['cache']} cannot be read or pruned: {problem}. Run the task with become.")
    if not module._diff:
        del result["diff"]
    module.exit_json(**result)


if __name__ == "__main__":
    main()

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options, attributes and return values that all stage modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of STAGE_ARGUMENTS in plugins/module_utils/_stage_module.py."""

    DOCUMENTATION = r"""
options:
  dest:
    description:
      - Absolute path of the stage's output on the build host.
      - It appears under this name only when it is whole. Beside it lie the stage file (suffix V(.stage.json)), the
        log of all tools (suffix V(.log)) and the lock (suffix V(.lock)).
    type: path
    required: true
  source_date_epoch:
    description:
      - Seconds since 1970-01-01 UTC that stand for every time stamp in the output.
      - See U(https://reproducible-builds.org/specs/source-date-epoch/).
    type: int
  force:
    description:
      - Build even when the output is there already and was made from the same inputs.
    type: bool
    default: false
  lock_timeout:
    description:
      - Seconds to wait while another build makes the same output or uses it. V(0) fails at once.
    type: int
    default: 3600
  input_fingerprints:
    description:
      - Fingerprints, by path, that the stages before returned for input artifacts. The key V(PATH#boot) stands for the
        part of a root tree that an initrd can be made from (RV(liveforge.images.live_rootfs#module:boot_fingerprint)),
        and V(PATH#content) for the SHA-256 of what the whole artifact holds.
      - Pass the RV(artifacts) that stages of the same play returned, combined, so that check mode is exact for a chain
        of stages, and a build does not look again whether an input was changed by hand. A build refuses an input that
        another build has made anew since.
    type: dict
    default: {}
  decide_only:
    description:
      - Decide whether the output must be built, and build nothing.
      - Set by the action plugin of the stage modules, which starts a build only when there is something to do. There
        is no need to set it. Use check mode to learn what would be built.
    type: bool
    default: false
  progress_file:
    description:
      - File on the build host in which the module reports its progress while it runs.
      - Set by the action plugin of the stage modules, which shows its content live. There is no need to set it.
    type: path
  controller_processes:
    description:
      - Processes on this host, as V(pid:start time), with which the module ends.
      - Set by the action plugin of the stage modules when the build host is the controller itself. There is no need
        to set it.
    type: list
    elements: str
    default: []
"""

    ATTRIBUTES = r"""
attributes:
  check_mode:
    support: full
    description: Decides exactly as a run would, and writes nothing.
  diff_mode:
    support: full
    description: Shows which inputs changed since the output was built. Secrets appear as digests.
  idempotent:
    support: full
    description:
      - The same inputs leave the output alone. Content counts, never time stamps.
      - What package mirrors offer today is not an input. Use O(force) to take newer packages.
  action_group:
    support: full
    description:
      - Use C(group/liveforge.images.live) in C(module_defaults) to set options that all stage modules have, such as
        O(force), O(lock_timeout) and O(source_date_epoch).
    membership: [liveforge.images.live]
"""

#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_summary
short_description: Show what a build of live images came to
version_added: 0.1.0
description:
  - Prints a few lines for each image on the controller. What was built or left alone and why, where it lies, its size
    and SHA-256, seconds of each stage, and the results of its boot tests.
  - Writes the same to a file as JSON when asked.
  - Call it once before the builds, without O(results), to find out early whether the files can be written, and so that
    those of an earlier run are not taken for those of one that was lost.
author: Liveforge maintainers (@liveforge)
attributes:
  check_mode:
    support: full
    description: The files are written in check mode, too, since they hold what check mode foresees.
  diff_mode:
    support: none
    description: It changes nothing.
  action:
    support: full
    description: It runs on the controller.
options:
  results:
    description:
      - The facts C(live_image_result) of role P(liveforge.images.live_image#role), one for each image.
      - Without it, nothing is shown.
    type: list
    elements: dict
  declared:
    description:
      - Lists of images by host, by name or as they were declared. One that has no result is told to be not finished,
        in C(error).
    type: dict
    default: {}
  results_file:
    description:
      - File on the controller for the results as JSON. Directories that are missing are made.
    type: path
  paths_file:
    description:
      - File on the controller for the paths of the ISO images, one a line. Directories that are missing are made.
    type: path
"""

EXAMPLES = r"""
- name: Show what was built
  liveforge.images.live_summary:
    results: "{{ [live_image_result] }}"
    results_file: build-results.json
"""

RETURN = r"""
summary:
  description: The lines that were printed.
  returned: success
  type: list
  elements: str
images:
  description: The results in short, one for each image.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the image.
      returned: always
      type: str
    host:
      description: The build host.
      returned: always
      type: str
    path:
      description: The ISO on the build host.
      returned: when there is one
      type: str
    sha256:
      description: Its SHA-256; empty in check mode.
      returned: when there is one
      type: str
    size:
      description: Its size in bytes.
      returned: when there is one
      type: int
    error:
      description: Why the image could not be built, did not boot, or was not finished.
      returned: when it failed
      type: str
"""

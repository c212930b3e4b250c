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
    and
    SHA-256, seconds of each stage, and the results of its boot tests.
  - Writes the same to a file as JSON when asked.
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
    description: The facts C(live_image_result) of role P(liveforge.images.live_image#role), one for each image.
    type: list
    elements: dict
    required: true
  results_file:
    description: File on the controller for the results as JSON.
    type: path
  paths_file:
    description: File on the controller for the paths of the ISO images, one a line.
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
"""

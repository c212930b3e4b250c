#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_description
short_description: Read a KIWI image description
version_added: 0.1.0
description:
  - Reads a directory with a KIWI description (C(config.xml) or C(*.kiwi), and what belongs to it) on the controller,
    and returns the image as role P(liveforge.images.live_image#role) takes it.
  - Descriptions for every package manager of KIWI are read. The role builds those for C(apt); for others
    (C(zypper), C(dnf4), C(dnf5), C(microdnf), C(pacman), C(apk)) a warning says that it does not install with them yet.
  - Schema versions 7.4 to 8.5 are understood. A file that does not fit the schema gives all errors at once, each with
    file, line, the value at fault and the allowed ones.
  - Nothing is dropped in silence. What a live image does not honour gives a warning with file and line.
  - The file is never trusted. Entities are not expanded, nothing is fetched, and nothing outside of O(path) and
    O(trusted_paths) is read.
  - Plain passwords (C(pwdformat="plain")) are returned as crypt hashes. Their salt is made of the names of image and
    user, so that they are the same each time.
author: Liveforge maintainers (@liveforge)
requirements:
  - lxml on the controller
  - passlib on the controller, for plain passwords
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
  path:
    description:
      - The description directory on the controller, or the description itself. A relative path is looked up in the
        current directory, and then beside the playbook.
    type: path
    required: true
  file:
    description:
      - Name of the description in O(path). The default is C(config.xml), else C(image/config.xml), else the first
        C(*.kiwi) in alphabetical order.
    type: str
  profiles:
    description:
      - Profiles to build with, in this order. What they require comes with them.
      - The default are the profiles with C(import="true").
    type: list
    elements: str
    default: []
  arch:
    description:
      - Architecture of the image as C(uname -m) tells it. Filters (C(arch="...")) are compared with it.
    type: str
    default: x86_64
  build_type:
    description: The image type to read. Only V(iso) can be built.
    type: str
    default: iso
  strict:
    description: Whether anything that is not honoured is an error instead of a warning.
    type: bool
    default: false
  repositories:
    description:
      - Repositories in place of those of the description, or beside them. See O(repositories_mode).
      - Many descriptions name C(obsrepositories:/), which means nothing outside of the Open Build Service.
    type: list
    elements: dict
    default: []
    suboptions:
      source:
        description:
          - URL of the repository. C(http:), C(https:), C(ftp:), C(obs://PROJECT/REPOSITORY), C(file:) or C(dir:) for a
            directory of the build host, or C(this://) for one of the description directory.
        type: str
        required: true
      type:
        description: Kind of the repository.
        type: str
        choices: [apk, apt-deb, apt-rpm, deb-dir, mirrors, rpm-md]
      alias:
        description: Name of the repository. The default is V(repository-N).
        type: str
      priority:
        description: Priority, for apt a pin priority.
        type: int
      distribution:
        description: Suite of an apt repository, such as V(bookworm).
        type: str
      components:
        description: Components of an apt repository, with blanks between them. The default is V(main).
        type: str
      architectures:
        description: Architectures of an apt repository, with commas between them.
        type: str
      sourcetype:
        description: What O(repositories[].source) is.
        type: str
        choices: [baseurl, metalink, mirrorlist]
      signing_keys:
        description:
          - URLs of keys that may sign the repository. C(file:///PATH) is a file on the controller, C(this://PATH) one
            of the description directory.
          - Keys of C(https:), C(http:) and C(ftp:) are not fetched. For apt, a warning says to save them as files.
        type: list
        elements: str
        default: []
      repository_gpgcheck:
        description: Whether the signature of the repository is checked.
        type: bool
      package_gpgcheck:
        description: Whether the signatures of packages are checked.
        type: bool
      imageinclude:
        description: Whether the image keeps the repository as a package source.
        type: bool
      imageonly:
        description: Whether the repository is for the image only, and not used during the build.
        type: bool
      username:
        description: User name for the repository.
        type: str
      password:
        description: Password for the repository.
        type: str
  repositories_mode:
    description:
      - What O(repositories) do to those of the description.
      - V(replace) drops all of the description (C(kiwi-ng --ignore-repos --add-repo)). V(replace_first) sets what the
        first item gives in the description's first repository, and adds the other items (C(--set-repo)). V(add) puts
        them behind (C(--add-repo)).
    type: str
    choices: [replace, replace_first, add]
    default: replace
  trusted_paths:
    description:
      - Directories besides O(path) that the description may refer to, by C(<include from="file:///...">), by symbolic
        links or by C(../).
    type: list
    elements: path
    default: []
  show:
    description:
      - What to print as YAML, to move a description to a playbook. V(variables) are variables of role
        P(liveforge.images.live_image#role), V(images) is C(live_images) of playbook C(build_live).
      - Passwords of repositories are replaced by variables.
    type: str
    choices: [nothing, variables, images]
    default: nothing
"""

EXAMPLES = r"""
- name: Read a description
  liveforge.images.live_description:
    path: descriptions/rescue
    profiles: [Desktop]
  register: rescue

- name: Build it
  ansible.builtin.include_role:
    name: liveforge.images.live_image
    tasks_from: item
  vars:
    live_image_options: "{{ rescue.image }}"

- name: Read a description that takes its repositories from the Open Build Service
  liveforge.images.live_description:
    path: descriptions/leap
    repositories:
      - source: https://download.example.com/distribution/leap/15.6/repo/oss
        alias: oss
    strict: true
  register: leap
"""

RETURN = r"""
image:
  description: Options of role P(liveforge.images.live_image#role), without the role's prefix.
  returned: success
  type: dict
warnings:
  description: What is not honoured and what it means, each with file and line. Ansible shows them, too.
  returned: when there are any
  type: list
  elements: str
  sample:
    - "/srv/rescue/config.xml:31: <bootsplash-theme> is not honoured: no Plymouth theme is chosen."
description:
  description: Facts about the description.
  returned: success
  type: dict
  contains:
    file:
      description: Path of the description.
      returned: success
      type: str
    included:
      description: Paths of the files that it includes.
      returned: success
      type: list
      elements: str
    schemaversion:
      description: The version that it declares.
      returned: success
      type: str
    author:
      description: Its author.
      returned: success
      type: str
    contacts:
      description: Whom to ask about it.
      returned: success
      type: list
      elements: str
    specification:
      description: What it is for.
      returned: success
      type: str
    profiles:
      description: Profiles that were selected, with those that they require.
      returned: success
      type: list
      elements: str
    available_profiles:
      description: All profiles of the architecture, each with C(name), C(description) and C(import).
      returned: success
      type: list
      elements: dict
    build_types:
      description: Image types that can be built with these profiles.
      returned: success
      type: list
      elements: str
    arch:
      description: Architecture that filters were compared with.
      returned: success
      type: str
    package_manager:
      description: The package manager that it names.
      returned: success
      type: str
    repositories:
      description: The repositories that apply, in KIWI's terms and without passwords.
      returned: success
      type: list
      elements: dict
    result_name:
      description: Name of the image file without suffix, C(NAME.ARCH-VERSION).
      returned: success
      type: str
"""

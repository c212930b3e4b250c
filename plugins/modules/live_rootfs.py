#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_rootfs
short_description: Build the root tree of a live image
version_added: 0.1.0
description:
  - Installs Debian or Ubuntu packages into an empty tree and configures it, without touching the system of the build
    host.
  - The installed packages are kept, packed, beside O(dest) with the suffix V(.packages.tar.zst). Changing anything else
    than packages and repositories unpacks and configures them again, and installs nothing.
  - The former tree stays until the new one is whole, unless there is no room for both. Then it goes first, since it is
    made again from what is kept.
  - Nothing of the build host gets into the tree. The machine ID is empty, SSH host keys are made when the image boots,
    package lists, caches and logs are gone.
  - The steps run in this order. Essential packages and O(bootstrap_packages), O(archives) of the phase V(bootstrap),
    O(post_bootstrap_scripts), all other O(packages), package sources and O(hostname), other O(archives), O(overlays),
    locale, keymap, time zone, O(groups), O(users), O(files), services, O(scripts), O(packages_remove),
    O(packages_delete), O(images_scripts).
author: Liveforge maintainers (@liveforge)
extends_documentation_fragment:
  - liveforge.images.stage
  - liveforge.images.stage.attributes
requirements:
  - python >= 3.11 on the build host
  - mmdebstrap, bubblewrap, util-linux, tar, zstd on the build host
  - root (C(become))
options:
  base:
    description:
      - Absolute path of a root tree on the build host that M(liveforge.images.live_rootfs) made. Then O(dest) becomes a
        layer, that is only what differs from it, in the form of an overlayfs upper directory. The base is not changed.
      - O(packages) are installed in addition to those of the base, with the repositories that are given here, which
        should be those of the base. O(variant) has no effect. O(bootstrap_packages), O(post_bootstrap_scripts) and
        O(archives) of phase V(bootstrap) are refused.
      - The build host must be able to mount an overlayfs in the folder of O(dest). It does so in a mount namespace of
        its own.
    type: path
  distribution:
    description: The distribution, which decides about default repositories.
    type: str
    choices: [debian, ubuntu]
    default: debian
  release:
    description: Code name of the release, such as V(bookworm) or V(trixie).
    type: str
    required: true
  architecture:
    description: Debian's name of the architecture of the packages. The default is the build host's.
    type: str
    choices: [amd64, arm64]
  mirror:
    description: URI of the distribution's archive, in place of its main mirror. Security updates keep their own mirror.
    type: str
  repositories:
    description:
      - Package repositories, in place of the distribution's default ones. The first one is the main one.
      - Signatures are always checked, unless a repository is O(repositories[].trusted).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of its files in the image. The default is V(repository-N).
        type: str
      uri:
        description:
          - Where it is. A login in it (V(https://user:password@host/)) is taken as O(repositories[].username) and
            O(repositories[].password), so that no log and no image has it; but this option is not hidden in what
            Ansible itself logs.
        type: str
        required: true
      suite:
        description: Suite, such as V(bookworm-updates), or a path that ends in a slash for a flat repository.
        type: str
        required: true
      components:
        description: Components. The default is V(main), and none for a flat repository.
        type: list
        elements: str
      keyring:
        description: File on the build host with the keys that may sign the repository.
        type: path
      keys:
        description:
          - The keys that may sign the repository, each as armored text or as a file on the controller. They go into the
            image, too.
          - One of O(repositories[].keyring), O(repositories[].keys) and O(repositories[].trusted) is needed.
        type: list
        elements: str
      trusted:
        description:
          - Whether the repository is used without a check of its signature (KIWI's C(repository_gpgcheck="false")),
            also by the image. Whoever can change the repository can then change the image.
        type: bool
        default: false
      username:
        description: User name for repositories that want one. The image does not get it.
        type: str
      password:
        description: Password for O(repositories[].username). The image does not get it.
        type: str
      imageonly:
        description: Whether the image keeps the repository as a package source, but nothing is installed from it.
        type: bool
        default: false
      architectures:
        description: Debian's names of the architectures that the repository is asked for. The default is the image's.
        type: list
        elements: str
      priority:
        description: Pin priority, see C(apt_preferences(5)).
        type: int
      include_in_image:
        description: Whether the image keeps the repository as a package source.
        type: bool
        default: true
      check_valid_until:
        description:
          - Whether a repository whose Release file has expired is refused, which protects from being served old
            packages for ever.
          - Set it to V(false) for a snapshot or a mirror that stands still on purpose. Signatures are checked all the
            same.
        type: bool
        default: true
  packages:
    description: Names of packages to install. C(name=version) and C(name/suite) are possible.
    type: list
    elements: str
    default: []
  bootstrap_packages:
    description:
      - Names of packages that are installed right after the essential ones, before O(post_bootstrap_scripts) and before
        O(packages).
    type: list
    elements: str
    default: []
  packages_exclude:
    description: Names of packages that are never installed, not even when others recommend them.
    type: list
    elements: str
    default: []
  lock:
    description:
      - A lock file that M(liveforge.images.live_lock) wrote. Exactly its packages are installed, to the byte, whatever
        the repositories offer as newest.
      - Each package comes from O(cache), or from O(repositories) when they still have it. One that cannot be had, or
        has another SHA-256, is an error.
      - A lock that was made for another O(release), O(architecture), O(variant), O(recommends), or for other
        O(packages), O(bootstrap_packages) or O(packages_exclude), is an error, too. O(repositories) may differ, for
        example to name a snapshot.
      - With O(base) it has the packages that are added to the base or replaced in it. They must be those that the base
        needs for O(packages); a lock for the base keeps that from changing.
    type: dict
    version_added: 0.1.0
    suboptions:
      content:
        description: Text of the file.
        type: str
      src:
        description: >-
          Path on the controller, of a file that may be encrypted with Ansible Vault. Exactly one of O(lock.content) and
          O(lock.src) is needed.
        type: str
  variant:
    description: Set of packages to start from, see C(mmdebstrap(1)).
    type: str
    choices: [essential, apt, minbase, important, standard]
    default: minbase
  recommends:
    description: Install recommended packages, too.
    type: bool
    default: false
  packages_remove:
    description:
      - Packages to remove after O(scripts), with their configuration and with what only they needed.
      - One that is not installed is an error. With O(kiwi_profile) it is only noted in the log, as KIWI does it.
    type: list
    elements: str
    default: []
  packages_delete:
    description:
      - Packages to remove after O(packages_remove) by force (KIWI's packages of the type C(delete)). What needs them
        stays, and their maintainer scripts do not run.
      - One that is not installed is only noted in the log.
    type: list
    elements: str
    default: []
  post_bootstrap_scripts:
    description:
      - Scripts that run inside the tree when only essential packages are installed (KIWI's C(post_bootstrap.sh)).
    type: list
    elements: dict
    default: []
    suboptions: &script
      content:
        description:
          - Text of the script. Without a first line that starts with C(#!) it is run by C(/bin/sh).
          - It is shown with C(-vvv) and in the system log of the build host. Put secrets into an encrypted file that
            C(src) names.
        type: str
      src:
        description:
          - Path of the script on the controller. Exactly one of C(content) and C(src) is needed.
          - A file that is encrypted with Ansible Vault is decrypted.
        type: str
      remote_src:
        description: Whether C(src) is on the build host.
        type: bool
        default: false
      entries: &entries
        description: Set by the action plugin.
        type: dict
      identity: &identity
        description: Set by the action plugin.
        type: str
      executable:
        description: Set by the action plugin.
        type: bool
  scripts:
    description: Scripts that run inside the tree when it is configured (KIWI's C(config.sh)). They have no network.
    type: list
    elements: dict
    default: []
    suboptions: *script
  images_scripts:
    description:
      - Scripts that run inside the tree after packages were removed, right before the tree is finished (KIWI's
        C(images.sh)). They have no network.
    type: list
    elements: dict
    default: []
    suboptions: *script
  kiwi_profile:
    description:
      - Variables for scripts that were written for KIWI, such as C(kiwi_iname). When it is given, even empty, all
        scripts find what KIWI gives them. C(/.kconfig) with shell functions, C(/.profile) with these variables, which
        are in their environment, too, and themselves in C(/image). Scripts that are not executable are run by
        C(bash).
      - Nothing of it is in the finished tree.
    type: dict
  kiwi_functions:
    description: The shell functions for C(/.kconfig). Set by the action plugin.
    type: dict
  overlays:
    description:
      - Directory trees that are laid over the installed system and what O(archives) brought. Their files belong to root
        and keep their modes.
      - Directories that the system has already keep their owner and mode.
      - A file that is encrypted with Ansible Vault is an error. O(files) takes such files.
    type: list
    elements: dict
    default: []
    suboptions: &tree
      src:
        description:
          - Path on the controller. Relative paths are looked up in the current directory, and then as
            M(ansible.builtin.copy) does.
        type: str
        required: true
      dest:
        description: Directory in the image.
        type: str
        default: /
      remote_src:
        description: Whether C(src) is on the build host.
        type: bool
        default: false
      entries: *entries
      identity: *identity
  archives:
    description:
      - Tar archives, compressed or not, that are unpacked over the installed system with their owners and modes.
    type: list
    elements: dict
    default: []
    suboptions:
      <<: *tree
      phase:
        description:
          - Whether it is unpacked after all packages, before O(overlays), or right after O(bootstrap_packages).
        type: str
        choices: [image, bootstrap]
        default: image
  files:
    description: Single files.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: Absolute path in the image.
        type: str
        required: true
      content:
        description:
          - Text of the file.
          - It is shown with C(-vvv) and in the system log of the build host. Put secrets into an encrypted file that
            C(src) names.
        type: str
      src:
        description:
          - Path on the controller. Exactly one of C(content) and C(src) is needed.
          - A file that is encrypted with Ansible Vault is decrypted.
        type: str
      remote_src:
        description: Whether C(src) is on the build host.
        type: bool
        default: false
      owner:
        description: Owner, by name or number in the image.
        type: str
        default: root
      group:
        description: Group, by name or number in the image.
        type: str
        default: root
      mode:
        description: Octal mode, quoted.
        type: str
        default: '0644'
      entries: *entries
      identity: *identity
  groups:
    description: Groups to create.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      gid:
        description: Number.
        type: int
      system:
        description: Whether it is a system group.
        type: bool
        default: false
  users:
    description: Users to create, or to change when a package made them. V(root) can be among them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      password:
        description: Crypt hash of the password, see C(crypt(5)). Without it nobody can log in with a password.
        type: str
      uid:
        description: Number.
        type: int
      group:
        description: Primary group. The default is a group of the same name.
        type: str
      groups:
        description: Further groups.
        type: list
        elements: str
        default: []
      shell:
        description: Login shell.
        type: str
      home:
        description: Home directory.
        type: str
      comment:
        description: Full name.
        type: str
      system:
        description: Whether it is a system account, without a home directory.
        type: bool
        default: false
      ssh_authorized_keys:
        description: Public SSH keys that may log in.
        type: list
        elements: str
        default: []
  hostname:
    description: Host name. Without it the image has none, so that it is V(localhost) until the network gives it one.
    type: str
  locale:
    description: Locale, such as V(en_GB.UTF-8). All but V(C.UTF-8) and V(C) need the package locales.
    type: str
  keymap:
    description: Keyboard layout, such as V(de).
    type: str
  timezone:
    description: Time zone, such as V(Europe/Berlin). Needs the package tzdata.
    type: str
  services_enabled:
    description: systemd units to enable.
    type: list
    elements: str
    default: []
  services_disabled:
    description: systemd units to disable.
    type: list
    elements: str
    default: []
  services_masked:
    description: systemd units to mask.
    type: list
    elements: str
    default: []
  default_target:
    description: systemd target to boot into, such as V(multi-user.target).
    type: str
  cache:
    description:
      - Directory on the build host that keeps downloaded packages and package lists for all builds.
      - What it has is compared with signed digests before it is used. M(liveforge.images.live_cache) prunes it.
    type: path
    default: /var/cache/liveforge
  successors:
    description:
      - What later stages make of the tree beside it, in the same file system and in this order. The space for it is
        looked for before anything is installed.
      - Role P(liveforge.images.live_image#role) fills this in.
    type: list
    elements: dict
    default: []
    version_added: 0.1.0
    suboptions:
      path:
        description: Output of a stage. What it took the last time is what it is expected to take again.
        type: path
        required: true
      share:
        description: Size of an output that was never made, as a multiple of the tree.
        type: float
        default: 0.0
      size:
        description: Bytes of an output that was never made, besides, such as those of a kernel.
        type: int
        default: 0
      includes:
        description: Outputs of other stages that go into one that was never made, besides.
        type: list
        elements: path
        default: []
      scratch:
        description: What is needed only while the output is made, as a multiple of the tree.
        type: float
        default: 0.0
      scratch_size:
        description: Bytes that are needed only while the output is made, besides.
        type: int
        default: 0
  cache_max_size:
    description:
      - Size that O(cache) may have when packages were installed, in bytes or with a unit such as V(500M), V(20G)
        (powers of 1024). What was not used for longest goes first. Without it nothing is removed.
      - Files that a running build has linked stay, so the cache can be larger for a while. All builds that share a
        cache should say the same, since each holds its own limit.
      - Mirrors forget old packages, so a limit also limits for how long an old O(lock) can be built.
    type: str
    version_added: 0.1.0
seealso:
  - module: liveforge.images.live_cache
  - module: liveforge.images.live_lock
  - module: liveforge.images.live_squashfs
  - module: liveforge.images.live_dracut
"""

EXAMPLES = r"""
- name: Build the root tree of a rescue system
  liveforge.images.live_rootfs:
    dest: /var/lib/liveforge/rescue/rootfs
    release: bookworm
    packages: [linux-image-amd64, dracut, systemd-sysv, openssh-server, smartmontools]
    hostname: rescue
    users:
      - name: rescue
        password: "{{ rescue_password_hash }}"
        groups: [sudo]
        ssh_authorized_keys: ["{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"]
    overlays:
      - src: overlay/
    scripts:
      - src: config.sh
  become: true
"""

RETURN = r"""
path:
  description: The tree.
  returned: always
  type: str
  sample: /var/lib/liveforge/rescue/rootfs
reason:
  description: Why it was built, or why not.
  returned: always
  type: str
  sample: 'changed: packages (+htop)'
fingerprint:
  description: SHA-256 over all inputs.
  returned: always
  type: str
artifacts:
  description:
    - What to give to stages that use the output, as O(input_fingerprints).
  returned: always
  type: dict
boot_fingerprint:
  description: SHA-256 over those inputs that an initrd can depend on.
  returned: always
  type: str
boot_content:
  description: SHA-256 over that part of the tree that an initrd can be made from.
  returned: when the tree exists
  type: str
packaged_content:
  description: SHA-256 over that part of the tree that lists of packages and their verification are made from. Of an
    image with a base, that part of what it adds.
  returned: when the tree exists
  type: str
packages:
  description: Version of every installed package, by name.
  returned: when the tree exists
  type: dict
kernels:
  description: Versions of the installed kernels.
  returned: when the tree exists
  type: list
  elements: str
size:
  description: Bytes of all files in the tree. V(0) when check mode predicts a build.
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

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._publish import partial_path
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import kept_tree
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.declaration import Declaration, archives
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.kiwi_interface import KiwiInterface
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.layer_packages import LayerPackages
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_cache import PackageCache, size_option
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_lock import PackageLock
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.packages import PackageTree
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import (
    Repository,
    declared_repositories,
    default_repositories,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.scripts import declared_scripts
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.successors import Successor
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.tree import RootTree, host_architecture
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import STAGE_ARGUMENTS, run_stage_module
from ansible_collections.liveforge.images.plugins.module_utils._text_option import text_of

_NAMES = {"type": "list", "elements": "str", "default": []}
_SHIPPED = {
    "remote_src": {"type": "bool", "default": False},
    "entries": {"type": "dict"},
    "identity": {"type": "str"},
}
_SCRIPTS = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {"content": {"type": "str"}, "src": {"type": "str"}, "executable": {"type": "bool"}, **_SHIPPED},
}
_TREES = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {"src": {"type": "str", "required": True}, "dest": {"type": "str", "default": "/"}, **_SHIPPED},
}
_ARCHIVES = {
    **_TREES,
    "options": {**_TREES["options"], "phase": {"type": "str", "choices": ["image", "bootstrap"], "default": "image"}},
}
ARGUMENTS: dict[str, t.Any] = {
    "base": {"type": "path"},
    "distribution": {"type": "str", "choices": ["debian", "ubuntu"], "default": "debian"},
    "release": {"type": "str", "required": True},
    "architecture": {"type": "str", "choices": ["amd64", "arm64"]},
    "mirror": {"type": "str"},
    "repositories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str"},
            "uri": {"type": "str", "required": True},
            "suite": {"type": "str", "required": True},
            "components": {"type": "list", "elements": "str"},
            "keyring": {"type": "path", "no_log": False},
            "keys": {"type": "list", "elements": "str", "no_log": False},
            "trusted": {"type": "bool", "default": False},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "imageonly": {"type": "bool", "default": False},
            "architectures": {"type": "list", "elements": "str"},
            "priority": {"type": "int"},
            "include_in_image": {"type": "bool", "default": True},
            "check_valid_until": {"type": "bool", "default": True},
        },
    },
    "packages": _NAMES,
    "bootstrap_packages": _NAMES,
    "packages_exclude": _NAMES,
    "lock": {"type": "dict", "options": {"content": {"type": "str"}, "src": {"type": "str"}}},
    "variant": {
        "type": "str",
        "choices": ["essential", "apt", "minbase", "important", "standard"],
        "default": "minbase",
    },
    "recommends": {"type": "bool", "default": False},
    "packages_remove": _NAMES,
    "packages_delete": _NAMES,
    "post_bootstrap_scripts": _SCRIPTS,
    "scripts": _SCRIPTS,
    "images_scripts": _SCRIPTS,
    "kiwi_profile": {"type": "dict"},
    "kiwi_functions": {"type": "dict"},
    "overlays": _TREES,
    "archives": _ARCHIVES,
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "dest": {"type": "str", "required": True},
            "content": {"type": "str"},
            "src": {"type": "str"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0644"},
            **_SHIPPED,
        },
    },
    "groups": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "gid": {"type": "int"},
            "system": {"type": "bool", "default": False},
        },
    },
    "users": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "uid": {"type": "int"},
            "group": {"type": "str"},
            "groups": _NAMES,
            "shell": {"type": "str"},
            "home": {"type": "str"},
            "comment": {"type": "str"},
            "system": {"type": "bool", "default": False},
            "ssh_authorized_keys": {**_NAMES, "no_log": False},
        },
    },
    "hostname": {"type": "str"},
    "locale": {"type": "str"},
    "keymap": {"type": "str", "no_log": False},
    "timezone": {"type": "str"},
    "services_enabled": _NAMES,
    "services_disabled": _NAMES,
    "services_masked": _NAMES,
    "default_target": {"type": "str"},
    "cache": {"type": "path", "default": "/var/cache/liveforge"},
    "cache_max_size": {"type": "str"},
    "successors": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "share": {"type": "float", "default": 0.0},
            "size": {"type": "int", "default": 0},
            "includes": {"type": "list", "elements": "path", "default": []},
            "scratch": {"type": "float", "default": 0.0},
            "scratch_size": {"type": "int", "default": 0},
        },
    },
}


def make_stage(options: dict[str, t.Any]) -> RootTree:
    """The stage for the module's options."""
    repositories = (
        declared_repositories(options["repositories"])
        if options["repositories"]
        else default_repositories(options["distribution"], options["release"], options["mirror"])
    )
    text = text_of(options, "lock")
    lock = PackageLock.parse(text) if text is not None else None
    if options["base"] is not None:
        packages: PackageTree | LayerPackages = _layer_packages(options, repositories, lock)
    else:
        packages = PackageTree(
            options["dest"] + kept_tree.SUFFIX,
            tree=partial_path(options["dest"]),
            repositories=_installed_from(repositories),
            packages=options["packages"],
            variant=options["variant"],
            recommends=options["recommends"],
            architecture=options["architecture"] or host_architecture(),
            scripts=declared_scripts("post_bootstrap_scripts", options),
            cache=_cache(options),
            source_date_epoch=options["source_date_epoch"],
            bootstrap_packages=options["bootstrap_packages"],
            excluded=options["packages_exclude"],
            archives=archives(options, "bootstrap"),
            kiwi=KiwiInterface.from_options(options),
            lock=lock,
        )
    return RootTree(
        options["dest"],
        packages,
        Declaration.from_options(options),
        [repository for repository in repositories if repository.include_in_image],
        successors=[Successor.from_option(item) for item in options["successors"]],
        force=options["force"],
        lock_timeout=options["lock_timeout"],
    )


def _layer_packages(
    options: dict[str, t.Any], repositories: list[Repository], lock: PackageLock | None
) -> LayerPackages:
    for option in ("bootstrap_packages", "post_bootstrap_scripts"):
        if options[option]:
            raise StageError(f"{option}: the base was bootstrapped before. Move it to the declaration of the base.")
    if archives(options, "bootstrap"):
        raise StageError("archives: phase bootstrap is over in the base. Move them there, or use phase image.")
    return LayerPackages(
        options["dest"] + kept_tree.SUFFIX,
        tree=partial_path(options["dest"]),
        base=options["base"],
        repositories=_installed_from(repositories),
        packages=options["packages"],
        recommends=options["recommends"],
        architecture=options["architecture"] or host_architecture(),
        cache=_cache(options),
        excluded=options["packages_exclude"],
        predicted=options["input_fingerprints"],
        lock=lock,
        source_date_epoch=options["source_date_epoch"],
    )


def _cache(options: dict[str, t.Any]) -> PackageCache:
    if not os.path.isabs(options["cache"]):
        raise StageError(f"cache must be an absolute path on the build host, not {options['cache']!r}.")
    return PackageCache(options["cache"], size_option("cache_max_size", options["cache_max_size"]))


def _installed_from(repositories: list[Repository]) -> list[Repository]:
    return [repository for repository in repositories if not repository.imageonly]


def main() -> t.NoReturn:
    """Run the module."""
    module = AnsibleModule(argument_spec={**STAGE_ARGUMENTS, **ARGUMENTS}, supports_check_mode=True)
    run_stage_module(module, make_stage)


if __name__ == "__main__":
    main()

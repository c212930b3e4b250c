#!/usr/bin/python
# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: live_boot
short_description: Boot an image in QEMU and look at it from inside
version_added: 0.1.0
author:
  - Liveforge maintainers (@liveforge)
description:
  - Boots an ISO or disk image, or a kernel, in QEMU on the build host, follows the serial console, logs in, runs
    commands in the guest and shuts it down. Says when what happened.
  - The image must use the first serial port as a console, that is, its kernel parameters must contain
    C(console=ttyS0) or C(console=ttyS0,115200).
  - When the module ends, QEMU is gone and its temporary files are removed, however the module ends.
requirements:
  - python >= 3.11
  - qemu-system-x86_64
  - setpriv (util-linux)
  - OVMF or another UEFI firmware for QEMU that comes with firmware descriptions, for O(firmware) other than V(bios)
attributes:
  check_mode:
    support: full
    description: Checks the options and says what would be booted. Boots nothing.
  diff_mode:
    support: none
    description: A boot test has no wanted state to compare with.
  idempotent:
    support: none
    description: Each run boots anew.
options:
  image:
    description:
      - ISO or disk image to boot. Required unless O(kernel) is given; with it, the image is just attached.
      - A disk image whose name ends in C(.qcow2) is one of that format, any other is raw.
    type: path
  media:
    description:
      - What the guest sees O(image) as.
      - V(cdrom) is a SATA CD-ROM, V(usb) a USB stick, V(disk) a virtio disk.
    type: str
    choices: [cdrom, usb, disk]
    default: cdrom
  snapshot:
    description:
      - With V(true), what the guest writes to O(image) is forgotten.
      - With V(false), it is written to the image, and the module reports a change. A CD-ROM is never written.
    type: bool
    default: true
  disks:
    description:
      - Further disks.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Image file of the disk. It must exist.
        type: path
        required: true
      format:
        description: Format of the image file.
        type: str
        choices: [raw, qcow2]
        default: raw
      interface:
        description: What the disk is attached to.
        type: str
        choices: [virtio, usb, nvme, sata]
        default: virtio
      serial:
        description: Serial number of the disk, by which the guest can find it below C(/dev/disk/by-id).
        type: str
      readonly:
        description: Whether the guest cannot write. QEMU has no read-only SATA disks.
        type: bool
        default: false
      snapshot:
        description: As O(snapshot), for this disk.
        type: bool
        default: true
  firmware:
    description:
      - What starts the machine.
      - V(uefi) is UEFI without Secure Boot, V(uefi_secure) has it on, with Microsoft's keys enrolled.
      - Each boot gets fresh UEFI variables.
    type: str
    choices: [bios, uefi, uefi_secure]
    default: bios
  kernel:
    description:
      - Kernel to boot directly, without any boot loader.
    type: path
  initrd:
    description:
      - Initrd for O(kernel).
    type: path
  append:
    description:
      - Kernel parameters for O(kernel), such as V(console=ttyS0 root=live:CDLABEL=LIVE).
    type: str
  memory:
    description:
      - Memory of the machine in MiB.
    type: int
    default: 2048
  cpus:
    description:
      - Number of virtual processors.
    type: int
    default: 2
  accelerator:
    description:
      - What runs the guest's instructions. V(tcg) emulates them, which works everywhere and is slow.
      - V(auto) runs a probe under KVM, since there are hosts whose KVM device opens and whose guests hang. If the probe
        does not end within five seconds, V(tcg) is used. The verdict is remembered until the host boots anew, a
        failure for an hour. RV(accelerator_reason) tells it.
    type: str
    choices: [auto, kvm, tcg]
    default: auto
  machine:
    description:
      - QEMU machine type, such as V(q35) or V(pc).
    type: str
    default: q35
  network:
    description:
      - V(user) gives the guest a network card with DHCP, in which the host is C(10.0.2.2).
    type: str
    choices: [none, user]
    default: none
  network_restricted:
    description:
      - Whether the guest can reach nothing through O(network=user) but its DHCP server, and is reached only through
        O(network_hostfwd).
    type: bool
    default: false
  network_hostfwd:
    description:
      - Ports of the host that lead to the guest, in QEMU's syntax, such as V(tcp:127.0.0.1:2222-:22).
      - Needs O(network=user).
    type: list
    elements: str
    default: []
  qemu_args:
    description:
      - Further arguments for QEMU, for devices that have no option here.
    type: list
    elements: str
    default: []
  menu_keys:
    description:
      - Keys for the boot menu, typed before anything in O(expect) is waited for.
      - Each item is a key by its QEMU name (such as V(down), V(ret), V(esc), V(e) or V(f10)), several of them pressed
        together (V(ctrl-x)), or V(text:) and what to type. A US keyboard is assumed.
    type: list
    elements: str
    default: []
  menu_via:
    description:
      - Where O(menu_keys) are typed, on the machine's V(keyboard) or on the V(serial) console.
      - The boot menu must take its input from there.
    type: str
    choices: [keyboard, serial]
    default: keyboard
  menu_pattern:
    description:
      - Python regular expression that shows on the serial console that the boot menu is there.
      - The default knows GRUB, systemd-boot and ISOLINUX. Set it to an empty string for a menu that the serial console
        does not show; the keys are then typed O(menu_delay) seconds after power on.
    type: str
    default: 'Use the .+ keys to (?:select|change)|(?:automatically|[Bb]oot) in \d+ ?s|Press \[Tab\] to edit'
  menu_delay:
    description:
      - Seconds between O(menu_pattern) and the first key.
    type: float
    default: 0.5
  menu_timeout:
    description:
      - Seconds to wait for O(menu_pattern).
    type: int
    default: 120
  expect:
    description:
      - What the serial console must show, in this order. By default a login prompt within ten minutes.
      - Control sequences are removed before patterns are tried, and a cursor movement counts as a line break.
      - An empty list waits for nothing.
    type: list
    elements: dict
    suboptions:
      pattern:
        description: Python regular expression; V(^) and V($) match at each line.
        type: str
        required: true
      name:
        description: Name of the milestone in RV(milestones). The pattern by default.
        type: str
      timeout:
        description: Seconds to wait for it, after the milestone before.
        type: int
        default: 600
      fail:
        description: Regular expression for text that means that this milestone will not be reached.
        type: str
      send:
        description: A line to type on the serial console once the milestone is reached, such as a passphrase.
        type: str
  fail_patterns:
    description:
      - Regular expressions for text that ends the test with a failure while O(expect) or O(login) wait.
      - The default covers kernel panics, emergency shells of systemd, dracut and initramfs-tools, GRUB's rescue shell,
        refusals by Secure Boot, and firmware that finds nothing to boot.
    type: list
    elements: str
    default:
      - Kernel panic - not syncing
      - Press Enter for (?:maintenance|emergency)
      - Give root password for maintenance
      - You are in emergency mode
      - Entering emergency mode
      - 'dracut: FATAL:'
      - ^dracut:/#
      - '^\(initramfs\) '
      - ^grub rescue>
      - 'BdsDxe: No bootable option or device was found'
      - 'BdsDxe: failed to load .*: (?:Access Denied|Security Violation)'
      - 'Verification failed: \(0x1A\) Security Violation'
      - 'reboot: System halted'
  login:
    description:
      - Log in on the serial console after the last milestone.
    type: dict
    suboptions:
      user:
        description: Name of the account.
        type: str
        required: true
      password:
        description:
          - Its password. Leave it out for an account without one, or for a console that logs in by itself.
          - Ansible masks this text wherever it occurs in the results. So it must not be a common word, such as
            C(live).
        type: str
      password_prompt:
        description: Regular expression for the question for the password, for guests that do not ask in English.
        type: str
        default: '(?i)\bpassword(?: for \S+)?: ?'
      timeout:
        description: Seconds until a shell is ready.
        type: int
        default: 300
  commands:
    description:
      - Commands to run in the guest, one after the other, up to the first that fails.
      - Each is a string or a dictionary. A string stands for a dictionary with C(cmd) alone.
      - C(cmd) is run by C(sh) as the user of O(login), with nothing on its standard input. Without O(login), the
        console must come up with a shell.
      - C(timeout) is the number of seconds it may take (V(120) by default).
      - C(expect_rc) is the exit status that it must have (V(0) by default), unless C(check) is V(false).
      - All output crosses the serial line, so it should be short.
    type: list
    elements: raw
    default: []
  poweroff:
    description:
      - Ask the guest to power off at the end, by a command when a shell is there, then by the power button.
        With V(false), the power is cut.
    type: bool
    default: true
  shutdown_timeout:
    description:
      - Seconds to wait for the guest to power off before the power is cut. That is no failure; see RV(powered_off).
    type: int
    default: 120
  timeout:
    description:
      - Seconds for everything up to the shutdown. The shorter of this and the other limits counts.
    type: int
    default: 900
  console_log:
    description:
      - File on the build host for all that the console shows, byte by byte. It can be followed while the test runs.
      - By default only the text in RV(console) is kept.
    type: path
  progress_file:
    description:
      - File on the build host in which the module tells what the console shows while it runs.
      - Set by the action plugin of the module, which shows it live. There is no need to set it.
    type: path
  controller_processes:
    description:
      - Processes on this host, as V(pid:start time), with which the module ends.
      - Set by the action plugin when the build host is the controller itself. There is no need to set it.
    type: list
    elements: str
    default: []
notes:
  - Without KVM everything takes five to ten times as long. The default limits leave room for that.
  - The guest may not reboot. QEMU ends when it does, and unless that was waited for, the test fails.
seealso:
  - module: liveforge.images.live_iso
  - module: liveforge.images.live_iso_info
"""

EXAMPLES = r"""
- name: See that an ISO boots to a login prompt
  liveforge.images.live_boot:
    image: /srv/live/debian.iso

- name: See that it boots from a stick with Secure Boot, and that nothing failed
  liveforge.images.live_boot:
    image: /srv/live/debian.iso
    media: usb
    firmware: uefi_secure
    console_log: /srv/live/debian-secure-boot.log
    login:
      user: live
      password: "{{ live_test_password }}"
    commands:
      - cmd: systemctl is-system-running --wait
        timeout: 300
      - test "$(findmnt -no FSTYPE /)" = overlay
      - cmd: systemctl --failed --no-legend
        check: false
  register: booted

- name: Choose the second entry of the boot menu
  liveforge.images.live_boot:
    image: /srv/live/debian.iso
    menu_keys: [down, ret]
    expect:
      - name: medium checked
        pattern: The media check is complete
        fail: The media check.*FAIL
        timeout: 900

- name: Leave a file on the stick, then see that it is still there
  liveforge.images.live_boot:
    image: /srv/live/stick.img
    media: usb
    snapshot: false
    login:
      user: live
      password: "{{ live_test_password }}"
    commands:
      - "{{ item }}"
  loop:
    - echo kept >~/note && sync
    - grep kept ~/note

- name: Boot a kernel and initrd alone, with a shell instead of init
  liveforge.images.live_boot:
    kernel: /srv/live/vmlinuz
    initrd: /srv/live/initrd
    append: console=ttyS0 rdinit=/bin/sh
    expect: []
    commands:
      - cat /proc/cmdline
"""

RETURN = r"""
milestones:
  description:
    - Seconds from power on to each milestone, by the names in O(expect).
    - Also C(boot menu), when O(menu_keys) waited for O(menu_pattern), and C(shell), when O(login) was successful.
  returned: always
  type: dict
  sample:
    login prompt: 61.3
    shell: 70.2
commands:
  description: What became of the commands that were run.
  returned: always
  type: list
  elements: dict
  contains:
    cmd:
      description: The command.
      type: str
    rc:
      description: Its exit status.
      type: int
    stdout:
      description: Its output (standard output and standard error, in order) without the newlines at its end.
      type: str
    exact:
      description:
        - Whether the output arrived as the guest sent it, by its SHA-256 digest.
        - V(false) when the guest has no C(sha256sum), or other messages got between several times.
      type: bool
    seconds:
      description: How long it took.
      type: float
  sample:
    - cmd: findmnt -no FSTYPE /
      rc: 0
      stdout: overlay
      exact: true
      seconds: 0.41
console:
  description: Text of the serial console without control sequences, the last 200,000 characters of it.
  returned: always
  type: str
  sample: "live login: "
console_log:
  description: File with all that the console showed, if O(console_log) was set.
  returned: when kept
  type: str
  sample: /srv/live/debian-secure-boot.log
accelerator:
  description: What ran the guest's instructions, V(kvm) or V(tcg). In check mode, what was asked for.
  returned: always
  type: str
  sample: tcg
accelerator_reason:
  description: Why it was that one.
  returned: always
  type: str
  sample: This host has no /dev/kvm.
firmware:
  description: What started the machine.
  returned: always
  type: str
  sample: bios
qemu:
  description: What ran the machine.
  returned: always
  type: dict
  contains:
    version:
      description: What QEMU says of its version.
      type: str
    argv:
      description: The command line. File descriptors in it are those of the module.
      type: list
      elements: str
  sample:
    version: QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)
    argv: [/usr/bin/qemu-system-x86_64, -nodefaults]
duration:
  description: Seconds from power on until QEMU was gone.
  returned: always
  type: float
  sample: 84.6
shutdown:
  description: Seconds from the request to power off until the machine was off, or V(null) when there was no request.
  returned: always
  type: float
  sample: 6.2
powered_off:
  description: Whether the guest turned the machine off itself.
  returned: always
  type: bool
  sample: true
msg:
  description: What was done, or what went wrong and the last lines of the console.
  returned: always
  type: str
  sample: Booted /srv/live/debian.iso as cdrom with bios firmware under tcg in 84.6 s.
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.liveforge.images.plugins.module_utils._qemu.boot_module import run_boot_module
from ansible_collections.liveforge.images.plugins.module_utils._qemu.boot_plan import (
    DEFAULT_FAIL_PATTERNS,
    DEFAULT_LOGIN_SECONDS,
    DEFAULT_MENU_PATTERN,
    DEFAULT_MILESTONE_SECONDS,
)
from ansible_collections.liveforge.images.plugins.module_utils._serial.login import PASSWORD_PROMPT

DISKS = {
    "path": {"type": "path", "required": True},
    "format": {"type": "str", "choices": ["raw", "qcow2"], "default": "raw"},
    "interface": {"type": "str", "choices": ["virtio", "usb", "nvme", "sata"], "default": "virtio"},
    "serial": {"type": "str"},
    "readonly": {"type": "bool", "default": False},
    "snapshot": {"type": "bool", "default": True},
}
EXPECT = {
    "pattern": {"type": "str", "required": True},
    "name": {"type": "str"},
    "timeout": {"type": "int", "default": DEFAULT_MILESTONE_SECONDS},
    "fail": {"type": "str"},
    "send": {"type": "str"},
}
LOGIN = {
    "user": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "password_prompt": {"type": "str", "default": PASSWORD_PROMPT, "no_log": False},
    "timeout": {"type": "int", "default": DEFAULT_LOGIN_SECONDS},
}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "path"},
            "media": {"type": "str", "choices": ["cdrom", "usb", "disk"], "default": "cdrom"},
            "snapshot": {"type": "bool", "default": True},
            "disks": {"type": "list", "elements": "dict", "default": [], "options": DISKS},
            "firmware": {"type": "str", "choices": ["bios", "uefi", "uefi_secure"], "default": "bios"},
            "kernel": {"type": "path"},
            "initrd": {"type": "path"},
            "append": {"type": "str"},
            "memory": {"type": "int", "default": 2048},
            "cpus": {"type": "int", "default": 2},
            "accelerator": {"type": "str", "choices": ["auto", "kvm", "tcg"], "default": "auto"},
            "machine": {"type": "str", "default": "q35"},
            "network": {"type": "str", "choices": ["none", "user"], "default": "none"},
            "network_restricted": {"type": "bool", "default": False},
            "network_hostfwd": {"type": "list", "elements": "str", "default": []},
            "qemu_args": {"type": "list", "elements": "str", "default": []},
            "menu_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "menu_via": {"type": "str", "choices": ["keyboard", "serial"], "default": "keyboard"},
            "menu_pattern": {"type": "str", "default": DEFAULT_MENU_PATTERN},
            "menu_delay": {"type": "float", "default": 0.5},
            "menu_timeout": {"type": "int", "default": 120},
            "expect": {"type": "list", "elements": "dict", "options": EXPECT},
            "fail_patterns": {"type": "list", "elements": "str", "default": list(DEFAULT_FAIL_PATTERNS)},
            "login": {"type": "dict", "options": LOGIN},
            "commands": {"type": "list", "elements": "raw", "default": []},
            "poweroff": {"type": "bool", "default": True},
            "shutdown_timeout": {"type": "int", "default": 120},
            "timeout": {"type": "int", "default": 900},
            "console_log": {"type": "path"},
            "progress_file": {"type": "path"},
            "controller_processes": {"type": "list", "elements": "str", "default": []},
        },
        required_one_of=[["image", "kernel"]],
        required_by={"initrd": "kernel", "append": "kernel"},
        supports_check_mode=True,
    )
    run_boot_module(module)


if __name__ == "__main__":
    main()

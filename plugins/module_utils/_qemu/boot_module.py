# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Between the options of the module live_boot and the boot. Private to this collection."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import find_tool
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._progress import Progress
from ansible_collections.liveforge.images.plugins.module_utils._qemu.accelerator import Accelerator, choose_accelerator
from ansible_collections.liveforge.images.plugins.module_utils._qemu.boot import BootReport, boot
from ansible_collections.liveforge.images.plugins.module_utils._qemu.boot_plan import BootPlan, plan_from_options
from ansible_collections.liveforge.images.plugins.module_utils._qemu.firmware import find_firmware, with_own_variables
from ansible_collections.liveforge.images.plugins.module_utils._qemu.machine import (
    PROGRAM,
    Drive,
    Machine,
    Network,
)
from ansible_collections.liveforge.images.plugins.module_utils._qemu.process import termination_cleans_up, version_of
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import end_with

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def run_boot_module(module: AnsibleModule) -> t.NoReturn:
    """Do what the module's options say, and end the module."""
    options = module.params
    end_with(options["controller_processes"])
    progress = Progress(None if module.check_mode else options["progress_file"], "live_boot")
    try:
        plan = plan_from_options(options)
        machine = machine_from_options(options)
        program = find_tool(PROGRAM)
        version = version_of(program)
        if module.check_mode:
            accelerator = Accelerator(options["accelerator"], "Check mode probes nothing.")
        else:
            accelerator = choose_accelerator(options["accelerator"], program, version)
    except StageError as problem:
        module.fail_json(msg=problem.message, **problem.details)
    machine = dataclasses.replace(machine, accelerator=accelerator.name)
    report = BootReport()
    problem_message = None
    if not module.check_mode:
        # Its first line may take the machine long.
        progress.step("switching the machine on")
        try:
            problem_message = _boot(program, machine, plan, options, module.tmpdir, report, progress)
        finally:
            progress.close()
    result = {
        "changed": any(drive.is_written for drive in machine.all_drives),
        "accelerator": accelerator.name,
        "accelerator_reason": accelerator.reason,
        "firmware": machine.firmware.name,
        "qemu": {"version": version, "argv": report.argv},
        **{name: value for name, value in dataclasses.asdict(report).items() if name != "argv"},
    }
    if options["console_log"] and not module.check_mode:
        result["console_log"] = options["console_log"]
    if problem_message:
        module.fail_json(msg=problem_message, **result)
    what = f"{options['image'] or options['kernel']} ({_description(machine, options)})"
    if module.check_mode:
        module.exit_json(msg=f"Would boot {what}.", **result)
    module.exit_json(msg=f"Booted {what} in {report.duration:.0f} s.", **result)


def machine_from_options(options: t.Mapping[str, t.Any]) -> Machine:
    """The machine that the options of live_boot describe; its accelerator is still to be chosen.

    Raises:
        StageError: naming the option at fault.
    """
    for option in ("image", "kernel", "initrd"):
        _require_file(option, options[option])
    if options["network"] == "none" and (options["network_hostfwd"] or options["network_restricted"]):
        raise StageError("network_hostfwd and network_restricted need network=user.")
    if options["firmware"] == "uefi_secure" and "q35" not in options["machine"]:
        raise StageError(f"firmware=uefi_secure needs machine=q35, not {options['machine']}: only that has SMM.")
    if options["console_log"] and not os.path.isdir(os.path.dirname(options["console_log"]) or "."):
        raise StageError(f"console_log: there is no folder {os.path.dirname(options['console_log'])}. Create it first.")
    user_network = Network(options["network_restricted"], tuple(options["network_hostfwd"]))
    return Machine(
        accelerator=options["accelerator"],
        machine_type=options["machine"],
        memory=options["memory"],
        cpus=options["cpus"],
        firmware=find_firmware(options["firmware"], options["machine"]),
        boot_drive=_boot_drive(options),
        drives=tuple(_disk(number, given) for number, given in enumerate(options["disks"])),
        kernel=options["kernel"],
        initrd=options["initrd"],
        append=options["append"],
        network=user_network if options["network"] == "user" else None,
        extra_arguments=tuple(options["qemu_args"]),
    )


def _boot(
    program: str,
    machine: Machine,
    plan: BootPlan,
    options: t.Mapping[str, t.Any],
    base: str,
    report: BootReport,
    progress: Progress,
) -> str | None:
    """Boot with everything temporary below ``base``; the message of the failure, if it is one."""
    kept_log = options["console_log"]
    with termination_cleans_up(), tempfile.TemporaryDirectory(prefix="boot-", dir=base) as folder:
        machine = dataclasses.replace(machine, firmware=with_own_variables(machine.firmware, folder))
        try:
            boot(program, machine, plan, folder, kept_log or os.path.join(folder, "console.log"), report, progress)
        except StageError as problem:
            where = f"The whole console is in {kept_log}." if kept_log else "Set console_log to keep the whole console."
            return f"{problem.message}\n{where}"
    return None


def _boot_drive(options: t.Mapping[str, t.Any]) -> Drive | None:
    path = options["image"]
    if path is None:
        return None
    if options["media"] == "cdrom":
        return Drive(path, interface="cdrom", readonly=True)
    interface = "usb" if options["media"] == "usb" else "virtio"
    return Drive(path, image_format(path), interface, snapshot=options["snapshot"])


def image_format(path: str) -> t.Literal["raw", "qcow2"]:
    """By the name. The content of a raw disk is what its guest wrote, which may name files of this host as its own."""
    if path.endswith(".qcow2"):
        return "qcow2"
    with open(path, "rb") as stream:
        # QEMU's docs/interop/qcow2.txt
        if stream.read(4) == b"QFI\xfb":
            raise StageError(
                f"image: {path} begins like a qcow2 image, but is not named so. Call it NAME.qcow2 if it is one."
            )
    return "raw"


def _disk(number: int, given: t.Mapping[str, t.Any]) -> Drive:
    _require_file(f"disks[{number}].path", given["path"])
    if given["interface"] == "sata" and given["readonly"]:
        raise StageError(f"disks[{number}]: QEMU has no read-only SATA disks. Choose another interface.")
    return Drive(
        given["path"], given["format"], given["interface"], given["serial"], given["readonly"], given["snapshot"]
    )


def _require_file(option: str, path: str | None) -> None:
    if path is None:
        return
    if not os.path.exists(path):
        raise StageError(f"{option}: {path} does not exist on this host. Build or copy it first.")
    if os.path.isdir(path) or not os.access(path, os.R_OK):
        raise StageError(f"{option}: {path} must be a file that the user of this task can read.")


def _description(machine: Machine, options: t.Mapping[str, t.Any]) -> str:
    media = "kernel" if machine.kernel else options["media"]
    return f"{media}, {machine.firmware.name}, {machine.accelerator}"

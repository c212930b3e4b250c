# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual machine of a boot test and the QEMU command line that makes it. Private to this collection.

Nothing here starts or opens anything: a :class:`Machine` goes in, a list of arguments comes out. What the options mean
is in qemu(1) and in "Device Emulation" (https://www.qemu.org/docs/master/system/device-emulation.html).
"""

from __future__ import annotations

import dataclasses

PROGRAM = "qemu-system-x86_64"

# Port at which SeaBIOS writes what it does (its manual: "Debugging", CONFIG_DEBUG_IO).
_SEABIOS_DEBUG_PORT = 0x402


@dataclasses.dataclass(frozen=True)
class Drive:
    """A disk or CD image.

    Attributes:
        path: the image file.
        image_format: V(raw) or V(qcow2).
        interface: what it is attached to: cdrom (SATA), virtio, usb, nvme or sata.
        serial: serial number that the guest sees, or None for QEMU's choice.
        readonly: the guest cannot write.
        snapshot: the guest can write, and QEMU forgets it.
    """

    path: str
    image_format: str = "raw"
    interface: str = "virtio"
    serial: str | None = None
    readonly: bool = False
    snapshot: bool = True

    @property
    def is_written(self) -> bool:
        """Whether a boot may change the image file."""
        return self.interface != "cdrom" and not self.readonly and not self.snapshot


@dataclasses.dataclass(frozen=True)
class Firmware:
    """UEFI firmware in two flash images; both None is the BIOS that QEMU has of its own.

    Attributes:
        name: bios, uefi or uefi_secure.
        code: flash image of the program, never written.
        variables: flash image of this machine's own UEFI variables.
        image_format: of both, raw or qcow2.
        needs_smm: only code in system management mode may write the variables.
    """

    name: str = "bios"
    code: str | None = None
    variables: str | None = None
    image_format: str = "raw"
    needs_smm: bool = False


@dataclasses.dataclass(frozen=True)
class Network:
    """QEMU's user-mode network: DHCP, the host as 10.0.2.2, no privileges needed.

    Attributes:
        restricted: the guest reaches neither the host nor what lies beyond.
        hostfwd: forwarded ports in QEMU's syntax, such as ``tcp:127.0.0.1:2222-:22``.
    """

    restricted: bool = False
    hostfwd: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Machine:
    """Everything that makes up the virtual machine.

    Attributes:
        accelerator: kvm or tcg.
        machine_type: QEMU machine, such as q35 or pc.
        memory: MiB.
        cpus: number of virtual processors.
        boot_drive: what the firmware boots; None with a kernel alone.
        drives: further drives, in order.
        kernel: booted directly, without firmware boot loader.
        initrd: loaded with ``kernel``.
        append: kernel parameters of ``kernel``.
        network: None for a machine without network.
        extra_arguments: added to the command line as they are.
    """

    accelerator: str
    machine_type: str = "q35"
    memory: int = 2048
    cpus: int = 2
    firmware: Firmware = Firmware()
    boot_drive: Drive | None = None
    drives: tuple[Drive, ...] = ()
    kernel: str | None = None
    initrd: str | None = None
    append: str | None = None
    network: Network | None = None
    extra_arguments: tuple[str, ...] = ()

    @property
    def all_drives(self) -> tuple[Drive, ...]:
        """The boot drive, if any, and the further ones."""
        return ((self.boot_drive,) if self.boot_drive else ()) + self.drives


@dataclasses.dataclass(frozen=True)
class Channels:
    """How the test talks with the machine: inherited file descriptors, so that there is no socket file to clean up.

    Attributes:
        serial_fd: connected socket for the first serial port.
        qmp_fd: connected socket for the QEMU Machine Protocol.
        firmware_log: file for the debug output of SeaBIOS.
    """

    serial_fd: int
    qmp_fd: int
    firmware_log: str


def command_line(program: str, machine: Machine, channels: Channels) -> list[str]:
    """The whole QEMU command. The machine starts paused, to be started through QMP."""
    argv = [program, "-name", "liveforge-boot-test", "-nodefaults", "-no-user-config", "-display", "none", "-S"]
    # A guest that resets would boot for ever: QEMU ends instead, and QMP tells why.
    argv += ["-no-reboot", "-boot", "strict=on"]
    argv += _processor(machine)
    argv += ["-m", str(machine.memory), "-smp", str(machine.cpus)]
    argv += _flash(machine.firmware)
    # A display adapter although nobody looks: boot loaders with a graphical menu fail without. A kernel alone needs
    # none, and setting up its frame buffer can take an emulated machine half a minute.
    argv += ["-vga", "none" if machine.kernel else "std", "-device", "virtio-rng-pci"]
    argv += ["-chardev", f"socket,id=serial,fd={channels.serial_fd}", "-serial", "chardev:serial"]
    argv += ["-chardev", f"socket,id=qmp,fd={channels.qmp_fd}", "-mon", "chardev=qmp,mode=control"]
    if machine.firmware.code is None:
        argv += ["-chardev", f"file,id=firmware,path={_escape(channels.firmware_log)}"]
        argv += ["-device", f"isa-debugcon,iobase={_SEABIOS_DEBUG_PORT:#x},chardev=firmware"]
    argv += _storage(machine)
    argv += _network(machine.network)
    argv += _kernel(machine)
    return [*argv, *machine.extra_arguments]


def _processor(machine: Machine) -> list[str]:
    machine_type = machine.machine_type + (",smm=on" if machine.firmware.needs_smm else "")
    if machine.accelerator == "kvm":
        return ["-machine", machine_type, "-accel", "kvm", "-cpu", "host"]
    # A kernel that is told of fast string operations clears its pages with "rep stosb", which TCG emulates byte by
    # byte: boots then take two to three times as long, and end in soft lockups on busy hosts.
    return ["-machine", machine_type, "-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm"]


def _flash(firmware: Firmware) -> list[str]:
    if firmware.code is None or firmware.variables is None:
        return []
    argv = []
    if firmware.needs_smm:
        argv += ["-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1"]
    flash = f"if=pflash,format={firmware.image_format}"
    argv += ["-drive", f"{flash},unit=0,readonly=on,file={_escape(firmware.code)}"]
    return [*argv, "-drive", f"{flash},unit=1,file={_escape(firmware.variables)}"]


def _storage(machine: Machine) -> list[str]:
    argv = []
    interfaces = {drive.interface for drive in machine.all_drives}
    if "usb" in interfaces:
        argv += ["-device", "qemu-xhci,id=xhci"]
    # q35 has a SATA controller; its ports are the buses ide.0 to ide.5.
    sata_bus = "ide"
    if interfaces & {"cdrom", "sata"} and "q35" not in machine.machine_type:
        argv += ["-device", "ich9-ahci,id=ahci"]
        sata_bus = "ahci"
    sata_port = 0
    for number, drive in enumerate(machine.all_drives):
        name = f"drive{number}"
        argv += ["-drive", _backend(drive, name)]
        device = _frontend(drive, name, f"{sata_bus}.{sata_port}")
        if drive.interface in ("cdrom", "sata"):
            sata_port += 1
        if number == 0 and machine.boot_drive and machine.kernel is None:
            device += ",bootindex=0"
        argv += ["-device", device]
    return argv


def _backend(drive: Drive, name: str) -> str:
    backend = f"if=none,id={name},format={drive.image_format},file={_escape(drive.path)}"
    if drive.interface == "cdrom":
        return backend + ",media=cdrom,readonly=on"
    if drive.readonly:
        return backend + ",readonly=on"
    return backend + (",snapshot=on" if drive.snapshot else "")


def _frontend(drive: Drive, name: str, sata_bus: str) -> str:
    device = {
        "cdrom": f"ide-cd,bus={sata_bus}",
        "sata": f"ide-hd,bus={sata_bus}",
        "virtio": "virtio-blk-pci",
        "usb": "usb-storage,bus=xhci.0,removable=on",
        "nvme": "nvme",
    }[drive.interface]
    # An NVMe controller does not start without a serial number.
    serial = drive.serial or (name if drive.interface == "nvme" else None)
    return f"{device},drive={name}" + (f",serial={_escape(serial)}" if serial else "")


def _network(network: Network | None) -> list[str]:
    if network is None:
        return []
    netdev = f"user,id=network,restrict={'on' if network.restricted else 'off'}"
    netdev += "".join(f",hostfwd={_escape(rule)}" for rule in network.hostfwd)
    # No option ROM: a failed boot must not go on to wait for a PXE server.
    return ["-netdev", netdev, "-device", "virtio-net-pci,netdev=network,romfile="]


def _kernel(machine: Machine) -> list[str]:
    argv: list[str] = []
    for option, value in (("-kernel", machine.kernel), ("-initrd", machine.initrd), ("-append", machine.append)):
        if value is not None:
            argv += [option, value]
    return argv


def _escape(value: str) -> str:
    """A value inside a comma separated option: qemu(1) wants a comma doubled."""
    return value.replace(",", ",,")

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chooses between KVM and emulation by running something under KVM. Private to this collection.

That /dev/kvm exists and opens proves little: inside some virtual machines QEMU then aborts, or the guest never gets
far. So a boot sector of our own must do its work first. The verdict is remembered until the host boots or QEMU changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import stat
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._command import killed_with_us
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

KVM_DEVICE = "/dev/kvm"

# A working KVM needs about half a second for firmware and sector.
PROBE_SECONDS = 5.0
# A host that was merely overloaded gets another chance; one that hangs pays PROBE_SECONDS once an hour.
_FAILURE_REMEMBERED_SECONDS = 3600

_LONGEST_QUOTE = 300

# Exit status of QEMU when a guest writes 0x31 to the port of isa-debug-exit: (value << 1) | 1.
_DONE_STATUS = 0x31 << 1 | 1

# x86 machine code, loaded by the BIOS at 0x7c00. Real mode alone is no proof (seen: it works, and the kernel hangs
# after it), so it goes on to long mode with paging, computes for a moment, and reports.
_BOOT_CODE = bytes.fromhex(
    "fa"  # cli
    "31c0"  # xor ax,ax
    "8ed8 8ec0 8ed0"  # mov ds,ax; mov es,ax; mov ss,ax
    "bc007c"  # mov sp,0x7c00
    # Page tables at 0x1000, 0x2000 and 0x3000: the first 2 MiB map to themselves.
    "bf0010 b90018 fc f3ab"  # mov di,0x1000; mov cx,0x1800; cld; rep stosw
    "c70600100320"  # mov word [0x1000],0x2003   present, writable
    "c70600200330"  # mov word [0x2000],0x3003
    "c70600308300"  # mov word [0x3000],0x0083   present, writable, large page
    "0f0116887c"  # lgdt [0x7c88]
    "0f20e0 0c20 0f22e0"  # mov eax,cr4; or al,0x20; mov cr4,eax   physical address extension
    "66b800100000 0f22d8"  # mov eax,0x1000; mov cr3,eax
    "66b9800000c0 0f32 80cc01 0f30"  # mov ecx,0xc0000080; rdmsr; or ah,1; wrmsr   EFER.LME
    "0f20c0 660d01000080 0f22c0"  # mov eax,cr0; or eax,0x80000001; mov cr0,eax   protection, paging
    "ea5b7c0800"  # jmp 0x08:0x7c5b
    # From here (0x7c5b) on 64-bit code.
    "b900e1f505 e2fe"  # mov ecx,100000000; loop $
    "66baf803 b04b ee"  # mov dx,0x3f8; mov al,'K'; out dx,al   first serial port
    "66baf400 b031 ee"  # mov dx,0xf4; mov al,0x31; out dx,al   isa-debug-exit
    "f4 ebfd"  # hlt; jmp to hlt
)
_TABLES_AT = 0x78
_TABLES = bytes.fromhex(
    "0000000000000000"  # 0x7c78: null descriptor
    "00000000009a2000"  # 0x7c80: 64-bit code segment
    "0f00 787c0000"  # 0x7c88: limit and address of this table
)


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """What runs the guest's instructions: ``name`` is kvm or tcg, ``reason`` a sentence."""

    name: str
    reason: str


def choose_accelerator(wanted: str, program: str, version: str) -> Accelerator:
    """Decide what V(auto) means here, or check that what was asked for can be had.

    Args:
        wanted: auto, kvm or tcg.
        program: path of QEMU.
        version: what ``program`` says of its version; a new one is probed anew.

    Raises:
        StageError: KVM was asked for and its device cannot be used.
    """
    if wanted == "tcg":
        return Accelerator("tcg", "accelerator=tcg was asked for.")
    obstacle = _device_obstacle()
    if wanted == "kvm":
        if obstacle:
            raise StageError(f"accelerator=kvm cannot be had: {obstacle} Use accelerator=auto or tcg.")
        return Accelerator("kvm", "accelerator=kvm was asked for; KVM was not probed.")
    if obstacle:
        return Accelerator("tcg", obstacle)
    verdict = _remembered(version)
    if verdict is None:
        verdict = probe(program)
        _remember(version, verdict)
    return verdict


def probe(program: str, accelerator: str = "kvm", seconds: float = PROBE_SECONDS) -> Accelerator:
    """Boot the sector; ``accelerator=tcg`` is for the test that the sector itself is right."""
    cpu = "host" if accelerator == "kvm" else "max"
    # A disk in memory only: nothing of it can be left behind.
    with open(os.memfd_create("liveforge-probe"), "wb") as disk:
        disk.write(boot_sector())
        disk.truncate(1024 * 1024)
        argv = [program, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "32"]
        argv += ["-name", "liveforge-probe", "-accel", accelerator, "-cpu", cpu, "-serial", "stdio"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        argv += ["-drive", f"if=none,id=disk,format=raw,readonly=on,file=/proc/self/fd/{disk.fileno()}"]
        argv += ["-device", "virtio-blk-pci,drive=disk,bootindex=0"]
        started = time.monotonic()
        status, output, errors = _run_briefly(killed_with_us(argv), seconds, disk.fileno())
        took = time.monotonic() - started
    if status == _DONE_STATUS and output.endswith(b"K"):
        return Accelerator(accelerator, f"A probe under {accelerator.upper()} ran to its end in {took:.1f} s.")
    if status is None:
        return Accelerator("tcg", f"A probe under {accelerator.upper()} did not end within {seconds:g} s.")
    said = " / ".join(errors.decode("utf-8", "replace").strip().splitlines())[:_LONGEST_QUOTE] or "nothing"
    return Accelerator("tcg", f"A probe under {accelerator.upper()} failed with status {status}. QEMU said: {said}")


def boot_sector() -> bytes:
    """The 512 bytes that the BIOS loads: code, tables, signature."""
    return _BOOT_CODE.ljust(_TABLES_AT, b"\x90") + _TABLES.ljust(510 - _TABLES_AT, b"\0") + b"\x55\xaa"


def _run_briefly(argv: list[str], seconds: float, inherited: int) -> tuple[int | None, bytes, bytes]:
    """Exit status (None when it had to be killed), standard output and standard error."""
    # QEMU may abort where KVM is broken: no core file for that.
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))
    try:
        process = subprocess.Popen(
            argv,
            pass_fds=(inherited,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, limits)
    with process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None, b"", b""
        finally:
            process.kill()
    return process.returncode, output, errors


def _device_obstacle() -> str | None:
    if not os.path.exists(KVM_DEVICE):
        return f"This host has no {KVM_DEVICE}."
    try:
        os.close(os.open(KVM_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as problem:
        return f"{KVM_DEVICE} cannot be opened: {problem.strerror}."
    return None


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


def _memory_folder() -> str:
    runtime = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    if os.access(runtime, os.W_OK | os.X_OK):
        return os.path.join(runtime, "liveforge")
    return f"/var/tmp/liveforge-{os.geteuid()}"


def _remembered(version: str) -> Accelerator | None:
    folder = _memory_folder()
    try:
        if not _is_ours_alone(folder):
            return None
        with open(os.path.join(folder, "kvm.json"), encoding="utf-8") as stream:
            found = json.load(stream)
        if found["boot_id"] != _boot_id() or found["version"] != version:
            return None
        if found["name"] != "kvm" and not 0 <= time.time() - found["time"] < _FAILURE_REMEMBERED_SECONDS:
            return None
        return Accelerator(str(found["name"]), f"{found['reason']} (Remembered.)")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(version: str, verdict: Accelerator) -> None:
    """Store the verdict; a host on which that is impossible just probes again."""
    folder = _memory_folder()
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        # The folder below /var/tmp has a name that others can guess and make first.
        if not _is_ours_alone(folder):
            return
        memory: dict[str, t.Any] = {**dataclasses.asdict(verdict), "boot_id": _boot_id(), "version": version}
        handle, partial = tempfile.mkstemp(dir=folder)
        try:
            with open(handle, "w", encoding="utf-8") as stream:
                json.dump({**memory, "time": time.time()}, stream)
            os.replace(partial, os.path.join(folder, "kvm.json"))
        except BaseException:
            os.unlink(partial)
            raise


def _is_ours_alone(folder: str) -> bool:
    status = os.lstat(folder)
    writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not writable_by_others

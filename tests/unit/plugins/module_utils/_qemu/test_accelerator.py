# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The KVM probe, with a real QEMU, and the memory of its verdict."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._qemu import accelerator
from ansible_collections.liveforge.images.plugins.module_utils._qemu.accelerator import (
    boot_sector,
    choose_accelerator,
    probe,
)


@pytest.fixture
def qemu() -> str:
    program = shutil.which("qemu-system-x86_64")
    assert program, "qemu-system-x86_64 is missing"
    return program


@pytest.fixture
def memory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder of our own for verdicts, and a KVM device that can be opened whatever this host has."""
    folder = tmp_path / "memory"
    monkeypatch.setattr(accelerator, "_memory_folder", lambda: str(folder))
    monkeypatch.setattr(accelerator, "KVM_DEVICE", os.devnull)
    return folder


def fake_qemu(tmp_path: pathlib.Path, script: str) -> str:
    """A program in place of QEMU, for hosts' failures that this host does not have. It counts its runs."""
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\necho >>{tmp_path}/runs\n{script}\n")
    program.chmod(0o755)
    return str(program)


def runs(tmp_path: pathlib.Path) -> int:
    return (tmp_path / "runs").read_text().count("\n")


def test_boot_sector() -> None:
    assert len(boot_sector()) == 512
    assert boot_sector()[510:] == b"\x55\xaa"


def test_the_sector_does_its_work(qemu: str) -> None:
    """Emulation can run it on every host, so a failure under KVM is KVM's."""
    verdict = probe(qemu, "tcg", 60)
    assert verdict.name == "tcg"
    assert "ran to its end" in verdict.reason


def test_a_sector_that_stops_half_way_is_no_success(qemu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jump_to_itself = bytes.fromhex("ebfe")
    code = boot_sector()
    monkeypatch.setattr(accelerator, "boot_sector", lambda: code[:0x5B] + jump_to_itself + code[0x5D:])
    assert "did not end within 2 s" in probe(qemu, "tcg", 2).reason


def test_probe_leaves_nothing_behind(qemu: str) -> None:
    verdict = probe(qemu)
    assert verdict.name in ("kvm", "tcg") and "A probe under KVM" in verdict.reason
    # Only children of ours: other tests may probe on this host at the same time.
    command = ["pgrep", "--parent", str(os.getpid()), "-f", "liveforge-probe"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1, "a probe is still running"


def test_hanging_guest(tmp_path: pathlib.Path) -> None:
    verdict = probe(fake_qemu(tmp_path, "printf K; sleep 100"), seconds=1)
    assert (verdict.name, verdict.reason) == ("tcg", "A probe under KVM did not end within 1 s.")


def test_aborting_qemu(tmp_path: pathlib.Path) -> None:
    verdict = probe(fake_qemu(tmp_path, "echo 'failed to set MSR' >&2; kill -ABRT $$"))
    assert verdict.name == "tcg"
    assert "status -6. QEMU said: failed to set MSR" in verdict.reason


def test_verdict_is_remembered(tmp_path: pathlib.Path, memory: pathlib.Path) -> None:
    program = fake_qemu(tmp_path, "printf K; exit 99")
    first, second = (choose_accelerator("auto", program, "QEMU 1") for dummy in range(2))
    assert first.name == second.name == "kvm"
    assert second.reason == f"{first.reason} (Remembered.)"
    assert runs(tmp_path) == 1
    assert memory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("change", [{"boot_id": "another"}, {"version": "QEMU 2"}, {"name": "tcg", "time": 1}])
def test_stale_verdict_is_not_used(tmp_path: pathlib.Path, memory: pathlib.Path, change: dict[str, object]) -> None:
    program = fake_qemu(tmp_path, "printf K; exit 99")
    choose_accelerator("auto", program, "QEMU 1")
    stored = json.loads((memory / "kvm.json").read_text())
    (memory / "kvm.json").write_text(json.dumps({**stored, **change}))
    assert choose_accelerator("auto", program, "QEMU 1").name == "kvm"
    assert runs(tmp_path) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"boot_id": 1}', "\0\0"])
def test_broken_memory_is_no_error(tmp_path: pathlib.Path, memory: pathlib.Path, content: str) -> None:
    memory.mkdir(mode=0o700)
    (memory / "kvm.json").write_text(content)
    assert choose_accelerator("auto", fake_qemu(tmp_path, "printf K; exit 99"), "QEMU 1").name == "kvm"


def test_folder_that_others_can_write_is_not_trusted(tmp_path: pathlib.Path, memory: pathlib.Path) -> None:
    program = fake_qemu(tmp_path, "printf K; exit 99")
    choose_accelerator("auto", program, "QEMU 1")
    memory.chmod(0o777)
    choose_accelerator("auto", program, "QEMU 1")
    assert runs(tmp_path) == 2


def test_what_is_asked_for_is_not_probed(tmp_path: pathlib.Path, memory: pathlib.Path) -> None:
    assert choose_accelerator("kvm", "/no/such/program", "QEMU 1").name == "kvm"
    assert choose_accelerator("tcg", "/no/such/program", "QEMU 1").name == "tcg"


def test_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "KVM_DEVICE", "/no/such/device")
    verdict = choose_accelerator("auto", "/no/such/program", "QEMU 1")
    assert (verdict.name, verdict.reason) == ("tcg", "This host has no /no/such/device.")
    with pytest.raises(StageError, match="accelerator=kvm cannot be had"):
        choose_accelerator("kvm", "/no/such/program", "QEMU 1")

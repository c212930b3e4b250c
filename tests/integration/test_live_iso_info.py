# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live_iso_info with real ISOs: ours, others', damaged ones, and none at all."""

from __future__ import annotations

import hashlib
import os
import pathlib
import random
import subprocess
import typing as t

import pytest

import playbook

EPOCH = 1700000000


def info(path: str | pathlib.Path, folder: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    return playbook.module("live_iso_info", {"path": str(path), **options}, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Inputs of an ISO: any bytes as a kernel, and a real squashfs."""
    place = tmp_path_factory.mktemp("iso")
    (place / "boot").mkdir()
    (place / "tree" / "usr").mkdir(parents=True)
    for name in ("linux", "initrd"):
        (place / "boot" / name).write_bytes(random.Random(name).randbytes(200_000))
    (place / "tree" / "usr" / "data").write_bytes(random.Random(1).randbytes(300_000))
    command = ["mksquashfs", place / "tree", place / "root.squashfs", "-noappend", "-quiet", "-no-progress"]
    subprocess.run([*command, "-comp", "xz", "-b", "256K"], check=True, stdout=subprocess.DEVNULL)
    return place


@pytest.fixture(scope="module")
def iso(folder: pathlib.Path) -> dict[str, t.Any]:
    """What live_iso returned for an ISO with most of its features."""
    return playbook.module(
        "live_iso",
        {
            "dest": str(folder / "live.iso"),
            "boot": str(folder / "boot"),
            "squashfs": str(folder / "root.squashfs"),
            "source_date_epoch": EPOCH,
            "volid": "Kiosk_1.0",
            "title": "Kiosk",
            "publisher": "LIVEFORGE TESTS",
            "application_id": "KIOSK",
            "mediacheck": True,
            "hybridpersistent": True,
            "kernelcmdline": "console=ttyS0",
        },
        folder,
    )


def test_what_it_says_of_our_iso(iso: dict[str, t.Any], folder: pathlib.Path) -> None:
    result = info(iso["path"], folder)
    found = result["iso"]
    assert result["changed"] is False
    assert (found["size"], found["volume_size"]) == (iso["size"], iso["size"])
    assert (found["volume_id"], found["application_id"], found["publisher"], found["preparer"]) == (
        *("Kiosk_1.0", "KIOSK", "LIVEFORGE TESTS", "LIVEFORGE.IMAGES"),
    )
    assert found["created"] == found["modified"] == "2023-11-14T22:13:20Z"
    assert (found["rock_ridge"], found["joliet"]) == (True, True)
    assert [entry["platform"] for entry in found["el_torito"]] == ["bios", "efi"]
    assert all(entry["bootable"] and entry["emulation"] == 0 for entry in found["el_torito"])
    table = found["partition_table"]
    assert (table["type"], table["hybrid"], table["problems"]) == ("gpt", True, [])
    first, second = table["partitions"]
    assert (first["number"], first["start"], first["flags"]) == (1, 32768, ["required", "read-only"])
    # The EFI partition and the EFI boot entry are the same bytes.
    assert second["start"] == found["el_torito"][1]["start"]
    assert second["size"] == found["el_torito"][1]["load_sectors"] * 512
    assert found["menu_file"] == "boot/grub/grub.cfg"
    started = [{name: entry[name] for name in ("id", "title", "kernel_command_line")} for entry in found["menu"][:-1]]
    assert started == iso["menu"]
    assert [entry["id"] for entry in found["loopback_menu"]] == [entry["id"] for entry in iso["menu"]]
    size = os.path.getsize(folder / "root.squashfs")
    assert found["live"] == [
        {"path": "LiveOS/squashfs.img", "size": size, "type": "squashfs", "compression": "xz", "block_size": 262144}
    ]
    assert found["kernel"] == {"path": "boot/x86_64/loader/linux", "size": 200_000}
    assert found["initrd"] == {"path": "boot/x86_64/loader/initrd", "size": 200_000}
    loaders = {(entry["firmware"], entry.get("medium", entry["name"])) for entry in found["boot_loaders"]}
    assert loaders == {
        *(("bios", "cd"), ("bios", "disk"), ("efi", "BOOTX64.EFI"), ("efi", "grubx64.efi"), ("efi", "mmx64.efi")),
    }
    assert (found["media_check"]["kind"], found["media_check"]["status"]) == ("isomd5sum", "unchecked")
    assert "sha256" not in found


def test_digests(iso: dict[str, t.Any], folder: pathlib.Path) -> None:
    found = info(iso["path"], folder, digests=True)["iso"]
    assert found["sha256"] == iso["sha256"]
    for entry, source in (
        (found["kernel"], "boot/linux"),
        (found["initrd"], "boot/initrd"),
        (found["live"][0], "root.squashfs"),
    ):
        assert entry["sha256"] == hashlib.sha256((folder / source).read_bytes()).hexdigest()
    assert found["media_check"]["status"] == "intact"


def test_media_check_agrees_with_checkisomd5(iso: dict[str, t.Any], folder: pathlib.Path) -> None:
    data = bytearray(pathlib.Path(iso["path"]).read_bytes())
    # In the last 15 blocks a change is not noticed, just as by checkisomd5.
    for place, status in ((len(data) // 2, "damaged"), (100, "damaged"), (len(data) - 29000, "intact")):
        damaged = bytearray(data)
        damaged[place] ^= 1
        path = folder / "damaged.iso"
        path.write_bytes(damaged)
        assert info(path, folder, digests=True)["iso"]["media_check"]["status"] == status
        verdict = subprocess.run(["checkisomd5", str(path)], check=False, stdout=subprocess.DEVNULL)
        assert (verdict.returncode == 0) == (status == "intact")


def test_query(iso: dict[str, t.Any], folder: pathlib.Path) -> None:
    assert info(iso["path"], folder, query="live[].compression")["result"] == ["xz"]
    line = info(iso["path"], folder, query="menu[?id=='failsafe'] | [0].kernel_command_line")["result"]
    assert line.endswith("nomodeset noresume edd=off 3")
    assert info(iso["path"], folder, query="nothing.like.it")["result"] is None
    assert "result" not in info(iso["path"], folder)


@pytest.mark.parametrize(
    ("query", "words"),
    [("menu[", "is not a JMESPath expression"), ("", "is not a JMESPath expression"), ("length(size)", "does not fit")],
)
def test_bad_queries(iso: dict[str, t.Any], folder: pathlib.Path, query: str, words: str) -> None:
    result = info(iso["path"], folder, query=query)
    assert result["failed"]
    assert words in result["msg"]
    assert repr(query) in result["msg"]


def test_check_mode_is_the_same(iso: dict[str, t.Any], folder: pathlib.Path) -> None:
    plain = info(iso["path"], folder)
    assert info(iso["path"], folder, _ansible_check_mode=True)["iso"] == plain["iso"]


def test_files_that_are_no_iso(folder: pathlib.Path) -> None:
    (folder / "empty").write_bytes(b"")
    (folder / "zeros").write_bytes(bytes(100_000))
    for name, words in (
        ("empty", "is not an ISO 9660 image"),
        ("zeros", "no volume descriptor at byte 32768"),
        ("root.squashfs", "is not an ISO 9660 image"),
        ("nowhere.iso", "No such file or directory"),
        ("boot", "cannot be read: Is a directory"),
    ):
        result = info(folder / name, folder)
        assert result["failed"]
        assert words in result["msg"]


def test_cut_off_iso(iso: dict[str, t.Any], folder: pathlib.Path) -> None:
    data = pathlib.Path(iso["path"]).read_bytes()
    path = folder / "short.iso"
    path.write_bytes(data[: len(data) // 2])
    result = info(path, folder)
    assert f"{path} is cut off: its volume has {len(data)} bytes, the file only {len(data) // 2}" in result["msg"]


def test_damaged_directories(iso: dict[str, t.Any], folder: pathlib.Path) -> None:
    """Whatever a damaged ISO makes pycdlib do, the module says that it is damaged or tells what it found."""
    data = pathlib.Path(iso["path"]).read_bytes()
    dice = random.Random(7)
    failed = 0
    for dummy in range(12):
        damaged = bytearray(data)
        start = dice.randrange(17 * 2048, 40 * 2048)
        damaged[start : start + 4096] = dice.randbytes(4096)
        path = folder / "damaged.iso"
        path.write_bytes(damaged)
        result = info(path, folder)
        assert result.get("failed") is not True or "is damaged" in result["msg"], result
        failed += bool(result.get("failed"))
    assert failed


def test_plain_iso_of_another_tool(folder: pathlib.Path) -> None:
    """No Rock Ridge, no Joliet, no boot entries, no partition table, nothing live."""
    path = folder / "plain.iso"
    subprocess.run(
        ["xorriso", "-no_rc", "-as", "mkisofs", "-quiet", "-o", path, "--norock", "-V", "PLAIN", folder / "boot"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    found = info(path, folder, digests=True)["iso"]
    assert (found["volume_id"], found["rock_ridge"], found["joliet"]) == ("PLAIN", False, False)
    assert (found["el_torito"], found["menu"], found["live"], found["boot_loaders"]) == ([], [], [], [])
    assert (found["kernel"], found["initrd"], found["menu_file"]) == (None, None, None)
    assert found["partition_table"]["type"] == "none"
    assert found["media_check"] == {"kind": "none", "status": "absent"}


def test_erofs_and_other_compressions(folder: pathlib.Path) -> None:
    live = folder / "kinds" / "LiveOS"
    live.mkdir(parents=True)
    wanted = {"other.img": {"type": "unknown"}}
    (live / "other.img").write_bytes(b"x" * 5000)
    for compression in ("gzip", "lz4", "zstd"):
        name = f"{compression}.img"
        subprocess.run(
            ["mksquashfs", folder / "tree", live / name, "-quiet", "-no-progress", "-comp", compression],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wanted[name] = {"type": "squashfs", "compression": compression, "block_size": 131072}
    for name, options, compression in (("plain.img", [], "none"), ("packed.img", ["-zlz4"], "lz4")):
        subprocess.run(["mkfs.erofs", *options, live / name, folder / "tree"], check=True, stdout=subprocess.DEVNULL)
        wanted[name] = {"type": "erofs", "compression": compression, "block_size": 4096}
    path = folder / "kinds.iso"
    subprocess.run(
        ["xorriso", "-no_rc", "-as", "mkisofs", "-quiet", "-o", path, "-r", folder / "kinds"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    found = {os.path.basename(entry["path"]): entry for entry in info(path, folder)["iso"]["live"]}
    assert set(found) == set(wanted)
    for name, expected in wanted.items():
        assert {key: found[name][key] for key in expected} == expected


@pytest.mark.parametrize("size", [1, 8, 40])
def test_programs_in_efi_partitions_of_any_fat(folder: pathlib.Path, size: int) -> None:
    """FAT12, FAT16 and FAT32 made by others, with long names, short names and folders."""
    image = folder / f"esp{size}.img"
    image.unlink(missing_ok=True)
    with open(image, "wb") as stream:
        stream.truncate(size << 20)
    program = folder / "program"
    program.write_bytes(random.Random(size).randbytes(70_000))
    subprocess.run(["mkfs.vfat", *(["-F", "32"] if size == 40 else []), image], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mmd", "-i", image, "::/EFI", "::/EFI/BOOT", "::/EFI/a long folder name"], check=True)
    names = ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "EFI/a long folder name/A program with a long name.efi"]
    for name in names:
        subprocess.run(["mcopy", "-i", image, program, f"::/{name}"], check=True)
    path = folder / "esp.iso"
    command = ["xorriso", "-no_rc", "-as", "mkisofs", "-quiet", "-o", path, "-r"]
    command += ["-append_partition", "2", "0xef", image, "-e", "--interval:appended_partition_2:all::"]
    subprocess.run([*command, "-no-emul-boot", folder / "boot"], check=True, stderr=subprocess.DEVNULL)
    assert info(path, folder)["iso"]["boot_loaders"] == [
        {"firmware": "efi", "path": name, "name": os.path.basename(name), "size": 70_000} for name in names
    ]


@pytest.mark.parametrize(
    ("library", "options"), [("pycdlib", {}), ("jmespath", {"query": "size"})], ids=["pycdlib", "jmespath"]
)
def test_missing_libraries(
    iso: dict[str, t.Any],
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    options: dict[str, t.Any],
) -> None:
    (tmp_path / f"{library}.py").write_text("raise ImportError('not installed')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = info(iso["path"], folder, **options)
    assert result["failed"]
    assert f"Failed to import the required Python library ({library})" in result["msg"]
    if library == "pycdlib":
        build = {"dest": str(folder / "live.iso"), "boot": str(folder / "boot"), "force": True}
        result = playbook.module("live_iso", {**build, "squashfs": str(folder / "root.squashfs")}, folder)
        assert "python3-pycdlib" in result["msg"]
    else:
        assert "iso" in info(iso["path"], folder)


@pytest.mark.full
def test_file_of_more_than_4_gib(folder: pathlib.Path) -> None:
    """It has several extents; the digest covers them in order."""
    big = folder / "big" / "LiveOS"
    big.mkdir(parents=True)
    image = big / "squashfs.img"
    digest = hashlib.sha256()
    with open(image, "wb") as stream:
        for number in range(4200):
            block = number.to_bytes(4, "big") * (1 << 18)
            digest.update(block)
            stream.write(block)
    path = folder / "big.iso"
    subprocess.run(
        ["xorriso", "-no_rc", "-as", "mkisofs", "-quiet", "-o", path, "-r", "-iso-level", "3", folder / "big"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    image.unlink()
    entry = info(path, folder, digests=True)["iso"]["live"][0]
    assert (entry["size"], entry["sha256"]) == (4200 << 20, digest.hexdigest())
    path.unlink()

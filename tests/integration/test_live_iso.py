# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live_iso with real tools: what is on the ISO as other tools see it, when it is built anew, and how it fails.

Nothing boots here, so any bytes do as a kernel. The tests in tests/boot start what the module writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
import subprocess
import typing as t

import pytest

import playbook
from ansible_collections.liveforge.images.plugins.module_utils._digest import file_state

EPOCH = 1700000000


def noise(seed: int, size: int) -> bytes:
    """Bytes that no tool can compress or mistake for something, the same in every run."""
    return random.Random(seed).randbytes(size)


def make_inputs(folder: pathlib.Path, names: t.Sequence[str] = ("linux", "initrd", "root")) -> None:
    """A boot folder and a real squashfs; ``names`` says in which order they are made, and so their inode numbers."""
    (folder / "boot").mkdir(parents=True)
    for name in names:
        if name == "root":
            (folder / "tree" / "usr").mkdir(parents=True)
            (folder / "tree" / "usr" / "data").write_bytes(noise(1, 400_000))
            pack(folder / "tree", folder / "root.squashfs")
        else:
            (folder / "boot" / name).write_bytes(noise(len(name), 300_000))


def pack(tree: pathlib.Path, image: pathlib.Path) -> None:
    subprocess.run(
        ["mksquashfs", str(tree), str(image), "-noappend", "-quiet", "-no-progress", "-all-root", "-comp", "zstd"],
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
        stdout=subprocess.DEVNULL,
    )


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    make_inputs(tmp_path)
    return tmp_path


def live_iso(folder: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    """Run the module on the inputs in ``folder``."""
    return playbook.module(
        "live_iso",
        {
            "dest": str(folder / "out" / "live.iso"),
            "boot": str(folder / "boot"),
            "squashfs": str(folder / "root.squashfs"),
            "source_date_epoch": EPOCH,
            "lock_timeout": 0,
            **options,
        },
        folder,
    )


def sha256(path: str | pathlib.Path) -> str:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def is_written_by_xorriso(result: dict[str, t.Any]) -> bool:
    """Whether the build of this result wrote the ISO as a whole, by its log."""
    return "$ xorriso " in pathlib.Path(result["log"]).read_text()


def damage(iso: pathlib.Path) -> None:
    """Turn one bit, far from all that a reader of ISOs looks at."""
    content = bytearray(iso.read_bytes())
    content[-600_000] ^= 1
    iso.write_bytes(content)


def output(*command: str) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


def partitions(iso: str) -> dict[str, t.Any]:
    return json.loads(output("sfdisk", "--json", iso))["partitiontable"]


def el_torito(iso: str) -> list[str]:
    """Platforms of the boot entries, as xorriso reads them."""
    report = output("xorriso", "-no_rc", "-indev", f"stdio:{iso}", "-report_el_torito", "plain")
    return [line.split()[6] for line in report.splitlines() if line.startswith("El Torito boot img")]


def leftovers(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".partial" in path.name)


# Options, El Torito platforms, table, types of partitions, whether something is marked active.
GPT_TYPES = ["EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"]
LAYOUTS: dict[str, tuple[dict[str, t.Any], list[str], str, list[str]]] = {
    "uefi": ({}, ["BIOS", "UEFI"], "gpt", GPT_TYPES),
    "uefi-msdos": ({"efiparttable": "msdos"}, ["BIOS", "UEFI"], "dos", ["cd", "ef"]),
    "uefi-only": ({"eficsm": False}, ["UEFI"], "gpt", GPT_TYPES),
    "efi": ({"firmware": "efi"}, ["BIOS", "UEFI"], "gpt", GPT_TYPES),
    "efi-only-msdos": (
        {"firmware": "efi", "eficsm": False, "efiparttable": "msdos"},
        ["UEFI"],
        "dos",
        ["cd", "ef"],
    ),
    "bios": ({"firmware": "bios"}, ["BIOS"], "dos", ["cd"]),
    "dmsquash-persistent": ({"flags": "dmsquash", "hybridpersistent": True}, ["BIOS", "UEFI"], "dos", ["cd", "ef"]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_as_other_tools_see_it(folder: pathlib.Path, layout: str) -> None:
    options, platforms, label, types = LAYOUTS[layout]
    result = live_iso(folder, volid="TEST-1", **options)
    assert result["changed"], result
    iso = result["path"]
    table = partitions(iso)
    assert el_torito(iso) == platforms
    assert table["label"] == label
    assert [entry["type"] for entry in table["partitions"]] == types
    if label == "dos":
        assert table["id"] == result["mbrid"]
    system_area = output("xorriso", "-no_rc", "-indev", f"stdio:{iso}", "-report_system_area", "plain")
    assert ("grub2-mbr" in system_area) == ("BIOS" in platforms)
    active = [line for line in system_area.splitlines() if line.startswith("MBR partition ") and " 0x80 " in line]
    assert bool(active) == ("BIOS" in platforms)
    assert result["sha256"] == sha256(iso)
    assert result["size"] == os.path.getsize(iso)
    assert leftovers(folder / "out") == []


def test_partition_1_is_the_same_file_system_again(folder: pathlib.Path) -> None:
    iso = live_iso(folder)["path"]
    start = partitions(iso)["partitions"][0]["start"] * 512
    partition = folder / "partition1"
    partition.write_bytes(pathlib.Path(iso).read_bytes()[start:])
    for name, path in (("disk", iso), ("partition", str(partition))):
        kernel = folder / f"{name}-linux"
        output(
            "xorriso", *f"-no_rc -indev stdio:{path} -osirrox on -extract /boot/x86_64/loader/linux {kernel}".split()
        )
        assert kernel.read_bytes() == (folder / "boot" / "linux").read_bytes()


def test_files_on_the_iso(folder: pathlib.Path) -> None:
    cdroot = folder / "cd=root"
    (cdroot / "docs").mkdir(parents=True)
    (cdroot / "docs" / "read me=1\\.txt").write_text("hello\n")
    (cdroot / "link").symlink_to("docs")
    os.chmod(folder / "boot" / "linux", 0o600)
    result = live_iso(folder, cdroot=str(cdroot), output_console=["gfxterm"])
    tree = folder / "tree-of-iso"
    output("xorriso", "-no_rc", "-indev", f"stdio:{result['path']}", "-osirrox", "on", "-extract", "/", str(tree))
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file() and not path.is_symlink()}
    assert files == {
        ".disk/info",
        "LiveOS/squashfs.img",
        f"boot/{result['mbrid']}",
        "boot/mbrid",
        "boot/grub/grub.cfg",
        "boot/grub/loopback.cfg",
        "boot/grub/fonts/unicode.pf2",
        "boot/x86_64/loader/eltorito.img",
        "boot/x86_64/loader/initrd",
        "boot/x86_64/loader/linux",
        "docs/read me=1\\.txt",
    }
    assert os.readlink(tree / "link") == "docs"
    assert (tree / "boot" / "mbrid").read_text() == result["mbrid"] + "\n"
    assert (tree / "LiveOS" / "squashfs.img").read_bytes() == (folder / "root.squashfs").read_bytes()
    # Readable for those who export the files over the network.
    assert os.stat(tree / "boot" / "x86_64" / "loader" / "linux").st_mode & 0o777 & 0o444 == 0o444
    assert {int(path.lstat().st_mtime) for path in tree.rglob("*") if path.is_file()} == {EPOCH}


def test_grub_accepts_its_menus(folder: pathlib.Path) -> None:
    result = live_iso(folder, title="It's $1", hybridpersistent=True, mediacheck=True, kernelcmdline='a="b c"')
    for name in ("grub.cfg", "loopback.cfg"):
        script = folder / name
        output(
            *("xorriso", "-no_rc", "-indev", f"stdio:{result['path']}", "-osirrox", "on"),
            *("-extract", f"/boot/grub/{name}", str(script)),
        )
        output("grub-script-check", str(script))


def test_efi_partition_is_sound(folder: pathlib.Path) -> None:
    iso = live_iso(folder)["path"]
    entry = partitions(iso)["partitions"][1]
    image = folder / "esp"
    image.write_bytes(pathlib.Path(iso).read_bytes()[entry["start"] * 512 : (entry["start"] + entry["size"]) * 512])
    assert "errors" not in output("fsck.vfat", "-n", str(image)).lower()
    listed = output("mdir", "-/", "-b", "-i", str(image), "::/")
    assert set(listed.split()) == {
        *(f"::/EFI/BOOT/{name}" for name in ("BOOTX64.EFI", "grubx64.efi", "mmx64.efi", "grub.cfg")),
        "::/boot/grub/grub.cfg",
        *("::/EFI/", "::/EFI/BOOT/", "::/boot/", "::/boot/grub/"),
    }
    for name, source in (("BOOTX64.EFI", "shim/shimx64.efi.signed"), ("mmx64.efi", "shim/mmx64.efi.signed")):
        copy = folder / name
        output("mcopy", "-n", "-i", str(image), f"::/EFI/BOOT/{name}", str(copy))
        assert copy.read_bytes() == pathlib.Path("/usr/lib", source).read_bytes()


def test_second_run_changes_nothing(folder: pathlib.Path) -> None:
    first = live_iso(folder, title="Kiosk")
    before = os.stat(first["path"])
    for name in ("boot/linux", "boot/initrd", "root.squashfs"):
        os.utime(folder / name, (1, 1))
    second = live_iso(folder, title="Kiosk")
    assert (second["changed"], second["sha256"]) == (False, first["sha256"])
    assert os.stat(first["path"]).st_mtime_ns == before.st_mtime_ns
    check = live_iso(folder, title="Kiosk", _ansible_check_mode=True)
    assert check["changed"] is False


def test_what_changed_is_named(folder: pathlib.Path) -> None:
    first = live_iso(folder)
    check = live_iso(folder, title="Other", _ansible_check_mode=True, _ansible_diff=True)
    assert (check["changed"], check["reason"]) == (True, "changed: options.title (Live -> Other)")
    assert "options.title" in check["diff"]["after"]
    assert sha256(first["path"]) == first["sha256"]
    assert check["mbrid"] == live_iso(folder, title="Other")["mbrid"] != first["mbrid"]
    (folder / "boot" / "initrd").write_bytes(b"another initrd")
    assert "boot.content" in live_iso(folder, title="Other")["reason"]


@pytest.mark.parametrize(
    "changes",
    [
        {"kernelcmdline": "quiet a=b"},
        {"kernelcmdline": "quiet", "timeout": 3, "input_console": []},
        {"grub_template": {"content": "search $search_params\nlinux $bootpath/linux $boot_options\n"}},
    ],
    ids=["command-line", "menu", "template"],
)
@pytest.mark.parametrize("more", [{}, {"firmware": "bios"}, {"mediacheck": True}], ids=["uefi", "bios", "mediacheck"])
def test_another_menu_gives_the_bytes_of_a_build_from_nothing(
    tmp_path: pathlib.Path, changes: dict[str, t.Any], more: dict[str, t.Any]
) -> None:
    """Only the menu changed, so the last ISO is taken, unless a media check tag covers every byte."""
    results = []
    for name, steps in (("one", ({}, changes)), ("two", (changes,))):
        place = tmp_path / name
        make_inputs(place)
        results.append([live_iso(place, **more, **step) for step in steps][-1])
    again, anew = results
    assert (again["changed"], again["sha256"]) == (True, anew["sha256"])
    assert sha256(again["path"]) == anew["sha256"]
    same = ("mbrid", "kernel_command_line", "menu", "layout", "volid", "media_check", "content_check", "size")
    assert {name: again[name] for name in same} == {name: anew[name] for name in same}
    assert is_written_by_xorriso(again) == ("mediacheck" in more)
    assert live_iso(tmp_path / "one", **more, **changes)["changed"] is False


def test_a_menu_that_takes_more_bytes_or_a_touched_iso_needs_a_new_iso(folder: pathlib.Path) -> None:
    first = live_iso(folder)
    longer = live_iso(folder, kernelcmdline="x=" + "y" * 1900)
    assert is_written_by_xorriso(longer)
    assert is_written_by_xorriso(live_iso(folder))
    iso = pathlib.Path(first["path"])
    damage(iso)
    mended = live_iso(folder, kernelcmdline="quiet")
    assert is_written_by_xorriso(mended)
    assert sha256(iso) == mended["sha256"]
    # Now so that nothing but its bytes tells of it.
    stage_file = iso.with_name(iso.name + ".stage.json")
    recorded = json.loads(stage_file.read_text())
    damage(iso)
    recorded["output"]["state"] = file_state(str(iso))
    stage_file.write_text(json.dumps(recorded))
    mended = live_iso(folder, kernelcmdline="splash")
    assert is_written_by_xorriso(mended)
    assert sha256(iso) == mended["sha256"]


def test_another_menu_does_not_hide_that_an_input_is_gone(folder: pathlib.Path) -> None:
    (folder / "cd").mkdir()
    (folder / "cd/file").write_text("on the ISO")
    first = live_iso(folder, cdroot=str(folder / "cd"))
    second = live_iso(folder, cdroot=str(folder / "cd"), kernelcmdline="quiet")
    assert second["mbrid"] == first["mbrid"] and not is_written_by_xorriso(second)
    (folder / "cd/file").unlink()
    (folder / "cd").rmdir()
    third = live_iso(folder, cdroot=str(folder / "cd"), kernelcmdline="splash")
    assert f"cdroot: {folder}/cd is not a directory" in third["msg"]
    assert sha256(second["path"]) == second["sha256"]


def test_another_menu_without_a_fixed_date(folder: pathlib.Path) -> None:
    live_iso(folder, source_date_epoch=None)
    second = live_iso(folder, source_date_epoch=None, kernelcmdline="quiet")
    assert not is_written_by_xorriso(second)
    assert sha256(second["path"]) == second["sha256"]
    assert "quiet" in second["kernel_command_line"]
    assert os.stat(second["path"]).st_mode & 0o777 == 0o644


def test_force_writes_the_iso_anew(folder: pathlib.Path) -> None:
    live_iso(folder)
    assert is_written_by_xorriso(live_iso(folder, kernelcmdline="quiet", force=True))


def test_another_menu_keeps_the_numbers_of_the_iso(folder: pathlib.Path) -> None:
    first = live_iso(folder)
    check = live_iso(folder, kernelcmdline="quiet", _ansible_check_mode=True)
    second = live_iso(folder, kernelcmdline="quiet")
    assert first["mbrid"] == check["mbrid"] == second["mbrid"]
    assert first["sha256"] != second["sha256"]


def test_check_mode_before_the_inputs_exist(tmp_path: pathlib.Path) -> None:
    foreseen = {str(tmp_path / "boot"): "f" * 64, str(tmp_path / "root.squashfs"): "e" * 64}
    result = live_iso(tmp_path, _ansible_check_mode=True, input_fingerprints=foreseen)
    assert result["changed"] is True
    assert result["volid"] == "CDROM"
    assert "mbrid" not in result
    assert not (tmp_path / "out").exists()


def test_same_inputs_give_the_same_bytes_anywhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other folders, other inode numbers, other order of making, other times, other umask and time zone."""
    results = []
    for name, order, zone, umask, time in (
        ("one", ("linux", "initrd", "root"), "Asia/Kolkata", 0o022, EPOCH - 1_000_000),
        ("a=b two", ("root", "initrd", "linux"), "America/New_York", 0o077, EPOCH + 1_000_000),
    ):
        place = tmp_path / name
        make_inputs(place, order)
        (place / "cd").mkdir()
        for file in ("a", "b", "c") if name == "one" else ("c", "b", "a"):
            (place / "cd" / file).write_text(file)
        for path in place.rglob("*"):
            os.utime(path, (time, time))
        monkeypatch.setenv("TZ", zone)
        before = os.umask(umask)
        try:
            results.append(live_iso(place, cdroot=str(place / "cd"), mediacheck=True))
        finally:
            os.umask(before)
    assert results[0]["sha256"] == results[1]["sha256"], results
    assert sha256(results[0]["path"]) == results[0]["sha256"] == sha256(results[1]["path"])


def test_different_content_has_a_different_identity(folder: pathlib.Path) -> None:
    first = live_iso(folder)
    (folder / "boot" / "linux").write_bytes(noise(99, 300_000))
    second = live_iso(folder)
    assert second["mbrid"] != first["mbrid"]
    assert second["layout"]["partition_table"]["id"] != first["layout"]["partition_table"]["id"]


def test_media_check_tag(folder: pathlib.Path) -> None:
    result = live_iso(folder, mediacheck=True)
    assert result["media_check"]["status"] == "intact"
    assert [entry["id"] for entry in result["menu"]] == ["live", "failsafe", "mediacheck"]
    verdict = subprocess.run(["checkisomd5", result["path"]], check=False, stdout=subprocess.DEVNULL)
    assert verdict.returncode == 0
    damaged = folder / "damaged.iso"
    data = bytearray(pathlib.Path(result["path"]).read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    verdict = subprocess.run(["checkisomd5", str(damaged)], check=False, stdout=subprocess.DEVNULL)
    assert verdict.returncode == 1


@pytest.mark.parametrize("table", ["gpt", "msdos"])
def test_own_media_check_tag_survives_a_new_partition(table: str, folder: pathlib.Path) -> None:
    """isomd5sum's tag does not; both notice a flipped byte in any file."""
    made = live_iso(folder, mediacheck=True, efiparttable=table)
    assert made["content_check"]["status"] == "intact"
    disk = folder / "disk.img"
    data = pathlib.Path(made["path"]).read_bytes()
    disk.write_bytes(data)
    with open(disk, "r+b") as stream:
        stream.truncate(len(data) + (200 << 20))
    subprocess.run(["sfdisk", "--quiet", "--append", str(disk)], input="type=L\n", text=True, check=True)
    after = info(disk, folder)
    assert after["media_check"]["status"] == "damaged"
    assert after["content_check"]["status"] == "intact"
    for name in ("boot/x86_64/loader/linux", "boot/grub/grub.cfg", "LiveOS/squashfs.img", "efi"):
        damaged = bytearray(data)
        damaged[_first_byte(made, name)] ^= 1
        disk.write_bytes(damaged)
        assert info(disk, folder)["content_check"]["status"] == "damaged", name


def _first_byte(made: dict[str, t.Any], name: str) -> int:
    if name == "efi":
        return int(next(entry["start"] for entry in made["layout"]["el_torito"] if entry["platform"] == "efi"))
    text = output("xorriso", "-indev", made["path"], "-find", f"/{name}", "-exec", "report_lba", "--")
    # File data lba:  0 , LBA , blocks , size , path
    return int(text.split("File data lba:")[1].split(",")[1]) * 2048


def info(path: pathlib.Path, folder: pathlib.Path) -> dict[str, t.Any]:
    return t.cast(
        "dict[str, t.Any]", playbook.module("live_iso_info", {"path": str(path), "digests": True}, folder)["iso"]
    )


def test_dmsquash_has_no_tag_of_ours(folder: pathlib.Path) -> None:
    assert live_iso(folder, mediacheck=True, flags="dmsquash")["content_check"]["status"] == "absent"


def test_erofs_is_taken_as_it_is(folder: pathlib.Path) -> None:
    image = folder / "root.erofs"
    output("mkfs.erofs", "-zlz4", str(image), str(folder / "tree"))
    result = live_iso(folder, squashfs=str(image), filesystem="erofs")
    assert result["changed"]
    refused = live_iso(folder, squashfs=str(image), force=True)
    assert "is erofs, but filesystem squashfs needs a squashfs image" in refused["msg"]
    assert sha256(result["path"]) == result["sha256"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"volid": "NOT GOOD"}, ["volid 'NOT GOOD'", "' '"]),
        ({"boot": "/nowhere"}, ["boot: /nowhere/linux", "live_dracut"]),
        ({"squashfs": "/nowhere.img"}, ["squashfs: /nowhere.img", "live_squashfs"]),
        ({"squashfs": "/etc/hostname"}, ["/etc/hostname is neither squashfs nor erofs"]),
        ({"cdroot": "/nowhere"}, ["cdroot: /nowhere is not a directory"]),
        ({"efifatimagesize": 3}, ["mcopy", "EFI partition of 3 MiB", "Set efifatimagesize to"]),
        ({"dest": "live.iso"}, ["dest must be an absolute path"]),
    ],
)
def test_failures_name_what_to_change(folder: pathlib.Path, options: dict[str, t.Any], words: list[str]) -> None:
    good = live_iso(folder)
    result = live_iso(folder, title="Other", **options)
    assert result.get("failed"), result
    for word in words:
        assert word in result["msg"]
    assert sha256(good["path"]) == good["sha256"]
    assert leftovers(folder / "out") == []


def test_cdroot_must_not_replace_our_files(folder: pathlib.Path) -> None:
    (folder / "cd" / "boot" / "grub").mkdir(parents=True)
    (folder / "cd" / "boot" / "grub" / "grub.cfg").write_text("")
    result = live_iso(folder, cdroot=str(folder / "cd"))
    assert "contains boot/grub/grub.cfg, which live_iso writes itself" in result["msg"]


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A small file system: 1 MiB of memory."""
    if os.geteuid() != 0:
        pytest.fail("mounting a tmpfs needs root; run the integration tests as root")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_file_system(folder: pathlib.Path, small_disk: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dest = str(small_disk / "live.iso")
    assert "Not enough space" in live_iso(folder, dest=dest)["msg"]
    # The estimate was wrong, or somebody else filled the disk meanwhile: the tools themselves hit the end.
    patch = folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import os\nreal = os.statvfs\n"
        "def lie(path):\n    values = list(real(path))\n    values[4] = 10**9\n    return os.statvfs_result(values)\n"
        "os.statvfs = lie\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(patch))
    for firmware in ("uefi", "bios"):
        result = live_iso(folder, dest=dest, firmware=firmware)
        assert result.get("failed"), result
        assert "too small" in result["msg"] or "full" in result["msg"], result["msg"]
        assert leftovers(small_disk) == []
        assert not pathlib.Path(dest).exists()


def test_read_only_target(folder: pathlib.Path, small_disk: pathlib.Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = live_iso(folder, dest=str(small_disk / "live.iso"))
    assert result.get("failed")
    assert "Read-only file system" in result["msg"]


def test_an_input_that_was_changed_behind_its_stage_is_refused(folder: pathlib.Path) -> None:
    first = live_iso(folder)
    # An ISO of live_iso is a file with a stage file, as a squashfs of live_squashfs is.
    path = folder / "root.squashfs"
    stamp = json.loads(pathlib.Path(first["path"] + ".stage.json").read_text())
    stamp["output"] = {"kind": "file", "content": sha256(path), "state": [0, 0, 0], "size": path.stat().st_size}
    pathlib.Path(str(path) + ".stage.json").write_text(json.dumps({**stamp, "stage": "live_squashfs"}))
    assert live_iso(folder, title="Same").get("changed") is True
    data = bytearray(path.read_bytes())
    data[-2000] ^= 1
    path.write_bytes(data)
    result = live_iso(folder, title="Broken")
    assert "root.squashfs was modified after it was built" in result["msg"]
    assert "live_squashfs" in result["msg"]


@pytest.mark.parametrize(
    ("victim", "words"),
    [
        ("root.squashfs", "LiveOS/squashfs.img has SHA-256"),
        ("boot/linux", "boot/x86_64/loader/linux has SHA-256"),
        ("/usr/lib/shim/mmx64.efi.signed", "EFI/BOOT/mmx64.efi in the EFI partition is not what was put there"),
    ],
)
def test_a_damaged_result_is_not_published(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, victim: str, words: str
) -> None:
    """A disk that loses a bit: after xorriso is done, one byte of a file on the ISO is another."""
    good = live_iso(folder)
    # A piece of the file that occurs nowhere else.
    place = 200_000
    piece = (folder / victim).read_bytes()[place : place + 200].hex()
    patch = folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        f"""
import subprocess

wait = subprocess.Popen.wait

def damage(self, *arguments, **named):
    status = wait(self, *arguments, **named)
    if "mkisofs" in self.args:
        path = self.args[self.args.index("-o") + 1].removeprefix("stdio:")
        with open(path, "r+b") as stream:
            stream.seek(stream.read().index(bytes.fromhex("{piece}")))
            stream.write(b"X")
    return status

subprocess.Popen.wait = damage
"""
    )
    monkeypatch.setenv("PYTHONPATH", str(patch))
    result = live_iso(folder, force=True)
    assert result.get("failed"), result
    assert words in result["msg"]
    assert "not published" in result["msg"]
    assert sha256(good["path"]) == good["sha256"]
    assert leftovers(folder / "out") == []


def test_what_a_killed_build_left_is_removed(folder: pathlib.Path) -> None:
    left = folder / "out" / ".live.iso.partial.parts"
    left.mkdir(parents=True)
    (left / "x").write_text("x")
    (folder / "out" / ".live.iso.partial").write_text("half")
    assert live_iso(folder)["changed"]
    assert leftovers(folder / "out") == []


def test_progress_file_is_gone_afterwards(folder: pathlib.Path) -> None:
    progress = folder / "progress.json"
    assert live_iso(folder, progress_file=str(progress))["changed"]
    assert not progress.exists()

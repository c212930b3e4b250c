# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live_compare with real images: which file of which layer differs."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest

import playbook

EPOCH = 1700000000


def run(*command: str, cwd: pathlib.Path | None = None, stdin: bytes | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()


def tree(folder: pathlib.Path, text: str = "hello\n", mode: int = 0o644) -> pathlib.Path:
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/greeting").write_text(text)
    (folder / "etc/greeting").chmod(mode)
    (folder / "etc/other").write_text("the same\n")
    for path in (folder / "etc/greeting", folder / "etc/other", folder / "etc", folder):
        os.utime(path, (EPOCH, EPOCH))
    return folder


def squashfs(source: pathlib.Path, image: pathlib.Path, *options: str) -> pathlib.Path:
    times = ["-mkfs-time", str(EPOCH)] if "-mkfs-time" not in options else []
    run("mksquashfs", str(source), str(image), "-noappend", "-quiet", "-no-progress", *times, *options)
    return image


def initrd(source: pathlib.Path, image: pathlib.Path, names: t.Sequence[str], level: str = "-9") -> pathlib.Path:
    archive = image.with_suffix(".cpio")
    run(
        *("cpio", "--quiet", "--create", "--format=newc", "--reproducible", f"--file={archive}"),
        cwd=source,
        stdin="".join(f"{name}\n" for name in names).encode(),
    )
    run("zstd", "-q", "-f", level, str(archive), "-o", str(image))
    return image


def iso(source: pathlib.Path, image: pathlib.Path, volid: str = "TEST") -> pathlib.Path:
    dates = ["--modification-date=2023111500000000", "--set_all_file_dates", f"={EPOCH}"]
    run("xorriso", "-no_rc", "-as", "mkisofs", "-quiet", "-r", "-J", "-V", volid, *dates, "-o", str(image), str(source))
    return image


def compare(folder: pathlib.Path, first: pathlib.Path, second: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    return playbook.module("live_compare", {"first": str(first), "second": str(second), **options}, folder)


def found(result: dict[str, t.Any]) -> list[tuple[str, str]]:
    assert not result.get("failed"), result
    assert not result["identical"]
    return [(item["place"], item["what"]) for layer in result["layers"] for item in layer["differences"]]


@pytest.fixture
def trees(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    return tree(tmp_path / "1"), tree(tmp_path / "2", "hallo\n", 0o600)


IN_TREE = [("etc/greeting", "content (from byte 1)"), ("etc/greeting", "mode")]


def test_file_of_a_squashfs_is_named(tmp_path: pathlib.Path, trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    images = [squashfs(source, tmp_path / f"{source.name}.img") for source in trees]
    result = compare(tmp_path, *images)
    assert found(result) == IN_TREE
    assert result["layers"][0]["layer"] == "packed root"
    assert "etc/greeting: mode is 0644 and 0600" in result["msg"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("liveforge-compare")) == []


def test_same_files_in_another_squashfs(tmp_path: pathlib.Path, trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    first = squashfs(trees[0], tmp_path / "1.img")
    later = squashfs(trees[0], tmp_path / "2.img", "-mkfs-time", str(EPOCH + 60))
    assert [item[0] for item in found(compare(tmp_path, first, later))] == ["superblock"]
    blocks = squashfs(trees[0], tmp_path / "3.img", "-Xcompression-level", "1")
    assert {item[1] for item in found(compare(tmp_path, first, blocks))} <= {
        "order or compression of blocks",
        "Filesystem size",
        "Compression level",
        "compression-level",
    }


def test_file_of_a_nested_image_is_named(tmp_path: pathlib.Path, trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    images = []
    for source in trees:
        folder = tmp_path / f"container-{source.name}/LiveOS"
        folder.mkdir(parents=True)
        image = folder / "rootfs.img"
        with open(image, "wb") as stream:
            stream.truncate(8 << 20)
        command = ["mkfs.ext4", "-q", "-F", "-U", "01234567-89ab-cdef-0123-456789abcdef", "-d", str(source), str(image)]
        run("env", f"E2FSPROGS_FAKE_TIME={EPOCH}", *command)
        for path in (image, folder, folder.parent):
            os.utime(path, (EPOCH, EPOCH))
        images.append(squashfs(folder.parent, tmp_path / f"{source.name}.img"))
    places = [(place.removeprefix("LiveOS/rootfs.img: "), what) for place, what in found(compare(tmp_path, *images))]
    assert places[:2] == IN_TREE


def test_file_of_an_initrd_is_named(tmp_path: pathlib.Path, trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    names = [".", "etc", "etc/greeting", "etc/other"]
    images = [initrd(source, tmp_path / f"{source.name}.img", names) for source in trees]
    result = compare(tmp_path, *images)
    assert found(result) == [("etc/greeting", "content"), ("etc/greeting", "mode")]
    assert result["layers"][0]["layer"] == "initrd"


def test_order_and_compression_of_an_initrd(tmp_path: pathlib.Path, trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    names = [".", "etc", "etc/greeting", "etc/other"]
    first = initrd(trees[0], tmp_path / "1.img", names)
    other = initrd(trees[0], tmp_path / "2.img", [*names[:2], *reversed(names[2:])])
    assert found(compare(tmp_path, first, other)) == [("entry 2 of the archive", "order of the files")]
    packed = initrd(trees[0], tmp_path / "3.img", names, "-1")
    if packed.read_bytes() != first.read_bytes():
        assert found(compare(tmp_path, first, packed)) == [("the archive as a whole", "compression")]


def test_file_and_sectors_of_an_iso_are_named(tmp_path: pathlib.Path, trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    first, second = (iso(source, tmp_path / f"{source.name}.iso") for source in trees)
    assert ("etc/greeting", "content") in found(compare(tmp_path, first, second))
    label = iso(trees[0], tmp_path / "3.iso", "OTHER")
    places = {place.partition(",")[0] for place, dummy in found(compare(tmp_path, first, label))}
    assert places == {"volume descriptors"}


def test_an_image_is_compared_layer_by_layer(tmp_path: pathlib.Path) -> None:
    images = []
    for name in ("1", "2"):
        folder = tmp_path / name
        root = tree(folder / "rootfs", mode=0o644 if name == "1" else 0o640)
        (folder / "boot").mkdir()
        (folder / "boot/linux").write_bytes(b"kernel")
        initrd(root, folder / "boot/initrd", ["etc"])
        squashfs(root, folder / "squashfs.img")
        iso(root, folder / "image.iso")
        images.append(folder)
    result = compare(tmp_path, *images)
    assert [layer["layer"] for layer in result["layers"]] == ["root tree", "kernel", "initrd", "packed root", "ISO"]
    assert {layer["layer"]: layer["identical"] for layer in result["layers"]} == {
        "root tree": False,
        "kernel": True,
        "initrd": True,
        "packed root": False,
        # Rock Ridge for everybody: the ISO has other modes.
        "ISO": True,
    }
    assert result["msg"].startswith("The same, byte for byte: kernel, initrd, ISO.")
    shutil.rmtree(images[1] / "boot")
    failed = compare(tmp_path, *images)
    assert failed["failed"] and f"{images[1]} has no kernel, but {images[0]} has one" in failed["msg"]


def test_equal_images_are_identical(tmp_path: pathlib.Path, trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    images = [squashfs(trees[0], tmp_path / f"{name}.img") for name in "12"]
    result = compare(tmp_path, *images)
    assert result["identical"] and not result["changed"]
    assert result["msg"] == "The same, byte for byte: packed root."


def test_many_differences_are_counted(tmp_path: pathlib.Path) -> None:
    for side, content in (("1", "x"), ("2", "y")):
        (tmp_path / side).mkdir()
        for number in range(5):
            (tmp_path / side / str(number)).write_text(content)
            os.utime(tmp_path / side / str(number), (EPOCH, EPOCH))
        os.utime(tmp_path / side, (EPOCH, EPOCH))
    layer = compare(tmp_path, tmp_path / "1", tmp_path / "2", limit=2)["layers"][0]
    assert (len(layer["differences"]), layer["omitted"]) == (2, 3)


def test_what_cannot_be_compared_is_refused(tmp_path: pathlib.Path, trees: tuple[pathlib.Path, pathlib.Path]) -> None:
    missing = compare(tmp_path, trees[0], tmp_path / "nothing")
    assert missing["failed"] and f"second: {tmp_path}/nothing does not exist" in missing["msg"]
    mixed = compare(tmp_path, trees[0], squashfs(trees[1], tmp_path / "2.img"))
    assert mixed["failed"] and "is a directory, the other is not" in mixed["msg"]

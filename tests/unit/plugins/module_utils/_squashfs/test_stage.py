# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of live_squashfs and the command lines that come of them."""

from __future__ import annotations

import ctypes
import os
import pathlib
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._command import environment
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._squashfs import pack as packing_tool
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.compression import (
    block_bytes,
    literal_pattern,
    resolve,
)
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.options import ImageOptions
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.pack import Packing
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.stage import SquashfsStage

OLD = "mksquashfs version 4.5.1 (2022/03/17)"


@pytest.mark.parametrize(
    ("preset", "algorithm", "level", "block", "arguments"),
    [
        ("fast", None, None, None, "-b 131072 -comp zstd -Xcompression-level 3"),
        ("balanced", None, None, None, "-b 262144 -comp zstd -Xcompression-level 6"),
        ("small", None, None, None, "-b 1048576 -comp zstd -Xcompression-level 19"),
        ("smallest", None, None, None, "-b 1048576 -comp xz -Xbcj x86"),
        ("fast", "xz", None, None, "-b 131072 -comp xz"),
        ("fast", "gzip", None, "1M", "-b 1048576 -comp gzip -Xcompression-level 6"),
        ("small", "zstd", None, None, "-b 1048576 -comp zstd -Xcompression-level 19"),
        ("small", "zstd", 22, "64k", "-b 65536 -comp zstd -Xcompression-level 22"),
        ("balanced", "lz4", None, None, "-b 262144 -comp lz4"),
        ("balanced", "lzo", 9, None, "-b 262144 -comp lzo -Xcompression-level 9"),
        ("balanced", "uncompressed", None, None, "-b 262144 -noI -noD -noF -noX"),
    ],
)
def test_compression(preset: str, algorithm: str | None, level: int | None, block: str | None, arguments: str) -> None:
    assert " ".join(resolve(preset, algorithm, level, block, "x86_64").arguments()) == arguments


def test_filter_for_x86_programs_is_for_x86_hosts() -> None:
    assert "-Xbcj" not in resolve("smallest", None, None, None, "aarch64").arguments()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression_level": 23}, "compression_level: zstd has the levels 1 to 22, not 23."),
        ({"compression_level": 0}, "compression_level: zstd has the levels 1 to 22, not 0."),
        ({"squashfscompression": "gzip", "compression_level": 10}, "gzip has the levels 1 to 9, not 10."),
        ({"squashfscompression": "xz", "compression_level": 6}, "compression_level: xz has no levels."),
        ({"squashfscompression": "uncompressed", "compression_level": 1}, "uncompressed has no levels."),
        ({"block_size": "100K"}, "block_size: '100K' is not a power of two between 4K and 1M"),
        ({"block_size": "2M"}, "block_size: '2M' is not a power of two"),
        ({"block_size": "2K"}, "block_size: '2K' is not a power of two"),
        ({"block_size": ""}, "block_size: '' is not a power of two"),
        ({"block_size": "0"}, "block_size: '0' is not a power of two"),
        ({"root": "relative"}, "root must be an absolute path, not 'relative'."),
        ({"root": "/"}, "lies inside root (/). Choose a place outside of it."),
        ({"root": "/srv"}, "dest: /srv/out/image lies inside root (/srv)."),
        ({"size": 500}, "size: squashfs images are as large as their content."),
        ({"size": 500, "filesystem": "erofs"}, "size: erofs images are as large as their content."),
        ({"size": 100, "filesystem": "xfs"}, "size: xfs needs 320 MiB or more, not 100."),
        ({"size_additive": True, "filesystem": "ext4"}, "size_additive: give size, the MiB to add."),
        ({"size": -1, "size_additive": True, "filesystem": "ext4"}, "size: with size_additive it must be 0 or more"),
        ({"label": "x"}, "label: squashfs has no labels."),
        ({"label": "x" * 17, "filesystem": "ext4"}, "ext4 allows 16 bytes."),
        ({"label": "ü" * 9, "filesystem": "ext4"}, "ext4 allows 16 bytes."),
        ({"label": "x" * 13, "filesystem": "xfs"}, "xfs allows 12 bytes."),
        ({"exclude": ("/usr",)}, "exclude: '/usr' is not a path relative to root."),
        ({"exclude": ("usr/",)}, "exclude: 'usr/' is not a path relative to root."),
        ({"exclude": ("usr/../etc",)}, "exclude: 'usr/../etc' is not a path relative to root."),
        ({"exclude": ("",)}, "exclude: '' is not a path relative to root."),
        ({"exclude": ("proc",)}, "exclude: 'proc' would leave out the directory itself"),
        ({"processors": 0}, "processors must be 1 or more, not 0."),
        ({"memory": -1}, "memory must be 1 or more, not -1."),
        ({"erofscompression": "lz4"}, "erofscompression is for filesystem=erofs."),
        ({"squashfscompression": "xz", "filesystem": "erofs"}, "squashfscompression is for squashfs."),
        ({"compression_level": 3, "filesystem": "erofs"}, "compression_level is for squashfs."),
        ({"fscreateoptions": ("-all-time", "0")}, "-all-time and source_date_epoch exclude each other."),
    ],
)
def test_refused_options_are_named(options: dict[str, t.Any], message: str) -> None:
    stage = SquashfsStage("/srv/out/image", ImageOptions(**{"root": "/tree", **options}), source_date_epoch=1)
    with pytest.raises(StageError) as failure:
        stage.validate()
    assert message in failure.value.message


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"filesystem": "ext4", "size": 4096, "label": "x" * 16},
        {"filesystem": "xfs", "size": 10, "size_additive": True},
        {"filesystem": "erofs", "erofscompression": "zstd,level=12", "block_size": "64K", "label": "x"},
        {"exclude": ("proc/*", "usr/share/doc/*", "usr/lib")},
    ],
)
def test_good_options_pass(options: dict[str, t.Any]) -> None:
    SquashfsStage("/srv/out/image", ImageOptions(root="/tree", **options)).validate()


def test_block_sizes() -> None:
    assert [block_bytes(text) for text in ("4096", "4K", "128k", "1M", " 256K ")] == [
        4096,
        4096,
        1 << 17,
        1 << 20,
        1 << 18,
    ]


def packing(**options: t.Any) -> Packing:
    usual = {"source": "/tree", "target": "/image", "inodes": 1, "size": 1}
    return Packing(**usual, compression=resolve("fast", None, None, None, "x86_64"), **options)


def test_command_says_what_mksquashfs_must_be_told() -> None:
    line = packing(processors=3, memory=512, options=("-b", "8192")).command(OLD)
    assert line[:3] == ["mksquashfs", "/tree", "/image"]
    assert {"-noappend", "-exit-on-error", "-no-recovery", "-xattrs"} <= set(line)
    text = " ".join(line)
    assert "-processors 3 -mem 512M -b 8192" in text
    assert "-mkfs-time" not in text and "-wildcards" not in text


@pytest.mark.parametrize(("processors", "memory"), [(1, 128), (8, 128), (16, 256), (64, 1024)])
def test_memory_for_buffers_is_bounded(processors: int, memory: int) -> None:
    assert f"-mem {memory}M" in " ".join(packing(processors=processors).command(OLD))


@pytest.mark.parametrize(
    ("version", "broken"),
    [
        ("4.5.1", False),
        ("4.6.1", False),
        ("4.7", True),
        ("4.7.4", True),
        ("4.7.5", False),
        ("4.8", False),
        ("4.10", False),
    ],
)
def test_versions_that_damage_sparse_files_are_told_not_to(version: str, broken: bool) -> None:
    assert ("-no-sparse" in packing().command(f"mksquashfs version {version} (2025/06/05)")) == broken


NAMES = [
    "plain",
    "*",
    "?",
    "[a]",
    "back\\slash",
    "+(a)",
    "!(a)",
    "a b",
    "new\nline",
    "-dash",
    "#",
    "ü",
    "\udcff",
    "a|b",
]


@pytest.mark.parametrize("name", NAMES)
def test_pattern_matches_that_name_only(name: str) -> None:
    """By the function that mksquashfs uses, with its flags FNM_PATHNAME and FNM_EXTMATCH."""
    library = ctypes.CDLL(None)

    def matches(pattern: str, other: str) -> bool:
        return bool(library.fnmatch(os.fsencode(pattern), os.fsencode(other), 1 | 1 << 5) == 0)

    assert [other for other in NAMES if matches(literal_pattern(name), other)] == [name]


def test_exclusions_are_last_and_limited() -> None:
    assert packing(excluded=("a b", "c")).command(OLD)[-4:] == ["-wildcards", "-e", "a\\ b", "c"]
    with pytest.raises(StageError, match="40000 paths match, too many for one command"):
        packing(excluded=tuple(f"usr/share/doc/{number}" for number in range(40000))).command(OLD)


def test_progress_and_complaint_come_from_its_output() -> None:
    percents: list[float] = []
    follow = packing_tool._Follower(400, percents.append)
    for line in (
        "Parallel mksquashfs: Using 2 processors",
        "file /a b, uncompressed size 100 bytes ",
        "directory /usr inode 0x1",
        "file /x, uncompressed size 300 bytes DUPLICATE",
        "/usr/bin/mksquashfs: invalid option",
        "FATAL ERROR: something later",
    ):
        follow(line)
    assert percents == [25, 100]
    assert follow.cause("") == "It said: invalid option"
    assert follow.cause("No space left on device") is None


def test_lines_are_written_at_once() -> None:
    variables = packing_tool.line_by_line(environment())
    assert variables["_STDBUF_O"] == "L"
    assert set(variables) == {"_STDBUF_O", "LD_PRELOAD"}


def test_inputs_leave_out_what_cannot_change_the_bytes(tmp_path: pathlib.Path) -> None:
    def inputs(**options: t.Any) -> dict[str, t.Any]:
        return SquashfsStage(str(tmp_path / "image"), ImageOptions(root=str(tmp_path / "root"), **options)).inputs()

    assert inputs() == inputs(processors=1, memory=64)
    assert inputs() == inputs(squashfscompression="zstd", compression_level=6, block_size="256K")
    assert inputs(exclude=("a", "b")) == inputs(exclude=("b", "a", "b"))
    assert "mkfs.ext4" in inputs(filesystem="ext4")["tools"]
    assert inputs(filesystem="ext4") != inputs(filesystem="ext3")

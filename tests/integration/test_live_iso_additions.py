# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live_iso with what users add: archives for the root of the ISO, a menu and a script of their own."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

import playbook

EPOCH = 1700000000
MENU = """\
set default=${default_boot}
search ${search_params}
set isoboot=""
if [ -n "$${iso_path}" ]; then
    set isoboot="iso-scan/filename=$${iso_path}"
fi
menuentry "${title}" {
    linux ($$root)${bootpath}/${kernel_file} $${isoboot} ${boot_options}
    initrd ($$root)${bootpath}/${initrd_file}
}
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A boot folder, a squashfs, a root tree, and a tar archive."""
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/linux").write_bytes(b"kernel" * 50_000)
    (tmp_path / "boot/initrd").write_bytes(b"initrd" * 50_000)
    for name in ("etc", "usr/lib"):
        (tmp_path / "rootfs" / name).mkdir(parents=True)
    (tmp_path / "rootfs/etc/os-release").write_text("NAME=Tree\n")
    (tmp_path / "rootfs/lib").symlink_to("usr/lib")
    subprocess.run(
        ["mksquashfs", str(tmp_path / "rootfs"), str(tmp_path / "root.squashfs"), "-quiet", "-no-progress"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    content = tmp_path / "content"
    (content / "docs").mkdir(parents=True)
    (content / "EFI/tools").mkdir(parents=True)
    (content / "EFI/tools/user.efi").write_text("the user's\n")
    (content / "README").write_text("read me\n")
    (content / "docs/guide").write_text("guide\n")
    os.chown(content / "README", 1234, 1234)
    subprocess.run(["tar", "-C", str(content), "-cJf", str(tmp_path / "cdroot.tar.xz"), "."], check=True)
    return tmp_path


def arguments(folder: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    return {
        "dest": str(folder / "out/live.iso"),
        "boot": str(folder / "boot"),
        "squashfs": str(folder / "root.squashfs"),
        "volid": "TEST",
        "title": "Mine",
        "source_date_epoch": EPOCH,
        "lock_timeout": 0,
        **options,
    }


def live_iso(folder: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    return playbook.module("live_iso", arguments(folder, **options), folder)


def on_iso(iso: str) -> dict[str, str]:
    """Owner of each file on an ISO, as xorriso lists them."""
    listing = subprocess.run(
        ["xorriso", "-no_rc", "-indev", f"stdio:{iso}", "-find", "/", "-exec", "lsdl"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout
    return {line.split()[-1].strip("'"): " ".join(line.split()[2:4]) for line in listing.splitlines() if "'" in line}


def extracted(iso: str, name: str, folder: pathlib.Path) -> str:
    target = folder / "extracted"
    target.unlink(missing_ok=True)
    subprocess.run(
        ["xorriso", "-no_rc", "-osirrox", "on", "-indev", f"stdio:{iso}", "-extract", name, str(target)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return target.read_text()


def esp_text(iso: str, name: str, folder: pathlib.Path) -> str:
    """A file of the EFI partition."""
    start = next(
        int(line.split()[1])
        for line in subprocess.run(
            ["partx", "--show", "--output", "NR,START", "--noheadings", iso],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.splitlines()
        if line.split()[0] == "2"
    )
    return subprocess.run(
        ["mtype", "-i", f"{iso}@@{start * 512}", f"::/{name}"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def remote(path: pathlib.Path) -> dict[str, t.Any]:
    return {"src": str(path), "remote_src": True}


def test_archives_are_unpacked_into_the_root_of_the_iso(folder: pathlib.Path) -> None:
    more = folder / "more"
    more.mkdir()
    (more / "own").write_text("x")
    options = {"cdroot_archives": [remote(folder / "cdroot.tar.xz")], "cdroot": str(more)}
    result = live_iso(folder, **options)
    assert result["changed"], result
    files = on_iso(result["path"])
    assert {"/README", "/docs/guide", "/own", "/LiveOS/squashfs.img"} <= set(files)
    assert files["/README"] == "0 0"
    assert live_iso(folder, **options)["changed"] is False


def test_archives_must_not_hold_what_is_there_anyway(folder: pathlib.Path) -> None:
    (folder / "content/boot/grub").mkdir(parents=True)
    (folder / "content/boot/grub/grub.cfg").write_text("x")
    subprocess.run(["tar", "-C", str(folder / "content"), "-cf", str(folder / "bad.tar"), "."], check=True)
    result = live_iso(folder, cdroot_archives=[remote(folder / "bad.tar")])
    assert result.get("failed")
    assert "cdroot_archives: " in result["msg"] and "contains boot/grub/grub.cfg" in result["msg"]
    (folder / "no.tar").write_text("no archive")
    assert "while unpacking cdroot_archives[0]" in live_iso(folder, cdroot_archives=[remote(folder / "no.tar")])["msg"]
    assert not [name for name in os.listdir(folder / "out") if ".partial" in name]


def archive(folder: pathlib.Path, name: str, content: dict[str, str], links: dict[str, str]) -> dict[str, t.Any]:
    """A tar archive of files by their content, and links by their targets."""
    source = folder / f"{name}.d"
    source.mkdir()
    for path, text in content.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    for path, target in links.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).symlink_to(target)
    subprocess.run(["tar", "-C", str(source), "-cf", str(folder / name), "."], check=True)
    return remote(folder / name)


def test_later_archives_replace_files_of_earlier_ones(folder: pathlib.Path) -> None:
    archives = [
        archive(folder, "one.tar", {"docs/guide": "first\n", "docs/more": "more\n"}, {"README": "docs/guide"}),
        archive(folder, "two.tar", {"docs/guide": "second\n", "README": "read me\n"}, {}),
    ]
    result = live_iso(folder, cdroot_archives=archives)
    assert result["changed"], result
    iso = result["path"]
    assert extracted(iso, "/docs/guide", folder) == "second\n"
    assert extracted(iso, "/docs/more", folder) == "more\n"
    assert extracted(iso, "/README", folder) == "read me\n"


def test_archives_are_not_unpacked_through_links_of_earlier_ones(folder: pathlib.Path) -> None:
    host = folder / "host"
    host.mkdir()
    (host / "file").write_text("of the host\n")
    link = archive(folder, "link.tar", {}, {"docs": str(host), "README": str(host / "file")})
    result = live_iso(folder, cdroot_archives=[link, archive(folder, "into.tar", {"docs/guide": "x\n"}, {})])
    assert result.get("failed"), result
    assert "cdroot_archives[1]" in result["msg"]
    assert "One archive has a directory where another one has a file or link" in result["msg"]
    result = live_iso(folder, cdroot_archives=[link, archive(folder, "over.tar", {"README": "x\n"}, {})])
    assert result["changed"], result
    assert extracted(result["path"], "/README", folder) == "x\n"
    assert [path.name for path in host.iterdir()] == ["file"]
    assert (host / "file").read_text() == "of the host\n"


@pytest.mark.parametrize(("name", "script"), [("boot", None), ("LiveOS", None), ("EFI", "true"), ("boot/grub", "true")])
@pytest.mark.parametrize("option", ["cdroot", "cdroot_archives"])
def test_links_in_place_of_our_directories_are_refused(
    folder: pathlib.Path, option: str, name: str, script: str | None
) -> None:
    host = folder / "host"
    host.mkdir()
    brought = archive(folder, "link.tar", {}, {name: str(host)})
    options: dict[str, t.Any] = {"cdroot_archives": [brought]} if option != "cdroot" else {}
    if option == "cdroot":
        options["cdroot"] = str(folder / "link.tar.d")
    result = live_iso(folder, **options) if script is None else edited(folder, script, **options)
    assert result.get("failed"), result
    assert f"{option}: {name} in " in result["msg"]
    assert "must be a directory, and no link to one" in result["msg"]
    assert list(host.iterdir()) == []


@pytest.mark.parametrize(
    ("size", "packed", "script", "needed"),
    [
        (200_000_000, False, False, 200_000_000),
        (60_000_000, False, True, 120_000_000),
        (60_000_000, True, False, 120_000_000),
    ],
    ids=["cdroot", "copied for a script", "unpacked"],
)
def test_a_disk_without_room_for_what_users_bring_is_refused(
    folder: pathlib.Path, size: int, packed: bool, script: bool, needed: int
) -> None:
    more = folder / "more"
    more.mkdir()
    with open(more / "zeros", "wb") as stream:
        stream.truncate(size)
    options: dict[str, t.Any] = {"cdroot": str(more)}
    if packed:
        subprocess.run(["tar", "-C", str(more), "-czf", str(folder / "zeros.tar.gz"), "."], check=True)
        options = {"cdroot_archives": [remote(folder / "zeros.tar.gz")]}
    if script:
        options.update(edit_boot_config={"content": "true"}, root=str(folder / "rootfs"))
    (folder / "out").mkdir()
    (folder / "small.json").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments(folder, **options)}))
    # The ISO itself would fit.
    module = "ansible_collections.liveforge.images.plugins.modules.live_iso"
    run = f"mount -t tmpfs -o size=150m tmpfs {folder}/out && exec {sys.executable} -m {module} {folder}/small.json"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", run]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    assert result.get("failed"), result
    assert f"Not enough space in {folder}/out for the ISO" in result["msg"]
    assert result["needed"] > needed + (64 << 20)


def test_an_own_menu_is_on_the_iso_and_in_the_result(folder: pathlib.Path) -> None:
    foreseen = live_iso(folder, grub_template={"content": MENU}, _ansible_check_mode=True)
    result = live_iso(folder, grub_template={"content": MENU}, kernelcmdline="quiet")
    assert result["changed"], result
    iso = result["path"]
    text = extracted(iso, "/boot/grub/grub.cfg", folder)
    assert f"search --no-floppy --file --set=root --hint=$root /boot/{result['mbrid']}" in text
    assert 'set isoboot="iso-scan/filename=${iso_path}"' in text
    assert extracted(iso, "/boot/grub/loopback.cfg", folder).rstrip("\n") == "source /boot/grub/grub.cfg"
    assert [entry["title"] for entry in result["menu"]] == ["Mine"]
    assert "quiet root=live:CDLABEL=TEST" in result["kernel_command_line"]
    assert "root=live:CDLABEL=TEST" in foreseen["kernel_command_line"]
    (folder / "grub.cfg").write_text(text)
    subprocess.run(["grub-script-check", str(folder / "grub.cfg")], check=True)
    again = live_iso(folder, grub_template={"content": MENU + "# more\n"}, kernelcmdline="quiet")
    assert again["reason"] == "changed: options.grub_template"


def test_a_menu_that_knows_nothing_of_iso_files_leaves_that_to_ours(folder: pathlib.Path) -> None:
    result = live_iso(folder, grub_template={"content": "menuentry a {\n linux ($$root)/boot/x ${boot_options}\n}\n"})
    assert result["changed"], result
    assert "iso-scan/filename=${iso_path}" in extracted(result["path"], "/boot/grub/loopback.cfg", folder)


def test_a_menu_with_unknown_variables_is_refused_before_anything_is_built(folder: pathlib.Path) -> None:
    result = live_iso(folder, grub_template={"content": "a\n${unknown}\n$root\n"}, _ansible_check_mode=True)
    assert result.get("failed")
    assert "line 2: unknown is none" in result["msg"] and "line 3: root is none" in result["msg"]


EDIT = """\
set -e
[ "$0" = image/edit_boot_config.sh ]
media=${1#iso:}
[ "$1" = "iso:$media" ] && [ "$2" = 1 ]
grep -q NAME=Tree etc/os-release
[ -d lib/ ]
sed -i 's/^set timeout=.*/set timeout=99/' "$media/boot/grub2/grub.cfg"
sed -i 's/root=live:/site=1 root=live:/' "$media/boot/grub/grub.cfg"
printf '# edited\\n' >>"$media/EFI/BOOT/grub.cfg"
echo shell >"$media/EFI/BOOT/new.efi"
echo hello >"$media/hello"
rm "$media/README"
! ip -o link show up 2>/dev/null | grep -v LOOPBACK
"""


def edited(folder: pathlib.Path, text: str = EDIT, **options: t.Any) -> dict[str, t.Any]:
    return live_iso(folder, edit_boot_config={"content": text}, root=str(folder / "rootfs"), **options)


def test_a_script_edits_the_medium(folder: pathlib.Path) -> None:
    options = {"cdroot_archives": [remote(folder / "cdroot.tar.xz")]}
    result = edited(folder, **options)
    assert result["changed"], result
    iso = result["path"]
    text = extracted(iso, "/boot/grub/grub.cfg", folder)
    assert "set timeout=99\n" in text
    assert "site=1 root=live:CDLABEL=TEST" in result["kernel_command_line"]
    files = on_iso(iso)
    # What the user brings below EFI is for the ISO, as without a script.
    assert {"/EFI/tools/user.efi", "/hello", "/docs/guide", "/boot/x86_64/loader/linux", "/LiveOS/squashfs.img"} <= set(
        files
    )
    assert not [name for name in files if name.startswith(("/README", "/EFI/BOOT", "/boot/grub2"))]
    assert files["/hello"] == "0 0"
    assert esp_text(iso, "EFI/BOOT/grub.cfg", folder).endswith("# edited\n")
    assert esp_text(iso, "EFI/BOOT/new.efi", folder) == "shell\n"
    assert edited(folder, **options)["changed"] is False
    first = result["sha256"]
    assert edited(folder, force=True, **options)["sha256"] == first
    # The tree that the script saw counts.
    (folder / "rootfs/etc/os-release").write_text("NAME=Tree\nVERSION=2\n")
    assert "root.content" in edited(folder, _ansible_check_mode=True, **options)["reason"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exit 7", "bwrap exited with 7 while running edit_boot_config"),
        ("echo x >etc/os-release", "It may write below /run/media only"),
        ("rm ${1#iso:}/boot/grub/grub.cfg", "edit_boot_config removed boot/grub/grub.cfg"),
        ("mkdir -p ${1#iso:}/LiveOS; echo >${1#iso:}/LiveOS/squashfs.img", "edit_boot_config made LiveOS/squashfs.img"),
    ],
)
def test_a_script_that_goes_too_far_fails(folder: pathlib.Path, text: str, message: str) -> None:
    result = edited(folder, text)
    assert result.get("failed"), result
    assert message in result["msg"]
    assert not (folder / "out/live.iso").exists()
    assert (folder / "rootfs/etc/os-release").read_text() == "NAME=Tree\n"


CURIOUS = """\
set -e
media=${1#iso:}
[ -s /etc/passwd ]
ls /etc >"$media/settings"
for file in /etc/shadow /etc/ssl/private /root/.bashrc /var/log; do
    if [ -e $file ]; then echo $file >>"$media/settings"; fi
done
if mount -t tmpfs tmpfs /tmp; then echo mounted >>"$media/settings"; fi
"""


def test_a_script_sees_nothing_secret_of_the_host_and_mounts_nothing(folder: pathlib.Path) -> None:
    result = edited(folder, CURIOUS)
    assert result["changed"], result
    seen = set(extracted(result["path"], "/settings", folder).split())
    assert "passwd" in seen
    others = {name for name in seen if not name.startswith("ld.so.")}
    assert others <= {"alternatives", "fonts", "group", "mke2fs.conf", "nsswitch.conf", "passwd"}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("rm -r $media/EFI; ln -s HOST $media/EFI", {}, "edit_boot_config left something else at EFI,"),
        ("ln -s HOST $media/EFI", {"firmware": "bios"}, None),
        ("ln -s HOST $media/LiveOS", {}, "edit_boot_config left something else at LiveOS,"),
        ("mv $media/boot $media/b; ln -s HOST $media/boot", {}, "edit_boot_config left something else at boot,"),
        ("ln -sf HOST/file $media/boot/grub/grub.cfg", {}, "removed boot/grub/grub.cfg, or put a link there"),
    ],
)
def test_links_that_a_script_leaves_are_not_followed(
    folder: pathlib.Path, text: str, options: dict[str, t.Any], message: str | None
) -> None:
    host = folder / "host"
    (host / "empty").mkdir(parents=True)
    (host / "grub2").symlink_to("grub")
    (host / "file").write_text("menuentry secret {\n}\n")
    result = edited(folder, "media=${1#iso:}; " + text.replace("HOST", str(host)), **options)
    if message is None:
        assert result["changed"], result
    else:
        assert result.get("failed"), result
        assert message in result["msg"]
    assert sorted(path.name for path in host.iterdir()) == ["empty", "file", "grub2"]


def test_a_script_needs_a_tree(folder: pathlib.Path) -> None:
    result = live_iso(folder, edit_boot_config={"content": "true"})
    assert "edit_boot_config needs root" in result["msg"]
    result = live_iso(folder, edit_boot_config={"content": "true"}, root=str(folder / "none"))
    assert f"root: {folder / 'none'} does not exist" in result["msg"]

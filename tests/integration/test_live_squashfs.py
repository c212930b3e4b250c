# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live_squashfs with real tools: what the image keeps, when it is built, and what happens when it cannot be."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import time
import typing as t
import warnings

import pytest

import playbook
from ansible_collections.liveforge.images.plugins.module_utils._digest import tree_content
from ansible_collections.liveforge.images.plugins.module_utils._lock import OutputLock
from integration import torture_tree

PRIVATE_MOUNTS = ["unshare", "--mount", "--propagation", "private", "--"]
LEFT_OUT = ("proc/", "sys/", "dev/", "run/", "tmp/")
FILESYSTEMS = ("squashfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "erofs")
REPRODUCIBLE = ("squashfs", "ext2", "ext3", "ext4", "erofs")
# What one of them cannot hold, so that a tree for it has none of that.
LIMITS: dict[str, dict[str, bool]] = {
    "btrfs": {"device_nodes": False, "plain_root": True},
    "erofs": {"long_name": False},
}


@pytest.fixture
def workspace(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with a small root tree in it."""
    root = tmp_path / "root"
    for name in ("usr", "proc", "sys", "dev", "run", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    (root / "etc/hostname").write_text("small\n")
    (root / "usr/data").write_bytes(os.urandom(1 << 20))
    return tmp_path


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> t.Callable[[str], pathlib.Path]:
    """The torture tree for a file system; made once for those that hold the same."""
    made: dict[str, pathlib.Path] = {}

    def tree(filesystem: str) -> pathlib.Path:
        limits = LIMITS.get(filesystem, {})
        key = repr(limits)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("torture") / "root"
            made[key].mkdir()
            torture_tree.make(str(made[key]), **limits)
        return made[key]

    return tree


def pack(workspace: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    """Run the module on the workspace's tree."""
    return playbook.module(
        "live_squashfs",
        {
            "root": str(workspace / "root"),
            "dest": str(workspace / "squashfs.img"),
            "compression": "fast",
            "source_date_epoch": torture_tree.EPOCH,
            "lock_timeout": 0,
            **options,
        },
        workspace,
    )


def mounted(image: pathlib.Path, filesystem: str, workspace: pathlib.Path) -> dict[str, dict[str, t.Any]]:
    """What the kernel sees in the image, mounted where nobody else sees it; the loop device ends with the mount."""
    outer, inner = workspace / "outer", workspace / "inner"
    outer.mkdir()
    inner.mkdir()
    script = 'mount -o loop,ro -t "$1" "$2" "$3"'
    if filesystem not in ("squashfs", "erofs"):
        script = (
            f'mount -o loop,ro -t squashfs "$2" "$4" && set -- "$1" "$4/LiveOS/rootfs.img" "$3" "" "$5" && {script}'
        )
    done = subprocess.run(
        [
            *(*PRIVATE_MOUNTS, "sh", "-c", script + ' && exec "$0" "$5" "$3"'),
            *(sys.executable, filesystem, str(image), str(inner), str(outer), torture_tree.__file__),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return t.cast("dict[str, dict[str, t.Any]]", json.loads(done.stdout))


def expected(root: pathlib.Path, filesystem: str) -> dict[str, dict[str, t.Any]]:
    """What the image of a tree shall hold."""
    # mkfs.btrfs keeps all times as they are.
    wanted = torture_tree.describe(str(root), latest=None if filesystem == "btrfs" else torture_tree.EPOCH)
    wanted = {path: entry for path, entry in wanted.items() if not path.startswith(LEFT_OUT)}
    for entry in wanted.values():
        if filesystem == "squashfs":
            for name in ("access", "default"):
                entry["attributes"].pop(f"system.posix_acl_{name}", None)
        if filesystem in ("btrfs", "erofs") and "sparse" in entry:  # holes are filled: same bytes, more space
            del entry["sparse"]
    if filesystem == "btrfs":
        del wanted["/"]["time"]
    return wanted


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_image_holds_what_the_tree_holds(
    filesystem: str, torture: t.Callable[[str], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    root = torture(filesystem)
    before = tree_content(str(root))
    result = pack(tmp_path, root=str(root), filesystem=filesystem)
    assert not result.get("failed"), result
    assert tree_content(str(root)) == before
    found = mounted(pathlib.Path(result["path"]), filesystem, tmp_path)
    wanted = expected(root, filesystem)
    assert sorted(found) == sorted(wanted)
    for path, entry in wanted.items():
        assert {name: found[path].get(name) for name in entry} == entry, path
        assert ("links" in found[path]) == ("links" in entry), path
    names = {path for path, entry in wanted.items() if entry.get("same", path) == path}
    assert result["inodes"] == len(names)
    assert result["filesystem"] == filesystem
    assert (result["rootfs_size"] is None) == (filesystem in ("squashfs", "erofs"))
    assert (result["uuid"] is None) == (filesystem == "squashfs")
    assert result["dropped_attributes"] == (["etc/acl", "var/acls"] if filesystem == "squashfs" else [])
    assert result["size"] == os.path.getsize(result["path"])
    assert stat.S_IMODE(os.stat(result["path"]).st_mode) == 0o644
    assert not list(tmp_path.glob(".*"))


def test_squashfs_unpacks_to_the_same_content(torture: t.Callable[[str], pathlib.Path], tmp_path: pathlib.Path) -> None:
    root = torture("squashfs")
    result = pack(tmp_path, root=str(root), exclude=["etc/acl", "var/acls"])
    subprocess.run(["unsquashfs", "-q", "-n", "-d", str(tmp_path / "copy"), result["path"]], check=True)
    left_out = ("etc/acl", "var/acls")
    assert tree_content(str(tmp_path / "copy")) == tree_content(str(root), lambda path: path not in left_out)
    assert result["dropped_attributes"] == []


@pytest.mark.parametrize("filesystem", ["squashfs", "ext4", "erofs"])
def test_excluded_paths_and_nothing_else_are_left_out(
    filesystem: str, torture: t.Callable[[str], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    root = torture("erofs")
    exclude = [
        *("many/1*", "odd-folders/*/inside", "etc/linked-too", "no/such", "names/[*]glob*", "names/+*", "names/*\\*"),
        *("names/*\n*", "names/-*", "names/#*", "names/ *", "names/\udcff*", "deep", "var/l*"),
    ]
    result = pack(tmp_path, root=str(root), filesystem=filesystem, exclude=exclude)
    assert not result.get("failed"), result
    gone = {
        path
        for path in expected(root, filesystem) | torture_tree.describe(str(root))
        if path.startswith(("many/1", "deep", "var/l", "names/ ", "names/-", "names/#", "names/*", "names/+"))
        or path.endswith("/inside")
        or path == "etc/linked-too"
        or (path.startswith("names/") and ("\\" in path or "\n" in path or "\udcff" in path))
    }
    found = mounted(pathlib.Path(result["path"]), filesystem, tmp_path)
    wanted = set(torture_tree.describe(str(root))) - gone
    assert sorted(found) == sorted(wanted)
    assert found["etc/linked"]["links"] == 2
    # Folders that something was taken from keep what they are.
    for folder in ("/", "names", "odd-folders"):
        original = torture_tree.describe(str(root))[folder]
        assert {name: found[folder][name] for name in ("mode", "owner", "attributes")} == {
            name: original[name] for name in ("mode", "owner", "attributes")
        }


def test_check_run_check_run(workspace: pathlib.Path) -> None:
    image = workspace / "squashfs.img"
    before = sorted(os.listdir(workspace))
    predicted = pack(workspace, _ansible_check_mode=True)
    assert predicted["changed"] and predicted["reason"] == f"{image} does not exist"
    assert [name for name in sorted(os.listdir(workspace)) if not name.endswith(".json")] == before
    built = pack(workspace)
    assert built["changed"] and built["fingerprint"] == predicted["fingerprint"]
    assert built["compression"] == predicted["compression"]
    again = pack(workspace, _ansible_check_mode=True)
    assert not again["changed"]
    started = time.monotonic()
    unchanged = pack(workspace)
    assert not unchanged["changed"] and unchanged["inodes"] == built["inodes"]
    assert time.monotonic() - started < 5
    # Neither times nor limits of the build count.
    for folder, dummy, names in os.walk(workspace / "root"):
        for name in names:
            os.utime(os.path.join(folder, name))
    assert not pack(workspace, processors=1, memory=64)["changed"]


def test_a_tree_with_next_to_nothing_in_it_is_packed_again(workspace: pathlib.Path) -> None:
    (workspace / "root/usr/data").unlink()
    assert pack(workspace)["ratio"] == 0
    (workspace / "root/etc/hostname").write_text("other\n")
    assert pack(workspace)["changed"]


def test_reason_names_what_changed(workspace: pathlib.Path) -> None:
    pack(workspace)
    (workspace / "root/etc/hostname").write_text("other\n")
    result = pack(workspace)
    assert result["changed"] and "root.content" in result["reason"]
    assert "compression.level (3 -> 5)" in pack(workspace, compression_level=5)["reason"]
    assert "exclude (" in pack(workspace, compression_level=5, exclude=["proc/*"])["reason"]


@pytest.mark.parametrize("filesystem", REPRODUCIBLE)
def test_same_bytes_on_another_disk_with_other_processors(
    filesystem: str, torture: t.Callable[[str], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    root = torture("erofs")
    # mksquashfs and mkfs.erofs store the attributes of one file in the order in which its file system lists them.
    exclude = ["tmp/*", "etc/many-attributes"] if filesystem in ("squashfs", "erofs") else ["tmp/*"]
    # Another file system has other inodes and another order of names; access and change times differ as well.
    memory = pathlib.Path("/dev/shm") / f"liveforge-{os.getpid()}"
    memory.mkdir()
    try:
        if not holds_user_attributes(memory):
            root = copy_without_user_attributes(root, tmp_path / "copy")
            warnings.warn("no user.* attributes in /dev/shm (Linux 6.6 has them): compared without them", stacklevel=1)
        first = pack(tmp_path, root=str(root), filesystem=filesystem, exclude=exclude, processors=1)
        subprocess.run(["cp", "-a", str(root), str(memory / "tree")], check=True)
        for folder, dummy, names in os.walk(memory / "tree"):
            for name in names:
                full = os.path.join(folder, name)
                if os.lstat(full).st_mtime > torture_tree.EPOCH:
                    os.utime(full, (1, torture_tree.EPOCH + 99), follow_symlinks=False)
        os.mkdir(memory / "out")
        second = pack(memory / "out", root=str(memory / "tree"), filesystem=filesystem, exclude=exclude, processors=2)
        assert not second.get("failed"), second
        assert second["uuid"] == first["uuid"]
        assert _digest(second["path"]) == _digest(first["path"])
    finally:
        shutil.rmtree(memory)


def holds_user_attributes(folder: pathlib.Path) -> bool:
    try:
        os.setxattr(folder, "user.probe", b"")
    except OSError:
        return False
    os.removexattr(folder, "user.probe")
    return True


def copy_without_user_attributes(root: pathlib.Path, copy: pathlib.Path) -> pathlib.Path:
    subprocess.run(["cp", "-a", str(root), str(copy)], check=True)
    for folder, folders, files in os.walk(copy):
        for path in (os.path.join(folder, name) for name in ("", *folders, *files)):
            for name in os.listxattr(path, follow_symlinks=False):
                if name.startswith("user."):
                    os.removexattr(path, name, follow_symlinks=False)
    return copy


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@pytest.mark.parametrize("filesystem", [pytest.param("squashfs", marks=pytest.mark.full), "ext4"])
def test_killed_build_leaves_nothing_that_runs_and_the_next_one_completes(
    filesystem: str, workspace: pathlib.Path
) -> None:
    for number in range(40):
        (workspace / f"root/usr/random{number}").write_bytes(os.urandom(1 << 20))
    options = {"compression": "smallest", "filesystem": filesystem, "processors": 1}
    arguments = workspace / "killed.json"
    arguments.write_text(
        json.dumps(
            {
                "ANSIBLE_MODULE_ARGS": {
                    **{"root": str(workspace / "root"), "dest": str(workspace / "squashfs.img"), **options},
                    "source_date_epoch": torture_tree.EPOCH,
                }
            }
        )
    )
    module = "ansible_collections.liveforge.images.plugins.modules.live_squashfs"
    # Its last tool, or any tool on the way.
    for tool in ("mksquashfs", "mkfs.ext4") if filesystem == "ext4" else ("mksquashfs",):
        build = subprocess.Popen([sys.executable, "-m", module, str(arguments)], stdout=subprocess.DEVNULL)
        wait_for(lambda tool=tool: _running(str(workspace), tool), 60)
        os.kill(build.pid, signal.SIGKILL)
        build.wait()
        wait_for(lambda: not _running(str(workspace), ""), 10)
        assert str(workspace) not in pathlib.Path("/proc/self/mountinfo").read_text()
        assert not (workspace / "squashfs.img").exists()
    result = pack(workspace, **options)
    assert result["changed"], result
    assert not list(workspace.glob(".*"))


def _running(folder: str, tool: str) -> bool:
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(os.fsencode(folder)) for word in words) and words[0].endswith(tool.encode()):
            return True
    return False


def wait_for(condition: t.Callable[[], bool], seconds: float) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("filesystem", ["squashfs", "ext4", "btrfs", "erofs"])
def test_full_disk_is_named_and_the_old_image_stays(filesystem: str, workspace: pathlib.Path) -> None:
    """The preflight cannot know how well a tree compresses, so that a disk may well fill up meanwhile."""
    code = """
import json, os, pathlib, subprocess, sys
sys.path.insert(0, sys.argv[1])
import playbook
folder = pathlib.Path(sys.argv[2])
options = json.loads(sys.argv[3])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", options["small"]], check=True)
dest = options["small"] + "/squashfs.img"
pathlib.Path(dest).write_text("the old image")
result = playbook.module("live_squashfs", {**options["module"], "dest": dest}, folder)
result["old"] = pathlib.Path(dest).read_text(errors="replace")
result["left"] = sorted(os.listdir(options["small"]))
print(json.dumps(result))
"""
    (workspace / "small").mkdir()
    (workspace / "root/usr/random").write_bytes(os.urandom(4 << 20))
    options = {"root": str(workspace / "root"), "filesystem": filesystem}
    done = subprocess.run(
        [
            *(*PRIVATE_MOUNTS, sys.executable, "-c", code, str(playbook.ROOT / "tests"), str(workspace)),
            json.dumps({"small": str(workspace / "small"), "module": options}),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["failed"]
    assert "full" in result["msg"] or "space" in result["msg"], result["msg"]
    assert result["old"] == "the old image"
    assert not [name for name in result["left"] if name.startswith(".")]


def test_a_tree_that_another_build_made_anew_is_refused(workspace: pathlib.Path) -> None:
    """In check mode, another fingerprint is that of the tree that would be there."""
    other = {str(workspace / "root"): "of another tree"}
    assert pack(workspace, input_fingerprints=other, _ansible_check_mode=True)["changed"]
    assert pack(workspace)["changed"]
    before = (workspace / "squashfs.img").read_bytes()
    refused = pack(workspace, input_fingerprints=other)
    assert refused["failed"] and "another build has made it anew meanwhile" in refused["msg"]
    assert (workspace / "squashfs.img").read_bytes() == before


def test_disk_that_cannot_do_is_refused_before_the_build(workspace: pathlib.Path) -> None:
    with open(workspace / "root/usr/huge", "wb") as stream:
        # Reserved but never written, so that it costs nothing.
        os.posix_fallocate(stream.fileno(), 0, 1 << 30)
    (workspace / "small").mkdir()
    code = 'mount -t tmpfs -o size=2m tmpfs $1 && shift && exec "$@"'
    arguments = workspace / "arguments.json"
    arguments.write_text(
        json.dumps(
            {
                "ANSIBLE_MODULE_ARGS": {
                    "root": str(workspace / "root"),
                    "dest": str(workspace / "small/squashfs.img"),
                }
            }
        )
    )
    module = "ansible_collections.liveforge.images.plugins.modules.live_squashfs"
    done = subprocess.run(
        [
            *PRIVATE_MOUNTS,
            "sh",
            "-c",
            code,
            "sh",
            str(workspace / "small"),
            sys.executable,
            "-m",
            module,
            str(arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(done.stdout)
    assert result["failed"] and "Not enough space in" in result["msg"], result


REFUSED: list[tuple[str, dict[str, t.Any], str]] = [
    ("rmdir proc; ln -s /proc proc", {}, "no directories proc"),
    ("rm -r usr sys", {}, "no directories usr, sys"),
    ("mknod etc/node c 1 3", {"filesystem": "btrfs"}, "device nodes, but the tree has etc/node."),
    ("chmod 700 .", {"filesystem": "btrfs"}, "has 0700"),
    ("", {"filesystem": "ext4", "size": 24}, "does not fit into 24 MiB. Raise size"),
    ("", {"filesystem": "ext4", "fscreateoptions": "-O no_such_feature"}, "Invalid filesystem option"),
    ("", {"filesystem": "erofs", "erofscompression": "brotli"}, "cannot compress with brotli, only with lz4"),
    ("", {"fscreateoptions": "-no-such-option"}, "invalid option"),
]


@pytest.mark.parametrize(("change", "options", "message"), REFUSED)
def test_refused_with_a_message(change: str, options: dict[str, t.Any], message: str, workspace: pathlib.Path) -> None:
    subprocess.run(["sh", "-ec", change], check=True, cwd=workspace / "root")
    if options.get("size"):
        (workspace / "root/usr/large").write_bytes(os.urandom(30 << 20))
    result = pack(workspace, **options)
    assert result["failed"] and message in result["msg"], result
    assert not (workspace / "squashfs.img").exists()
    assert not list(workspace.glob(".*"))


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        (torture_tree.acl(4, 4, 4, 4), False),
        (torture_tree.acl(6, 4, 6, 4), True),  # the group would get the mask's w
        (torture_tree.acl(0, 4, 4, 4), True),  # user 1000 would get what others have
    ],
)
def test_squashfs_never_widens_rights(value: bytes, refused: bool, workspace: pathlib.Path) -> None:
    os.setxattr(workspace / "root/etc/hostname", torture_tree.ACL, value)
    result = pack(workspace)
    if refused:
        assert result["failed"] and "etc/hostname" in result["msg"] and "setfacl" in result["msg"]
    else:
        assert result["dropped_attributes"] == ["etc/hostname"]
        assert "etc/hostname" in str(result["warnings"])


def test_erofs_says_which_names_it_cannot_pack(workspace: pathlib.Path) -> None:
    name = "n" * 255
    (workspace / "root/etc" / name).write_text("x")
    result = pack(workspace, filesystem="erofs")
    if result.get("failed"):  # erofs-utils 1.5
        assert f"etc/{name}" in result["msg"]
    else:
        assert f"etc/{name}" in mounted(pathlib.Path(result["path"]), "erofs", workspace)


def test_readers_run_side_by_side_but_not_beside_a_writer(workspace: pathlib.Path) -> None:
    reader = OutputLock(str(workspace / "root"), shared=True)
    reader.acquire(0, print)
    assert pack(workspace)["changed"]
    reader.release()
    writer = OutputLock(str(workspace / "root"))
    writer.acquire(0, print)
    result = pack(workspace, force=True)
    writer.release()
    assert result["failed"] and f"process {os.getpid()}" in result["msg"]


def test_label_and_options_reach_the_file_system(workspace: pathlib.Path) -> None:
    more = "-O ^has_journal -E stride=8"
    result = pack(workspace, filesystem="ext4", label="my root", size=64, fscreateoptions=more)
    assert not result.get("failed"), result
    subprocess.run(["unsquashfs", "-q", "-n", "-d", str(workspace / "out"), result["path"]], check=True)
    header = subprocess.run(
        ["dumpe2fs", "-h", str(workspace / "out/LiveOS/rootfs.img")], capture_output=True, text=True, check=True
    ).stdout
    assert "Filesystem volume name:   my root" in header
    assert f"Filesystem UUID:          {result['uuid']}" in header
    assert "has_journal" not in header and "metadata_csum" in header
    assert "RAID stride:              8" in header and f"Directory Hash Seed:      {result['uuid']}" in header
    assert os.path.getsize(workspace / "out/LiveOS/rootfs.img") == result["rootfs_size"] == 64 << 20


def test_check_mode_of_a_task_with_async(workspace: pathlib.Path) -> None:
    """Nothing is started then, so there is no job to ask after."""
    image = workspace / "squashfs.img"
    pack = {"liveforge.images.live_squashfs": {"root": str(workspace / "root"), "dest": str(image)}}
    play = workspace / "play.json"
    play.write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [{**pack, "async": 60, "poll": 1}]}])
    )
    done = playbook.run([playbook.PROGRAM, str(play), "--check"])
    assert done.returncode == 0, done.stdout
    assert "changed=1" in done.stdout
    assert not image.exists()


def test_options_of_all_stages_in_module_defaults(workspace: pathlib.Path) -> None:
    """The group has the stage modules alone: no other one has their options, and would refuse them."""
    image = workspace / "squashfs.img"
    tasks = [
        {"liveforge.images.live_squashfs": {"root": str(workspace / "root"), "dest": str(image)}},
        {"liveforge.images.live_cache": {"cache": str(workspace / "cache")}},
    ]
    defaults = {"group/liveforge.images.live": {"force": True, "lock_timeout": 5}}
    play = workspace / "play.json"
    play.write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks * 2}])
    )
    done = playbook.run([playbook.PROGRAM, str(play)])
    assert done.returncode == 0, done.stdout
    assert "changed=2" in done.stdout

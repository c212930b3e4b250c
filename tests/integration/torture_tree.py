# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A root tree with everything in it that file systems and tools like to lose, and a description to compare it by.

Run as a program with the path of a tree, it prints the description as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import sys
import typing as t

NEW = 1_900_000_000  # later than EPOCH: to be clamped
EPOCH = 1_700_000_000
OLD = 981_173_106
ODD_NAMES = (
    b"with blank",
    b" leading",
    b"trailing ",
    b"new\nline",
    b'double"quote',
    b"single'quote",
    b"back\\slash",
    b"ends in\\",
    b"\xff\xfe not UTF-8",
    "中文".encode(),
    b"*glob?[a-z]",
    b"+(ext|glob)!(x)",
    b"#hash",
    b"-dash",
    b"a:b",
    b"x,y",
    b"a=b;c&d",
    b"$dollar",
    b"$",
    b"tab\tand \x01",
)
LONG_NAME = b"n" * 255
_CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # cap_net_raw=ep, capability(7)
ACL = "system.posix_acl_access"


def acl(named: int, group: int, mask: int, other: int) -> bytes:
    """An access control list: owner rw, the user 1000, the owning group, mask, others (posix_acl_xattr.h)."""
    nobody = 0xFFFFFFFF
    entries = [(1, 6, nobody), (2, named, 1000), (4, group, nobody), (16, mask, nobody), (32, other, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def make(root: str, *, device_nodes: bool = True, long_name: bool = True, plain_root: bool = False) -> None:
    """Make the tree; root rights are needed. Flags leave out what some file systems refuse."""

    def path(name: bytes) -> bytes:
        return os.path.join(os.fsencode(root), name)

    def write(name: bytes, data: bytes = b"content\n", mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> bytes:
        full = path(name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as stream:
            stream.write(data)
        os.chown(full, *owner)
        os.chmod(full, mode)
        return full

    for folder in (b"usr", b"proc", b"sys", b"dev", b"run", b"tmp", b"empty/dir", b"var/acls"):
        os.makedirs(path(folder))
    os.chmod(path(b"tmp"), 0o1777)
    os.setxattr(path(b"tmp"), "user.folder", b"kept")
    # Left out by default, all of it.
    write(b"run/lock/pid")
    write(b"tmp/.hidden")
    os.mknod(path(b"dev/null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))

    write(b"etc/owned", owner=(1000, 70000))
    write(b"etc/large-ids", owner=(4_000_000_000, 4_000_000_001))
    for mode in (0o4755, 0o2755, 0o1644, 0o000):
        write(b"usr/mode%o" % mode, mode=mode)
    os.setxattr(write(b"etc/attributes"), "user.binary", b"zero \0 and \xff")
    os.setxattr(path(b"etc/attributes"), "trusted.note", b"t")
    os.setxattr(write(b"usr/ping", mode=0o755), "security.capability", _CAPABILITY)
    os.setxattr(write(b"etc/acl"), ACL, acl(4, 4, 4, 4))
    os.setxattr(path(b"var/acls"), "system.posix_acl_default", acl(4, 4, 4, 4))
    many = write(b"etc/many-attributes")
    for number in range(25):
        os.setxattr(many, f"user.number{number}", b"v" * 100)

    os.setxattr(write(b"etc/linked"), "user.linked", b"1")
    os.link(path(b"etc/linked"), path(b"etc/linked-too"))
    os.link(path(b"etc/linked"), path(b"usr/linked-far"))
    with open(path(b"var/sparse"), "wb") as stream:
        stream.truncate(100 << 20)
        stream.seek(50 << 20)
        stream.write(b"an island")
    write(b"var/zeros", bytes(300_000))
    write(b"var/empty-file", b"")
    write(b"var/one-block", b"b" * 4096)
    write(b"var/large", hashlib.shake_256(b"seed").digest(3 << 20) + b"a" * (2 << 20))
    for number in range(1200):
        write(b"many/%d" % number, b"%d" % number)

    if device_nodes:
        os.mknod(path(b"var/block"), stat.S_IFBLK | 0o660, os.makedev(259, 300))
        os.mknod(path(b"var/char"), stat.S_IFCHR | 0o620, os.makedev(4, 70000))
    os.mkfifo(path(b"var/fifo"))
    os.mknod(path(b"var/socket"), stat.S_IFSOCK | 0o755)
    os.symlink(b"owned", path(b"etc/link"))
    os.lchown(path(b"etc/link"), 5, 6)
    os.symlink(b"/does/not/exist", path(b"dangling"))
    for length in (59, 60, 1000):
        os.symlink(b"t" * length, path(b"var/link%d" % length))

    for name in ODD_NAMES:
        write(b"names/" + name, name)
        write(b"odd-folders/" + name + b"/inside", name)
    if long_name:
        write(b"names/" + LONG_NAME)
    deep = path(b"deep")
    for number in range(40):
        deep = os.path.join(deep, b"%02d" % number + b"y" * 60)
    os.makedirs(deep)

    for folder, dummy, names in os.walk(path(b""), topdown=False):
        for name in [*names, b""]:
            os.utime(os.path.join(folder, name), (NEW, NEW), follow_symlinks=False)
    for name in (b"etc/owned", b"etc/link", b"var/acls", b"empty"):
        os.utime(path(name), (OLD, OLD), follow_symlinks=False)
    if not plain_root:
        os.chmod(root, 0o711)
        os.chown(root, 7, 8)
        os.setxattr(root, "user.root", b"r")
    os.utime(root, (OLD, OLD))


def describe(root: str, *, latest: int | None = None) -> dict[str, dict[str, t.Any]]:
    """Everything about a tree by path; ``latest`` caps the times."""
    found: dict[str, dict[str, t.Any]] = {}
    first: dict[int, str] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        if not folder:
            found["/"] = _entry(root, os.lstat(root), latest)
        for name in sorted(os.listdir(os.path.join(root, folder))):
            path = os.path.join(folder, name)
            full = os.path.join(root, path)
            status = os.lstat(full)
            if path == "lost+found":
                continue
            found[path] = _entry(full, status, latest)
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
            elif status.st_nlink > 1:
                found[path] |= {"links": status.st_nlink, "same": first.setdefault(status.st_ino, path)}
    return found


def _entry(path: str, status: os.stat_result, latest: int | None) -> dict[str, t.Any]:
    modified = int(status.st_mtime)
    entry: dict[str, t.Any] = {
        "mode": oct(status.st_mode),
        "owner": [status.st_uid, status.st_gid],
        "time": modified if latest is None else min(modified, latest),
        # XFS shows its form of access control lists, too.
        "attributes": {
            name: os.getxattr(path, name, follow_symlinks=False).hex()
            for name in sorted(os.listxattr(path, follow_symlinks=False))
            if not name.startswith("trusted.SGI_ACL_")
        },
    }
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as stream:
            entry |= {"size": status.st_size, "content": hashlib.file_digest(stream, "sha256").hexdigest()}
        entry["sparse"] = status.st_size > 1 << 26 and status.st_blocks * 512 < 1 << 24
    elif stat.S_ISLNK(status.st_mode):
        entry["target"] = os.readlink(path)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        entry["device"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    return entry


if __name__ == "__main__":
    json.dump(describe(sys.argv[1]), sys.stdout)

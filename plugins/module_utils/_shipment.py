# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees and files that travel from the controller to the build host. Private to this collection.

The same code describes a source on the controller (action plugin) and on the build host (``remote_src``), so that a
fingerprint does not depend on where the source lay.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256, fingerprint, walk
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

SINGLE_FILE = "content"


def describe(source: str) -> dict[str, str]:
    """What a tree holds, as ``{absolute path in the image: "mode kind digest"}``; for one file a single entry.

    Modes and contents count; owners, times and hard links do not: a shipped tree belongs to root, as in KIWI.
    """
    if not os.path.isdir(source):
        return {SINGLE_FILE: f"file {file_sha256(source)}"}
    entries = {}
    for relative, status in walk(source):
        path = os.path.join(source, relative)
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        name = os.fsencode("/" + relative).decode("utf-8", "backslashreplace")
        if stat.S_ISDIR(status.st_mode):
            entries[name] = f"{mode} directory"
        elif stat.S_ISLNK(status.st_mode):
            entries[name] = f"link {os.fsencode(os.readlink(path)).decode('utf-8', 'backslashreplace')}"
        elif stat.S_ISREG(status.st_mode):
            entries[name] = f"{mode} file {file_sha256(path)}"
        else:
            raise StageError(f"{path} is neither a file, a directory nor a symbolic link; make it in a script instead.")
    return entries


def identity(entries: t.Mapping[str, str]) -> str:
    """The name under which an archive with these entries is kept on the build host."""
    return fingerprint(dict(entries))


def write_archive(source: str, archive: str) -> None:
    """Pack a tree into a tar archive that depends on nothing but its content; one file is copied as it is."""
    if not os.path.isdir(source):
        shutil.copyfile(source, archive)
        return

    def neutral(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = 0
        return member

    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for relative, dummy in walk(source):
            tar.add(os.path.join(source, relative), arcname=relative, recursive=False, filter=neutral)


def place_archive(source: str, archive: str) -> None:
    """Give the archive of a tree or file its place on this host, whole or not at all; only its owner can read it."""
    os.makedirs(os.path.dirname(archive), mode=0o700, exist_ok=True)
    partial = archive + ".partial"
    write_archive(source, partial)
    os.chmod(partial, 0o600)
    os.replace(partial, archive)


def archive_path(dest: str, archive_identity: str) -> str:
    """Where the stage that makes ``dest`` finds a shipped archive on the build host."""
    return os.path.join(dest + ".inputs", archive_identity)

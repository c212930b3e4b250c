# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees and files that travel from the controller to the build host. Private to this collection.

The same code describes a source on the controller (action plugin) and on the build host (``remote_src``), so that a
fingerprint does not depend on where the source lay.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import add_from, file_sha256, fingerprint, walk
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

SINGLE_FILE = "content"
_VAULT_HEADER = b"$ANSIBLE_VAULT;"


def is_vaulted(path: str) -> bool:
    """Whether a file is encrypted with Ansible Vault."""
    with open(path, "rb") as stream:
        return stream.read(len(_VAULT_HEADER)) == _VAULT_HEADER


def describe(source: str, *, refuse_vaulted: bool = False) -> dict[str, str]:
    """What a tree holds, as ``{absolute path in the image: "mode kind digest"}``; for one file a single entry.

    Modes and contents count; owners, times and hard links do not: a shipped tree belongs to root, as in KIWI.

    Args:
        source: the tree or file.
        refuse_vaulted: whether a file of a tree that is encrypted with Ansible Vault is an error.
    """
    if not os.path.isdir(source):
        return {SINGLE_FILE: f"file {file_sha256(source)}"}
    entries = {}
    for relative, status in walk(source):
        path = os.path.join(source, relative)
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        name = _shown("/" + relative)
        if stat.S_ISDIR(status.st_mode):
            entries[name] = f"{mode} directory"
        elif stat.S_ISLNK(status.st_mode):
            entries[name] = f"link {_shown(os.readlink(path))}"
        elif stat.S_ISREG(status.st_mode):
            if refuse_vaulted and is_vaulted(path):
                raise StageError(
                    f"{path} is encrypted with Ansible Vault, and a tree is taken as it is. Declare this file under "
                    "files instead, whose src is decrypted. If it shall be encrypted in the image, put it into an "
                    "archive."
                )
            entries[name] = f"{mode} file {file_sha256(path)}"
        else:
            raise StageError(f"{path} is neither a file, a directory nor a symbolic link; make it in a script instead.")
    return entries


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def identity(entries: t.Mapping[str, str]) -> str:
    """The name under which an archive with these entries is kept on the build host."""
    return fingerprint(dict(entries))


def archive_entries(archive: str, is_tree: bool) -> dict[str, str] | None:
    """What an archive holds, as :func:`describe` has it of its source; None when it was cut short or is damaged."""
    if not is_tree:
        return {SINGLE_FILE: f"file {file_sha256(archive)}"}
    entries: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                name = _shown("/" + member.name)
                if member.isdir():
                    entries[name] = f"{member.mode:04o} directory"
                elif member.issym():
                    entries[name] = f"link {_shown(member.linkname)}"
                elif member.isreg():
                    entries[name] = f"{member.mode:04o} file {_sha256(tar, member)}"
                else:
                    # Earlier versions made hard links, which are not described.
                    return None
    except (tarfile.TarError, EOFError):
        return None
    return entries


def is_whole(archive: str, entries: t.Mapping[str, str]) -> bool:
    """Whether there is this archive, with these entries: a power failure or a full disk may have cut it short."""
    try:
        return archive_entries(archive, SINGLE_FILE not in entries) == dict(entries)
    except FileNotFoundError:
        return False


def _sha256(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    digest = hashlib.sha256()
    stream = tar.extractfile(member)
    if stream is not None:
        add_from(digest, t.cast("t.BinaryIO", stream), member.size)
    return digest.hexdigest()


def write_archive(source: str, archive: str, expected: str) -> None:
    """Pack a tree into a tar archive that depends on nothing but its content; one file is copied as it is.

    Args:
        source: the tree or file.
        archive: where to write.
        expected: :func:`identity` of what the source was described to hold.

    Raises:
        StageError: the source holds something else by now.
    """
    _write_archive(source, archive)
    found = archive_entries(archive, os.path.isdir(source))
    if found is None or identity(found) != expected:
        raise StageError(f"{source} was changed while it was read. Run again when nobody writes there.")


def _write_archive(source: str, archive: str) -> None:
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
            # A checkout may be deduplicated, which is not described: further names of a file are files, too.
            tar.inodes.clear()
            tar.add(os.path.join(source, relative), arcname=relative, recursive=False, filter=neutral)


def place_archive(source: str, archive: str) -> None:
    """Give the archive of a tree or file its place on this host, whole or not at all; only its owner can read it."""
    folder, name = os.path.split(archive)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    # Whoever brings archives holds no lock yet, so two runs may be at the same one.
    descriptor, partial = tempfile.mkstemp(prefix=f".{name}.", suffix=".partial", dir=folder)
    os.close(descriptor)
    try:
        write_archive(source, partial, name)
        os.replace(partial, archive)
    except BaseException:
        os.unlink(partial)
        raise


def archive_path(dest: str, archive_identity: str) -> str:
    """Where the stage that makes ``dest`` finds a shipped archive on the build host."""
    return os.path.join(dest + ".inputs", archive_identity)

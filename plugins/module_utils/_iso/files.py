# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files and descriptors of an ISO 9660 image, read with pycdlib. Private to this collection.

Formats: ECMA-119, and the El Torito bootable CD-ROM specification 1.0 with UEFI's platform 0xEF.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import struct
import traceback
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso.media_tag import BLOCK

try:
    import pycdlib
except ImportError:
    pycdlib = None
    PYCDLIB_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    PYCDLIB_IMPORT_ERROR = None

_PRIMARY = 16 * BLOCK
_PLATFORMS = {0x00: "bios", 0x01: "powerpc", 0x02: "mac", 0xEF: "efi"}


@dataclasses.dataclass(frozen=True)
class IsoFile:
    """One file: its size, and where its bytes lie (start and length of each extent, in bytes)."""

    size: int
    extents: tuple[tuple[int, int], ...]


class IsoFiles:
    """An open ISO image; made by :func:`open_iso`.

    Attributes:
        path: the file.
        stream: its bytes.
        size: its size in bytes.
        volume_size: size in bytes that the volume descriptor gives.
        files: every file by its path without a leading slash, Rock Ridge names where there are any.
    """

    def __init__(self, path: str, stream: t.BinaryIO, size: int, volume_size: int, iso: t.Any) -> None:
        self.path = path
        self.stream = stream
        self.size = size
        self.volume_size = volume_size
        self._iso = iso
        self._rock_ridge = bool(iso.has_rock_ridge())
        self._joliet = bool(iso.has_joliet())
        self.files = dict(self._walk())

    def read(self, name: str, limit: int | None = None) -> bytes:
        """The content of a file, or its first ``limit`` bytes."""
        wanted = self.files[name].size if limit is None else limit
        parts = []
        for start, length in self.files[name].extents:
            self.stream.seek(start)
            parts.append(self.stream.read(min(length, wanted)))
            wanted -= len(parts[-1])
        return b"".join(parts)

    def volume(self) -> dict[str, t.Any]:
        """What the primary volume descriptor says."""
        descriptor = self._iso.pvd
        return {
            "volume_id": _text(descriptor.volume_identifier),
            "application_id": _text(descriptor.application_identifier),
            "publisher": _text(descriptor.publisher_identifier),
            "preparer": _text(descriptor.preparer_identifier),
            "system_id": _text(descriptor.system_identifier),
            "volume_size": self.volume_size,
            "created": _date(descriptor.volume_creation_date),
            "modified": _date(descriptor.volume_modification_date),
            "rock_ridge": self._rock_ridge,
            "joliet": self._joliet,
        }

    def application_use(self) -> bytes:
        """The 512 bytes of the descriptor that are free for applications."""
        return bytes(self._iso.pvd.application_use)

    def el_torito(self) -> list[dict[str, t.Any]]:
        """The entries of the boot catalog in their order."""
        catalog = self._iso.eltorito_boot_catalog
        if catalog is None:
            return []
        found = [(catalog.validation_entry.platform_id, catalog.initial_entry)]
        found += [(section.platform_id, entry) for section in catalog.sections for entry in section.section_entries]
        return [
            {
                "platform": _PLATFORMS.get(platform, f"0x{platform:02x}"),
                "bootable": entry.boot_indicator == 0x88,
                "emulation": entry.boot_media_type & 0x0F,
                "load_sectors": entry.sector_count,
                "start": entry.load_rba * BLOCK,
            }
            for platform, entry in found
        ]

    def _walk(self) -> t.Iterator[tuple[str, IsoFile]]:
        kind = "rr_path" if self._rock_ridge else "joliet_path" if self._joliet else "iso_path"
        for folder, dummy, dummy in self._iso.walk(**{kind: "/"}):
            seen: set[str] = set()
            for record in self._iso.list_children(**{kind: folder}):
                name = _name(record, kind)
                # A file of several extents may be listed once for each; the first record leads to the others.
                if name is None or name in seen:
                    continue
                seen.add(name)
                extents = tuple(_extents(record))
                path = f"{folder.rstrip('/')}/{name}".lstrip("/")
                yield path, IsoFile(sum(length for dummy, length in extents), extents)


@contextlib.contextmanager
def open_iso(path: str) -> t.Iterator[IsoFiles]:
    """Open an ISO image for reading.

    Raises:
        StageError: it is missing, no ISO 9660 image, cut off or damaged; or pycdlib is missing.
    """
    require_pycdlib()
    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed by the ExitStack below
    except OSError as problem:
        raise StageError(f"The ISO {path} cannot be read: {problem.strerror}.", path=path) from problem
    with contextlib.ExitStack() as stack:
        stack.enter_context(stream)
        size = stream.seek(0, os.SEEK_END)
        volume_size = _volume_size(path, stream, size)
        iso = pycdlib.PyCdlib()
        try:
            stream.seek(0)
            iso.open_fp(stream)
            stack.callback(iso.close)
            files = IsoFiles(path, stream, size, volume_size, iso)
        # A damaged image makes pycdlib fail in many ways (its own exceptions, struct.error, IndexError, ...).
        except Exception as problem:
            raise StageError(f"{path} is damaged: its directories cannot be read ({problem}).", path=path) from problem
        yield files


def require_pycdlib() -> None:
    """Raise StageError when pycdlib is missing."""
    if pycdlib is None:
        raise StageError(
            "The Python library pycdlib is missing on this build host. Install it for Ansible's Python there (Debian "
            "package python3-pycdlib) or run the role liveforge.images.build_host.",
            exception=PYCDLIB_IMPORT_ERROR,
        )


def _volume_size(path: str, stream: t.BinaryIO, size: int) -> int:
    """Bytes that the volume needs, from the primary volume descriptor (ECMA-119, 8.4.8 and 8.4.12)."""
    stream.seek(_PRIMARY)
    descriptor = stream.read(BLOCK)
    if len(descriptor) < BLOCK or descriptor[:6] != b"\x01CD001":
        raise StageError(
            f"{path} ({size} bytes) is not an ISO 9660 image: there is no volume descriptor at byte {_PRIMARY}.",
            path=path,
        )
    volume_size = struct.unpack_from("<I", descriptor, 80)[0] * struct.unpack_from("<H", descriptor, 128)[0]
    if volume_size > size:
        raise StageError(
            f"{path} is cut off: its volume has {volume_size} bytes, the file only {size}. Copy or download it again.",
            path=path,
        )
    return volume_size


def _name(record: t.Any, kind: str) -> str | None:
    """Name of a regular file, or None for anything else."""
    if record is None or record.is_dir():
        return None
    if kind == "rr_path":
        return str(record.rock_ridge.name().decode("utf-8", "replace")) if _is_regular(record.rock_ridge) else None
    if kind == "joliet_path":
        return str(record.file_identifier().decode("utf-16-be", "replace")).partition(";")[0]
    return str(record.file_identifier().decode("ascii", "replace")).partition(";")[0].rstrip(".")


def _is_regular(rock_ridge: t.Any) -> bool:
    """Links and device nodes of Rock Ridge have no content on the ISO."""
    return rock_ridge is not None and not rock_ridge.is_symlink() and rock_ridge.get_file_mode() >> 12 == 0o10


def _extents(record: t.Any) -> t.Iterator[tuple[int, int]]:
    """A file of 4 GiB or more has several directory records, one for each section."""
    while record is not None:
        yield record.extent_location() * BLOCK, record.get_data_length()
        record = record.data_continuation


def _text(value: t.Any) -> str:
    raw = value.text if hasattr(value, "text") else value
    return bytes(raw).decode("utf-8", "replace").rstrip(" \0")


def _date(value: t.Any) -> str | None:
    """A volume descriptor's date (ECMA-119, 8.4.26.1) in ISO 8601; None when it is not set."""
    try:
        zone = datetime.timezone(datetime.timedelta(minutes=15 * value.gmtoffset))
        moment = datetime.datetime(
            value.year, value.month, value.dayofmonth, value.hour, value.minute, value.second, tzinfo=zone
        )
    except ValueError:
        return None
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

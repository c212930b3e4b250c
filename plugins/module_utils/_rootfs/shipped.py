# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Overlay trees, archives and single files that go into a root tree. Private to this collection."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils import _shipment
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError

# Bringing an archive takes minutes at most.
_STALE_SECONDS = 86400


@dataclasses.dataclass(frozen=True)
class Shipped:
    """A tree or file, described; its bytes lie in an archive that the action plugin copied, or on this host already.

    Attributes:
        option: the option and item it comes from, such as ``overlays[0]``, for messages.
        entries: what it holds, as :func:`_shipment.describe` says.
        identity: digest of the entries.
        archive: tar archive with its bytes.
        source: tree or file on this host, for ``remote_src``; then the archive is made from it when needed.
    """

    option: str
    entries: t.Mapping[str, str]
    identity: str
    archive: str
    source: str | None = None

    @classmethod
    def from_item(cls, option: str, item: t.Mapping[str, t.Any], dest: str) -> Shipped:
        """From one item of an option, as the action plugin left it.

        Args:
            option: for messages, such as ``overlays[0]``.
            item: with ``entries`` and ``identity`` from the action plugin, or with ``src`` on this host.
            dest: output of the stage, beside which the action plugin puts archives.
        """
        if item.get("entries") is not None and item.get("identity"):
            identity = item["identity"]
            return cls(option, item["entries"], identity, _shipment.archive_path(dest, identity))
        source = item.get("src")
        if not source or not os.path.isabs(source) or not os.path.lexists(source):
            raise StageError(
                f"{option}.src: {source!r} does not exist on the build host. "
                "With remote_src it must be an absolute path that exists there."
            )
        entries = _shipment.describe(source)
        identity = _shipment.identity(entries)
        return cls(option, entries, identity, _shipment.archive_path(dest, identity), source)

    def open(self) -> str:
        """Path of the archive; makes it first for a source on this host.

        One from the controller was looked at by :func:`require_archives`.
        """
        if self.source is not None and not _shipment.is_whole(self.archive, self.entries):
            _shipment.place_archive(self.source, self.archive)
        return self.archive

    def content(self) -> bytes:
        """The bytes of a single shipped file."""
        if list(self.entries) != [_shipment.SINGLE_FILE]:
            raise StageError(f"{self.option}.src is a directory; give a file, or use overlays.")
        with open(self.open(), "rb") as stream:
            return stream.read()


def require_archives(shipped: t.Iterable[Shipped]) -> None:
    """Raise StageError with ``missing_inputs`` (identities) when archives are not on this host yet, or not whole."""
    from_controller = {item.identity: item for item in shipped if item.source is None}
    missing = sorted(
        name for name, item in from_controller.items() if not _shipment.is_whole(item.archive, item.entries)
    )
    if missing:
        raise StageError(
            "Inputs of this stage are not on the build host. Its action plugin copies them there: call the module by "
            "its full name, such as liveforge.images.live_rootfs. Another run may have removed them: then run again.",
            missing_inputs=missing,
        )


def forget_others(dest: str, shipped: t.Iterable[Shipped]) -> None:
    """Remove archives beside ``dest`` that no longer belong to any input, and what killed builds left half written."""
    folder = dest + ".inputs"
    if not os.path.isdir(folder):
        return
    wanted = {os.path.basename(item.archive) for item in shipped}
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        # Another run may be bringing its own meanwhile, and may remove what it does not need as this one does.
        with contextlib.suppress(FileNotFoundError):
            is_young = time.time() - os.lstat(path).st_ctime < _STALE_SECONDS
            if name not in wanted and not (name.startswith(".") and is_young):
                os.unlink(path)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller side of live_lock: writes the lock file."""

from __future__ import annotations

import os
import tempfile
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_lock import (
    PackageLock,
    package_changes,
)
from ansible_collections.liveforge.images.plugins.module_utils._shipment import is_vaulted
from ansible_collections.liveforge.images.plugins.plugin_utils._stage_action import find_source


class ActionModule(ActionBase):
    """Asks the build host for the lock, and writes it here when it is another one."""

    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Write the file and tell what changed."""
        super().run(tmp, task_vars)
        dest = self._task.args.get("dest")
        if not isinstance(dest, str) or not dest or dest.endswith("/"):
            raise AnsibleActionFail("dest must be the path of the lock file on the controller.")
        dest = _place(self, dest)
        if os.path.isfile(dest) and is_vaulted(dest):
            raise AnsibleActionFail(
                f"dest: {dest} is encrypted with Ansible Vault, and would be replaced by plain text. A lock has no "
                "secrets: decrypt it with ansible-vault decrypt, or give another path."
            )
        if self._task.args.get("root") is None:
            if not self._task.check_mode:
                _require_writable(dest)
            return {"changed": False, "dest": dest}
        told = self._execute_module(module_args=dict(self._task.args), task_vars=task_vars)
        if told.get("failed"):
            return told
        after = told.pop("content")
        lock = PackageLock.parse(after)
        before = _text(dest)
        changes = package_changes(_earlier(before), lock)
        result = {
            **told,
            "changed": before != after,
            "dest": dest,
            "changes": changes,
            "packages": len(lock.packages),
            "source_date_epoch": lock.source_date_epoch,
            "msg": _summary(before, after, changes),
        }
        if boolean(self._task.args.get("return_content", False)):
            result["content"] = after
        if self._task.diff:
            result["diff"] = {"before_header": dest, "after_header": dest, "before": before or "", "after": after}
        if before != after and not self._task.check_mode:
            try:
                _write(dest, after)
            except OSError as problem:
                raise AnsibleActionFail(f"dest: {dest} cannot be written on the controller: {problem}") from problem
        return result


def _place(action: ActionBase, dest: str) -> str:
    """Where to write: the file that a build would read, when there is one already."""
    try:
        return find_source(action, dest)
    except AnsibleError:
        return os.path.abspath(os.path.expanduser(dest))


def _require_writable(path: str) -> None:
    """Find out whether a file could be written, without writing it; it is made beside its place and then moved."""
    folder = os.path.dirname(path)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        where = f"{path} is a directory" if os.path.isdir(path) else f"no file can be made in {folder}"
        raise AnsibleActionFail(
            f"dest: {path} cannot be written on the controller: {where}. Give the path of a file in a directory that "
            "this user can write to (option lock of the image)."
        )


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise AnsibleActionFail(f"dest: {path} cannot be read on the controller: {problem}") from problem


def _earlier(text: str | None) -> PackageLock | None:
    try:
        return PackageLock.parse(text) if text else None
    except StageError:
        # A damaged or older file is written anew.
        return None


def _summary(before: str | None, after: str, changes: t.Sequence[str]) -> str:
    if before == after:
        return "unchanged"
    if before is None:
        return f"new, with {len(changes)} packages"
    if not changes:
        return "the same packages; repositories or declaration changed"
    shown = ", ".join(changes[:10])
    return f"changed: {shown}" + (f" and {len(changes) - 10} more" if len(changes) > 10 else "")


def _write(path: str, text: str) -> None:
    """Write a file whole, with the mode that it has or any new file gets."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    mask = os.umask(0)
    os.umask(mask)
    mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o666 & ~mask
    descriptor, partial = tempfile.mkstemp(prefix=".live_lock-", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(partial, mode)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller side of all stage modules: ships what a stage needs and starts it. Private to this collection."""

from __future__ import annotations

import contextlib
import io
import os
import pwd
import shutil
import sys
import tempfile
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.liveforge.images.plugins.module_utils import _shipment
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.keys import BEGIN, armored
from ansible_collections.liveforge.images.plugins.plugin_utils._module_here import PROFILE, ModuleHere
from ansible_collections.liveforge.images.plugins.plugin_utils._watched_action import PAUSE_HERE, WatchedAction

# Options of each module whose items name something on the controller (key ``src``).
SHIPPED = {
    "live_rootfs": ("overlays", "archives", "files", "post_bootstrap_scripts", "scripts", "images_scripts"),
    "live_dracut": ("dracut_modules",),
    "live_iso": ("cdroot_archives",),
}
# Options of each module that are a text, given as such or as a file on the controller.
TEXTS = {"live_iso": ("grub_template", "edit_boot_config"), "live_rootfs": ("lock",)}
# Those whose items are scripts.
_SCRIPTS = ("post_bootstrap_scripts", "scripts", "images_scripts")
# What this collection brings along itself; it goes to the build host like something of the user's.
_LIVE_OVERLAY = os.path.join("roles", "live_image", "files", "dracut", "90live-overlay")
_KIWI_FUNCTIONS = os.path.join("roles", "live_image", "files", "kiwi", "kconfig.sh")


# A build of the same output that was under way removes inputs that are not its own when it ends.
_SHIPMENTS = 3


class StageAction(WatchedAction):
    """Runs one stage module: describes and ships what lies on the controller, and starts a build only when needed."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module and return its result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        try:
            sources = self._describe_sources(arguments)
        except (StageError, AnsibleError) as problem:
            raise AnsibleActionFail(str(problem)) from problem
        arguments.update(self.tied_to_controller())
        # Ansible asks after the job of a task with async, and only a build is one.
        background, self._task.async_val = self._task.async_val, 0
        if self._task.check_mode:
            result = self.execute(arguments, variables)
            # For live_wait: a task that only starts a stage says changed_when: false, which overwrites changed.
            return {**result, "foreseen": result.get("changed", False)}
        if background or not self.runs_here():
            # Most runs of a scheduled job find nothing to do: that takes one module run, and no job.
            decided = self.execute({**arguments, "decide_only": True}, variables)
            if decided.get("failed") or not decided.get("changed"):
                return decided
        if background:
            self._task.async_val = background
            self._ship(arguments["dest"], sources, variables)
            return self._start(arguments, variables)
        result = self.run_watched(arguments, variables)
        for dummy in range(_SHIPMENTS):
            if not (result.get("failed") and result.get("missing_inputs")):
                break
            self._ship(arguments["dest"], sources, variables, result["missing_inputs"])
            result = self.run_watched(arguments, variables)
        return result

    def execute(
        self,
        arguments: dict[str, t.Any],
        variables: dict[str, t.Any],
        meanwhile: t.Callable[[], None] | None = None,
    ) -> dict[str, t.Any]:
        """As for all modules, but in a child of this process where user and Python are the same."""
        if not self._is_same_python(variables):
            return super().execute(arguments, variables, meanwhile)
        arguments = dict(arguments)
        self._update_module_args(self._task.action, arguments, variables)
        # As become does it.
        environment = {} if self._connection.become is None else {"HOME": pwd.getpwuid(os.geteuid()).pw_dir}
        with tempfile.TemporaryDirectory(dir=C.DEFAULT_LOCAL_TMP) as folder:
            module = ModuleHere(self._task.action.rpartition(".")[2], arguments, folder, environment)
            ended = module.wait(PAUSE_HERE, meanwhile or (lambda: None))
        return self._parse_returned_data(ended, PROFILE)

    def _is_same_python(self, variables: t.Mapping[str, t.Any]) -> bool:
        """Whether Ansible would run the module on this host, as this user, with this Python in this environment."""
        return (
            self.runs_here()
            and (self._connection.become is None or os.geteuid() == 0)
            and self._templar.template(variables.get("ansible_python_interpreter")) == sys.executable
            and not self._compute_environment_string()
        )

    def _describe_sources(self, arguments: dict[str, t.Any]) -> dict[str, str]:
        """Replace what lies on the controller by its description in ``arguments``; returns archive identity → path."""
        module = self._task.action.rpartition(".")[2]
        sources: dict[str, str] = {}
        for option in SHIPPED.get(module, ()):
            items = arguments.get(option)
            if not isinstance(items, list):
                continue
            arguments[option] = [
                self._describe_source(f"{option}[{index}]", item, sources) for index, item in enumerate(items)
            ]
        for option in TEXTS.get(module, ()):
            if arguments.get(option) is not None:
                arguments[option] = with_text(option, arguments[option], lambda source: read_source(self, source))
        if module == "live_dracut":
            arguments["live_overlay_module"] = self._describe_path(_collection_path(_LIVE_OVERLAY), sources)
        if module == "live_rootfs":
            if arguments.get("kiwi_profile") is not None:
                arguments["kiwi_functions"] = self._describe_path(_collection_path(_KIWI_FUNCTIONS), sources)
            if isinstance(arguments.get("repositories"), list):
                arguments["repositories"] = with_keys(
                    arguments["repositories"], lambda source: read_source(self, source)
                )
        return sources

    def _describe_source(self, name: str, item: t.Any, sources: dict[str, str]) -> t.Any:
        if isinstance(item, str):
            item = {"src": item}
        if not isinstance(item, dict) or not item.get("src") or _is_true(item.get("remote_src")):
            return item
        try:
            path = find_source(self, str(item["src"]))
        except AnsibleError as problem:
            raise AnsibleActionFail(
                f"{name}.src: {item['src']} was not found on the controller. Give a path that exists there (a relative "
                f"one is looked up in the current folder, {os.getcwd()}, and then in the places below), or set "
                f"{name}.remote_src. {problem}"
            ) from problem
        try:
            described = {**item, **self._describe_path(path, sources)}
        except StageError as problem:
            raise StageError(f"{name}.src: {problem.message}") from problem
        if name.partition("[")[0] in _SCRIPTS:
            described["executable"] = os.access(path, os.X_OK)
        return described

    def _describe_path(self, path: str, sources: dict[str, str]) -> dict[str, t.Any]:
        with decrypted(self._loader, path) as clear:
            entries = _shipment.describe(clear, refuse_vaulted=True)
        identity = _shipment.identity(entries)
        sources[identity] = path
        return {"entries": entries, "identity": identity}

    def _ship(
        self,
        dest: str,
        sources: dict[str, str],
        variables: dict[str, t.Any],
        wanted: t.Sequence[str] | None = None,
    ) -> None:
        """Bring archives of sources to the build host, where it does not have them yet."""
        identities = sorted(sources) if wanted is None else wanted
        if self.runs_here() and os.geteuid() == 0:
            # Root on the build host itself needs no module to write there.
            try:
                for identity in identities:
                    with decrypted(self._loader, sources[identity]) as source:
                        _shipment.place_archive(source, _shipment.archive_path(dest, identity))
            except (OSError, StageError) as problem:
                raise AnsibleActionFail(f"Inputs cannot be copied to the build host: {problem}") from problem
            return
        # Ansible removes what lies there, whatever happens to this process.
        folder = tempfile.mkdtemp(prefix="liveforge-", dir=C.DEFAULT_LOCAL_TMP)
        try:
            for identity in identities:
                archive = os.path.join(folder, identity)
                with decrypted(self._loader, sources[identity]) as source:
                    _shipment.write_archive(source, archive, identity)
                self._copy(archive, _shipment.archive_path(dest, identity), variables)
        except StageError as problem:
            raise AnsibleActionFail(f"Inputs cannot be copied to the build host: {problem}") from problem
        finally:
            shutil.rmtree(folder)

    def _copy(self, source: str, target: str, variables: dict[str, t.Any]) -> None:
        folder = self._execute_module(
            module_name="ansible.legacy.file",
            module_args={"path": os.path.dirname(target), "state": "directory", "mode": "0700"},
            task_vars=variables,
        )
        if folder.get("failed"):
            raise AnsibleActionFail(f"Inputs cannot be copied to the build host: {folder.get('msg')}", result=folder)
        task = self._task.copy()
        # What is vaulted was decrypted by now, and anything else that looks like it is meant to arrive like that.
        task.args = {"src": source, "dest": target, "mode": "0600", "decrypt": False}
        task.async_val = 0
        copier = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        copied = copier.run(task_vars=variables)
        if copied.get("failed"):
            raise AnsibleActionFail(f"Inputs cannot be copied to the build host: {copied.get('msg')}", result=copied)


def find_source(action: ActionBase, source: str) -> str:
    """Path of a source on the controller: below the current folder, or where ansible.builtin.copy looks."""
    if os.path.lexists(source):
        return os.path.abspath(source)
    return t.cast("str", action._find_needle("files", source))


@contextlib.contextmanager
def decrypted(loader: t.Any, path: str) -> t.Iterator[str]:
    """A path at which a file can be read in clear: its own, or for a vaulted one that of a copy for this while.

    Args:
        loader: of the action, which knows the passwords.
        path: a file on the controller; a tree is left as it is.

    Raises:
        StageError: no password decrypts the file.
    """
    if os.path.isdir(path) or not _shipment.is_vaulted(path):
        yield path
        return
    try:
        clear = loader.get_real_file(path)
    except AnsibleError as problem:
        raise StageError(
            f"{path} is encrypted with Ansible Vault and cannot be decrypted ({str(problem).rstrip('.')}). Give its "
            "password as for encrypted variables: with --ask-vault-pass, --vault-password-file or --vault-id, in AWX "
            "with a credential of the type Vault."
        ) from problem
    try:
        yield clear
    finally:
        loader.cleanup_tmp_file(clear)


def read_source(action: ActionBase, source: str) -> bytes:
    """Content of a file on the controller that :func:`find_source` finds, in clear."""
    with decrypted(action._loader, find_source(action, source)) as path, open(path, "rb") as stream:
        return stream.read()


def with_text(option: str, item: t.Any, read: t.Callable[[str], bytes]) -> t.Any:
    """An option that is a text, with the text itself in place of a file on the controller (``src``).

    Args:
        option: its name, for messages.
        item: a dictionary with ``content`` or ``src``, or the path alone.
        read: gives the content of a file on the controller; raises an exception that says where it looked.

    Raises:
        StageError: the file is not there, or is no text.
    """
    if isinstance(item, str):
        item = {"src": item}
    if not isinstance(item, dict) or item.get("src") is None or _is_true(item.get("remote_src")):
        return item
    try:
        content = io.TextIOWrapper(io.BytesIO(read(str(item["src"]))), encoding="utf-8").read()
        return {**{name: value for name, value in item.items() if name != "src"}, "content": content}
    except UnicodeDecodeError as problem:
        raise StageError(f"{option}.src: {item['src']} is no text in UTF-8: {problem}.") from problem
    except StageError as problem:
        raise StageError(f"{option}.src: {problem.message}") from problem
    except Exception as problem:
        # A lock is read on the controller, always.
        otherwise = (
            f", or set {option}.remote_src" if option != "lock" else ". The playbook liveforge.images.lock makes it"
        )
        raise StageError(
            f"{option}.src: {item['src']} was not found on the controller. Give a path that exists there{otherwise}. "
            f"{problem}"
        ) from problem


def with_keys(repositories: t.Sequence[t.Any], read: t.Callable[[str], bytes]) -> list[t.Any]:
    """The option ``repositories`` with the armored text of keys in place of key files on the controller.

    Args:
        repositories: its items.
        read: gives the content of a file on the controller; raises an exception that says where it looked.

    Raises:
        StageError: naming the item at fault.
    """
    return [
        {**item, "keys": [_key_text(f"repositories[{index}].keys[{place}]", str(key), read) for place, key in keys]}
        if isinstance(item, dict) and (keys := list(enumerate(item.get("keys") or ())))
        else item
        for index, item in enumerate(repositories)
    ]


def _key_text(option: str, key: str, read: t.Callable[[str], bytes]) -> str:
    if BEGIN in key:
        return key
    try:
        return armored(read(key))
    except ValueError as problem:
        raise StageError(f"{option}: {key} is no OpenPGP key file: {problem}.") from problem
    except StageError as problem:
        raise StageError(f"{option}: {problem.message}") from problem
    except Exception as problem:
        raise StageError(
            f"{option}: {key!r} was not found on the controller. Give the path of a key file that exists there, or the "
            f"armored text of a key. {problem}"
        ) from problem


def _collection_path(relative: str) -> str:
    # __file__ is <collection>/plugins/plugin_utils/_stage_action.py
    return os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), relative)


def _is_true(value: t.Any) -> bool:
    return str(value).lower() in ("true", "yes", "on", "1", "y", "t")

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sources on the controller that are encrypted with Ansible Vault, on their way to a build host."""

from __future__ import annotations

import os
import pathlib
import types
import typing as t

import pytest
from ansible import constants as C
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.playbook.task import Task

from ansible_collections.liveforge.images.plugins.module_utils import _shipment
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.plugin_utils import _stage_action
from ansible_collections.liveforge.images.plugins.plugin_utils._stage_action import StageAction, read_source, with_text

SECRET = VaultSecret(b"a-phrase")
CLEAR = b"token of the site\n"
Copied = list[tuple[dict[str, t.Any], bytes]]


def vaulted(path: pathlib.Path, content: bytes = CLEAR) -> pathlib.Path:
    """Write a file as ansible-vault does."""
    path.write_bytes(VaultLib().encrypt(content, secret=SECRET))
    return path


def temporary_files() -> list[str]:
    return sorted(os.listdir(C.DEFAULT_LOCAL_TMP))


@pytest.fixture
def loader() -> DataLoader:
    loader = DataLoader()
    loader.set_vault_secrets([("default", SECRET)])
    return loader


def action(loader: DataLoader, copied: Copied | None = None) -> StageAction:
    """The action of live_rootfs for a build host elsewhere; what goes there is added to ``copied``."""
    task = Task()
    task.action = "liveforge.images.live_rootfs"

    class Copier:
        def __init__(self, task: Task) -> None:
            self._arguments = task.args

        def run(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
            assert copied is not None
            copied.append((self._arguments, pathlib.Path(self._arguments["src"]).read_bytes()))
            return {}

    def plugin(name: str, *, task: Task, **dummy: t.Any) -> Copier:
        return Copier(task)

    plugins = types.SimpleNamespace(action_loader=types.SimpleNamespace(get=plugin))
    connection = types.SimpleNamespace(transport="ssh", become=None, _shell=None)
    acting = StageAction(task, connection, types.SimpleNamespace(), loader, None)
    acting._shared_loader_obj = plugins
    return acting


def describe(acting: StageAction, **options: t.Any) -> tuple[dict[str, t.Any], dict[str, str]]:
    arguments = dict(options)
    sources = acting._describe_sources(arguments)
    return arguments, sources


def test_a_vaulted_file_is_described_and_shipped_in_clear(
    loader: DataLoader, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(CLEAR)
    secret = vaulted(tmp_path / "secret")
    before = temporary_files()
    copied: Copied = []
    acting = action(loader, copied)
    monkeypatch.setattr(acting, "_execute_module", lambda **dummy: {})
    dummy, in_clear = describe(acting, files=[{"dest": "/a", "src": str(plain)}])
    dummy, sources = describe(acting, files=[{"dest": "/a", "src": str(secret)}])
    # Encrypting a file, which changes each of its bytes, builds nothing anew.
    assert list(sources) == list(in_clear)

    acting._ship("/srv/rootfs", sources, {})
    ((copy, content),) = copied
    assert content == CLEAR
    assert copy["dest"] == _shipment.archive_path("/srv/rootfs", *sources)
    # What was decrypted must not be taken for something to decrypt once more.
    assert copy["decrypt"] is False
    assert temporary_files() == before


def test_on_the_build_host_itself_a_vaulted_file_arrives_in_clear(
    loader: DataLoader, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = vaulted(tmp_path / "secret")
    before = temporary_files()
    acting = action(loader)
    acting._connection.transport = "local"
    monkeypatch.setattr(_stage_action.os, "geteuid", lambda: 0)
    arguments, sources = describe(acting, scripts=[{"src": str(secret)}])
    identity = arguments["scripts"][0]["identity"]
    acting._ship(str(tmp_path / "rootfs"), sources, {}, [identity])
    archive = pathlib.Path(_shipment.archive_path(str(tmp_path / "rootfs"), identity))
    assert archive.read_bytes() == CLEAR
    assert archive.stat().st_mode & 0o777 == 0o600
    assert temporary_files() == before


def test_a_vaulted_script_keeps_its_executable_bit(loader: DataLoader, tmp_path: pathlib.Path) -> None:
    secret = vaulted(tmp_path / "secret")
    for mode, executable in ((0o755, True), (0o644, False)):
        secret.chmod(mode)
        arguments, dummy = describe(action(loader), scripts=[{"src": str(secret)}])
        assert arguments["scripts"][0]["executable"] is executable


def test_a_vaulted_text_is_read_in_clear(loader: DataLoader, tmp_path: pathlib.Path) -> None:
    secret = vaulted(tmp_path / "secret")
    before = temporary_files()
    arguments, dummy = describe(action(loader), lock={"src": str(secret)})
    assert arguments["lock"] == {"content": CLEAR.decode()}
    assert temporary_files() == before


def test_lines_of_a_text_end_as_they_always_did() -> None:
    assert with_text("lock", "x", lambda source: b"one\r\ntwo\r\n") == {"content": "one\ntwo\n"}


def test_a_vaulted_file_in_a_tree_is_refused_by_name(loader: DataLoader, tmp_path: pathlib.Path) -> None:
    (tmp_path / "tree/etc").mkdir(parents=True)
    secret = vaulted(tmp_path / "tree/etc/secret")
    with pytest.raises(StageError) as refused:
        describe(action(loader), overlays=[{"src": str(tmp_path / "tree")}])
    assert refused.value.message.startswith(f"overlays[0].src: {secret} is encrypted with Ansible Vault")
    assert "under files instead" in refused.value.message


def test_without_its_password_a_vaulted_file_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    secret = vaulted(tmp_path / "secret")
    other = DataLoader()
    other.set_vault_secrets([("default", VaultSecret(b"another-phrase"))])
    cases: dict[str, dict[str, t.Any]] = {
        "files[0]": {"files": [{"dest": "/a", "src": str(secret)}]},
        "lock": {"lock": str(secret)},
    }
    before = temporary_files()
    for loader in (DataLoader(), other):
        for place, options in cases.items():
            with pytest.raises(StageError) as refused:
                describe(action(loader), **options)
            message = refused.value.message
            assert message.startswith(f"{place}.src: {secret} is encrypted with Ansible Vault and cannot be decrypted")
            assert "--ask-vault-pass" in message and "not found" not in message
    assert temporary_files() == before


def test_files_that_are_not_vaulted_need_no_password(tmp_path: pathlib.Path) -> None:
    plain = tmp_path / "$HOME"
    plain.write_bytes(CLEAR)
    assert read_source(action(DataLoader()), str(plain)) == CLEAR

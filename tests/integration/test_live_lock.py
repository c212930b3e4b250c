# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks: what live_lock writes, and what builds from it do while the mirror moves on."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest

import playbook
from ansible_collections.liveforge.images.plugins.module_utils._digest import tree_content


@pytest.fixture(scope="module")
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("lock-test") as folder:
        playbook.own_package_cache(folder)
        yield folder


class Site:
    """A flat repository of one's own with one package, whose versions come and go."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder / "site"
        self._package = folder / "package"

    def offer(self, version: str, text: str = "") -> str:
        """Have this version and no other; returns the SHA-256 of the package."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._package, ignore_errors=True)
        self.folder.mkdir()
        fields = f"Package: site-tool\nVersion: {version}\nArchitecture: all\nMaintainer: Site <site@example.org>\n"
        control = self._package / "DEBIAN/control"
        control.parent.mkdir(parents=True)
        control.write_text(f"{fields}Description: tool {text}\n")
        deb = self.folder / f"site-tool_{version}_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", str(self._package), str(deb)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        )
        content = deb.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        index = f"{fields}Description: tool {text}\nFilename: ./{deb.name}\nSize: {len(content)}\nSHA256: {digest}\n"
        (self.folder / "Packages").write_text(index)
        (self.folder / "Release").write_text(
            "Suite: site\nDate: Sat, 01 Nov 2025 00:00:00 UTC\nArchitectures: amd64 all\n"
            f"SHA256:\n {hashlib.sha256(index.encode()).hexdigest()} {len(index)} Packages\n"
        )
        return digest


@pytest.fixture(scope="module")
def site(workspace: pathlib.Path) -> Site:
    return Site(workspace)


def options(workspace: pathlib.Path, **changed: t.Any) -> dict[str, t.Any]:
    return {
        "dest": str(workspace / "rootfs"),
        "release": "bookworm",
        "variant": "essential",
        "lock_timeout": 0,
        "cache": str(workspace / "cache"),
        "packages": ["site-tool"],
        "repositories": [
            playbook.DEBIAN,
            {"name": "site", "uri": f"copy://{workspace}/site", "suite": "./", "trusted": True},
        ],
        **changed,
    }


def build(workspace: pathlib.Path, lock: pathlib.Path | None = None, **changed: t.Any) -> dict[str, t.Any]:
    if lock is not None:
        changed["lock"] = {"src": str(lock)}
    return playbook.module("live_rootfs", options(workspace, **changed), workspace)


def write_lock(workspace: pathlib.Path, lock: pathlib.Path, *arguments: str, tree: str = "rootfs") -> dict[str, t.Any]:
    """Run live_lock as a user would; returns its result and what ansible-playbook printed."""
    wanted = {"root": str(workspace / tree), "dest": str(lock), "return_content": True}
    task = {"liveforge.images.live_lock": wanted, "register": "told"}
    keep = {
        "ansible.builtin.copy": {"content": "{{ told | to_json }}", "dest": str(workspace / "told.json")},
        "check_mode": False,
        "diff": False,
    }
    play = {"hosts": "localhost", "gather_facts": False, "connection": "local", "tasks": [task, keep]}
    (workspace / "lock.yml").write_text(json.dumps([play]))
    program = pathlib.Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run(
        [str(program), str(workspace / "lock.yml"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {**json.loads((workspace / "told.json").read_text()), "printed": done.stdout}


@pytest.fixture(scope="module")
def first(workspace: pathlib.Path, site: Site) -> str:
    """A build with version 1.0; the SHA-256 of the package."""
    digest = site.offer("1.0")
    result = build(workspace)
    assert not result.get("failed"), result
    return digest


@pytest.fixture(scope="module")
def lock(workspace: pathlib.Path, first: str) -> pathlib.Path:
    path = workspace / "locks/image.lock.json"
    foreseen = write_lock(workspace, path, "--check")
    assert foreseen["changed"] and not path.exists()
    told = write_lock(workspace, path)
    assert told["changed"] and told["dest"] == str(path)
    assert "+site-tool 1.0" in told["changes"]
    assert told["content"] == path.read_text() == foreseen["content"]
    return path


def test_lock_tells_versions_digests_and_origins(lock: pathlib.Path, first: str) -> None:
    document = json.loads(lock.read_text())
    assert document["packages"]["site-tool"] == {
        "version": "1.0",
        "architecture": "all",
        "sha256": first,
        "priority": "optional",
        "repository": "site",
        "file": "./site-tool_1.0_all.deb",
    }
    dpkg = document["packages"]["dpkg"]
    assert (dpkg["repository"], dpkg["file"].startswith("pool/main/d/dpkg/")) == ("debian", True)
    assert document["repositories"]["debian"]["date"].endswith("UTC")
    assert document["source_date_epoch"] > 1700000000


def test_locking_again_changes_nothing(workspace: pathlib.Path, lock: pathlib.Path) -> None:
    before = lock.stat().st_mtime_ns
    told = write_lock(workspace, lock)
    assert not told["changed"] and told["changes"] == []
    assert lock.stat().st_mtime_ns == before


def test_diff_shows_the_packages_that_change(workspace: pathlib.Path, lock: pathlib.Path) -> None:
    older = workspace / "older.lock.json"
    older.write_text(lock.read_text().replace('"site-tool": {"version": "1.0"', '"site-tool": {"version": "0.9"'))
    told = write_lock(workspace, older, "--check", "--diff")
    assert told["changes"] == ["site-tool 0.9 -> 1.0"]
    lines = [line for line in told["printed"].splitlines() if line.startswith(("-  ", "+  "))]
    assert len(lines) == 2 and all('"site-tool"' in line for line in lines)


def test_a_build_from_a_lock_installs_it_whatever_is_newest(
    workspace: pathlib.Path, site: Site, lock: pathlib.Path
) -> None:
    site.offer("2.0")
    result = build(workspace, lock)
    assert not result.get("failed"), (workspace / "rootfs.packages.tar.zst.log").read_text()[-3000:]
    assert result["packages"]["site-tool"] == "1.0"
    assert build(workspace, lock)["changed"] is False
    # What it is made of comes from the lock, so locking it once more gives the same file.
    assert not write_lock(workspace, lock)["changed"]
    sources = (workspace / "rootfs/etc/apt/sources.list.d/debian.sources").read_text()
    assert "URIs: http://deb.debian.org/debian" in sources
    left = subprocess.run(
        ["grep", "-rlF", str(workspace), str(workspace / "rootfs/etc/apt")], stdout=subprocess.PIPE, check=False
    )
    assert left.stdout.decode().splitlines() == [str(workspace / "rootfs/etc/apt/sources.list.d/site.sources")]


def forget(workspace: pathlib.Path) -> None:
    (workspace / "cache/archives/site-tool_1.0_all.deb").unlink(missing_ok=True)


def test_a_package_that_is_gone_is_named(workspace: pathlib.Path, site: Site, lock: pathlib.Path, first: str) -> None:
    site.offer("2.0")
    forget(workspace)
    failed = build(workspace, lock, dest=str(workspace / "other"))
    assert failed.get("failed")
    for part in ("site-tool 1.0", first, "is not in the cache", "the repositories have 2.0", "check_valid_until"):
        assert part in failed["msg"]
    assert not (workspace / "other").exists()


def test_other_bytes_of_the_same_version_are_refused(
    workspace: pathlib.Path, site: Site, lock: pathlib.Path, first: str
) -> None:
    other = site.offer("1.0", "rebuilt")
    forget(workspace)
    failed = build(workspace, lock, dest=str(workspace / "other"))
    assert failed.get("failed")
    assert f"site-tool 1.0 was locked with SHA-256 {first}, but the repositories have it with {other}" in failed["msg"]


def test_a_tampered_package_in_the_cache_is_not_used(
    workspace: pathlib.Path, site: Site, lock: pathlib.Path, first: str
) -> None:
    assert site.offer("1.0") == first
    forget(workspace)
    cached = workspace / "cache/archives/site-tool_1.0_all.deb"
    cached.write_bytes((workspace / "site/site-tool_1.0_all.deb").read_bytes()[:-1] + b"x")
    result = build(workspace, lock, dest=str(workspace / "other"))
    assert not result.get("failed"), (workspace / "other.packages.tar.zst.log").read_text()[-3000:]
    assert result["packages"]["site-tool"] == "1.0"
    assert hashlib.sha256(cached.read_bytes()).hexdigest() == first
    assert f"{cached.name} in the cache was damaged" in (workspace / "other.packages.tar.zst.log").read_text()
    subprocess.run(["rm", "-rf", str(workspace / "other"), str(workspace / "other.packages.tar.zst")], check=True)


def test_a_package_that_the_lock_does_not_have(workspace: pathlib.Path, lock: pathlib.Path) -> None:
    failed = build(workspace, lock, packages=["site-tool", "hello"], _ansible_check_mode=True)
    assert failed.get("failed")
    assert "lock: it was made for another declaration: packages (+hello). Renew it" in failed["msg"]


def test_what_an_image_adds_to_its_base_is_locked(workspace: pathlib.Path, site: Site, lock: pathlib.Path) -> None:
    site.offer("3.0")
    below = build(workspace, dest=str(workspace / "base"), variant="apt", packages=[])
    assert not below.get("failed"), below
    added: dict[str, t.Any] = {
        "base": str(workspace / "base"),
        "packages": ["site-tool", "less"],
        "source_date_epoch": 1760000000,
    }
    newest = build(workspace, dest=str(workspace / "newest"), **added)
    assert not newest.get("failed"), newest
    path = workspace / "locks/layer.lock.json"
    told = write_lock(workspace, path, tree="newest")
    assert sorted(change.split()[0] for change in told["changes"]) == ["+less", "+site-tool"]
    document = json.loads(path.read_text())
    assert document["packages"]["site-tool"]["repository"] == "site"
    assert document["packages"]["less"]["file"].startswith("pool/main/l/less/")
    assert document["source_date_epoch"] > 1700000000

    site.offer("4.0")
    again = build(workspace, path, dest=str(workspace / "again"), **added)
    assert not again.get("failed"), again
    assert (again["packages"]["site-tool"], again["packages"]["less"]) == ("3.0", newest["packages"]["less"])
    assert tree_content(str(workspace / "again")) == tree_content(str(workspace / "newest"))
    assert not build(workspace, path, dest=str(workspace / "again"), **added)["changed"]
    assert not write_lock(workspace, path, tree="again")["changed"]

    failed = build(workspace, lock, dest=str(workspace / "again"), **added)
    assert failed.get("failed") and "lock: it was made for another declaration: " in failed["msg"], failed


def test_a_tampered_package_of_a_layer_in_the_cache_is_replaced(workspace: pathlib.Path, site: Site) -> None:
    """The lock and the base are those of the test before."""
    right = site.offer("3.0")
    cached = workspace / "cache/archives/site-tool_3.0_all.deb"
    # As a new file, so that no other name of the old one changes.
    cached.unlink()
    cached.write_bytes((workspace / f"site/{cached.name}").read_bytes()[:500])
    options = {"base": str(workspace / "base"), "packages": ["site-tool", "less"], "force": True}
    result = build(workspace, workspace / "locks/layer.lock.json", dest=str(workspace / "again"), **options)
    assert not result.get("failed"), result
    assert result["packages"]["site-tool"] == "3.0"
    assert hashlib.sha256(cached.read_bytes()).hexdigest() == right


def test_a_layer_without_packages_has_a_lock_without_packages(workspace: pathlib.Path, lock: pathlib.Path) -> None:
    nothing = {"dest": str(workspace / "nothing-more"), "base": str(workspace / "base"), "packages": []}
    assert not build(workspace, **nothing).get("failed")
    path = workspace / "locks/nothing.lock.json"
    assert write_lock(workspace, path, tree="nothing-more")["packages"] == 0
    assert not build(workspace, path, **nothing).get("failed")


def test_a_tree_of_an_unknown_build_cannot_be_locked(workspace: pathlib.Path) -> None:
    failed = playbook.module("live_lock", {"root": str(workspace / "nothing"), "dest": "x"}, workspace)
    assert failed.get("failed") and "nothing is recorded of where the packages" in failed["msg"]


def test_the_file_that_builds_read_is_the_one_that_is_written(tmp_path: pathlib.Path) -> None:
    plays, here = tmp_path / "plays", tmp_path / "here"
    (plays / "files").mkdir(parents=True)
    here.mkdir()
    tasks: list[dict[str, t.Any]] = [
        {"liveforge.images.live_lock": {"dest": "rescue.lock.json"}, "register": "told"},
        {"ansible.builtin.debug": {"msg": "It is {{ told.dest }}, {{ told.content is defined }}"}},
    ]
    (plays / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    # A new one is made in the current folder; one beside the playbook is what builds find, unless here is one, too.
    beside, below = plays / "files/rescue.lock.json", here / "rescue.lock.json"
    for exists, expected in ((None, below), (beside, beside), (below, below)):
        if exists is not None:
            exists.write_text("{}")
        done = playbook.run(["env", f"--chdir={here}", playbook.PROGRAM, str(plays / "play.yml")])
        assert f"It is {expected}, False" in done.stdout, done.stdout


def run_lock_playbook(folder: pathlib.Path, *arguments: str, **variables: t.Any) -> str:
    """Run the playbook where three hosts are known and two of them build; returns what it says as it fails.

    The image is one that cannot be built, so that nothing is made before it fails.
    """
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = folder / "inventory.json"
    builders = {"hosts": {"builder1": local, "builder2": local}}
    inventory.write_text(json.dumps({"build_hosts": builders, "others": {"hosts": {"web1": local}}}))
    image = {
        "name": "rescue",
        "release": "bookworm",
        "no_such_option": 1,
        "lock": str(folder / "locks/rescue.lock.json"),
    }
    declared = folder / "declared.json"
    declared.write_text(json.dumps({"live_images": [image, {"name": "rescue-2"}], **variables}))
    command = [playbook.PROGRAM, str(playbook.ROOT / "playbooks/lock.yml"), "-i", str(inventory), "-e", f"@{declared}"]
    done = playbook.run([*command, *arguments])
    assert done.returncode != 0, done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("limit", "host"),
    [((), "builder1"), (("--limit", "builder2"), "builder2"), (("--limit", "web1:builder2:builder1"), "builder1")],
    ids=["none", "the second", "several"],
)
def test_one_build_host_within_the_limit_locks(tmp_path: pathlib.Path, limit: tuple[str, ...], host: str) -> None:
    said = run_lock_playbook(tmp_path, *limit)
    assert "no_such_option: an image has no such option" in said
    assert [name for name in ("builder1", "builder2", "web1") if f"fatal: [{name}]" in said] == [host]


def test_a_limit_without_build_hosts_is_refused(tmp_path: pathlib.Path) -> None:
    said = run_lock_playbook(tmp_path, "--limit", "web1")
    assert "--limit web1: none of the build hosts (builder1, builder2) is within this limit" in said


def test_a_lock_that_cannot_be_written_is_refused_before_anything_is_made(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    for lock, why in (("file/x.lock.json", f"no file can be made in {tmp_path}/file"), ("directory", "is a directory")):
        image = {"name": "rescue", "no_such_option": 1, "lock": str(tmp_path / lock)}
        said = run_lock_playbook(tmp_path, live_images=[image])
        assert f"dest: {tmp_path}/{lock} cannot be written on the controller" in said
        assert why in said
        assert "no_such_option" not in said


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("rescue", "no_such_option"),
        ("rescue,\n rescue", "no_such_option"),
        (["rescue"], "no_such_option"),
        ("", "no_such_option"),
        # A part of a name is no name, and neither is a name without a lock.
        ("resc", "live_lock_names: resc is no image or base that has the option lock. Those that have it: "),
        ("rescue rescue-2", "live_lock_names: rescue-2 is no image or base that has the option lock."),
        (["kiosk"], "live_lock_names: kiosk is no image or base that has the option lock. Those that have it: rescue."),
    ],
)
def test_names_of_what_is_locked(tmp_path: pathlib.Path, names: t.Any, message: str) -> None:
    assert message in run_lock_playbook(tmp_path, live_lock_names=names)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook from declaration to ISO: what runs again and why, what check mode foresees, what a kill leaves."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

import pytest

import playbook

NAME = "small"


@pytest.fixture(scope="module")
def workspace() -> t.Iterator[pathlib.Path]:
    with playbook.fresh_folder("playbook-test") as folder:
        yield folder


@pytest.fixture(scope="module")
def image(workspace: pathlib.Path) -> dict[str, t.Any]:
    """The declaration of a small image with an overlay tree on the controller."""
    overlay = workspace / "overlay"
    (overlay / "etc").mkdir(parents=True)
    (overlay / "etc/greeting").write_text("hello\n")
    return playbook.small_image(NAME, workspace, overlays=[{"src": str(overlay)}])


@pytest.fixture(scope="module")
def first(workspace: pathlib.Path, image: dict[str, t.Any]) -> playbook.Run:
    run = playbook.build([image], workspace)
    assert run.status == 0, run.output[-4000:]
    return run


def processes_in(folder: pathlib.Path) -> list[str]:
    """Command lines of all processes that name ``folder``, our own excepted."""
    listing = subprocess.run(["ps", "-eo", "pid,args"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line for line in listing.splitlines() if str(folder) in line and "pytest" not in line]


def mounts_in(folder: pathlib.Path) -> list[str]:
    return [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]


def test_first_run_builds_everything_and_tells_it(first: playbook.Run, workspace: pathlib.Path) -> None:
    assert first.stages() == {"rootfs": True, "dracut": True, "squashfs": True, "iso": True, "result": True}
    result = first.results[0]
    iso = pathlib.Path(result["path"])
    assert iso == workspace / NAME / f"{NAME}.x86_64-1.0.0.iso"
    assert result["size"] == iso.stat().st_size
    digest = subprocess.run(["sha256sum", str(iso)], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]
    assert result["sha256"] == digest
    # A person reads the same.
    for text in (f"{NAME} 1.0.0 on localhost: built", str(iso), digest):
        assert text in first.output
    # Long stages showed what they were doing while they ran.
    assert "live_rootfs: installing packages" in first.output
    assert "live_dracut: running dracut" in first.output


def test_second_run_changes_nothing(first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]) -> None:
    run = playbook.build([image], workspace)
    assert run.status == 0, run.output[-4000:]
    assert run.changed == 0
    assert all("unchanged: same inputs" in stage["reason"] for stage in run.results[0]["stages"].values())
    assert run.results[0]["sha256"] == first.results[0]["sha256"]


def test_touched_files_change_nothing(first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]) -> None:
    os.utime(workspace / "overlay/etc/greeting", (1, 1))
    os.utime(workspace / NAME / "squashfs.img", (1, 1))
    os.utime(workspace / NAME / "rootfs/etc/hostname", (1, 1))
    run = playbook.build([image], workspace)
    assert (run.status, run.changed) == (0, 0), run.output[-4000:]


def test_overlay_byte_reruns_what_depends_on_it_as_foreseen(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]
) -> None:
    (workspace / "overlay/etc/greeting").write_text("hallo\n")
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in (workspace / NAME).glob("*"))
    foreseen = playbook.build([image], workspace, "--check", "--diff")
    assert foreseen.status == 0, foreseen.output[-4000:]
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in (workspace / NAME).glob("*")) == before
    assert "/etc/greeting" in foreseen.output
    run = playbook.build([image], workspace)
    assert run.status == 0, run.output[-4000:]
    assert (
        run.stages()
        == foreseen.stages()
        == {"rootfs": True, "dracut": False, "squashfs": True, "iso": True, "result": True}
    )
    assert run.changed == foreseen.changed
    packages = workspace / NAME / "rootfs.packages.tar.zst"
    assert packages.stat().st_mtime < (workspace / NAME / "squashfs.img").stat().st_mtime
    assert run.results[0]["stages"]["rootfs"]["reason"] == "changed: overlays.0.entries./etc/greeting"


def test_packages_are_verified_again_when_something_of_theirs_changed(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]
) -> None:
    beside = workspace / NAME / f"{NAME}.x86_64-1.0.0"
    verified, log = pathlib.Path(f"{beside}.verified"), pathlib.Path(f"{beside}.json.log")
    issue = workspace / "overlay/etc/issue"
    issue.write_text("not that of base-files\n")
    try:
        for greeting, again in (("salut\n", True), ("servus\n", False)):
            (workspace / "overlay/etc/greeting").write_text(greeting)
            run = playbook.build([image], workspace)
            assert run.status == 0, run.output[-4000:]
            assert run.stages()["result"]
            assert "/etc/issue" in verified.read_text()
            assert ("dpkg --verify" in log.read_text()) is again
    finally:
        issue.unlink()
        # The tests after this one expect an image that is up to date.
        playbook.build([image], workspace)


def test_menu_change_reruns_the_iso_alone(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]
) -> None:
    changed = {**image, "timeout": 7}
    foreseen = playbook.build([changed], workspace, "--check")
    run = playbook.build([changed], workspace)
    assert (
        run.stages()
        == foreseen.stages()
        == {"rootfs": False, "dracut": False, "squashfs": False, "iso": True, "result": True}
    )
    assert run.results[0]["stages"]["iso"]["reason"] == "changed: options.timeout (1 -> 7)"


def test_damaged_output_is_noticed(first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]) -> None:
    playbook.build([image], workspace)
    squashfs = workspace / NAME / "squashfs.img"
    with open(squashfs, "r+b") as stream:
        stream.seek(4096)
        stream.write(b"damage")
    run = playbook.build([image], workspace)
    assert run.stages()["squashfs"] is True
    assert "was modified after it was built" in run.results[0]["stages"]["squashfs"]["reason"]


ENDS: dict[str, t.Callable[[subprocess.Popen[bytes]], None]] = {
    "kill -9 of everything": lambda process: os.killpg(process.pid, signal.SIGKILL),
    "kill -9 of ansible-playbook": lambda process: process.kill(),
    "Ctrl-C": lambda process: os.killpg(process.pid, signal.SIGINT),
    "kill of ansible-playbook": lambda process: process.terminate(),
}
# What the build says shortly before: it is in the middle of a stage, on a machine of any speed.
MOMENTS = ("live_dracut: running dracut", "live_rootfs: ")
# One end that nobody can clean up after, and one where everybody cleans up.
ENDS_IN_CI = ("kill -9 of everything", "Ctrl-C")


@pytest.mark.parametrize(
    "end", [pytest.param(end, marks=() if end in ENDS_IN_CI else (pytest.mark.full,)) for end in ENDS]
)
def test_killed_build_leaves_nothing_and_the_next_one_completes(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any], end: str
) -> None:
    attempt = list(ENDS).index(end)
    moment = MOMENTS[attempt % len(MOMENTS)]
    changed = {**image, "hostname": f"killed-{attempt}", "initrd_compression_level": 1 + attempt}
    output = workspace / "killed.output"
    with open(output, "wb") as stream:
        process = subprocess.Popen(
            playbook.command([changed], workspace),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 300
        while moment not in output.read_text():
            assert process.poll() is None and time.monotonic() < deadline, output.read_text()[-4000:]
            time.sleep(0.1)
        ENDS[end](process)
        process.wait()
    finally:
        process.kill()
    deadline = time.monotonic() + 15
    while processes_in(workspace) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert processes_in(workspace) == []
    assert mounts_in(workspace) == []
    if end != "kill -9 of everything":
        # The module itself lives long enough to clean up.
        deadline = time.monotonic() + 60
        while left_over(workspace) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert left_over(workspace) == []
    run = playbook.build([changed], workspace)
    assert run.status == 0, run.output[-4000:]
    again = playbook.build([changed], workspace)
    assert again.changed == 0
    assert left_over(workspace) == []


def left_over(workspace: pathlib.Path) -> list[str]:
    """What is half made, or only there while a stage runs."""
    return [path.name for path in (workspace / NAME).iterdir() if path.name.startswith(".")]


def test_two_builds_at_once_one_says_that_it_cannot(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]
) -> None:
    slow = {**image, "scripts": [{"content": "sleep 20"}]}
    other = workspace / "other-run"
    other.mkdir(exist_ok=True)
    process = subprocess.Popen(
        playbook.command([slow], other), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        lock = workspace / NAME / "rootfs.log"
        deadline = time.monotonic() + 60
        while "sleep" not in " ".join(processes_in(workspace / NAME)) and time.monotonic() < deadline:
            if lock.exists() and "scripts[0]" in lock.read_text():
                break
            time.sleep(0.3)
        run = playbook.build([{**slow, "lock_timeout": 1}], workspace)
        assert run.status != 0
        assert "Another build is using" in run.output
        assert "process " in run.output
    finally:
        process.wait()
    assert process.returncode == 0


REFUSED: list[tuple[dict[str, t.Any], str]] = [
    ({"flags": "overlayy"}, "value of flags must be one of: overlay, dmsquash, got: overlayy"),
    ({"filesystem": "zfs"}, "value of filesystem must be one of"),
    ({"flag": "overlay"}, "flag: an image has no such option. Did you mean flags?"),
    ({"flags": "dmsquash", "overlay_type": "device-mapper"}, "device-mapper"),
    ({"volid": "X" * 33}, "volid"),
    ({"volid": "no blanks"}, "volid"),
    ({"overlays": [{"src": "no-such-overlay"}]}, "overlays[0].src: no-such-overlay was not found on the controller"),
    ({"users": [{"name": "live", "password": "plain"}]}, "users[0].password of live is not a crypt hash"),
    ({"initrd_modules": ["kiwi-live"]}, "kiwi-live is chosen by flags"),
    ({"name": "a/b"}, "name: 'a/b' may only have"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message[:40] for dummy, message in REFUSED])
def test_bad_declarations_are_refused_before_anything_is_changed(
    workspace: pathlib.Path, options: dict[str, t.Any], message: str
) -> None:
    folder = workspace / "refused"
    folder.mkdir(exist_ok=True)
    run = playbook.build([{**playbook.small_image("refused", folder / "ws"), **options}], folder)
    assert run.status != 0
    assert message in run.output.replace("\n", " ")
    assert not (folder / "ws").exists()


def test_missing_tool_is_named_with_its_package(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]
) -> None:
    # Not executable in this mount namespace, which is as good as not installed.
    hide = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null "$(command -v mksquashfs)"; exec "$@"', "sh"]
    run = playbook.build([{**image, "compression": "small"}], workspace, prefix=hide)
    assert run.status != 0
    assert "The tool mksquashfs is missing on this build host" in run.output
    assert "squashfs-tools" in run.output


def test_full_workspace_is_named(workspace: pathlib.Path, image: dict[str, t.Any]) -> None:
    mounted = workspace / "tiny"
    mounted.mkdir(exist_ok=True)
    tiny = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=200m tiny {mounted}; exec "$@"', "sh"]
    run = playbook.build([{**image, "workspace": str(mounted)}], workspace, prefix=tiny)
    assert run.status != 0
    assert f"Not enough space in {mounted}" in run.output
    assert "MB needed" in run.output


def test_one_failing_image_does_not_stop_the_others(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]
) -> None:
    bad = playbook.small_image("bad", workspace, variant="apt", boot_packages=[], scripts=[{"content": "exit 3"}])
    run = playbook.build([bad, image], workspace)
    assert run.status != 0
    assert [result["name"] for result in run.results] == ["bad", NAME]
    assert "exited with 3 while running scripts[0]" in run.results[0]["error"]
    assert "error" not in run.results[1]
    assert "Failed: bad" in run.output


# What AWX keeps of a run: all results, as callbacks get them.
_RECORDER = '''
from __future__ import annotations

import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: recorder
type: notification
short_description: Writes down all results
description: Writes down all results.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "recorder"

    def v2_runner_on_ok(self, result, **kwargs):
        with open(os.environ["RECORDED_RESULTS"], "a", encoding="utf-8") as stream:
            stream.write(f"{result.result}\\n")

    v2_runner_on_failed = v2_runner_item_on_ok = v2_runner_item_on_failed = v2_runner_on_ok
'''


def test_passwords_of_boot_tests_are_not_shown(
    first: playbook.Run,
    workspace: pathlib.Path,
    image: dict[str, t.Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/recorder.py").write_text(_RECORDER)
    recorded = tmp_path / "recorded"
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", str(tmp_path / "plugins"))
    monkeypatch.setenv("RECORDED_RESULTS", str(recorded))
    tested = {**image, "boot_tests": [{"user": "live", "password": playbook.PASSWORD}]}
    run = playbook.build([tested], workspace, "--check", "-vvv")
    assert run.status == 0, run.output[-4000:]
    assert "fingerprint" in recorded.read_text()
    for shown in (run.output, recorded.read_text(), (workspace / "results.json").read_text()):
        assert playbook.PASSWORD not in shown


# Nothing listens at port 1.
_LOST_HOST = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-o ConnectTimeout=2"}
_LOCAL_HOST = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def build_on(hosts: dict[str, t.Any], folder: pathlib.Path) -> tuple[playbook.Run, list[dict[str, t.Any]]]:
    """Build an image that fails at once on these hosts; returns the results file, too, which was there before."""
    (folder / "file").write_text("")
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"build_hosts": {"hosts": hosts}}))
    results = folder / "results/of-this-run.json"
    results.parent.mkdir()
    results.write_text('[{"name": "of an earlier run"}]')
    arguments = ("-i", str(inventory), "-e", f"live_results={results}")
    run = playbook.build([playbook.small_image("rescue", folder / "file")], folder, *arguments)
    return run, json.loads(results.read_text())


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_images_of_lost_hosts_are_among_the_results(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.setenv("ANSIBLE_STRATEGY", strategy)
    monkeypatch.setenv("ANSIBLE_SHOW_CUSTOM_STATS", "true")
    run, results = build_on({"lost": _LOST_HOST, "builder1": _LOCAL_HOST, "builder2": _LOCAL_HOST}, tmp_path)
    assert run.status != 0
    errors = {result["host"]: result["error"] for result in results}
    assert errors.pop("lost") == "not finished: the host was lost or failed before (see above)"
    assert set(errors) == {"builder1", "builder2"}
    assert not any(error.startswith("not finished") for error in errors.values()), errors
    for host in ("lost", "builder1", "builder2"):
        # Once, whatever the strategy.
        assert run.output.count(f"rescue on {host}: FAILED") == 1
    # For the jobs that follow in a workflow.
    assert "live_built_images" in run.output


def test_results_of_an_earlier_run_are_not_taken_for_those_of_a_lost_one(tmp_path: pathlib.Path) -> None:
    run, results = build_on({"lost": _LOST_HOST}, tmp_path)
    assert run.status != 0
    assert [(result["name"], result["host"]) for result in results] == [("rescue", "lost")]
    assert results[0]["error"].startswith("not finished")


def test_a_results_file_that_cannot_be_written_is_refused_before_anything_is_built(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    results = f"{tmp_path}/file/results.json"
    run = playbook.build([playbook.small_image("rescue", tmp_path / "ws")], tmp_path, "-e", f"live_results={results}")
    assert run.status != 0
    assert f"results_file: {results} cannot be written on the controller" in run.output
    assert not (tmp_path / "ws").exists()


def test_all_declarations_are_checked_before_the_first_is_built(workspace: pathlib.Path) -> None:
    folder = workspace / "checked"
    folder.mkdir(exist_ok=True)
    good = playbook.small_image("good", folder / "ws")
    run = playbook.build([good, {**good, "name": "bad", "flags": "none"}], folder)
    assert run.status != 0
    assert "bad: value of flags must be one of" in run.output
    run = playbook.build([good, good], folder)
    assert run.status != 0
    assert "two of them have the same name" in run.output
    run = playbook.build([{**good, "flags": "none"}, "no dictionary", {"release": "none"}], folder)
    assert run.status != 0
    assert "good: value of flags must be one of" in run.output
    assert "live_images[1] must be a dictionary" in run.output
    assert "live_images[2]: " in run.output
    for nothing in ([], "rescue", {"name": "rescue"}, None):
        run = playbook.build(nothing, folder)
        assert run.status != 0
        assert "live_images must be a list with at least one image" in run.output, nothing
    assert not (folder / "ws").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initrd_modules": ["no-such-module"]}, "has no module no-such-module"),
        ({"initrd_drivers": ["no_such_driver"]}, "The initrd lacks the kernel driver no_such_driver"),
        ({"kernel": "1.2.3"}, "kernel: 1.2.3 is not installed"),
    ],
    ids=["module", "driver", "kernel"],
)
def test_what_the_initrd_must_have_is_there_or_the_build_fails(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any], options: dict[str, t.Any], message: str
) -> None:
    before = playbook.build([image], workspace)
    assert before.status == 0, before.output[-4000:]
    run = playbook.build([{**image, **options}], workspace)
    assert run.status != 0
    assert message in run.output
    assert (workspace / NAME / "boot/initrd").exists()


def test_dracut_module_of_the_users_own_is_in_the_initrd(
    first: playbook.Run, workspace: pathlib.Path, image: dict[str, t.Any]
) -> None:
    own = workspace / "90site"
    own.mkdir(exist_ok=True)
    (own / "module-setup.sh").write_text(
        "check() { return 255; }\ndepends() { :; }\ninstall() { inst_simple $moddir/site.conf /etc/site.conf; }\n"
    )
    (own / "site.conf").write_text("of the site\n")
    run = playbook.build([{**image, "dracut_modules": [{"src": str(own)}], "initrd_modules": ["site"]}], workspace)
    assert run.status == 0, run.output[-4000:]
    initrd = workspace / NAME / "boot/initrd"
    listing = subprocess.run(
        f"zstd -dc {initrd} | cpio -it --quiet", shell=True, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    assert "etc/site.conf" in listing.splitlines()

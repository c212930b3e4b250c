# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""live_cache: what it shows, what it removes, and what it says of bad options."""

from __future__ import annotations

import calendar
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest

import playbook


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> pathlib.Path:
    """Three packages, the oldest first, and a list."""
    for number, name in enumerate(("archives/a_1_all.deb", "archives/b_1_all.deb", "archives/c_1_all.deb", "lists/l")):
        path = tmp_path / "cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1024))
        used = time.time() - 86400 * (10 - number)
        os.utime(path, (used, used))
    return tmp_path / "cache"


def live_cache(folder: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    return playbook.module("live_cache", {"cache": str(folder), **options}, folder.parent)


def names(entries: list[dict[str, t.Any]]) -> list[str]:
    return [os.path.basename(entry["path"]) for entry in entries]


def test_shows_and_removes_nothing_without_a_limit(cache: pathlib.Path) -> None:
    result = live_cache(cache)
    assert (result["changed"], result["size"], result["freed"]) == (False, 4096, 0)
    assert names(result["entries"]) == ["a_1_all.deb", "b_1_all.deb", "c_1_all.deb", "l"]
    assert [entry["kind"] for entry in result["entries"]] == ["package"] * 3 + ["list"]
    age = time.time() - calendar.timegm(time.strptime(result["entries"][0]["last_used"], "%Y-%m-%dT%H:%M:%SZ"))
    assert 9.9 < age / 86400 < 10.1
    assert live_cache(cache / "none")["entries"] == []


def test_check_mode_tells_what_a_run_then_does_once(cache: pathlib.Path) -> None:
    options = {"max_size": "3K", "max_age": "9.5d", "_ansible_diff": True}
    foreseen = live_cache(cache, **options, _ansible_check_mode=True)
    assert len(list(cache.rglob("*_all.deb"))) == 3
    done = live_cache(cache, **options)
    assert foreseen == done
    assert (done["changed"], names(done["removed"]), done["freed"], done["size"]) == (True, ["a_1_all.deb"], 1024, 3072)
    assert done["diff"]["before"] == f"{cache}/archives/a_1_all.deb\n"
    assert not (cache / "archives/a_1_all.deb").exists()
    assert not live_cache(cache, **options)["changed"]


def test_what_a_build_has_linked_stays(cache: pathlib.Path) -> None:
    os.link(cache / "archives/a_1_all.deb", cache.parent / "of-a-build.deb")
    assert names(live_cache(cache, max_size="0", keep=1)["removed"]) == ["b_1_all.deb", "c_1_all.deb"]
    assert [entry["in_use"] for entry in live_cache(cache)["entries"]] == [True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_size": "5 parsecs"}, "max_size: '5 parsecs' is not a number with one of the units K, M, G, T"),
        ({"max_age": "3G"}, "max_age: '3G' is not a number with one of the units s, m, h, d, w, such as 30d."),
        ({"keep": -1}, "keep: -1 must not be negative."),
        ({"cache": "here"}, "cache: 'here' must be an absolute path."),
    ],
)
def test_bad_options(cache: pathlib.Path, options: dict[str, t.Any], message: str) -> None:
    result = live_cache(cache, **options)
    assert result["failed"] and result["msg"].startswith(message), result


@pytest.mark.parametrize(
    ("arguments", "told", "left"),
    [
        (["--check"], "would have 2 files, 2.00 KB; would remove 2, 2.00 KB", 4),
        ([], "has 2 files, 2.00 KB; removed 2, 2.00 KB", 2),
    ],
    ids=["check", "run"],
)
def test_playbook(cache: pathlib.Path, arguments: list[str], told: str, left: int) -> None:
    done = subprocess.run(
        [
            str(pathlib.Path(sys.executable).parent / "ansible-playbook"),
            str(playbook.ROOT / "playbooks/cache.yml"),
            *("-e", f"live_cache={cache}", "-e", "live_cache_max_size=1K", "-e", "live_cache_keep=2"),
            *arguments,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert told in done.stdout
    assert "least recently used: " in done.stdout
    assert len([path for path in cache.rglob("*") if path.is_file()]) == left

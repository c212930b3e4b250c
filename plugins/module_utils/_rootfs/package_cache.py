# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a build host keeps of downloads between builds. Private to this collection.

Nothing in the cache is believed. apt compares only the size of what it finds in its archive folder, and takes its lists
for checked, so both are compared with signed digests here before apt sees them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import filecmp
import os
import re
import shlex
import shutil
import tempfile
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._digest import file_sha256
from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.repositories import Repository
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.successors import Space

_DIGEST = re.compile(r"^ ([0-9a-f]{64}) +\d+ (\S+)$", re.MULTILINE)
_PARTIAL = re.compile(r"\..*\.partial\Z")
# A copy into the cache takes seconds; one as old as this belongs to a build that was killed.
_STALE_SECONDS = 86400
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# What apt says of lists that are not what somebody signed: extended regular expressions of grep(1), and of Python.
_LISTS_AT_FAULT = "GPG|signature|signed|hash sum|parse|clearsign"
_AGES = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

# The packages are installed, and then packed, which makes about a quarter of them.
PACKED_COPY = 1.35

# Brings the packages that apt is going to want in, each after a check against the digest that apt prints of it.
# Arguments: the tree, the cache's packages, the file for the names of damaged ones, the space that it all takes as a
# multiple of what is installed, and bytes besides, the names to install.
# The list of wanted packages may be too short, which costs a download and nothing else.
_FETCH = r"""#!/bin/sh
root=$1 cache=$2 damaged=$3 copies=$4 later=$5
shift 5
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
archives=$root/var/cache/apt/archives
said=$damaged.update
if ! apt-get update --error-on=any >"$said" 2>&1; then
    cat "$said"
    # What the cache has may be the reason.
    grep -Eqi '@LISTS_AT_FAULT@' "$said" || exit 1
    find "$root/var/lib/apt/lists" -type f -delete
    apt-get update --error-on=any || exit
fi
wanted=$damaged.wanted
{
    apt-get --quiet --yes --option Acquire::ForceHash=SHA256 --print-uris install '?essential' || :
    apt-get --quiet --yes --option Acquire::ForceHash=SHA256 --print-uris install '?essential' "$@" || :
} >"$wanted" 2>/dev/null
# What is downloaded stays in the cache; the package lists are gone before anything is packed.
lists=$(du --summarize --block-size=1 "$root/var/lib/apt/lists" | cut -f 1)
needs=$(awk -v cache="$cache" -v copies="$copies" -v later="$later" -v lists="$lists" '
    /^\047/ && !seen[$2]++ {
        file = cache "/" $2
        if ((getline line <file) < 0) download += $3; else close(file)
    }
    /^After this operation, .* of additional disk space/ {
        gsub(/,/, "", $4)
        installed = $4 * ($5 ~ /^k/ ? 1e3 : $5 ~ /^M/ ? 1e6 : $5 ~ /^G/ ? 1e9 : 1)
    }
    END {
        needs = copies * installed + later - lists
        if (needs < installed) needs = installed
        printf "%.0f", needs + download
    }' "$wanted")
has=$(df --block-size=1 --output=avail "$root" | tail -n 1 | tr -d ' ')
if [ "$needs" -gt "$has" ]; then
    echo "space: needs $needs has $has"
    exit 1
fi
sed -n "s/^'[^']*' \([^ ]*\) [0-9]* SHA256:\([0-9a-f]*\)$/\2 \1/p" "$wanted" | sort -u |
while read -r digest name; do
    [ -f "$cache/$name" ] || continue
    if ! ln "$cache/$name" "$archives/" 2>/dev/null && ! cp "$cache/$name" "$archives/"; then
        # Somebody pruned the cache just now; apt downloads it.
        rm -f "$archives/$name"
        [ -f "$cache/$name" ] || continue
        exit 1
    fi
    # The link or copy is checked, so that nobody can exchange the file after the check.
    if echo "$digest  $archives/$name" | sha256sum --check --status; then
        echo "cache: taking $name"
    else
        echo "cache: $name does not have the digest of the package list; removing it, to download it again"
        echo "$name" >>"$damaged"
        rm -f "$archives/$name"
        rm -f "$cache/$name" || :
    fi
done
""".replace("@LISTS_AT_FAULT@", _LISTS_AT_FAULT)


def lists_are_at_fault(said: str) -> bool:
    """Whether apt could not read package lists because of what they hold, by what it said."""
    return re.search(_LISTS_AT_FAULT, said, re.IGNORECASE) is not None


def size_option(option: str, text: str | None) -> int | None:
    """Bytes of an option such as ``500M``; StageError when it is none."""
    return _quantity(option, text, _SIZES, "500M")


def age_option(option: str, text: str | None) -> int | None:
    """Seconds of an option such as ``30d``; StageError when it is none."""
    return _quantity(option, text, _AGES, "30d")


def _quantity(option: str, text: str | None, units: t.Mapping[str, int], example: str) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]?)", text.strip())
    if found is None or found[2] not in units:
        names = ", ".join(filter(None, units))
        raise StageError(f"{option}: {text!r} is not a number with one of the units {names}, such as {example}.")
    return int(float(found[1]) * units[found[2]])


class PackageCache:
    """The cache as builds use it.

    Builds have links or copies of their own of what they use, so whatever happens to the cache meanwhile cannot hurt
    them, and any number of them share it.

    Args:
        folder: of the cache, on the build host.
        max_size: bytes that builds leave in it, or None for as much as there is.
    """

    def __init__(self, folder: str, max_size: int | None = None) -> None:
        self.folder = folder
        self._max_size = max_size
        self.archives = os.path.join(folder, "archives")
        self.lists = os.path.join(folder, "lists")

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.archives, self.lists):
            os.makedirs(folder, exist_ok=True)

    def take_lists(self, repositories: t.Sequence[Repository], target: str) -> None:
        """Copy the package lists of ``repositories`` into the new folder ``target``: those that are as their Release
        file says. The signature of that one is checked by apt."""
        os.mkdir(target)
        for prefix in sorted({repository.list_prefix() for repository in repositories}):
            names = [name for name in _files(self.lists) if name.startswith(prefix)]
            # Only what apt checks the signature of, whatever else lies there.
            if prefix + "InRelease" not in names:
                continue
            text = _taken(os.path.join(self.lists, prefix + "InRelease"), os.path.join(target, prefix + "InRelease"))
            digests = {(place, digest) for digest, place in _DIGEST.findall(text)}
            for name in names:
                if name[len(prefix) :] in ("InRelease", "Release", "Release.gpg"):
                    continue
                copy = os.path.join(target, name)
                place = name[len(prefix) :].replace("_", "/")
                try:
                    shutil.copy2(os.path.join(self.lists, name), copy)
                except FileNotFoundError:
                    continue
                if (place, file_sha256(copy)) not in digests:
                    os.unlink(copy)
                else:
                    _mark(os.path.join(self.lists, name))

    def space_for(self, listing: str, later: Space) -> int:
        """Bytes for installing what apt lists: the packages, a packed copy of them, and downloads.

        Args:
            listing: what ``apt-get --print-uris`` with ``Acquire::ForceHash=SHA256`` prints of the wanted packages.
            later: what later stages need, besides.
        """
        found = re.search(r"^After this operation, ([\d,.]+) ([kMG]?)B of additional disk space", listing, re.MULTILINE)
        units = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
        installed = float(found[1].replace(",", "")) * units[found[2]] if found is not None else 0
        missing = [
            int(size)
            for name, size in re.findall(r"^'[^']*' (\S+) (\d+) SHA256:", listing, re.MULTILINE)
            if not os.path.exists(os.path.join(self.archives, name))
        ]
        return int(PACKED_COPY * installed) + later.beside(int(installed)) + sum(missing)

    def take_packages(self, listing: str, target: str) -> list[str]:
        """Give ``target`` those packages that the cache has and that are right.

        Args:
            listing: what ``apt-get --print-uris`` with ``Acquire::ForceHash=SHA256`` prints of the wanted packages.
            target: a folder of archives.

        Returns:
            The file names of damaged ones, which are no longer in the cache.
        """
        wanted = re.findall(r"^'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})$", listing, re.MULTILINE)
        return [name for name, digest in wanted if self.take(name, digest, target) is False]

    def take(self, name: str, digest: str, target: str) -> bool | None:
        """Give the folder ``target`` a link or copy of one package.

        Args:
            name: of the file.
            digest: SHA-256 that it must have.
            target: a folder that has no such file.

        Returns:
            True; False when the cache had other bytes under this name, which it has no longer; None when it has
            nothing.
        """
        kept, taken = os.path.join(self.archives, name), os.path.join(target, name)
        if not _link_or_copy(kept, taken):
            return None
        # The link or copy is checked, so that nobody can exchange the file after the check.
        if file_sha256(taken) != digest:
            os.unlink(taken)
            # As long as it is there, the right one is not kept.
            with contextlib.suppress(OSError):
                os.unlink(kept)
            return False
        _mark(kept)
        return True

    def keep(self, archives: str, lists: str | None) -> None:
        """Keep the packages in the folder ``archives``, and the package lists in the folder ``lists`` unless None.

        Raises:
            OSError: the cache cannot take them all.
        """
        for name in _files(archives):
            if name.endswith(".deb"):
                _link_or_copy(os.path.join(archives, name), os.path.join(self.archives, name))
                # It still has the time of the mirror.
                _mark(os.path.join(self.archives, name))
        for name in _files(lists) if lists is not None else ():
            new, old = os.path.join(str(lists), name), os.path.join(self.lists, name)
            # Times do not count, since an altered list may have any. Of builds side by side the one that ends last may
            # keep an older list, which costs the next one a download.
            if name != "lock" and not _are_same(new, old):
                _copy(new, old)
                _mark(old)

    def fetch_hooks(self, folder: str, lists: str, names: t.Sequence[str], later: Space) -> list[str]:
        """Setup hooks for mmdebstrap that read the package lists and bring in what the cache has of packages.

        They come after all others, since they use everything that apt is told.

        Args:
            folder: for the script and the names of damaged packages.
            lists: folder with package lists to start from; they are moved.
            names: the packages to install, as apt takes them.
            later: what later stages need, besides.
        """
        script = os.path.join(folder, "fetch")
        with open(script, "w", encoding="utf-8") as stream:
            stream.write(_FETCH)
        needed = [str(PACKED_COPY + later.share), str(later.size)]
        arguments = shlex.join([self.archives, os.path.join(folder, "damaged"), *needed, *names])
        return [
            '--setup-hook=mkdir -p "$1"/var/cache/apt/archives/partial "$1"/var/lib/apt/lists/partial; '
            f'find {shlex.quote(lists)} -type f -exec mv -t "$1"/var/lib/apt/lists {{}} +; '
            f'sh {shlex.quote(script)} "$1" {arguments}'
        ]

    def keep_packages(self) -> str:
        """A shell command for mmdebstrap's hooks that keeps the packages of the tree. One gets its name when whole.

        What the cache cannot take, being full, is no reason to end a build.
        """
        archives = shlex.quote(self.archives)
        return (
            f"mkdir -p {archives}; "
            f'for deb in "$1"/var/cache/apt/archives/*.deb; do [ -e "$deb" ] || continue; name=${{deb##*/}}; '
            f'[ -e {archives}/"$name" ] || ln "$deb" {archives}/ 2>/dev/null || '
            f"{_copy_whole(archives)}; done"
        )

    def keep_lists(self) -> str:
        """A shell command for mmdebstrap's hooks that keeps the package lists of the tree, whatever times they have."""
        lists = shlex.quote(self.lists)
        return (
            f"mkdir -p {lists}; "
            'for deb in $(find "$1"/var/lib/apt/lists -maxdepth 1 -type f ! -name lock); do name=${deb##*/}; '
            f'cmp -s "$deb" {lists}/"$name" || '
            f"{_copy_whole(lists)}; done"
        )

    def damaged(self, folder: str) -> list[str]:
        """Packages that the fetch hook found damaged."""
        try:
            with open(os.path.join(folder, "damaged"), encoding="utf-8") as stream:
                return sorted(set(stream.read().split()))
        except FileNotFoundError:
            return []

    def mark_used(self, packages: t.Iterable[str], repositories: t.Iterable[Repository] = ()) -> None:
        """Note that packages (names of their files), and the lists of repositories, were used now."""
        for name in packages:
            _mark(os.path.join(self.archives, name))
        prefixes = tuple(repository.list_prefix() for repository in repositories)
        for name in _files(self.lists) if prefixes else ():
            if name.startswith(prefixes):
                _mark(os.path.join(self.lists, name))

    def hold_limit(self, note: t.Callable[[str], None]) -> None:
        """Remove what was not used for longest while there is more than the limit; ``note`` takes a word about it.

        Copies that killed builds left half made go without a limit, too.
        """
        try:
            found = entries(self.folder)
            gone = prune(prunable(found, max_size=self._max_size, max_age=None, keep=0, now=time.time()))
        except OSError as problem:
            # The packages are installed: no reason to end a build.
            note(f"Nothing can be removed from the cache: {problem}")
            return
        if gone and self._max_size is not None:
            note(
                f"{len(gone)} files ({sum(entry.size for entry in gone) / 1e6:.0f} MB) that were not used for longest "
                f"went out of the cache, which may have {self._max_size / 1e6:.0f} MB"
            )


@dataclasses.dataclass(frozen=True)
class CacheEntry:
    """One file in the cache.

    Attributes:
        kind: ``package``, ``list``, or ``unfinished`` for what a build is copying or a killed one left.
        used: seconds since 1970 of the last use.
        links: names that the file has; more than one while a build uses it, and then removing it frees nothing.
    """

    path: str
    kind: str
    size: int
    used: float
    links: int

    @property
    def in_use(self) -> bool:
        """Whether a running build may use it."""
        if self.kind == "unfinished":
            return time.time() - self.used < _STALE_SECONDS
        return self.links > 1


def entries(folder: str) -> list[CacheEntry]:
    """What is in a cache, least recently used first."""
    found = []
    for name, kind in (("archives", "package"), ("lists", "list")):
        for file in _files(os.path.join(folder, name)):
            path = os.path.join(folder, name, file)
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            if _PARTIAL.match(file):
                this = "unfinished"
            elif kind == "list" or file.endswith(".deb"):
                this = kind
            else:
                continue
            # apt needs the modification time of a list; that of a package is its last use. A copy that is whole, and
            # has not got its name yet, has the modification time of its source.
            used = {
                "package": status.st_mtime,
                "list": max(status.st_atime, status.st_mtime),
                "unfinished": status.st_ctime,
            }[this]
            found.append(CacheEntry(path, this, status.st_size, used, status.st_nlink))
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def prunable(
    found: t.Sequence[CacheEntry], *, max_size: int | None, max_age: float | None, keep: int, now: float
) -> list[CacheEntry]:
    """What to remove from a cache, least recently used first.

    Args:
        found: the entries, least recently used first.
        max_size: bytes that may stay, or None.
        max_age: seconds since the last use, or None.
        keep: so many of the most recently used entries stay whatever their age and size.
        now: seconds since 1970.
    """
    free = [entry for entry in found[: max(len(found) - keep, 0)] if not entry.in_use]
    chosen = [
        entry for entry in free if entry.kind == "unfinished" or (max_age is not None and now - entry.used > max_age)
    ]
    if max_size is not None:
        total = sum(entry.size for entry in found) - sum(entry.size for entry in chosen)
        for entry in free:
            if total <= max_size:
                break
            if entry not in chosen:
                chosen.append(entry)
                total -= entry.size
    return sorted(chosen, key=lambda entry: (entry.used, entry.path))


def prune(chosen: t.Iterable[CacheEntry]) -> list[CacheEntry]:
    """Remove entries, but those that were used or replaced since they were looked at; returns the removed ones."""
    removed = []
    for entry in chosen:
        try:
            status = os.lstat(entry.path)
            if status.st_nlink > entry.links or (entry.kind == "package" and status.st_mtime != entry.used):
                continue
            os.unlink(entry.path)
        except FileNotFoundError:
            continue
        removed.append(entry)
    return removed


def _copy_whole(folder: str) -> str:
    # Not named by the process: each build counts its own from 1, in a namespace. What the tools say stays unseen: that
    # of a full file system would be taken for the workspace's if the build failed later.
    return (
        f'{{ partial=$(mktemp {folder}/."$name".XXXXXX.partial) && cp -p "$deb" "$partial" && '
        f'mv -f "$partial" {folder}/"$name"; }} 2>/dev/null || '
        f'{{ rm -f "$partial"; echo "cache: {folder} cannot take $name, which is not kept"; }}'
    )


def _link_or_copy(source: str, target: str) -> bool:
    """Give a file another name, unless that is there; returns whether there is such a file."""
    try:
        os.link(source, target)
    except FileExistsError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return _copy(source, target)
    return True


def _copy(source: str, target: str) -> bool:
    """Copy a file, which gets its name only when it is whole; returns whether there is one."""
    folder, name = os.path.split(target)
    with contextlib.suppress(FileNotFoundError):
        # Not named by the process, since builds in several containers may share a cache.
        descriptor, partial = tempfile.mkstemp(prefix=f".{name}.", suffix=".partial", dir=folder)
        os.close(descriptor)
        try:
            shutil.copy2(source, partial)
            os.replace(partial, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
            raise
        return True
    # The source is gone, or the cache.
    return False


def _files(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return sorted(entry.name for entry in found if entry.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _are_same(first: str, second: str) -> bool:
    try:
        return filecmp.cmp(first, second, shallow=False)
    except FileNotFoundError:
        return False


def _taken(path: str, copy: str) -> str:
    try:
        shutil.copy2(path, copy)
    except FileNotFoundError:
        return ""
    _mark(path)
    with open(copy, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _mark(path: str) -> None:
    """Note a use: in the access time alone for lists, since their modification time is the mirror's."""
    now = time.time_ns()
    try:
        is_list = not path.endswith(".deb")
        os.utime(path, ns=(now, os.stat(path).st_mtime_ns if is_list else now))
    except OSError:
        # It was pruned, or the file system takes nothing any more; then it counts as used earlier.
        return

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What scripts of a KIWI image description find while they run. Private to this collection.

/.kconfig holds shell functions, /.profile variables that are also in the environment, /image the scripts themselves,
from where they are called as KIWI calls them. Nothing of it stays in the tree.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._publish import remove
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.scripts import Script
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import Shipped, require_archives

_FUNCTIONS = ".kconfig"
_PROFILE = ".profile"
_FOLDER = "image"
PLACES = (_FUNCTIONS, _PROFILE, _FOLDER)
# KIWI's name of the script that each option stands for.
_FILE_NAMES = {"post_bootstrap_scripts": "post_bootstrap", "scripts": "config", "images_scripts": "images"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclasses.dataclass(frozen=True)
class KiwiInterface:
    """KIWI's interface for scripts.

    Attributes:
        profile: the variables of /.profile.
        functions: the file that becomes /.kconfig.
    """

    profile: t.Mapping[str, str]
    functions: Shipped

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> KiwiInterface | None:
        """From the options of live_rootfs; None when ``kiwi_profile`` is not given."""
        if options["kiwi_profile"] is None:
            return None
        if options["kiwi_functions"] is None:
            raise StageError(
                "kiwi_profile: the shell functions for /.kconfig are missing. The action plugin of the module brings "
                "them; call the module by its full name liveforge.images.live_rootfs."
            )
        functions = Shipped.from_item("kiwi_functions", options["kiwi_functions"], options["dest"])
        return cls(_profile(options["kiwi_profile"]), functions)

    def inputs(self, scripts: t.Sequence[Script]) -> dict[str, t.Any]:
        """The interface for a fingerprint, as ``scripts`` see it."""
        return {
            "profile": dict(self.profile),
            "functions": self.functions.identity,
            "executable": [script.option for script in scripts if script.executable],
        }

    def install(self, root: str, scripts: t.Sequence[Script]) -> None:
        """Put the interface and ``scripts`` into a tree; what else its /image holds stays until :meth:`uninstall`."""
        require_archives([self.functions])
        folder = os.path.join(root, _FOLDER)
        if os.path.islink(folder) or not os.path.isdir(folder):
            remove(folder)
            os.mkdir(folder, 0o755)
        profile = profile_text(self.profile).encode()
        _write(os.path.join(root, _FUNCTIONS), self.functions.content(), 0o644)
        _write(os.path.join(root, _PROFILE), profile, 0o644)
        _write(os.path.join(folder, _PROFILE), profile, 0o644)
        for script in scripts:
            _write(os.path.join(folder, file_name(script)), script.content(), 0o755 if script.executable else 0o644)

    def uninstall(self, root: str) -> None:
        """Take the interface out of a tree, with all of /image."""
        for place in PLACES:
            remove(os.path.join(root, place))


def command(script: Script) -> list[str]:
    """How KIWI calls an installed script: by itself when it may be executed, by bash otherwise."""
    path = f"/{_FOLDER}/{file_name(script)}"
    return [path] if script.executable and script.content().startswith(b"#!") else ["bash", path]


def file_name(script: Script) -> str:
    """KIWI's name of a script, such as ``config.sh``; that of a second one of a kind is ``config-2.sh``."""
    option, dummy, index = script.option.rstrip("]").partition("[")
    number = int(index) + 1
    return _FILE_NAMES[option] + (f"-{number}" if number > 1 else "") + ".sh"


def profile_text(profile: t.Mapping[str, str]) -> str:
    """The variables as sorted lines that a shell can read."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in sorted(profile.items()))


def _quoted(value: str) -> str:
    return shlex.quote(value) if "'" in value else f"'{value}'"


def _profile(given: t.Mapping[str, t.Any]) -> dict[str, str]:
    profile = {}
    for name, value in given.items():
        if not _VARIABLE.match(str(name)):
            raise StageError(
                f"kiwi_profile: {name!r} is not the name of a shell variable (letters, digits and underscores)."
            )
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, (str, int, float)) or "\0" in str(value):
            raise StageError(f"kiwi_profile.{name}: {value!r} must be a text.")
        profile[str(name)] = str(value)
    return profile


def _write(path: str, content: bytes, mode: int) -> None:
    # Removed first: a link that the image has at this place must not lead out of the tree.
    remove(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    os.chmod(path, mode)

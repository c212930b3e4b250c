# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One declared image: checked as a whole before anything is built. Private to this collection."""

from __future__ import annotations

import difflib
import functools
import os
import re
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._live import dmsquash, overlay
from ansible_collections.liveforge.images.plugins.module_utils._live.features import (
    MODES,
    PERSISTENCE_ARGUMENTS,
    LiveFeatures,
)
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.package_lock import PackageLock
from ansible_collections.liveforge.images.plugins.module_utils._squashfs.options import NESTED
from ansible_collections.liveforge.images.plugins.module_utils._stage_module import STAGE_ARGUMENTS
from ansible_collections.liveforge.images.plugins.modules import (
    live_dracut,
    live_iso,
    live_result,
    live_rootfs,
    live_squashfs,
)
from ansible_collections.liveforge.images.plugins.plugin_utils._image_base import find_base, inherited
from ansible_collections.liveforge.images.plugins.plugin_utils._stage_action import SHIPPED, TEXTS, with_keys, with_text

DEFAULT_WORKSPACE = "/var/lib/liveforge"

# What the stages are told by the role, not by the user: their own paths and each other's.
_WIRED = {
    "root",
    "boot",
    "squashfs",
    "iso",
    "layer",
    "base_root",
    "live_overlay_module",
    "kiwi_functions",
    "successors",
}
# Options of an image that have another name in their stage, where two stages use the same word for different things.
_RENAMED = {
    "dracut": {
        "initrd_modules": "modules",
        "initrd_omit_modules": "omit_modules",
        "initrd_drivers": "drivers",
        "initrd_omit_drivers": "omit_drivers",
        "initrd_compression": "compression",
        "initrd_compression_level": "compression_level",
    },
    "iso": {"displayname": "title"},
}
_STAGES: dict[str, t.Any] = {
    "rootfs": live_rootfs,
    "dracut": live_dracut,
    "squashfs": live_squashfs,
    "iso": live_iso,
    "result": live_result,
}
# Bytes that a first build is expected to need, beside shares of the root tree: kernel and initrd with most drivers, and
# boot loaders with the EFI partition.
_BOOT_SIZE = 60_000_000
_LOADERS_SIZE = 30_000_000
# What dracut and boot loaders need while they are made.
_DRACUT_SCRATCH = 240_000_000
_ISO_SCRATCH = 67_000_000
# A file system with some room, without its holes, as a multiple of the root tree.
_NESTED_SHARE = 1.1
_HEALTHY = {"cmd": "systemctl is-system-running --wait", "timeout": 300}
_BOOT_TEST: dict[str, t.Any] = {
    "media": {"type": "str", "choices": ["cdrom", "disk", "usb"], "default": "cdrom"},
    "firmware": {"type": "str", "choices": ["bios", "uefi", "uefi_secure"], "default": "bios"},
    "memory": {"type": "int", "default": 2048},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "commands": {"type": "list", "elements": "raw"},
    "timeout": {"type": "int", "default": 900},
}
_IMAGE: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "default": "1.0.0"},
    "workspace": {"type": "path", "default": DEFAULT_WORKSPACE},
    "base": {"type": "str"},
    "bases": {"type": "list", "elements": "dict", "default": []},
    "bundle_format": {"type": "str"},
    "bundle_name": {"type": "str"},
    "bundle_id": {"type": "str"},
    "boot_packages": {"type": "list", "elements": "str"},
    "boot_tests": {"type": "list", "elements": "dict", "default": [], "options": _BOOT_TEST},
    "source_date_epoch": {"type": "int"},
    "force": {"type": "bool", "default": False},
    "lock_timeout": {"type": "int", "default": 3600},
}
# Options whose items name sources on the controller, and those that are a text or a file there that holds it.
_SOURCES = tuple(option for options in SHIPPED.values() for option in options)
_TEXTS = tuple(option for options in TEXTS.values() for option in options)
_BUNDLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]*\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")


def image_arguments() -> dict[str, t.Any]:
    """The argument spec of one image: its own options and those of all stages, defaults included."""
    arguments = dict(_IMAGE)
    for stage, module in _STAGES.items():
        renamed = {inner: outer for outer, inner in _RENAMED.get(stage, {}).items()}
        for name, argument in module.ARGUMENTS.items():
            if name not in _WIRED:
                arguments.setdefault(renamed.get(name, name), argument)
    # Debian's names; the ISO uses the machine's.
    arguments["architecture"] = {"type": "str", "choices": ["amd64"], "default": "amd64"}
    arguments["volid"] = {"type": "str"}
    # A word, or a dictionary that says more.
    arguments["persistence"] = {"type": "raw"}
    arguments["displayname"] = {"type": "str"}
    # The path alone, or a dictionary that says more.
    for option in _TEXTS:
        arguments[option] = {"type": "raw"}
    return arguments


class ImageSpec:
    """One image, with all defaults, and what each stage is told.

    Args:
        options: the image as its user declared it.
        find: looks up a source on the controller and returns its path; raises an exception that says where it looked.
        read: gives the content of such a file in clear; None when none is vaulted.
        defaults: options of the image, and of its base, that are not declared.

    Raises:
        StageError: naming the option at fault, what was expected and what to do.
    """

    def __init__(
        self,
        options: t.Mapping[str, t.Any],
        find: t.Callable[[str], str],
        read: t.Callable[[str], bytes] | None = None,
        defaults: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        if read is None:
            read = functools.partial(_content, find)
        arguments = image_arguments()
        _refuse_unknown(options, arguments)
        given = {**_without_none(defaults or {}), **_without_none(options)}
        self.base: ImageSpec | None = None
        if "base" in given:
            declared = find_base(given)
            try:
                self.base = ImageSpec({"workspace": given.get("workspace"), **declared}, find, read, defaults)
            except StageError as problem:
                raise StageError(f"base {declared['name']}: {problem.message}") from problem
            given = inherited(given, declared, self.base.options)
        _require_absolute_paths(given, arguments)
        checked = ArgumentSpecValidator(arguments).validate(given)
        if checked.error_messages:
            raise StageError("; ".join(checked.error_messages))
        self.options: dict[str, t.Any] = checked.validated_parameters
        self.options["persistence"] = _persistence(self.options["persistence"])
        for option in _TEXTS:
            if isinstance(self.options[option], str):
                self.options[option] = {"src": self.options[option]}
        self._take_date_of_lock(read)
        self._complete()
        self._require_sources(find)
        self._packed_share = 0.0
        self._validate_stages(read)

    @property
    def folder(self) -> str:
        """Where everything of this image lies on the build host."""
        return os.path.join(self.options["workspace"], self.options["name"])

    @property
    def outputs(self) -> dict[str, str]:
        """Output path of each stage."""
        file_name = bundle_name(self.options) or f"{self.options['name']}.x86_64-{self.options['version']}"
        return {
            "rootfs": os.path.join(self.folder, "rootfs"),
            "dracut": os.path.join(self.folder, "boot"),
            "squashfs": os.path.join(self.folder, "squashfs.img"),
            "iso": os.path.join(self.folder, file_name + ".iso"),
            "result": os.path.join(self.folder, file_name + ".json"),
        }

    def stage_options(self, stage: str) -> dict[str, t.Any]:
        """The options of one stage, without those that were left at none."""
        return {**self._own_options(stage), **self._base_options(stage)}

    def _base_options(self, stage: str) -> dict[str, t.Any]:
        """What the stages are told of the base."""
        if self.base is None:
            return {"root": self.outputs["rootfs"]} if stage == "squashfs" else {}
        tree, packed = self.base.outputs["rootfs"], self.base.outputs["squashfs"]
        return {
            "rootfs": {"base": tree},
            "dracut": {"base": tree},
            "squashfs": {"root": self.outputs["rootfs"], "layer": True},
            "iso": {"base": packed, **({"base_root": tree} if self.options["edit_boot_config"] is not None else {})},
            "result": {"base": tree},
        }[stage]

    def _own_options(self, stage: str) -> dict[str, t.Any]:
        arguments = _STAGES[stage].ARGUMENTS
        outer = {inner: name for name, inner in _RENAMED.get(stage, {}).items()}
        found = {"dest": self.outputs[stage]}
        for name in arguments:
            value = self.options.get(outer.get(name, name))
            if name not in _WIRED and name != "base" and value is not None:
                found[name] = value
        for name in ("source_date_epoch", "force", "lock_timeout"):
            if self.options[name] is not None:
                found[name] = self.options[name]
        if stage == "rootfs":
            found["packages"] = sorted(self._packages() - (self.base._packages() if self.base is not None else set()))
        if stage == "iso":
            found["architecture"] = "x86_64"
        return found

    def _packages(self) -> set[str]:
        return {*self.options["packages"], *self.options["boot_packages"]}

    def warnings(self) -> list[str]:
        """What is accepted although it does not always do what it promises."""
        found = [
            f"repositories[{index}] is used without a check of its signature (trusted). Whoever can change it, or the "
            "connection to it, can change the image. Give its keys instead."
            for index, item in enumerate(self.options["repositories"])
            if item["trusted"]
        ]
        if self.options["flags"] == "dmsquash":
            found += dmsquash.warnings(LiveFeatures.from_options(self.options))
        return found

    def result(self) -> dict[str, t.Any]:
        """What the role works with."""
        return {
            "name": self.options["name"],
            "version": self.options["version"],
            "folder": self.folder,
            "outputs": self.outputs,
            "boot_tests": self.options["boot_tests"],
            **({"base": self.base.as_base()} if self.base is not None else {}),
            **{stage: self.stage_options(stage) for stage in _STAGES},
            "rootfs": {**self.stage_options("rootfs"), "successors": self._successors()},
        }

    def _successors(self) -> list[dict[str, t.Any]]:
        """What is made of the root tree, and the disk space for it."""
        outputs = self.outputs
        iso = {
            "path": outputs["iso"],
            "share": self._packed_share,
            "size": _BOOT_SIZE + _LOADERS_SIZE,
            "scratch_size": _ISO_SCRATCH,
            "includes": [self.base.outputs["squashfs"]] if self.base is not None else [],
        }
        return [{"path": outputs["dracut"], "size": _BOOT_SIZE, "scratch_size": _DRACUT_SCRATCH}, self._packed(), iso]

    def _packed(self) -> dict[str, t.Any]:
        nested = NESTED.get(self.options["filesystem"])
        scratch = _NESTED_SHARE * nested.copies if nested is not None else 0.0
        return {"path": self.outputs["squashfs"], "share": self._packed_share, "scratch": scratch}

    def as_base(self) -> dict[str, t.Any]:
        """What the role works with when this is the base of another image."""
        return {
            "name": self.options["name"],
            "rootfs": {**self.stage_options("rootfs"), "successors": [self._packed()]},
            "squashfs": self.stage_options("squashfs"),
        }

    def _complete(self) -> None:
        """Fill in what depends on other options."""
        options = self.options
        for option in ("name", "version"):
            if not _NAME.match(options[option]):
                raise StageError(
                    f"{option}: {options[option]!r} may only have letters, digits, dots, hyphens and underscores, "
                    "since it becomes part of file names."
                )
        bundle_name(options)
        for index, test in enumerate(options["boot_tests"]):
            if test["commands"] and not test["user"]:
                raise StageError(f"boot_tests[{index}].commands needs boot_tests[{index}].user, who runs them.")
            if test["commands"] is None:
                test["commands"] = [_HEALTHY] if test["user"] else []
        if options["volid"] is None:
            # ECMA-119 allows 32 characters. KIWI's CDROM for every image would let two sticks be confused.
            options["volid"] = f"{options['name']}-{options['version']}"[:32].rstrip(".-_")
        if options["displayname"] is None:
            options["displayname"] = options["name"]
        if options["boot_packages"] is None:
            options["boot_packages"] = boot_packages(options)

    def _take_date_of_lock(self, read: t.Callable[[str], bytes]) -> None:
        """Without a date of its own, an image has that of its lock: that of the newest repository back then."""
        lock = self.options["lock"]
        if lock is None:
            return
        if not isinstance(lock, t.Mapping):
            raise StageError(
                f"lock: {lock!r} is neither a path on the controller nor a dictionary with src or content."
            )
        if lock.get("src") is not None and lock.get("remote_src"):
            raise StageError("lock.remote_src: a lock is read on the controller. Give its path there as lock.")
        text = with_text("lock", lock, read).get("content")
        # Without a text, the stage says what is missing.
        if self.options["source_date_epoch"] is None and text is not None:
            date = PackageLock.parse(text).source_date_epoch
            if date is None and self.base is not None:
                # An image that adds no package has that of its base.
                date = self.base.options["source_date_epoch"]
            self.options["source_date_epoch"] = date

    def _require_sources(self, find: t.Callable[[str], str]) -> None:
        for option in _SOURCES:
            for index, item in enumerate(self.options[option]):
                if item.get("src") is None or item.get("remote_src"):
                    continue
                try:
                    find(item["src"])
                except Exception as problem:
                    raise StageError(
                        f"{option}[{index}].src: {item['src']} was not found on the controller. Give a path that "
                        f"exists there, or set remote_src when it lies on the build host. {problem}"
                    ) from problem

    def _validate_stages(self, read: t.Callable[[str], bytes]) -> None:
        """Let each stage check its options now: the last one's complaint must not come after minutes of building."""
        wiring = {
            "rootfs": {"kiwi_functions": {"entries": {}, "identity": "not shipped"}},
            "dracut": {
                "root": self.outputs["rootfs"],
                "live_overlay_module": {"entries": {}, "identity": "not shipped"},
            },
            "iso": {
                "boot": self.outputs["dracut"],
                "squashfs": self.outputs["squashfs"],
                "root": self.outputs["rootfs"],
            },
            "result": {
                "root": self.outputs["rootfs"],
                "boot": self.outputs["dracut"],
                "squashfs": self.outputs["squashfs"],
                "iso": self.outputs["iso"],
            },
        }
        for stage, module in _STAGES.items():
            arguments = {**STAGE_ARGUMENTS, **module.ARGUMENTS}
            options = {**_as_shipped(self.stage_options(stage)), **wiring.get(stage, {})}
            if options.get("repositories"):
                options["repositories"] = with_keys(options["repositories"], read)
            for option in _TEXTS:
                if isinstance(options.get(option), dict):
                    options[option] = _text(option, options[option], read)
            checked = ArgumentSpecValidator(arguments).validate(options)
            if checked.error_messages:
                raise StageError("; ".join(checked.error_messages))
            try:
                made = module.make_stage(checked.validated_parameters)
                made.validate()
                if stage == "squashfs":
                    self._packed_share = made.packed_share()
            except StageError as problem:
                raise StageError(_in_names_of_an_image(stage, problem.message)) from problem


def _in_names_of_an_image(stage: str, message: str) -> str:
    """A complaint of a stage, whose sentences begin with the option at fault, with the name that this has here."""
    for outer, inner in _RENAMED.get(stage, {}).items():
        message = re.sub(rf"(^|[.] ){inner}(?=[: ])", rf"\1{outer}", message)
    return message


def _without_none(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in options.items() if value is not None}


def _content(find: t.Callable[[str], str], source: str) -> bytes:
    with open(find(source), "rb") as stream:
        return stream.read()


def _text(option: str, item: dict[str, t.Any], read: t.Callable[[str], bytes]) -> dict[str, t.Any]:
    """The option with its text, as its stage gets it; what lies on the build host is not known yet."""
    if item.get("remote_src") and item.get("content") is None:
        return {"content": ""}
    return t.cast("dict[str, t.Any]", with_text(option, item, read))


def bundle_name(options: t.Mapping[str, t.Any]) -> str | None:
    """The name without suffix that ``bundle_name`` or ``bundle_format`` gives the ISO; None when neither is given.

    Raises:
        StageError: a placeholder cannot be filled in, or the result is no file name.
    """
    name, pattern = options["bundle_name"], options["bundle_format"]
    if name is not None and pattern is not None:
        raise StageError("bundle_name, bundle_format: give one of them.")
    if name is None and pattern is None:
        return None
    option = "bundle_name" if name is not None else "bundle_format"
    found = name if name is not None else _expanded(pattern, options)
    if not _BUNDLE.match(found):
        raise StageError(
            f"{option}: {found!r} is no file name of letters, digits, dots, hyphens, underscores, plus signs and "
            "tildes. The suffixes (.iso and others) are added to it."
        )
    return t.cast("str", found)


def _expanded(pattern: str, options: t.Mapping[str, t.Any]) -> str:
    """KIWI's pattern for names of bundles, filled in."""
    numbers = [*options["version"].split("."), None, None, None]
    values: dict[str, str | None] = {
        "N": options["name"],
        "P": str((options["kiwi_profile"] or {}).get("kiwi_profiles", "")).replace(",", "_"),
        "A": "x86_64",
        "I": options["bundle_id"],
        "T": "iso",
        "M": numbers[0],
        "m": numbers[1],
        "p": numbers[2],
        "v": options["version"],
    }

    def value(found: re.Match[str]) -> str:
        letter = found[1]
        text = values.get(letter)
        if letter not in values:
            raise StageError(
                f"bundle_format: {pattern!r} has the unknown placeholder %{letter}. Known are "
                f"{', '.join('%' + known for known in values)}."
            )
        if text is None:
            missing = "bundle_id is not given" if letter == "I" else f"version {options['version']} has too few numbers"
            raise StageError(f"bundle_format: %{letter} in {pattern!r} cannot be filled in, because {missing}.")
        return text

    return re.sub(r"%(.?)", value, pattern)


def boot_packages(options: t.Mapping[str, t.Any]) -> list[str]:
    """The packages that a bootable image of these options needs besides what its user declares."""
    packages = {"linux-image-" + options["architecture"], "systemd-sysv", "udev", "dbus", "dracut", "zstd", "kmod"}
    if options["distribution"] == "ubuntu":
        packages = packages - {"linux-image-" + options["architecture"]} | {"linux-image-generic"}
    live = dmsquash if options["flags"] == "dmsquash" else overlay
    packages |= live.packages(LiveFeatures.from_options(options), options["release"])
    if options["mediacheck"]:
        packages.add("isomd5sum")
    return sorted(packages)


def _persistence(given: t.Any) -> dict[str, t.Any] | None:
    """The option as a dictionary: ``auto`` alone is ``{mode: auto}``."""
    if given is None:
        return None
    if isinstance(given, str):
        given = {"mode": given}
    if not isinstance(given, t.Mapping):
        raise StageError(
            f"persistence: {given!r} is neither one of {', '.join(MODES)} nor a dictionary with mode, device, "
            "filesystem, size, file, sparse, encryption and key."
        )
    checked = ArgumentSpecValidator(PERSISTENCE_ARGUMENTS).validate(dict(given))
    if checked.error_messages:
        raise StageError("; ".join(f"persistence: {message}" for message in checked.error_messages))
    return {name: value for name, value in checked.validated_parameters.items() if value is not None}


def _refuse_unknown(options: t.Mapping[str, t.Any], arguments: t.Mapping[str, t.Any]) -> None:
    for name in options:
        if name not in arguments:
            near = difflib.get_close_matches(str(name), list(arguments), n=1)
            hint = f" Did you mean {near[0]}?" if near else f" The options are: {', '.join(sorted(arguments))}."
            raise StageError(f"{name}: an image has no such option.{hint}")


def _require_absolute_paths(options: t.Mapping[str, t.Any], arguments: t.Mapping[str, t.Any], prefix: str = "") -> None:
    """Refuse what Ansible would expand here, although all options of the type path name something on the build host."""
    for name, argument in arguments.items():
        value = options.get(name)
        if argument["type"] == "path" and isinstance(value, str) and (not value.startswith("/") or "$" in value):
            raise StageError(
                f"{prefix}{name}: {value!r} must be an absolute path on the build host, without ~ and variables such "
                "as $HOME."
            )
        for index, item in enumerate(value if "options" in argument and isinstance(value, list) else ()):
            if isinstance(item, t.Mapping):
                _require_absolute_paths(item, argument["options"], f"{prefix}{name}[{index}].")


def _as_shipped(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """The options as the stages see them once sources are described; what they hold does not matter here."""
    found = dict(options)
    for option in _SOURCES:
        if option in found:
            found[option] = [
                {**item, "entries": {}, "identity": "not shipped"} if item.get("src") is not None else item
                for item in found[option]
            ]
    return found

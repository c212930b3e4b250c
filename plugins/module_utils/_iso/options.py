# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a live ISO is to be: the options, their defaults that depend on each other, and their rules.

Private to this collection.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._iso import kernel_command_line as command_line
from ansible_collections.liveforge.images.plugins.module_utils._live import dmsquash, overlay
from ansible_collections.liveforge.images.plugins.module_utils._live.features import (
    LiveFeatures,
    contradictions,
    overlay_size_problems,
)
from ansible_collections.liveforge.images.plugins.module_utils._text_option import text_of

OUTPUT_TERMINALS = ("console", "gfxterm", "serial")
INPUT_TERMINALS = ("console", "serial")
# El Torito counts the EFI image in 512-byte blocks with 16 bits, so it must stay below 32 MiB.
MAX_ESP_MIB = 31
MIN_ESP_MIB = 3

_VOLID_CHARACTER = re.compile(r"[a-zA-Z0-9_.-]")
# ECMA-119 a-characters and the few more that KIWI lets through.
_VOLUME_TEXT = re.compile(r"[a-zA-Z0-9!-/:-?_ ]{1,128}")
_SERIAL_LINE = re.compile(r"serial( +--?[a-zA-Z0-9=_.,:/-]+)*")


@dataclasses.dataclass(frozen=True)
class IsoOptions:
    """The options of live_iso that decide the bytes of the ISO, with every default filled in.

    Attributes have the module's option names. ``bios`` and ``efi`` say which firmware can start the ISO.
    """

    architecture: str
    volid: str
    title: str
    features: LiveFeatures
    kernelcmdline: str
    firmware: str
    eficsm: bool
    efiparttable: str
    gpt_hybrid_mbr: bool
    efifatimagesize: int | None
    timeout: int
    timeout_style: str
    output_console: tuple[str, ...]
    input_console: tuple[str, ...]
    serial_line: str
    application_id: str | None
    publisher: str
    grub_template: str | None = None
    contradictions: tuple[str, ...] = ()

    @property
    def flags(self) -> str:
        """``overlay`` or ``dmsquash``."""
        return self.features.flags

    @property
    def mediacheck(self) -> bool:
        """Whether the menu offers a media check."""
        return self.features.mediacheck

    @property
    def bios(self) -> bool:
        """Whether a PC BIOS can start it."""
        return self.firmware == "bios" or self.eficsm

    @property
    def efi(self) -> bool:
        """Whether UEFI firmware can start it."""
        return self.firmware in ("efi", "uefi")

    @classmethod
    def from_parameters(cls, parameters: t.Mapping[str, t.Any]) -> IsoOptions:
        """The options of a module call, which the argument spec has checked for type and choice."""
        derived = ("features", "contradictions", "grub_template")
        own = [field.name for field in dataclasses.fields(cls) if field.name not in derived]
        values = {name: parameters[name] for name in own}
        for name in ("output_console", "input_console"):
            values[name] = tuple(word for element in values[name] for word in element.split())
        features = LiveFeatures.from_options(parameters)
        if values["efiparttable"] is None:
            values["efiparttable"] = _default_table(values["firmware"], features)
        return cls(
            **values,
            features=features,
            grub_template=text_of(parameters, "grub_template"),
            contradictions=tuple(contradictions(parameters)),
        )

    def inputs(self) -> dict[str, t.Any]:
        """The options for a fingerprint."""
        values = dataclasses.asdict(self)
        del values["contradictions"]
        template = values.pop("grub_template")
        if template is not None:
            values["grub_template"] = hashlib.sha256(template.encode()).hexdigest()
        # Few images have a base; an ISO without one has the fingerprint that it had before there were any.
        if not values["features"]["layered"]:
            del values["features"]["layered"]
        # Tuples become lists, as they come back from a stamp.
        return t.cast("dict[str, t.Any]", json.loads(json.dumps({**values.pop("features"), **values})))

    def check(self) -> None:
        """Raise StageError with every rule that the options break."""
        problems = [
            *_volume_problems(self),
            *self.contradictions,
            *overlay_size_problems(self.features.overlay_size),
            *(dmsquash if self.flags == "dmsquash" else overlay).problems(self.features),
            *_firmware_problems(self),
            *_menu_problems(self),
        ]
        if problems:
            raise StageError(" ".join(problems), problems=problems)

    def live_root(self, mbrid: str, persistent_label: str) -> command_line.LiveRoot:
        """What the kernel command lines are made from."""
        return command_line.LiveRoot(
            volid=self.volid,
            features=self.features,
            mbrid=mbrid,
            persistent_label=persistent_label,
            arguments=tuple(command_line.split(self.kernelcmdline)),
        )


def _default_table(firmware: str, features: LiveFeatures) -> str:
    if firmware == "bios" or (features.flags == "dmsquash" and dmsquash.needs_msdos_table(features)):
        return "msdos"
    return "gpt"


def _volume_problems(options: IsoOptions) -> t.Iterator[str]:
    rule = "It takes 1 to 32 of the characters a-z, A-Z, 0-9, _, . and -."
    wrong = [character for character in options.volid if not _VOLID_CHARACTER.fullmatch(character)]
    if wrong:
        yield f"volid {options.volid!r} contains {wrong[0]!r}. {rule}"
    if not 1 <= len(options.volid) <= 32:
        yield f"volid {options.volid!r} has {len(options.volid)} characters. {rule}"
    for name, value in (("application_id", options.application_id), ("publisher", options.publisher)):
        if value and not _VOLUME_TEXT.fullmatch(value):
            yield (
                f"{name} {value!r} ({len(value)} characters) is not accepted: ISO 9660 allows at most 128 letters, "
                "digits, blanks and the punctuation between ! and ?, and the underscore."
            )


def _firmware_problems(options: IsoOptions) -> t.Iterator[str]:
    if options.efiparttable == "gpt" and not options.efi:
        yield "efiparttable gpt needs firmware efi or uefi; an ISO for a BIOS alone has an MBR. Leave it out."
    if options.efiparttable == "gpt" and options.flags == "dmsquash" and dmsquash.needs_msdos_table(options.features):
        yield (
            "efiparttable gpt does not work with flags dmsquash and persistence: dracut's dmsquash-live-autooverlay "
            "cannot add a partition to the GPT of an ISO. Use efiparttable msdos."
        )
    size = options.efifatimagesize
    if size is not None and not MIN_ESP_MIB <= size <= MAX_ESP_MIB:
        yield (
            f"efifatimagesize {size} is not between {MIN_ESP_MIB} and {MAX_ESP_MIB} (MiB): El Torito counts the boot "
            "image in 512-byte blocks with 16 bits, so 32 MiB do not fit. Leave it out to have it sized by its content."
        )


def _menu_problems(options: IsoOptions) -> t.Iterator[str]:
    if not options.title.strip() or any(ord(character) < 32 for character in options.title):
        yield f"title {options.title!r} must be one line of text."
    if options.timeout < -1:
        yield f"timeout {options.timeout} must be seconds, 0 for none, or -1 to wait for a choice."
    for name, terminals, known in (
        ("output_console", options.output_console, OUTPUT_TERMINALS),
        ("input_console", options.input_console, INPUT_TERMINALS),
    ):
        unknown = [terminal for terminal in terminals if terminal not in known]
        if unknown:
            yield f"{name} does not know {unknown[0]!r}. It takes {', '.join(known)}, or an empty list."
    if not _SERIAL_LINE.fullmatch(options.serial_line):
        yield f"serial_line {options.serial_line!r} must be GRUB's serial command, such as serial --unit=0."
    yield from _kernel_command_line_problems(options)


def _kernel_command_line_problems(options: IsoOptions) -> t.Iterator[str]:
    try:
        words = command_line.split(options.kernelcmdline)
    except ValueError as problem:
        yield f"kernelcmdline: {problem}. Leave it out."
        return
    if any(word.startswith("root=") for word in words):
        yield (
            "kernelcmdline must not contain root=: the live root is always found by the volume id "
            f"(root=live:CDLABEL={options.volid}), and a second root= would break it. Set volid instead."
        )
    root = options.live_root("0x00000000", "cow-00000000")
    longest = max(len(command_line.join(line)) for line in _lines(root))
    if longest > command_line.MAX_LENGTH:
        yield (
            f"kernelcmdline makes a kernel command line of {longest} characters, but the kernel takes "
            f"{command_line.MAX_LENGTH}. Shorten it by {longest - command_line.MAX_LENGTH}."
        )


def _lines(root: command_line.LiveRoot) -> list[list[str]]:
    return [command_line.normal(root), command_line.failsafe(root), command_line.media_check(root)]

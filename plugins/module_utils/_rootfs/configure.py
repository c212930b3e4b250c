# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that turn installed packages into the declared system. Private to this collection."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._rootfs import image_path
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.accounts import Group, User
from ansible_collections.liveforge.images.plugins.module_utils._rootfs.shipped import Shipped
from ansible_collections.liveforge.images.plugins.module_utils._sandbox import Sandbox
from ansible_collections.liveforge.images.plugins.module_utils._stage import Work

_ARCHIVE = "/run/liveforge-archive"
_LOCALES_WITHOUT_DATA = ("C", "C.UTF-8", "POSIX")


@dataclasses.dataclass(frozen=True)
class Tree:
    """A tree or tar archive to unpack into the image."""

    shipped: Shipped
    dest: str
    keep_owners: bool


@dataclasses.dataclass(frozen=True)
class File:
    """One file to write into the image: given as text, or shipped."""

    option: str
    dest: str
    content: str | None
    shipped: Shipped | None
    owner: str
    group: str
    mode: str


@dataclasses.dataclass(frozen=True)
class Services:
    """systemd units to enable, disable and mask, and the default target."""

    enabled: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    default_target: str | None = None


def hosts(name: str | None = None) -> str:
    """Text of /etc/hosts, in which localhost and the host name, if there is one, are this machine (hosts(5))."""
    own = f"127.0.1.1 {name}\n" if name is not None else ""
    return f"127.0.0.1 localhost\n{own}::1 localhost ip6-localhost ip6-loopback\n"


def offline_sandbox(root: str, source_date_epoch: int | None) -> Sandbox:
    """A sandbox for changing a tree whose system does not run."""
    environment = {"SYSTEMD_OFFLINE": "1"}
    if source_date_epoch is not None:
        environment["SOURCE_DATE_EPOCH"] = str(source_date_epoch)
    return Sandbox(root, writable=True, environment=environment)


def unpack_commands(tree: Tree, sandbox: Sandbox) -> tuple[list[str], list[str]]:
    """The host commands that make the directory of a tree in the image, and unpack it there."""
    owners = ["--same-owner"] if tree.keep_owners else ["--owner=0", "--group=0", "--no-same-owner"]
    command = ["tar", "--extract", f"--file={_ARCHIVE}", f"--directory={tree.dest}", "--touch"]
    # Folders that the image has already keep their links, owners and modes (a checkout cannot know those of /tmp).
    # Without the pattern, tar restores user.* only, and file capabilities are lost.
    command += [
        "--xattrs",
        "--xattrs-include=*",
        "--keep-directory-symlink",
        "--no-overwrite-dir",
        "--same-permissions",
        "--numeric-owner",
        *owners,
    ]
    with_archive = dataclasses.replace(sandbox, binds=((tree.shipped.open(), _ARCHIVE, False),))
    return sandbox.command(["mkdir", "-p", tree.dest]), with_archive.command(command)


class Configurator:
    """Changes a root tree from the inside: everything runs in a sandbox whose root is the tree.

    That way links, user names and tools mean what they mean in the image, and what they do stays in the tree.
    """

    def __init__(self, work: Work, root: str, source_date_epoch: int | None) -> None:
        self._work = work
        self._root = root
        self._sandbox = offline_sandbox(root, source_date_epoch)

    def unpack(self, tree: Tree) -> None:
        """Unpack a tree over what is there; directory links of the image are followed, not replaced."""
        make_folder, unpack = unpack_commands(tree, self._sandbox)
        self._work.run.run(make_folder, task=f"making {tree.dest}")
        self._work.run.run(unpack, task=f"unpacking {tree.shipped.option}")

    def write(
        self, path: str, content: bytes, *, owner: str = "root", group: str = "root", mode: str = "0644", what: str = ""
    ) -> None:
        """Write one file of the image, with its folders; an existing file is replaced, a link at its place too."""
        script = (
            'set -e; mkdir -p "$(dirname "$1")"; rm -f "$1"; umask 077; cat > "$1"; '
            'chown -- "$2:$3" "$1"; chmod "$4" "$1"'
        )
        self._inside(["sh", "-c", script, "write", path, owner, group, mode], f"writing {what or path}", stdin=content)

    def file(self, file: File) -> None:
        """Write a declared file."""
        content = file.shipped.content() if file.shipped is not None else (file.content or "").encode()
        self.write(
            file.dest,
            content,
            owner=file.owner,
            group=file.group,
            mode=file.mode,
            what=f"{file.option} ({file.dest}, owner {file.owner}:{file.group})",
        )

    def hostname(self, name: str | None) -> None:
        """Set the host name, and let it and localhost resolve to this machine.

        Args:
            name: the host name; None for none, so that the network or the machine that boots it gives one.
        """
        if name is not None:
            self.write("/etc/hostname", f"{name}\n".encode())
        elif self._exists("/etc/hosts"):
            return
        self.write("/etc/hosts", hosts(name).encode())

    def locale(self, name: str) -> None:
        """Make the locale where it needs data, and set it for the whole system."""
        if name not in _LOCALES_WITHOUT_DATA:
            if not self._exists("/usr/sbin/locale-gen"):
                raise StageError(f"locale: {name} needs the package locales in packages.")
            charset = name.partition(".")[2].partition("@")[0] or "ISO-8859-1"
            supported = image_path.read_text(self._root, "/usr/share/i18n/SUPPORTED")
            line = f"{name} {charset}"
            if supported is not None and line not in (known.strip() for known in supported.split("\n")):
                raise StageError(f"locale: {name} is not in /usr/share/i18n/SUPPORTED of the image.")
            self.write("/etc/locale.gen", f"{line}\n".encode())
            self._inside(["locale-gen"], f"making the locale {name}")
        self.write("/etc/locale.conf", f"LANG={name}\n".encode())
        self.write("/etc/default/locale", f"LANG={name}\n".encode())

    def keymap(self, name: str) -> None:
        """Set the keyboard layout of console (vconsole.conf(5)) and X (keyboard(5))."""
        self.write("/etc/vconsole.conf", f"KEYMAP={name}\n".encode())
        self.write(
            "/etc/default/keyboard",
            f'XKBMODEL="pc105"\nXKBLAYOUT="{name}"\nXKBVARIANT=""\nXKBOPTIONS=""\nBACKSPACE="guess"\n'.encode(),
        )

    def timezone(self, name: str) -> None:
        """Set the time zone."""
        if not self._exists(f"/usr/share/zoneinfo/{name}"):
            raise StageError(
                f"timezone: {name} is not in /usr/share/zoneinfo of the image. "
                "Check its name, and that the package tzdata is in packages."
            )
        self._inside(["ln", "-sfn", f"/usr/share/zoneinfo/{name}", "/etc/localtime"], "setting the time zone")
        self.write("/etc/timezone", f"{name}\n".encode())

    def group(self, group: Group) -> None:
        """Create a group, or give one that exists the declared number."""
        exists = self._entry("/etc/group", group.name) is not None
        command = ["groupmod" if exists else "groupadd"]
        if group.system and not exists:
            command.append("--system")
        if group.gid is not None:
            command += ["--gid", str(group.gid)]
        if not exists or len(command) > 1:
            self._inside([*command, group.name], f"creating the group {group.name} (groups)")

    def user(self, user: User) -> None:
        """Create a user or change one that exists, with password hash and SSH keys."""
        exists = self._entry("/etc/passwd", user.name) is not None
        command = ["usermod" if exists else "useradd"]
        if not exists:
            command += ["--system"] if user.system else ["--create-home"]
            if user.shell is None and not user.system:
                command += ["--shell", "/bin/bash" if self._exists("/bin/bash") else "/bin/sh"]
        for option, value in (
            ("--uid", user.uid),
            ("--gid", user.group),
            ("--shell", user.shell),
            ("--home", user.home),
            ("--comment", user.comment),
        ):
            if value is not None:
                command += [option, str(value)]
        if user.groups:
            command += ["--groups", ",".join(user.groups)]
        if len(command) > 1:
            self._inside([*command, user.name], f"creating the user {user.name} (users)")
        if user.password is not None:
            # Through standard input: arguments are visible to everybody on the host.
            self._inside(
                ["chpasswd", "--encrypted"],
                f"setting the password of {user.name}",
                stdin=f"{user.name}:{user.password}\n".encode(),
            )
        if user.ssh_authorized_keys:
            self._ssh_keys(user)

    def services(self, services: Services) -> None:
        """Enable, disable and mask units; an unknown unit is an error."""
        for verb, units in (
            ("unmask", services.enabled),
            ("enable", services.enabled),
            ("disable", services.disabled),
            ("mask", services.masked),
        ):
            if units:
                self._inside(["systemctl", verb, *units], f"running systemctl {verb} {' '.join(units)} (services)")
        if services.default_target:
            self._inside(["systemctl", "set-default", services.default_target], "setting the default target")

    def remove_packages(self, packages: t.Sequence[str], *, must_be_installed: bool) -> None:
        """Remove packages, their configuration, and what only they needed.

        Args:
            packages: their names.
            must_be_installed: whether one that is not there is an error; otherwise the log says so, as KIWI does it.
        """
        present = self._installed(packages, "packages_remove")
        absent = sorted(set(packages) - set(present))
        if absent and must_be_installed:
            raise StageError(
                f"packages_remove: {', '.join(absent)} is not installed, so it cannot be removed. Correct its name or "
                "leave it out."
            )
        if present:
            self._inside(
                ["apt-get", "--yes", "--auto-remove", "purge", *present], "removing packages (packages_remove)"
            )

    def delete_packages(self, packages: t.Sequence[str]) -> None:
        """Remove packages alone, whatever needs them, and without their maintainer scripts.

        The scripts may need what was deleted before. Configuration files stay, as with dpkg --remove.
        """
        present = self._installed(packages, "packages_delete")
        if not present:
            return
        script = (
            "set -e; cd /var/lib/dpkg/info; for package; do for kind in preinst postinst prerm postrm; do "
            'rm -f "$package.$kind" "$package":*."$kind"; done; done'
        )
        self._inside(["sh", "-c", script, "delete", *present], "leaving out maintainer scripts (packages_delete)")
        forced = ["--force-depends", "--force-remove-essential", "--force-remove-reinstreq", "--force-remove-protected"]
        self._inside(["dpkg", *forced, "--remove", *present], "deleting packages (packages_delete)")

    def _installed(self, packages: t.Sequence[str], option: str) -> list[str]:
        """Those of ``packages`` that are installed, in their order; the log names the others."""
        status = self._inside(
            ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n"], "listing installed packages"
        )
        known = {line.removeprefix("installed ") for line in status.splitlines() if line.startswith("installed ")}
        for package in packages:
            if package not in known:
                self._work.run.note(f"{option}: {package} is not installed")
        return [package for package in packages if package in known]

    def run(self, command: t.Sequence[str], task: str) -> str:
        """Run any command inside the tree and return what it printed."""
        return self._inside(command, task)

    def _ssh_keys(self, user: User) -> None:
        account = self._entry("/etc/passwd", user.name)
        if account is None:
            raise StageError(f"users: {user.name} was not created, so it cannot have SSH keys.")
        home, owner, group = account[5], account[2], account[3]
        folder = posixpath.join(home, ".ssh")
        self._inside(
            ["install", "-d", "-m", "0700", "-o", owner, "-g", group, folder], f"making {folder} of {user.name}"
        )
        keys = "".join(f"{key}\n" for key in user.ssh_authorized_keys).encode()
        self.write(posixpath.join(folder, "authorized_keys"), keys, owner=owner, group=group, mode="0600")

    def _entry(self, database: str, name: str) -> list[str] | None:
        """The fields of a line of passwd(5) or group(5)."""
        for line in (image_path.read_text(self._root, database) or "").split("\n"):
            fields = line.split(":")
            if fields[0] == name:
                return fields
        return None

    def _exists(self, path: str) -> bool:
        return image_path.exists(self._root, path, follow=False)

    def _inside(self, argv: t.Sequence[str], task: str, stdin: bytes | None = None) -> str:
        return self._work.run.run(self._sandbox.command(argv), task=task, stdin=stdin)

# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest that boots in seconds even without KVM: Debian's cloud kernel, a static busybox, GRUB.

Its kernel parameters make it misbehave on purpose:

- ``tiny.noise``: the kernel writes to the console all the time.
- ``tiny.panic``: the kernel panics instead of starting getty.
- ``tiny.deaf``: poweroff does nothing.
- ``tiny.autologin``: root's shell is on the console without a login.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import textwrap
import typing as t

USER = "live"
PASSWORD = "a-test-phrase"
# Raised when what follows changes, so that an older guest in the cache is not taken for this one.
GUEST_VERSION = 1

# In the order in which they need each other.
KERNEL_MODULES = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk")

INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=1777 tmp /tmp
for module in /modules/*.ko; do insmod "$module"; done
hostname tiny
if grep -q tiny.noise /proc/cmdline; then
    (while :; do echo '<2>noise on the console' >/dev/kmsg; usleep 30000; done) &
fi
if grep -q tiny.panic /proc/cmdline; then echo c >/proc/sysrq-trigger; fi
if ! grep -q tiny.deaf /proc/cmdline; then
    (while [ ! -e /tmp/.poweroff ]; do usleep 100000; done; busybox poweroff) &
fi
if grep -q tiny.autologin /proc/cmdline; then
    echo 'ttyS0::respawn:-/bin/sh' >/etc/inittab
else
    echo 'ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt220' >/etc/inittab
fi
exec /sbin/init
"""

GRUB_MENU = """\
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout={timeout}
menuentry "Tiny" {{
    linux {folder}/vmlinuz console=ttyS0 quiet panic=-1 {append}
    initrd {folder}/initrd
}}
menuentry "Tiny (failsafe)" {{
    linux {folder}/vmlinuz console=ttyS0 panic=-1 tiny.entry=failsafe
    initrd {folder}/initrd
}}
"""


@dataclasses.dataclass(frozen=True)
class TinyGuest:
    """Paths of the parts of the guest."""

    kernel: pathlib.Path
    initrd: pathlib.Path
    iso: pathlib.Path
    secure_disk: pathlib.Path


def build() -> TinyGuest:
    """Make the guest from Debian packages, or take it from the cache (LIVEFORGE_TEST_CACHE)."""
    cache = pathlib.Path(os.environ.get("LIVEFORGE_TEST_CACHE") or "~/.cache/liveforge-tests").expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "tiny-guest.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = cache / f"tiny-guest-{GUEST_VERSION}"
        if not folder.exists():
            partial = cache / f"tiny-guest-{GUEST_VERSION}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            _build_in(partial)
            partial.rename(folder)
    return TinyGuest(folder / "vmlinuz", folder / "initrd", folder / "tiny.iso", folder / "secure.img")


def _build_in(folder: pathlib.Path) -> None:
    packages = folder / "packages"
    packages.mkdir()
    _download(packages, "busybox-static", _dependency("linux-image-cloud-amd64"))
    shutil.copy(next(packages.glob("boot/vmlinuz-*")), folder / "vmlinuz")
    _make_initrd(folder, packages)
    _make_iso(folder)
    _make_secure_disk(folder)
    shutil.rmtree(packages)


def _download(folder: pathlib.Path, *names: str) -> None:
    try:
        _run(["apt-get", "download", "-q", *names], cwd=folder)
    except RuntimeError:
        # What the package lists name may be gone from the mirror.
        _run(["apt-get", "update", "-q"])
        _run(["apt-get", "download", "-q", *names], cwd=folder)
    for package in folder.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(package), str(folder)])


def _dependency(package: str) -> str:
    found = re.search(r"Depends: (linux-image-\S+)", _run(["apt-cache", "depends", package]))
    if not found:
        raise RuntimeError(f"apt does not know the package {package}: run apt-get update on a Debian host.")
    return found[1]


def _make_initrd(folder: pathlib.Path, packages: pathlib.Path) -> None:
    root = folder / "root"
    for name in ("bin", "sbin", "etc", "proc", "sys", "dev", "tmp", "modules", "home/live", "root"):
        (root / name).mkdir(parents=True)
    shutil.copy(packages / "bin/busybox", root / "bin/busybox")
    for applet in _run([str(root / "bin/busybox"), "--list-full"]).split():
        link = root / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to("/bin/busybox")
    for number, module in enumerate(KERNEL_MODULES):
        found = list(packages.rglob(f"{module}.ko*"))
        if not found:
            raise RuntimeError(f"The kernel package has no module {module}.")
        _unpack(found[0], root / f"modules/{number}-{module}.ko")
    digest = _run([str(root / "bin/busybox"), "mkpasswd", "-m", "sha512", "-S", "liveforge", PASSWORD]).strip()
    _write(root / "etc/passwd", f"root::0:0:root:/root:/bin/sh\n{USER}:{digest}:1000:1000::/home/live:/bin/sh\n")
    _write(root / "etc/group", "root:x:0:\nlive:x:1000:\n")
    _write(root / "etc/issue", "Tiny \\n \\l\n")
    _write(root / "init", INIT).chmod(0o755)
    # For everybody, as logind gives it to who sits at the machine. /init does the rest.
    _write(root / "bin/systemctl", "#!/bin/sh\necho >/tmp/.poweroff\n").chmod(0o755)
    (root / "bin/busybox").chmod(0o4755)
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    archive = subprocess.run(
        ["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"],
        input=names.encode(),
        cwd=root,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    (folder / "initrd").write_bytes(archive)
    shutil.rmtree(root)


def _unpack(module: pathlib.Path, target: pathlib.Path) -> None:
    if module.suffix == ".xz":
        target.write_text(_run(["xz", "--decompress", "--stdout", str(module)], encoding="latin-1"), "latin-1")
    else:
        shutil.copy(module, target)


def _make_iso(folder: pathlib.Path) -> None:
    tree = folder / "iso"
    (tree / "boot/grub").mkdir(parents=True)
    for name in ("vmlinuz", "initrd"):
        os.link(folder / name, tree / "boot" / name)
    _write(tree / "boot/grub/grub.cfg", GRUB_MENU.format(timeout=3, folder="/boot", append=""))
    _run(["grub-mkrescue", "-o", str(folder / "tiny.iso"), str(tree), "--", "-volid", "TINY"])
    shutil.rmtree(tree)


def _make_secure_disk(folder: pathlib.Path) -> None:
    """A FAT disk that boots with Secure Boot on: Microsoft's signature on shim, Debian's on GRUB and kernel."""
    disk = folder / "secure.img"
    with open(disk, "wb") as stream:
        stream.truncate(64 * 1024 * 1024)
    menu = _write(folder / "grub.cfg", GRUB_MENU.format(timeout=0, folder="", append=""))
    _run(["mkfs.vfat", "-n", "TINY", str(disk)])
    _run(["mmd", "-i", str(disk), "::EFI", "::EFI/BOOT", "::EFI/debian"])
    for source, target in (
        ("/usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"),
        ("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"),
        (menu, "EFI/debian/grub.cfg"),
        (folder / "vmlinuz", "vmlinuz"),
        (folder / "initrd", "initrd"),
    ):
        _run(["mcopy", "-i", str(disk), str(source), f"::{target}"])


def _write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(textwrap.dedent(text), "utf-8")
    return path


def _run(argv: t.Sequence[str], *, cwd: pathlib.Path | None = None, encoding: str = "utf-8") -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, check=False, encoding=encoding)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} exited with {done.returncode}:\n{done.stderr}")
    return done.stdout

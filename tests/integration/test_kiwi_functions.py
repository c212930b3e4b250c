# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shell functions of /.kconfig, each run for real in a small root of its own, by bash and by dash."""

from __future__ import annotations

import os
import pathlib
import re
import stat
import subprocess

import pytest

import playbook

KCONFIG = playbook.ROOT / "roles/live_image/files/kiwi/kconfig.sh"
GUIDE = playbook.ROOT / "docs/kiwi-scripts.md"
# The strictest options that real scripts set.
STRICT = {"bash": "set -euo pipefail", "dash": "set -eu"}


class Root:
    """A root whose programs and libraries are the host's, read-only, and all else its own."""

    def __init__(self, folder: pathlib.Path, shell: str) -> None:
        self.folder = folder
        self.shell = shell
        for name in ("etc/systemd/system", "usr/lib/systemd/system", "usr/share", "var/lib", "tmp", "run"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (folder / name).symlink_to(f"usr/{name}")
        (folder / ".kconfig").write_bytes(KCONFIG.read_bytes())
        self.mounted: set[str] = set()

    def write(self, path: str, content: str = "", mode: int = 0o644) -> pathlib.Path:
        target = self.folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        target.chmod(mode)
        return target

    def program(self, name: str, text: str) -> None:
        """A program that stands in for one that the host lacks."""
        self.write(f"/usr/local/bin/{name}", f"#!/bin/sh\n{text}\n", 0o755)

    def read(self, path: str) -> str:
        return (self.folder / path.lstrip("/")).read_text()

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.folder / path.lstrip("/"))

    def run(self, script: str, *, status: int = 0, **environment: str) -> str:
        """Run a script that has read /.kconfig; returns what it printed."""
        command = ["bwrap", "--die-with-parent", "--unshare-pid", "--bind", str(self.folder), "/"]
        for name in ("bin", "sbin", "lib64"):
            command += ["--ro-bind", f"/usr/{name}", f"/usr/{name}"]
        for path in sorted(pathlib.Path("/usr/lib").iterdir()):
            # What a test has made itself is there instead of the host's.
            own = self.exists(str(path)) and path.name not in self.mounted
            if path.name == "systemd" or (path.is_dir() and not own):
                command += ["--ro-bind", str(path), str(path)]
                self.mounted.add(path.name)
        command += ["--bind", str(self.folder / "usr/lib/systemd/system"), "/usr/lib/systemd/system"]
        command += ["--proc", "/proc", "--dev", "/dev", "--clearenv", "--setenv", "SYSTEMD_OFFLINE", "1"]
        command += ["--setenv", "PATH", "/usr/local/bin:/usr/sbin:/usr/bin"]
        for name, value in environment.items():
            command += ["--setenv", name, value]
        text = f"{STRICT[self.shell]}\ntest -f /.kconfig && . /.kconfig\n{script}\n"
        done = subprocess.run(
            [*command, "--chdir", "/", "--", self.shell, "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout


@pytest.fixture(params=["bash", "dash"])
def root(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Root:
    return Root(tmp_path / "root", request.param)


WANTED = "WantedBy=multi-user.target\n"


def unit(root: Root, name: str, more: str = WANTED) -> None:
    root.write(f"/usr/lib/systemd/system/{name}", f"[Service]\nExecStart=/bin/true\n[Install]\n{more}")


WANTS = "/etc/systemd/system/multi-user.target.wants"


def test_messages(root: Root) -> None:
    assert root.run("Echo -n a 'b c'") == "a b c"
    assert root.run("Debug hidden") == ""
    assert "shown" in root.run("Debug shown", DEBUG="1")


def test_rm_says_what_it_removes(root: Root) -> None:
    root.write("/etc/gone")
    assert "/etc/gone" in root.run("Rm -f /etc/gone")
    assert not root.exists("/etc/gone")


def test_rpm_says_what_it_runs(root: Root) -> None:
    root.program("rpm", 'echo "real rpm $*"')
    assert root.run("Rpm -e thing").splitlines()[-1] == "real rpm -e thing"


@pytest.mark.parametrize(
    "function", ["baseInsertService sshd", "suseInsertService sshd.service", "baseService sshd on"]
)
def test_services_are_enabled_also_by_an_alias(root: Root, function: str) -> None:
    # Debian's unit is called ssh; sshd is an alias that exists only once it is enabled.
    unit(root, "ssh.service", WANTED + "Alias=sshd.service\n")
    root.run(function)
    assert os.readlink(root.folder / WANTS.lstrip("/") / "ssh.service") == "/lib/systemd/system/ssh.service"
    root.run(function.replace("on", "off") if "on" in function else "baseRemoveService sshd")
    assert not root.exists(f"{WANTS}/ssh.service")


def test_services_are_disabled(root: Root) -> None:
    unit(root, "cups.service")
    for enable, disable in (
        ("baseInsertService cups", "baseRemoveService cups"),
        ("suseService cups on", "suseService cups off"),
        ("suseInsertService cups", "suseRemoveService cups"),
    ):
        root.run(enable)
        assert root.exists(f"{WANTS}/cups.service")
        root.run(disable)
        assert not root.exists(f"{WANTS}/cups.service")


def test_a_service_that_is_not_there_is_told_and_is_no_error(root: Root) -> None:
    for function in ("baseInsertService nowhere", "baseRemoveService nowhere", "baseService nowhere on"):
        assert "this system has no service nowhere" in root.run(function)
    assert "say on or off" in root.run("baseService cups maybe", status=1)


def test_instances_of_templates_are_found(root: Root) -> None:
    unit(root, "getty@.service", "WantedBy=getty.target\n")
    root.run("baseInsertService getty@tty1")
    assert root.exists("/etc/systemd/system/getty.target.wants/getty@tty1.service")
    assert root.run("baseSystemdServiceInstalled getty@tty1") == "/usr/lib/systemd/system/getty@.service\n"


def test_questions_about_services(root: Root) -> None:
    unit(root, "a.service")
    unit(root, "boot-efi.mount")
    root.write("/etc/init.d/old", "#!/bin/sh\n", 0o755)
    assert root.run("baseSystemdServiceInstalled a") == "/usr/lib/systemd/system/a.service\n"
    assert root.run("baseSystemdServiceInstalled boot-efi") == "/usr/lib/systemd/system/boot-efi.mount\n"
    assert root.run("baseSystemdServiceInstalled none") == ""
    assert root.run("baseSysVServiceInstalled old") == "old\n"
    assert root.run("baseSysVServiceInstalled none") == ""


def test_systemctl_is_called_with_any_arguments(root: Root) -> None:
    unit(root, "a.service")
    root.run("baseSystemdCall a mask")
    assert os.readlink(root.folder / "etc/systemd/system/a.service") == "/dev/null"


def test_default_services(root: Root) -> None:
    unit(root, "cron.service")
    assert "no service network" in root.run("suseActivateDefaultServices")
    assert root.exists(f"{WANTS}/cron.service")


def test_what_only_sysv_systems_needed_says_so(root: Root) -> None:
    assert "nothing to do" in root.run("suseActivateServices; suseCloneRunlevel 4")


@pytest.mark.parametrize(
    ("level", "target"), [("3", "multi-user"), ("5", "graphical"), ("1", "rescue"), ("s", "rescue")]
)
def test_runlevels_are_targets(root: Root, level: str, target: str) -> None:
    unit(root, f"{target}.target")
    root.run(f"baseSetRunlevel {level}")
    link = root.folder / "etc/systemd/system/default.target"
    assert os.readlink(link) == f"/usr/lib/systemd/system/{target}.target"


def test_runlevels_that_do_not_exist(root: Root) -> None:
    assert "this system has no graphical.target" in root.run("baseSetRunlevel 5")
    assert "neither a runlevel" in root.run("baseSetRunlevel nine", status=1)


def test_ctrl_alt_del_is_disabled(root: Root) -> None:
    root.run("baseDisableCtrlAltDel")
    assert os.readlink(root.folder / "etc/systemd/system/ctrl-alt-del.target") == "/dev/null"


def test_sysconfig_variables_are_changed_and_added(root: Root) -> None:
    file = root.write("/etc/sysconfig/network/config", '# FIREWALL="x"\nFIREWALL="no"\nOTHER="a b"\n', 0o640)
    os.chown(file, 12, 34)
    root.run("baseUpdateSysConfig /etc/sysconfig/network/config FIREWALL yes")
    root.run("baseUpdateSysConfig /etc/sysconfig/network/config NEW '22 80 & \\1 / 443'")
    root.run("baseUpdateSysConfig /etc/sysconfig/network/config OTHER 'say \"x\"'")
    assert root.read("/etc/sysconfig/network/config") == (
        '# FIREWALL="x"\nFIREWALL="yes"\nOTHER="say \\"x\\""\nNEW="22 80 & \\1 / 443"\n'
    )
    status = file.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12, 34, 0o640)


def test_sysconfig_file_that_is_not_there(root: Root) -> None:
    assert "there is no /etc/sysconfig/none" in root.run("baseUpdateSysConfig /etc/sysconfig/none A b")
    assert not root.exists("/etc/sysconfig/none")


def test_files_are_quoted_for_the_shell(root: Root) -> None:
    root.write("/etc/settings", "# comment\n\nA=one two\nB=it's\nC=\"three\"\nD='four'\nnonsense\n")
    root.run("baseQuoteFile /etc/settings")
    assert root.read("/etc/settings") == "A='one two'\nB='it'\\''s'\nC='three'\nD='four'\n"


def test_suse_config(root: Root) -> None:
    assert "nothing to do" in root.run("suseConfig")
    # Old systems have the program; /sbin is the host's here, so there is none to find.


def test_product_link(root: Root) -> None:
    assert "nothing to do" in root.run("suseSetupProduct")
    root.write("/etc/products.d/SLES.prod")
    root.write("/etc/products.d/openSUSE.prod")
    root.write("/etc/os-release", 'ID="opensuse-leap"\n')
    root.run("suseSetupProduct")
    assert os.readlink(root.folder / "etc/products.d/baseproduct") == "openSUSE.prod"
    root.write("/etc/SuSE-brand", "SLES\nVERSION = 12\n")
    root.run("suseSetupProduct")
    assert os.readlink(root.folder / "etc/products.d/baseproduct") == "SLES.prod"


def test_product_link_without_a_name_is_the_newest(root: Root) -> None:
    os.utime(root.write("/etc/products.d/old.prod"), (1, 1))
    root.write("/etc/products.d/new.prod")
    root.run("suseSetupProduct")
    assert os.readlink(root.folder / "etc/products.d/baseproduct") == "new.prod"


def test_build_keys_are_imported_where_there_is_rpm(root: Root) -> None:
    if not pathlib.Path("/usr/bin/rpm").exists():
        assert "no rpm" in root.run("suseImportBuildKey")
    root.program("rpm", 'echo "rpm $*" >>/tmp/calls')
    root.write("/usr/lib/rpm/gnupg/keys/a.asc")
    root.run("suseImportBuildKey")
    assert root.read("/tmp/calls") == "rpm --import /usr/lib/rpm/gnupg/keys/a.asc\n"


def test_build_day(root: Root) -> None:
    root.run("baseSetupBuildDay", SOURCE_DATE_EPOCH="1700000000")
    assert root.read("/build_day") == "build_day=20231114\n"


def test_homes_belong_to_their_users_and_system_folders_stay(root: Root) -> None:
    root.write(
        "/etc/passwd", "root:x:0:0::/root:/bin/sh\nbin:x:2:2::/opt:/bin/sh\nlive:x:1234:4321::/home/live:/bin/sh\n"
    )
    root.write("/etc/group", "team:x:4321:\n")
    kept = root.write("/opt/file")
    changed = root.write("/home/live/.config/file")
    root.run("baseSetupUserPermissions")
    assert (changed.stat().st_uid, changed.stat().st_gid) == (1234, 4321)
    assert kept.stat().st_uid == 0


def test_mounting_is_done_already(root: Root) -> None:
    assert root.run("baseMount; baseCleanMount") == ""


def test_names_from_the_profile(root: Root) -> None:
    assert root.run("baseGetPackagesForDeletion", kiwi_delete="a b") == "a b\n"
    assert root.run("baseGetProfilesUsed", kiwi_profiles="x,y") == "x,y\n"
    assert root.run("baseGetPackagesForDeletion; baseGetProfilesUsed") == "\n\n"


@pytest.mark.parametrize("function", ["suseRemovePackagesMarkedForDeletion", "baseStripRPM"])
def test_packages_for_deletion_are_removed_by_dpkg(root: Root, function: str) -> None:
    root.program("dpkg-query", 'case $* in *there*) printf "install ok installed" ;; *) exit 1 ;; esac')
    root.program("dpkg", 'echo "dpkg $*" >>/tmp/calls')
    assert "absent is not installed" in root.run(function, kiwi_delete="there absent")
    assert root.read("/tmp/calls") == "dpkg --force-depends --force-remove-essential --remove there\n"


def test_rpm_systems_lose_yast_and_the_package_manager(root: Root) -> None:
    hidden = "command() { case ${2:-} in dpkg-query) return 1 ;; rpm) echo rpm ;; esac; }\n"
    root.program("rpm", 'case $1 in -qa) echo yast2-core; echo bash ;; -q) ;; *) echo "rpm $*" >>/tmp/calls ;; esac')
    root.run(hidden + "suseRemoveYaST")
    assert root.read("/tmp/calls") == "rpm -e --nodeps yast2-core\n"
    root.write("/var/lib/rpm/Packages")
    root.run(hidden + "suseStripPackager -a")
    assert "rpm -e --nodeps zypper" in root.read("/tmp/calls")
    assert not root.exists("/var/lib/rpm")


def test_debian_systems_keep_theirs(root: Root) -> None:
    if not pathlib.Path("/usr/bin/dpkg-query").exists():
        pytest.skip("the host is no Debian system")
    assert root.run("suseRemoveYaST; suseStripPackager").count("this is no RPM system") == 2


def test_strip_and_keep(root: Root) -> None:
    for name in ("one.1.gz", "two.1.gz", "three"):
        root.write(f"/srv/{name}")
    root.run("find /srv -type f | baseStripAndKeep one three")
    assert sorted(os.listdir(root.folder / "srv")) == ["one.1.gz", "three"]


def test_strip_mans_and_infos(root: Root) -> None:
    for name in ("man1/less.1.gz", "de/man1/less.1.gz", "man1/vi.1.gz"):
        root.write(f"/usr/share/man/{name}")
    for name in ("dir", "grep.info.gz", "sed.info.gz"):
        root.write(f"/usr/share/info/{name}")
    root.run("baseStripMans more less; baseStripInfos grep")
    assert root.exists("/usr/share/man/man1/less.1.gz") and root.exists("/usr/share/man/de/man1/less.1.gz")
    assert not root.exists("/usr/share/man/man1/vi.1.gz")
    assert sorted(os.listdir(root.folder / "usr/share/info")) == ["dir", "grep.info.gz"]


def test_strip_docs_keeps_licenses(root: Root) -> None:
    for name in ("a/README", "a/copyright", "packages/b/COPYING.LIB", "packages/b/NEWS", "kept/README", "only/README"):
        root.write(f"/usr/share/doc/{name}")
    root.run("baseStripDocs kept")
    found = sorted(
        str(path.relative_to(root.folder / "usr/share/doc"))
        for path in (root.folder / "usr/share/doc").rglob("*")
        if path.is_file()
    )
    assert found == ["a/copyright", "kept/README", "packages/b/COPYING.LIB"]
    assert not root.exists("/usr/share/doc/only")


def test_strip_locales(root: Root) -> None:
    for name in ("C.utf8", "de_DE.utf8", "de_AT.utf8", "en_US.utf8", "fr_FR.utf8"):
        root.write(f"/usr/lib/locale/{name}/LC_IDENTIFICATION")
    root.run("baseStripLocales de en_US.UTF-8")
    assert sorted(os.listdir(root.folder / "usr/lib/locale")) == ["C.utf8", "de_AT.utf8", "de_DE.utf8", "en_US.utf8"]


def test_strip_translations_by_catalog_and_by_language(root: Root) -> None:
    for name in ("de/LC_MESSAGES/bash.mo", "de/LC_MESSAGES/kiwi.mo", "fr/LC_MESSAGES/bash.mo", "fr/LC_TIME/x"):
        root.write(f"/usr/share/locale/{name}")
    root.run("baseStripTranslations de")
    assert root.exists("/usr/share/locale/de/LC_MESSAGES/bash.mo")
    assert not root.exists("/usr/share/locale/fr/LC_MESSAGES")
    assert root.exists("/usr/share/locale/fr/LC_TIME/x")
    root.run("baseStripTranslations kiwi.mo")
    assert os.listdir(root.folder / "usr/share/locale/de/LC_MESSAGES") == ["kiwi.mo"]


def test_nothing_to_strip_is_no_error(root: Root) -> None:
    root.write("/usr/lib/firmware/.keep")
    (root.folder / "usr/lib/firmware/.keep").unlink()
    (root.folder / "usr/lib/firmware").rmdir()
    root.write("/usr/lib/locale/C.utf8/x")
    root.run("baseStripMans; baseStripInfos; baseStripDocs; baseStripLocales; baseStripTranslations")


def test_strip_tools(root: Root) -> None:
    for name in ("a", "b", "c"):
        root.write(f"/opt/bin/{name}")
    root.run("baseStripTools /opt/bin 'a b'")
    assert sorted(os.listdir(root.folder / "opt/bin")) == ["a", "b"]


def test_strip_firmware(root: Root) -> None:
    for name in ("used.bin.xz", "unused.bin", "amd-ucode/x.bin", "regulatory.db", "brcm/a-sdio.bin", "dir/target"):
        root.write(f"/usr/lib/firmware/{name}")
    (root.folder / "usr/lib/firmware/link.bin").symlink_to("dir/target")
    root.write("/usr/lib/modules/6.1/kernel/x.ko")
    root.program("modinfo", "echo used.bin; echo 'brcm/*-sdio.bin'; echo link.bin; echo absent.bin")
    root.run("baseStripFirmware")
    found = sorted(
        str(path.relative_to(root.folder / "usr/lib/firmware"))
        for path in (root.folder / "usr/lib/firmware").rglob("*")
        if not path.is_dir()
    )
    assert found == ["amd-ucode/x.bin", "brcm/a-sdio.bin", "dir/target", "link.bin", "regulatory.db", "used.bin.xz"]


def test_strip_unused_libraries(root: Root) -> None:
    # Programs and libraries are the host's and cannot be removed here; two of our own lie beside them.
    multiarch = root.folder / "usr/lib/own"
    multiarch.mkdir(parents=True)
    root.write("/usr/lib/own/libunused.so.1")
    root.write("/usr/lib/own/libused.so.1")
    root.program("ldd", "echo ' libused.so.1 => /usr/lib/own/libused.so.1 (0x1)'")
    root.program("find", 'case " $* " in *" -maxdepth 2 "*) ls -d /usr/lib/own/* ;; *) echo /usr/bin/ls ;; esac')
    root.run("baseStripUnusedLibs")
    assert os.listdir(multiarch) == ["libused.so.1"]


def test_module_dependencies(root: Root) -> None:
    root.write("/usr/lib/modules/6.1/modules.order")
    root.program("depmod", 'echo "$*" >/tmp/calls')
    root.run("baseFixupKernelModuleDependencies")
    assert root.read("/tmp/calls") == "-a 6.1\n"


NOT_HERE = re.findall(r"^    __kconfig_not_here (\w+) ", KCONFIG.read_text(), re.M)


@pytest.mark.parametrize("function", NOT_HERE)
def test_what_is_not_provided_says_so(root: Root, function: str) -> None:
    assert f"{function} is not provided: " in root.run(function, status=1)


def test_every_function_is_tested_and_in_the_guide() -> None:
    functions = re.findall(r"^(?!__)(\w+)\(\) \{", KCONFIG.read_text(), re.M)
    assert len(functions) > 40
    own_text = pathlib.Path(__file__).read_text()
    guide = GUIDE.read_text()
    assert [name for name in functions if name not in own_text and name not in NOT_HERE] == []
    assert [name for name in functions if f"`{name}" not in guide] == []

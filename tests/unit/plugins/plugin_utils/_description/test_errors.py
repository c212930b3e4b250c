# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said about descriptions that cannot be read, or not honoured: all of it, with file and line."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.plugin_utils._description.problems import DescriptionError
from unit.plugins.plugin_utils._description.reading_of import description, read, warnings


def message(folder: pathlib.Path, text: str | bytes | None, **options: t.Any) -> str:
    """What is said about a description, with short paths."""
    with pytest.raises(StageError) as caught:
        read(folder, text, **options)
    return caught.value.message.replace(f"{folder}/", "")


def test_all_schema_errors_at_once_with_line_value_and_allowed_ones(tmp_path: pathlib.Path) -> None:
    text = """<image schemaversion="8.5" name="bad name">
  <description type="system"><author>a</author><contact>c</contact><specification>s</specification></description>
  <preferences>
    <version>1</version>
    <version>2</version>
    <packagemanager>yum</packagemanager>
    <type image="iso"
          flag="overlay"
          hybridpersistent="yes" filesystem="reiserfs">
      <bootloader/>
      <size unit="K">two</size>
    </type>
  </preferences>
  <repository type="yast2"/>
  <packages type="image">text<package/><pakage name="x"/></packages>
  <users/>
</image>
"""
    assert message(tmp_path, text).splitlines() == [
        "The description has 15 errors:",
        "  config.xml:1: <image>: attribute name is 'bad name'. Allowed: what fits [a-zA-Z0-9_\\-\\.]+.",
        "  config.xml:5: <preferences> can contain <version> only once.",
        "  config.xml:6: <packagemanager> is 'yum'. Allowed: apk, apt, dnf4, dnf5, microdnf, pacman, zypper.",
        "  config.xml:8: <type> has no attribute flag. Did you mean flags?",
        "  config.xml:9: <type>: attribute filesystem is 'reiserfs'. Allowed: btrfs, erofs, ext2, ext3, ext4, "
        "squashfs, xfs.",
        "  config.xml:9: <type>: attribute hybridpersistent is 'yes'. Allowed: true, false, 1 or 0.",
        "  config.xml:10: <bootloader> needs the attribute name.",
        "  config.xml:11: <size> is 'two'. Allowed: a whole number that is not negative.",
        "  config.xml:11: <size>: attribute unit is 'K'. Allowed: G, M.",
        "  config.xml:14: <repository> needs an element <source>.",
        "  config.xml:14: <repository>: attribute type is 'yast2'. Allowed: apk, apt-deb, apt-rpm, deb-dir, mirrors, "
        "rpm-md.",
        "  config.xml:15: <package> needs the attribute name.",
        "  config.xml:15: <packages> cannot contain <pakage>. Did you mean package?",
        "  config.xml:15: <packages> cannot contain text, but has 'text'.",
        "  config.xml:16: <users> needs an element <user>.",
    ]


def test_errors_of_an_included_file_name_that_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "part.xml").write_text('<image>\n\n<packages type="wrong"/></image>')
    text = description('<include from="this://part.xml"/>\n<packages type="also wrong"/>')
    lines = message(tmp_path, text).splitlines()
    assert lines[1].startswith(
        "  config.xml:5: <packages>: attribute type is 'also wrong'. Allowed: bootstrap, delete,"
    )
    assert lines[2].startswith("  part.xml:3: <packages>: attribute type is 'wrong'. Allowed: bootstrap, delete,")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<image", "config.xml:1: this is not well-formed XML: "),
        ("", "this is not well-formed XML: "),
        (
            "image:\n  '@name': sample\n",
            "config.xml: this is not XML. A description in YAML, JSON, TOML or INI must be",
        ),
        ("<image>\n&undefined;</image>", "config.xml:2: this is not well-formed XML: Entity 'undefined' not defined"),
        ("<package/>", "config.xml:1: the outermost element must be <image>, not <package>."),
        (description(version="6.8"), "config.xml:1: schemaversion 6.8 is older than 7.4"),
        (description(version="9.0"), "config.xml:1: <image>: attribute schemaversion is '9.0'. Allowed: 7.4 to 8.5."),
        (description(version="new"), "attribute schemaversion is 'new'. Allowed: 7.4 to 8.5."),
        (description(type='<type image="iso" vga="1"/>'), "has no attribute vga. It was dropped in 8.5; remove it."),
        (
            description(type='<type image="iso"><bootloader name="grub2" console="serial"/></type>'),
            "has no attribute console. Since 8.4 it is output_console and input_console.",
        ),
        (
            description(type='<type image="iso"><bootloader name="isolinux"/></type>'),
            "It was dropped in 8.0; live images start with grub2.",
        ),
        ("<image>\n<!-- a\nb -- c --></image>", "config.xml:3: this is not well-formed XML: Double hyphen"),
        (description(type='<type image="iso" installiso="true"/>'), "attribute installiso is for image types oem"),
        (
            description(type='<type image="iso"><luksformat><option name="x"/></luksformat></type>'),
            "needs the attribute luks",
        ),
        (description(type='<type image="iso" luks="secret"/>'), "refused: attribute luks of <type>"),
        (
            description(type='<type image="iso"><bootloader name="systemd_boot" serial_line="x"/></type>'),
            "attribute serial_line is for the boot loaders grub2, grub2_s390x_emu, not for systemd_boot.",
        ),
        (description(type='<type image="iso" efifatimagesize="9999999999"/>'), "efifatimagesize is too large"),
        (
            description('<repository imageonly="true" imageinclude="false"><source path="http://x"/></repository>'),
            "config.xml:4: <repository> cannot have both imageinclude and imageonly.",
        ),
        (
            description('<packages type="image"><collectionModule name="x" enable="true"/></packages>'),
            "<collectionModule> is for packages of type bootstrap only.",
        ),
        (
            description('<packages type="bootstrap"><collectionModule name="x" stream="1" enable="0"/></packages>'),
            "a module that is disabled cannot have the attribute stream.",
        ),
        (
            description('<packages type="bootstrap" bootstrap_package="x"/>').replace(">apt<", ">zypper<"),
            "bootstrap_package is for the package manager apt only.",
        ),
        (
            description(type='<type image="iso"><size unpartitioned="3">2</size></type>'),
            "config.xml:3: unpartitioned is more than the size",
        ),
        (description('<packages type="image" bootstrap_package="x"/>'), "bootstrap_package is for packages of type"),
        (description(type=""), "there is no <type image='iso'> with no profile, nor any other. No profile has one."),
        (
            description("<packages type='image'><package>htop</package></packages>"),
            "<package> has the text 'htop', but its name is an attribute: <package name=...>.",
        ),
        (
            description(preferences="<locale>de_DE.UTF-8</locale>"),
            "<locale> is 'de_DE.UTF-8'. Allowed: languages with commas",
        ),
        (description(type='<type image="iso"/><type image="iso"/>'), "applies together with another one"),
        (
            description("<profiles><profile name='Big' description='d'><requires profile='Bug'/></profile></profiles>"),
            "",
        ),
    ],
)
def test_single_errors(tmp_path: pathlib.Path, text: str, expected: str) -> None:
    if expected:
        assert expected in message(tmp_path, text)
    else:
        read(tmp_path, text)
        assert "there is no profile 'Bug' for x86_64. Did you mean Big?" in message(tmp_path, None, profiles=("Big",))
        assert "option profiles: there is no profile 'Small'" in message(tmp_path, None, profiles=("Small",))


def test_missing_version_is_an_error(tmp_path: pathlib.Path) -> None:
    text = description().replace("<version>1.0.0</version>", "")
    assert "config.xml:1: the image has no version" in message(tmp_path, text)


def test_missing_type_names_the_profiles_that_have_it(tmp_path: pathlib.Path) -> None:
    text = description(
        '<profiles><profile name="Live" description="d"/></profiles>'
        '<preferences profiles="Live"><type image="iso"/></preferences>',
        type='<type image="oem" filesystem="xfs"/>',
    )
    expected = "config.xml: there is no <type image='iso'> with no profile, only oem. Profiles that have one: Live."
    assert message(tmp_path, text) == expected


def test_directory_and_file_that_do_not_exist(tmp_path: pathlib.Path) -> None:
    assert "there is neither config.xml nor a file *.kiwi" in message(tmp_path, None)
    assert message(tmp_path, None, file="x.kiwi") == "x.kiwi: option file: there is no such file."
    assert "there is no such directory on the controller" in message(tmp_path / "none", None)


def test_looks_for_config_xml_then_image_then_the_first_kiwi_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.kiwi").write_text(description().replace("sample", "b"))
    (tmp_path / "a.kiwi").write_text(description().replace("sample", "a"))
    (tmp_path / ".a.kiwi").write_text("what an editor left")
    assert read(tmp_path).image["name"] == "a"
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "config.xml").write_text(description().replace("sample", "image"))
    assert read(tmp_path).image["name"] == "image"
    assert read(tmp_path, description().replace("sample", "main")).image["name"] == "main"
    assert read(tmp_path, file="b.kiwi").image["name"] == "b"


def test_strict_makes_warnings_errors_all_at_once(tmp_path: pathlib.Path) -> None:
    text = description(type='<type image="iso" verity_blocks="all"/>', preferences="<showlicense>x</showlicense>")
    reading = read(tmp_path, text)
    with pytest.raises(DescriptionError) as caught:
        read(tmp_path, strict=True)
    assert [str(problem) for problem in caught.value.problems] == reading.warnings
    told = warnings(reading, tmp_path)
    assert [warning.partition(" is not honoured")[0] for warning in told[1:]] == [
        "config.xml:3: <showlicense>",
        "config.xml:3: attribute verity_blocks of <type>",
    ]


def test_parts_that_do_not_apply_give_no_warning(tmp_path: pathlib.Path) -> None:
    text = description(
        '<profiles><profile name="Other" description="d"/></profiles>'
        '<certificates target_distribution="debian" profiles="Other"><certificate name="x"/></certificates>'
        '<preferences profiles="Other"><showlicense>x</showlicense></preferences>'
        '<preferences arch="aarch64"><showlicense>x</showlicense></preferences>'
        '<packages type="oem"><package name="x" bootinclude="true"/></packages>',
        type='<type image="iso"/><type image="oem" filesystem="xfs" luks="x"><machine memory="1"/></type>',
    )
    assert [warning for warning in warnings(read(tmp_path, text), tmp_path) if "not honoured" in warning] == []


def test_profiles_with_white_space_do_not_match_and_say_so(tmp_path: pathlib.Path) -> None:
    text = description(
        '<profiles><profile name="A" description="d" import="true"/></profiles>\n'
        '<packages type="image" profiles="B, A"><package name="x"/></packages>'
    )
    reading = read(tmp_path, text)
    assert "packages" not in reading.image
    assert any(
        warning.startswith("config.xml:5: profiles='B, A' does not match because of the white space")
        for warning in warnings(reading, tmp_path)
    )


def test_plain_passwords_become_hashes_that_stay_the_same(tmp_path: pathlib.Path) -> None:
    text = description('<users><user name="me" password="open sesame" pwdformat="plain"/></users>')
    first, second = read(tmp_path, text), read(tmp_path)
    password = first.image["users"][0]["password"]
    assert password.startswith("$6$rounds=")
    assert password == second.image["users"][0]["password"]
    assert "open sesame" not in repr(first)
    other = read(tmp_path, text.replace('name="me"', 'name="you"')).image["users"][0]["password"]
    assert other.split("$")[3] != password.split("$")[3]
    changed = read(tmp_path, text.replace("open sesame", "close")).image["users"][0]["password"]
    assert changed.split("$")[3] == password.split("$")[3]
    assert changed != password


def test_password_that_is_no_hash_is_told_without_being_shown(tmp_path: pathlib.Path) -> None:
    told = warnings(read(tmp_path, description('<users><user name="me" password="hunter2"/></users>')), tmp_path)
    assert any("the password of me is not a crypt hash" in warning for warning in told)
    assert not any("hunter2" in warning for warning in told)


def test_lines_of_elements_and_attributes_over_several_lines(tmp_path: pathlib.Path) -> None:
    text = description(type='<type\n  image="iso"\n\n  selinux_policy="targeted"\n  verity_blocks=\n"all"/>')
    told = warnings(read(tmp_path, text), tmp_path)
    assert any(warning.startswith("config.xml:6: attribute selinux_policy") for warning in told)
    assert any(warning.startswith("config.xml:7: attribute verity_blocks") for warning in told)


def test_file_keeps_its_mode_unless_another_is_given(tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o600)
    text = description('<packages type="image"><file name="secret" target="/etc/"/></packages>')
    assert read(tmp_path, text).image["files"][0] == {
        "src": str(tmp_path / "secret"),
        "dest": "/etc/secret",
        "owner": "root",
        "group": "root",
        "mode": "0600",
    }


def test_what_lies_in_kiwis_own_folder_is_left_out(tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    text = description('<packages type="image"><file name="notes.txt" target="image/notes.txt"/></packages>')
    reading = read(tmp_path, text)
    assert "files" not in reading.image
    assert any("KIWI's own folder /image" in warning for warning in reading.warnings)


def test_exclude_files_where_kiwi_looks_for_it(tmp_path: pathlib.Path) -> None:
    profiles = '<profiles><profile name="Big" description="d" import="true"/></profiles>'
    file = '<packages type="image"><file name="mine.yaml" target="image/exclude_files.yaml"/></packages>'
    for path, pattern in (
        ("exclude_files.yaml", "beside"),
        ("root/image/exclude_files.yaml", "overlay"),
        ("Big/image/exclude_files.yaml", "profile"),
        ("mine.yaml", "file"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"exclude: [/{pattern}/*]\n")
        reading = read(tmp_path, description(profiles + (file if pattern == "file" else "")))
        assert reading.image["exclude"][-1] == f"{pattern}/*"
        assert "files" not in reading.image
        assert not any("/image" in warning for warning in reading.warnings)
    (tmp_path / "mine.yaml").unlink()
    reading = read(tmp_path)
    assert "exclude" not in reading.image
    assert [warning.partition(": ")[2] for warning in reading.warnings if "mine.yaml" in warning] == [
        f"{tmp_path}/mine.yaml does not exist, so nothing is left out of the root file system."
    ]


def test_only_root_tar_gz_is_unpacked_by_its_name(tmp_path: pathlib.Path) -> None:
    (tmp_path / "root.tar.xz").write_text("x")
    reading = read(tmp_path, description())
    assert "archives" not in reading.image
    assert any("/root.tar.xz: it is not unpacked" in warning for warning in reading.warnings)
    (tmp_path / "root.tar.gz").write_text("x")
    assert read(tmp_path).image["archives"] == [{"src": f"{tmp_path}/root.tar.gz", "dest": "/", "phase": "image"}]


def test_everything_lies_beside_a_description_in_a_folder_of_its_own(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "config.sh").write_text("true")
    (folder / "part.xml").write_text('<image><packages type="image"><package name="inside"/></packages></image>')
    (tmp_path / "part.xml").write_text('<image><packages type="image"><package name="outside"/></packages></image>')
    (tmp_path / "images.sh").write_text("true")
    text = description('<include from="this://part.xml"/><repository><source path="this://packages"/></repository>')
    (folder / "config.xml").write_text(text)
    for file in (None, "image/config.xml"):
        image = read(tmp_path, file=file).image
        assert image["packages"] == ["inside"]
        assert image["scripts"] == [{"src": f"{folder}/config.sh"}]
        assert "images_scripts" not in image
        assert image["repositories"][0]["uri"] == f"file://{folder}/packages"


@pytest.mark.parametrize(
    ("arch", "firmware", "expected"),
    [
        ("x86_64", None, "bios"),
        ("x86_64", "ec2", "bios"),
        ("x86_64", "custom", "bios"),
        ("aarch64", None, "efi"),
        ("aarch64", "custom", "efi"),
        ("ppc64le", None, "ofw"),
        ("x86_64", "ofw", "role live_image does not build firmware 'ofw', only bios, efi, uefi."),
        ("aarch64", "ec2", "role live_image does not build firmware 'ec2', only bios, efi, uefi."),
        ("aarch64", "bios", "firmware 'bios' cannot start a live image of aarch64. Use efi or uefi."),
        ("i686", "uefi", "firmware 'uefi' cannot start a live image of i686. Use bios."),
    ],
)
def test_firmware_that_the_architecture_has(
    tmp_path: pathlib.Path, arch: str, firmware: str | None, expected: str
) -> None:
    text = description(type=f'<type image="iso" firmware="{firmware}"/>' if firmware else '<type image="iso"/>')
    reading = read(tmp_path, text, arch=arch)
    if " " in expected:
        assert reading.image["firmware"] == firmware
        told = [warning.partition(": ")[2] for warning in reading.warnings]
        assert [text for text in told if "firmware" in text] == [expected]
        return
    assert reading.image["firmware"] == expected
    assert any("is taken as" in warning for warning in reading.warnings) == (firmware == "custom")


@pytest.mark.parametrize(
    ("bootstrap", "system", "expected"),
    [
        ("", "", None),
        ("plusRecommended", "plusRecommended", None),
        ("plusRecommended", "", "are not installed with bootstrap packages"),
        ("onlyRequired", "plusRecommended", "are installed with bootstrap packages"),
        ("", "plusRecommended", "are installed with bootstrap packages"),
    ],
)
def test_pattern_type_of_the_bootstrap_that_is_not_the_systems(
    tmp_path: pathlib.Path, bootstrap: str, system: str, expected: str | None
) -> None:
    def section(kind: str, pattern: str) -> str:
        attribute = f' patternType="{pattern}"' if pattern else ""
        return f'<packages type="{kind}"{attribute}><package name="{kind}"/></packages>\n'

    reading = read(tmp_path, description(section("image", system) + section("bootstrap", bootstrap)))
    assert reading.image["recommends"] == (system == "plusRecommended")
    told = [warning for warning in warnings(reading, tmp_path) if "recommend" in warning]
    assert [warning.startswith("config.xml:5: ") and str(expected) in warning for warning in told] == (
        [] if expected is None else [True]
    )


def test_what_apt_does_not_do_of_the_rpm_preferences(tmp_path: pathlib.Path) -> None:
    names = ("rpm-check-signatures", "rpm-excludedocs", "rpm-locale-filtering")

    def told(*values: str, manager: str = "apt", attribute: str = "") -> list[str]:
        elements = "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, values, strict=True))
        repository = f'<repository {attribute}><source path="https://example.com/x"/></repository>'
        text = description(repository, preferences=elements).replace(">apt<", f">{manager}<")
        return [warning for warning in read(tmp_path, text).warnings if "is not honoured with apt" in warning]

    assert told("true", "false", "false") == []
    assert [warning.split("<")[1].split(">")[0] for warning in told("false", "true", "true")] == list(names)
    assert told("false", "true", "true", manager="zypper") == []
    # Nothing is checked anyway.
    assert told("false", "false", "false", attribute='repository_gpgcheck="false"') == []


def test_every_signing_key_that_is_not_fetched_is_told(tmp_path: pathlib.Path) -> None:
    keys = "".join(f'<signing key="https://example.com/{name}.asc"/>' for name in ("old", "new"))
    text = description(
        f'<repository distribution="trixie"><source path="https://example.com/x">{keys}</source></repository>'
    )
    told = [warning for warning in read(tmp_path, text).warnings if "is not fetched" in warning]
    assert [warning.partition("signing key ")[2].split()[0] for warning in told] == [
        "'https://example.com/new.asc'",
        "'https://example.com/old.asc'",
    ]


def test_white_space_around_words_means_nothing(tmp_path: pathlib.Path) -> None:
    text = description(
        '<profiles><profile name="Big" description="d" import=" true "/></profiles>\n'
        '<packages type=" image\n"><package name=" a " arch=" x86_64 "/></packages>\n'
        '<repository type=" apt-deb " alias=" main " priority=" 5 "><source path="http://deb.debian.org/x"/></repository>\n'
        '<users><user name="me" password="*" pwdformat=" encrypted " id=" 1000 " groups=" wheel,users "/></users>',
        type='<type image=" iso " flags=" dmsquash " hybridpersistent=" 1 " volid=" LIVE "/>',
    )
    reading = read(tmp_path, text)
    assert reading.description["profiles"] == ["Big"]
    image = reading.image
    assert image["packages"] == ["a"]
    assert (image["repositories"][0]["name"], image["repositories"][0]["priority"]) == ("main", 5)
    assert (image["users"][0]["uid"], image["users"][0]["group"], image["users"][0]["groups"]) == (
        1000,
        "wheel",
        ["users"],
    )
    assert (image["flags"], image["hybridpersistent"], image["volid"]) == ("dmsquash", True, "LIVE")


def test_same_words_about_several_lines_are_said_once_with_all_lines(tmp_path: pathlib.Path) -> None:
    names = "\n".join(f'<file name="drivers/{name}/*"/>' for name in ("ata", "gpu", "net"))
    packages = '\n<package name="a" bootinclude="true"/>\n<package name="b" bootinclude="true"/>\n\n'
    text = description(
        f'<drivers>{names}</drivers><packages type="image">{packages}<package name="c" bootinclude="true"/></packages>'
    )
    told = warnings(read(tmp_path, text), tmp_path)
    drivers, booted = (warning for warning in told if "pattern" in warning or "bootinclude" in warning)
    assert drivers.startswith("config.xml:4: a driver that is a pattern is not added to the initrd")
    assert drivers.endswith("The same in lines 5-6.")
    assert booted.startswith("config.xml:7: attribute bootinclude of <package> is not honoured")
    assert booted.endswith("The same in lines 8, 10.")


def test_profile_that_is_declared_twice(tmp_path: pathlib.Path) -> None:
    profiles = (
        '<profiles><profile name="A" description="d" import="true"/><profile name="B" description="d"/>'
        '<profile name="A" description="d"><requires profile="B"/></profile></profiles>'
    )
    assert read(tmp_path, description(profiles)).description["profiles"] == ["A"]
    assert read(tmp_path, description(profiles), profiles=("A",)).description["profiles"] == ["A", "B"]


def test_profiles_that_bring_a_type_by_what_they_require_are_named(tmp_path: pathlib.Path) -> None:
    text = description(
        '<profiles><profile name="Live" description="d"/><profile name="Disk" description="d"/>'
        '<profile name="Desktop" description="d"><requires profile="Live"/></profile></profiles>'
        '<preferences profiles="Live"><type image="iso"/></preferences>',
        type="",
    )
    assert message(tmp_path, text).endswith("Profiles that have one: Desktop, Live.")


def test_what_is_read_only_is_said_once(tmp_path: pathlib.Path) -> None:
    repositories = "".join(
        f'<repository type="rpm-md" sourcetype="metalink"><source path="https://example.com/{number}"/></repository>'
        for number in range(3)
    )
    text = description(repositories, preferences="<rpm-excludedocs>true</rpm-excludedocs>")
    for manager in ("zypper", "dnf5", "pacman", "apk"):
        told = read(tmp_path, text.replace(">apt<", f">{manager}<")).warnings
        assert [warning.partition("config.xml:3: ")[2] for warning in told] == [
            f"role live_image does not install with {manager} yet. The image can be looked at, not built."
        ]
    text = description(type='<type image="oem" filesystem="xfs" luks="secret"><oemconfig/></type>')
    reading = read(tmp_path, text, build_type="oem")
    assert any("only live images (type iso) are built; type oem is just read." in told for told in reading.warnings)
    assert any("attribute luks of <type> is not honoured" in told for told in reading.warnings)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("iso", {"kiwi_live_volid": "CDROM", "kiwi_initrd_system": "dracut"}),
        ("oem", {"kiwi_install_volid": "INSTALL", "kiwi_initrd_system": "dracut"}),
        ("pxe", {"kiwi_initrd_system": "kiwi"}),
        ("tbz", {"kiwi_initrd_system": "none"}),
    ],
)
def test_variables_that_depend_on_the_type(tmp_path: pathlib.Path, image: str, expected: dict[str, str]) -> None:
    text = description(
        type=f'<type image="{image}" filesystem="xfs"/>' if image == "oem" else f'<type image="{image}"/>'
    )
    variables = read(tmp_path, text, build_type=image).image["kiwi_profile"]
    found = {name: value for name, value in variables.items() if name.endswith(("_volid", "_initrd_system"))}
    assert found == expected


def test_names_of_files_for_32_bit_machines(tmp_path: pathlib.Path) -> None:
    text = description(
        '<packages type="image"><package name="a" arch="i686"/></packages>',
        type='<type image="iso" bundle_format="%N-%A"/>',
    )
    reading = read(tmp_path, text, arch="i686")
    assert reading.description["result_name"] == "sample.ix86-1.0.0"
    assert reading.image["bundle_name"] == "sample-i686"
    assert reading.image["packages"] == ["a"]

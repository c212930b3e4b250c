# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The shell functions that scripts of KIWI image descriptions find in /.kconfig, written anew from their documented
# interface (KIWI's guide, "User-Defined Scripts", of releases 7 to 11). docs/kiwi-scripts.md lists them.
#
# It is read by bash and by dash, also under set -euo pipefail; so a function that has nothing to do returns 0.
# What cannot be done here says so on standard error and returns 1.
# shellcheck shell=dash

__kconfig_note() {
    printf 'kconfig: %s\n' "$*"
}

__kconfig_has() {
    command -v "$1" >/dev/null 2>&1
}

# $1 is one of the words that follow.
__kconfig_is_one_of() {
    local word=$1 other
    shift
    for other; do
        [ "$word" != "$other" ] || return 0
    done
    return 1
}

__kconfig_lower() {
    printf '%s\n' "$1" | tr '[:upper:]' '[:lower:]'
}

# -- messages -----------------------------------------------------------------------------------------------------------

Echo() {
    echo "$@"
}

Debug() {
    [ "${DEBUG:-0}" != 1 ] || __kconfig_note "$@" >&2
}

Rm() {
    __kconfig_note "rm $*"
    rm "$@"
}

Rpm() {
    __kconfig_note "rpm $*"
    rpm "$@"
}

# -- services and targets -----------------------------------------------------------------------------------------------

__KCONFIG_UNIT_FOLDERS='/etc/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system'

# Prints the path of the file that makes unit $1 (with its suffix) known, that of its template for an instance.
__kconfig_unit_file() {
    local folder template=''
    case $1 in
        *@?*.*) template=${1%%@*}@.${1##*.} ;;
    esac
    for folder in $__KCONFIG_UNIT_FOLDERS; do
        if [ -e "$folder/$1" ] || [ -L "$folder/$1" ]; then
            printf '%s\n' "$folder/$1"
            return
        fi
        if [ -n "$template" ] && [ -e "$folder/$template" ]; then
            printf '%s\n' "$folder/$template"
            return
        fi
    done
}

# Prints the names under which a service may be known to systemd.
__kconfig_unit_names() {
    case $1 in
        *.service | *.mount | *.automount | *.socket | *.target | *.timer | *.path | *.swap | *.slice | *.device)
            printf '%s\n' "$1"
            ;;
        *) printf '%s\n' "$1.service" "$1.mount" ;;
    esac
}

# Prints the unit that has $1 as an alias: systemctl enables units by their own name only (Debian's sshd is ssh).
__kconfig_unit_of_alias() {
    local folder file found
    for folder in $__KCONFIG_UNIT_FOLDERS; do
        for file in "$folder"/*; do
            if [ -f "$file" ] && [ ! -L "$file" ]; then
                found=$(sed -n 's/^Alias=//p' "$file" | tr '\n\t' '  ')
                case " $found " in
                    *" $1 "*)
                        printf '%s\n' "${file##*/}"
                        return
                        ;;
                esac
            fi
        done
    done
}

# Prints the unit that stands for service $1, or nothing.
__kconfig_unit() {
    local name file target
    for name in $(__kconfig_unit_names "$1"); do
        file=$(__kconfig_unit_file "$name")
        if [ -n "$file" ] && [ -L "$file" ]; then
            target=$(readlink "$file")
            # A link to /dev/null masks the unit; that to another name is an alias.
            case ${target##*/} in
                null | "$name") ;;
                *)
                    printf '%s\n' "${target##*/}"
                    return
                    ;;
            esac
        fi
        if [ -z "$file" ]; then
            target=$(__kconfig_unit_of_alias "$name")
            if [ -n "$target" ]; then
                printf '%s\n' "$target"
                return
            fi
        else
            printf '%s\n' "$name"
            return
        fi
    done
}

baseSystemdServiceInstalled() {
    local name file
    for name in $(__kconfig_unit_names "$1"); do
        file=$(__kconfig_unit_file "$name")
        if [ -n "$file" ]; then
            printf '%s\n' "$file"
            return
        fi
    done
}

baseSysVServiceInstalled() {
    if [ -x "/etc/init.d/$1" ] && [ ! -d "/etc/init.d/$1" ]; then
        printf '%s\n' "$1"
    fi
}

baseSystemdCall() {
    local service=$1 unit
    shift
    unit=$(__kconfig_unit "$service")
    if [ -z "$unit" ] && [ -n "$(baseSysVServiceInstalled "$service")" ]; then
        unit=$service
    fi
    if [ -z "$unit" ]; then
        __kconfig_note "this system has no service $service: systemctl $* is left out"
    elif __kconfig_has systemctl; then
        systemctl "$@" "$unit"
    else
        __kconfig_without_systemd "$unit" "$@"
    fi
}

# Enables or disables a service where there is no systemctl.
__kconfig_without_systemd() {
    local service=${1%.service} verb=$2
    case $verb in
        enable | disable) ;;
        *)
            __kconfig_note "there is no systemctl: $verb $service is left out"
            return 0
            ;;
    esac
    if __kconfig_has update-rc.d; then
        update-rc.d "$service" "$verb"
    elif __kconfig_has chkconfig; then
        case $verb in
            enable) chkconfig "$service" on ;;
            disable) chkconfig "$service" off ;;
        esac
    else
        __kconfig_note "neither systemctl nor update-rc.d nor chkconfig is there: $verb $service is left out"
    fi
}

baseInsertService() {
    baseSystemdCall "$1" enable
}

baseRemoveService() {
    baseSystemdCall "$1" disable
}

baseService() {
    case ${2:-} in
        on) baseInsertService "$1" ;;
        off) baseRemoveService "$1" ;;
        *)
            __kconfig_note "baseService $1: say on or off, not '${2:-}'" >&2
            return 1
            ;;
    esac
}

suseInsertService() {
    baseInsertService "$@"
}

suseRemoveService() {
    baseRemoveService "$@"
}

suseService() {
    baseService "$@"
}

suseActivateDefaultServices() {
    local service
    for service in network cron; do
        baseInsertService "$service"
    done
}

suseActivateServices() {
    __kconfig_note "suseActivateServices: packages have enabled their services; nothing to do"
}

suseCloneRunlevel() {
    __kconfig_note "suseCloneRunlevel: systemd has targets in place of runlevels; nothing to do"
}

baseSetRunlevel() {
    local target
    case ${1:-} in
        1 | s | S | single) target=rescue.target ;;
        2 | 3 | 4) target=multi-user.target ;;
        5) target=graphical.target ;;
        *.target) target=$1 ;;
        *)
            __kconfig_note "baseSetRunlevel: '${1:-}' is neither a runlevel from 1 to 5 nor a target" >&2
            return 1
            ;;
    esac
    local file
    file=$(__kconfig_unit_file "$target")
    if [ -z "$file" ]; then
        __kconfig_note "this system has no $target: the default target is left as it is"
        return 0
    fi
    mkdir -p /etc/systemd/system
    ln -sfn "$file" /etc/systemd/system/default.target
}

baseDisableCtrlAltDel() {
    mkdir -p /etc/systemd/system
    ln -sfn /dev/null /etc/systemd/system/ctrl-alt-del.target
}

# -- configuration files ------------------------------------------------------------------------------------------------

# Gives file $1 the content of standard input, and leaves owner and mode as they are.
__kconfig_rewrite() {
    local new
    new=$(mktemp)
    cat >"$new"
    cat "$new" >"$1"
    rm -f "$new"
}

baseUpdateSysConfig() {
    local file=$1 name=$2 value=${3:-} line found='' text
    if [ ! -f "$file" ]; then
        __kconfig_note "baseUpdateSysConfig: there is no $file; $name is not set"
        return 0
    fi
    value=$(printf '%s\n' "$value" | sed 's/\\\{0,1\}"/\\"/g')
    text=$(
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in
                "$name="* | "$name ="*)
                    line="$name=\"$value\""
                    found=yes
                    ;;
            esac
            printf '%s\n' "$line"
        done <"$file"
        [ -n "$found" ] || printf '%s\n' "$name=\"$value\""
    )
    printf '%s\n' "$text" | __kconfig_rewrite "$file"
}

baseQuoteFile() {
    local line value text
    text=$(
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in
                [A-Za-z_]*=*) ;;
                *) continue ;;
            esac
            value=${line#*=}
            case $value in
                \'*\') value=${value#\'} value=${value%\'} ;;
                \"*\") value=${value#\"} value=${value%\"} ;;
            esac
            printf "%s='%s'\n" "${line%%=*}" "$(printf '%s\n' "$value" | sed "s/'/'\\\\''/g")"
        done <"$1"
    )
    printf '%s\n' "$text" | __kconfig_rewrite "$1"
}

suseConfig() {
    # Locale, keyboard and time zone are options of the image; they are set before the scripts run.
    if [ -x /sbin/SuSEconfig ]; then
        /sbin/SuSEconfig
    else
        __kconfig_note "suseConfig: locale, keyboard and time zone are set already; nothing to do"
    fi
}

suseSetupProduct() {
    local folder=/etc/products.d wanted='' name file found=''
    if ! ls "$folder"/*.prod >/dev/null 2>&1; then
        __kconfig_note "suseSetupProduct: there are no products in $folder; nothing to do"
        return 0
    fi
    if [ -f /etc/SuSE-brand ]; then
        wanted=$(sed -n '1p' /etc/SuSE-brand)
    fi
    if [ -f /etc/os-release ]; then
        # shellcheck disable=SC1091
        wanted="$wanted $(ID='' && . /etc/os-release && echo "$ID ${ID%%-*}")"
    fi
    for name in $wanted; do
        for file in "$folder"/*.prod; do
            if [ -z "$found" ] && [ ! -L "$file" ]; then
                if [ "$(__kconfig_lower "${file##*/}")" = "$(__kconfig_lower "$name").prod" ]; then
                    found=${file##*/}
                fi
            fi
        done
    done
    if [ -z "$found" ]; then
        # The newest one; names of products have no line breaks.
        # shellcheck disable=SC2012
        found=$(ls -t "$folder" | sed -n '/\.prod$/{p;q;}')
    fi
    ln -sfn "$found" "$folder/baseproduct"
}

suseImportBuildKey() {
    local key
    if ! __kconfig_has rpm; then
        __kconfig_note "suseImportBuildKey: this system has no rpm; nothing to do"
        return 0
    fi
    for key in /usr/lib/rpm/gnupg/keys/*.asc; do
        if [ -f "$key" ]; then
            rpm --import "$key" || __kconfig_note "suseImportBuildKey: rpm did not take $key"
        fi
    done
}

baseSetupBuildDay() {
    date --utc --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" '+build_day=%Y%m%d' >/build_day
}

baseSetupUserPermissions() {
    local name group uid gid home
    # Homes of system accounts are folders such as /bin, which stay root's.
    while IFS=: read -r name _ uid gid _ home _; do
        case $home in
            /home/?*)
                if [ -d "$home" ]; then
                    group=$(sed -n "s/^\([^:]*\):[^:]*:$gid:.*/\1/p" /etc/group | sed -n '1p')
                    __kconfig_note "$home belongs to $name:${group:-$gid}"
                    chown -R -h "$uid:$gid" "$home"
                fi
                ;;
        esac
    done </etc/passwd
}

# -- mounts: the build has mounted /proc, /sys and /dev and takes them away again ------------------------------------

baseMount() {
    :
}

baseCleanMount() {
    :
}

# -- packages -----------------------------------------------------------------------------------------------------------

baseGetPackagesForDeletion() {
    printf '%s\n' "${kiwi_delete:-}"
}

baseGetProfilesUsed() {
    printf '%s\n' "${kiwi_profiles:-}"
}

__kconfig_is_installed() {
    if __kconfig_has dpkg-query; then
        case $(dpkg-query --show --showformat='${Status}' "$1" 2>/dev/null) in
            *' installed') return 0 ;;
            *) return 1 ;;
        esac
    fi
    rpm -q "$1" >/dev/null 2>&1
}

# Removes installed packages without regard to what needs them.
__kconfig_remove_packages() {
    local package
    for package; do
        if ! __kconfig_is_installed "$package"; then
            __kconfig_note "$package is not installed, so it is not removed"
        elif __kconfig_has dpkg-query; then
            dpkg --force-depends --force-remove-essential --remove "$package"
        else
            rpm -e --nodeps "$package"
        fi
    done
}

suseRemovePackagesMarkedForDeletion() {
    local package
    set --
    for package in $(baseGetPackagesForDeletion | tr ',' ' '); do
        set -- "$@" "$package"
    done
    __kconfig_remove_packages "$@"
}

baseStripRPM() {
    suseRemovePackagesMarkedForDeletion
}

suseRemoveYaST() {
    local package
    if ! __kconfig_has rpm || __kconfig_has dpkg-query; then
        __kconfig_note "suseRemoveYaST: this is no RPM system; nothing to do"
        return 0
    fi
    for package in $(rpm -qa --queryformat '%{NAME}\n' | sed -n '/yast/p'); do
        __kconfig_remove_packages "$package"
    done
}

suseStripPackager() {
    local package
    if ! __kconfig_has rpm || __kconfig_has dpkg-query; then
        __kconfig_note "suseStripPackager: this is no RPM system; nothing to do"
        return 0
    fi
    for package in zypper libzypp smart; do
        __kconfig_remove_packages "$package"
    done
    if [ "${1:-}" = -a ]; then
        __kconfig_remove_packages rpm
        rm -rf /var/lib/rpm /usr/lib/sysimage/rpm
    fi
}

# -- stripping ----------------------------------------------------------------------------------------------------------

# Reads paths, one a line, and removes those whose file name is not among the arguments, with or without extensions.
baseStripAndKeep() {
    local path name
    while IFS= read -r path; do
        name=${path##*/}
        if ! __kconfig_is_one_of "$name" "$@" && ! __kconfig_is_one_of "${name%%.*}" "$@"; then
            rm -rf "$path"
        fi
    done
}

# Prints the files below those of the folders that exist.
__kconfig_files_in() {
    local folder
    for folder; do
        if [ -d "$folder" ]; then
            find "$folder" ! -type d
        fi
    done
}

baseStripMans() {
    __kconfig_files_in /usr/share/man /usr/local/man /usr/local/share/man | baseStripAndKeep "$@"
}

baseStripInfos() {
    __kconfig_files_in /usr/share/info | baseStripAndKeep dir "$@"
}

# Licenses stay; so does whatever lies in a folder, or has the name, of one of the arguments.
baseStripDocs() {
    local path name
    __kconfig_files_in /usr/share/doc | while IFS= read -r path; do
        name=${path##*/}
        case $(__kconfig_lower "$name") in
            copying* | copyright* | licen[sc]e*) continue ;;
        esac
        if ! __kconfig_is_one_of "$name" "$@"; then
            path=${path%/*}
            if ! __kconfig_is_one_of "${path##*/}" "$@"; then
                rm -f "$path/$name"
            fi
        fi
    done
    if [ -d /usr/share/doc ]; then
        find /usr/share/doc -mindepth 1 -depth -type d -empty -delete
    fi
}

# de_DE.UTF-8 and de_DE.utf8 are one locale.
__kconfig_locale_name() {
    __kconfig_lower "$1" | tr -d '-'
}

# Whether locale $1 is among those that follow: by its whole name, or by its language or language and country.
__kconfig_locale_is_kept() {
    local name=$1 plain kept
    shift
    plain=$(__kconfig_locale_name "$name")
    case $plain in
        c | posix | c.*) return 0 ;;
    esac
    for kept; do
        kept=$(__kconfig_locale_name "$kept")
        case $plain in
            "$kept" | "$kept"_* | "$kept".* | "$kept"@*) return 0 ;;
        esac
    done
    return 1
}

baseStripLocales() {
    local folder=/usr/lib/locale path name
    [ -d "$folder" ] || return 0
    for path in "$folder"/*; do
        if [ -d "$path" ] && ! __kconfig_locale_is_kept "${path##*/}" "$@"; then
            rm -rf "$path"
        fi
    done
    if [ -f "$folder/locale-archive" ] && __kconfig_has localedef; then
        for name in $(localedef --list-archive); do
            if ! __kconfig_locale_is_kept "$name" "$@"; then
                localedef --delete-from-archive "$name"
            fi
        done
    fi
}

# An argument is the name of a message catalog (kiwi.mo) or of a language.
baseStripTranslations() {
    local path name language
    __kconfig_files_in /usr/share/locale | while IFS= read -r path; do
        case $path in
            */LC_MESSAGES/*) ;;
            *) continue ;;
        esac
        name=${path##*/}
        language=${path%/LC_MESSAGES/*}
        if ! __kconfig_is_one_of "$name" "$@" && ! __kconfig_is_one_of "${name%.mo}" "$@" &&
            ! __kconfig_locale_is_kept "${language##*/}" "$@"; then
            rm -f "$path"
        fi
    done
    if [ -d /usr/share/locale ]; then
        find /usr/share/locale -mindepth 1 -depth -type d -empty -delete
    fi
}

# Removes what lies in folder $1 and is not among the further arguments.
baseStripTools() {
    local folder=$1 path
    shift
    # The names may come as one argument.
    # shellcheck disable=SC2048,SC2086
    set -- $*
    for path in "$folder"/*; do
        if [ ! -d "$path" ] && { [ -e "$path" ] || [ -L "$path" ]; } && ! __kconfig_is_one_of "${path##*/}" "$@"; then
            rm -f "$path"
        fi
    done
}

# Removes firmware that no kernel module names. What the kernel itself loads stays: CPU microcode, regulatory.db.
baseStripFirmware() {
    local keep name path suffix
    if [ ! -d /lib/firmware ]; then
        return 0
    fi
    if ! __kconfig_has modinfo; then
        __kconfig_note "baseStripFirmware needs modinfo (package kmod)" >&2
        return 1
    fi
    keep=$(mktemp)
    find /lib/modules/ -name '*.ko*' -exec modinfo --field firmware {} + 2>/dev/null | sort -u |
        while IFS= read -r name; do
            for suffix in '' .xz .zst .gz; do
                # A name may hold wildcards, and be a link to the file that counts.
                # shellcheck disable=SC2086
                for path in /lib/firmware/$name$suffix /lib/firmware/updates/$name$suffix; do
                    if [ -e "$path" ]; then
                        printf '%s\n' "$path"
                        readlink -f "$path"
                    fi
                done
            done
        done >"$keep"
    find /lib/firmware/ ! -type d | while IFS= read -r path; do
        case $path in
            */intel-ucode/* | */amd-ucode/* | */regulatory.db*) continue ;;
        esac
        if ! grep -F -x -q -e "$path" -e "$(readlink -f "$path")" "$keep"; then
            rm -f "$path"
        fi
    done
    rm -f "$keep"
    find /lib/firmware/ -mindepth 1 -depth -type d -empty -delete
}

# Removes shared libraries that neither a program nor a plugin is linked against.
baseStripUnusedLibs() {
    local keep path name
    keep=$(mktemp)
    {
        __kconfig_files_in /bin/ /sbin/ /usr/bin /usr/sbin /usr/local/bin /usr/local/sbin /usr/libexec
        find /lib/ /lib64/ /usr/lib /usr/lib64 -mindepth 2 -type f \( -name '*.so' -o -perm -u+x \) 2>/dev/null
    } | while IFS= read -r path; do
        ldd "$path" 2>/dev/null || :
    done | sed -n 's|^[^/]*\(/[^ ]*\) .*|\1|p' | sort -u | while IFS= read -r path; do
        printf '%s\n' "${path##*/}"
        name=$(readlink -f "$path")
        printf '%s\n' "${name##*/}"
    done | sort -u >"$keep"
    find /lib/ /lib64/ /usr/lib /usr/lib64 -maxdepth 2 -name 'lib*.so*' 2>/dev/null | while IFS= read -r path; do
        name=${path##*/}
        case $name in
            # Found by name at run time.
            libnss_* | libgcc_s.* | libpthread.* | libdl.*) continue ;;
        esac
        if ! grep -F -x -q -e "$name" "$keep"; then
            rm -f "$path"
        fi
    done
    rm -f "$keep"
}

baseFixupKernelModuleDependencies() {
    local folder
    for folder in /lib/modules/*/; do
        if [ -d "$folder" ]; then
            folder=${folder%/}
            depmod -a "${folder##*/}"
        fi
    done
}

# -- what a live image of this collection has no use for ------------------------------------------------------------

__kconfig_not_here() {
    __kconfig_note "$1 is not provided: $2" >&2
    return 1
}

suseSetupProductInformation() {
    __kconfig_not_here suseSetupProductInformation "scripts have no network; put the packages into the declaration"
}

baseVagrantSetup() {
    __kconfig_not_here baseVagrantSetup "a live image is no Vagrant box"
}

suseGFXBoot() {
    __kconfig_not_here suseGFXBoot "the boot menu is GRUB's; see the option grub_template"
}

baseSetupBoot() {
    __kconfig_not_here baseSetupBoot "the initrd is made by dracut"
}

baseSetupBusyBox() {
    __kconfig_not_here baseSetupBusyBox "it was for KIWI's own initrds; dracut makes the initrd"
}

baseStripInitrd() {
    __kconfig_not_here baseStripInitrd "it was for KIWI's own initrds; dracut makes the initrd"
}

suseStripInitrd() {
    __kconfig_not_here suseStripInitrd "it was for KIWI's own initrds; dracut makes the initrd"
}

baseStripKernel() {
    __kconfig_not_here baseStripKernel "it was for KIWI's own initrds; dracut chooses the drivers"
}

suseStripKernel() {
    __kconfig_not_here suseStripKernel "it was for KIWI's own initrds; dracut chooses the drivers"
}

baseSetupInPlaceGITRepository() {
    __kconfig_not_here baseSetupInPlaceGITRepository "call git in the script, with its package in the declaration"
}

baseSetupPlainTextGITRepository() {
    __kconfig_not_here baseSetupPlainTextGITRepository "call git in the script, with its package in the declaration"
}

baseSetupInPlaceSVNRepository() {
    __kconfig_not_here baseSetupInPlaceSVNRepository "call svn in the script, with its package in the declaration"
}

# The caller may be "test -f /.kconfig && . /.kconfig" under set -e.
:

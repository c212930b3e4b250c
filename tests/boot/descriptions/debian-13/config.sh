#!/usr/bin/env bash
# shellcheck source=/dev/null
. /.kconfig
# shellcheck source=/dev/null
. /.profile
for profile in $(echo "${kiwi_profiles:?}" | tr , ' '); do
    echo "$profile" >>/etc/image-profiles
done
baseInsertService systemd-timesyncd

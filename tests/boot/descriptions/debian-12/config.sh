#!/usr/bin/env bash
# shellcheck source=/dev/null
test -f /.kconfig && . /.kconfig
# shellcheck source=/dev/null
test -f /.profile && . /.profile

echo "Configure image: [${kiwi_iname:?}]..."

baseSetRunlevel 3
baseUpdateSysConfig /etc/default/useradd SHELL /bin/bash
echo "$kiwi_iname-${kiwi_iversion:?}" >/etc/image-name
exit 0

#!/bin/sh
# shellcheck source=/dev/null
. /.kconfig
baseInsertService ssh

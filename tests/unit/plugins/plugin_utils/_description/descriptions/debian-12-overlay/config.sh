#!/bin/bash
# shellcheck source=/dev/null
. /.kconfig
baseInsertService ssh

#!/bin/bash
. /.kconfig
baseInsertService ssh

# shellcheck shell=bash
# What the scripts ask of the machine they run on: messages, root rights, Debian packages. Sourced, never run.

say() {
    printf '==> %s\n' "$*" >&2
}

fail() {
    printf 'ERROR: %s\n' "$*" >&2
    exit 1
}

# Runs a command as root, with sudo where we are not root, and keeps what the build and the tests read from the environment.
as_root() {
    local kept=LC_ALL,LIVEFORGE_TEST_CACHE,LIVEFORGE_BENCHMARKS,http_proxy,https_proxy,no_proxy
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        # env: sudo replaces PATH even when asked to keep it. No byte code: root's files would be left in your checkout.
        sudo --preserve-env="$kept" env "PATH=$PATH" PYTHONDONTWRITEBYTECODE=1 "$@"
    else
        fail "Root rights are needed for: $*. Run this as root, or install sudo and allow it for $(id -un)."
    fi
}

install_packages() {
    command -v apt-get >/dev/null || fail "These are missing: $*. Only Debian packages can be installed from here; install them yourself."
    say "Installing Debian packages: $*"
    as_root apt-get -q -o DPkg::Lock::Timeout=300 update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@"
}

# Installs the commands that are missing. Each stands in the Debian package of the same name, unless it is given as
# COMMAND=PACKAGE. In place of the command a pattern with an absolute path stands for any file.
need_commands() {
    local name missing=()
    for name; do
        if [[ $name == /* ]]; then
            compgen -G "${name%%=*}" >/dev/null || missing+=("${name#*=}")
        else
            command -v "${name%%=*}" >/dev/null || missing+=("${name#*=}")
        fi
    done
    ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

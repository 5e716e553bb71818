# Installs Debian packages that a test needs and the machine lacks. Sourced by the other scripts.
#
# Takes the names of commands and the packages that bring them. Gives those commands on the path, or
# ends with one line that says what to install by hand.

fail() {
    printf 'tests: %s\n' "$*" >&2
    exit 1
}

# need COMMAND PACKAGE: the command is on the path afterwards.
need() {
    command -v "$1" >/dev/null || install "$2"
    command -v "$1" >/dev/null || fail "the Debian package $2 does not bring '$1'"
}

# install PACKAGE: it is installed afterwards.
install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        fail "only root on Debian can install what is missing here: install $1, then run this again"
    # A stale or partly unreachable package list is no failure: the installation itself tells.
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >&2 ||
        fail "cannot install the Debian package $1"
}

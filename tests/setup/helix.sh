#!/usr/bin/env bash
# Finds or makes a Helix; prints its path. Takes the `hx` on the path, else unpacks that of a later Debian into
# .cache/helix of this repository.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh
. tests/setup/debian.sh

folder=$PWD/.cache/helix

mkdir -p .cache
exec 9>.cache/helix.lock
flock 9

for candidate in hx "$folder/hx"; do
    if command -v "$candidate" >/dev/null && "$candidate" --version 9>&- | grep -q '^helix'; then
        command -v "$candidate"
        exit
    fi
done

unpack "$folder" hx usr/lib/hx/hx 'forky sid' 9>&-
printf '#!/bin/sh\nHELIX_RUNTIME=%s exec %s "$@"\n' "$folder/root/usr/lib/hx/runtime" "$folder/root/usr/lib/hx/hx" >"$folder/hx"
chmod +x "$folder/hx"
"$folder/hx" --version >&2
echo "$folder/hx"

#!/usr/bin/env bash
# Makes a Python that has Ray, as server/cluster/requirements.txt pins it; prints its path.
#
# It is a virtual environment, .cache/ray of this repository. Tests need no dashboard, so of Ray's extras none is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh

folder=$PWD/.cache/ray
pinned=$(sed -n 's/^ray\[default\]==/ray==/p' server/cluster/requirements.txt)
recipe="$pinned, $(sha256sum "tests/setup/ray.sh")"

# Tests ask for it side by side; one of them makes it.
mkdir -p .cache
exec 9>.cache/ray.lock
flock 9

if [ "$(cat "$folder/made" 2>/dev/null)" = "$recipe" ]; then
    echo "$folder/bin/python"
    exit
fi

need python3 python3
has_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }
has_venv || install python3-venv
has_venv || fail "this Python makes no virtual environments: install python3-venv"

{
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$pinned"
    "$folder/bin/python" -c 'import ray.cluster_utils'
} >&2 || fail "cannot install $pinned in $folder"
echo "$recipe" >"$folder/made"
echo "$folder/bin/python"

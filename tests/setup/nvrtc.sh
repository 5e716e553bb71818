#!/usr/bin/env bash
# Makes a Python with NVRTC, NVIDIA's compiler for GPUs as a library, at the version of the kernels' requirements.txt, in
# .cache/nvrtc of this repository; prints the path of its interpreter. It needs no GPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh

folder=$PWD/.cache/nvrtc
list=server/glm/src/kernels/cuda/requirements.txt

# Tests ask for it side by side; one of them makes it.
mkdir -p .cache
exec 9>.cache/nvrtc.lock
flock 9

# It says what it was made from, so that another version makes another one.
if ! cmp -s "$list" "$folder/made"; then
    need python3 python3
    rm -rf "$folder"
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    python3 -m venv "$folder" >&2 || fail "cannot make a Python environment in $folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$list" >&2 ||
        fail "cannot install NVRTC in $folder: $list names what it needs"
    cp "$list" "$folder/made"
fi
echo "$folder/bin/python"

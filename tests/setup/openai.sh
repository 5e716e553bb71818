#!/usr/bin/env bash
# Makes a Python with OpenAI's client, at the versions of tests/clients/openai/requirements.txt, in
# .cache/openai of this repository; prints the path of its interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh

folder=$PWD/.cache/openai
list=tests/clients/openai/requirements.txt

# Tests ask for it side by side; one of them makes it.
mkdir -p .cache
exec 9>.cache/openai.lock
flock 9

# It says what it was made from, so that other versions make another one.
if ! cmp -s "$list" "$folder/made"; then
    need python3 python3
    rm -rf "$folder"
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    python3 -m venv "$folder" >&2 || fail "cannot make a Python environment in $folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$list" >&2 ||
        fail "cannot install OpenAI's client in $folder: $list names what it needs"
    cp "$list" "$folder/made"
fi
"$folder/bin/python" -c 'import openai' 9>&- || fail "the client in $folder does not start: remove the folder, then run this again"
echo "$folder/bin/python"

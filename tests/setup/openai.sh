#!/usr/bin/env bash
# Makes a Python with OpenAI's client, at the versions of tests/clients/openai/requirements.txt, in
# .cache/openai of this repository; prints the path of its interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh

python_with openai tests/clients/openai/requirements.txt
python=$PWD/.cache/openai/bin/python
"$python" -c 'import openai' || fail "the client in .cache/openai does not start: remove the folder, then run this again"
echo "$python"

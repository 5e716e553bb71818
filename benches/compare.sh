#!/usr/bin/env bash
# Infill and llama.cpp side by side, in one run on this machine: the engines on the same GGUF files, and the same typing
# against `infill lsp` and llama-server's /infill. Each also with one core kept busy by another process.
#
#   benches/compare.sh [--quick] [--threads N] [--json FILE] [--only engine|typing]
#
# Builds what it needs and keeps it under .cache: llama.cpp (some 15 minutes, once), the models, Python packages. Prints
# Markdown; takes some 10 minutes, with --quick 3. Measure on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

llama=${INFILL_LLAMA:-$(benches/llama.sh)}
python=.cache/bench-venv/bin/python
[ -x "$python" ] || {
    python3 -m venv .cache/bench-venv
    .cache/bench-venv/bin/pip install --quiet gguf numpy tokenizers
}
models=.cache/models
[ -e $models/random-q6_k.gguf ] || "$python" benches/random_model.py --quantize "$llama/llama-quantize" $models
if [ -z "${INFILL_BIN:-}" ]; then
    cargo build --locked --release --package infill
    INFILL_BIN=${CARGO_TARGET_DIR:-target}/release/infill
fi
exec "$python" benches/compare.py --infill "$INFILL_BIN" --llama "$llama" --models $models "$@"

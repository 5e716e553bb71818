#!/usr/bin/env bash
# What a keystroke costs as things grow: the window that the model reads, the file, the number of documents typed in at
# once. One replay each, the others held still; prints Markdown.
#
#   benches/growth.sh [--quick] [--model NAME|PATH] [FILE…]
#
# Files are cut or repeated to their number of lines. The documents of several editors share one server and one
# connection, as the windows of one editor do; each has a request of its own under way.
set -euo pipefail
cd "$(dirname "$0")/.."

keys=300 model=() files=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick) keys=80 ;;
    --model) model=(--model "$2") && shift ;;
    *) files+=("$1") ;;
    esac
    shift
done
[ ${#files[@]} -gt 0 ] || files=(server/text/src/document.rs server/pretrain/train.py)
if [ -z "${INFILL_BIN:-}" ]; then
    cargo build --locked --release --package infill
    INFILL_BIN=${CARGO_TARGET_DIR:-target}/release/infill
fi

# One row: what grows, then the flags.
row() {
    local name=$1 && shift
    "$INFILL_BIN" bench latency "${files[@]}" "${model[@]}" --keystrokes "$keys" --json "$@" | python3 -c '
import json, sys
report = json.load(sys.stdin)
tokens = report["tokens_prefilled"] or {"p50": 0, "p95": 0}
key, jump = report["latency_ms"], report["jump_ms"]
p50, p95 = tokens["p50"], tokens["p95"]
cells = [sys.argv[1], *(format(figure, ".1f") for figure in (key["p50"], key["p95"], jump["p50"]))]
cells += [f"{p50:.0f} / {p95:.0f}", format(report["rss_mb"], ".0f"), format(report["cpu_s"], ".1f")]
print("|", " | ".join(cells), "|", flush=True)
' "$name"
}

echo '| | key, ms p50 | p95 | jump, ms p50 | tokens prefilled, p50 / p95 | MB | CPU s |'
echo '|---|---|---|---|---|---|---|'
for window in 250 1000 4000; do
    row "window of $window tokens" --window "$window" --lines 2000
done
for lines in 100 1000 10000 100000; do
    row "file of $lines lines" --window 1000 --lines "$lines"
done
for editors in 1 4 16; do
    row "$editors typed in at once" --window 1000 --lines 2000 --editors "$editors"
done

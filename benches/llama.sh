#!/usr/bin/env bash
# Builds llama.cpp for the comparison: llama-bench, llama-server and llama-quantize, for this very machine.
#
#   benches/llama.sh [FOLDER]      FOLDER: where all of it goes, .cache/llama by default
#
# The source is the one that the sdist of `llama-cpp-python` carries; cmake and ninja come from PyPI too. It is
# the rival's best: -march=native and an optimized build. A second run finds everything there and ends at once.
set -euo pipefail

VERSION=0.3.36
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/.cache/llama}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
build=$folder/build-$VERSION

if [ ! -x "$build/bin/llama-server" ] || [ ! -x "$build/bin/llama-bench" ] || [ ! -x "$build/bin/llama-quantize" ]; then
    tools=$folder/tools
    [ -x "$tools/bin/ninja" ] || {
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet cmake ninja
    }
    source=$folder/llama_cpp_python-$VERSION
    [ -d "$source" ] || {
        "$tools/bin/pip" download --quiet --no-deps --no-binary llama-cpp-python --dest "$folder" \
            "llama-cpp-python==$VERSION"
        tar -xzf "$folder/llama_cpp_python-$VERSION.tar.gz" -C "$folder"
    }
    PATH=$tools/bin:$PATH
    cmake -S "$source/vendor/llama.cpp" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
        -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF \
        -DBUILD_SHARED_LIBS=OFF >"$folder/configure.log" 2>&1 || { tail -20 "$folder/configure.log" >&2; exit 1; }
    ninja -C "$build" llama-bench llama-server llama-quantize >"$folder/build.log" 2>&1 ||
        { tail -40 "$folder/build.log" >&2; exit 1; }
fi
echo "$build/bin"

#!/usr/bin/env bash
# Makes a Python with NVRTC, NVIDIA's compiler for GPUs as a library, at the version of the kernels' requirements.txt, in
# .cache/nvrtc of this repository; prints the path of its interpreter. It needs no GPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh

python_with nvrtc server/glm/src/kernels/cuda/requirements.txt
echo "$PWD/.cache/nvrtc/bin/python"

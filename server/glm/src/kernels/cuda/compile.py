#!/usr/bin/env python3
"""Compiles the kernels of this folder to PTX, `kernels.ptx.gz`, which is committed.

usage: compile.py           writes the file
       compile.py --check   says whether the file is what the sources give; compiles them, too, for other GPUs

Takes the `.cu` files and a Python that has NVRTC, NVIDIA's compiler as a library, as requirements.txt pins it
(`tests/setup/nvrtc.sh` makes one); needs no GPU and no driver. Gives text for the driver of whatever GPU there is, which
compiles it on when a program starts and keeps the result.

The target is compute_80 (Ampere, 2020), the first that has all that the kernels use: cp.async, ldmatrix and the tensor cores'
m16n8k16 of f16. PTX for a capability runs on every later one, so one text serves them all; what only later ones have
(wgmma, TMA) would need a second text, and a GPU to see that it is worth it.
"""

import ctypes
import gzip
import pathlib
import sys
from collections import Counter

FOLDER = pathlib.Path(__file__).resolve().parent
RESULT = FOLDER / "kernels.ptx.gz"
TARGET = "compute_80"
# Machine code, too: the assembler finds what PTX still takes (registers, shared memory). Ampere, Ada, Hopper, Blackwell.
MACHINES = ["sm_80", "sm_89", "sm_90", "sm_100", "sm_120"]
# The compiler does not number registers alike each time: one compilation in five, about, gives another text.
ATTEMPTS = 12


def library():
    """NVRTC of this Python's packages. It looks for its builtins among what is loaded."""
    import nvidia

    for root in nvidia.__path__:
        for found in sorted(pathlib.Path(root).glob("*/lib/libnvrtc.so.*")):
            (builtins,) = found.parent.glob("libnvrtc-builtins.so.*")
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(found))
    sys.exit("compile.py: this Python has no NVRTC; install what requirements.txt beside it names")


def compiled(nvrtc, target):
    """All kernels as one program for the target, PTX or machine code."""
    sources = sorted(path.name for path in FOLDER.glob("*.cu"))
    text = "".join(f'#include "{name}"\n' for name in sources).encode()
    program = ctypes.c_void_p()

    def call(name, *arguments):
        failed = getattr(nvrtc, name)(*arguments) != 0
        said = ""
        if name == "nvrtcCompileProgram":
            size = ctypes.c_size_t()
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, log)
            said = log.value.decode().strip()
        # What the compiler warns of is an error, too.
        if failed or said:
            sys.exit(f"compile.py: {name} for {target} failed\n{said}")

    call("nvrtcCreateProgram", ctypes.byref(program), text, b"kernels.cu", 0, None, None)
    options = [f"--gpu-architecture={target}", "--std=c++17", f"--include-path={FOLDER}"]
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    call("nvrtcCompileProgram", program, len(options), array)
    kind = "PTX" if target.startswith("compute") else "CUBIN"
    size = ctypes.c_size_t()
    call(f"nvrtcGet{kind}Size", program, ctypes.byref(size))
    result = ctypes.create_string_buffer(size.value)
    call(f"nvrtcGet{kind}", program, result)
    call("nvrtcDestroyProgram", ctypes.byref(program))
    return result.raw


def print_of_sources():
    """A hash of the sources (FNV-1a, 64 bits), by which a test without a compiler sees that the file is stale."""
    value = 0xCBF29CE484222325
    for path in sorted([*FOLDER.glob("*.cu"), *FOLDER.glob("*.cuh")], key=lambda path: path.name):
        for byte in path.name.encode() + b"\0" + path.read_bytes() + b"\0":
            value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def text(nvrtc):
    """What the file holds once unpacked."""
    ptx = compiled(nvrtc, TARGET).rstrip(b"\0").decode()
    # Comments and indentation are a third of it.
    lines = (line.strip() for line in ptx.splitlines())
    lines = [line for line in lines if line and not line.startswith("//")]
    return f"// sources {print_of_sources():016x}\n" + "\n".join(lines) + "\n"


def main():
    nvrtc = library()
    if sys.argv[1:] == ["--check"]:
        for machine in MACHINES:
            compiled(nvrtc, machine)
        committed = gzip.decompress(RESULT.read_bytes()).decode()
        if not any(text(nvrtc) == committed for _ in range(ATTEMPTS)):
            sys.exit(f"compile.py: {RESULT.name} is not what the sources give; run {pathlib.Path(__file__).name}")
        print(f"{RESULT.name} is what the sources give; they compile for {', '.join(MACHINES)} as well")
    elif not sys.argv[1:]:
        # The text that a check meets soonest.
        ((fresh, _),) = Counter(text(nvrtc) for _ in range(ATTEMPTS)).most_common(1)
        RESULT.write_bytes(gzip.compress(fresh.encode(), 9, mtime=0))
        print(f"{RESULT.name}: {fresh.count('.entry')} kernels, {RESULT.stat().st_size} bytes")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

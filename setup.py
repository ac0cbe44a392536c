"""Build dsconv._core: the kernels once per kernel set and real type, each with its own compiler flags."""

import os
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

# Of the archive: built once, it is fetched often. zipfile has no other way to be told from here.
zlib.Z_DEFAULT_COMPRESSION = zlib.Z_BEST_COMPRESSION

FLAGS = [
    "-O2",
    "-std=gnu11",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-fno-asynchronous-unwind-tables",
    # a hundredth less, at no cost that could be measured
    *(f"-fno-align-{each}" for each in ("functions", "jumps", "labels", "loops")),
    "-g0",
    "-Wno-psabi",
]

# Functions in the order of their names: those of float32 and float64, and of the kernel sets, come side by
# side, and an archive, which looks back 32 KiB, takes a tenth less.
ELF = sys.platform not in ("win32", "darwin")
FLAGS += ["-ffunction-sections"] if ELF else []
LINKED = ["-Wl,-s", "-Wl,--sort-section=name"] if ELF else []

# Of the baseline, which few processors need: what makes it smaller, and a tenth slower.
SMALLER = ["-Os", "-fno-tree-vectorize", "-fno-ivopts"]

# Kernel set -> flags. What the compiler refuses is left out; `wide` only tests the 64-byte paths anywhere.
KERNEL_SETS = {
    "baseline": SMALLER,
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"],
}
if os.environ.get("DSCONV_BUILD_WIDE") == "1":
    KERNEL_SETS["wide"] = ["-O1"]
REALS = {"float32": "f32", "float64": "f64"}
THREADS = ["-pthread"]

# All but the kernels: records of some hundred bytes are cleared and copied by the C library. The string
# instructions that would do it take long to begin, 0.03 us of a tiny call.
RECORDS = ["-mstringop-strategy=libcall"]


class BuildKernels(build_ext):
    """Compiles ``csrc/kernels/table.c`` for every kernel set and real type, side by side."""

    def finalize_options(self):
        super().finalize_options()
        self.force = True  # what was built before may have had other kernel sets

    def build_extension(self, ext):
        sets = {name: flags for name, flags in KERNEL_SETS.items() if self.compiles(name, flags)}
        if "baseline" not in sets:
            raise CompileError(
                "dsconv needs a C compiler with GNU vector extensions (gcc or clang; clang-cl on Windows)"
            )
        ext.define_macros += [(f"DSC_HAVE_{name}", "1") for name in sets]
        ext.extra_compile_args += FLAGS + THREADS + (RECORDS if self.attempt("", RECORDS) else [])
        ext.extra_link_args += THREADS
        ext.extra_objects += self.compile_kernels(sets)
        super().build_extension(ext)

    def compile_kernels(self, sets):
        jobs = [(name, real) for name in reversed(sets) for real in REALS]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return [
                path
                for paths in pool.map(lambda job: self.compile_table(*job, sets[job[0]]), jobs)
                for path in paths
            ]

    def compile_table(self, name, real, flags):
        macros = [
            ("DSC_ISA", f'"isa/{name}.h"'),
            ("DSC_REAL", f'"real/{real}.h"'),
            ("DSC_SUFFIX", REALS[real]),
        ]
        return self.compiler.compile(
            ["csrc/kernels/table.c"],
            output_dir=os.path.join(self.build_temp, f"{name}_{real}"),
            include_dirs=["csrc"],
            macros=macros,
            extra_postargs=FLAGS + flags,
            depends=HEADERS,
        )

    def compiles(self, name, flags):
        includes = "" if name in ("baseline", "wide") else "#include <immintrin.h>\n"
        return self.attempt(
            f"{includes}typedef float v __attribute__((vector_size(16)));\n"
            "v f(v a, v b) { return a * b; }\n",
            flags,
        )

    def attempt(self, text, flags):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "attempt.c"
            source.write_text(text)
            try:
                self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
            except CompileError:
                return False
        return True


HEADERS = glob("csrc/**/*.h", recursive=True)
SOURCES = ["geometry", "dispatch", "parallel", "stages", "signature", "dimensions", "loop", "gufunc",
           "shortcut", "arithmetic", "recording", "graph", "module"]

setup(
    cmdclass={"build_ext": BuildKernels},
    ext_modules=[
        Extension(
            "dsconv._core",
            sources=[f"csrc/{name}.c" for name in SOURCES],
            include_dirs=["csrc", numpy.get_include()],
            depends=HEADERS,
            extra_link_args=LINKED,
        )
    ],
)

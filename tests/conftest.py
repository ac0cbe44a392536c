"""What several test files share."""

import os
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture
def run_python(tmp_path):
    """Run a script in a fresh interpreter, away from the source tree; the completed process comes back."""

    def run(script, *arguments, timeout=60, **environment):
        path = tmp_path / "script.py"
        path.write_text(script, encoding="utf-8")
        command = [sys.executable, str(path), *map(str, arguments)]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env={**os.environ, **environment},
        )

    return run


@pytest.fixture
def always_parallel():
    """No call is too small for threads, and there are several of them."""
    import dsconv as ds
    from dsconv import _core

    former = _core.set_parallel_threshold(0)
    with ds.num_threads(4):
        yield
    _core.set_parallel_threshold(former)


@pytest.fixture
def kernel_set(request):
    """Each kernel set that the processor runs, in use for the test."""
    from dsconv import _core

    former = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(former)


def pytest_generate_tests(metafunc):
    if "kernel_set" in metafunc.fixturenames:
        import dsconv as ds

        metafunc.parametrize("kernel_set", ds.available_isas(), indirect=True)

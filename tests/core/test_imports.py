from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["errors", "source", "atomic"])
def test_core_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, vmstate_tools.core.{module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "construct", "click"} & set(run.stdout.split())


def test_walking_a_stream_needs_no_numpy() -> None:
    code = "import sys, vmstate_tools.stream.walker; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "numpy" not in run.stdout.split()

"""The benchmarks run, with sizes at which their figures mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vms
from conftest import require

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.qemu
@pytest.mark.parametrize("name", ["inspect", "index", "downtime", "throughput"])
def test_benchmark_runs_and_compares(name: str) -> None:
    require(vms.system_qemu(), "QEMU")
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    cases = json.loads(done.stdout)["benchmarks"][name]
    assert any(len(case["series"]) > 1 for case in cases)
    assert all(line["values"] for case in cases for line in case["series"])
    assert f"`{name}`" in (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")

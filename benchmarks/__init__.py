"""Measures the figures that the project claims, each against something else in the same run.

`python -m benchmarks` runs them; docs/benchmarks.md says what they do and what came out.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# VMs, a plain QMP client and a writer of streams: what tests need, benchmarks need too.
sys.path.insert(0, str(ROOT / "tests"))

"""The search for bytes that the reader does not survive."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from builders.sources import both_sources
from scripts.fuzz import target
from scripts.fuzz.seeds import MAX_STREAM_BYTES, iter_seeds
from vmstate_tools.snapshot.open import read_snapshot

ROOT = Path(__file__).parents[1]
SEARCH_SECONDS = 20
SEEDS = dict(iter_seeds())


@pytest.mark.parametrize("name", SEEDS)
def test_every_seed_is_read_to_its_end(name: str) -> None:
    assert len(SEEDS[name]) <= MAX_STREAM_BYTES
    for source in both_sources(SEEDS[name]):
        assert read_snapshot(source).records[-1].end == len(SEEDS[name])
    target.examine(SEEDS[name])


def test_what_takes_too_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "MAX_SECONDS", 0.0)
    with pytest.raises(target.OverBudgetError, match="s for 8 bytes"):
        target.examine(b"QEVM\0\0\0\3")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="there is no atheris for this Python")
def test_a_search_finds_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.fuzz", f"--seconds={SEARCH_SECONDS}", "--folder", tmp_path],
        cwd=ROOT,
        env={"PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]

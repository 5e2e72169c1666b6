"""The streams in tests/fixtures are what their recipes recorded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import RealStream

FIXTURES = Path(__file__).parent / "fixtures"
BUDGET_BYTES = 2 << 20
VERSIONS = {"7.2", "10.0"}


def test_stream_is_the_one_that_was_recorded(real_stream: RealStream) -> None:
    source = json.loads((FIXTURES / real_stream.name / "source.json").read_text(encoding="utf-8"))
    data = real_stream.path.read_bytes()
    assert len(data) == source["bytes"]
    assert hashlib.sha256(data).hexdigest() == source["sha256"]
    assert source["qemu"].startswith(real_stream.name.rpartition("-")[2])


def test_qemu_counted_every_page_once(real_stream: RealStream) -> None:
    blocks, pages = real_stream.expected["blocks"], real_stream.expected["pages"]
    total = sum(block["bytes"] // block["page_bytes"] for block in blocks.values())
    assert pages["stored"] + pages["zero"] == total


@pytest.mark.parametrize("kind", ["precopy", "background-snapshot"])
def test_both_qemus_have_streams_of_each_kind(kind: str, real_streams: list[RealStream]) -> None:
    found = {name.rpartition("-")[2] for name, _, facts in real_streams if facts["kind"] == kind}
    assert found == VERSIONS


def test_streams_stay_small() -> None:
    assert sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()) < BUDGET_BYTES

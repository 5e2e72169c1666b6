"""`vmstate inspect` on what real QEMUs wrote, against what they said of it elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import RealStream
from vmstate_tools.cli.main import run


def shown(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> str:
    assert run(["inspect", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def shown_json(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> Any:
    return json.loads(shown(capsys, "--json", *arguments))


def test_real_streams_show_their_registers(
    real_stream: RealStream, capsys: pytest.CaptureFixture[str]
) -> None:
    document = shown_json(capsys, real_stream.path)
    assert document["stream"]["machine"] in {real_stream.expected["machine"], None}
    if not document["stream"]["vmdesc"]:
        return
    cpu = next(
        device
        for device in shown_json(capsys, "--device", "cpu#0", real_stream.path)["devices"]
        if "fields" in device
    )
    if "registers" in real_stream.expected:
        assert cpu["fields"]["env.eip"] == real_stream.expected["registers"]["eip"]


def test_real_streams_have_a_summary_within_a_terminal(
    real_stream: RealStream, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *lines = shown(capsys, real_stream.path).splitlines()
    assert first.startswith(str(real_stream.path))
    assert max(len(line) for line in lines) <= 80

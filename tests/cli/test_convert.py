import io
import json
import sys
from pathlib import Path

import pytest

from builders import stream as build
from ram_streams import ram_stream
from vmstate_tools.cli.main import run
from vmstate_tools.snapshot.open import open_snapshot

P = 4096
TO = ("--to", "stream")
TWICE = build.header() + build.configuration()
TWICE += build.section(build.START, build.ram_setup({"r": P}) + build.ram_eos())
for seed in (1, 2, 3):
    records = build.ram_page(0, build.page(seed), block="r") + build.ram_eos()
    TWICE += build.section(build.PART, records)
TWICE += build.section(build.END, build.ram_eos()) + build.eof()
ONCE = TWICE[: TWICE.index(build.page(1))] + TWICE[TWICE.index(build.page(3)) :]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guest.mig"
    path.write_bytes(TWICE)
    return path


def convert(*arguments: Path | str) -> int:
    return run(["convert", *map(str, arguments)])


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_every_page_is_kept_once(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    assert convert(file, target, *TO) == 0
    assert target.read_bytes() == ONCE
    assert file.read_bytes() == TWICE
    assert capsys.readouterr().out == f"{target}: 4.1 KiB, 66 % smaller, without 2 repeated pages\n"


def test_json_is_as_promised(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    assert convert(file, target, *TO, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": "vmstate/convert/1",
        "file": str(file),
        "output": str(target),
        "to": "stream",
        "source_bytes": len(TWICE),
        "bytes": len(ONCE),
        "pages": {"repeated": 2, "recovered": 0},
    }


def test_dash_is_standard_output(file: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert convert(file, "-", *TO) == 0
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (ONCE, b"")


def test_json_and_the_stream_cannot_both_have_standard_output(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(file, "-", *TO, "--json") == 2
    assert "standard output is for the stream" in error_of(capsys)


def test_output_that_exists_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(file, file, *TO) == 2
    assert error_of(capsys) == f"vmstate: {file}: exists already (--force replaces it)"


def test_pipe_is_refused(
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with file.open("rb") as stdin:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        assert convert("-", tmp_path / "out", *TO) == 2
    assert "read only once" in error_of(capsys)


def test_postcopy_is_not_supported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "postcopy"
    source.write_bytes(ram_stream("postcopy-10.0").data)
    assert convert(source, tmp_path / "out", *TO) == 4
    assert "a conversation" in error_of(capsys)
    assert list(tmp_path.iterdir()) == [source]


def test_pages_that_qemu_did_not_mark_are_recovered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "trap", tmp_path / "out"
    stream = ram_stream("mapped-background-10.0")
    source.write_bytes(stream.data)
    assert convert(source, target, *TO) == 0
    assert "recovered" in capsys.readouterr().out
    with open_snapshot(target) as snapshot:
        assert snapshot.configuration is not None
        assert snapshot.configuration.capabilities == ()
        memory = snapshot.memory
        stream.assert_memory(lambda start, size: memory.read("pc.ram", start, size))

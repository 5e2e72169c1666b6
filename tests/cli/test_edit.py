import io
import json
import sys
from pathlib import Path

import pytest

from builders import stream as build
from builders.snapshot_directory import snapshot_directory
from vmstate_tools.cli.main import run

SET = ("--set", "timer::cpu_ticks_offset=-2")
BEFORE = build.stream()
AFTER = build.stream(
    devices=[build.Device(payload=build.be64(2**64 - 2) + build.be64(2) + build.be64(3))]
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guest.mig"
    path.write_bytes(BEFORE)
    return path


def edit(*arguments: Path | str) -> int:
    return run(["edit", *map(str, arguments)])


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_edited_stream_is_written_and_the_original_stays(file: Path, tmp_path: Path) -> None:
    assert edit(file, *SET, "-o", tmp_path / "out") == 0
    assert (tmp_path / "out").read_bytes() == AFTER
    assert file.read_bytes() == BEFORE


def test_snapshot_directory_can_be_edited(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", BEFORE)
    assert edit(directory, *SET, "-o", tmp_path / "out") == 0
    assert (tmp_path / "out").read_bytes() == AFTER


def test_dash_is_standard_output(file: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert edit(file, *SET, "-o", "-") == 0
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (AFTER, b"")


def test_text_tells_what_has_changed(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--set", f"timer::unused={'ab' * 8}", "--set", "machine=q35")
    assert edit(file, *SET, *more, "-o", tmp_path / "out") == 0
    assert capsys.readouterr().out.splitlines() == [
        "timer::cpu_ticks_offset: 1 -> -2",
        "timer::unused: 0000000000000002 -> abababababababab",
        "configuration::name: pc-i440fx-7.2 -> q35",
    ]


def test_json_is_as_promised(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert edit(file, *SET, "-o", output, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": "vmstate/edit/1",
        "file": str(file),
        "output": str(output),
        "bytes": len(AFTER),
        "fields": [{"name": "timer::cpu_ticks_offset", "before": 1, "after": -2}],
    }


def test_json_and_the_stream_cannot_both_have_standard_output(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edit(file, *SET, "-o", "-", "--json") == 2
    assert "standard output is for the stream" in error_of(capsys)


def test_output_that_exists_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edit(file, *SET, "-o", file) == 2
    assert error_of(capsys) == f"vmstate: {file}: exists already (--force replaces it)"
    assert file.read_bytes() == BEFORE


def test_force_replaces_the_output_even_where_it_is_the_input(file: Path) -> None:
    assert edit(file, *SET, "-o", file, "--force") == 0
    assert file.read_bytes() == AFTER


def test_value_that_does_not_fit_is_one_line_and_no_file(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edit(file, "--set", "timer::unused=00", "-o", tmp_path / "out") == 2
    assert error_of(capsys) == ("vmstate: timer::unused: 1 bytes do not fit (expected 8 bytes)")
    assert list(tmp_path.iterdir()) == [file]


def test_damaged_stream_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(BEFORE[:5000])
    assert edit(file, *SET, "-o", tmp_path / "out") == 3
    assert error_of(capsys).startswith(f"vmstate: {file}: byte 0x")
    assert list(tmp_path.iterdir()) == [file]


def test_pipe_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "in").open("wb") as file:
        file.write(BEFORE)
    with (tmp_path / "in").open("rb") as stdin:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        assert edit("-", *SET, "-o", tmp_path / "out") == 2
    assert "read only once" in error_of(capsys)


def test_nothing_to_set_is_wrong_usage(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edit(file, "-o", "x") == 2
    assert "Missing option '--set'" in error_of(capsys)

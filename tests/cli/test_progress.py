import io
import sys
import time
from pathlib import Path

import pytest

from builders.snapshot_directory import snapshot_directory
from vmstate_tools.cli import progress as module
from vmstate_tools.cli.progress import progress, progress_towards, total_bytes


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    # Not a fixture: pytest sets stderr anew between a test's set-up and its call.
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    return made


def test_what_takes_long_shows_its_bytes_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(module, "DELAY_SECONDS", 0.0)
    with progress("reading", 4 << 20, quiet=False) as advance:
        advance(4 << 20)
    assert "reading:" in terminal.getvalue()
    assert "/4.00M" in terminal.getvalue()


def test_a_total_may_become_known_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(module, "DELAY_SECONDS", 0.0)
    with progress_towards("saving", quiet=False) as move_to:
        move_to(0, 0)
        move_to(1 << 20, 4 << 20)
        time.sleep(0.11)  # it draws ten times a second
        move_to(2 << 20, 4 << 20)
    assert "2.00M/4.00M" in terminal.getvalue()


def test_what_is_done_at_once_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with progress("reading", 100, quiet=False) as advance:
        advance(100)
    assert terminal.getvalue() == ""


def test_quiet_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(module, "DELAY_SECONDS", 0.0)
    with progress("reading", 100, quiet=True) as advance:
        advance(100)
    assert terminal.getvalue() == ""


def test_a_log_file_gets_no_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "DELAY_SECONDS", 0.0)
    with progress("reading", None, quiet=False) as advance:
        advance(100)
    assert capsys.readouterr().err == ""


def test_what_will_be_read_is_known_beforehand(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", bytes(1000), disks=1)
    file = tmp_path / "file"
    file.write_bytes(bytes(10))
    assert total_bytes([directory, file, tmp_path / "missing"]) == 1010


def test_of_a_pipe_nobody_knows_how_much_comes() -> None:
    assert total_bytes([Path("-")]) is None

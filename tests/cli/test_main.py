import errno
import os
import subprocess
import sys
from importlib import import_module
from typing import Never

import click
import pytest

from vmstate_tools import __version__
from vmstate_tools.cli import main as cli
from vmstate_tools.core.errors import (
    FormatError,
    HostError,
    QemuError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)

VMSTATE = [sys.executable, "-m", "vmstate_tools"]


def failing_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command("list")
    def command() -> Never:
        raise error

    monkeypatch.setattr(import_module("vmstate_tools.cli.list"), "command", command)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_there_and_says_what_the_table_says(name: str) -> None:
    command = import_module(f"vmstate_tools.cli.{name}").command
    assert command.name == name
    assert command.help.splitlines()[0] == cli.COMMANDS[name]


# The demo prints a story, not a result.
@pytest.mark.parametrize("name", sorted(cli.COMMANDS.keys() - {"demo"}))
def test_every_command_has_json(name: str) -> None:
    command = import_module(f"vmstate_tools.cli.{name}").command
    assert any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert cli.run(arguments) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in cli.COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from vmstate_tools.cli.main import run; run(['--help']);"
        "sys.exit(str({'numpy', 'construct', 'qemu', 'tqdm', 'zstandard'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr == "set()\n"


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"vmstate {__version__}\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nonsense"], "vmstate: No such command 'nonsense' (vmstate --help tells more)\n"),
        (["list"], "vmstate: Missing argument 'DIR...' (vmstate list --help tells more)\n"),
        (
            ["list", "--nonsense"],
            "vmstate: No such option '--nonsense' (vmstate list --help tells more)\n",
        ),
    ],
)
def test_wrong_usage_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.run(arguments) == 2
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    "error, exit_code, line",
    [
        (UsageError("x: exists already"), 2, "x: exists already"),
        (FormatError("bad", source="x", offset=16, field="y"), 3, "x: byte 0x10 (y): bad"),
        (TruncatedError("too short", source="x", offset=16), 3, "x: byte 0x10: too short"),
        (UnsupportedError("new", source="x"), 4, "x: new"),
        (QemuError("it died"), 5, "it died"),
        (HostError("no luck"), 5, "no luck"),
        (MemoryError(), 5, "not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 5, "x: No space left on device"),
        (OSError("odd"), 5, "odd"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 5, "x: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 2, "x: No such file"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.FileError("x", "gone"), 2, "Could not open file 'x': gone"),
        (UsageError("evil\x1b[2J\nname"), 2, r"evil\x1b[2J\nname"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    exit_code: int,
    line: str,
) -> None:
    failing_with(monkeypatch, error)
    assert cli.run(["list"]) == exit_code
    assert capsys.readouterr().err.strip() == f"vmstate: {line}"


def test_a_bug_of_ours_shows_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(monkeypatch, ZeroDivisionError("ours"))
    assert cli.run(["list"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("ZeroDivisionError: ours\n")


def test_a_reader_that_went_away_is_no_news() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [*VMSTATE, "list", "--json", "."]
    with os.fdopen(write_end, "wb") as closed_pipe:
        done = subprocess.run(
            command, check=False, stdout=closed_pipe, stderr=subprocess.PIPE, timeout=60
        )
    assert (done.returncode, done.stderr) == (5, b"")


def test_a_terminal_that_knows_less_than_unicode_gets_escapes() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [*VMSTATE, "list", "/☃"], check=False, capture_output=True, env=environment, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == b"vmstate: /\\u2603: No such file or directory\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_the_commands(shell: str) -> None:
    environment = os.environ | {
        "_VMSTATE_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "vmstate li",
        "COMP_CWORD": "li" if shell == "fish" else "1",
    }
    code = "import sys; sys.argv = ['vmstate']; from vmstate_tools.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert "list" in done.stdout

"""What holds for the project as a whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from vmstate_tools.cli.main import BUG_EXIT_CODE, COMMANDS, INTERRUPTED_EXIT_CODE, vmstate
from vmstate_tools.core import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
TOP_FOLDERS = ("src", "tests", "scripts", "docs", "benchmarks", ".ci")
GENERATED = re.compile(r"__pycache__|\.egg-info")

MODULE_LINES = 400
FUNCTION_LINES = 45
# In pieces, so that this file does not hold what it forbids.
FOREIGN = re.compile(r"/(?:work|root|home/\w+)/|\b(?:deb\.debian|pypi|npmjs|pythonhosted)\.org")


def project_files() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name[0] != ".")
    for folder in TOP_FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and not GENERATED.search(str(path)):
                yield path


def modules() -> Iterator[Path]:
    return (path for path in project_files() if path.suffix == ".py")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end; what the docstring explains is not counted against it."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def test_no_module_is_longer_than_its_budget() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules()
        if not path.stem.endswith("wire")  # tables of declarations
    }
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_no_function_is_longer_than_its_budget() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}": code_lines(function)
        for path in modules()
        for function in functions(path)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_no_file_names_a_machine_or_a_package_host() -> None:
    found = []
    for path in project_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in FOREIGN.finditer(text)]
    assert found == []


def documented_exit_codes() -> Iterator[tuple[int, str]]:
    """Code and error class (or nothing) of each row of the table."""
    text = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8")
    for match in re.finditer(r"^\| (\d+) \|.*\|(?: `(\w+)`)? \|$", text, re.MULTILINE):
        yield int(match[1]), match[2] or ""


def test_exit_codes_are_documented() -> None:
    members = [member for member in vars(errors).values() if isinstance(member, type)]
    classes = {
        (member.exit_code, member.__name__)
        for member in members
        if issubclass(member, errors.VmstateError) and "exit_code" in vars(member)
    }
    documented = set(documented_exit_codes())
    assert classes - documented == {(errors.VmstateError.exit_code, "VmstateError")}
    without_class = {code for code, name in documented if not name}
    assert without_class == {0, errors.VmstateError.exit_code, BUG_EXIT_CODE, INTERRUPTED_EXIT_CODE}


def test_documented_error_classes_have_their_codes() -> None:
    for code, name in documented_exit_codes():
        assert not name or getattr(errors, name).exit_code == code, name


@pytest.mark.parametrize("name", COMMANDS)
def test_command_explains_itself_and_its_options(name: str) -> None:
    context = vmstate.make_context("vmstate", [], resilient_parsing=True)
    command = vmstate.get_command(context, name)
    assert command is not None
    assert command.help
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_readme_shows_command(name: str) -> None:
    assert f"vmstate {name}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_tests(name: str) -> None:
    assert (ROOT / f"tests/cli/test_{name}.py").exists()

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import stream as build
from builders.snapshot_directory import snapshot_directory
from conftest import RealStream
from vmstate_tools.checks.verdict import CHECKS, DEEP_CHECKS, examine
from vmstate_tools.core.errors import FormatError, UnsupportedError, UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guest.mig"
    devices = (build.Device(), build.Device(idstr="globalstate", section_id=3))
    path.write_bytes(build.stream(devices=devices))
    return path


def test_a_sound_file_is_ok(file: Path) -> None:
    verdict = examine(file)
    assert verdict.ok
    assert verdict.findings == ()
    assert verdict.stopped is None
    assert verdict.checks == tuple(name for name in CHECKS if name not in DEEP_CHECKS)


def test_deep_runs_every_check(file: Path) -> None:
    assert examine(file, deep=True).checks == tuple(CHECKS)


def test_a_warning_is_still_ok(file: Path) -> None:
    with file.open("ab") as end:
        end.write(b"junk")
    verdict = examine(file)
    assert verdict.ok
    assert [finding.check for finding in verdict.findings] == ["trailing"]


def test_a_cut_file_stops_the_checks_that_need_its_end(file: Path) -> None:
    os.truncate(file, 9000)
    verdict = examine(file)
    assert not verdict.ok
    assert isinstance(verdict.stopped, FormatError)
    assert [finding.check for finding in verdict.findings] == ["framing"]
    assert "ram-complete" not in verdict.checks


def test_a_cut_state_file_of_a_directory_has_another_digest(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", build.stream())
    os.truncate(directory / "vmstate.bin", 9000)
    found = [finding.check for finding in examine(directory).findings]
    assert found == ["framing", "digest", "pairing"]


def test_a_changed_page_is_found_by_the_digest(tmp_path: Path) -> None:
    data = build.stream()
    directory = snapshot_directory(tmp_path / "monday", data)
    changed = bytearray(data)
    changed[data.index(build.page(1)) + 100] ^= 1
    (directory / "vmstate.bin").write_bytes(changed)
    assert "digest" in [finding.check for finding in examine(directory).findings]


@pytest.mark.parametrize(
    "content, kind",
    [(b"", FormatError), (b"hello", FormatError), (b"QFI\xfb" + bytes(100), UnsupportedError)],
)
def test_what_is_no_state_file_is_a_finding(
    tmp_path: Path, content: bytes, kind: type[Exception]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    verdict = examine(path)
    assert isinstance(verdict.stopped, kind)
    assert [finding.severity.value for finding in verdict.findings] == ["error"]


def test_what_is_not_there_is_a_finding(tmp_path: Path) -> None:
    verdict = examine(tmp_path / "x")
    assert isinstance(verdict.stopped, UsageError)
    assert verdict.findings[0].message == f"{tmp_path}/x: No such file or directory"


def test_progress_adds_up_to_the_file(file: Path) -> None:
    steps: list[int] = []
    examine(file, advance=steps.append)
    assert sum(steps) == file.stat().st_size


@given(data=st.data())
def test_damage_never_raises(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(build.stream(devices=(build.Device(), build.Device(idstr="globalstate"))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    examine(path, deep=True)


def test_real_streams_are_ok(real_stream: RealStream) -> None:
    verdict = examine(real_stream.path, deep=True)
    assert verdict.ok, verdict.findings


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_is_documented(check: str) -> None:
    assert f"## {check}\n" in (ROOT / "docs/checks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_is_a_module_with_its_tests(check: str) -> None:
    module = check.replace("-", "_")
    assert CHECKS[check].__module__ == f"vmstate_tools.checks.{module}"
    assert CHECKS[check].__name__ == module
    assert (ROOT / f"tests/checks/test_{module}.py").exists()

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from builders import stream as build
from builders.manifest import ZERO_DIGEST
from builders.snapshot_directory import snapshot_directory
from vmstate_tools.checks.verdict import CHECKS
from vmstate_tools.cli.main import run
from vmstate_tools.snapshot.manifest import FileDigest

DEVICES = (build.Device(), build.Device(idstr="globalstate", section_id=3))
HOLES: dict[str, list[bytes | None]] = {"pc.ram": [build.page(1), None, b""]}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.mig"
    path.write_bytes(build.stream(devices=DEVICES))
    return path


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    path = tmp_path / "holed.mig"
    path.write_bytes(build.stream(HOLES, DEVICES))
    return path


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    path = tmp_path / "cut.mig"
    path.write_bytes(build.stream(devices=DEVICES)[:6000])
    return path


def verified(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> tuple[int, str]:
    code = run(["verify", *map(str, arguments)])
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, captured.out


def verified_json(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> tuple[int, Any]:
    code, out = verified(capsys, "--json", *arguments)
    return code, json.loads(out)


def test_a_sound_snapshot_is_ok(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(capsys, good) == (0, f"{good}: ok (11 checks)\n")
    assert verified(capsys, "--deep", good) == (0, f"{good}: ok (12 checks)\n")


def test_json_of_a_sound_snapshot(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified_json(capsys, good) == (
        0,
        {
            "schema": "vmstate/verify/1",
            "files": [{"file": str(good), "ok": True, "findings": []}],
        },
    )


def test_an_error_is_exit_code_1(holed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = verified_json(capsys, holed)
    assert code == 1
    (file,) = document["files"]
    assert not file["ok"]
    assert file["findings"] == [
        {
            "check": "ram-complete",
            "severity": "error",
            "offset": 8 + 5 + len("pc-i440fx-7.2"),
            "message": "RAM block pc.ram lacks 1 of 3 pages, the first at 0x1000",
        }
    ]


def test_findings_are_told_below_their_file(
    holed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with holed.open("ab") as end:
        end.write(b"junk")
    code, text = verified(capsys, holed)
    assert code == 1
    summary, first, second = text.splitlines()
    assert summary == f"{holed}: 1 error, 1 warning"
    assert first.startswith("  warning: trailing: byte 0x")
    assert second.startswith("  error: ram-complete: byte 0x1a: RAM block pc.ram lacks 1 of 3")


def test_a_warning_is_no_failure(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with good.open("ab") as end:
        end.write(bytes(8))
    code, text = verified(capsys, good)
    assert code == 0
    assert text.startswith(f"{good}: ok, 1 warning\n")


def test_damage_is_exit_code_3_and_says_where(
    cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = verified_json(capsys, cut)
    assert code == 3
    (finding,) = document["files"][0]["findings"]
    assert finding["check"] == "framing"
    assert 0 < finding["offset"] <= 6000


def test_a_bad_snapshot_does_not_hide_the_others(
    good: Path, holed: Path, cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = verified_json(capsys, cut, "/no/such/file", holed, good)
    assert code == 3
    assert [(file["file"], file["ok"]) for file in document["files"]] == [
        (str(cut), False),
        ("/no/such/file", False),
        (str(holed), False),
        (str(good), True),
    ]


@pytest.mark.parametrize("content, code", [(b"QFI\xfb" + bytes(100), 4), (b"hello", 3), (None, 2)])
def test_what_cannot_be_read_has_its_own_exit_code(
    tmp_path: Path,
    holed: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    code: int,
) -> None:
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    assert verified(capsys, holed, path)[0] == code


def test_a_directory_is_checked_against_its_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = build.stream(devices=DEVICES)
    files = {"vmstate.bin": FileDigest(bytes=len(data), sha256=ZERO_DIGEST)}
    directory = snapshot_directory(tmp_path / "monday", data, disks=1, files=files)
    (tmp_path / "disk0.raw").unlink()
    code, document = verified_json(capsys, directory)
    assert code == 1
    checks = {finding["check"] for finding in document["files"][0]["findings"]}
    assert checks == {"manifest", "digest", "pairing"}


def test_an_unfinished_directory_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = verified(capsys, tmp_path)
    assert code == 2
    assert "the snapshot was not finished" in text


def test_junit_has_a_suite_for_each_snapshot(
    tmp_path: Path, good: Path, holed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with good.open("ab") as end:
        end.write(b"junk")
    report = tmp_path / "junit.xml"
    assert verified(capsys, "--junit", report, "--deep", good, holed)[0] == 1
    first, second = ET.parse(report).getroot()  # noqa: S314 (we have just written it)
    assert (first.get("name"), first.get("tests"), first.get("failures")) == (str(good), "12", "0")
    assert [case.get("name") for case in first] == list(CHECKS)
    assert "4 unknown bytes" in (first.findtext("testcase[@name='trailing']/system-out") or "")
    assert second.get("failures") == "1"
    failure = second.find("testcase[@name='ram-complete']/failure")
    assert failure is not None
    assert "pc.ram lacks 1 of 3 pages" in (failure.get("message") or "")


def test_junit_does_not_replace_a_file(
    tmp_path: Path, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "junit.xml"
    report.write_text("mine")
    assert run(["verify", "--junit", str(report), str(good)]) == 2
    assert "exists already (--force replaces it)" in capsys.readouterr().err
    assert report.read_text() == "mine"
    assert verified(capsys, "--force", "--junit", report, good)[0] == 0
    assert report.read_text().startswith("<?xml")


def test_a_name_cannot_break_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device = build.Device(idstr="evil\x1b[2J", section_id=4)
    path = tmp_path / "x\x07"
    path.write_bytes(build.stream(devices=(device, device)))
    report = tmp_path / "junit.xml"
    code, text = verified(capsys, "--junit", report, path)
    assert code == 1
    assert text.replace("\n", "").isprintable()
    ET.parse(report)  # noqa: S314


def test_standard_input_can_be_checked(
    good: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor = os.open(good, os.O_RDONLY)
    with os.fdopen(descriptor) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert verified(capsys, "-") == (0, "-: ok (11 checks)\n")

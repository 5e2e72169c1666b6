from pathlib import Path

from builders import stream as build
from builders.evidence import directory_evidence, evidence, told
from builders.manifest import ZERO_DIGEST
from builders.snapshot_directory import snapshot_directory
from vmstate_tools.checks.digest import digest
from vmstate_tools.snapshot.manifest import FileDigest


def test_the_file_that_was_written_is_nothing_to_find(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", build.stream())
    assert list(digest(directory_evidence(directory))) == []


def test_a_file_that_has_changed_is_an_error(tmp_path: Path) -> None:
    files = {"vmstate.bin": FileDigest(bytes=len(build.stream()), sha256=ZERO_DIGEST)}
    directory = snapshot_directory(tmp_path / "monday", build.stream(), files=files)
    ((severity, message),) = told(list(digest(directory_evidence(directory))))
    assert severity == "error"
    assert message.startswith("vmstate.bin has changed since it was written: SHA-256 ")
    assert message.endswith(f"(expected {ZERO_DIGEST})")


def test_a_state_file_alone_has_no_digest() -> None:
    assert list(digest(evidence(build.stream()))) == []

from pathlib import Path
from typing import Any

import pytest

from builders import stream as build
from builders.evidence import directory_evidence, evidence, told
from builders.snapshot_directory import snapshot_directory
from vmstate_tools.checks.manifest import manifest
from vmstate_tools.snapshot.manifest import RamBlock, Totals

TRUE: dict[str, Any] = {
    "machine": "pc-i440fx-7.2",
    "page_size": 4096,
    "ram_blocks": (RamBlock(name="pc.ram", size=16384), RamBlock(name="pc.bios", size=4096)),
    "totals": Totals(pages_stored=3, pages_zero=2, device_bytes=24),
}


def test_a_true_manifest_is_nothing_to_find(tmp_path: Path) -> None:
    directory = snapshot_directory(tmp_path / "monday", build.stream(), **TRUE)
    assert list(manifest(directory_evidence(directory))) == []


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"machine": "pc-q35-7.2"},
            "machine is pc-q35-7.2 in the manifest, pc-i440fx-7.2 in the state file",
        ),
        ({"page_size": 8192}, "page_size is 8192 in the manifest, 4096 in the state file"),
        (
            {"ram_blocks": (RamBlock(name="pc.ram", size=16384),)},
            (
                "ram_blocks is {'pc.ram': 16384} in the manifest, "
                "{'pc.ram': 16384, 'pc.bios': 4096} in the state file"
            ),
        ),
        (
            {"totals": Totals(pages_stored=4, pages_zero=2, device_bytes=24)},
            "totals.pages_stored is 4 in the manifest, 3 in the state file",
        ),
    ],
)
def test_a_manifest_that_says_something_else_is_an_error(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    directory = snapshot_directory(tmp_path / "monday", build.stream(), **(TRUE | change))
    assert told(list(manifest(directory_evidence(directory)))) == [("error", message)]


def test_a_machine_that_the_stream_does_not_name_cannot_be_compared(tmp_path: Path) -> None:
    data = build.stream(machine=None)
    directory = snapshot_directory(tmp_path / "monday", data, **(TRUE | {"machine": "pc-2.3"}))
    assert list(manifest(directory_evidence(directory))) == []


def test_a_state_file_alone_has_no_manifest() -> None:
    assert list(manifest(evidence(build.stream()))) == []

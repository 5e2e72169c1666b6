import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.manifest import ZERO_DIGEST, disk, manifest
from vmstate_tools.core.errors import FormatError, UnsupportedError, UsageError
from vmstate_tools.snapshot.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Base,
    FileDigest,
    Layer,
    SkippedDisk,
    StateFile,
    is_file_path,
    is_finished,
    is_snapshot_directory,
    read_manifest,
    write_manifest,
)


def stored(directory: Path) -> Any:
    return json.loads((directory / MANIFEST_NAME).read_bytes())


def store(directory: Path, document: object) -> None:
    (directory / MANIFEST_NAME).write_text(json.dumps(document))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = manifest(
        disks=(disk(),),
        skipped_disks=(SkippedDisk(node="cd0", reason="read-only"),),
        base=Base(path="/snapshots/sunday", sha256=ZERO_DIGEST),
    )
    write_manifest(tmp_path, made)
    assert read_manifest(tmp_path) == made


def test_what_is_unknown_stays_unknown(tmp_path: Path) -> None:
    made = manifest(downtime=None, vm_name=None, cpu_model=None, accelerator=None)
    made = replace(made, qemu=replace(made.qemu, binary=None, argv=None))
    write_manifest(tmp_path, made)
    assert read_manifest(tmp_path) == made


def test_the_time_is_written_in_utc(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    assert stored(tmp_path)["created"] == "2026-05-04T03:02:01Z"


def test_a_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    made = manifest(disks=(disk(folder="/images/caf\udce9"),))
    write_manifest(tmp_path, made)
    assert read_manifest(tmp_path) == made


def test_layers_are_found_after_the_whole_folder_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    directory = old / "snapshots" / "monday"
    directory.mkdir(parents=True)
    write_manifest(directory, manifest(disks=(disk(folder=str(old)),)))
    old.rename(new)
    found = read_manifest(new / "snapshots" / "monday").disks[0]
    assert found == disk(folder=str(new))


def test_a_layer_next_to_the_directory_is_named_relative_to_it(tmp_path: Path) -> None:
    directory = tmp_path / "monday"
    directory.mkdir()
    write_manifest(directory, manifest(disks=(disk(folder=str(tmp_path)),)))
    assert stored(directory)["disks"][0]["frozen"]["path"] == "../disk0.qcow2"


def test_a_directory_given_by_a_link_names_the_same_layers(tmp_path: Path) -> None:
    directory = tmp_path / "snapshots" / "monday"
    directory.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(directory)
    made = manifest(disks=(disk(folder=str(tmp_path)),))
    write_manifest(link, made)
    assert read_manifest(directory) == made
    assert read_manifest(link) == made


@pytest.mark.parametrize("path", ["/proc/d.qcow2", "/no-such-folder/d", "/etc/d", "nbd://h/x"])
def test_a_layer_that_would_not_move_along_keeps_its_name(tmp_path: Path, path: str) -> None:
    frozen = Layer(path=path, format="raw")
    write_manifest(tmp_path, manifest(disks=(disk(frozen=frozen),)))
    assert stored(tmp_path)["disks"][0]["frozen"]["path"] == path
    assert read_manifest(tmp_path).disks[0].frozen == frozen


def test_names_of_images_that_are_not_files_are_told_from_paths() -> None:
    assert is_file_path("/images/disk0.qcow2")
    assert not is_file_path("nbd://localhost:10809/x")
    assert not is_file_path('json:{"driver": "nbd"}')


def test_a_manifest_is_never_replaced(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    with pytest.raises(UsageError, match="exists already"):
        write_manifest(tmp_path, manifest(vm_name="another"))
    assert read_manifest(tmp_path).vm_name == "vm"


def test_a_directory_without_a_manifest_is_unfinished(tmp_path: Path) -> None:
    assert not is_finished(tmp_path)
    with pytest.raises(UsageError, match=r"no manifest\.json: the snapshot was not finished"):
        read_manifest(tmp_path)
    write_manifest(tmp_path, manifest())
    assert is_finished(tmp_path)


def test_a_directory_that_may_not_be_looked_into_is_no_snapshot(tmp_path: Path) -> None:
    assert not is_snapshot_directory(tmp_path / ("x" * 300))  # fails for root too


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing: No such file or directory"):
        read_manifest(tmp_path / "missing")


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).mkdir()
    with pytest.raises(UsageError, match=r"manifest\.json: Is a directory"):
        read_manifest(tmp_path)


def test_a_newer_schema_is_not_supported(tmp_path: Path) -> None:
    store(tmp_path, {"schema": "vmstate/manifest/2"})
    with pytest.raises(UnsupportedError, match=r"manifest\.json: schema 'vmstate/manifest/2'"):
        read_manifest(tmp_path)


def test_a_key_of_a_newer_version_is_passed_over(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    store(tmp_path, stored(tmp_path) | {"colour": "blue"})
    assert read_manifest(tmp_path) == manifest()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b"\0",
        b"[]",
        b"1",
        b"{}",
        b'{"schema": 1}',
        b'{"schema": "x"}',
        b"[" * 100_000,
        b"1" * 10_000,
        b'{"schema": "vmstate/manifest/1", "duration_seconds": NaN}',
    ],
)
def test_bytes_that_are_no_manifest_are_damage(tmp_path: Path, text: bytes) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(text)
    with pytest.raises(FormatError, match=r"manifest\.json: [^\n]+$"):
        read_manifest(tmp_path)


def test_a_manifest_without_end_is_not_read_to_the_end(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(FormatError, match="longer than any manifest"):
        read_manifest(tmp_path)


def test_every_key_without_a_default_is_needed(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    document = stored(tmp_path)
    for key in document.keys() - {"schema", "base"}:
        store(tmp_path, {name: value for name, value in document.items() if name != key})
        with pytest.raises(FormatError, match=rf"{key} is missing$"):
            read_manifest(tmp_path)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("created", "yesterday", r'created is "yesterday" \(expected a time'),
        ("created", "2026-05-04T03:02:01", "created is .* with its zone"),
        ("created", 7, "created is 7 "),
        ("page_size", -1, "page_size is -1 "),
        ("page_size", True, "page_size is true "),
        ("page_size", 1 << 64, "page_size is "),
        ("was_running", 1, "was_running is 1 "),
        ("duration_seconds", "1", 'duration_seconds is "1" '),
        ("duration_seconds", False, "duration_seconds is false "),
        ("duration_seconds", 10**400, r"duration_seconds is 1000.*\.\.\. "),
        ("machine", None, "machine is null "),
        ("machine", "a\0b", r"machine is \"a\\u0000b\" "),
        ("disks", {}, r"disks is \{\} \(expected a list\)"),
        ("disks", [1], r"disks\[0\] is 1 \(expected an object\)"),
        ("disks", [{}], r"disks\[0\]\.node is missing"),
        ("qemu", {"version": 7}, r"qemu\.version is 7 "),
        ("files", [], r"files is \[\] "),
        ("files", {"a": {"bytes": 1.5}}, r"files\['a'\]\.bytes is 1\.5 "),
    ],
)
def test_a_value_of_another_type_is_named(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    write_manifest(tmp_path, manifest())
    store(tmp_path, stored(tmp_path) | {key: value})
    with pytest.raises(FormatError, match=message):
        read_manifest(tmp_path)


def test_a_whole_number_of_seconds_is_a_number(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    store(tmp_path, stored(tmp_path) | {"duration_seconds": 2})
    assert read_manifest(tmp_path).duration_seconds == 2.0


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/dev/zero", "a/b"])
def test_a_file_outside_the_directory_is_damage(tmp_path: Path, name: str) -> None:
    digest = FileDigest(bytes=1, sha256=ZERO_DIGEST)
    write_manifest(tmp_path, manifest(files={name: digest}, state=StateFile(name=name, format="x")))
    with pytest.raises(FormatError, match="is not the name of a file in the directory"):
        read_manifest(tmp_path)


def test_a_state_file_without_digest_is_damage(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest(state=StateFile(name="other", format="stream")))
    with pytest.raises(FormatError, match="'other' is not in files"):
        read_manifest(tmp_path)

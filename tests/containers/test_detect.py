import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable

import pytest

from builders.snapshot_directory import qcow2_image
from builders.stream import stream
from vmstate_tools.containers.detect import CONTAINERS, STREAM, detect_container, require_stream
from vmstate_tools.core.errors import FormatError, UnsupportedError
from vmstate_tools.core.source import BytesSource, ForwardSource


def file(data: bytes) -> BytesSource:
    return BytesSource(data, "x")


def pipe(data: bytes) -> ForwardSource:
    pieces = [data[index : index + 1] for index in range(len(data))]
    return ForwardSource(lambda: pieces.pop(0) if pieces else b"", "x")


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("vmstate.bin"))
    return buffer.getvalue()


@pytest.mark.parametrize("source", [file, pipe])
def test_a_stream_is_known_by_its_magic(source: Callable[[bytes], BytesSource]) -> None:
    assert detect_container(source(stream())) is STREAM
    require_stream(source(stream()))


@pytest.mark.parametrize(
    "data, title",
    [
        (b"LibvirtQemudSave" + bytes(76), "a libvirt save image"),
        (b"LibvirtQemudPart" + bytes(76), "a libvirt save image that was not finished"),
        (qcow2_image(), "a qcow2 disk image"),
        (gzip.compress(stream()), "compressed with gzip"),
        (bz2.compress(stream()), "compressed with bzip2"),
        (lzma.compress(stream()), "compressed with xz"),
        (tar(), "a tar archive"),
        (b"\x7fELF\x02\x01", "an ELF file"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, title: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"^x: this is {title}.*, which this version does"):
        require_stream(file(data))


def test_what_is_compressed_can_be_unpacked_first() -> None:
    with pytest.raises(UnsupportedError, match=r"; unpack it first$"):
        require_stream(file(gzip.compress(b"")))


def test_the_manifest_of_a_snapshot_leads_to_its_directory() -> None:
    with pytest.raises(UnsupportedError, match="give the directory that it is in"):
        require_stream(file(b'{\n  "schema": "vmstate/manifest/1",'))


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container.title)
def test_every_magic_of_the_table_is_found(container: object) -> None:
    assert isinstance(container, type(STREAM))
    data = bytes(container.offset) + container.magic
    assert detect_container(file(data)) is container


@pytest.mark.parametrize("source", [file, pipe])
def test_what_nobody_knows_is_damage(source: Callable[[bytes], BytesSource]) -> None:
    with pytest.raises(FormatError, match=r"it begins with 68 65 6c 6c 6f \(expected 51 45 56 4d"):
        require_stream(source(b"hello"))


def test_an_empty_file_is_damage() -> None:
    with pytest.raises(FormatError, match=r"^x: the file is empty$"):
        require_stream(file(b""))


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_stream_that_is_cut_in_its_magic_is_left_to_its_reader(kept: int) -> None:
    assert detect_container(file(stream()[:kept])) is STREAM

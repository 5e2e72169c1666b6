import zlib

from builders import stream as build
from builders.evidence import evidence, told
from builders.sources import chunks_source
from vmstate_tools.checks.finding import Evidence
from vmstate_tools.checks.page_content import page_content
from vmstate_tools.snapshot.open import read_snapshot

P = 4096
COMPRESSED = zlib.compress(build.page(1))


def stream(records: bytes) -> bytes:
    setup = build.ram_setup({"pc.ram": 4 * P, "rom": P}) + build.ram_eos()
    first = build.ram_zero(0, block="pc.ram")
    data = build.header() + build.section(build.START, setup)
    data += build.section(build.PART, first + records + build.ram_eos())
    return data + build.eof()


def test_plain_pages_are_nothing_to_find() -> None:
    assert list(page_content(evidence(build.stream()))) == []


def test_pages_that_can_be_decoded_are_nothing_to_find() -> None:
    records = build.ram_compressed(P, COMPRESSED) + build.ram_patch(P, b"\0\1a")
    assert list(page_content(evidence(stream(records)))) == []


def test_the_first_page_that_cannot_be_decoded_is_an_error() -> None:
    patch = b"\0\2a"
    records = build.ram_compressed(P, COMPRESSED) + build.ram_patch(2 * P, patch)
    data = stream(records + build.ram_compressed(3 * P, b"none"))
    (finding,) = page_content(evidence(data))
    assert told([finding]) == [
        (
            "error",
            (
                "page 0x2000 of RAM block pc.ram: "
                "a difference of 0 unchanged and 2 new bytes makes no sense"
            ),
        )
    ]
    assert finding.offset == data.index(b"\1\0\3" + patch) + 3


def test_a_page_that_was_sent_again_is_not_looked_at() -> None:
    records = build.ram_compressed(P, b"none") + build.ram_zero(P)
    assert list(page_content(evidence(stream(records)))) == []


def test_filled_pages_are_a_warning() -> None:
    records = build.ram_zero(P, fill=1) + build.ram_zero(2 * P, fill=2)
    assert told(list(page_content(evidence(stream(records))))) == [
        (
            "warning",
            (
                "2 pages of RAM block pc.ram are filled with a byte other than zero, "
                "which QEMU 10.0 refuses"
            ),
        )
    ]


def test_encoded_pages_of_a_pipe_are_a_warning() -> None:
    snapshot = read_snapshot(chunks_source(stream(build.ram_compressed(P, COMPRESSED))))
    assert told(list(page_content(Evidence(snapshot=snapshot, sha256=None)))) == [
        ("warning", "pages of RAM block pc.ram are encoded, and a pipe is read only once")
    ]

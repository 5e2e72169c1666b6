from builders import stream as build
from builders.evidence import evidence, told
from builders.mapped import Layout, mapped_stream
from builders.sources import chunks_source
from vmstate_tools.checks.finding import Evidence
from vmstate_tools.checks.mapped_bitmaps import mapped_bitmaps
from vmstate_tools.snapshot.open import read_snapshot

BLOCKS = {"pc.ram": [b"", build.page(1), build.page(2), b""], "pc.bios": [build.page(3)]}
TRAP = mapped_stream(BLOCKS, Layout(marked=False), end=False)


def test_marked_pages_are_nothing_to_find() -> None:
    assert list(mapped_bitmaps(evidence(mapped_stream(BLOCKS)))) == []


def test_a_file_that_somebody_has_repaired_is_nothing_to_find() -> None:
    assert list(mapped_bitmaps(evidence(mapped_stream(BLOCKS, end=False)))) == []


def test_memory_that_is_all_zeros_is_nothing_to_find() -> None:
    data = mapped_stream({"pc.ram": [b"", b""]}, Layout(marked=False))
    assert list(mapped_bitmaps(evidence(data))) == []


def test_other_streams_are_nothing_to_find() -> None:
    assert list(mapped_bitmaps(evidence(build.stream()))) == []


def test_a_background_snapshot_into_mapped_ram_is_an_error_that_says_what_happened() -> None:
    (finding,) = mapped_bitmaps(evidence(TRAP))
    assert told([finding]) == [
        (
            "error",
            (
                "no page is marked as stored, though 3 that are not zero are in their places: "
                "this is a background snapshot into mapped-ram, which QEMU does not finish and "
                "would restore as zeros without an error"
            ),
        )
    ]
    assert finding.offset == TRAP.index(build.str8("pc.ram")) + 7 + 8 + 28


def test_of_a_pipe_nobody_can_say_how_many_pages_are_lost() -> None:
    snapshot = read_snapshot(chunks_source(TRAP))
    (finding,) = mapped_bitmaps(Evidence(snapshot=snapshot, sha256=None))
    assert finding.message.startswith("no page is marked as stored: this is a background snapshot")

from builders import stream as build
from builders.evidence import evidence, told
from vmstate_tools.checks.ram_complete import ram_complete

HOLES: dict[str, list[bytes | None]] = {
    "pc.ram": [build.page(1), b"", None, build.page(2), None],
    "pc.bios": [build.page(3)],
}


def test_all_pages_are_nothing_to_find() -> None:
    assert list(ram_complete(evidence(build.stream()))) == []


def test_missing_pages_are_an_error_that_counts_them() -> None:
    data = build.stream(HOLES)
    (finding,) = ram_complete(evidence(data))
    assert told([finding]) == [
        ("error", "RAM block pc.ram lacks 2 of 5 pages, the first at 0x2000")
    ]
    assert finding.offset == data.index(build.section(build.START)[:5])


def test_a_stream_without_memory_is_nothing_to_find() -> None:
    assert list(ram_complete(evidence(build.header() + build.eof()))) == []


def test_unplugged_memory_is_a_warning() -> None:
    device = build.Device(idstr="0000:00:04.0/virtio-mem", section_id=5)
    (finding,) = ram_complete(evidence(build.stream(HOLES, (device,))))
    assert told([finding]) == [
        (
            "warning",
            (
                "RAM block pc.ram lacks 2 of 5 pages, the first at 0x2000; "
                "memory that virtio-mem has unplugged is not saved"
            ),
        )
    ]


def test_shared_memory_is_a_warning() -> None:
    subsections = build.capabilities("x-ignore-shared")
    setup = build.ram_setup({"mem0": 8192}, extra={"mem0": build.be64(0)}) + build.ram_eos()
    data = build.header() + build.configuration(subsections=subsections)
    data += build.section(build.START, setup) + build.eof()
    assert told(list(ram_complete(evidence(data)))) == [
        ("warning", "RAM block mem0 is shared memory, and not in the file (x-ignore-shared)")
    ]

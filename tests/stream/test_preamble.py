from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builders import stream as build
from builders.sources import both_sources, bytes_source, chunks_source
from vmstate_tools.core.errors import FormatError, TruncatedError, UnsupportedError
from vmstate_tools.stream.preamble import MAX_CAPABILITIES, MAX_MACHINE_BYTES, read_preamble

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource
    from vmstate_tools.stream.records import Configuration, Preamble

HEADER_BYTES = 8


def read(data: bytes, *, ending: bytes = build.eof()) -> Preamble:
    first, *others = [read_preamble(source) for source in both_sources(data + ending)]
    assert [other.configuration for other in others] == [first.configuration]
    return first


def configured(subsections: bytes = b"", machine: str = "virt-7.2") -> Configuration:
    data = build.header() + build.configuration(machine, subsections=subsections)
    found = read(data).configuration
    assert found is not None
    assert found.end == len(data)
    return found


def test_the_machine_type_is_read() -> None:
    assert configured(machine="pc-q35-8.1+pve0").machine == "pc-q35-8.1+pve0"


def test_a_configuration_without_subsections_says_no_more() -> None:
    found = configured()
    assert (found.offset, found.page_bits, found.capabilities, found.uuid) == (8, None, (), None)


def test_all_subsections_are_read_in_any_order() -> None:
    found = configured(
        build.uuid(bytes(range(16)))
        + build.capabilities("x-ignore-shared", "mapped-ram")
        + build.page_bits(14)
    )
    assert found.page_bits == 14
    assert found.capabilities == ("x-ignore-shared", "mapped-ram")
    assert found.uuid == "00010203-0405-0607-0809-0a0b0c0d0e0f"


def test_a_stream_may_have_no_configuration() -> None:
    found = read(build.header(), ending=build.section(build.START))
    assert found.configuration is None
    assert (found.header.version, found.end) == (3, HEADER_BYTES)


@pytest.mark.parametrize("kept", range(HEADER_BYTES))
def test_a_header_that_is_cut_off_is_damaged(kept: int) -> None:
    for source in both_sources(build.header()[:kept]):
        with pytest.raises(TruncatedError, match=r"^guest\.mig: byte 0x0 \(header"):
            read_preamble(source)


def test_a_stream_that_ends_anywhere_in_its_configuration_is_damaged() -> None:
    subsections = build.uuid() + build.capabilities("mapped-ram") + build.page_bits()
    data = build.header() + build.configuration(subsections=subsections)
    for kept in range(HEADER_BYTES, len(data) + 1):
        for source in both_sources(data[:kept]):
            with pytest.raises(TruncatedError) as caught:
                read_preamble(source)
            assert caught.value.offset is not None
            assert caught.value.offset <= kept


def test_another_magic_is_refused() -> None:
    with pytest.raises(FormatError, match="not a migration stream: magic 0x51464902") as caught:
        read(build.header(magic=0x51464902))
    assert caught.value.offset == 0


@pytest.mark.parametrize(
    "version, text", [(2, r"version 2 of QEMU before .* \(expected 3\)"), (4, "version 4 ")]
)
def test_another_stream_version_is_not_supported(version: int, text: str) -> None:
    with pytest.raises(UnsupportedError, match=text) as caught:
        read(build.header(version=version))
    assert caught.value.offset == 4


def test_an_unknown_subsection_is_not_supported_because_it_has_no_length() -> None:
    data = build.header() + build.configuration("virt", subsections=build.subsection("new", b"?"))
    with pytest.raises(UnsupportedError, match=r"'new'.*length is not known") as caught:
        read(data)
    assert caught.value.offset == HEADER_BYTES + 1 + 4 + len("virt")


def test_an_absurd_machine_type_is_refused() -> None:
    data = build.header() + build.configuration(length=MAX_MACHINE_BYTES + 1)
    with pytest.raises(FormatError, match="256 bytes of machine type"):
        read(data)


def test_an_absurd_number_of_capabilities_is_refused() -> None:
    many = build.capabilities(count=MAX_CAPABILITIES + 1)
    with pytest.raises(FormatError, match="65 capabilities"):
        read(build.header() + build.configuration(subsections=many))


@pytest.mark.parametrize("bits", [0, 7, 17, 64])
def test_an_absurd_page_size_is_refused(bits: int) -> None:
    data = build.header() + build.configuration(subsections=build.page_bits(bits))
    with pytest.raises(FormatError, match=rf"2\^{bits} bytes"):
        read(data)


# Where the page size comes from


def advise(page_size: int) -> bytes:
    return build.command(build.POSTCOPY_ADVISE, build.be64(4096) + build.be64(page_size))


def page_sizes(data: bytes) -> list[int]:
    return [read_preamble(source).page_size for source in both_sources(data)]


def test_the_page_size_of_the_configuration_wins() -> None:
    data = build.header() + build.configuration(subsections=build.page_bits(14))
    data += advise(8192) + build.eof() + build.description(build.vmdesc((), page_size=1024))
    assert page_sizes(data) == [16384, 16384]


def test_the_page_size_of_a_postcopy_advice_is_used() -> None:
    data = build.header() + build.configuration()
    data += build.command(build.OPEN_RETURN_PATH) + advise(8192)
    assert page_sizes(data + build.eof()) == [8192, 8192]


def test_an_advice_without_content_says_nothing() -> None:
    data = build.header() + build.configuration() + build.command(build.POSTCOPY_ADVISE)
    assert page_sizes(data + build.eof()) == [4096, 4096]


def test_nothing_is_looked_for_in_a_package() -> None:
    data = build.header() + build.packaged(advise(8192))
    assert page_sizes(data + build.eof()) == [4096, 4096]


def test_the_description_tells_the_page_size_if_it_can_be_searched_for() -> None:
    data = build.stream({}, page_size=1024)
    assert page_sizes(data) == [1024, 4096]


def test_the_configuration_in_a_description_does_not_hide_the_page_size() -> None:
    text = b'{"configuration": {"vmsd_name": "configuration"}, "page_size": 2048, "devices": []}'
    data = build.header() + build.configuration() + build.eof() + build.description(text)
    assert read_preamble(bytes_source(data)).page_size == 2048


def test_a_description_may_not_tell_the_page_size() -> None:
    data = build.header() + build.eof() + build.description(b'{"configuration": {}}')
    assert read_preamble(bytes_source(data)).page_size == 4096


@pytest.mark.parametrize("page_size", [0, 3, 128, 1 << 17, (1 << 64) - 1])
def test_a_page_size_that_no_target_has_is_refused(page_size: int) -> None:
    data = build.header() + build.configuration()
    with pytest.raises(FormatError, match=f"a page of {page_size} bytes"):
        read(data + advise(page_size))
    with pytest.raises(FormatError, match=f"a page of {page_size} bytes"):
        read_preamble(bytes_source(data + build.stream({}, page_size=page_size)[8:]))


def test_the_description_is_found_beforehand_only_if_the_source_can_be_searched() -> None:
    data = build.stream()

    def description_of(source: ByteSource) -> bytes | None:
        found = read_preamble(source).description
        return None if found is None else data[found.json_offset : found.end]

    assert description_of(bytes_source(data)) == data[data.rindex(b'{"page_size"') :]
    assert description_of(chunks_source(data)) is None

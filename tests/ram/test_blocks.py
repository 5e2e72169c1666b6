from __future__ import annotations

import pytest

from builders import stream as build
from builders.sources import both_sources
from vmstate_tools.core.errors import FormatError, TruncatedError
from vmstate_tools.ram.blocks import MAX_BLOCKS, MAX_RAM_BYTES, RamBlock, read_blocks

SIZES = {"pc.ram": 16 << 20, "pc.bios": 256 << 10, "/rom@etc/table-loader": 4096}
BEHIND = build.ram_eos()
FRONT = b"front"


def read(
    setup: bytes, *, page_size: int = 4096, capabilities: tuple[str, ...] = ()
) -> tuple[RamBlock, ...]:
    data = FRONT + setup + BEHIND
    first, second = [
        read_blocks(source, len(FRONT), page_size, capabilities) for source in both_sources(data)
    ]
    assert first == second
    blocks, end = first
    assert end == len(FRONT + setup)
    return blocks


def test_blocks_are_listed_in_the_order_of_the_stream() -> None:
    blocks = read(build.ram_setup(SIZES))
    assert [(block.name, block.size) for block in blocks] == list(SIZES.items())


def test_pages_are_counted_through_all_blocks() -> None:
    blocks = read(build.ram_setup(SIZES))
    assert [(block.first_page, block.page_count) for block in blocks] == [
        (0, 4096),
        (4096, 64),
        (4160, 1),
    ]


def test_the_page_size_decides_how_many_pages_there_are() -> None:
    (block,) = read(build.ram_setup({"ram": 1024 * 5}), page_size=1024)
    assert block.page_count == 5


def test_a_machine_may_have_no_memory() -> None:
    assert read(build.ram_setup({})) == ()


def test_a_block_may_be_empty() -> None:
    assert [block.page_count for block in read(build.ram_setup({"none": 0, "ram": 4096}))] == [0, 1]


@pytest.mark.parametrize("block_page_size", [2 << 20, 1 << 30, 16 << 30, 8192])
def test_a_block_may_tell_the_size_of_its_own_pages(block_page_size: int) -> None:
    for named in ("ram", "last"):
        extra = {named: build.be64(block_page_size)}
        blocks = read(build.ram_setup({"ram": 4 << 20, "last": 8192}, extra=extra))
        assert {block.name: block.page_size for block in blocks} == {
            "ram": None,
            "last": None,
            named: block_page_size,
        }


def test_the_first_page_of_a_block_is_not_mistaken_for_a_page_size() -> None:
    setup = build.ram_setup({"ram": 1 << 32})
    data = setup + build.ram_page(1 << 21, bytes(4096), block="ram")
    for source in both_sources(data):
        (block,), end = read_blocks(source, 0, 4096, ())
        assert (block.page_size, end) == (None, len(setup))


@pytest.mark.parametrize("address", [0, 1 << 32, 0xFFFC0000])
def test_a_block_tells_its_address_with_x_ignore_shared(address: int) -> None:
    extra = {"ram": build.be64(address), "bios": build.be64(0xFFFC0000)}
    setup = build.ram_setup({"ram": 1 << 20, "bios": 4096}, extra=extra)
    first, second = read(setup, capabilities=("x-ignore-shared",))
    assert (first.address, second.address) == (address, 0xFFFC0000)
    assert first.page_size is None


def test_a_list_that_is_cut_off_is_truncated() -> None:
    setup = build.ram_setup(SIZES)
    for kept in range(len(setup)):
        for source in both_sources(setup[:kept]):
            with pytest.raises(TruncatedError) as caught:
                read_blocks(source, 0, 4096, ())
            assert caught.value.offset is not None
            assert caught.value.offset <= kept


@pytest.mark.parametrize(
    "setup, text, offset",
    [
        (build.be64(4096 | 0x08), r"0x1008 \(expected the total size", 0),
        (build.be64(4096 | 0x24), r"0x1024 \(expected the total size", 0),
        (build.ram_setup({"a": 8192}, total=4096), "more than 4096 bytes", 8),
        (build.ram_setup({"a": 4096, "b": 8192}, total=8192), "more than 8192 bytes", 18),
        (build.ram_setup([("a", 4096), ("a", 4096)]), "'a' is listed twice", 18),
        (build.ram_setup({"a": 4097}, total=8192), "4097 bytes, not a multiple of 4096", 8),
        (build.ram_setup({"": 4096}), "without a name", 8),
        (build.ram_setup({"a": 4096}, total=MAX_RAM_BYTES + 4096), "at most", 0),
        (build.ram_setup({"a": (1 << 64) - 4096}), "at most", 0),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(setup: bytes, text: str, offset: int) -> None:
    with pytest.raises(FormatError, match=text) as caught:
        read(setup)
    assert caught.value.offset == len(FRONT) + offset


def test_an_absurd_number_of_blocks_is_refused() -> None:
    setup = build.ram_setup([(f"{number}", 0) for number in range(MAX_BLOCKS + 1)], total=4096)
    with pytest.raises(FormatError, match=f"or {MAX_BLOCKS} blocks"):
        read(setup)


def test_as_many_blocks_as_any_machine_has_are_read() -> None:
    assert len(read(build.ram_setup({f"{n}": 4096 for n in range(MAX_BLOCKS)}))) == MAX_BLOCKS

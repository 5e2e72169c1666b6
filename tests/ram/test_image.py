from __future__ import annotations

import pytest

from builders import stream as build
from builders.sources import bytes_source
from vmstate_tools.ram.image import RamImage
from vmstate_tools.ram.reader import RamReader
from vmstate_tools.stream.preamble import read_preamble
from vmstate_tools.stream.walker import walk

P = 4096
PAGES = [build.page(1), b"", None, build.page(2), build.page(3)]
CONTENT = b"".join(page or bytes(P) for page in PAGES)


@pytest.fixture
def image() -> RamImage:
    source = bytes_source(build.stream({"rom": [b""], "ram": PAGES}, ()))
    preamble = read_preamble(source)
    reader = RamReader(preamble)
    for _ in walk(source, preamble, {"ram": reader}):
        pass
    assert reader.index is not None
    return RamImage(source, reader.index)


@pytest.mark.parametrize("page", range(len(PAGES)))
def test_a_page_is_read(image: RamImage, page: int) -> None:
    assert image.read_page("ram", page) == CONTENT[page * P : (page + 1) * P]


def test_pages_are_not_copied(image: RamImage) -> None:
    stored = image.read_page("ram", 0)
    assert stored.obj is image.read_page("ram", 3).obj
    assert image.read_page("ram", 1).obj is image.read_page("ram", 2).obj


@pytest.mark.parametrize(
    "offset, length",
    [(0, 0), (0, 1), (0, len(CONTENT)), (P - 1, 2), (P, P), (3 * P + 5, P), (len(CONTENT), 0)],
)
def test_a_range_is_read(image: RamImage, offset: int, length: int) -> None:
    assert image.read("ram", offset, length) == CONTENT[offset : offset + length]


@pytest.mark.parametrize("offset, length", [(-1, 1), (0, -1), (0, len(CONTENT) + 1), (9 * P, 0)])
def test_a_range_outside_of_the_block_is_an_index_error(
    image: RamImage, offset: int, length: int
) -> None:
    with pytest.raises(IndexError, match="block 'ram', which has 20480"):
        image.read("ram", offset, length)


@pytest.mark.parametrize("page", [-1, len(PAGES)])
def test_a_page_outside_of_the_block_is_an_index_error(image: RamImage, page: int) -> None:
    with pytest.raises(IndexError):
        image.read_page("ram", page)


def test_an_unknown_block_is_a_key_error(image: RamImage) -> None:
    with pytest.raises(KeyError):
        image.read("vga", 0, 0)

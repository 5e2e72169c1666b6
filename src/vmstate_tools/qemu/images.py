"""Disk images that a QEMU command line names, and fresh overlays in their place.

An image is named by `-hda FILE` and its kind, by `-drive`, or by a graph of `-blockdev` nodes:
a protocol node that holds the file name, below a format node, with filters in between or above.
Everything that does not say which file it is (cache, aio, discard, ids, filters) stays.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vmstate_tools.core.errors import UsageError
from vmstate_tools.qemu.blocks import FILTER_DRIVERS
from vmstate_tools.qemu.options import CommandLine
from vmstate_tools.qemu.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vmstate_tools.qemu.options import Option

IMAGE_OPTIONS = frozenset({None, "cdrom", "fda", "fdb", "hda", "hdb", "hdc", "hdd"}) | {
    "mtdblock",
    "pflash",
    "sd",
}
"""Options whose value is a file name and nothing else; None is the image without an option."""

INLINE_FILTERS = FILTER_DRIVERS | {"preallocate", "snapshot-access"}

FILE_KEYS = ("filename", "aio", "locking", "pr-manager", "x-check-cache-dropped", "drop-cache")
"""What belongs to the file and not to its format: QEMU 10.0 block/file-posix.c."""

_FILENAME_KEY = re.compile(r"^((?:file\.)*)filename$")
_FILE_REFERENCE_KEY = re.compile(r"^((?:file\.)*)file$")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshDisk:
    """A disk of a snapshot, and the new image that takes its place."""

    label: str
    """What to call it in a message."""
    names: tuple[Path, ...]
    """Files that mean this disk on a command line, the likeliest first: its frozen layer, what
    that is based on, and the layer that came after it. Real paths."""
    overlay: Path
    """The new qcow2 image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A place on the command line that names an image file."""

    option_index: int
    prefix: str | None
    """Where in the option: `file.` for `file.filename`; None where the value is the name."""
    path: Path
    """Real path."""
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """A command line with overlays, and what is worth knowing about it."""

    line: CommandLine
    missing: tuple[FreshDisk, ...]
    """Disks that the command line does not name."""
    untouched: tuple[Path, ...]
    """Writable images that belong to none of the disks."""


class _Node(NamedTuple):
    """A block node: the option that makes it, and its place in there."""

    option_index: int
    prefix: str


def replace_images(
    line: CommandLine, disks: Sequence[FreshDisk], working_directory: Path
) -> Replacement:
    """Put the overlay of each disk in the place of the image that means the disk.

    Args:
        working_directory: What relative names start from.

    Raises:
        UsageError: an option cannot be read, or an image is used in a way that an overlay
            cannot take over (encrypted, or a part of a raw file).
    """
    graph = _Graph(line)
    images = graph.images(working_directory)
    chosen = {disk.label: _choose(images, disk) for disk in disks}
    for disk in disks:
        image = chosen[disk.label]
        if image is not None:
            graph.replace_image(image, disk.overlay)
    return Replacement(
        line=graph.to_line(),
        missing=tuple(disk for disk in disks if chosen[disk.label] is None),
        untouched=tuple(
            image.path
            for image in images
            if not image.read_only and image not in chosen.values() and graph.keeps(image)
        ),
    )


def _choose(images: list[Image], disk: FreshDisk) -> Image | None:
    for name in disk.names:
        for image in images:
            if image.path == name and not image.read_only:
                return image
    return None


class _Graph:
    """The block nodes of a command line, while they are being changed."""

    def __init__(self, line: CommandLine) -> None:
        self._program = line.program
        self._options: list[Option | None] = list(line.options)
        self._properties: dict[int, Properties] = {}
        for index, option in enumerate(line.options):
            if option.name in {"drive", "blockdev"} and option.value is not None:
                implied = "driver" if option.name == "blockdev" else None
                properties = Properties.parse(option.value, implied)
                self._properties[index] = _spell_out_json(properties)

    def to_line(self) -> CommandLine:
        """Return the command line as it is now."""
        options = (option for option in self._options if option is not None)
        return CommandLine(program=self._program, options=tuple(options))

    def keeps(self, image: Image) -> bool:
        """Tell whether the option of `image` is still there."""
        return self._options[image.option_index] is not None

    def images(self, working_directory: Path) -> list[Image]:
        """Find every name of a local file, in the order of the command line."""
        found = []
        for index, option in enumerate(self._options):
            for prefix, name in self._file_names(index, option):
                path = _local_path(name, working_directory)
                if path is not None:
                    read_only = option is not None and option.name == "cdrom"
                    read_only = read_only or self._is_read_only(index, prefix)
                    image = Image(option_index=index, prefix=prefix, path=path, read_only=read_only)
                    found.append(image)
        return found

    def replace_image(self, image: Image, overlay: Path) -> None:
        """Let `overlay` be what the guest gets instead of `image`."""
        index, prefix = image.option_index, image.prefix
        if prefix is None:
            option = self._option(index)
            self._options[index] = replace(option, value=str(overlay))
            return
        properties = self._properties[index]
        if properties.text(f"{prefix}filename") is None:
            self._set(index, properties.with_value("file", str(overlay)))
            self._make_qcow2(_Node(index, ""))
            return
        self._replace_file(_Node(index, prefix), overlay)

    def _file_names(self, index: int, option: Option | None) -> list[tuple[str | None, str]]:
        if option is None or option.value is None:
            return []
        if option.name in IMAGE_OPTIONS:
            return [(None, option.value)]
        properties = self._properties.get(index)
        if properties is None:
            return []
        names: list[tuple[str | None, str]] = []
        for key, value in properties.pairs:
            match = _FILENAME_KEY.match(key)
            if match is not None and isinstance(value, str):
                names.append((match[1], value))
            elif key == "file" and option.name == "drive" and isinstance(value, str):
                names.append(("", value))
        return names

    def _is_read_only(self, index: int, prefix: str | None) -> bool:
        if prefix is None:
            return False
        properties = self._properties[index]
        if properties.is_on("readonly") or properties.get("media") == "cdrom":
            return True
        file = _Node(index, prefix)
        return any(
            self._properties[node.option_index].is_on(f"{node.prefix}read-only")
            for node in (file, *self._above(file))
        )

    def _replace_file(self, file: _Node, overlay: Path) -> None:
        """Change the name in a protocol node, and the format of the node above it."""
        above = (node for node in self._above(file) if self._driver(node) not in INLINE_FILTERS)
        image = next(above, None)
        if image is None:
            file = image = self._insert_format(file)
            file = _Node(file.option_index, f"{file.prefix}file.")
        properties = self._properties[file.option_index]
        properties = properties.with_value(f"{file.prefix}filename", str(overlay))
        if properties.has(f"{file.prefix}driver"):
            properties = properties.with_value(f"{file.prefix}driver", "file")  # not host_device
        self._set(file.option_index, properties)
        self._make_qcow2(image)

    def _insert_format(self, file: _Node) -> _Node:
        """Make the node of a raw file one of an image, with the file inside; keep its name."""
        index, prefix = file
        moved = {f"{prefix}{key}": f"{prefix}file.{key}" for key in FILE_KEYS}
        properties = self._properties[index].mapped(lambda key, value: (moved.get(key, key), value))
        self._set(index, properties.with_value(f"{prefix}file.driver", "file"))
        return file

    def _make_qcow2(self, node: _Node) -> None:
        index, prefix = node
        properties = self._properties[index]
        for key in ("encrypt", "key-secret", "offset", "data-file"):
            if properties.has(prefix + key):
                option = self._option(index)
                problem = f"an overlay cannot take the place of an image with {key!r}"
                raise UsageError(f"{str(option)[:200]}: {problem}")
        if self._driver(node) in INLINE_FILTERS:
            return  # `-drive driver=throttle,file=…`: QEMU finds out the format itself
        backing = properties.text(f"{prefix}backing")
        # The overlay says itself what it is based on, and how large the disk is (raw `size`).
        properties = properties.without(f"{prefix}backing", f"{prefix}size")
        if self._option(index).name == "drive" and not prefix:
            # What the guest writes is to stay, and `driver` is another word for `format`.
            key = "driver" if properties.has("driver") else "format"
            properties = properties.without("snapshot").with_value(key, "qcow2")
        else:
            properties = properties.with_value(f"{prefix}driver", "qcow2")
        self._set(index, properties)
        if backing is not None:
            self._remove_unused(backing)

    def _remove_unused(self, name: str) -> None:
        """Remove the node `name`, and those below it, if nothing refers to it any more.

        A format node that nobody reads still holds its lock on the file.
        """
        index = self._find_node(name)
        if index is None or self._is_mentioned(name, index):
            return
        properties = self._properties[index]
        self._options[index] = None
        for key in ("file", "backing"):
            below = properties.text(key)
            if below is not None:
                self._remove_unused(below)

    def _is_mentioned(self, name: str, by_other_than: int) -> bool:
        word = re.compile(rf"(?<![\w.#-]){re.escape(name)}(?![\w.#-])")
        return any(
            word.search(option.value)
            for index, option in enumerate(self._options)
            if index != by_other_than and option is not None and option.value is not None
        )

    def _find_node(self, name: str) -> int | None:
        for index, properties in self._properties.items():
            if self._options[index] is not None and properties.get("node-name") == name:
                return index
        return None

    def _above(self, node: _Node) -> Iterator[_Node]:
        """Yield the nodes above `node`, nearest first."""
        seen = {node}
        parent = self._parent(node)
        while parent is not None and parent not in seen:
            yield parent
            seen.add(parent)
            parent = self._parent(parent)

    def _parent(self, node: _Node) -> _Node | None:
        """Return the node that has `node` as its `file`."""
        index, prefix = node
        if prefix:
            return _Node(index, prefix.removesuffix("file."))
        name = self._properties[index].get("node-name")
        for other, properties in self._properties.items():
            if name is None or self._option(other).name != "blockdev":
                continue
            for key, value in properties.pairs:
                match = _FILE_REFERENCE_KEY.match(key)
                if match is not None and value == name:
                    return _Node(other, match[1])
        return None

    def _driver(self, node: _Node) -> str | None:
        return self._properties[node.option_index].text(f"{node.prefix}driver")

    def _option(self, index: int) -> Option:
        option = self._options[index]
        assert option is not None
        return option

    def _set(self, index: int, properties: Properties) -> None:
        self._properties[index] = properties
        self._options[index] = replace(self._option(index), value=properties.to_text())


def _spell_out_json(properties: Properties) -> Properties:
    """Write `-drive file=json:{…}` as the dotted keys that it stands for."""
    name = properties.text("file")
    if name is None or not name.startswith("json:"):
        return properties
    inside = Properties.parse(name.removeprefix("json:").lstrip())
    pairs = [pair for pair in properties.pairs if pair[0] != "file"]
    if any(key == "format" for key, _ in pairs):
        # The drive's own format wins over that of the pseudo-name.
        inside = inside.without("driver")
    return replace(properties, pairs=(*inside.pairs, *pairs))


def _local_path(name: str, working_directory: Path) -> Path | None:
    """Return the real path of a file name; None for another protocol (`nbd:…`)."""
    name = name.removeprefix("file:")
    if ":" in name.split("/", 1)[0] or not name or "\0" in name:
        return None
    return Path(os.path.realpath(working_directory / name))

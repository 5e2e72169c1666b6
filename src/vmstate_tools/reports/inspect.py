"""What `vmstate inspect` says of a snapshot."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from vmstate_tools.ram.index import PageKind
from vmstate_tools.reports.fields import tree_lines
from vmstate_tools.reports.handlers import handler_json, handler_lines
from vmstate_tools.reports.text import count_text, printable, seconds_text, size_text, table
from vmstate_tools.snapshot.kind import Kind
from vmstate_tools.stream.records import (
    Command,
    Configuration,
    Description,
    EndOfStream,
    Header,
    Section,
    Trailing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vmstate_tools.device.decode import DecodedDevice
    from vmstate_tools.snapshot.manifest import Manifest
    from vmstate_tools.snapshot.open import Device, Snapshot
    from vmstate_tools.stream.records import Record

SCHEMA = "vmstate/inspect/1"

RECORD_TYPES = {
    Header: "header",
    Configuration: "configuration",
    Command: "command",
    EndOfStream: "eof",
    Description: "vmdesc",
    Trailing: "trailing",
}

KIND_WORDS = {
    Kind.BACKGROUND_SNAPSHOT: "memory of one moment, while the guest ran on",
    Kind.PRECOPY: "the guest ran, and was stopped at the end",
    Kind.SAVEVM_LIKE: "the guest stood still",
    Kind.POSTCOPY: "the guest ran on elsewhere while its memory followed",
    Kind.MAPPED_RAM: "every page has its fixed place in the file",
    Kind.DEVICE_ONLY: "no guest memory",
}


def as_json(
    snapshot: Snapshot,
    file: str,
    decoded: Mapping[str, DecodedDevice],
    *,
    sections: bool,
    runs: bool,
) -> dict[str, Any]:
    """Make the JSON document.

    Args:
        file: As the user has named it.
        decoded: Devices to show the fields of, by label.
        sections: List every record of the stream.
        runs: List where the pages of every block are.
    """
    configuration = snapshot.configuration
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "file": file,
        "container": snapshot.container,
        "bytes": _end(snapshot),
        "stream": {
            "version": snapshot.preamble.header.version,
            "machine": snapshot.machine,
            "capabilities": list(configuration.capabilities) if configuration else [],
            "uuid": configuration.uuid if configuration else None,
            "kind": snapshot.kind,
            "vmdesc": snapshot.description is not None,
            "footers": snapshot.footers,
            "trailing_bytes": _trailing_bytes(snapshot),
        },
        "ram": _ram_json(snapshot, runs=runs),
        "devices": [_device_json(device, decoded) for device in snapshot.devices],
        "device_bytes": snapshot.device_bytes,
        "handlers": [handler_json(state) for state in snapshot.handlers],
    }
    if sections:
        document["sections"] = [_record_json(record) for record in snapshot.records]
    return document


def as_text(snapshot: Snapshot, file: str, *, runs: bool) -> str:
    """Make the summary."""
    lines = [
        f"{printable(file)}: {size_text(_end(snapshot))} ({_end(snapshot):,} bytes)",
        "",
        *table(list(_facts(snapshot)), ["<", "<"], indent=2),
        "",
        *_ram_lines(snapshot),
        *(_run_lines(snapshot) if runs else []),
        "",
        f"Devices: {len(snapshot.devices)}, with {size_text(snapshot.device_bytes)} of state",
        "",
        *_device_lines(snapshot),
        *_handler_lines(snapshot),
    ]
    return "\n".join(lines).rstrip()


def sections_as_text(snapshot: Snapshot) -> str:
    """Make a table of everything in the stream, in its order."""
    rows = [["OFFSET", "BYTES", "TYPE", "ID", "NAME", "VERSION"]]
    for record in snapshot.records:
        row = [f"{record.offset:#x}", f"{record.end - record.offset:,}", _record_type(record)]
        if isinstance(record, Section):
            name = printable(f"{record.idstr}#{record.instance_id}")
            row += [str(record.section_id), name, str(record.version_id)]
        elif isinstance(record, Command):
            row += [str(record.code)]
        rows.append(row)
    return "\n".join(table(rows, [">", ">", "<", ">", "<", ">"]))


def device_as_text(decoded: DecodedDevice) -> str:
    """Make a tree of all fields of a device, and say what could not be decoded."""
    values = decoded.values
    place = f"{count_text(values.size, 'byte')} at {values.offset:#x}"
    problems = [
        f"  ! {printable(problem.path)}: {printable(problem.message)} (at {problem.offset:#x})"
        for problem in decoded.problems
    ]
    return "\n".join([f"{printable(decoded.label)}: {place}", *tree_lines(values, 1), *problems])


def _end(snapshot: Snapshot) -> int:
    return snapshot.records[-1].end


def _trailing_bytes(snapshot: Snapshot) -> int:
    return snapshot.trailing.end - snapshot.trailing.offset if snapshot.trailing else 0


def _ram_json(snapshot: Snapshot, *, runs: bool) -> dict[str, Any]:
    index = snapshot.ram
    stored = sum(index.counts(block.name).stored for block in index.blocks)
    blocks = []
    for block in index.blocks:
        counts = index.counts(block.name)
        entry: dict[str, Any] = {
            "name": block.name,
            "size": block.size,
            "pages": {
                "total": counts.total,
                "stored": counts.stored,
                "zero": counts.zero,
                "absent": counts.absent,
                "repeated": counts.repeated,
            },
        }
        if runs:
            entry["runs"] = list(_runs_json(snapshot, block.name))
        blocks.append(entry)
    return {
        "page_size": index.page_size,
        "bytes_stored": stored * index.page_size,
        "blocks": blocks,
    }


def _runs_json(snapshot: Snapshot, block: str) -> Iterator[dict[str, Any]]:
    page_size = snapshot.ram.page_size
    for run in snapshot.ram.iter_runs(block):
        entry: dict[str, Any] = {
            "kind": run.kind.value,
            "address": run.first_page * page_size,
            "size": run.page_count * page_size,
        }
        if run.kind is PageKind.STORED:
            entry |= {"offset": run.data_offset, "stride": run.data_stride}
        yield entry


def _device_json(device: Device, decoded: Mapping[str, DecodedDevice]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": device.name,
        "instance_id": device.instance_id,
        "version_id": device.version_id,
        "section_id": device.section_id,
        "offset": device.offset,
        "size": device.size,
    }
    if device.label in decoded:
        entry["fields"] = decoded[device.label].values.to_plain()
    return entry


def _record_json(record: Record) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": _record_type(record),
        "offset": record.offset,
        "size": record.end - record.offset,
    }
    if isinstance(record, Section):
        entry |= {
            "name": record.idstr,
            "instance_id": record.instance_id,
            "version_id": record.version_id,
            "section_id": record.section_id,
        }
    elif isinstance(record, Command):
        entry["code"] = record.code
    return entry


def _record_type(record: Record) -> str:
    return record.kind.name.lower() if isinstance(record, Section) else RECORD_TYPES[type(record)]


def _facts(snapshot: Snapshot) -> Iterator[list[str]]:
    configuration = snapshot.configuration
    if snapshot.manifest is not None:
        yield from _manifest_facts(snapshot.manifest)
    yield ["machine", printable(snapshot.machine or "not stated")]
    yield ["kind", f"{snapshot.kind}: {KIND_WORDS[snapshot.kind]}"]
    if configuration and configuration.uuid:
        yield ["uuid", configuration.uuid]
    if configuration and configuration.capabilities:
        yield ["needs", printable(", ".join(configuration.capabilities))]
    yield ["description", "yes" if snapshot.description else "none: fields cannot be decoded"]
    yield ["footers", "yes" if snapshot.footers else "none"]
    if snapshot.trailing:
        yield ["trailing", count_text(_trailing_bytes(snapshot), "byte")]


def _manifest_facts(manifest: Manifest) -> Iterator[list[str]]:
    yield ["taken", f"{manifest.created.astimezone():%Y-%m-%d %H:%M:%S %z}"]
    if manifest.vm_name:
        yield ["VM", printable(manifest.vm_name)]
    yield ["QEMU", printable(manifest.qemu.version)]
    if manifest.downtime:
        yield ["pause", seconds_text(manifest.downtime.total_seconds)]
    for disk in manifest.disks:
        yield ["disk", printable(f"{disk.node}: {disk.frozen.path}")]


def _ram_lines(snapshot: Snapshot) -> Iterator[str]:
    index = snapshot.ram
    if not index.blocks:
        yield "Memory: none"
        return
    total = sum(block.size for block in index.blocks)
    counts = [index.counts(block.name) for block in index.blocks]
    stored = sum(count.stored for count in counts) * index.page_size
    page_size = size_text(index.page_size)
    yield f"Memory: {size_text(total)}, {size_text(stored)} of it stored, in pages of {page_size}"
    yield ""
    repeated = any(count.repeated for count in counts)
    heading = ["BLOCK", "SIZE", "STORED", "ZERO", "ABSENT", *(["REPEATED"] if repeated else [])]
    rows = [heading]
    for block, count in zip(index.blocks, counts, strict=True):
        numbers = [count.stored, count.zero, count.absent, count.repeated]
        shown = [f"{number:,}" for number in numbers[: len(heading) - 2]]
        rows.append([printable(block.name), size_text(block.size), *shown])
    yield from table(rows, ["<", ">", ">", ">", ">", ">"], indent=2)


def _run_lines(snapshot: Snapshot) -> Iterator[str]:
    page_size = snapshot.ram.page_size
    for block in snapshot.ram.blocks:
        rows = [["ADDRESS", "PAGES", "", "AT"]]
        for run in snapshot.ram.iter_runs(block.name):
            place = f"{run.data_offset:#x}" if run.kind is PageKind.STORED else ""
            address = f"{run.first_page * page_size:#x}"
            rows.append([address, f"{run.page_count:,}", run.kind.value, place])
        yield ""
        yield f"Pages of {printable(block.name)}"
        yield ""
        yield from table(rows, [">", ">", "<", ">"], indent=2)


def _handler_lines(snapshot: Snapshot) -> Iterator[str]:
    rows = [row for state in snapshot.handlers for row in handler_lines(state)]
    if rows:
        yield from ["", "State that has no named fields", ""]
        yield from table(rows, ["<", "<"], indent=2)


def _device_lines(snapshot: Snapshot) -> list[str]:
    names = Counter(device.name for device in snapshot.devices)
    rows = [["DEVICE", "VERSION", "ID", "BYTES", "AT"]]
    for device in snapshot.devices:
        note = "  ! not followed" if device.problem else ""
        numbers = [str(device.version_id), str(device.section_id), f"{device.size:,}"]
        alone = names[device.name] == 1 and not device.instance_id
        name = device.name if alone else device.label
        rows.append([printable(name), *numbers, f"{device.offset:#x}{note}"])
    return table(rows, ["<", ">", ">", ">", ">"], indent=2)

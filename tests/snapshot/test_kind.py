from builders.stream import RAM_SECTION_ID
from vmstate_tools.snapshot.kind import Kind, find_kind
from vmstate_tools.stream.records import Command, CommandCode, Record, Section, SectionKind


def ram(kind: SectionKind, payload_bytes: int = 8) -> Section:
    return Section(
        kind=kind,
        offset=0,
        section_id=RAM_SECTION_ID,
        idstr="ram",
        instance_id=0,
        version_id=4,
        payload_offset=5,
        payload_end=5 + payload_bytes,
        end=10 + payload_bytes,
    )


def device() -> Section:
    return Section(
        kind=SectionKind.FULL,
        offset=0,
        section_id=1,
        idstr="timer",
        instance_id=0,
        version_id=2,
        payload_offset=5,
        payload_end=29,
        end=34,
    )


def command(code: int) -> Command:
    return Command(offset=0, end=5, code=code, payload_offset=5, payload_end=5)


BEGINNING: list[Record] = [ram(SectionKind.START), ram(SectionKind.PART, 10_000)]


def kind_of(*records: Record, capabilities: tuple[str, ...] = (), repeated: bool = False) -> Kind:
    return find_kind(capabilities, records, pages_repeated=repeated)


def test_memory_without_end_is_a_background_snapshot() -> None:
    assert kind_of(*BEGINNING, device()) is Kind.BACKGROUND_SNAPSHOT


def test_pages_in_the_last_section_of_memory_are_a_precopy() -> None:
    assert kind_of(*BEGINNING, ram(SectionKind.END, 9000), device()) is Kind.PRECOPY


def test_pages_that_were_sent_twice_are_a_precopy() -> None:
    assert kind_of(*BEGINNING, ram(SectionKind.END), repeated=True) is Kind.PRECOPY


def test_a_return_path_is_a_precopy() -> None:
    return_path = command(CommandCode.OPEN_RETURN_PATH)
    assert kind_of(return_path, *BEGINNING, ram(SectionKind.END)) is Kind.PRECOPY


def test_memory_that_was_sent_once_and_ended_is_like_savevm() -> None:
    switchover = command(CommandCode.SWITCHOVER_START)
    assert kind_of(*BEGINNING, switchover, ram(SectionKind.END)) is Kind.SAVEVM_LIKE
    assert kind_of(*BEGINNING, ram(SectionKind.END, 16)) is Kind.SAVEVM_LIKE


def test_a_package_is_a_postcopy() -> None:
    assert kind_of(*BEGINNING, command(CommandCode.PACKAGED)) is Kind.POSTCOPY


def test_the_capability_tells_of_mapped_ram() -> None:
    assert kind_of(*BEGINNING, capabilities=("mapped-ram",)) is Kind.MAPPED_RAM


def test_devices_alone_are_device_only() -> None:
    assert kind_of(device()) is Kind.DEVICE_ONLY

"""Run all benchmarks, or those that are named on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks import downtime, index, inspecting, throughput
from benchmarks.effort import FULL, QUICK
from benchmarks.figures import as_json, as_text, missed_goals, without_goals
from benchmarks.guests import find_qemus
from benchmarks.machine import machine_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from benchmarks.effort import Effort
    from benchmarks.figures import Case

BENCHMARKS: dict[str, Callable[[Effort], Iterator[Case]]] = {
    "inspect": inspecting.measure,
    "index": index.measure,
    "downtime": downtime.measure,
    "throughput": throughput.measure,
}


def main() -> None:
    """Measure and print."""
    options = _parse()
    effort = replace(QUICK if options.quick else FULL, patience_seconds=options.patience)
    if options.rounds:
        effort = replace(effort, rounds=options.rounds, command_rounds=options.rounds)
    facts = machine_facts(find_qemus(effort))
    out = sys.stderr if options.json else sys.stdout
    print(*(f"{name}: {fact}" for name, fact in facts.items()), sep="\n", file=out)
    measured = {name: _measure(name, effort, out) for name in options.names or BENCHMARKS}
    missed = [line for cases in measured.values() for case in cases for line in missed_goals(case)]
    print(f"\ngoals missed: {len(missed)}", *missed, sep="\n  ", file=out)
    if options.json:
        found = {name: [as_json(case) for case in cases] for name, cases in measured.items()}
        print(json.dumps({"machine": facts, "benchmarks": found}, indent=1))


def _measure(name: str, effort: Effort, out: TextIO) -> list[Case]:
    """Run a benchmark, showing each case as soon as it is there."""
    print(f"\n== {name}", file=out)
    cases = []
    for found in BENCHMARKS[name](effort):
        case = found if effort.judged else without_goals(found)
        print(f"\n{as_text(case)}", file=out, flush=True)
        cases.append(case)
    return cases


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each way")
    parser.add_argument(
        "--patience",
        type=float,
        default=0,
        metavar="S",
        help="seconds that each turn waits for other programs to leave the machine alone",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()

"""Search for some time; what is found is written into a folder, and the program fails.

    PYTHONPATH=tests python -m scripts.fuzz [OPTION...] [FILE...]

With files, those alone are run: to see a finding again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

from scripts.fuzz.seeds import MAX_STREAM_BYTES, iter_seeds

with atheris.instrument_imports(include=["vmstate_tools"]):
    from scripts.fuzz.target import examine


def main() -> None:
    """Run libFuzzer, which ends the process."""
    parser = argparse.ArgumentParser(prog="python -m scripts.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long to search")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("build/fuzz"),
        help="where the corpus grows, and findings are kept",
    )
    parser.add_argument(
        "--max-bytes",
        type=int,
        default=MAX_STREAM_BYTES,
        help="of an input: with 8192, no real stream is left, but many more are tried",
    )
    parser.add_argument("files", type=Path, nargs="*", help="inputs to run instead of searching")
    options = parser.parse_args()
    folder: Path = options.folder
    words = [f"-artifact_prefix={folder}/", f"-max_len={options.max_bytes}"]
    if options.files:
        words += map(str, options.files)
    else:
        words += [
            f"-max_total_time={options.seconds}",
            str(_make_corpus(folder, options.max_bytes)),
        ]
    atheris.Setup([sys.argv[0], *words], examine)
    atheris.Fuzz()


def _make_corpus(folder: Path, max_bytes: int) -> Path:
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in iter_seeds():
        if len(data) <= max_bytes:
            (corpus / name).write_bytes(data)
    return corpus


if __name__ == "__main__":
    main()

"""Damage the file of a run in many ways, and see that it is refused each time.

    python benchmarks/fuzz_run_files.py                    # 10,000 files, about a minute
    python benchmarks/fuzz_run_files.py RUN_FILE -n 1000   # of a run of yours

Prints a line for each kind of damage: how many files were made, how many of them were
refused, how many were read with the same content (the damage undid itself, or changed
nothing that counts), and what must be zero: read with other content, and any error but
the one of a file that is no run. Exits with 1 if one of these is not zero.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

from lstmcli.store.run_file import RunFileError, from_bytes, to_bytes

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from mutations import MUTATIONS, small_run_file

OUTCOMES = ("refused", "same content", "other content", "crashed")


def outcome(damaged: bytes, whole: bytes) -> str:
    """Return what became of a damaged file."""
    try:
        found = from_bytes(damaged)
    except RunFileError:
        return "refused"
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return "crashed"
    return "same content" if to_bytes(found) == whole else "other content"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, help="what lstm runs export has written")
    parser.add_argument("-n", "--files", type=int, default=10_000)
    asked = parser.parse_args()
    whole = asked.file.read_bytes() if asked.file else to_bytes(small_run_file())
    assert to_bytes(from_bytes(whole)) == whole
    counts = {kind: Counter() for kind in MUTATIONS}
    slowest, kinds = 0.0, list(MUTATIONS)
    for seed in range(asked.files):
        kind = kinds[seed % len(kinds)]
        damaged = MUTATIONS[kind](whole, random.Random(seed))
        started = time.perf_counter()
        counts[kind][outcome(damaged, whole)] += 1
        slowest = max(slowest, time.perf_counter() - started)
    print(f"{'damage':<16}{'files':>7}" + "".join(f"{name:>15}" for name in OUTCOMES))
    total: Counter = sum(counts.values(), Counter())
    for kind, count in (*counts.items(), ("all", total)):
        cells = "".join(f"{count[name]:>15,}" for name in OUTCOMES)
        print(f"{kind:<16}{count.total():>7,}{cells}")
    print(f"\n{len(whole):,} bytes; the slowest took {1000 * slowest:.1f} ms")
    return int(bool(total["other content"] or total["crashed"]))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m collectors [NAME …]`: what the collectors read here and now, as a table. `python -m collectors gpu`."""

from __future__ import annotations

import sys

from collectors import COLLECTORS, Collector, Host, Unavailable, build


def main(arguments: list[str]) -> int:
    """Prints a line a reading. 1: a collector asked for by name has nothing to read; 2: there is none of that name."""
    try:
        collectors = build(arguments or COLLECTORS, Host())
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    silent = [collector.name for collector in collectors if not table(collector)]
    return int(bool(arguments and silent))


def table(collector: Collector) -> bool:
    """Prints one collector's readings; False where it has none."""
    sys.stdout.write(f"{collector.name}\n")
    try:
        readings = list(collector.collect())
    except Unavailable as reason:
        sys.stdout.write(f"  unavailable: {reason}\n")
        return False
    for reading in readings:
        labels = " ".join(f"{key}={value}" for key, value in reading.attributes.items())
        sys.stdout.write(f"  {reading.name:<40} {reading.value:>20,.6g} {reading.unit:<10} {labels}\n")
    return bool(readings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

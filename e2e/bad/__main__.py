"""Put the whole catalogue of bad input to everything that reads it: `python -m e2e.bad [--surface NAME]`.

One JSON line a surface: how many cases, how many were refused and accepted, what was wrong, and the slowest. A case is
wrong if it raises, takes more than two seconds of CPU, or eight by the clock, is accepted or refused and should not be,
or is refused in words that are not fit to be shown. Exit code 1 if any was wrong.
"""

import argparse
import json
import logging
import sys

from e2e.bad.catalogue import SURFACES, run


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surface", choices=sorted(SURFACES))
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    total = 0
    wrong = 0
    for name, cases in SURFACES.items():
        if chosen.surface not in (None, name):
            continue
        found = run(cases())
        total += found.cases
        wrong += len(found.wrong)
        seconds, slowest = found.slowest
        line = {"surface": name, "cases": found.cases, "refused": found.refused, "accepted": found.accepted}
        print(json.dumps({**line, "slowest_ms": round(1000 * seconds, 1), "slowest": slowest, "wrong": found.wrong}))
    print(json.dumps({"surface": "all", "cases": total, "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Record the clusters of tests/readiness/records anew: `python -m e2e.readiness [--only NAME]`.

The control planes of 1.35 and 1.37 are built as for the tests. Of other versions a folder with kube-apiserver and etcd
is named: `--binaries v1.34=FOLDER`; without it their clusters are left out, which is said.
"""

import argparse
import sys
from pathlib import Path

from e2e.cluster import scratch
from e2e.gobuild import ROOT
from e2e.readiness.clusters import CLUSTERS
from e2e.readiness.recording import BUILT, recorded
from scheduler.readiness.assessment import assess
from scheduler.readiness.record import from_files, written
from scheduler.readiness.report import as_table

RECORDS = ROOT / "tests" / "readiness" / "records"


def main() -> int:
    """Record and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[each.name for each in CLUSTERS])
    parser.add_argument("--binaries", action="append", default=[], metavar="VERSION=FOLDER")
    parser.add_argument("--out", type=Path, default=RECORDS)
    parser.add_argument("--goldens", action="store_true", help="only write what is said of the records that are there")
    chosen = parser.parse_args()
    if chosen.goldens:
        return _goldens(chosen.out)
    folders = {version: Path(folder) for version, _, folder in (each.partition("=") for each in chosen.binaries)}
    for cluster in CLUSTERS:
        if chosen.only not in (None, cluster.name):
            continue
        if cluster.version not in folders and cluster.version not in BUILT:
            print(f"{cluster.name}: left out; name a folder: --binaries {cluster.version}=FOLDER", file=sys.stderr)
            continue
        with scratch("dovetail-readiness-") as folder:
            document = recorded(cluster, folder, folders.get(cluster.version))
        (chosen.out / f"{cluster.name}.json").write_text(written(document), encoding="utf-8")
        print(f"{cluster.name}: {document.version}, {len(document.items)} objects", file=sys.stderr)
    return 0


def _goldens(records: Path) -> int:
    """Write the report of each record beside them; read them before they are believed."""
    for path in sorted(records.glob("*.json")):
        record, problems = from_files([str(path)])
        if problems:
            print(problems[0], file=sys.stderr)
            return 1
        (records.parent / "golden" / f"{path.stem}.txt").write_text(as_table(assess(record)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""kube-scheduler's own filter plugins, as a process: go/main.go says what it is asked and what it answers.

`python -m e2e.oracle.plain.upstream` builds it and prints where it is.
"""

from pathlib import Path
from typing import Final

from e2e import gobuild

MODULE: Final = Path(__file__).resolve().parent / "go"
# What a pod needs of a node's declared features depends on the version that the scheduler says it has.
_VERSION: Final = "-X k8s.io/component-base/version.gitVersion=v1.37.2"
FLAGS: Final = ("-trimpath", "-ldflags", f"-s -w {_VERSION}")


def program() -> Path:
    """The oracle, built if it is not there. Raises gobuild.GoError."""
    without_go = "put go on PATH; `make test` needs no oracle, it replays answers that are kept"
    return gobuild.built("oracle-plain", MODULE, {"oracle": "."}, FLAGS, without_go) / "oracle"


if __name__ == "__main__":
    print(program())

"""Which commands of README are run on real nodes."""

import pytest

from e2e.gobuild import ROOT
from e2e.node.conftest import documented_commands


def test_the_path_of_readme_installs_places_and_shows():
    verbs = [line.split()[1] for line in documented_commands((ROOT / "README.md").read_text())]

    assert verbs == ["apply", "-n", "apply", "wait", "logs"]


def test_what_needs_an_engine_and_what_is_a_comment_is_left_out():
    text = """\
### From an empty cluster to a placed pod

```console
$ kind create cluster
$ kubectl apply -k there  # a comment
prints this
```
"""

    assert documented_commands(text) == ["kubectl apply -k there"]


def test_a_readme_without_the_path_is_a_fault():
    with pytest.raises(AssertionError, match="no section"):
        documented_commands("# Dovetail\n")

"""What the READMEs of the examples state is what a simulation comes to, without a cluster."""

import json
import shutil

import pytest

from e2e.examples import FOLDER, examples
from e2e.kustomize import built
from scheduler.simulator.command import simulate

EXAMPLES = examples()


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here; e2e builds one")
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_simulation_places_pods_as_the_readme_says(example, tmp_path, capsys):
    path = tmp_path / "example.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": built(FOLDER / example.folder)}))

    code = simulate([path], "json", first_fit=False, fleet=example.words)

    assert example.found(json.loads(capsys.readouterr().out)["items"]) == example.stated
    assert code == (1 if example.waiting else 0)

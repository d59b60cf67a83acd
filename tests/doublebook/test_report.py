"""The whole output of some snapshots, and what the command makes of files."""

import json

import pytest

from scheduler.doublebook.command import doublebook
from tests.doublebook.build import claim, device, result, slice_of
from tests.doublebook.snapshots import GOLDEN, SNAPSHOTS, said


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_the_whole_output_is_the_one_that_was_reviewed(name):
    table, body = said(name)

    assert table == (GOLDEN / f"{name}.txt").read_text()
    assert body == (GOLDEN / f"{name}.json").read_text()


@pytest.mark.parametrize("name", SNAPSHOTS)
@pytest.mark.parametrize("form", ["list", "documents", "lines"])
def test_a_file_of_objects_says_the_same_in_every_form(name, form, tmp_path, capsys):
    objects = SNAPSHOTS[name]
    text = {
        "list": lambda: json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=1),
        "documents": lambda: "".join(f"---\n{json.dumps(each)}\n" for each in objects),
        "lines": lambda: "\n".join(json.dumps(each) for each in objects),
    }[form]()
    (tmp_path / "cluster.yaml").write_text(text)
    wanted = json.loads((GOLDEN / f"{name}.json").read_text())

    code = doublebook([str(tmp_path / "cluster.yaml")], "json")

    found = json.loads(capsys.readouterr().out)
    assert found["findings"] == wanted["findings"]
    assert code == (1 if wanted["findings"] else 0)


def test_many_holders_are_cut_in_a_table_and_whole_in_json(tmp_path, capsys):
    objects = [slice_of(device("gpu-0")), *(claim(f"c{number:02}", result("gpu-0")) for number in range(20))]
    (tmp_path / "cluster.json").write_text("\n".join(json.dumps(each) for each in objects))

    doublebook([str(tmp_path)], "table")
    assert "    - and 12 more\n" in capsys.readouterr().out
    doublebook([str(tmp_path)], "json")
    assert len(json.loads(capsys.readouterr().out)["findings"][0]["holders"]) == 20


def test_what_a_cluster_did_not_list_is_an_error_beside_what_was_found(capsys):
    objects = SNAPSHOTS["two-schedulers"]

    assert doublebook((), "table", objects, [("Pod", "HTTP 403")]) == 2

    said_now = capsys.readouterr()
    assert "DB001" in said_now.out
    assert "note: not known in whole: Pod; device plugins and node resources are not judged" in said_now.out
    assert said_now.err == "cluster, Pod: HTTP 403\n"


def test_a_slice_that_cannot_be_read_makes_nothing_gone(capsys):
    broken = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"}, "spec": {}}

    assert doublebook((), "table", [broken, claim("a", result("gpu-0"))]) == 2

    told = capsys.readouterr()
    assert "DB00" not in told.out
    assert (
        "note: not all ResourceSlices are known: counters, capacity and what is still published are not judged"
        in told.out
    )
    assert told.err == "cluster: ResourceSlice s: spec.pool: is missing\n"

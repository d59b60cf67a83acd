"""What cannot be planned with: an error that names file and line, exit 2, soon. `bad_inputs.json` holds the words."""

import json
import os
import time
from pathlib import Path

import pytest

from scheduler.sharing import command
from scheduler.simulator.fleet import fleet

HERE = Path(__file__).parent
GOOD = "models:\n- {name: a, memory: 1Gi, compute: 10%}\n"


def model(**fields):
    entry = {"name": "a", "memory": "1Gi", "compute": "10%", **fields}
    return "models:\n- " + "\n  ".join(f"{key}: {value}" for key, value in entry.items() if value is not None) + "\n"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MODELS = {
    "an empty file": "",
    "only comments": "# nothing\n",
    "a text": "hello\n",
    "a list": "- {name: a, memory: 1Gi, compute: 10%}\n",
    "another document": GOOD + "---\n" + GOOD,
    "no models": "models: []\n",
    "models that are null": "models:\n",
    "models that are a mapping": "models: {name: a}\n",
    "a model that is a text": "models:\n- a\n",
    "an unknown key at the top": GOOD + "fleet: x\n",
    "an unknown key": model(gpu="1"),
    "a misspelled key": model(memroy="1Gi", memory=None),
    "an unclosed bracket": "models: [\n- a\n",
    "a tab": "models:\n\t- name: a\n",
    "a duplicate key": "models:\n- name: a\n  name: b\n",
    "an alias bomb": BOMB,
    "brackets without end": "[" * 200_000,
    "a tag of Python": "models: !!python/object/apply:os.system [ls]\n",
    "a control character": "models: \x01\n",
    "a name in capitals": model(name="Llama"),
    "an empty name": model(name='""'),
    "a long name": model(name="a" * 51),
    "a namespace with a slash": model(namespace="a/b"),
    "a number for a name": model(name="7"),
    "the same model twice": GOOD + "- {name: a, memory: 2Gi, compute: 5%}\n",
    "no memory": model(memory=None),
    "negative memory": model(memory="-1Gi"),
    "no memory at all": model(memory="0"),
    "memory that is a number": model(memory="7"),
    "memory that is NaN": model(memory=".nan"),
    "memory with a wrong unit": model(memory="6GB"),
    "a fraction of a byte": model(memory='"100m"'),
    "memory beyond all GPUs": model(memory="2000Pi"),
    "no compute": model(compute=None),
    "compute without a unit": model(compute="15"),
    "negative compute": model(compute="-5%"),
    "compute of nothing": model(compute="0%"),
    "compute of more than a GPU": model(compute="101%"),
    "compute too exact": model(compute="1.25%"),
    "infinite compute": model(compute=".inf"),
    "eight slices": model(compute="8g"),
    "zero replicas": model(replicas=0),
    "negative replicas": model(replicas=-1),
    "half a replica": model(replicas=1.5),
    "a huge count": model(replicas=10**12),
    "a count without end": model(replicas="9" * 400),
    "replicas in sexagesimals": model(replicas="1:30"),
    "a truth value for replicas": model(replicas="true"),
    "too many replicas in all": GOOD + "".join(
        f"- {{name: b{n}, memory: 1Gi, compute: 1%, replicas: 9000}}\n" for n in range(2)
    ),
    "too many models": "models:\n" + "".join(f"- {{name: b{n}, memory: 1Gi, compute: 1%}}\n" for n in range(5001)),
    "unknown isolation": model(isolation="strong"),
    "unknown spread": model(spread="rack"),
    "products that are a text": model(products="H100"),
    "no products": model(products="[]"),
    "an empty product": model(products='[""]'),
    "null bytes": b"models:\n- \0\n",
    "no UTF-8": b"models:\n- name: \xff\xfe\n",
}  # fmt: skip
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}


def slice_of(**spec):
    pool = {"name": "n", "generation": 1, "resourceSliceCount": 1}
    body = {"driver": "gpu.nvidia.com", "nodeName": "n", "pool": pool, "devices": [], **spec}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"}, "spec": body}


def gpus(**changes):
    return [{"name": "gpu-0", "attributes": {}, "capacity": {"memory": {"value": "80Gi"}}, **changes}]


FLEETS = {
    "no object": "",
    "no node": [slice_of(devices=gpus())],
    "no slice": [NODE],
    "no devices": [NODE, slice_of()],
    "a device without memory": [NODE, slice_of(devices=gpus(capacity={}))],
    "memory of nothing": [NODE, slice_of(devices=gpus(capacity={"memory": {"value": "0"}}))],
    "memory that is no quantity": [NODE, slice_of(devices=gpus(capacity={"memory": {"value": "80GB"}}))],
    "a cordoned fleet": [{**NODE, "spec": {"unschedulable": True}}, slice_of(devices=gpus())],
    "tainted devices": [NODE, slice_of(devices=gpus(taints=[{"key": "gpu-lost", "effect": "NoSchedule"}]))],
    "an incomplete pool": [
        NODE, slice_of(devices=gpus(), pool={"name": "n", "generation": 1, "resourceSliceCount": 2}),
    ],
    "devices of several nodes": [NODE, slice_of(devices=gpus(), nodeName=None, allNodes=True)],
    "an old version": "apiVersion: resource.k8s.io/v1beta1\nkind: ResourceSlice\nmetadata: {name: s}\n",
    "broken YAML": "apiVersion: v1\nkind: [\n",
    "a text": "hello\n",
}  # fmt: skip


def refused(tmp_path, capsys, models, fleet_text, *more):
    for name, content in (("models.yaml", models), ("fleet.yaml", fleet_text)):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
    os.chdir(tmp_path)
    begun = time.process_time()
    code = command.share(Path("models.yaml"), [Path("fleet.yaml")], "json", None)
    took = time.process_time() - begun
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert took < 2
    return said.err


@pytest.fixture
def words(monkeypatch):
    monkeypatch.chdir(HERE)
    return json.loads((HERE / "bad_inputs.json").read_text())


def text_of(objects):
    return objects if isinstance(objects, str) else json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


@pytest.mark.parametrize("name", MODELS)
def test_models_that_are_refused(name, words, tmp_path, capsys):
    said = refused(tmp_path, capsys, MODELS[name], text_of(fleet({"plain-1": 1})))

    assert said == words["models"][name]
    assert said.startswith("models.yaml")


@pytest.mark.parametrize("name", FLEETS)
def test_fleets_that_are_refused(name, words, tmp_path, capsys):
    said = refused(tmp_path, capsys, GOOD, text_of(FLEETS[name]))

    assert said == words["fleets"][name]
    assert said.startswith("fleet.yaml")


def test_files_that_are_not_there(tmp_path, capsys):
    assert command.share(tmp_path / "no.yaml", [tmp_path / "no.yaml"], "json", None) == 2
    assert "no.yaml: cannot be read (No such file or directory)" in capsys.readouterr().err
    assert command.share(tmp_path, [tmp_path], "json", None) == 2
    assert "cannot be read (Is a directory)" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["a file", "a full folder", "a link"])
def test_folders_that_are_not_written_to(kind, tmp_path, capsys):
    (tmp_path / "models.yaml").write_text(GOOD)
    (tmp_path / "fleet.yaml").write_text(text_of(fleet({"plain-1": 1})))
    out = tmp_path / "out"
    if kind == "a file":
        out.write_text("mine")
    elif kind == "a link":
        out.symlink_to(tmp_path / "elsewhere")
    else:
        out.mkdir()
        (out / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))

    code = command.share(tmp_path / "models.yaml", [tmp_path / "fleet.yaml"], "table", out)

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert "is not empty" in said.err or "is no folder" in said.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_format_that_is_none(tmp_path, capsys):
    assert command.share(tmp_path / "a", [tmp_path / "b"], "xml", None) == 2
    assert capsys.readouterr().err == "--format xml: is none of table, json, yaml\n"

"""What files may hold, and what is refused with the place where it stands."""

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.errors import InputError
from scheduler.simulator import objects
from scheduler.simulator.objects import Found, parse, read

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"


def found(text, name="f.yaml"):
    return [each.raw for each in parse(name, text).found]


def test_documents_lists_and_json_are_all_read():
    text = f"""\
{POD}---
---
# nothing here
---
apiVersion: v1
kind: List
items:
- {{apiVersion: v1, kind: Node, metadata: {{name: n}}}}
- {{apiVersion: v1, kind: List, items: [{{apiVersion: v1, kind: Pod, metadata: {{name: b, namespace: x}}}}]}}
---
{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "c"}}}}
"""

    assert [each.key for each in parse("f.yaml", text).found] == ["default/a", "n", "x/b", "default/c"]


def test_items_of_a_typed_list_have_its_kind():
    text = json.dumps({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}]})

    (pod,) = found(text)

    assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")


def test_several_json_documents_follow_each_other():
    one = json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    two = json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "m"}}, indent="\t")

    assert [each.key for each in parse("f.json", f"{one}\n{two}\n").found] == ["n", "m"]


def test_kinds_without_use_are_counted():
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\napiVersion: x/v1\nkind: Widget\n---\n" + POD

    objects = parse("f.yaml", text)

    assert dict(objects.skipped) == {"Service": 1, "Widget": 1}
    assert len(objects.found) == 1


def test_times_stay_text_and_keys_become_text():
    (pod,) = found(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: 2026-01-01T00:00:00Z, labels: {1: x}}\n"
    )

    assert pod["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert pod["metadata"]["labels"] == {"1": "x"}


def test_aliases_are_values_like_any_other():
    (pod,) = found("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {x: &a [1], y: *a}\n")

    assert pod["spec"] == {"x": [1], "y": [1]}
    assert pod["spec"]["x"] is not pod["spec"]["y"]


def test_a_generated_name_depends_on_the_content_alone():
    text = "apiVersion: v1\nkind: Pod\nmetadata: {generateName: run-}\nspec: {a: %d}\n"

    (one,), (again,), (other,) = found(text % 1), found(text % 1), found(text % 2)

    assert one["metadata"]["name"].startswith("run-")
    assert one["metadata"]["name"] == again["metadata"]["name"] != other["metadata"]["name"]


def test_the_same_object_twice_is_one_and_two_versions_of_it_are_a_mistake():
    other = POD + "spec: {nodeName: n}\n"

    assert len(found(f"{POD}---\n{POD}")) == 1
    with pytest.raises(InputError, match=r"document 2 .*Pod default/a differs from the one at f.yaml, document 1"):
        found(f"{POD}---\n{other}")


def test_two_objects_with_one_uid_are_a_mistake():
    text = POD.replace("name: a", "name: a, uid: u") + "---\n" + POD.replace("name: a", "name: b, uid: u")

    with pytest.raises(InputError, match="uid: u belongs to Pod default/a"):
        found(text)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
DRA = "kind: ResourceClaim\nmetadata: {name: c}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1, 2\nb: 3\n", "f.yaml, line 2: is not YAML"),
        ("kind: Pod\n\tname: x\n", "f.yaml, line 2: is not YAML"),
        ("a:\n\t- b\n", "indent with spaces"),
        ("a: 1\nb: 2\na: 3\n", 'line 3: is not YAML (found duplicate key "a"'),
        (f"{POD}---\nkind: [\n", "line 6"),
        ('{"a": 1, "a": 2}', "document 1 (line 1): key 'a' appears twice"),
        (f"{POD}spec: &s [*s]\n", "an alias holds itself"),
        (f"{POD}{BOMB}", "aliases are written out"),
        (POD + "spec: " + "[" * 200 + "]" * 200, "nested more than 100 levels"),
        (POD + "spec: " + "[" * 5000, "nested more than 100 levels"),
        ("[" * 50000, "nested more than 100 levels"),
        (f"{POD}spec: {{x: [0, .nan]}}\n", "document 1 (line 1): spec.x[1]: nan is not a number in JSON"),
        (f"{POD}spec: {{x: -.inf}}\n", "spec.x: -inf is not a number in JSON"),
        ('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": NaN}', "spec: nan is not a number"),
        (f"{POD}spec: {{x: !!binary aGk=}}\n", "spec.x: a value of type bytes is not JSON"),
        (f"{POD}spec: {{x: !!set {{a, b}}}}\n", "spec.x: a value of type set"),
        (f"{POD}spec: {{x: !!python/object:os.system y}}\n", "could not determine a constructor"),
        ("just words\n", "is a text, not a Kubernetes object"),
        ("- a\n- b\n", "is a list, not a Kubernetes object"),
        ("42\n", "is a number, not a Kubernetes object"),
        ("kind: Pod\nmetadata: {name: a}\n", "apiVersion: is missing"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "kind: is missing"),
        ("apiVersion: v1\nkind: Pod\n", "Pod: metadata.name: is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: [a]\n", "Pod: metadata: is not an object"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: 7}\n", "Pod: metadata.name: is not a text"),
        ("apiVersion: v1\nkind: List\nitems: {a: 1}\n", "items: is not a list"),
        ("apiVersion: v1\nkind: List\nitems: [7]\n", "document 1 (line 1), items[0]: is a number"),
        (f"apiVersion: resource.k8s.io/v1beta2\n{DRA}", "change apiVersion to resource.k8s.io/v1"),
        (f"apiVersion: resource.k8s.io/v1beta1\n{DRA}", "under `exactly`"),
        (f"apiVersion: resource.k8s.io/v1alpha3\n{DRA}", "ResourceClaim c: apiVersion resource.k8s.io/v1alpha3"),
        ("\x00", "is not YAML"),
    ],
    ids=lambda value: value[:40],
)
def test_bad_text_is_refused_with_its_place(text, words):
    with pytest.raises(InputError) as caught:
        found(text)

    assert words in str(caught.value)
    assert str(caught.value).startswith("f.yaml")


def test_an_endless_document_is_refused_before_it_is_written_out(monkeypatch):
    monkeypatch.setattr(objects, "MAX_PARTS", 1000)

    with pytest.raises(InputError, match="more than 1000 values"):
        found(f"{POD}spec: {list(range(2000))}\n")


def test_files_that_cannot_be_read_are_named(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"kind: Pod\nname: \xe9\n")

    with pytest.raises(InputError, match=r"nowhere.yaml: cannot be read"):
        read([tmp_path / "nowhere.yaml"])
    with pytest.raises(InputError, match=r"latin.yaml, line 2: is not UTF-8"):
        read([latin])
    with pytest.raises(InputError, match="cannot be read"):
        read([tmp_path])


def test_a_minus_is_standard_input(monkeypatch):
    import io
    import sys

    class Stream:
        buffer = io.BytesIO(POD.encode())

    monkeypatch.setattr(sys, "stdin", Stream)

    assert [each.where for each in read([Path("-")]).found] == ["standard input, document 1 (line 1)"]


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: raw.decode("latin-1")))
def test_nothing_but_an_input_error_comes_of_any_text(text):
    refusal = None
    try:
        parsed = parse("f.yaml", text)
    except InputError as error:
        refusal = str(error)

    assert refusal is None or refusal.startswith("f.yaml")
    assert refusal is not None or all(isinstance(each, Found) for each in parsed.found)


@given(st.randoms(use_true_random=False))
def test_a_broken_real_file_never_crashes(generator: random.Random):
    text = list(POD * 2 + "spec: {a: [1, {b: &x c}], d: *x}\n")
    for _ in range(3):
        text[generator.randrange(len(text))] = generator.choice("{}[]:&*!|>'\"\t\n-#%@`, a1")

    try:
        kinds = {each.kind for each in parse("f.yaml", "".join(text)).found}
    except InputError:
        kinds = set()

    assert kinds <= {"Pod"}


def test_a_pipe_is_read_once_somebody_writes_into_it_and_not_waited_for_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "PATIENCE_S", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(InputError, match="nobody writes into this pipe"):
        read([pipe])
    with ThreadPoolExecutor(1) as writer:
        monkeypatch.setattr(objects, "PATIENCE_S", 30.0)
        written = writer.submit(pipe.write_text, "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n")
        assert [each.key for each in read([pipe]).found] == ["n1"]
        written.result()


@pytest.mark.parametrize("text", ["[" * 200_000, "{" * 200_000, "- " * 200_000, "a: " * 200_000])
def test_endless_nesting_is_noticed_before_anything_is_built(text):
    with pytest.raises(InputError, match=r"nested more than 100 levels deep|is not YAML"):
        parse("deep.yaml", text)


def test_what_people_are_told_is_short_and_plain():
    said = str(InputError("file \x1b[2J", "x" * 10_000))

    assert said.isprintable()
    assert len(said) < 2_100

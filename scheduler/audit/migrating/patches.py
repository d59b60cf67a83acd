"""The changes of a migration as a kustomize component: JSON patches, and the objects that are new."""

import json
import re
from collections.abc import Iterator
from typing import Any

from scheduler.audit.inspection import TEMPLATED
from scheduler.audit.migrating.edits import block
from scheduler.audit.migrating.migration import Note, Result
from scheduler.audit.subjects import Subject, subjects
from scheduler.audit.tree import Fields, Items, Node, Scalar, TreeError, chunks, parse

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)


def component(result: Result) -> tuple[dict[str, str], list[Note]]:
    """(files of a component, what it cannot say) for the changes of a migration."""
    files: dict[str, str] = {}
    refused: list[Note] = []
    patches: list[dict[str, Any]] = []
    made: list[str] = []
    for name, text in result.texts.items():
        before = _objects(name, result.originals.get(name, ""))
        for key, (subject, value) in _objects(name, text).items():
            if key not in before:
                made.append("\n".join(block(value, 0)) + "\n")
                continue
            operations = list(difference(before[key][1], value))
            if not operations:
                continue
            line = subject.root.line
            if subject.dra:
                why = "is of an older version, which no patch can change: migrate without --patch"
                refused.append(Note(name, line, subject.title, why))
                continue
            file = f"patch-{len(patches) + 1}.yaml"
            files[file] = "\n".join(block(operations, 0)) + "\n"
            patches.append({"path": file, "target": _target(subject)})
    if made:
        files["claims.yaml"] = "---\n".join(made)
    kustomization: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    if made:
        kustomization["resources"] = ["claims.yaml"]
    if patches:
        kustomization["patches"] = patches
    if made or patches:
        files["kustomization.yaml"] = "\n".join(block(kustomization, 0)) + "\n"
    return files, refused


def _target(subject: Subject) -> dict[str, str]:
    group, slash, version = subject.api_version.rpartition("/")
    target = {"kind": subject.kind, "name": subject.name} | ({"group": group} if slash else {})
    if version:
        target["version"] = version
    return target | ({"namespace": subject.namespace} if subject.namespace else {})


def _objects(name: str, text: str) -> dict[tuple[str, str, str], tuple[Subject, Any]]:
    found: dict[tuple[str, str, str], tuple[Subject, Any]] = {}
    for start, end, line in chunks(text):
        if TEMPLATED.search(text, start, end):
            continue
        try:
            for subject in subjects(name, parse(text, start, end, line).root):
                if subject.kind and subject.name:
                    found[subject.kind, subject.namespace, subject.name] = (subject, value_of(subject.root))
        except TreeError:
            continue
    return found


def value_of(node: Node) -> Any:
    """The value that a tree of Kubernetes' YAML stands for."""
    if isinstance(node, Fields):
        return {key: value_of(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, Items):
        return [value_of(item) for item in node.children]
    return _scalar(node)


def _scalar(node: Scalar) -> Any:
    if node.null:
        return None
    if node.plain and node.text in {"true", "false"}:
        return node.text == "true"
    if node.plain and _NUMBER.fullmatch(node.text):
        return int(node.text)
    return node.text


def difference(before: Any, after: Any, path: str = "") -> Iterator[dict[str, Any]]:
    """Operations of a JSON patch (RFC 6902) that make one value of another."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            step = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in after:
                yield {"op": "remove", "path": step}
            else:
                yield from difference(before[key], after[key], step)
        for key in after:
            if key not in before:
                step = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
                yield {"op": "add", "path": step, "value": after[key]}
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from difference(old, new, f"{path}/{index}")
    elif json.dumps(before) != json.dumps(after):
        yield {"op": "replace", "path": path, "value": after}

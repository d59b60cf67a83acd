"""Folders, charts and kustomizations."""

import shutil

import pytest

from scheduler.audit.inspection import inspect
from scheduler.audit.sources import Problem, Source, sources

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: s, image: x}\n"
KUSTOMIZE = pytest.mark.skipif(not (shutil.which("kubectl") or shutil.which("kustomize")), reason="no kustomize here")


def test_a_folder_is_read_with_all_under_it_but_hidden_folders(tmp_path):
    for name in ("a.yaml", "b/c.yml", "b/d/e.json", ".git/f.yaml", "node_modules/g.yaml", "h.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(POD)

    found = [source.name.removeprefix(f"{tmp_path}/") for source in sources([str(tmp_path)])]

    assert found == ["a.yaml", "b/c.yml", "b/d/e.json"]


def test_a_link_inside_the_folder_is_followed(tmp_path):
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b.yaml").symlink_to("a.yaml")

    assert all(isinstance(each, Source) for each in sources([str(tmp_path)]))


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    text = POD.replace("image: x", "image: x, resources: {limits: {nvidia.com/gpu: 1}}").replace("\n", "\r\n")
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())

    report = inspect(sources([str(tmp_path)]))

    assert [(each.id, each.line) for each in report.findings] == [("DP001", 6)]
    assert report.problems == []


@KUSTOMIZE
def test_a_kustomization_is_built(tmp_path):
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [pod.yaml]\npatches:\n- target: {kind: Pod}\n  patch: |-\n    - op: add\n"
        "      path: /spec/containers/0/resources\n      value: {limits: {nvidia.com/gpu: 1}}\n"
    )

    report = inspect(sources([str(tmp_path)]))

    assert [each.id for each in report.findings] == ["DP001"]
    assert report.findings[0].object == "Pod p"
    assert "kustomize build" in report.findings[0].file


@KUSTOMIZE
def test_a_kustomization_fetches_nothing(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("resources: ['http://127.0.0.1:1/x.yaml']\n")

    (problem,) = sources([str(tmp_path)])

    assert isinstance(problem, Problem)


def test_a_chart_is_given_to_helm(tmp_path, monkeypatch):
    chart, tools = tmp_path / "chart", tmp_path / "tools"
    (chart / "templates").mkdir(parents=True)
    tools.mkdir()
    (chart / "Chart.yaml").write_text("name: c\n")
    (chart / "templates" / "pod.yaml").write_text("{{ .Values.pod }}\n")
    helm = tools / "helm"
    helm.write_text('#!/bin/sh\n[ "$1" = template ] || exit 3\ncat <<END\n' + POD + "END\n")
    helm.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    (rendered,) = sources([str(chart)])
    monkeypatch.setenv("PATH", "/nowhere")
    report = inspect(sources([str(chart)]))

    assert isinstance(rendered, Source)
    assert (rendered.name, rendered.text) == (f"{chart} (helm template)", POD)
    assert [each.id for each in report.findings] == ["UNPARSED"]


def test_a_tool_that_prints_without_end_is_stopped(tmp_path, monkeypatch):
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "kustomize").write_text("#!/bin/sh\nexec yes 'a long line of output that never ends'\n")
    (tools / "kustomize").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")

    (problem,) = sources([str(tmp_path)])

    assert "is larger than 16 MiB" in str(problem)


def test_a_tool_that_fails_is_told_with_its_words(tmp_path, monkeypatch):
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "kustomize").write_text("#!/bin/sh\necho no such base >&2\nexit 1\n")
    (tools / "kustomize").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")

    (problem,) = sources([str(tmp_path)])

    assert "no such base" in str(problem)

"""Charts and kustomizations: given to helm and kustomize, UNPARSED where these are not there. The tools are played."""

import time
from pathlib import Path

import pytest

from scheduler.audit import rendering
from scheduler.audit.inspection import inspect
from scheduler.audit.rendering import sources
from scheduler.audit.sources import Problem, Source, Unrendered

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: s, image: x}\n"
GPU = POD.replace("image: x", "image: x, resources: {limits: {nvidia.com/gpu: 1}}")
OUTSIDE = {
    "a URL": "resources: ['https://example.com/x.yaml']\n",
    "loopback": "resources: ['http://127.0.0.1:8080/x.yaml']\n",
    "a repository": "resources: ['github.com/example/app//deploy?ref=v1']\n",
    "a repository over SSH": "resources: ['git@github.com:example/app.git']\n",
    "a component of a repository": "components: ['https://github.com/example/app//part?ref=v1']\n",
    "an old base": "bases: ['github.com/example/app']\n",
    "a file of the system": "resources: [/etc/passwd]\n",
    "a file that is not there": "resources: [absent.yaml]\n",
    "a name that no file can have": 'resources: ["a\\0b"]\n',
    "a patch by URL": "patches: [{path: 'http://127.0.0.1:8080/p.yaml'}]\n",
    "a file of a ConfigMap by URL": "configMapGenerator: [{name: c, files: ['x=http://127.0.0.1/cm']}]\n",
    "an environment by URL": "secretGenerator: [{name: c, envs: ['HTTP://127.0.0.1/env']}]\n",
    "a schema by URL": "openapi: {path: 'http://127.0.0.1/openapi'}\n",
    "a transformer by URL": "transformers: ['http://127.0.0.1/t.yaml']\n",
    "a transformer that names a URL": "transformers: [t.yaml]\n",
    "a chart": "helmCharts: [{name: c, repo: 'https://example.com'}]\n",
}


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Puts a script of that name on PATH, in place of any other tool."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    monkeypatch.setattr(
        rendering.shutil, "which", lambda name: str(folder / name) if (folder / name).exists() else None
    )

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def chart(tmp_path):
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("name: c\nversion: 1.0.0\n")
    (folder / "values.yaml").write_text("gpus: 1\n")
    (folder / "templates" / "pod.yaml").write_text("{{ .Values.pod }}\n")
    return folder


@pytest.fixture
def kustomization(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()

    def write(text, **others):
        (folder / "kustomization.yaml").write_text(text)
        for name, each in others.items():
            (folder / f"{name}.yaml").write_text(each)
        return folder

    return write


def runs(process):
    """Whether a process is more than a corpse that nobody has fetched."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ids(path):
    report = inspect(sources([str(path)]))
    assert report.problems == []
    return [(each.id, each.file.removeprefix(f"{path}"), each.line) for each in report.findings]


def test_a_chart_is_given_to_helm_and_its_templates_are_not_read(chart, tool):
    tool("helm", f'[ "$1 $2 $3" = "template audited {chart}" ] || exit 3\ncat <<END\n{GPU}END')

    assert ids(chart) == [("DP001", " (helm template)", 6)]
    texts = [each.name for each in sources([str(chart)]) if isinstance(each, Source)]
    assert texts == [f"{chart} (helm template)", f"{chart}/Chart.yaml", f"{chart}/values.yaml"]


def test_without_helm_a_chart_is_unparsed_and_its_values_are_read(chart, tool):
    (chart / "values.yaml").write_text("resources: {limits: {nvidia.com/gpu: 1}}\n")
    (chart / "templates" / "pod.yaml").write_text(POD)  # of which nobody can say that it is all

    assert ids(chart) == [("UNPARSED", "/Chart.yaml", 1), ("DP001", "/values.yaml", 1)]


def test_a_chart_below_a_folder_is_given_to_helm(chart, tool):
    tool("helm", f"cat <<END\n{GPU}END")

    assert ids(chart.parent) == [("DP001", "/chart (helm template)", 6)]


def test_a_chart_with_a_link_out_of_it_is_not_rendered(chart, tool):
    tool("helm", f"cat <<END\n{GPU}END")
    (chart / "templates" / "etc").symlink_to("/etc/passwd")

    (unrendered, *_) = sources([str(chart)])

    assert isinstance(unrendered, Unrendered)
    assert "symbolic link out of it (etc)" in unrendered.why


def test_a_chart_that_helm_refuses_is_a_problem_and_read_as_it_is(chart, tool):
    tool("helm", "echo no such function >&2; exit 1")

    report = inspect(sources([str(chart)]))

    assert "helm failed (no such function)" in str(report.problems[0])
    assert [each.id for each in report.findings] == ["UNPARSED"]


def test_what_a_kustomization_makes_is_told_where_no_file_says_it(kustomization, tool):
    folder = kustomization("resources: [pod.yaml]\n", pod=GPU)
    tool(
        "kustomize", f'[ "$1 $2" = "build {folder}" ] || exit 3\ncat <<END\n{GPU.replace("name: p", "name: dev-p")}END'
    )

    assert ids(folder) == [("DP001", "/pod.yaml", 6)]

    tool("kustomize", f"cat <<END\n{GPU.replace('gpu: 1', 'gpu: 2')}END")
    assert ids(folder) == [
        ("DP001", " (kustomize build)", 6), ("DP002", " (kustomize build)", 6), ("DP001", "/pod.yaml", 6),
    ]  # fmt: skip


def test_kubectl_stands_in_for_kustomize(kustomization, tool):
    folder = kustomization("resources: [pod.yaml]\n", pod=POD)
    tool("kubectl", f'[ "$1 $2" = "kustomize {folder}" ] || exit 3\ncat <<END\n{GPU}END')

    assert ids(folder) == [("DP001", " (kustomize build)", 6)]


def test_every_kustomization_below_a_folder_is_built_and_no_component(tmp_path, tool):
    for name, kind in (("base", "Kustomization"), ("over", "Kustomization"), ("part", "Component")):
        (tmp_path / "m" / name).mkdir(parents=True)
        (tmp_path / "m" / name / "kustomization.yaml").write_text(f"kind: {kind}\n")
    tool("kustomize", f"cat <<END\n{GPU}END")

    built = [each.name for each in sources([str(tmp_path / "m")]) if isinstance(each, Source) and each.rendered]

    assert built == [f"{tmp_path}/m/{name} (kustomize build)" for name in ("base", "over")]


def test_what_two_kustomizations_have_in_common_is_read_once(tmp_path, tool, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / "m" / name).mkdir(parents=True)
        (tmp_path / "m" / name / "kustomization.yaml").write_text("resources: []\n")
    tool("kustomize", f"cat <<END\n{GPU}---\n{GPU.replace('name: p', 'name: q')}END")

    report = inspect(sources([str(tmp_path / "m")]))

    assert report.read["Pod"] == 2
    assert [each.object for each in report.findings] == ["Pod p", "Pod q"]


def test_without_kustomize_a_kustomization_is_unparsed_and_its_files_are_read(kustomization, tool):
    folder = kustomization("resources: [pod.yaml]\n", pod=GPU)

    assert ids(folder) == [("UNPARSED", "/kustomization.yaml", 1), ("DP001", "/pod.yaml", 6)]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_kustomization_that_needs_more_than_its_files_is_not_built(name, kustomization, tool, tmp_path):
    tool("kustomize", f"touch {tmp_path}/called")
    folder = kustomization(OUTSIDE[name], t="kind: PatchTransformer\npath: http://127.0.0.1/p.yaml\n")

    (unrendered, *_) = sources([str(folder)])

    assert isinstance(unrendered, Unrendered)
    assert not (tmp_path / "called").exists()


def test_a_url_in_an_annotation_or_a_literal_is_no_reason(kustomization, tool):
    tool("kustomize", f"cat <<END\n{GPU}END")
    folder = kustomization(
        "commonAnnotations: {docs: 'https://example.com'}\nresources: []\n"
        "configMapGenerator: [{name: c, literals: ['url=https://example.com']}]\n"
    )

    assert ids(folder) == [("DP001", " (kustomize build)", 6)]


def test_what_a_base_names_counts_too(kustomization, tool, tmp_path):
    tool("kustomize", f"touch {tmp_path}/called")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "kustomization.yaml").write_text(OUTSIDE["a URL"] + "components: [../app]\n")
    folder = kustomization("resources: [../base]\n")

    (unrendered, *_) = sources([str(folder)])

    assert "https://example.com/x.yaml" in unrendered.why
    assert not (tmp_path / "called").exists()


def test_a_broken_kustomization_is_told_with_its_line(kustomization, tool):
    tool("kustomize", "exit 1")
    folder = kustomization("resources: [\n")

    (source,) = sources([str(folder)])

    assert str(inspect([source]).problems[0]).startswith(f"{folder}/kustomization.yaml:1: is not YAML")


def test_a_tool_that_prints_without_end_is_stopped(kustomization, tool):
    tool("kustomize", "exec yes 'a long line of output that never ends'")

    (problem, _) = sources([str(kustomization("resources: []\n"))])

    assert "is larger than 16 MiB" in str(problem)


def test_a_tool_that_takes_too_long_is_stopped_with_its_children(kustomization, tool, monkeypatch, tmp_path):
    monkeypatch.setattr(rendering, "TOOL_S", 0.5)
    tool("kustomize", f"sleep 1000 & echo $! >{tmp_path}/child\nwait")

    (problem, _) = sources([str(kustomization("resources: []\n"))])

    assert isinstance(problem, Problem)
    assert "took more than" in problem.message
    child = int((tmp_path / "child").read_text())
    until = time.monotonic() + 10
    while runs(child):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_tool_gets_so_much_memory(kustomization, tool):
    tool("kustomize", "ulimit -v >&2; exit 1")

    (problem, _) = sources([str(kustomization("resources: []\n"))])

    assert f"({4 * 2**20})" in str(problem)


def test_so_many_are_rendered(tmp_path, tool, monkeypatch):
    monkeypatch.setattr(rendering, "MAX_RENDERED", 2)
    for name in "abc":
        (tmp_path / "m" / name).mkdir(parents=True)
        (tmp_path / "m" / name / "kustomization.yaml").write_text("resources: []\n")
    tool("kustomize", "exit 0")

    assert [each.file for each in sources([str(tmp_path / "m")]) if isinstance(each, Problem)] == [
        f"{tmp_path}/m/c (kustomize build)"
    ]

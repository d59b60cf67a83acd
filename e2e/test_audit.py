"""The audit beside the real tools: helm, kustomize, and the published schema of SARIF."""

import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator

from e2e import dovetail, renderers
from e2e.gobuild import ROOT, downloaded

SCHEMAS = "github.com/owenrumney/go-sarif/v3"
CASES = ROOT / "tests" / "audit" / "cases"
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: vllm\nversion: 1.0.0\n",
    "values.yaml": "gpus: 2\nproduct: NVIDIA-L40S\nstrategy: Recreate\n",
    "templates/_helpers.tpl": '{{- define "vllm.name" -}}{{ .Release.Name }}-vllm{{- end -}}\n',
    "templates/deployment.yaml": """apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ include "vllm.name" . }}, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {app: vllm}}
  template:
    metadata: {labels: {app: vllm}}
    spec:
      {{- with .Values.product }}
      nodeSelector: {nvidia.com/gpu.product: {{ . | quote }}}
      {{- end }}
      containers:
      - name: vllm
        image: vllm/vllm-openai
        args: [--tensor-parallel-size={{ .Values.gpus }}]
        resources: {limits: {nvidia.com/gpu: {{ .Values.gpus }}}}
""",
    "charts/tools/Chart.yaml": "apiVersion: v2\nname: tools\nversion: 1.0.0\n",
    "charts/tools/templates/job.yaml": """apiVersion: batch/v1
kind: Job
metadata: {name: {{ .Release.Name }}-warm}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: warm, image: x, resources: {limits: {nvidia.com/mig-1g.10gb: 1}}}]
""",
}
APP = {
    "base/kustomization.yaml": "resources: [deployment.yaml]\n",
    "base/deployment.yaml": """apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm}
spec:
  selector: {matchLabels: {app: vllm}}
  template:
    metadata: {labels: {app: vllm}}
    spec:
      containers:
      - {name: vllm, image: vllm, resources: {limits: {nvidia.com/gpu: 1}}}
""",
    "overlays/prod/kustomization.yaml": """resources: [../../base]
namePrefix: prod-
replacements:
- source: {kind: ConfigMap, name: size, fieldPath: data.gpus}
  targets:
  - select: {kind: Deployment}
    fieldPaths: ['spec.template.spec.containers.[name=vllm].resources.limits.[nvidia.com/gpu]']
configMapGenerator:
- {name: size, literals: [gpus=8]}
""",
}


@pytest.fixture(scope="module")
def tools() -> Path:
    return renderers.binaries()


@pytest.fixture(scope="module")
def schema() -> Draft4Validator:
    file = downloaded(ROOT / "e2e" / "sarif", SCHEMAS) / "pkg" / "report" / "v210" / "sarif" / "schema.go"
    text = re.search(r"const schema = `(.*?)`", file.read_text(), re.DOTALL)
    assert text is not None
    found = json.loads(text[1])
    assert found["id"].endswith("/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json")
    return Draft4Validator(found, format_checker=Draft4Validator.FORMAT_CHECKER)


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def audited(tools: Path, *arguments: str, given: str = "", code: int = 1) -> Any:
    """What `dovetail audit` says in JSON, with the tools on PATH."""
    done = subprocess.run(
        [dovetail.command(), "audit", *arguments],
        input=given, capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "PATH": f"{tools}:/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def findings(report: Any) -> set[tuple[str, str]]:
    return {(each["id"], each["object"]) for each in report["findings"]}


RENDERED = {
    ("DP001", "Deployment prod/r-vllm"),
    ("DP002", "Deployment prod/r-vllm"),
    ("SEL001", "Deployment prod/r-vllm"),
    ("DP004", "Job r-warm"),
}


def test_what_helm_prints_is_read_from_standard_input(tools: Path, tmp_path: Path) -> None:
    written(tmp_path, CHART)
    command = [tools / "helm", "template", "r", tmp_path, "--namespace", "prod"]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    report = audited(tools, "-", "--format", "json", given=rendered)

    assert findings(report) == RENDERED
    assert {each["file"] for each in report["findings"]} == {"standard input"}
    assert "tensor parallel size 2" in json.dumps(report)


def test_a_chart_is_rendered_by_helm_itself(tools: Path, tmp_path: Path) -> None:
    written(tmp_path, CHART)

    report = audited(tools, str(tmp_path), "--format", "json")

    expected = {
        (found, title.replace("prod/r-", "default/audited-").replace(" r-", " audited-")) for found, title in RENDERED
    }
    assert findings(report) == expected
    assert report["problems"] == []


def test_a_chart_that_does_not_render_says_why(tools: Path, tmp_path: Path) -> None:
    written(tmp_path, CHART)
    (tmp_path / "templates" / "bad.yaml").write_text('a: {{ required "say how many GPUs" .Values.none }}\n')

    report = audited(tools, str(tmp_path), "--format", "json", code=2)

    assert "say how many GPUs" in report["problems"][0]["message"]
    assert ("UNPARSED", "template") in findings(report)
    assert ("DP004", "Job r-warm") not in findings(report)


def test_what_kustomize_prints_is_read_from_standard_input(tools: Path, tmp_path: Path) -> None:
    written(tmp_path, APP)
    command = [tools / "kustomize", "build", tmp_path / "overlays" / "prod"]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    report = audited(tools, "-", "--format", "json", given=built)

    assert findings(report) == {("DP001", "Deployment prod-vllm"), ("DP002", "Deployment prod-vllm")}


def test_kustomizations_are_built_by_kustomize_itself(tools: Path, tmp_path: Path) -> None:
    written(tmp_path, APP)

    report = audited(tools, str(tmp_path), "--format", "json")

    assert [(each["id"], each["file"].removeprefix(f"{tmp_path}/")) for each in report["findings"]] == [
        ("DP001", "base/deployment.yaml"),
        ("DP001", "overlays/prod (kustomize build)"),
        ("DP002", "overlays/prod (kustomize build)"),
    ]
    assert report["findings"][0]["line"] == 10


FETCHED = {
    "a resource": "resources: [deployment.yaml, '{url}']",
    "a patch": "patches: [{path: '{url}'}]",
    "a file of a ConfigMap": "configMapGenerator: [{name: c, files: ['x={url}']}]",
    "an environment": "configMapGenerator: [{name: c, envs: ['{url}']}]",
    "definitions": "crds: ['{url}']",
    "a configuration": "configurations: ['{url}']",
    "a schema": "openapi: {path: '{url}'}",
    "replacements": "replacements: [{path: '{url}'}]",
    "a transformer": "transformers: ['{url}']",
    "a patch of a transformer": "transformers: [t.yaml]",
}


@pytest.mark.parametrize("name", FETCHED)
def test_kustomize_is_not_called_where_it_would_fetch(name: str, tools: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/x.yaml"
        transformer = "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\n" + f"path: {url}\n"
        files = {"deployment.yaml": APP["base/deployment.yaml"], "t.yaml": transformer}
        written(tmp_path, {**files, "kustomization.yaml": FETCHED[name].replace("{url}", url) + "\n"})
        if "resources" not in FETCHED[name]:
            with (tmp_path / "kustomization.yaml").open("a") as more:
                more.write("resources: [deployment.yaml]\n")

        report = audited(tools, str(tmp_path), "--format", "json", code=2)
        audits = len(asked)
        subprocess.run([tools / "kustomize", "build", tmp_path], capture_output=True, check=False)
        server.shutdown()
        thread.join()

    assert ("UNPARSED", "Kustomization") in findings(report)
    assert audits == 0
    assert asked  # the tool itself does


@pytest.mark.parametrize("name", ["../secret.yaml", "link.yaml"])
def test_kustomize_reads_no_file_outside_of_a_kustomization(name: str, tools: Path, tmp_path: Path) -> None:
    written(tmp_path, {"secret.yaml": APP["base/deployment.yaml"], "app/kustomization.yaml": f"resources: [{name}]\n"})
    (tmp_path / "app" / "link.yaml").symlink_to(tmp_path / "secret.yaml")

    report = audited(tools, str(tmp_path / "app"), "--format", "json", code=2)

    assert report["findings"] == []
    assert any("kustomize failed" in each["message"] for each in report["problems"])


OUTPUTS = {
    **{file.stem: file.read_text().replace("#: ", "---\n# ") for file in sorted(CASES.glob("*.yaml"))},
    "what cannot be read": "a: [\n",
    "a template": "metadata: {name: {{ .Values.name }}}\n",
    "nothing found": "a: b\n",
    "hostile names": 'kind: Pod\nmetadata: {name: "\\e[2J<b>é𝄞"}\nspec: {containers: [{name: c, resources: {limits: '
    "{nvidia.com/gpu: 1}}}]}\n",
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_sarif_is_what_its_schema_says(name: str, schema: Draft4Validator, tmp_path: Path) -> None:
    file = tmp_path / "ä b#?%.yaml"
    file.write_text(OUTPUTS[name])

    done = subprocess.run(
        [dovetail.command(), "audit", str(file), "--format", "sarif"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip

    assert [each.message for each in schema.iter_errors(json.loads(done.stdout))] == []


def test_the_schema_refuses_what_is_wrong(schema: Draft4Validator) -> None:
    assert list(schema.iter_errors({"version": "2.1.0", "runs": [{"tool": {}}]}))

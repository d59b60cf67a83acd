"""Migration: what becomes of manifests, and that the rest of them stays as it is."""

import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from scheduler import cli
from scheduler.audit.inspection import inspect
from scheduler.audit.migrating.command import migrate as run
from scheduler.audit.migrating.migration import migrate
from scheduler.audit.migrating.patches import component, difference, value_of
from scheduler.audit.shapes import misfits
from scheduler.audit.sources import Source
from scheduler.audit.subjects import subjects
from scheduler.audit.tree import chunks, parse
from scheduler.simulator.comparison import compare
from tests.audit.manifests import CORRECTED, OUTDATED, PATHS, POD, STYLES, everything, workload

REFUSED = {
    "a share": (POD.replace("nvidia.com/gpu", "nvidia.com/gpu.shared"), "a share of a GPU"),
    "a fraction": (POD.replace("nvidia.com/gpu: 1", "nvidia.com/gpumem: 3000"), "a share of a GPU"),
    "half a GPU": (POD.replace("gpu: 1", "gpu: 0.5"), "not from 1 to 32"),
    "milli-GPUs": (POD.replace("gpu: 1", "gpu: 1000m"), "not from 1 to 32"),
    "no GPU": (POD.replace("gpu: 1", "gpu: 0"), "not from 1 to 32"),
    "a renamed GPU": (POD.replace("nvidia.com/gpu", "nvidia.com/A100"), "a name that this cluster gave"),
    "a profile that is none": (POD.replace("nvidia.com/gpu", "nvidia.com/mig-large"), "no known MIG profile"),
    "one MIG strategy": (
        POD.replace("spec:\n", "spec:\n  nodeSelector: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-40GB-MIG-1g.5gb}\n"),
        "single-strategy MIG",
    ),
    "time slicing": (
        POD.replace("spec:\n", "spec:\n  nodeSelector: {nvidia.com/gpu.product: Tesla-T4-SHARED}\n"), "time slicing",
    ),
    "an init container": (POD.replace("  containers:", "  initContainers:") + "  containers: [{name: m, image: x}]\n",
                          "init container"),
    "a claim beside it": (
        POD + "  resourceClaims: [{name: a, resourceClaimName: b}]\n", "has claims already",
    ),
    "a patch": (POD.replace("    image: x\n", ""), "a patch of a workload"),
    "a predictor": ("apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: i}\n"
                    "spec: {predictor: {model: {resources: {limits: {nvidia.com/gpu: 1}}}}}\n", "in its own words"),
    "a service of NIM": ("apiVersion: apps.nvidia.com/v1alpha1\nkind: NIMService\nmetadata: {name: n}\n"
                         "spec: {resources: {limits: {nvidia.com/gpu: 1}}}\n", "in its own words"),
    "values": ("resources: {limits: {nvidia.com/gpu: 1}}\n", "in its own words"),
    "a JSON patch": ("- {op: add, path: /spec/containers/0/resources/limits/nvidia.com~1gpu, value: 1}\n",
                     "in its own words"),
    "Ray": (POD.replace("v1\nkind: Pod", "ray.io/v1\nkind: RayCluster"), "counts GPUs by limits"),
    "a template of Helm": ("metadata: {name: {{ .Values.name }}}\n", "is a template"),
    "v1alpha2": ("apiVersion: resource.k8s.io/v1alpha2\nkind: ResourceClaim\nmetadata: {name: c}\n", "v1alpha2"),
    "a slice": ("apiVersion: resource.k8s.io/v1beta1\nkind: ResourceSlice\nmetadata: {name: s}\n", "a driver"),
    "suitable nodes": (
        "apiVersion: resource.k8s.io/v1alpha3\nkind: DeviceClass\nmetadata: {name: c}\nspec: {suitableNodes: {}}\n",
        "suitableNodes",
    ),
    "an expression that nobody can mend": (
        OUTDATED.replace('device.attributes["memory"].isGreaterThan(quantity("16Gi"))', "device.memory > 16"),
        "does not compile",
    ),
    "characters in halves": (POD.replace("image: x", 'image: "\\ud83d\\ude00"'), "in two halves"),
    "a limit that is none": (POD.replace("resources:", "resource:"), "outside resources"),
    "aliases": (
        POD.replace("resources:\n", "resources: &r\n") + "  - {name: other, image: y, resources: *r}\n", "aliases",
    ),
    "a device that no driver serves": (POD.replace("nvidia.com/gpu", "gpu.intel.com/millicores"), "one for one"),
    "a service of QAT": (POD.replace("nvidia.com/gpu", "qat.intel.com/cy"), "one for one"),
    "a limit other than its request": (POD + "      requests: {nvidia.com/gpu: 2}\n", "make them equal"),
    "more than a claim can have": (
        POD.replace("gpu: 1", "gpu: 20") + "  - {name: b, image: y, resources: {limits: {nvidia.com/gpu: 20}}}\n",
        "more than 32 devices",
    ),
    "resources of the pod as a whole": (
        POD.replace("spec:\n", "spec:\n  resources: {limits: {nvidia.com/gpu: 1}}\n"), "outside resources",
    ),
    "a sidecar": (
        POD.replace("  containers:", "  initContainers:\n  - {name: s, image: y, restartPolicy: Always, resources: "
                    "{limits: {nvidia.com/gpu: 1}}}\n  containers:"), "init container",
    ),
    "single strategy as a label": (
        POD.replace("spec:\n", "spec:\n  nodeSelector: {nvidia.com/mig.strategy: single}\n"), "single-strategy MIG",
    ),
    "a node of its own": (POD.replace("spec:\n", "spec:\n  nodeName: n\n"), "names its node itself"),
    "HAMi's scheduler": (
        POD.replace("spec:\n", "spec:\n  schedulerName: hami-scheduler\n"), "is scheduled by hami-scheduler",
    ),
    "a GPU that the plugin shares": (
        POD + "---\nsharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 4}]}}\n",
        "which is a share of a GPU here (a.yaml:12)",
    ),
    "an annotation of HAMi": (
        POD.replace("team}", "team, annotations: {nvidia.com/use-gputype: A100}}"), "the scheduler of others",
    ),
    "an annotation of KAI": (
        POD.replace("team}", 'team, annotations: {gpu-fraction: "0.5"}}').replace("nvidia.com/gpu: 1", "cpu: 1"),
        "in the words of one scheduler",
    ),
    "Knative": (POD.replace("v1\nkind: Pod", "serving.knative.dev/v1\nkind: Service"), "is run by Knative"),
    "Spark": ("apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\nmetadata: {name: s}\n"
              "spec: {executor: {gpu: {name: nvidia.com/gpu, quantity: 1}}}\n", "in its own words"),
    "gibibytes without a unit": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: x}]\n"
        "  nodeSelector: {nvidia.com/gpu.memory: '16'}\n", "would be 16 MiB",
    ),
    "values that name a resource": ("requestGPUType: nvidia.com/gpu\n", "do it by hand"),
    "a text with values": (
        "kind: Application\nmetadata: {name: a}\nspec:\n  values: |\n    resources:\n      limits:\n"
        "        nvidia.com/gpu: 1\n", "do it by hand",
    ),
}  # fmt: skip


_GONE = {"DP001", "DP002", "DP004", "DP007", "SEL001", "SEL004", "SEL005"}


def migrated(text, mode="claims", name="a.yaml"):
    return migrate([Source(name, text)], mode)


def comments(text):
    return re.findall(r"# c\d+$", text, re.MULTILINE)


def valid(text):
    """Whether all that is of resource.k8s.io in a text is v1 to the letter, and nothing is asked of device plugins."""
    report = inspect([Source("a.yaml", text)])
    for start, end, line in chunks(text):
        for subject in subjects("a.yaml", parse(text, start, end, line).root):
            if subject.dra:
                assert subject.api_version == "resource.k8s.io/v1"
                assert list(misfits(subject.kind, subject.fields)) == []
    assert report.problems == []
    return not any(each.id in _GONE or each.id.startswith("API") for each in report.findings)


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("style", STYLES)
def test_comments_stay_and_a_second_migration_changes_nothing(kind, style):
    text = workload(kind, style)

    result = migrated(text)

    after = result.texts["a.yaml"]
    assert result.refused == []
    assert [str(each) for each in result.done] != []
    assert sorted(comments(after)) == sorted(comments(text))
    assert comments(text)
    assert all(line in after for line in text.splitlines() if "nvidia.com" not in line and "limits" not in line
               and "Selector" not in line and "requests" not in line)  # fmt: skip
    assert valid(after)
    again = migrate([Source(name, each) for name, each in result.texts.items()])
    assert again.texts == result.texts
    assert again.done == again.refused == []


GONE = re.compile(
    r".*/(limits|requests)(/(nvidia|amd|gpu[.]intel|google)[.]com~1[^/]+|/habana[.]ai~1gaudi)?"
    r"|.*/nodeSelector(/nvidia[.]com~1gpu[.](product|memory|family|compute[.]major))?"
    r"|.*/affinity(/nodeAffinity(/requiredDuringSchedulingIgnoredDuringExecution)?)?|.*/resourceClaims/\d+/source"
)
NEW = re.compile(r".*/resources/claims|.*/resourceClaims|.*/resourceClaims/\d+/resourceClaim(Template)?Name")


def workloads(text):
    """The values of all objects that are not of resource.k8s.io and hold none, in order."""
    roots = [subject for chunk in chunks(text) for subject in subjects("a.yaml", parse(text, *chunk).root)]
    values = [value_of(each.root) for each in roots if not each.dra]
    return [each for each in values if "resource.k8s.io/" not in json.dumps(each)]


def lost(before, after):
    """Places where one value differs from the other in what no migration may touch."""
    for operation in difference(before, after):
        path = operation["path"]
        if operation["op"] == "replace":  # a list that is shorter now
            assert path.endswith("/matchExpressions"), path
        elif not (GONE if operation["op"] == "remove" else NEW).fullmatch(path):
            yield operation


def test_nothing_of_a_workload_is_lost():
    migrated_workloads = 0
    for name, text in everything():
        result = migrated(text)
        if not result.done or "{{" in text:
            continue
        for before, after in zip(workloads(text), workloads(result.texts["a.yaml"]), strict=True):
            assert list(lost(before, after)) == [], name
            migrated_workloads += before != after
    assert migrated_workloads > 120


@pytest.mark.parametrize("mode", ["claims", "extended"])
def test_a_second_migration_changes_nothing_of_all_there_is(mode):
    for name, text in everything():
        once = migrated(text, mode)
        twice = migrate([Source(file, each) for file, each in once.texts.items()], mode)

        assert (twice.texts, twice.done) == (once.texts, []), name


def test_the_outdated_example_is_corrected_line_by_line():
    result = migrated(OUTDATED)

    assert result.texts["a.yaml"] == CORRECTED
    assert result.refused == []
    assert "name: gpu.nvidia.com" in result.texts["deviceclasses.yaml"]
    assert valid(CORRECTED)
    assert valid(result.texts["deviceclasses.yaml"])


def test_a_pod_gets_a_claim_and_keeps_the_rest():
    text = POD.replace("        nvidia.com/gpu: 1\n", "        cpu: 2\n        nvidia.com/gpu: 4\n")

    result = migrated(text)

    assert result.texts["a.yaml"] == (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: team}\nspec:\n  containers:\n  - name: main\n"
        "    image: x\n    resources:\n      limits:\n        cpu: 2\n      claims:\n      - name: devices\n"
        "  resourceClaims:\n  - name: devices\n    resourceClaimTemplateName: p-devices\n---\n"
        "apiVersion: resource.k8s.io/v1\nkind: ResourceClaimTemplate\nmetadata:\n  name: p-devices\n  namespace: team\n"
        "spec:\n  spec:\n    devices:\n      requests:\n      - name: main\n        exactly:\n"
        "          deviceClassName: gpu.nvidia.com\n          count: 4\n"
    )


def test_two_containers_get_two_requests_of_one_claim():
    text = POD + "  - {name: side, image: y, resources: {limits: {nvidia.com/mig-1g.10gb: 1, cpu: 1}}}\n"

    after = migrated(text).texts["a.yaml"]

    claims = '"claims": [{"name": "devices", "request": "side"}]'
    assert f"{{name: side, image: y, resources: {{limits: {{cpu: 1}}, {claims}}}}}" in after
    assert "request: main" in after
    assert "device.attributes['gpu.nvidia.com'].profile == '1g.10gb'" in after
    assert valid(after)


def test_labels_of_nodes_become_selectors_and_others_stay():
    affinity = """  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
        - matchExpressions:
          - {key: nvidia.com/gpu.memory, operator: Gt, values: ["16Gi"]}
          - {key: topology.kubernetes.io/zone, operator: In, values: [a]}
"""
    text = POD + "  nodeSelector:\n    nvidia.com/gpu.product: NVIDIA-A100-SXM4-40GB\n    disk: ssd\n" + affinity

    after = migrated(text).texts["a.yaml"]

    assert "matches('^(nvidia )?a100[ -]sxm4[ -]40gb$')" in after
    assert "memory.compareTo(quantity('16384Mi')) > 0" in after
    assert "gpu.product" not in after
    assert "gpu.memory" not in after
    assert "    disk: ssd\n" in after
    assert "topology.kubernetes.io/zone, operator: In, values: [a]}" in after
    assert valid(after)


REQUESTS = {
    "name first": (
        "- name: g\n  deviceClassName: c\n  count: 2\n",
        "- name: g\n  exactly:\n    deviceClassName: c\n    count: 2\n",
    ),
    "name last": (
        "- deviceClassName: c   # x\n  count: 2\n  name: g\n",
        "- exactly:\n    deviceClassName: c   # x\n    count: 2\n  name: g\n",
    ),
    "name between": (
        "- deviceClassName: c\n  name: g   # x\n  count: 2\n",
        "- name: g   # x\n  exactly:\n    deviceClassName: c\n    count: 2\n",
    ),
    "in brackets": ("- {name: g, deviceClassName: c}\n", '- {name: g, "exactly": {deviceClassName: c}}\n'),
    "comments and an empty line": (
        "- name: g\n  # x\n\n  deviceClassName: c\n  tolerations:\n  - key: a   # y\n    operator: Exists\n",
        "- name: g\n  # x\n\n  exactly:\n    deviceClassName: c\n    tolerations:\n    - key: a   # y\n"
        "      operator: Exists\n",
    ),
    "alternatives": (
        "- name: g\n  firstAvailable:\n  - {name: a, deviceClassName: c}\n",
        "- name: g\n  firstAvailable:\n  - {name: a, deviceClassName: c}\n",
    ),
    "a text of several lines": (
        "- name: g\n  selectors:\n  - cel:\n      expression: |-\n        device.driver ==\n          'c'\n"
        "  deviceClassName: c\n",
        "- name: g\n  exactly:\n    selectors:\n    - cel:\n        expression: |-\n          device.driver ==\n"
        "            'c'\n    deviceClassName: c\n",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("version", ["v1alpha3", "v1beta1", "v1"])
def test_fields_of_a_request_move_under_exactly(name, version):
    before, after = REQUESTS[name]

    def claim(requests, version):
        inside = "".join(f"    {line}" if line.strip() else line for line in requests.splitlines(keepends=True))
        head = f"apiVersion: resource.k8s.io/{version}\nkind: ResourceClaim\nmetadata: {{name: c}}\n"
        return f"{head}spec:\n  devices:\n    requests:\n{inside}"

    result = migrated(claim(before, version))

    assert result.texts["a.yaml"] == claim(after, "v1")
    assert result.refused == []
    assert valid(result.texts["a.yaml"])


def test_json_stays_json_and_the_template_gets_a_file_of_its_own():
    container = {"name": "s", "image": "x", "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "1"}}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}

    result = migrated(json.dumps(pod, indent=2), name="a.json")

    after = json.loads(result.texts["a.json"])
    assert after["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}, "claims": [{"name": "devices"}]}
    assert after["spec"]["resourceClaims"] == [{"name": "devices", "resourceClaimTemplateName": "p-devices"}]
    assert valid(result.texts["a.claims.yaml"])


def test_windows_lines_stay():
    result = migrated(POD.replace("\n", "\r\n"))

    assert "\n" not in result.texts["a.yaml"].replace("\r\n", "")
    assert valid(result.texts["a.yaml"])


def test_sources_of_claims_are_lifted():
    text = """apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  resourceClaims:
  - name: a
    source:
      resourceClaimTemplateName: t   # from yesterday
  - {name: b, source: {resourceClaimName: c}}
  containers: [{name: s, image: x, resources: {claims: [{name: a}, {name: b}]}}]
"""

    after = migrated(text).texts["a.yaml"]

    assert "  - name: a\n    resourceClaimTemplateName: t   # from yesterday\n" in after
    assert "  - {name: b, resourceClaimName: c}\n" in after


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_a_human_is_refused_and_stays_as_it_is(name):
    text, reason = REFUSED[name]

    result = migrated(text)

    assert any(reason in each.text for each in result.refused), [str(each) for each in result.refused]
    if name != "an expression that nobody can mend":
        assert result.texts["a.yaml"] == text
        assert list(result.texts) == ["a.yaml"]


def test_labels_of_gpus_that_are_not_shared_are_no_reason_to_refuse():
    affinity = "{key: nvidia.com/gpu.product, operator: NotIn, values: [Tesla-T4-SHARED]}"
    terms = f"{{nodeSelectorTerms: [{{matchExpressions: [{affinity}]}}]}}"
    text = POD.replace(
        "spec:\n",
        "spec:\n  nodeSelector: {nvidia.com/gpu.sharing-strategy: none, nvidia.com/mig.strategy: mixed}\n"
        f"  affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {terms}}}}}\n",
    )

    result = migrated(text)

    assert result.refused == []
    assert "nvidia.com/gpu.sharing-strategy: none, nvidia.com/mig.strategy: mixed" in result.texts["a.yaml"]
    assert valid(result.texts["a.yaml"])


@pytest.mark.parametrize("mode", ["claims", "extended"])
def test_gpus_are_whole_where_only_others_are_shared_or_under_another_name(mode):
    for sharing in (
        "timeSlicing: {resources: [{name: nvidia.com/mig-1g.5gb, replicas: 2}]}",
        "timeSlicing: {renameByDefault: true, resources: [{name: nvidia.com/gpu, replicas: 2}]}",
        "mps: {resources: [{name: nvidia.com/gpu, rename: nvidia.com/gpu-part, replicas: 2}]}",
    ):
        result = migrate([Source("config.yaml", f"sharing: {{{sharing}}}\n"), Source("a.yaml", POD)], mode)

        assert result.refused == []
        assert result.done


def test_pods_of_another_scheduler_are_migrated_with_a_word_of_doubt():
    (note,) = migrated(POD.replace("spec:\n", "spec:\n  schedulerName: volcano\n")).done

    assert note.text.endswith("; check that volcano allocates claims")


def test_a_partition_is_asked_for_by_its_profile():
    text = POD.replace("nvidia.com/gpu", "amd.com/cpx_nps4")

    after = migrated(text).texts["a.yaml"]

    assert "device.attributes['gpu.amd.com'].?partitionProfile.orValue('') == 'cpx_nps4'" in after
    classes = migrated(text, "extended").texts["deviceclasses.yaml"]
    assert "name: cpx-nps4.amd.com" in classes
    assert "extendedResourceName: amd.com/cpx_nps4" in classes
    assert valid(after)
    assert valid(classes)


def test_a_class_serves_one_name_and_the_other_is_refused():
    text = POD.replace("nvidia.com/gpu: 1", "gpu.intel.com/xe: 1\n        gpu.intel.com/i915: 1")

    result = migrated(text, "extended")

    assert [each.text for each in result.refused] == [
        "asks for gpu.intel.com/i915, and DeviceClass gpu.intel.com serves gpu.intel.com/xe: it can serve one name"
    ]
    assert "i915" not in result.texts["deviceclasses.yaml"]


def test_a_generated_name_gives_a_template_its_name():
    after = migrated(POD.replace("name: p,", "generateName: train-,")).texts["a.yaml"]

    assert "name: train-devices\n" in after
    assert valid(after)


def test_a_kind_of_others_is_migrated_with_a_word_of_doubt():
    text = workload("LeaderWorkerSet", "last")

    (known,) = migrated(text).done
    (other,) = migrated(text.replace("LeaderWorkerSet", "StormService")).done

    assert "check that" not in known.text
    assert other.text.endswith("check that StormService knows resourceClaims in its pods")


@pytest.mark.parametrize("key", ["namePrefix", "nameSuffix"])
def test_a_kustomization_that_renames_templates_needs_a_human(key):
    kustomization = f"resources: [a.yaml]\n{key}: prod-\n"

    def refused(text):
        result = migrate([Source("x/a.yaml", POD), Source("x/kustomization.yaml", text)])
        return [str(each) for each in result.refused]

    (note,) = refused(kustomization)

    assert note.startswith(f"x/kustomization.yaml:2 Kustomization: has a {key}")
    assert refused(kustomization + "configurations: [names.yaml]\n") == refused("resources: [a.yaml]\n") == []


def test_a_kustomization_is_told_of_a_file_that_is_new():
    pod = '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [%s]}}'
    text = pod % '{"name": "s", "image": "x", "resources": {"limits": {"nvidia.com/gpu": 1}}}'

    result = migrate([Source("a.json", text), Source("kustomization.yaml", "resources: [a.json]\n")])

    assert [each.text for each in result.refused] == ["lacks a.claims.yaml: add it under `resources`"]


def test_templates_of_the_same_name_do_not_meet():
    deployment = workload("Deployment", "above").replace("name: deployment", "name: p")

    result = migrate([Source("a.yaml", POD.replace(", namespace: team", "")), Source("b.yaml", deployment)])

    assert "resourceClaimTemplateName: p-devices\n" in result.texts["a.yaml"]
    assert "resourceClaimTemplateName: p-devices-2\n" in result.texts["b.yaml"]


def test_extended_mode_leaves_workloads_alone_and_adds_classes():
    text = POD + "        nvidia.com/mig-1g.5gb: 1\n"

    result = migrated(text, "extended")

    assert result.texts["a.yaml"] == text
    assert [each.text for each in result.done] == [
        "keeps nvidia.com/gpu, which DeviceClass gpu.nvidia.com serves",
        "keeps nvidia.com/mig-1g.5gb, which DeviceClass mig-1g-5gb.nvidia.com serves",
    ]
    classes = result.texts["deviceclasses.yaml"]
    assert "extendedResourceName: nvidia.com/gpu\n" in classes
    assert "extendedResourceName: nvidia.com/mig-1g.5gb\n" in classes
    assert valid(classes)
    again = migrate([Source(name, each) for name, each in result.texts.items()], "extended")
    assert again.texts == result.texts


def test_extended_mode_completes_a_class_that_is_there():
    classes = migrated(OUTDATED).texts["deviceclasses.yaml"]

    result = migrate([Source("a.yaml", POD), Source("deviceclasses.yaml", classes)], "extended")

    assert result.texts["deviceclasses.yaml"] == classes + "  extendedResourceName: nvidia.com/gpu\n"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text("a/~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a/~b", max_size=3), inner, max_size=3),
    max_leaves=8,
)


def patched(value, operations):
    """RFC 6902, as far as the patches written here go."""
    value = json.loads(json.dumps({"root": value}))
    for operation in operations:
        steps = ["root", *(step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:])]
        inside = value
        for step in steps[:-1]:
            inside = inside[int(step) if isinstance(inside, list) else step]
        last = int(steps[-1]) if isinstance(inside, list) else steps[-1]
        if operation["op"] == "remove":
            del inside[last]
        else:
            inside[last] = operation["value"]
    return value["root"]


@given(VALUES, VALUES)
def test_a_patch_makes_one_value_of_the_other(before, after):
    assert patched(before, difference(before, after)) == after


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_a_component_does_what_the_rewritten_files_say(tmp_path):
    text = workload("Deployment", "between")
    result = migrated(text)
    files, refused = component(result)
    (tmp_path / "base").mkdir()
    (tmp_path / "component").mkdir()
    (tmp_path / "base" / "a.yaml").write_text(text)
    (tmp_path / "base" / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (tmp_path / "kustomization.yaml").write_text("resources: [base]\ncomponents: [component]\n")
    for name, each in files.items():
        (tmp_path / "component" / name).write_text(each)

    built = subprocess.run(
        ["kubectl", "kustomize", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )

    def objects(text):
        roots = [parse(text, *chunk).root for chunk in chunks(text)]
        return sorted((value_of(root) for root in roots), key=lambda each: (each["kind"], each["metadata"]["name"]))

    assert refused == []
    assert built.returncode == 0, built.stderr
    assert objects(built.stdout) == objects("---\n".join(result.texts.values()))


def test_the_command_writes_a_new_folder_and_leaves_the_old_one(tmp_path, capsys):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "pod.yaml").write_text(POD)
    (folder / "other.yaml").write_text("a: b  # c\n")

    assert run(str(folder), tmp_path / "out", "claims") == 0

    assert (folder / "deep" / "pod.yaml").read_text() == POD
    assert (tmp_path / "out" / "other.yaml").read_text() == "a: b  # c\n"
    assert "resourceClaimTemplateName" in (tmp_path / "out" / "deep" / "pod.yaml").read_text()
    assert (tmp_path / "out" / "deviceclasses.yaml").exists()
    said = capsys.readouterr().out
    assert "-        nvidia.com/gpu: 1" in said
    assert "+  resourceClaims:" in said
    assert "1 migrated, 0 for a human" in said


@pytest.mark.parametrize(
    ("out", "word"), [("in/out", "is inside"), ("in", "is not empty"), ("in/pod.yaml", "is no folder")]
)
def test_the_command_overwrites_nothing(out, word, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "pod.yaml").write_text(POD)

    assert run(str(tmp_path / "in"), tmp_path / out, "claims") == 2
    assert word in capsys.readouterr().err
    assert [each.name for each in (tmp_path / "in").iterdir()] == ["pod.yaml"]


def test_the_command_says_what_it_could_not_do(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(REFUSED["a share"][0])
    (tmp_path / "b.yaml").write_text("a: [\n")

    assert run(str(tmp_path / "a.yaml"), tmp_path / "one", "claims") == 1
    assert "needs a human: a.yaml:10 Pod team/p" in capsys.readouterr().out
    assert run(str(tmp_path / "b.yaml"), tmp_path / "two", "claims") == 2
    assert "b.yaml:1: is not YAML" in capsys.readouterr().err
    assert run(str(tmp_path), tmp_path.parent / "three", "sideways") == 2
    assert "is none of claims, extended" in capsys.readouterr().err


DEVICES = {
    "gpu-0": ("gpu", "NVIDIA L40S", "46068Mi", ""),
    "gpu-1": ("gpu", "NVIDIA L40S", "46068Mi", ""),
    "gpu-2-mig-0": ("mig", "NVIDIA H100 80GB HBM3", "9984Mi", "1g.10gb"),
}


def cluster():
    """One node with two GPUs and a MIG device."""
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"zone": "a", "nvidia.com/gpu.product": "NVIDIA-L40S"}},
    }
    node["status"] = {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}}
    devices = [
        {
            "name": name,
            "attributes": {"type": {"string": kind}, "productName": {"string": product}}
            | ({"profile": {"string": profile}} if profile else {}),
            "capacity": {"memory": {"value": memory}},
        }
        for name, (kind, product, memory, profile) in DEVICES.items()
    ]
    pool = {"name": "n", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "gpu.nvidia.com", "nodeName": "n", "pool": pool, "devices": devices}
    part = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"}, "spec": spec}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [node, part]})


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("style", STYLES)
def test_a_migrated_workload_finds_its_devices_in_a_simulation(kind, style, tmp_path):
    (tmp_path / "cluster.json").write_text(cluster())
    text = workload(kind, style)

    said = compare(tmp_path / "cluster.json", {"a.yaml": text}, migrated(text).texts)

    assert "before: 0 of 1 pods placed" in said
    assert said.endswith("after: 1 of 1 pods placed")


def test_the_selectors_of_a_migration_choose_by_product_memory_and_profile(tmp_path):
    (tmp_path / "cluster.json").write_text(cluster())
    mig = POD.replace("nvidia.com/gpu", "nvidia.com/mig-1g.10gb")
    wanted = {
        POD + "  nodeSelector: {nvidia.com/gpu.product: NVIDIA-L40S}\n": 1,
        POD + "  nodeSelector: {nvidia.com/gpu.product: L40S}\n": 1,
        POD + "  nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}\n": 0,
        POD + "  nodeSelector: {nvidia.com/gpu.memory: '46068'}\n": 1,
        POD + "  nodeSelector: {nvidia.com/gpu.memory: '81559'}\n": 0,
        mig: 1,
        mig.replace("1g.10gb", "3g.40gb"): 0,
        mig + "  nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3, nvidia.com/gpu.memory: '81559'}\n": 1,
    }

    for text, placed in wanted.items():
        said = compare(tmp_path / "cluster.json", {"a.yaml": text}, migrated(text).texts)

        assert f"after: {placed} of 1 pods placed" in said, text


def test_a_cluster_says_what_the_migration_gains(tmp_path):
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "cluster.json").write_text(cluster())

    out, check = str(tmp_path / "out"), str(tmp_path / "cluster.json")
    done = CliRunner().invoke(cli.app, ["migrate", str(tmp_path / "pod.yaml"), "--out", out, "--check", check])

    assert done.exit_code == 0, done.output
    assert "before: 0 of 1 pods placed; team/p:" in done.output
    assert "after: 1 of 1 pods placed\n" in done.output

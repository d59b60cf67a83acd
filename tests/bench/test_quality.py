import json
from xml.etree import ElementTree

import pytest

from e2e.bench import quality
from e2e.bench.bounds import Bounds
from e2e.bench.plot import Bars, svg


@pytest.fixture
def traces(tmp_path):
    nodes = "".join(f"n{i},96000,262144,4,{'T4' if i % 2 else 'G2'}\n" for i in range(6))
    pods = "".join(f"p{i:03d},4000,8192,1,{(460, 810, 1000)[i % 3]},{'T4' if i % 5 == 0 else ''}\n" for i in range(30))
    (tmp_path / quality.NODES).write_text(f"sn,cpu_milli,memory_mib,gpu,model\n{nodes}")
    for name in quality.TRACES.values():
        (tmp_path / f"openb_pod_list_{name}.csv").write_text(
            f"name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n{pods}"
        )
    return tmp_path


def test_a_policy_runs_where_it_is_known(traces, capsys):
    assert quality.main(["--traces", str(traces), "--policy", "bestfit", "--seeds", "1", "--share", "0.02"]) == 0

    assert {line["scenario"] for line in lines(capsys)} == {*quality.NAMES} - {"S7", "S8"}


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_scenario_has_a_line_a_seed_and_one_in_all(traces, tmp_path, capsys):
    plotted = tmp_path / "plot.svg"

    code = quality.main([
        "--traces", str(traces), "--policy", "firstfit", "--seeds", "1,2", "--share", "0.02", "--plot", str(plotted)
    ])  # fmt: skip

    found = lines(capsys)
    assert code == 0
    assert [line["scenario"] for line in found] == [name for name in quality.NAMES for _ in range(3)]
    for line in found:
        if "seed" in line:
            assert line["policy"] == "firstfit"
            assert line["baseline"]["policy"] in {"kube", "fgd", "firstfit"}
            assert "bound" in line
        else:
            assert line["seeds"] == [1, 2]
    texts = [each.text for each in ElementTree.fromstring(plotted.read_text()).iter() if each.text]
    assert sum(any(text.startswith(f"{name} ") for text in texts) for name in quality.NAMES) == len(quality.NAMES)


@pytest.mark.parametrize(
    ("scenario", "figure"), [("S4", "utilisation"), ("S3c", "utilisation"), ("S8", "aligned_nics")]
)
def test_the_engine_is_measured_in_the_same_way(traces, capsys, scenario, figure):
    code = quality.main(["--traces", str(traces), "--scenario", scenario, "--seeds", "1", "--share", "0.02"])

    first, last = lines(capsys)
    assert code == 0
    assert first["policy"] == "dovetail"
    assert first["pods_per_second"] > 0
    assert last["mean"][figure] == first[figure]


def test_score_is_the_way_from_baseline_to_bound():
    found = quality.summary(
        [{"alloc": 94.0, "wait": 0.1}, {"alloc": 96.0, "wait": 0.3}],
        [{"alloc": 92.0, "wait": 0.2}, {"alloc": 92.0, "wait": 0.2}],
        [{"alloc": 98.0}, {"alloc": 98.0}],
    )

    assert found["mean"] == {"alloc": 95.0, "wait": 0.2}
    assert found["worst"] == {"alloc": 94.0, "wait": 0.3}
    assert found["score"] == {"alloc": 0.5}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scenario", "S1"], "name their folder by --traces"),
        (["--scenario", "S1", "--traces", "/nowhere"], "cannot be read"),
        (["--scenario", "S6", "--policy", "fgd"], "S6: no policy fgd; there are: dovetail, firstfit"),
    ],
)
def test_bad_input_is_told(monkeypatch, capsys, arguments, says):
    monkeypatch.delenv("DOVETAIL_TRACES", raising=False)

    assert quality.main(arguments) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", ["S6", "S7", "S8"])
def test_kept_baselines_are_what_the_code_computes(name):
    [scenario] = quality.scenarios([name], quality.Options(None, 1.0), Bounds(compute=False))
    kept = Bounds(compute=False).baseline(f"{name} {scenario.baseline} {scenario.on}", 42, dict)

    now = scenario.run(scenario.baseline, 42, {})

    assert kept
    assert now == pytest.approx(kept)


def test_each_weight_is_tried_a_little_off(capsys):
    near = quality.perturbed({"packing": 2.0, "spreading": 0.0}, 0.1)

    assert sorted({weights["packing"] for weights in near}) == pytest.approx([1.8, 2.0, 2.2])
    assert all(weights["spreading"] == 0 for weights in near)
    shares = ["--share", "0.002", "--seeds", "1"]
    assert quality.main(["--scenario", "S8", *shares, "--weights", "packing=2", "--perturb", "0.1"]) == 0
    *_, mean, off = lines(capsys)
    assert off["perturb"] == 0.1
    assert off["mean"].keys() == mean["mean"].keys()


@pytest.mark.parametrize(
    "arguments", [["--scenario", "S99"], ["--seeds", "x"], ["--share", "0"], ["--weights", "pakcing=1"]]
)
def test_bad_arguments_are_refused(capsys, arguments):
    with pytest.raises(SystemExit):
        quality.main(arguments)
    assert "error" in capsys.readouterr().err


def test_bars_end_where_their_values_are():
    drawn = ElementTree.fromstring(svg([Bars("S1", 80.0, 90.0, None)], "<policy>"))

    widths = [float(each.get("width")) for each in drawn.iter() if each.get("fill") in {"#9a9a9a", "#2b6cb0"}]
    assert widths[1] / widths[0] == 2  # from 70: 10 and 20 of 30
    assert any("<policy>" in (each.text or "") for each in drawn.iter())

"""Laws of plans: rules are kept, order does not matter, existing claims count, what does not fit is told why."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from scheduler.cli import app
from scheduler.cluster.decode import decode
from scheduler.core.gates import Gates
from scheduler.sharing import command, report
from scheduler.sharing.evening import even
from scheduler.sharing.exact import optimum
from scheduler.sharing.packing import pack
from scheduler.sharing.problem import problem
from scheduler.sharing.relaxation import Relaxation, reachable
from scheduler.sharing.supply import Fleet, supply
from scheduler.sharing.wishes import COMPUTE, Model, parse_models
from scheduler.simulator.fleet import device_classes, fleet
from scheduler.simulator.objects import parse
from tests.sharing import small

GI = 2**30


def stock(raws):
    return command.stock_of(parse("fleet", json.dumps({"apiVersion": "v1", "kind": "List", "items": raws})), "fleet")


def model(name="a", memory=4, compute=700, *, replicas=1, **fields):
    given = {"namespace": "default", "isolation": "none", "products": (), "spread": "gpu", **fields}
    return Model(name=name, replicas=replicas, memory=memory * GI, compute=compute, **given)


def planned(raws, *models):
    return command.planned(models, stock(raws))


def shareable(raws, step="1Mi"):
    for raw in raws:
        for device in raw["spec"].get("devices", ()) if raw["kind"] == "ResourceSlice" else ():
            small.share(device, step)
    return raws


def holding(name, node, device, **result):
    """A claim of somebody that has a device."""
    found = {"request": "r", "driver": "gpu.nvidia.com", "pool": node, "device": device, **result}
    request = {"name": "r", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "other"},
        "spec": {"devices": {"requests": [request]}},
        "status": {"allocation": {"devices": {"results": [found]}}},
    }


# ---------------------------------------------------------------- packings of any size


def keeps_the_rules(posed, packing):
    """No rule of the problem is broken, told by its own words and nothing of the solvers."""
    counted = np.zeros(len(posed.models), int)
    seen, at = set(), {}
    for seat in packing.seats:
        assert seat.gpu not in seen
        seen.add(seat.gpu)
        assert seat.gpu in posed.kinds[seat.pattern.kind].gpus
        for row, count in seat.pattern.counts:
            counted[row] += count
            assert count == 1 or not posed.single[row]
            if posed.lonely[row]:
                at.setdefault(row, []).append(posed.gpus[seat.gpu].node)
        if seat.pattern.mode == "cut":
            [cut] = [
                c
                for c in posed.cuts
                if c.kind == seat.pattern.kind and {p for _, p in seat.pattern.parts} <= {*c.parts}
            ][:1]
            assert len({part for _, part in seat.pattern.parts}) == len(seat.pattern.parts)
            assert all(cut.fits[row, cut.parts.index(part)] for row, part in seat.pattern.parts)
        else:
            key = (seat.pattern.kind, seat.pattern.mode, seat.pattern.tenant)
            [way] = [w for w in posed.bins if (w.kind, w.mode, w.tenant) == key]
            assert all(way.able[row] for row, _ in seat.pattern.counts)
            assert (sum(way.takes[row] * count for row, count in seat.pattern.counts) <= way.room).all()
    assert all(len(nodes) == len(set(nodes)) for nodes in at.values())
    assert (counted + np.array(packing.missing) == posed.replicas).all()


@pytest.mark.parametrize("seed", range(20))
def test_packings_keep_the_rules_and_lie_between_bound_and_optimum(seed):
    posed = problem(small.models(seed), stock(small.raws(seed)).gpus, fractional=True)
    if not posed.bins and not posed.cuts:
        return
    relaxation = Relaxation(posed)
    least, worth = relaxation.linear()

    packing = pack(posed, worth, least)
    exact = optimum(posed)

    keeps_the_rules(posed, packing)
    keeps_the_rules(posed, exact)
    keeps_the_rules(posed, even(posed, packing))
    assert least <= relaxation.integer() <= exact.cost(posed) <= packing.cost(posed)
    assert even(posed, packing).cost(posed) == packing.cost(posed)


def test_a_larger_problem_is_packed_close_to_its_bound():
    models = [
        model(
            f"m{n}", 3 + n % 9, 350 + n % 7 * 210, namespace=f"t{n % 3}", isolation="memory" if n % 8 == 0 else "none"
        )
        for n in range(150)
    ]
    raws = fleet({"dgx-h100-dynamic-mig": 2, "dgx-a100": 1}) + shareable(fleet({"l40s-pcie": 2}))

    plan = planned(raws, *models)

    assert plan.absent == 0
    assert plan.method != "all patterns"
    assert plan.gap <= 0.06


def test_equal_problems_have_equal_plans():
    models = [model(f"m{n}", 2 + n % 11, 400 + 70 * n % 900, namespace=f"t{n % 2}") for n in range(60)]
    raws = fleet({"dgx-a100": 1}) + shareable(fleet({"l40s-pcie": 1}))

    one = report.as_json(planned(raws, *models), stock(raws))
    other = report.as_json(planned(raws[::-1], *models), stock(raws[::-1]))

    assert one == other


# ---------------------------------------------------------------- what each way may hold


def test_a_claim_is_shared_within_one_namespace_only():
    raws = fleet({"a100-one-bridge": 1})

    apart = planned(raws, model("a", namespace="x"), model("b", namespace="y"))
    together = planned(raws, model("a", namespace="x"), model("b", namespace="x"))

    assert (apart.used, together.used) == (2, 1)
    assert [each.mode for each in together.placed] == ["claim"]


def test_shares_are_for_every_namespace_and_rounded_as_the_driver_says():
    raws = shareable(fleet({"a100-one-bridge": 1}), "5Gi")

    plan = planned(raws, *(model(f"m{n}", 6, 70, namespace=f"t{n}") for n in range(4)))

    assert plan.used == 1  # 4 x 10Gi of 40Gi
    assert plan.placed[0].spare_memory == 0
    assert planned(raws, *(model(f"m{n}", 6, 70, namespace=f"t{n}") for n in range(5))).used == 2


def test_isolation_of_memory_takes_a_part_and_full_a_gpu():
    raws = fleet({"dgx-a100-dynamic-mig": 1})

    parts = planned(raws, *(model(f"m{n}", 4, 700, isolation="memory") for n in range(7)))
    alone = planned(raws, *(model(f"m{n}", 4, 700, isolation="full") for n in range(3)))

    assert [each.mode for each in parts.placed] == ["cut"]
    assert [each.mode for each in alone.placed] == ["whole"] * 3


def test_parts_exclude_each_other_by_place():
    raws = fleet({"dgx-a100-dynamic-mig": 1})
    three, four, one = (model(f"m{n}", 15, n * COMPUTE // 7, isolation="memory") for n in (3, 4, 1))
    small_one = model("s", 4, 700, isolation="memory")

    assert planned(raws, three, four).used == 1
    assert planned(raws, three, model("n3", 15, 3000, isolation="memory")).used == 1
    assert planned(raws, three, four, small_one).used == 2  # no memory slice is left, though 8 - 4 - 4 compute would do
    assert planned(raws, one).placed[0].tenants[0].part.profile.startswith("3g")


def test_replicas_stay_apart_as_asked():
    raws = fleet({"a100-one-bridge": 2})

    assert planned(raws, model(replicas=3, spread="none")).used == 1
    assert planned(raws, model(replicas=3, spread="gpu")).used == 3
    plan = planned(raws, model(replicas=3, spread="node"))
    assert plan.used == 2
    assert plan.missing[0].reason == "spread: node, and it may be on 2 nodes for 3 replicas"


# ---------------------------------------------------------------- what is taken, and what does not fit


def test_what_claims_hold_is_not_planned_with():
    raws = fleet({"a100-one-bridge": 1})
    node = raws[0]["metadata"]["name"]
    taken = [holding(f"c{n}", node, f"gpu-{n}") for n in range(3)]

    plan = planned(raws + taken, model("a", 30), model("b", 30))

    assert [each.gpu.name for each in plan.placed] == ["gpu-3"]
    assert plan.absent == plan.least_missing == 1
    assert plan.missing[0].reason == "the 1 GPU that it may use is full in any plan"
    assert plan.missing[0].remedy.startswith("1 more NVIDIA A100")


def test_a_gpu_whose_shares_are_in_use_is_joined_before_another_is_put_to_use():
    raws = shareable(fleet({"a100-one-bridge": 1}))
    node = raws[0]["metadata"]["name"]
    held = holding(
        "c", node, "gpu-2", shareID="f3c7a0f2-4f0e-4b0e-9f0e-000000000001", consumedCapacity={"memory": "30Gi"}
    )

    plan = planned([*raws, held], model("a", 9))

    assert (plan.used, plan.joined, plan.least) == (0, 1, 0)
    assert plan.placed[0].gpu.name == "gpu-2"
    assert plan.placed[0].spare_memory == GI


def test_counters_that_a_taken_part_draws_are_gone():
    raws = fleet({"dgx-a100-dynamic-mig": 1})
    node = raws[0]["metadata"]["name"]
    taken = [holding(f"c{n}", node, f"gpu-{n}-mig-3g20gb-9-0") for n in range(8)]

    plan = planned(raws + taken, model("a", 15, 3000, isolation="memory"), model("b", 39, 700, isolation="full"))

    assert plan.used == 0
    assert plan.joined == 1
    assert plan.placed[0].tenants[0].part.offer.device.name.endswith("9-4")
    assert plan.missing[0].reason == "isolation: full needs a GPU of its own, and all are cut or in use"


@pytest.mark.parametrize(
    ("wanted", "reason", "remedy"),
    [
        (model(memory=50), "it needs 50Gi of memory, and the most of a GPU that it may have is 40Gi", "larger GPU"),
        (model(products=("*B200*",)), "no GPU matches products *B200*", "the fleet has NVIDIA A100"),
        (model(memory=30, replicas=5), "spread: gpu, and it may be on 4 GPUs for 5 replicas", "add 1 GPU"),
        (
            model(memory=30, replicas=5, spread="none"),
            "the 4 GPUs that it may use are full in any plan",
            "1 more NVIDIA",
        ),
    ],
)
def test_what_does_not_fit_is_told_why(wanted, reason, remedy):
    plan = planned(fleet({"a100-one-bridge": 1}), wanted)

    [missing] = plan.missing
    assert missing.reason == reason
    assert remedy in missing.remedy


def test_the_remedy_is_true():
    raws = fleet({"a100-one-bridge": 1})
    wanted = model(memory=15, compute=700, replicas=13, spread="none")

    plan = planned(raws, wanted)
    assert plan.missing[0].remedy.startswith("3 more NVIDIA A100")  # two on a GPU, 5 are left

    assert planned(fleet({"a100-one-bridge": 2}), wanted).missing == ()


# ---------------------------------------------------------------- words


def test_every_format_tells_the_same():
    raws = fleet({"a100-one-bridge": 1}) + device_classes()
    plan, found = planned(raws, model("a"), model("b", 50)), stock(raws)

    table = report.as_table(plan, found)
    as_json = json.loads(report.as_json(plan, found))

    assert as_json["summary"]["gpusUsed"] == 1
    assert as_json["summary"]["gpusAtLeast"] == 1
    assert "GPUs put to use: 1 of 4" in table
    assert "proven: no plan uses fewer with 1 replicas without a place" in table
    assert "no place: default/b, 1 of 1" in table
    assert as_json["missing"][0]["model"] == "default/b"
    assert "whole: a GPU of its own" in table
    assert "gpusUsed: 1" in report.as_yaml(plan, found)


def test_models_are_read_as_written():
    [found] = parse_models(
        "m", "models:\n- {name: a, namespace: n, replicas: 2, memory: 1536Mi, compute: 2g, products: ['*H100*']}\n"
    )

    assert found == Model("n", "a", 2, 3 * GI // 2, 2000, "none", ("*H100*",), "gpu", 2)


def test_gates_that_are_off_leave_devices_out():
    raws = shareable(fleet({"a100-one-bridge": 1})) + fleet({"l4-pcie": 1})
    found = Fleet()
    for raw in raws:
        item = decode(raw["kind"], {**raw, "metadata": {"uid": "x", **raw["metadata"]}})
        (found.nodes if raw["kind"] == "Node" else found.slices).append(item)

    old, new = supply(found, Gates.of_version(35)), supply(found, Gates())

    assert (len(old.gpus), len(new.gpus)) == (8, 12)
    assert old.left_out == {"devices of gpu.nvidia.com can be shared, and gate DRAConsumableCapacity is off": 4}


@pytest.mark.parametrize(("room", "sizes", "most"), [(45, [4, 6], 44), (45, [7, 3], 45), (5, [6], 0), (9, [], 9)])
def test_a_room_counts_as_far_as_it_can_be_filled(room, sizes, most):
    assert reachable(room, sizes) == most


def test_the_command_prints_a_plan_and_writes_its_claims(tmp_path):
    (tmp_path / "models.yaml").write_text(
        "models:\n- {name: a, replicas: 5, memory: 30Gi, compute: 10%, spread: none}\n"
    )
    raws = {"apiVersion": "v1", "kind": "List", "items": fleet({"a100-one-bridge": 1})}
    (tmp_path / "fleet.json").write_text(json.dumps(raws))
    given = ["plan", "share", "--models", str(tmp_path / "models.yaml"), "--fleet", str(tmp_path / "fleet.json")]

    done = CliRunner().invoke(app, [*given, "--format", "json", "--out", str(tmp_path / "out")])

    assert done.exit_code == 1  # one replica has no place
    assert json.loads(done.stdout)["summary"]["replicasMissing"] == 1
    written = sorted(each.name for each in (tmp_path / "out").iterdir())
    assert written == ["claims.yaml", "classes.yaml", "kustomization.yaml", "workloads.yaml"]
    listed = (tmp_path / "out" / "kustomization.yaml").read_text()
    assert "- classes.yaml\n- claims.yaml\n" in listed
    assert "workloads" not in listed

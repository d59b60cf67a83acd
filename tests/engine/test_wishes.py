"""What pods prefer is honoured by default, where everything else is equal and where little else speaks against it."""

import pytest

from scheduler.core.budget import Budget
from scheduler.core.messages import Gone, RecordDecision
from scheduler.core.model import Image, Namespace
from scheduler.core.nodes import preference
from scheduler.core.wishes import Wishes
from tests.build import claim, gpus, leans, node, pod, pod_uid, requirement, taint, term, toleration
from tests.driving import Hands

SSD = term(requirement("disk", "In", "ssd"))
FAST = term(requirement("net", "Exists"))
MEGABYTE = 1024 * 1024


def fleet(**labels):
    """Nodes n1 to n6, some with labels."""
    return [node(f"n{number}", labels=labels.get(f"n{number}", {})) for number in range(1, 7)]


def decision(hands, name="p"):
    """The last about a pod."""
    return [each.decision for each in hands.of(RecordDecision) if each.decision.pod == f"default/{name}"][-1]


@pytest.mark.parametrize("name", ["n1", "n3", "n6"])
def test_a_pod_goes_where_it_prefers_to_be(name):
    hands = Hands(*fleet(**{name: {"disk": "ssd"}}), pod("p", preferred=[(1, SSD)])).settle()

    assert hands.node_of("p") == name
    assert decision(hands).winner.scores["affinity"] == 1.0
    assert decision(hands).runner_up.scores["affinity"] == 0.0


def test_the_terms_that_weigh_more_win():
    nodes = fleet(n2={"disk": "ssd"}, n4={"net": "fast"})

    assert Hands(*nodes, pod("p", preferred=[(30, SSD), (20, FAST)])).settle().node_of("p") == "n2"
    assert Hands(*nodes, pod("p", preferred=[(20, SSD), (30, FAST)])).settle().node_of("p") == "n4"


def test_a_pod_that_prefers_nothing_is_not_judged_by_it():
    hands = Hands(*fleet(n2={"disk": "ssd"}), pod("p")).settle()

    assert not {"affinity", "welcome", "images", "company", "evenness"} & decision(hands).winner.scores.keys()


def test_what_a_pod_prefers_comes_before_what_it_leaves_to_others():
    """The node in use would be taken otherwise, since that leaves a whole node to those who need one."""
    nodes = [node("n1", labels={"disk": "ssd"}), gpus("n1", 8), node("n2"), gpus("n2", 8)]
    before = [claim("held"), pod("first", claims=["held"], selector={"kubernetes.io/hostname": "n2"})]
    without = Hands(*nodes, *before, claim("c"), pod("p", claims=["c"], created="2027")).settle()
    hands = Hands(*nodes, *before, claim("c"), pod("p", claims=["c"], created="2027", preferred=[(1, SSD)])).settle()

    assert without.node_of("p") == "n2"
    assert hands.node_of("p") == "n1"


def test_scores_follow_the_best_node_that_is_left():
    """Once nothing fits on the best node, the second best is as good as it was."""
    nodes = [node("n1", cpu=1000, labels={"disk": "ssd", "net": "x"}), node("n2", labels={"net": "x"}), node("n3")]
    asking = {"cpu": 1000, "preferred": [(50, SSD), (50, FAST)]}
    hands = Hands(*nodes, pod("a", created="1", **asking), pod("b", created="2", **asking)).settle()

    assert (hands.node_of("a"), hands.node_of("b")) == ("n1", "n2")
    assert decision(hands, "a").runner_up.scores["affinity"] == 0.5
    assert decision(hands, "b").winner.scores["affinity"] == 1.0


def test_a_label_that_comes_later_counts():
    hands = Hands(*fleet(), pod("first", preferred=[(1, SSD)])).settle()

    hands.see(node("n5", labels={"disk": "ssd"}), pod("second", preferred=[(1, SSD)]))
    hands.settle()

    assert hands.node_of("second") == "n5"


def test_a_node_that_takes_the_row_of_one_that_went_is_in_its_own_place_among_equals():
    names = sorted((f"n{number}" for number in range(6)), key=lambda name: preference(0, name))
    new = next(name for name in (f"m{number}" for number in range(99)) if preference(0, name) < preference(0, names[0]))
    hands = Hands(*[node(name) for name in names], pod("first", cpu=1000, preferred=[(1, SSD)])).settle()
    assert hands.node_of("first") == names[0]

    hands.tell(Gone("Pod", "default/first", pod_uid("first")))
    hands.tell(Gone("Node", names[-1], ""))
    hands.see(node(new), pod("second", cpu=1000, preferred=[(1, SSD)]))
    hands.settle()

    assert hands.node_of("second") == new


def test_taints_that_would_rather_keep_a_pod_away_do_unless_it_tolerates_them():
    soft = [taint("busy", effect="PreferNoSchedule")]
    nodes = [node("n1", taints=soft), node("n2", taints=soft), node("n3")]

    assert Hands(*nodes, pod("p")).settle().node_of("p") == "n3"
    assert Hands(*nodes[:2], pod("p")).settle().node_of("p") in {"n1", "n2"}
    tolerant = Hands(*nodes, pod("p", tolerations=[toleration("busy")])).settle()
    assert decision(tolerant).winner.scores["welcome"] == 1.0


def test_a_taint_that_goes_is_forgotten():
    hands = Hands(node("n1", taints=[taint("busy", effect="PreferNoSchedule")]), node("n2"), pod("p")).settle()
    assert hands.node_of("p") == "n2"

    hands.see(node("n1"), pod("q"))
    hands.settle()

    assert "welcome" not in decision(hands, "q").winner.scores


def with_images(name, *sizes):
    return node(name, images=[Image(image, size * MEGABYTE) for image, size in sizes])


def test_a_pod_goes_where_its_images_are():
    nodes = [with_images("n1"), with_images("n2", ("a:1", 900)), with_images("n3", ("a:1", 900), ("b:latest", 700))]

    hands = Hands(*nodes, pod("p", images=["a:1", "b:latest"])).settle()

    assert hands.node_of("p") == "n3"
    assert decision(hands).winner.scores["images"] == pytest.approx(
        (900 * 2 / 3 + 700 / 3 - 23) / (2000 - 23), abs=1e-5
    )


def test_an_image_that_was_loaded_since_counts():
    hands = Hands(with_images("n1"), with_images("n2"), pod("p", images=["a:1"])).settle()
    assert "images" not in decision(hands).winner.scores

    hands.see(with_images("n1", ("a:1", 2000)), pod("q", images=["a:1"]))
    hands.settle()

    assert hands.node_of("q") == "n1"


def test_an_image_that_was_loaded_wakes_no_pod_and_what_else_changes_does():
    hands = Hands(with_images("n1"), pod("p", images=["a:1"], selector={"disk": "ssd"})).settle()
    hands.see(with_images("n1", ("a:1", 2000)))
    hands.settle()
    assert hands.engine.backlog.attempts(pod_uid("p")) == 1

    hands.see(node("n1", labels={"disk": "ssd"}))
    hands.settle()
    assert hands.node_of("p") == "n1"


@pytest.mark.interpreted
def test_wishes_are_weighed_again_only_after_something_moved(monkeypatch):
    looks, weigh = [], Wishes.weigh
    monkeypatch.setattr(Wishes, "weigh", lambda *args: looks.append(1) or weigh(*args))
    likes = [leans(10, requirement("app", "In", "db"), topology="kubernetes.io/hostname")]
    hands = Hands(*fleet(), with_images("n7", ("a:1", 900)), pod("p", images=["a:1"], leans=likes)).settle()
    state, [kept] = hands.engine.state, hands.engine._classes.values()

    def looked():
        looks.clear()
        kept.refresh(state, Budget(10**12))
        return len(looks)

    looked()
    assert looked() == 0
    for happening in (
        pod("web", labels={"app": "web"}, node="n1", scheduler="other"),
        pod("db", labels={"app": "db"}, node="n1", scheduler="other"),
        with_images("n6", ("a:1", 400)),
        node("n6", labels={"disk": "ssd"}),
    ):
        hands.see(happening)
        assert (looked(), looked()) == (1, 0)

    state.nodes.images.put(0, (), (Image("a:1", 5),))
    assert (looked(), looked()) == (1, 0)
    hands.see(Namespace("other", {"team": "red"}))
    assert (looked(), looked()) == (1, 0)


def test_columns_say_after_any_history_what_they_say_at_once():
    """Nodes come, change and go while pods are placed; a class that saw it all ranks as one that did not."""
    asking = {"cpu": 500, "preferred": [(3, SSD), (2, FAST)], "images": ["a:1"]}
    history = [
        *fleet(n2={"disk": "ssd"}), pod("a", **asking), with_images("n7", ("a:1", 800)),
        node("n3", labels={"disk": "ssd"}, taints=[taint("x", effect="PreferNoSchedule")]), pod("b", **asking),
        node("n2", labels={"net": "y"}), pod("c", **asking), with_images("n7", ("a:1", 200)),
        node("n4", labels={"disk": "ssd"}, cpu=700), pod("d", **asking), pod("e", **asking),
    ]  # fmt: skip
    hands = Hands()
    for item in history:
        hands.see(item)
        hands.settle()

    fresh = Hands(*hands.engine.state.node_by_name.current.values(), *hands.engine.state.pods.current.values())
    hands.see(pod("z", **asking))
    fresh.see(pod("z", **asking))

    seen, anew = decision(hands.settle(), "z"), decision(fresh.settle(), "z")
    assert (seen.winner.node, seen.winner.scores["affinity"], seen.winner.scores["images"]) == (
        anew.winner.node, anew.winner.scores["affinity"], anew.winner.scores["images"],
    )  # fmt: skip
    assert seen.runner_up.node == anew.runner_up.node

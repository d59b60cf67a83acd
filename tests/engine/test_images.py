"""Which images are on which nodes, as nodes come, go and load them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.images import Images
from scheduler.core.model import Image

SIZE = 4
NAMES = ("a", "b", "c")
ASKED = [("a",), ("a", "b"), ("b", "c", "b")]
loads = st.tuples(st.integers(0, SIZE - 1), st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), max_size=3))


@given(st.lists(loads, max_size=12))
def test_spread_is_that_of_what_nodes_have_and_no_version_stands_for_two(steps):
    table, held = Images(SIZE), [() for _ in range(SIZE)]
    seen = {names: {} for names in ASKED}
    for row, sizes in steps:
        images = tuple(Image(name, size * 1000) for name, size in sizes.items())
        table.put(row, held[row], images)
        held[row] = images

        present = [{image.name: image.size for image in each if image.size} for each in held]
        for names in ASKED:
            wanted = np.zeros(SIZE)
            for name in names:
                share = sum(name in each for each in present) / SIZE
                wanted += [np.floor(each.get(name, 0) * share) for each in present]
            found = table.spread(names, SIZE)
            assert found.tolist() == wanted.tolist()
            assert table.held(names) == any(name in each for name in names for each in present)
            assert seen[names].setdefault(table.version(names), found.tolist()) == found.tolist()


def test_what_happens_to_other_images_changes_no_version():
    table = Images(SIZE)
    table.put(0, (), (Image("a", 1),))
    before = table.version(["a"])

    table.put(1, (), (Image("b", 1),))
    assert table.version(["a"]) == before

    table.counted()
    assert table.version(["a"]) != before


def test_an_image_that_no_node_has_any_more_is_forgotten():
    table = Images(SIZE)
    table.put(0, (), (Image("a", 1),))
    table.put(0, (Image("a", 1),), ())

    assert not table.held(["a"])
    assert not table._sizes
    assert not table._changed_at

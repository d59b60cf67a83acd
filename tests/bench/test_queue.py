import pytest

from e2e.bench.queue import Job, Placer, first_come, lossy, stream


class Counter(Placer[int, int]):
    """So many places, all alike."""

    def __init__(self, places: int) -> None:
        self.left = places

    def place(self, kind: int) -> int | None:
        if kind > self.left:
            return None
        self.left -= kind
        return kind

    def free(self, got: int) -> None:
        self.left += got


JOBS = [Job(0.0, 5.0, 2), Job(1.0, 1.0, 2), Job(2.0, 1.0, 1), Job(7.0, 1.0, 3)]


def test_nobody_overtakes_the_first_in_the_queue():
    ran = first_come(JOBS, Counter(3))

    assert [(each.job.kind, each.begun) for each in ran] == [(2, 0.0), (2, 5.0), (1, 5.0), (3, 7.0)]


def test_what_does_not_fit_is_lost_where_nobody_waits():
    assert lossy(JOBS, Counter(3)) == [2, None, 1, 3]


def test_a_job_that_never_fits_is_told():
    with pytest.raises(RuntimeError, match="no room for"):
        first_come([Job(0.0, 1.0, 4)], Counter(3))


def test_a_stream_has_the_rate_the_services_and_the_shares_that_it_is_given():
    jobs = stream(("a", "b"), (0.25, 0.75), 10.0, 20_000, 1)

    assert jobs[-1].arrives == pytest.approx(2000, rel=0.03)
    assert sum(job.service for job in jobs) / len(jobs) == pytest.approx(1, rel=0.03)
    assert sum(job.kind == "a" for job in jobs) / len(jobs) == pytest.approx(0.25, abs=0.01)
    assert jobs == stream(("a", "b"), (0.25, 0.75), 10.0, 20_000, 1)

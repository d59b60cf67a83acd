import asyncio

import pytest

from scheduler.cluster.lease import LeaseFence, LeaseLock, LeaseLostError, LeaseTiming, OpenFence, lead
from scheduler.cluster.machine import Machine

PATH = "/apis/coordination.k8s.io/v1/namespaces/dovetail-system/leases/dovetail"
TIMING = LeaseTiming(lease_s=15, renew_s=10, retry_s=2)


@pytest.fixture
def make(client, clock):
    from kubernetes.aio.leaderelection.electionconfig import Config
    from kubernetes.aio.leaderelection.leaderelection import LeaderElection

    async def started():
        pass

    def make(identity):
        """One try of the official election at a time, with our lock and fence."""
        fence = LeaseFence(margin_s=5, clock=clock)
        lock = LeaseLock(client, fence, TIMING, Machine(clock, identity=lambda: identity))
        election = LeaderElection(Config(lock, TIMING.lease_s, TIMING.renew_s, TIMING.retry_s, started, None))
        return election, lock, fence

    return make


def test_without_election_every_write_passes():
    assert OpenFence().allows()


async def test_the_first_to_create_the_lease_leads(api, make):
    election, _, fence = make("a")

    assert await election.try_acquire_or_renew()
    assert fence.allows()
    spec = api.objects[PATH]["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("a", 15)
    assert spec["renewTime"].endswith("Z")


async def test_the_fence_closes_a_margin_before_the_lease_can_pass_on(make, clock):
    election, _, fence = make("a")
    await election.try_acquire_or_renew()

    clock.now += 9.9
    before = fence.allows()
    clock.now += 0.2

    assert before
    assert not fence.allows()


async def test_a_renewal_counts_from_its_start(api, make, clock):
    election, _, fence = make("a")
    await election.try_acquire_or_renew()

    async def slowly(fake, request):
        clock.now += 8
        return await type(api).default(fake, request)

    api.script("PUT", PATH, slowly)
    await election.try_acquire_or_renew()
    clock.now += 2.5

    assert not fence.allows()


async def test_a_failed_renewal_does_not_move_the_fence(api, make, clock, steps):
    election, _, fence = make("a")
    await election.try_acquire_or_renew()
    clock.now += 9
    api.script("PUT", PATH, steps.refuse(500), steps.refuse(504))

    assert not await election.try_acquire_or_renew()
    assert not await election.try_acquire_or_renew()
    clock.now += 2
    assert not fence.allows()


async def test_an_outage_does_not_end_the_election(api, make, steps):
    election, _, _ = make("a")
    api.script("GET", PATH, steps.refuse(503), steps.refuse(500))

    assert not await election.try_acquire_or_renew()
    assert not await election.try_acquire_or_renew()
    assert await election.try_acquire_or_renew()


async def test_a_second_process_waits_until_the_holder_was_silent_for_the_whole_lease(make, clock):
    first, _, _ = make("a")
    second, _, fence = make("b")
    await first.try_acquire_or_renew()

    early = await second.try_acquire_or_renew()
    clock.now += 14
    still = await second.try_acquire_or_renew()

    assert (early, still) == (False, False)
    assert not fence.allows()


async def test_a_silent_holder_is_replaced(api, make, clock):
    first, _, _ = make("a")
    second, _, fence = make("b")
    await first.try_acquire_or_renew()
    await second.try_acquire_or_renew()

    clock.now += 15.1
    second.observed_time_milliseconds -= 15_100  # the official election measures by the wall clock

    assert await second.try_acquire_or_renew()
    assert fence.allows()
    assert api.objects[PATH]["spec"]["leaseTransitions"] == 1


async def test_a_wall_clock_that_jumps_does_not_take_the_lease_from_its_holder(api, make):
    first, _, _ = make("a")
    second, _, _ = make("b")
    await first.try_acquire_or_renew()
    await second.try_acquire_or_renew()

    second.observed_time_milliseconds -= 3_600_000

    assert not await second.try_acquire_or_renew()
    assert api.objects[PATH]["spec"]["holderIdentity"] == "a"


async def test_a_renewed_lease_starts_the_wait_again(make, clock):
    first, _, _ = make("a")
    second, _, _ = make("b")
    await first.try_acquire_or_renew()
    await second.try_acquire_or_renew()
    clock.now += 9
    await first.try_acquire_or_renew()
    await second.try_acquire_or_renew()
    clock.now += 9
    second.observed_time_milliseconds -= 3_600_000

    assert not await second.try_acquire_or_renew()


async def test_of_two_who_take_over_at_once_one_wins(make, clock):
    first, _, _ = make("a")
    await first.try_acquire_or_renew()
    second, third = make("b"), make("c")
    for election, _, _ in (second, third):
        await election.try_acquire_or_renew()
        election.observed_time_milliseconds -= 3_600_000
    clock.now += 16

    won = await asyncio.gather(second[0].try_acquire_or_renew(), third[0].try_acquire_or_renew())

    assert sorted(won) == [False, True]
    assert [second[2].allows(), third[2].allows()] == won


async def test_a_lease_given_back_is_taken_at_once(make):
    first, lock, fence = make("a")
    second, _, _ = make("b")
    await first.try_acquire_or_renew()
    await second.try_acquire_or_renew()

    await lock.release()

    assert not fence.allows()
    assert await second.try_acquire_or_renew()


async def test_giving_back_leaves_the_lease_of_another_alone(api, make):
    first, _, _ = make("a")
    _, other, _ = make("b")
    await first.try_acquire_or_renew()

    await other.release()

    assert api.objects[PATH]["spec"]["holderIdentity"] == "a"


async def test_what_others_wrote_on_the_lease_survives_a_renewal(api, make):
    election, _, _ = make("a")
    await election.try_acquire_or_renew()
    api.objects[PATH]["metadata"]["labels"] = {"team": "x"}
    api.objects[PATH]["spec"]["strategy"] = "kept"

    await election.try_acquire_or_renew()

    assert api.objects[PATH]["metadata"]["labels"] == {"team": "x"}
    assert api.objects[PATH]["spec"]["strategy"] == "kept"


async def test_a_lease_may_be_renewed_more_often_than_once_a_second(api, client):
    timing = LeaseTiming(lease_s=1.5, renew_s=1, retry_s=0.01)
    lock = LeaseLock(client, LeaseFence(margin_s=0.5), timing)
    leading = asyncio.Event()

    task = asyncio.create_task(lead(lock, timing, leading))
    await leading.wait()
    begun = asyncio.get_running_loop().time()
    await api.until(lambda: len(api.sent("PUT")) >= 5)

    assert asyncio.get_running_loop().time() - begun < 4
    task.cancel()


async def test_a_wall_clock_that_jumps_back_does_not_keep_a_lease_that_nobody_renews(make, clock):
    first, _, _ = make("a")
    await first.try_acquire_or_renew()
    second, _, _ = make("b")
    await second.try_acquire_or_renew()
    second.observed_time_milliseconds += 3_600_000
    clock.now += 16

    assert await second.try_acquire_or_renew()


async def test_what_was_not_renewed_in_time_is_lost_whatever_the_wall_clock_says(make, clock):
    first, _, _ = make("a")
    await first.try_acquire_or_renew()
    clock.now += 9
    assert await first.try_acquire_or_renew()
    clock.now += 11

    with pytest.raises(LeaseLostError):
        await first.try_acquire_or_renew()


async def test_a_lease_that_is_lost_ends_the_lead(api, client, steps):
    timing = LeaseTiming(lease_s=1.5, renew_s=0.2, retry_s=0.02)
    lock = LeaseLock(client, LeaseFence(margin_s=0.5), timing)
    leading = asyncio.Event()

    task = asyncio.create_task(lead(lock, timing, leading))
    await leading.wait()
    api.script("PUT", PATH, *[steps.refuse(503)] * 1000)

    async with asyncio.timeout(30):
        await task
    assert not leading.is_set()

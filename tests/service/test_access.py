"""Who may read metrics and debug pages."""

import asyncio
import json

import pytest

from scheduler.cluster.client import ApiError
from scheduler.service.access import ACCESS_REVIEWS, TOKEN_REVIEWS, Access


class Reviewer:
    """Stands in for the API server: `tokens` by text, `grants` of (user, path)."""

    def __init__(self):
        self.tokens = {"good": {"username": "prometheus", "groups": ["g"], "uid": "u", "extra": {"k": ["v"]}}}
        self.grants = {("prometheus", "/metrics")}
        self.audiences = []
        self.asked = []
        self.failure = None
        self.hang = False

    async def request(self, method, path, body, timeout):
        spec = json.loads(body)["spec"]
        self.asked.append((path, spec))
        if self.failure is not None:
            raise self.failure
        if self.hang:
            await asyncio.Event().wait()
        if path == TOKEN_REVIEWS:
            user = self.tokens.get(spec["token"])
            status = {"authenticated": True, "user": user, "audiences": self.audiences} if user else {"error": "no"}
        else:
            granted = (spec["user"], spec["nonResourceAttributes"]["path"]) in self.grants
            status = {"allowed": granted, "reason": "because"}
        return json.dumps({"kind": "Review", "status": status}).encode()


@pytest.fixture
def reviewer():
    return Reviewer()


@pytest.fixture
def now():
    return [100.0]


@pytest.fixture
def access(reviewer, now):
    return Access(reviewer, clock=lambda: now[0])


async def status(access, header, path="/metrics"):
    return (await access.judge(header, path)).status


async def test_a_token_whose_account_may_get_the_path_is_let_in(access, reviewer):
    assert await status(access, "Bearer good") == 200

    (_, told), (_, asked) = reviewer.asked
    assert told == {"token": "good"}
    assert asked == {
        "user": "prometheus", "uid": "u", "groups": ["g"], "extra": {"k": ["v"]},
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
    }  # fmt: skip


async def test_a_path_that_was_not_granted_is_forbidden(access):
    assert await status(access, "Bearer good", "/debug/queue") == 403


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic Z29vZA==", "good", "Bearer " + "x" * 9000])
async def test_without_a_token_nobody_is_asked(access, reviewer, header):
    assert await status(access, header) == 401
    assert reviewer.asked == []


async def test_an_unknown_token_is_refused(access, reviewer):
    assert await status(access, "Bearer forged") == 401
    assert [path for path, _ in reviewer.asked] == [TOKEN_REVIEWS]


async def test_an_account_without_a_name_is_nobody(access, reviewer):
    reviewer.tokens["odd"] = {"username": ""}

    assert await status(access, "Bearer odd") == 401


@pytest.mark.parametrize(
    "failure",
    [ApiError("unknown", 503, "down"), ApiError("forbidden", 403, "not permitted"), TimeoutError(), ValueError("?")],
)
async def test_nothing_is_open_while_the_api_server_does_not_review(access, reviewer, failure):
    reviewer.failure = failure

    assert await status(access, "Bearer good") == 503

    reviewer.failure = None
    assert await status(access, "Bearer good") == 200  # a failure is not remembered


async def test_what_is_no_review_opens_nothing(reviewer):
    class Odd:
        async def request(self, *args, **kwargs):
            return b'{"status": {"authenticated": "yes"}}'

    assert await status(Access(Odd()), "Bearer good") == 503


async def test_verdicts_are_remembered_for_ten_seconds(access, reviewer, now):
    for _ in range(3):
        assert await status(access, "Bearer good") == 200
    assert len(reviewer.asked) == 2

    reviewer.grants.clear()
    now[0] += 9.9
    assert await status(access, "Bearer good") == 200
    now[0] += 0.2
    assert await status(access, "Bearer good") == 403


async def test_a_verdict_on_one_path_says_nothing_of_another(access):
    assert await status(access, "Bearer good") == 200
    assert await status(access, "Bearer good", "/debug/config") == 403


async def test_many_forged_tokens_are_remembered_in_bounded_space(access):
    for number in range(400):
        await status(access, f"Bearer forged-{number}")

    assert len(access._known) == 256


async def test_tokens_are_not_kept_as_they_are(access):
    await status(access, "Bearer good")

    assert "good" not in repr(access._known)


async def test_a_token_must_be_meant_for_our_audience(reviewer):
    access = Access(reviewer, ["dovetail"])

    assert await status(access, "Bearer good") == 401

    reviewer.audiences = ["dovetail"]
    assert await status(Access(reviewer, ["dovetail"]), "Bearer good") == 200
    assert reviewer.asked[0][1]["audiences"] == ["dovetail"]


def test_the_paths_are_those_of_the_api():
    assert TOKEN_REVIEWS == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert ACCESS_REVIEWS == "/apis/authorization.k8s.io/v1/subjectaccessreviews"

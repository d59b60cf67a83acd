import asyncio
import shutil
import ssl
import subprocess
import time

import pytest
from aiohttp import web

from scheduler.cluster.client import Address, ApiError, Client, error_of, load_address
from scheduler.core.errors import ConfigError


async def refused(work):
    with pytest.raises(ApiError) as caught:
        await work
    return caught.value


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, "invalid"), (401, "forbidden"), (403, "forbidden"), (404, "gone"), (409, "conflict"), (410, "gone"),
        (422, "invalid"), (500, "unknown"), (503, "unknown"), (504, "unknown"),
    ],
)  # fmt: skip
async def test_each_status_has_its_cause(api, client, steps, status, cause):
    api.script("GET", "/x", steps.refuse(status, "Why"), steps.refuse(status, "Why"))

    error = await refused(client.request("GET", "/x"))

    assert (error.cause, error.status) == (cause, status)
    assert "GET /x" in error.message
    assert "Why" in error.message


def test_an_error_that_is_no_status_object_is_quoted():
    assert "<html>" in error_of(502, b"<html>bad gateway", "GET /x").message


async def test_a_dropped_connection_leaves_the_outcome_unknown(api, client, steps):
    api.script("PATCH", "/x", steps.drop)

    assert (await refused(client.request("PATCH", "/x", b"{}"))).cause == "unknown"


async def test_a_late_answer_leaves_the_outcome_unknown(api, client, steps):
    api.script("PATCH", "/x", steps.hang)

    assert (await refused(client.request("PATCH", "/x", b"{}", timeout=0.05))).cause == "unknown"


async def test_a_server_that_is_not_there_leaves_the_outcome_unknown():
    client = Client(Address("http://127.0.0.1:1", None, None, None, None))

    error = await refused(client.request("GET", "/x"))

    await client.close()
    assert error.cause == "unknown"


async def test_throttling_is_waited_out_as_long_as_the_server_says(api, client, steps):
    api.put("/x", {})
    api.script("GET", "/x", steps.refuse(429, headers={"Retry-After": "0.1"}))
    begun = time.monotonic()

    await client.request("GET", "/x")

    assert time.monotonic() - begun >= 0.1


async def test_one_throttled_request_holds_the_others_too(api, client, steps):
    api.put("/x", {})
    api.put("/y", {})
    api.script("GET", "/x", steps.refuse(429, headers={"Retry-After": "0.1"}))
    first = asyncio.ensure_future(client.request("GET", "/x"))
    await api.until(lambda: api.requests)
    await asyncio.sleep(0.02)
    begun = time.monotonic()

    await client.request("GET", "/y")

    assert time.monotonic() - begun > 0.05
    await first


async def test_endless_throttling_is_given_up(api, client, steps):
    api.script("GET", "/x", *[steps.refuse(429, headers={"Retry-After": "0.001"})] * 50)

    error = await refused(client.request("GET", "/x"))

    assert error.status == 429
    assert len(api.requests) < 10


async def test_kinds_that_are_not_served_are_absent(api, client, steps):
    api.put("/apis/resource.k8s.io/v1", {"resources": [{"kind": "ResourceClaim"}, {"kind": "ResourceSlice"}]})

    assert await client.kinds("resource.k8s.io/v1") == {"ResourceClaim", "ResourceSlice"}
    assert await client.kinds("resource.k8s.io/v9") == frozenset()


KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{url}"{tls}}}}}]
users: [{{name: u, user: {{{user}}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""


def kubeconfig(tmp_path, url, user, tls=""):
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG.format(url=url, user=user, tls=tls))
    return path


async def test_the_token_of_a_kubeconfig_is_sent(api, tmp_path):
    api.put("/x", {})
    client = await Client.connect(kubeconfig(tmp_path, api.url, "token: secret"))

    await client.request("GET", "/x")

    await client.close()
    assert api.requests[0]["headers"]["Authorization"] == "Bearer secret"


async def test_a_rotated_token_file_is_read_again_after_a_401(api, tmp_path, steps):
    token = tmp_path / "token"
    token.write_text("old")
    api.put("/x", {})
    client = await Client.connect(kubeconfig(tmp_path, api.url, f"tokenFile: {token}"))
    await client.request("GET", "/x")
    token.write_text("new")
    api.script("GET", "/x", steps.refuse(401, "Unauthorized"))

    await client.request("GET", "/x")

    await client.close()
    assert [request["headers"]["Authorization"] for request in api.requests] == [
        "Bearer old",
        "Bearer old",
        "Bearer new",
    ]


async def test_a_401_that_lasts_is_told(api, client, steps):
    api.script("GET", "/x", *[steps.refuse(401, "Unauthorized")] * 5)

    assert (await refused(client.request("GET", "/x"))).cause == "forbidden"
    assert len(api.requests) == 2


@pytest.mark.parametrize("text", ["", "a: [", "kind: Config", "- 1", "clusters: 5\ncontexts: 6\nusers: 7"])
def test_an_unusable_kubeconfig_is_named(tmp_path, text):
    path = tmp_path / "broken"
    path.write_text(text)

    with pytest.raises(ConfigError, match="broken"):
        load_address(path)


def test_a_missing_kubeconfig_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        load_address(tmp_path / "nowhere")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_tls_is_checked_against_the_authority_of_the_kubeconfig(tmp_path):
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 "
        f"-days 1 -keyout {tmp_path}/key -out {tmp_path}/crt"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")

    async def hello(request):
        return web.Response(text="{}")

    application = web.Application()
    application.router.add_get("/x", hello)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    trusted = kubeconfig(tmp_path, url, "token: t", f", certificate-authority: {tmp_path}/crt")

    client = await Client.connect(trusted)
    answer = await client.request("GET", "/x")
    await client.close()
    untrusting = await Client.connect(kubeconfig(tmp_path, url, "token: t"))
    error = await refused(untrusting.request("GET", "/x"))
    await untrusting.close()
    await runner.cleanup()

    assert answer == b"{}"
    assert "certificate" in error.message.lower()


async def test_a_token_is_never_told(api, tmp_path, steps, caplog):
    secret = "tell-nobody-7f3a"
    caplog.set_level("DEBUG")
    client = await Client.connect(kubeconfig(tmp_path, api.url, f"token: {secret}"))
    said = []
    for step in (steps.refuse(401), steps.refuse(403), steps.refuse(500), steps.drop, steps.hang):
        api.script("GET", "/x", *[step] * 6)
        said.append(await refused(client.request("GET", "/x", timeout=0.05)))
        api.scripts.clear()
    api.put("/x", {})
    await client.request("GET", "/x")
    await client.close()
    nobody = await Client.connect(kubeconfig(tmp_path, "http://127.0.0.1:1", f"token: {secret}"))
    said.append(await refused(nobody.request("GET", "/x")))
    shown = [repr(each) for each in (*said, client, nobody, vars(said[0]), load_address(tmp_path / "kubeconfig"))]
    await nobody.close()

    assert api.requests[-1]["headers"]["Authorization"] == f"Bearer {secret}"
    assert len(said) == 6
    assert [text for text in [*shown, *map(str, said), caplog.text] if secret in text] == []

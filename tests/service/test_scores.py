"""Scores over gRPC as the configuration says: who may ask, and the command that serves them."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from scheduler.core.errors import ConfigError
from scheduler.service.scores import open_scores
from scheduler.service.settings import parse
from scoring.extender.client import RemoteError, ScoringClient, channel_credentials
from tests.extender.served import pod, registration

HEAD = "apiVersion: config.dovetail.scheduler/v1alpha1\nkind: SchedulerConfig\n"


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def files(tmp_path, authority):
    """Puts a pair for the server beside the authority of clients; returns the settings that name them."""

    def put():
        leaf = authority.issue_cert("localhost")
        (tmp_path / "ca.crt").write_bytes(authority.cert_pem.bytes())
        (tmp_path / "tls.crt").write_bytes(leaf.cert_chain_pems[0].bytes())
        (tmp_path / "tls.key").write_bytes(leaf.private_key_pem.bytes())
        return {name: str(tmp_path / file) for name, file in FILES.items()}

    return put


FILES = {"certFile": "tls.crt", "keyFile": "tls.key", "clientCAFile": "ca.crt"}


def settings(port, **grpc_section):
    section = {"host": "127.0.0.1", "port": port, **grpc_section}
    return parse(f"{HEAD}extender: {json.dumps({'grpc': section})}", "a test", {})


@contextlib.asynccontextmanager
async def serving(port, **section):
    served, scoring, _ = await open_scores(settings(port, **section))
    try:
        yield scoring
    finally:
        await served.stop(0.1)


async def asked(port, trusted, leaf=None):
    """How many nodes fit, as a client with this certificate hears it."""
    own = (leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()) if leaf else (b"", b"")
    credentials = channel_credentials(trusted.cert_pem.bytes(), *own)
    client = ScoringClient(
        f"127.0.0.1:{port}", registration, credentials=credentials, server_name="localhost",
        timeout_s=2.0, register_timeout_s=1.0,
    )  # fmt: skip
    try:
        [totals] = await client.totals([pod()])
        return totals.fitting
    finally:
        await client.close()


async def test_whoever_has_a_certificate_of_the_authority_is_answered(unused_tcp_port, files, authority):
    async with serving(unused_tcp_port, tls=files()):
        assert await asked(unused_tcp_port, authority, authority.issue_cert("scheduler")) == 4


@pytest.mark.parametrize("who", ["nobody", "somebody of another authority", "somebody whose certificate ended"])
async def test_nobody_else_is(unused_tcp_port, files, authority, who):
    ended = datetime.now(UTC) - timedelta(days=1)
    leaf = {
        "nobody": None,
        "somebody of another authority": trustme.CA().issue_cert("scheduler"),
        "somebody whose certificate ended": authority.issue_cert("scheduler", not_after=ended),
    }[who]
    async with serving(unused_tcp_port, tls=files()):
        with pytest.raises(RemoteError, match=r"DEADLINE_EXCEEDED|UNAVAILABLE"):
            await asked(unused_tcp_port, authority, leaf)


async def test_a_certificate_must_carry_one_of_the_names_that_are_given(unused_tcp_port, files, authority):
    async with serving(unused_tcp_port, tls={**files(), "clientNames": ["volcano", "kai"]}):
        with pytest.raises(RemoteError, match=r"PERMISSION_DENIED: no name of the certificate may call.*'scheduler'"):
            await asked(unused_tcp_port, authority, authority.issue_cert("scheduler"))
        assert await asked(unused_tcp_port, authority, authority.issue_cert("kai")) == 4


async def test_a_server_that_shows_another_authority_is_not_trusted(unused_tcp_port, files, authority):
    async with serving(unused_tcp_port, tls=files()):
        with pytest.raises(RemoteError, match=r"DEADLINE_EXCEEDED|UNAVAILABLE"):
            await asked(unused_tcp_port, trustme.CA(), authority.issue_cert("scheduler"))


async def test_renewed_certificates_count_from_the_next_connection_on(unused_tcp_port, files, tmp_path):
    first, second = trustme.CA(), trustme.CA()
    async with serving(unused_tcp_port, tls=_put(tmp_path, first)):
        assert await asked(unused_tcp_port, first, first.issue_cert("scheduler")) == 4
        _put(tmp_path, second)
        assert await asked(unused_tcp_port, second, second.issue_cert("scheduler")) == 4
        with pytest.raises(RemoteError):
            await asked(unused_tcp_port, second, first.issue_cert("scheduler"))


def _put(folder, authority):
    leaf = authority.issue_cert("localhost")
    for name, data in (
        ("ca.crt", authority.cert_pem.bytes()),
        ("tls.crt", leaf.cert_chain_pems[0].bytes()),
        ("tls.key", leaf.private_key_pem.bytes()),
    ):
        (folder / "new").write_bytes(data)
        os.replace(folder / "new", folder / name)
    return {name: str(folder / file) for name, file in FILES.items()}


async def test_beyond_loopback_nothing_is_served_without_certificates_of_clients():
    with pytest.raises(ConfigError, match="anybody could ask"):
        await open_scores(settings(10373, host="0.0.0.0"))
    with pytest.raises(ConfigError, match=r"extender\.grpc.*anybody could ask"):
        settings(10373, host="10.0.0.1", enabled=True)


async def test_an_address_that_is_taken_is_named(unused_tcp_port):
    async with serving(unused_tcp_port):
        with pytest.raises(ConfigError, match=rf"extender\.grpc 127\.0\.0\.1:{unused_tcp_port}: cannot be served on"):
            await open_scores(settings(unused_tcp_port))


async def test_the_command_serves_until_it_is_told_to_stop(unused_tcp_port, tmp_path):
    (tmp_path / "config.yaml").write_text(
        f"{HEAD}extender: {{grpc: {{port: {unused_tcp_port}}}}}\nweights: {{packing: 5}}\n"
    )
    command = [sys.executable, "-c", "from scheduler.cli import main; main()", "extender"]
    process = await asyncio.create_subprocess_exec(
        *command, "--config", str(tmp_path / "config.yaml"), stderr=asyncio.subprocess.PIPE
    )
    lines = [json.loads(await process.stderr.readline())]
    client = ScoringClient(f"127.0.0.1:{unused_tcp_port}", registration, timeout_s=5.0)
    [best] = await client.best([pod()], top=1)
    await client.close()
    process.send_signal(signal.SIGTERM)
    _, rest = await process.communicate()

    assert process.returncode == 0
    assert lines[0]["message"] == f"scores are served on 127.0.0.1:{unused_tcp_port}"
    assert "packing" in best[0].scores
    assert json.loads(rest.splitlines()[-1])["message"] == "stopping"


async def test_the_command_refuses_settings_that_cannot_be_used(tmp_path):
    (tmp_path / "config.yaml").write_text(f"{HEAD}extender: {{grpc: {{port: 0}}}}\n")
    command = [sys.executable, "-c", "from scheduler.cli import main; main()", "extender"]
    process = await asyncio.create_subprocess_exec(
        *command, "--config", str(tmp_path / "config.yaml"), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()

    assert process.returncode == 2
    assert "extender.grpc.port" in json.loads(said.splitlines()[-1])["message"]

"""agent.yaml and gateway.yaml lose nothing that they acknowledged, whoever is killed meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from threading import Thread

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from . import calls
from .process import wait_until
from .servers import Collector, Jaeger
from .waiting import in_jaeger

pytestmark = pytest.mark.backend

StartCollector = Callable[..., Collector]


def chunks(call: Sequence[ReadableSpan], size: int = 3) -> Iterator[Sequence[ReadableSpan]]:
    """The call in the small exports of a worker that is still talking."""
    for start in range(0, len(call), size):
        yield call[start : start + size]


def delivered(*collectors: Collector) -> bool:
    """Whether none of the collectors has anything left in its queue."""
    return all(each.own_metric("otelcol_exporter_queue_size") == 0 for each in collectors)


@pytest.mark.parametrize("away", [2, pytest.param(30, marks=pytest.mark.slow)], ids="{}s".format)
def test_gateway_is_killed_during_the_call(collector: StartCollector, jaeger: Jaeger, away: float) -> None:
    """While the gateway is away the worker's exports succeed; later no span is missing and none is there twice."""
    gateway = collector("gateway.yaml", name="gateway", JAEGER_ENDPOINT=jaeger.otlp_grpc)
    agent = collector("agent.yaml", name="agent", GATEWAY_ENDPOINT=gateway.otlp_grpc)
    call = calls.make_call(f"gateway away for {away} s", turns=12)
    parts = list(chunks(call))
    for part in parts[:10]:
        assert calls.send(agent.otlp_http, part)
    in_jaeger(jaeger, call[:30])
    wait_until("both queues are empty", lambda: delivered(agent, gateway))
    gateway.kill()
    killed = time.monotonic()
    for part in parts[10:25]:
        assert calls.send(agent.otlp_http, part)
    assert not delivered(agent)
    time.sleep(max(0.0, away - (time.monotonic() - killed)))
    gateway.start()
    for part in parts[25:]:
        assert calls.send(agent.otlp_http, part)
    assert in_jaeger(jaeger, call, seconds=90) == calls.sent(call)


def test_gateway_is_killed_while_it_receives(collector: StartCollector, jaeger: Jaeger) -> None:
    """A gateway killed at any moment of a stream loses no span; one may be there twice, never a changed one."""
    gateway = collector("gateway.yaml", name="gateway", JAEGER_ENDPOINT=jaeger.otlp_grpc)
    agent = collector("agent.yaml", name="agent", GATEWAY_ENDPOINT=gateway.otlp_grpc)
    call = calls.make_call("gateway killed in the stream", turns=40)
    acknowledged: list[bool] = []

    def talk() -> None:
        for part in chunks(call):
            acknowledged.append(calls.send(agent.otlp_http, part))
            time.sleep(0.02)

    stream = Thread(target=talk)
    stream.start()
    killed_in_the_stream = 0
    while stream.is_alive():
        time.sleep(0.3)
        gateway.kill()
        killed_in_the_stream += stream.is_alive()
        gateway.start()
    stream.join()
    assert killed_in_the_stream > 0
    assert all(acknowledged)
    records = in_jaeger(jaeger, call, seconds=90)
    assert list({record["id"]: record for record in records}.values()) == calls.sent(call)


def test_agent_is_killed(collector: StartCollector, jaeger: Jaeger) -> None:
    """What an agent acknowledged before it was killed is sent by the next one, the gateway away all the time."""
    gateway = collector("gateway.yaml", name="gateway", JAEGER_ENDPOINT=jaeger.otlp_grpc)
    agent = collector("agent.yaml", name="agent", GATEWAY_ENDPOINT=gateway.otlp_grpc)
    gateway.kill()
    call = calls.make_call("agent killed", turns=12)
    acknowledged: list[ReadableSpan] = []
    for part in chunks(call[:60]):
        if calls.send(agent.otlp_http, part):
            acknowledged += part
    agent.kill()  # at once after the last answer
    assert len(acknowledged) == 60
    assert not calls.send(agent.otlp_http, call[60:63], seconds=0.5)
    agent.start()
    for part in chunks(call[63:]):
        assert calls.send(agent.otlp_http, part)
        acknowledged += part
    gateway.start()
    assert in_jaeger(jaeger, acknowledged, seconds=90) == calls.sent(acknowledged)

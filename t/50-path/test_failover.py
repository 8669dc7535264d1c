# SPDX-License-Identifier: Apache-2.0
"""A provider that fails costs the client nothing that another provider could have given; what cannot be hidden is told honestly."""
import json
import socket
import time

import pytest
from stories import (ANSWER, SLOW, STREAM, USAGE, Gateway, Provider, answer, chunk, close, events, hang, raw, reset, sse, text_of, wait_for)

ERROR = {"error": {"message": "boom", "type": "server_error", "param": None, "code": None}}
FAST = "timeouts: {first_byte: %dms, idle: %dms}\n" % (400 * SLOW, 400 * SLOW)

FAILURES = {
    "reset before a byte": (reset, "reset"),
    "clean close before a byte": (close, "reset"),
    "500": (answer(500, ERROR), "fault"),
    "502 with a page": (answer(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}), "fault"),
    "503 while loading": (answer(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}), "fault"),
    "429": (answer(429, {"error": {"message": "slow down", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}}, {"Retry-After": "7"}), "rate"),
    "429 for money": (answer(429, {"error": {"message": "no money", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}), "quota"),
    "401 of our credential": (answer(401, {"error": {"message": "bad key", "type": "x", "param": None, "code": "invalid_api_key"}}), "credential"),
    "408": (answer(408, ERROR), None),
    "silence": (hang(30), "timeout"),
    "not HTTP": (raw(b"SSH-2.0-OpenSSH\r\n\r\n"), "protocol"),
    "cut body": (raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"), "reset"),
    "broken JSON": (answer(body=b'{"id": "x", '), "protocol"),
    "HTML with 200": (answer(body=b"<html></html>", headers={"Content-Type": "text/html"}), "protocol"),
    "error inside a 200": (answer(body=ERROR), None),
    "redirect": (answer(302, b"", {"Location": "http://127.0.0.1:1/"}), None),
}


@pytest.mark.parametrize("what", FAILURES)
def test_whole_answer_comes_from_the_next_provider_when_the_first_fails_by(what):
    step, outcome = FAILURES[what]
    with Provider(step) as bad, Provider(answer()) as good, Gateway({"bad": bad, "good": good}, config=FAST) as g:
        status, headers, data = g.ask()
        assert status == 200 and json.loads(data) == ANSWER
        assert headers["x-entente-provider"] == "good" and headers["x-entente-attempts"] == "2"
        record = g.records(1)[0]
        assert [a["provider"] for a in record["attempts"]] == ["bad", "good"]
        if outcome:
            assert record["attempts"][0]["outcome"] == outcome
        assert record["usage"]["source"] == "reported" and record["usage"]["output"] == 3


STREAM_FAILURES = {
    "reset after the head": events(then=reset, end=False),
    "close after the head": events(end=False),
    "empty stream": events(),
    "end marker alone": events(b"data: [DONE]\n\n"),
    "error as the first event": events(sse(ERROR, done=False)),
    "event that is not JSON": events(b"data: {\"id\": \n\n"),
    "JSON instead of a stream": answer(),
    "500": answer(500, ERROR),
    "silence after the head": events(then=hang(30), end=False),
}


@pytest.mark.parametrize("what", STREAM_FAILURES)
def test_stream_comes_from_the_next_provider_when_the_first_fails_by(what):
    with Provider(STREAM_FAILURES[what]) as bad, Provider(events(STREAM)) as good, Gateway({"bad": bad, "good": good}, config=FAST) as g:
        status, headers, seen = g.stream()
        assert status == 200 and text_of(seen) == "Hello there friend" and seen[-1] == "[DONE]"
        assert headers["x-entente-provider"] == "good"
        assert g.records(1)[0]["outcome"] == "answered"


LOST = {
    "reset": events(sse(chunk("Hello there"), done=False), then=reset, end=False),
    "close without the last chunk": events(sse(chunk("Hello there"), done=False), end=False),
    "clean end without finish": events(sse(chunk("Hello there"), done=False)),
    "error event": events(sse(chunk("Hello there"), ERROR, done=False)),
    "broken event": events(sse(chunk("Hello there"), done=False), b"data: nonsense\n\n"),
    "silence": events(sse(chunk("Hello there"), done=False), then=hang(30), end=False),
    "bad chunk size": events(sse(chunk("Hello there"), done=False), gap=0.1, end=False, then=lambda c: c.sendall(b"zz\r\n")),
}


@pytest.mark.parametrize("what", LOST)
def test_stream_lost_in_the_middle_ends_as_an_error_and_never_as_a_clean_end_by(what):
    with Provider(LOST[what]) as p, Provider(events(STREAM)) as other, Gateway({"one": p, "two": other}, config=FAST) as g:
        status, _, seen = g.stream()
        assert status == 200 and text_of(seen) == "Hello there"
        assert "[DONE]" not in seen and "error" in seen[-1] and seen[-1]["error"]["message"]
        assert not other.requests
        record = g.records(1)[0]
        assert record["outcome"] == "broken" and record["usage"]["source"] == "estimated" and record["usage"]["output"] == 2


def test_nobody_listening_is_told_as_502_with_the_provider_named():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        p.kill()
        status, _, data = g.ask()
        assert status == 502 and json.loads(data)["error"]["code"] == "provider_unreachable" and "one" in json.loads(data)["error"]["message"]
        assert g.records(1)[0]["usage"] == {"source": "none"}


def test_a_mistake_of_the_request_is_told_by_the_provider_and_not_retried():
    refusal = {"error": {"message": "temperature is too high", "type": "invalid_request_error", "param": "temperature", "code": None}}
    with Provider(answer(400, refusal)) as p, Provider(answer()) as other, Gateway({"one": p, "two": other}) as g:
        status, _, data = g.ask()
        assert status == 400 and json.loads(data) == refusal and not other.requests
        assert g.records(1)[0]["attempts"][0]["outcome"] == "refused"


def test_our_refused_credential_is_never_told_as_the_clients():
    with Provider(answer(401, {"error": {"message": "Incorrect API key provider-secret-canary", "type": "x", "param": None, "code": "invalid_api_key"}})) as p, Gateway({"one": p}) as g:
        status, _, data = g.ask()
        assert status == 502 and json.loads(data)["error"]["code"] == "provider_credential"


def test_rate_limit_of_every_provider_reaches_the_client_with_its_advice():
    limited = answer(429, {"error": {"message": "slow", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}}, {"Retry-After-Ms": "12000"})
    with Provider(limited) as p, Gateway({"one": p}) as g:
        status, headers, data = g.ask()
        assert status == 429 and headers["retry-after-ms"] == "12000" and headers["retry-after"] == "12"
        assert json.loads(data)["error"]["code"] == "rate_limit_exceeded"


def test_short_rate_limit_of_the_only_provider_is_waited_for():
    limited = answer(429, {"error": {"message": "slow", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}}, {"retry-after-ms": "300"})
    with Provider(limited, answer()) as p, Gateway({"one": p}) as g:
        began = time.monotonic()
        assert g.ask()[0] == 200 and time.monotonic() - began >= 0.3
        assert [a["outcome"] for a in g.records(1)[0]["attempts"]] == ["rate", "answered"]


def test_attempts_are_bounded():
    with Provider(answer(500, ERROR)) as p, Gateway({"one": p}, config="retry: {attempts: 2, backoff: 10ms}\n") as g:
        assert g.ask()[0] == 502
        assert len(p.requests) == 2 and len(g.records(1)[0]["attempts"]) == 2


def test_outage_is_not_doubled_by_retries():
    with Provider(answer(500, ERROR)) as p, Gateway({"one": p}, config="retry: {attempts: 3, backoff: 1ms, budget_percent: 20, budget_floor: 1}\nejection: {failures: 1000}\n") as g:
        for _ in range(100):
            g.ask()
        assert len(p.requests) <= 100 * 1.2 + 30, len(p.requests)


def test_failing_provider_is_left_alone_for_a_while():
    with Provider(answer(500, ERROR)) as bad, Provider(answer()) as good, Gateway({"bad": bad, "good": good}, config="ejection: {failures: 3, base: 60s}\n") as g:
        for _ in range(20):
            assert g.ask()[0] == 200
        assert len(bad.requests) == 3


def test_stale_kept_alive_connection_costs_nothing():
    with Provider(answer(keep=False)) as p, Gateway({"one": p}) as g:
        for _ in range(5):
            assert g.ask()[0] == 200
        assert all(len(r["attempts"]) == 1 for r in g.records(5))


def test_client_that_leaves_stops_the_provider_and_is_still_metered():
    endless = events(*[sse(chunk(" word"), done=False)] * 2000, gap=0.02)
    with Provider(endless) as p, Gateway({"one": p}) as g:
        s = socket.create_connection(("127.0.0.1", g.port))
        body = json.dumps({"model": "m", "stream": True, "messages": []}).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (g.key.encode(), len(body), body))
        while b" word" not in s.recv(65536):
            pass
        s.close()
        wait_for(lambda: p.lost == 1, 5, "the provider to be left")
        record = g.records(1)[0]
        assert record["outcome"] == "abandoned" and record["usage"]["source"] == "estimated" and 0 < record["usage"]["output"] < 500
        assert record["attempts"][0]["outcome"] == "cancelled"


def test_slow_client_slows_the_provider_and_not_the_memory():
    burst = [sse(chunk("x" * 8000), done=False)] * 4000  # 32 MB
    sent = []

    def counted(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in burst:
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            sent.append(len(part))
        return False
    with Provider(counted) as p, Gateway({"one": p}) as g:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", g.port))
        body = json.dumps({"model": "m", "stream": True, "messages": []}).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (g.key.encode(), len(body), body))
        s.recv(100)
        time.sleep(1.5)
        assert sum(sent) < 16_000_000, sum(sent)
        s.close()
        g.records(1)


def test_silent_stream_is_kept_alive_and_can_still_change_providers():
    slow = events(then=hang(30), end=False)
    with Provider(slow) as p, Provider(events(STREAM)) as q, Gateway({"one": p, "two": q}, config="timeouts: {first_byte: %dms, idle: %dms, ping: 200ms}\n" % (900, 900)) as g:
        status, _, data = g.ask({"model": "m", "stream": True, "messages": []})
        assert status == 200 and data.startswith(b": ping\n\n") and b"friend" in data and data.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("finish", [None, "stop"])
def test_stream_whose_only_event_lacks_its_blank_line_is_relayed_and_judged_as_any_other(finish):
    only = ("data: " + json.dumps(chunk("Hello", finish=finish))).encode()
    with Provider(events(only)) as p, Gateway({"one": p}) as g:
        status, _, seen = g.stream()
        assert status == 200 and text_of(seen) == "Hello"
        assert seen[-1] == "[DONE]" if finish else "error" in seen[-1]
        assert g.records(1)[0]["outcome"] == ("answered" if finish else "broken")


@pytest.mark.parametrize("finish", [None, "stop"])
def test_half_a_comment_at_the_end_of_a_stream_does_not_swallow_how_it_ended(finish):
    with Provider(events(sse(chunk("Hello", finish=finish), done=False) + b": keep-ali")) as p, Gateway({"one": p}) as g:
        status, _, seen = g.stream()
        assert status == 200 and text_of(seen) == "Hello"
        assert seen[-1] == "[DONE]" if finish else "error" in seen[-1]

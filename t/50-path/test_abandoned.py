# SPDX-License-Identifier: Apache-2.0
"""Clients that leave: what the provider did for them is in the books, whichever way config says."""
import json
import socket
import time

from stories import ANSWER, STREAM, USAGE, Gateway, Provider, answer, chunk, events, hang, reset, sse


def leave(gateway, body, after=None):
    """Asks, waits for a piece of the answer (bytes, or seconds), and is gone."""
    raw = json.dumps(body).encode()
    head = "".join("%s: %s\r\n" % kv for kv in gateway.headers().items())
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as s:
        s.sendall(("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (head, len(raw))).encode() + raw)
        if isinstance(after, bytes):
            data = b""
            while after not in data:
                data += s.recv(4096)
        else:
            time.sleep(after)


def asked(**more):
    return {"model": "m", "messages": [{"role": "user", "content": "Hello you"}], **more}


DRAIN = "abandoned: drain"


def test_a_stream_that_was_left_is_read_to_its_end_and_booked_at_the_providers_figure():
    slow = events(sse(chunk("Hello"), done=False), sse(chunk(" there"), done=False), sse(chunk(finish="stop"), chunk(usage=USAGE)), gap=0.3)
    with Provider(slow) as p, Gateway(providers={"one": p}, provider_options=DRAIN) as g:
        leave(g, asked(stream=True), b"Hello")
        record = g.records(1)[0]
        assert (record["outcome"], record["usage"]["source"], record["usage"]["input"], record["usage"]["output"]) == ("abandoned", "reported", 9, 3)
        assert record["attempts"][0]["outcome"] == "answered" and record["error"] == "client_gone"


def test_an_answer_that_was_left_before_its_first_byte_is_read_to_its_end():
    def late(connection, request):
        time.sleep(0.5)
        return answer(200, ANSWER)(connection, request)
    with Provider(late) as p, Gateway(providers={"one": p}, provider_options=DRAIN) as g:
        leave(g, asked(), 0.1)
        record = g.records(1)[0]
        assert (record["outcome"], record["usage"]["source"], record["usage"]["output"]) == ("abandoned", "reported", 3)


def test_a_provider_that_fails_while_nobody_listens_is_not_asked_again():
    broken = events(sse(chunk("Hello"), done=False), gap=0.3, end=False, then=reset)
    with Provider(broken) as p, Gateway(providers={"one": p}, provider_options=DRAIN) as g:
        leave(g, asked(stream=True), b"Hello")
        record = g.records(1)[0]
        assert (record["outcome"], record["usage"]["source"], len(record["attempts"])) == ("abandoned", "estimated", 1)
        assert len(p.requests) == 1


def test_without_draining_the_call_ends_and_what_was_seen_is_an_estimate():
    slow = events(sse(chunk("Hello there friend"), done=False), sse(chunk(finish="stop"), chunk(usage=USAGE)), gap=3)
    with Provider(slow) as p, Gateway(providers={"one": p}) as g:
        leave(g, asked(stream=True), b"Hello")
        record = g.records(1)[0]
        assert (record["outcome"], record["usage"]["source"], record["usage"]["output"]) == ("abandoned", "estimated", 3)
        assert record["usage"]["input"] > 0 and record["attempts"][0]["outcome"] == "cancelled"


def test_who_leaves_before_the_first_byte_still_owes_the_prompt():
    """Missing is not zero: the provider has the whole prompt. What it wrote is unknown, and not said."""
    with Provider(hang(3)) as p, Gateway(providers={"one": p}) as g:
        leave(g, asked(), 0.3)
        record = g.records(1)[0]
        assert (record["outcome"], record["usage"]["source"]) == ("abandoned", "estimated")
        assert record["usage"]["input"] > 0 and "output" not in record["usage"]


def test_a_shutdown_does_not_wait_for_answers_that_nobody_wants():
    with Provider(events(sse(chunk("Hello"), done=False), STREAM, gap=30)) as p, Gateway(providers={"one": p}, provider_options=DRAIN, config="drain: 300ms\n") as g:
        leave(g, asked(stream=True), b"Hello")
        time.sleep(0.2)
        began = time.monotonic()
        assert g.stop() == 0 and time.monotonic() - began < 10

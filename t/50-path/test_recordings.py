# SPDX-License-Identifier: Apache-2.0
"""What real providers said, byte for byte, through the gateway: each recording is replayed by a scripted provider, and the client must get
what was recorded, the record the usage that it holds.

The recordings are not in this tree: ENTENTE_FIXTURES names their folder (../shared by default). Each is a folder HOST/CASE with the
request, the answer, its headers and, for some, the sizes of the pieces in which it arrived. Here only those are used that an OpenAI
dialect covers. What is expected is computed in this file, from the recording alone.
"""
import json
import os
import re
import socket

import pytest
from stories import ENTENTE, Gateway, Provider, chunked

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
APIS = {"chat": "chat", "openai-chat": "chat", "completions": "completions", "embeddings": "embeddings"}
PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "embeddings": "/v1/embeddings"}
SMALL = 20_000  # bodies up to this size are also replayed in many small pieces


def folder():
    base = os.environ.get("ENTENTE_FIXTURES") or os.path.join(os.path.dirname(ROOT), "shared")
    inside = os.path.join(base, "fixtures")
    return inside if os.path.isdir(inside) else base


class Recording:
    def __init__(self, name):
        self.name, self.path = name, os.path.join(folder(), name)
        self.meta = self.load("meta.json")
        self.api, self.status = APIS[self.meta["api"]], self.meta["status"]
        self.host = self.meta["host"]
        with open(os.path.join(self.path, "response.body"), "rb") as f:
            self.body = f.read()
        self.stream = self.meta["response_kind"] == "sse"
        self.sizes = self.load("response.chunks.json") or [len(self.body)]

    def load(self, file):
        path = os.path.join(self.path, file)
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    def request(self):
        """As the client sent it; of the few whose request nobody recorded, a plain one."""
        plain = {"chat": {"messages": [{"role": "user", "content": "Hi"}]}, "completions": {"prompt": "Hi"}, "embeddings": {"input": "Hi"}}
        body = self.load("request.json") or plain[self.api]
        body["model"] = self.name
        if self.stream:
            body["stream"] = True
        return body

    def headers(self):
        """Those of the answer that a gateway could stumble over."""
        kept = {name: values[0] for name, values in (self.load("response.headers.json") or {}).items()
                if not re.match(r"content-length|transfer-encoding|connection|content-encoding|date|server$|cf-", name)}
        if not kept.get("content-type"):
            kept["content-type"] = "text/event-stream" if self.stream else "application/json"
        return kept

    def datas(self):
        """The data of each event by the rules of the WHATWG specification, written here a second time."""
        out, lines = [], []
        for line in re.split(r"\r\n|\n|\r", self.body.decode()):
            if line:
                lines += [line[5:][1:] if line[5:6] == " " else line[5:]] if line.startswith("data:") else []
            elif lines:
                out.append("\n".join(lines))
                lines = []
        return out + (["\n".join(lines)] if lines else [])

    def parsed(self):
        return [json.loads(d) for d in self.datas() if d != "[DONE]"]

    def answers(self):
        """The JSON documents of the answer: the events up to an error, or the body."""
        if not self.stream:
            return [json.loads(self.body)]
        until = next((i for i, e in enumerate(self.parsed()) if e.get("error")), None)
        return self.parsed()[:until]

    def breaks(self):
        return self.stream and any(e.get("error") for e in self.parsed())


def recordings():
    base = folder()
    names = []
    for host in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        for case in sorted(os.listdir(os.path.join(base, host))) if os.path.isdir(os.path.join(base, host)) else []:
            meta = os.path.join(base, host, case, "meta.json")
            if not os.path.exists(meta):
                continue
            with open(meta, encoding="utf-8") as f:
                meta = json.load(f)
            native = re.search(r":(batchE|e)mbedContent", meta["url"])  # Google's own dialect, which has embeddings of another shape
            if meta["api"] in APIS and not native:
                names.append(host + "/" + case)
    return names


NAMES = recordings()
WELL = [n for n in NAMES if "-error-" not in n]
STREAMS = [n for n in WELL if "-stream-" in n and "midstream" not in n]
WHOLE = [n for n in WELL if "-plain-" in n]
BROKEN = [n for n in NAMES if "midstream-error" in n]
ERRORS = [n for n in NAMES if "-plain-error-" in n]


# ---- the provider that replays, and the one gateway before it ----

class Replay:
    """Plays the recording that the request's model names. `pieces` cuts the body otherwise than it was recorded."""

    def __init__(self):
        self.requests, self.pieces = {}, None

    def __call__(self, connection, request):
        body = request.json()
        recording = Recording(body["model"][3:])  # "at-" stands before the name
        self.requests[recording.name] = (request, body)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = "HTTP/1.1 %d Recorded\r\n" % recording.status + "".join("%s: %s\r\n" % kv for kv in recording.headers().items())
        if not recording.stream:
            connection.sendall((head + "Content-Length: %d\r\n\r\n" % len(recording.body)).encode() + recording.body)
            return True
        connection.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
        at, sizes = 0, recording.sizes
        if self.pieces:
            sizes = [self.pieces] * (len(recording.body) // self.pieces + 1)
        for size in sizes:
            piece = recording.body[at:at + size]
            if piece:
                connection.sendall(chunked(piece))
            at += size
        connection.sendall(b"0\r\n\r\n")
        return True


@pytest.fixture(scope="module")
def world():
    if not NAMES:
        pytest.skip("no recordings at %s: ENTENTE_FIXTURES names their folder" % os.path.relpath(folder(), ROOT))
    if not os.path.exists(ENTENTE):
        pytest.skip("the program is not built")
    replay = Replay()
    with Provider(replay) as openai, Provider(replay) as azure:
        models = "models:\n" + "".join("  '%s': [{provider: %s, model: 'at-%s'}]\n" % (n, "azure" if n.startswith("azure/") else "openai", n) for n in NAMES)
        with Gateway({"openai": openai, "azure": azure}, models=models, config="retry: {attempts: 1}\n") as gateway:
            gateway.replay, gateway.seen = replay, 0
            yield gateway


def play(world, recording, pieces=None, more=None):
    """Sends the recorded request; gives (status, headers, body, the one record it left, what the provider received)."""
    world.replay.pieces = pieces
    body = {**recording.request(), **(more or {})}
    status, headers, data = world.ask(body, path=PATHS[recording.api])
    world.seen += 1
    record = world.records(world.seen)[-1]
    assert record["id"] == headers["x-entente-request-id"]
    return status, headers, data, record, body


# ---- what the record must say ----

def usage_of(recording, documents=None):
    """Disjoint classes from the recording's last usage, by what each host counts in what. None: it holds none."""
    reported = [d["usage"] for d in (recording.answers() if documents is None else documents) if d.get("usage")]
    if not reported:
        return None
    u = reported[-1]
    ins, outs = u.get("prompt_tokens_details") or {}, u.get("completion_tokens_details") or {}
    prompt, completion, reasoning = u["prompt_tokens"], u.get("completion_tokens", 0), outs.get("reasoning_tokens")
    missing = u["total_tokens"] - prompt - completion
    if recording.host == "xai":
        completion += reasoning or 0
    if recording.host == "gemini" and missing:
        completion, reasoning = completion + missing, missing
    if recording.host == "mistral" and ins.get("audio_tokens"):
        prompt += ins["audio_tokens"]
    assert prompt + completion == u["total_tokens"], "this test does not understand how %s counts" % recording.host
    cached = next((v for v in (ins.get("cached_tokens"), u.get("cached_tokens"), u.get("num_cached_tokens"), u.get("prompt_cache_hit_tokens")) if v is not None), None)
    out = {"source": "reported", "request": 1}
    for name, value in (("cache_read", cached), ("cache_write", ins.get("cache_write_tokens")), ("input_audio", ins.get("audio_tokens")), ("input_image", ins.get("image_tokens"))):
        if value is not None:
            out[name] = min(value, prompt)  # xAI on Azure counts cached tokens of its own preamble, more than the prompt has
            prompt -= out[name]
    for name, value in (("reasoning", reasoning), ("output_audio", outs.get("audio_tokens")), ("output_image", outs.get("image_tokens"))):
        if value is not None:
            out[name] = value
            completion -= value
    for name in ("num_sources_used", "num_search_queries"):
        if u.get(name) is not None:
            out["search"] = u[name]
    return {**out, "input": prompt, "output": completion}


def check_usage(record, recording):
    expected = usage_of(recording)
    if expected:
        assert record["usage"] == expected
    else:
        assert record["usage"]["source"] == "estimated" and record["usage"]["input"] > 0 and record["usage"]["output"] > 0


def model_served(recording):
    return next((d["model"] for d in recording.answers() if d.get("model")), "")


def shortened(name):
    return name if len(name.encode()) < 48 else None


def check_request(world, recording, sent):
    """The provider heard the client's request, with another model's name and, of a stream, the wish for usage."""
    heard = world.replay.requests[recording.name][1]
    expected = {**sent, "model": "at-" + recording.name}
    if recording.stream and recording.api != "embeddings":
        expected["stream_options"] = {**(sent.get("stream_options") or {}), "include_usage": True}
    assert heard == expected


def check_record(record, recording):
    assert (record["outcome"], record["status"], record["api"]) == ("answered", 200, recording.api)
    if shortened(model_served(recording)):
        assert record["model_served"] == model_served(recording)
    check_usage(record, recording)


# ---- whole answers ----

@pytest.mark.parametrize("name", WHOLE)
def test_recorded_answer_reaches_the_client_byte_for_byte_and_the_books_to_the_token(world, name):
    recording = Recording(name)
    status, headers, data, record, sent = play(world, recording)
    assert status == 200, data
    assert data == recording.body and headers["content-type"].startswith("application/json")
    check_request(world, recording, sent)
    check_record(record, recording)


# ---- streams ----

def client_datas(data):
    assert b"\r" not in data and b"\nid:" not in data and b"\nretry:" not in data
    found = []
    for event in data.decode().split("\n\n"):
        lines = event.split("\n")
        assert all(re.match(r"data: |:|$", line) for line in lines), "a line that official SDKs fail on: %r" % event
        found += [line[6:] for line in lines if line.startswith("data: ")]
    return found


def usage_only(event):
    return bool(event.get("usage")) and not event.get("choices")


def without_usage(event):
    return {k: v for k, v in event.items() if k != "usage"}


def check_events(recording, seen, asked):
    """All events in their order; without usage for a client that did not ask for it."""
    expected = [d for d in recording.datas() if d != "[DONE]"]
    if asked:
        assert seen == expected
        return
    assert [without_usage(json.loads(d)) for d in seen] == [without_usage(e) for e in map(json.loads, expected) if not usage_only(e)]
    assert not any(json.loads(d).get("usage") for d in seen)


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_stream_reaches_the_client_event_for_event_and_the_books_to_the_token(world, name):
    recording = Recording(name)
    status, headers, data, record, sent = play(world, recording)
    assert status == 200, data
    assert headers["content-type"].startswith("text/event-stream")
    seen = client_datas(data)
    assert seen[-1] == "[DONE]"
    check_events(recording, seen[:-1], asked=(sent.get("stream_options") or {}).get("include_usage"))
    check_request(world, recording, sent)
    check_record(record, recording)


@pytest.mark.parametrize("name", [n for n in STREAMS if len(Recording(n).body) <= SMALL])
def test_recorded_stream_survives_being_cut_into_small_pieces(world, name):
    recording = Recording(name)
    status, _, data, record, _ = play(world, recording, pieces=13, more={"stream_options": {"include_usage": True}})
    assert status == 200, data
    seen = client_datas(data)
    assert seen[-1] == "[DONE]"
    check_events(recording, seen[:-1], asked=True)
    check_record(record, recording)


@pytest.mark.parametrize("name", BROKEN)
def test_recorded_stream_that_breaks_off_with_an_error_is_never_shown_as_complete(world, name):
    recording = Recording(name)
    status, _, data, record, _ = play(world, recording)
    assert status == 200
    seen = client_datas(data)
    good = [without_usage(d) for d in recording.answers()]
    assert [without_usage(json.loads(d)) for d in seen[:len(good)]] == good
    last = json.loads(seen[-1])
    assert len(seen) == len(good) + 1 and last["error"]["message"] and "[DONE]" not in seen
    error = next(e["error"] for e in recording.parsed() if e.get("error"))
    assert error["message"] in last["error"]["message"]
    assert record["outcome"] == "broken" and record["attempts"][-1]["outcome"] == "broken"


@pytest.mark.parametrize("name", BROKEN)
def test_usage_that_a_provider_reports_after_its_error_is_in_the_books(world, name):
    recording = Recording(name)
    expected = usage_of(recording, recording.parsed())
    record = play(world, recording)[3]
    if expected:
        del expected["request"]  # it was not answered
        assert record["usage"] == expected
    else:
        assert record["usage"]["source"] == "estimated" and record["usage"]["output"] > 0


# ---- errors ----

def told(recording):
    """The provider's own sentence, in whatever shape it came."""
    body = json.loads(recording.body)
    error = body.get("error")
    return error if isinstance(error, str) else error["message"] if error else body["detail"]


# Whose mistake it is: the client's is passed on, the gateway's credential is not the client's, a limit is told with when to come again.
CLIENTS_STATUS = {400: 400, 401: 502, 403: 403, 404: 404, 422: 422, 429: 429, 200: 502}
CODES = {401: "provider_credential", 429: "rate_limit_exceeded", 200: "provider_error"}


@pytest.mark.parametrize("name", ERRORS)
def test_recorded_error_tells_the_client_whose_mistake_it_is(world, name):
    recording = Recording(name)
    status, headers, data, record, _ = play(world, recording)
    error = json.loads(data)["error"]
    assert status == CLIENTS_STATUS[recording.status], data
    assert recording.name in world.replay.requests, "the gateway refused what the provider was asked"
    assert error["message"] and headers["content-type"].startswith("application/json")
    if recording.status in CODES:
        assert set(error) >= {"message", "type", "param", "code"} and error["code"] == CODES[recording.status]
    else:
        assert told(recording) in error["message"]
    assert (record["outcome"], record["status"], record["attempts"][0]["status"]) == ("failed", status, recording.status)
    assert record["usage"] == {"source": "none"}


@pytest.mark.parametrize("name", [n for n in ERRORS if "-429-" in n])
def test_recorded_rate_limit_tells_the_client_when_to_come_again(world, name):
    recording = Recording(name)
    advised = recording.headers().get("retry-after")
    headers = play(world, recording)[1]
    assert int(headers["retry-after"]) == int(advised) if advised else int(headers["retry-after"]) >= 1


@pytest.mark.parametrize("name", [n for n in ERRORS if "-401-" in n])
def test_what_a_provider_says_of_the_gateways_credential_is_not_for_clients(world, name):
    recording = Recording(name)
    data = play(world, recording)[2].decode()
    assert "sk-" not in data and told(recording) not in data

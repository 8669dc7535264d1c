# SPDX-License-Identifier: Apache-2.0
"""What passes through must be what was sent: bytes, order, usage; and each request leaves exactly one true record."""
import base64
import gzip
import json

from stories import ANSWER, STREAM, USAGE, Gateway, Provider, answer, chunk, events, payloads, raw, sse, text_of


def test_body_reaches_provider_byte_for_byte_but_for_the_model():
    body = b'{ "messages":[{"role":"user","content":"a\\u00e9 \\"q\\" \xc3\xa9"}] ,\n "model" : "m", "x_unknown":1e5, "seed":9007199254740993}'
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        status, headers, data = g.ask(body)
        assert status == 200 and json.loads(data) == ANSWER
        assert p.requests[0].body == body.replace(b'"m"', b'"at-one"')
        assert p.requests[0].target == "/v1/chat/completions"
        assert headers["x-entente-provider"] == "one" and headers["x-entente-model"] == "at-one" and headers["x-entente-attempts"] == "1"
        record = g.records(1)[0]
        assert headers["x-entente-request-id"] == record["id"] == headers["x-request-id"]


def test_answer_reaches_client_byte_for_byte():
    odd = json.dumps(ANSWER, indent=3).encode() + b"\n\n"
    with Provider(answer(body=odd)) as p, Gateway({"one": p}) as g:
        assert g.ask()[2] == odd


def test_gateway_secrets_go_to_providers_and_client_keys_do_not():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        g.ask(headers={"x-stainless-lang": "js", "Cookie": "a=b", "OpenAI-Organization": "org", "traceparent": "00-1-2-01"})
        headers = p.requests[0].headers
        assert headers["authorization"] == "Bearer provider-secret-canary"
        names = [line.split(b":")[0].lower() for line in p.requests[0].raw_head.split(b"\r\n")[1:]]
        assert len(set(names)) == len(names), names
        assert headers["traceparent"] == "00-1-2-01"
        assert g.key not in p.requests[0].raw_head.decode()
        assert not {"x-stainless-lang", "cookie", "openai-organization"} & set(headers)


def test_record_tells_who_asked_what_and_what_it_used():
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10},
             "completion_tokens_details": {"reasoning_tokens": 20}}
    with Provider(answer(body={**ANSWER, "usage": usage})) as p, Gateway({"one": p}) as g:
        g.ask()
        r = g.records(1)[0]
        assert r["usage"] == {"source": "reported", "input": 30, "cache_read": 60, "input_audio": 10, "output": 30, "reasoning": 20, "request": 1}
        assert (r["outcome"], r["status"], r["key"], r["department"], r["model"], r["model_served"]) == ("answered", 200, "story", "tests", "m", "served-1")
        assert r["attempts"][0]["provider"] == "one" and r["attempts"][0]["outcome"] == "answered"
        assert 0 < r["first_byte_us"] <= r["duration_us"]


def test_stream_arrives_whole_and_in_order():
    with Provider(events(*[STREAM[i:i + 7] for i in range(0, len(STREAM), 7)])) as p, Gateway({"one": p}) as g:
        status, headers, seen = g.stream()
        assert status == 200 and headers["content-type"].startswith("text/event-stream")
        assert text_of(seen) == "Hello there friend" and seen[-1] == "[DONE]"
        record = g.records(1)[0]
        assert record["usage"] == {"source": "reported", "input": 9, "output": 3, "request": 1}
        assert (record["model"], record["finish"], record["model_served"]) == ("m", "stop", "served-1")


def test_usage_is_asked_of_the_provider_and_hidden_from_a_client_that_did_not_ask():
    with Provider(events(STREAM)) as p, Gateway({"one": p}) as g:
        seen = g.stream()[2]
        assert p.requests[0].json()["stream_options"] == {"include_usage": True}
        assert not any(isinstance(e, dict) and e.get("usage") for e in seen)
        assert all(e == "[DONE]" or e["choices"] for e in seen)


def test_usage_is_shown_to_a_client_that_asked():
    with Provider(events(STREAM)) as p, Gateway({"one": p}) as g:
        seen = g.stream({"stream_options": {"include_usage": True}})[2]
        assert [e["usage"] for e in seen if isinstance(e, dict) and e.get("usage")] == [USAGE]


def test_include_usage_false_is_turned_on_upstream_only():
    with Provider(events(STREAM)) as p, Gateway({"one": p}) as g:
        seen = g.stream({"stream_options": {"include_usage": False, "include_obfuscation": False}})[2]
        assert p.requests[0].json()["stream_options"] == {"include_usage": True, "include_obfuscation": False}
        assert not any(isinstance(e, dict) and e.get("usage") for e in seen)


def test_usage_packed_into_a_content_chunk_is_counted_and_cut_out():
    packed = sse(chunk("Hello"), chunk(" all", "stop", USAGE))
    with Provider(events(packed)) as p, Gateway({"one": p}) as g:
        seen = g.stream()[2]
        assert text_of(seen) == "Hello all" and not any(isinstance(e, dict) and "usage" in e for e in seen)
        assert g.records(1)[0]["usage"]["output"] == 3


def test_providers_without_done_marker_still_end_well():
    with Provider(events(sse(chunk("Hi"), chunk(finish="stop"), chunk(usage=USAGE), done=False))) as p, Gateway({"one": p}) as g:
        seen = g.stream()[2]
        assert seen[-1] == "[DONE]" and text_of(seen) == "Hi"
        assert g.records(1)[0]["outcome"] == "answered"


def test_stray_sse_fields_never_reach_sdks_that_fail_on_them():
    stream = b": OPENROUTER PROCESSING\n\nid: 7\n\nretry: 100\n\ndata:\n\nid: 8\ndata: " + json.dumps(chunk("Hi")).encode() + b"\n\n" + sse(chunk(finish="stop"))
    with Provider(events(stream)) as p, Gateway({"one": p}) as g:
        data = g.ask({"model": "m", "stream": True, "messages": []})[2]
        assert b"id: " not in data and b"retry:" not in data and b"data: : " not in data and b"data:\n\n" not in data
        assert text_of(payloads(data)) == "Hi"


def test_data_over_several_lines_reaches_clients_that_read_one():
    pretty = "".join("data: %s\n" % line for line in json.dumps(chunk("Hi"), indent=1).split("\n")) + "\n"
    with Provider(events(pretty.encode(), sse(chunk(finish="stop")))) as p, Gateway({"one": p}) as g:
        data = g.ask({"model": "m", "stream": True, "messages": []})[2]
        first = data.split(b"\n")[0]
        assert json.loads(first[6:]) == chunk("Hi")


def test_a_model_name_with_line_ends_cannot_add_headers():
    with Provider(answer()) as p, Gateway({"one": p}, models="models:\n  '*': [{provider: one}]\n") as g:
        status, headers, _ = g.ask({"model": "a\r\nx-injected: 1", "messages": []})
        assert status == 200 and "x-injected" not in headers and "x-entente-model" not in headers
        assert "surprise" not in g.log()


def test_crlf_framing_passes():
    with Provider(events(STREAM.replace(b"\n", b"\r\n"))) as p, Gateway({"one": p}) as g:
        data = g.ask({"model": "m", "stream": True, "messages": []})[2]
        assert text_of(payloads(data.replace(b"\r\n", b"\n"))) == "Hello there friend"


def test_usage_never_reported_is_estimated_and_says_so():
    silent = sse(chunk("Hello there"), chunk(" friend"), chunk(finish="stop"))
    with Provider(events(silent)) as p, Gateway({"one": p}) as g:
        g.stream({"messages": [{"role": "user", "content": "Hi"}]})
        u = g.records(1)[0]["usage"]
        assert u == {"source": "estimated", "input": 8, "output": 3, "request": 1}  # 3 + "user" + "Hi" + 3; three words


def test_completions_and_embeddings_pass_and_are_metered():
    completion = {"id": "c", "object": "text_completion", "created": 1, "model": "served-1", "choices": [{"text": " b", "index": 0, "finish_reason": "length"}], "usage": USAGE}
    vector = base64.b64encode(b"\0\0\x80?" * 4).decode()
    embedding = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": vector}], "model": "served-1", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    with Provider(answer(body=completion), answer(body=embedding)) as p, Gateway({"one": p}) as g:
        assert g.ask({"model": "m", "prompt": "a", "suffix": "c"}, path="/v1/completions")[0] == 200
        assert g.ask({"model": "m", "input": ["a"], "encoding_format": "base64"}, path="/v1/embeddings")[0] == 200
        assert [r.target for r in p.requests] == ["/v1/completions", "/v1/embeddings"]
        a, b = g.records(2)
        assert (a["api"], a["finish"], b["api"]) == ("completions", "length", "embeddings")
        assert b["usage"] == {"source": "reported", "input": 4, "output": 0, "request": 1}


def test_azure_clients_and_azure_providers_are_understood():
    with Provider(answer()) as p, Gateway({"azure": p}, provider_options={"azure": "api_version: 2024-10-21"}) as g:
        status, _, _ = g.ask({"messages": []}, path="/openai/deployments/m/chat/completions?api-version=2024-02-01", key=False, headers={"api-key": g.key})
        assert status == 200
        assert p.requests[0].target == "/openai/deployments/at-azure/chat/completions?api-version=2024-10-21"
        assert p.requests[0].headers["api-key"] == "provider-secret-canary"
        assert g.ask({"model": "m", "messages": []}, path="/openai/v1/chat/completions")[0] == 200


def test_paths_with_doubled_slashes_and_prefixes_are_served():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        for path in ("/v1//chat/completions", "/v1/chat/completions/", "/chat/completions", "/any/prefix/v1/chat/completions"):
            assert g.ask(path=path)[0] == 200, path


def test_models_list_shows_what_the_key_may_ask():
    with Provider(answer()) as p, Gateway({"one": p}, config="") as g:
        status, _, data = g.request("GET", "/v1/models")
        assert status == 200 and [m["id"] for m in json.loads(data)["data"]] == ["m"]
        assert g.request("GET", "/v1/models/m")[0] == 200
        assert g.request("GET", "/v1/models/unknown")[0] == 404
        assert g.request("GET", "/v1/models", key=False)[0] == 401


def test_large_bodies_pass_unchanged_both_ways():
    text = "wide " * 400_000
    big = {**ANSWER, "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    with Provider(answer(body=big)) as p, Gateway({"one": p}) as g:
        status, _, data = g.ask({"model": "m", "messages": [{"role": "user", "content": text}]})
        assert status == 200 and json.loads(data) == big
        assert p.requests[0].json()["messages"][0]["content"] == text


def test_gzip_that_was_not_asked_for_is_undone():
    import gzip
    packed = gzip.compress(json.dumps(ANSWER).encode())
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with Provider(raw(head + packed, keep=True)) as p, Gateway({"one": p}) as g:
        status, headers, data = g.ask()
        assert status == 200 and json.loads(data) == ANSWER and "content-encoding" not in headers


def test_compressed_answers_are_for_clients_that_ask_and_gateways_that_are_told_to():
    long = {**ANSWER, "choices": [{**ANSWER["choices"][0], "message": {"role": "assistant", "content": "again and " * 500}}]}
    with Provider(answer(body=long), answer(body=long), answer(body=long), answer(), events(STREAM), answer(body=long)) as p, Gateway({"one": p}, config="compress: true\n") as g:
        status, headers, data = g.ask(headers={"Accept-Encoding": "gzip, deflate"})
        assert status == 200 and headers["content-encoding"] == "gzip" and headers["vary"] == "accept-encoding" and len(data) < 1000
        assert json.loads(gzip.decompress(data)) == long
        first = g.records(1)[0]
        assert first["bytes_out"] == len(data) and first["usage"]["output"] == 3
        for accepted in ("identity", "identity;q=0"):
            status, headers, data = g.ask(headers={"Accept-Encoding": accepted})
            assert json.loads(data) == long and "content-encoding" not in headers and headers["vary"] == "accept-encoding"
        status, headers, data = g.ask(headers={"Accept-Encoding": "gzip"})
        assert json.loads(data) == ANSWER and "content-encoding" not in headers  # too short to be worth it
        status, headers, seen = g.stream(headers={"Accept-Encoding": "gzip"})
        assert seen[-1] == "[DONE]" and "content-encoding" not in headers
    with Provider(answer(body=long)) as p, Gateway({"one": p}) as g:
        status, headers, data = g.ask(headers={"Accept-Encoding": "gzip"})
        assert json.loads(data) == long and "content-encoding" not in headers and "vary" not in headers

# SPDX-License-Identifier: Apache-2.0
"""Keys, limits, reload, drain, metrics: what an operator relies on."""
import json
import os
import re
import signal
import socket
import threading
import time

import pytest
from stories import SLOW, Gateway, Provider, answer, chunk, events, sse, wait_for


def test_wrong_missing_and_revoked_keys_get_401_in_openai_form():
    revoked = "keys:\n  - {name: story, secret: env:STORY_KEY}\n  - {name: gone, secret: env:GONE_KEY, revoked: true}\n"
    with Provider(answer()) as p, Gateway({"one": p}, keys=False, config=revoked, env={"GONE_KEY": "sk-gone"}) as g:
        for key in ("sk-wrong", False, "sk-gone", "sk-story-key-12", "sk-story-key-"):
            status, _, data = g.ask(key=key)
            assert status == 401 and json.loads(data)["error"]["code"] == "invalid_api_key", key
        assert not p.requests and len(g.records(5)) == 5


def test_keys_are_accepted_where_each_sdk_puts_them():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        for headers in ({"api-key": g.key}, {"x-api-key": g.key}, {"x-goog-api-key": g.key}):
            assert g.ask(key=False, headers=headers)[0] == 200, headers


def test_key_limited_to_models_may_not_ask_others():
    limited = "keys:\n  - {name: story, secret: env:STORY_KEY, models: ['gpt-*']}\n"
    models = "models:\n  m: [{provider: one}]\n  gpt-9: [{provider: one}]\n"
    with Provider(answer()) as p, Gateway({"one": p}, keys=False, models=models, config=limited) as g:
        assert g.ask({"model": "gpt-9", "messages": []})[0] == 200 and p.requests[0].json()["model"] == "gpt-9"
        assert [m["id"] for m in json.loads(g.request("GET", "/v1/models")[2])["data"]] == ["gpt-9"]
        status, _, data = g.ask()
        assert status == 403 and json.loads(data)["error"]["code"] == "forbidden"


def test_unknown_model_is_404_and_says_where_to_look():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        status, _, data = g.ask({"model": "nope", "messages": []})
        error = json.loads(data)["error"]
        assert status == 404 and error["code"] == "model_not_found" and error["param"] == "model" and "/v1/models" in error["message"]


@pytest.mark.parametrize("body, param", [
    (b"", None), (b"{", None), (b"[]", None), (b'{"model":"m"}', "messages"), (b'{"messages":[]}', "model"), (b'{"model":7,"messages":[]}', "model"),
    (b'{"model":"m","messages":[],"stream":"yes"}', "stream"), (b'{"model":"m","model":"n","messages":[]}', "model"), (b'{"model":"m","messages":[]}x', None),
    (b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}', None), (b'{"model":"m","messages":' + b"[" * 500 + b"]" * 500 + b"}", None)])
def test_malformed_requests_get_a_400_that_says_what_is_wrong(body, param):
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        status, _, data = g.ask(body)
        error = json.loads(data)["error"]
        assert status == 400 and set(error) == {"message", "type", "param", "code"} and len(error["message"]) > 10
        assert param is None or error["param"] == param
        assert not p.requests


def test_unknown_paths_and_methods_are_told_apart():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        assert g.request("GET", "/nothing")[0] == 404
        status, headers, _ = g.request("GET", "/v1/chat/completions")
        assert status == 405 and headers["allow"] == "POST"


def test_body_over_the_limit_is_refused_before_it_is_read():
    with Provider(answer()) as p, Gateway({"one": p}, config="limits: {body: 100KiB}\n") as g:
        s = socket.create_connection(("127.0.0.1", g.port))
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 200000\r\n\r\n" % g.key.encode())
        s.settimeout(5 * SLOW)
        assert s.recv(65536).startswith(b"HTTP/1.1 413")


def test_requests_over_the_limit_are_told_at_once_with_retry_after():
    slow = events(sse(chunk("a"), done=False), *[sse(chunk("b"), done=False)] * 100, gap=0.05)
    with Provider(slow) as p, Gateway({"one": p}, config="limits: {requests: 2}\n") as g:
        for _ in range(2):
            threading.Thread(target=lambda: g.stream(), daemon=True).start()
        wait_for(lambda: len(p.requests) == 2)
        status, headers, data = g.ask()
        assert status == 503 and headers["retry-after"] and json.loads(data)["error"]["code"] == "overloaded"
        g.process.kill()
        g.process.wait()
        g.stop = lambda: 0


def test_drain_finishes_streams_under_way_and_exits_0():
    slow = events(*[sse(chunk(" w"), done=False)] * 20, sse(chunk(finish="stop")), gap=0.05)
    with Provider(slow) as p, Gateway({"one": p}) as g:
        seen = []
        t = threading.Thread(target=lambda: seen.append(g.stream()))
        t.start()
        wait_for(lambda: len(p.requests) == 1)
        time.sleep(0.2)
        assert g.stop() == 0
        t.join()
        assert seen[0][2][-1] == "[DONE]" and len(seen[0][2]) == 22
        assert g.records(1)[0]["outcome"] == "answered"


def test_reload_takes_a_good_file_and_leaves_all_as_it_was_for_a_bad_one():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        assert g.ask({"model": "n", "messages": []})[0] == 404
        g.write_config(g.text.replace("  m:\n", "  n:\n    - {provider: one, model: at-one}\n  m:\n"))
        g.process.send_signal(signal.SIGHUP)
        wait_for(lambda: g.ask({"model": "n", "messages": []})[0] == 200)
        g.write_config(g.text + "nonsense: 1\nproviders: 5\n")
        g.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload refused" in g.log())
        assert g.ask({"model": "n", "messages": []})[0] == 200
        status = open(os.path.join(g.folder, "data", "reload.status")).read()
        assert status.startswith("error 2\n") and "nonsense" in status


def test_reload_brings_limits_and_timeouts_into_force():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        body = {"model": "m", "messages": [{"role": "user", "content": "x" * 3000}]}
        assert g.ask(body)[0] == 200
        g.write_config(g.text + "limits: {body: 2KiB}\ntimeouts: {keep_alive: 300ms}\n")
        g.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded" in g.log(), what="the reload")
        assert g.ask(body)[0] == 413 and g.ask()[0] == 200
        with socket.create_connection(("127.0.0.1", g.port), timeout=20 * SLOW) as s:
            assert s.recv(1) == b""
        g.write_config(g.text)
        g.process.send_signal(signal.SIGHUP)
        wait_for(lambda: g.ask(body)[0] == 200, what="the old limit")


def test_reload_under_load_fails_no_request():
    with Provider(answer()) as p, Gateway({"one": p}, workers=2) as g:
        failures, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                status = g.ask()[0]
                if status != 200:
                    failures.append(status)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for t in threads:
            t.start()
        for i in range(20):
            g.write_config(g.text + "# %d\n" % i)
            g.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        stop.set()
        for t in threads:
            t.join()
        assert not failures and len(p.requests) > 20


def test_two_gateways_cannot_share_a_data_directory_or_a_port():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        import subprocess
        from stories import ENTENTE
        second = subprocess.run([ENTENTE, "serve", "--config", g.config_path], env=g.env, capture_output=True, text=True, timeout=20 * SLOW)
        assert second.returncode == 2 and "in use" in second.stderr
        other = os.path.join(g.folder, "other.yaml")
        with open(other, "w") as f:
            f.write(g.text.replace("data: data", "data: data2").replace("127.0.0.1:0", "127.0.0.1:%d" % g.port))
        second = subprocess.run([ENTENTE, "serve", "--config", other], env=g.env, capture_output=True, text=True, timeout=20 * SLOW)
        assert second.returncode == 2 and "port is in use" in second.stderr


def test_metrics_and_status_need_the_admin_key_and_add_up_over_workers():
    with Provider(answer()) as p, Gateway({"one": p}, workers=2) as g:
        for _ in range(10):
            assert g.ask()[0] == 200
        for key in (False, g.key, "wrong"):
            assert g.request("GET", "/metrics", key=key)[0] == 401
        status, headers, data = g.request("GET", "/metrics", key="admin-canary-key")
        text = data.decode()
        assert status == 200 and headers["content-type"].startswith("text/plain")
        assert 'entente_exchanges_total{outcome="answered"} 10\n' in text
        assert re.search(r'gen_ai_client_token_usage_total\{[^}]*entente_provider="one"[^}]*entente_token_class="input"\} 90\n', text)
        assert re.search(r'gen_ai_server_request_duration_seconds_count\{[^}]*\} 10\n', text)
        for line in text.splitlines():
            assert line.startswith("#") or re.match(r"^[a-z_]+(\{[^}]*\})? [0-9.e+-]+$", line), line
        assert json.loads(g.request("GET", "/admin/v1/status", key="admin-canary-key")[2])["exchanges"]["answered"] == 10


def test_health_pages_answer_anyone():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        assert g.request("GET", "/healthz", key=False)[0] == 200
        assert g.request("GET", "/readyz", key=False)[0] == 200


def test_no_secret_and_no_prompt_in_logs_records_metrics_or_errors():
    prompt = "the-prompt-canary"
    with Provider(answer(500, {"error": {"message": "boom", "type": "x", "param": None, "code": None}}), answer(), answer(401, {"error": {"message": "bad", "type": "x", "param": None, "code": "k"}})) as p, Gateway({"one": p}) as g:
        seen = [g.ask({"model": "m", "messages": [{"role": "user", "content": prompt}]}) for _ in range(3)]
        seen += [g.ask(key="sk-wrong-canary")]
        g.records(4)
        pages = g.request("GET", "/metrics", key="admin-canary-key")[2].decode() + g.request("GET", "/admin/v1/status", key="admin-canary-key")[2].decode()
        everything = g.log() + pages + json.dumps(g.entries()) + "".join(str(h) + d.decode() for _, h, d in seen)
        for secret in (prompt, g.key, "provider-secret-canary", "admin-canary-key", "sk-wrong-canary"):
            assert secret not in everything, secret


def test_every_request_leaves_exactly_one_record():
    with Provider(answer()) as p, Gateway({"one": p}, workers=2) as g:
        def ask(n):
            for _ in range(n):
                g.ask()
        threads = [threading.Thread(target=ask, args=(25,)) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        ids = [r["id"] for r in g.records(200)]
        assert len(set(ids)) == 200


def test_http2_clients_are_served(tmp_path):
    import shutil
    import subprocess
    if not shutil.which("curl"):
        pytest.skip("curl is not here")
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        done = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}", "http://127.0.0.1:%d/v1/chat/completions" % g.port,
                               "-H", "Authorization: Bearer " + g.key, "-d", '{"model":"m","messages":[]}'], capture_output=True, text=True, timeout=20 * SLOW)
        assert done.stdout.endswith(" 2 200"), done


def test_unknown_paths_with_a_body_are_404_and_the_providers_words_on_our_key_stay_inside():
    with Provider(answer(401, {"error": {"message": "Incorrect API key: secret-words", "type": "x", "param": None, "code": "invalid_api_key"}})) as p, Gateway({"one": p}) as g:
        assert g.ask(path="/v1/messages")[0] == 404
        status, _, data = g.ask()
        assert status == 502 and b"secret-words" not in data and "secret-words" not in g.log()


def test_streams_cut_by_a_hurried_shutdown_are_recorded_as_our_doing():
    slow = events(*[sse(chunk(" w"), done=False)] * 1000, gap=0.05)
    with Provider(slow) as p, Gateway({"one": p}) as g:
        threading.Thread(target=lambda: pytest.raises(Exception, g.stream), daemon=True).start()
        wait_for(lambda: len(p.requests) == 1)
        time.sleep(0.3)
        g.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert g.stop() == 0
        record = g.records(1)[0]
        assert record["outcome"] == "broken" and record["error"] == "overloaded" and record["usage"]["output"] > 0

# SPDX-License-Identifier: Apache-2.0
"""Money on the request path: what a request costs, who is charged, what a budget lets through, and what is in the books when disks or processes die."""
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from decimal import Decimal

import pytest
from stories import ANSWER, ENTENTE, SLOW, USAGE, Gateway, Provider, answer, chunk, events, reset, sse, wait_for

PRICES = """books:
  - book: list
    seller: maker
    currency: USD
    from: 2020-01-01
    lines:
      - {model: "*", input: 1, cache_read: 0.1, output: 10, reasoning: output}
      - {model: "*", tier: flex, input: 0.5, cache_read: 0.05, output: 5}
"""
MICRO = Decimal("0.000001")
HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


class Shop(Gateway):
    """A gateway with price books."""

    def __init__(self, providers, prices=PRICES, config="", **options):
        super().__init__(providers, config="prices: [prices.yaml]\nledger: {spool: 64KiB}\n" + config, **options)
        with open(os.path.join(self.folder, "prices.yaml"), "w", encoding="utf-8") as f:
            f.write(prices)

    def metric(self, name, *labels):
        text = self.request("GET", "/metrics", key="admin-canary-key")[2].decode()
        found = [line for line in text.splitlines() if re.match(name + r"[{ ]", line) and all(label in line for label in labels)]
        return sum(Decimal(line.rsplit(" ", 1)[1]) for line in found)

    def status(self):
        return json.loads(self.request("GET", "/admin/v1/status", key="admin-canary-key")[2])

    def verify(self):
        done = subprocess.run([ENTENTE, "ledger", "verify", "--data", os.path.join(self.folder, "data")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def cost(record, side="cost"):
    assert record[side]["currency"] == "USD"
    return Decimal(record[side]["amount"])


def budget(more, name="B1", whose="{department: tests}"):
    return "budgets:\n  - {name: %s, for: %s, %s}\n" % (name, whose, more)


def error_of(data):
    return json.loads(data)["error"]


# ---- what it costs ----

def test_a_stream_and_a_whole_answer_of_the_same_tokens_cost_the_same():
    stream = events(sse(chunk("Hello"), chunk(" there"), chunk(" friend"), chunk(finish="stop"), chunk(usage=USAGE)))
    with Provider(answer(), stream, stream) as p, Shop({"one": p}) as g:
        assert g.ask()[0] == 200
        assert g.stream()[0] == 200
        assert g.stream({"stream_options": {"include_usage": True}})[0] == 200
        assert [cost(r) for r in g.records(3)] == [(9 * 1 + 3 * 10) * MICRO] * 3
        assert g.metric("entente_cost_total", 'currency="USD"') == 3 * 39 * MICRO
        g.verify()


def test_cached_tokens_are_charged_once_and_at_their_own_price():
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 5}}
    with Provider(answer(body={**ANSWER, "usage": usage}), events(sse(chunk("Hi", "stop"), chunk(usage=usage)))) as p, Shop({"one": p}) as g:
        assert g.ask()[0] == 200 and g.stream()[0] == 200
        assert [cost(r) for r in g.records(2)] == [(4 * 1 + 3 * 10) * MICRO + 5 * MICRO / 10] * 2


def test_the_tier_that_served_decides_the_price_not_the_one_asked_for():
    flex = events(sse(chunk("Hi", "stop", service_tier="flex"), chunk(usage=USAGE, service_tier="flex")))
    with Provider(answer(body={**ANSWER, "service_tier": "flex"}), flex, answer(body={**ANSWER, "service_tier": "default"})) as p, Shop({"one": p}) as g:
        assert g.ask()[0] == 200 and g.stream()[0] == 200
        assert g.ask({**HI, "service_tier": "flex"})[0] == 200
        records = g.records(3)
        assert [cost(r) for r in records] == [39 * MICRO / 2, 39 * MICRO / 2, 39 * MICRO]
        assert [r["tier"] for r in records] == ["flex", "flex", "default"]


def test_a_client_that_leaves_a_stream_pays_for_what_was_written():
    slow = events(*[sse(chunk(" word"), done=False)] * 2000, gap=0.01)
    with Provider(slow) as p, Shop({"one": p}) as g:
        s = socket.create_connection(("127.0.0.1", g.port))
        body = json.dumps({**HI, "stream": True}).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (g.key.encode(), len(body), body))
        while b" word" not in s.recv(65536):
            pass
        s.close()
        r = g.records(1)[0]
        assert r["outcome"] == "abandoned" and r["usage"]["source"] == "estimated" and r["usage"]["output"] >= 1
        assert cost(r) == (r["usage"]["input"] + 10 * r["usage"]["output"]) * MICRO
        g.verify()


def test_a_department_pays_what_its_own_book_says_and_others_what_we_pay():
    prices = PRICES + "  - {book: ours, seller: self, buyer: tests, currency: USD, from: 2020-01-01, lines: [{model: '*', input: 2, output: 20}]}\n"
    keys = ("keys:\n  - {name: story, secret: env:STORY_KEY, department: tests}\n  - {name: other, secret: env:OTHER, department: others}\n"
            "  - {name: nobody, secret: env:NOBODY}\n")
    with Provider(answer()) as p, Shop({"one": p}, prices, keys=False, config=keys, env={"OTHER": "sk-other", "NOBODY": "sk-nobody"}) as g:
        for key in (True, "sk-other", "sk-nobody"):
            assert g.ask(key=key)[0] == 200
        tests, others, nobody = g.records(3)
        assert cost(tests) == cost(others) == cost(nobody) == 39 * MICRO
        assert cost(tests, "charge") == 78 * MICRO and cost(others, "charge") == 39 * MICRO and "charge" not in nobody
        g.verify()


def test_an_attempt_that_was_used_and_lost_is_paid_for_too():
    begun = events(end=False, then=reset)
    with Provider(begun) as one, Provider(events(sse(chunk("Hello", "stop"), chunk(usage=USAGE)))) as two, Shop({"one": one, "two": two}) as g:
        status, headers, _ = g.stream()
        assert status == 200
        g.records(1)
        lost, own = g.records(lost=True)
        assert lost["attempt"] == 1 and lost["id"] == own["id"] == headers["x-entente-request-id"] and "attempt" not in own
        assert cost(own) == 39 * MICRO and [a["provider"] for a in own["attempts"]] == ["one", "two"]
        if lost["usage"]["source"] == "estimated":
            assert cost(lost) == (lost["usage"]["input"] + 10 * lost["usage"]["output"]) * MICRO
        g.verify()


def test_usage_without_a_price_is_served_and_loudly_visible():
    prices = PRICES.replace('model: "*"', "model: other")
    with Provider(answer()) as p, Shop({"one": p}, prices) as g:
        for _ in range(3):
            assert g.ask()[0] == 200
        assert [r["cost"] for r in g.records(3)] == [{"unpriced": ["input", "output"]}] * 3
        assert g.metric("entente_unpriced_tokens_total") == 3 * 12 and g.metric("entente_cost_total") == 0
        assert g.status()["deployments"][0]["unpriced_tokens"] == 36
        said = [line for line in g.log().splitlines() if "usage without a price" in line]
        assert 1 <= len(said) <= 2 and '"model":"at-one"' in said[0] and "input, output" in said[0], said


# ---- budgets ----

def worst(body, max_tokens):
    return (len(body) + 10 * max_tokens) * MICRO


def test_what_does_not_fit_a_budget_is_refused_by_its_name_and_before_anybody_is_asked():
    body = json.dumps({**HI, "max_tokens": 100})
    with Provider(answer()) as p, Shop({"one": p}, config=budget("limit: 0.000999 USD")) as g:  # ten times less than a whole answer may cost
        status, headers, data = g.ask(body)
        e = error_of(data)
        assert status == 402 and e["code"] == "budget_exhausted" and e["param"] == "B1" and '"B1"' in e["message"]
        assert not p.requests
        r = g.records(1)[0]
        assert (r["outcome"], r["status"], r["error"], r["id"]) == ("refused", 402, "budget_exhausted", headers["x-entente-request-id"])
        assert "cost" not in r
        assert '"message":"budget exhausted"' in g.log().replace('"msg"', '"message"') or "budget exhausted" in g.log()
        assert g.ask({**HI, "max_tokens": 90})[0] == 200  # what it may cost fits
        assert g.metric("entente_budget_refused_total") == 1


def test_a_prompt_is_counted_before_its_bytes_refuse_it():
    words = "agreement " * 200  # 2000 bytes, some 200 tokens
    with Provider(answer()) as p, Shop({"one": p}, config=budget("limit: 0.0005 USD")) as g:
        assert g.ask({"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": words}]})[0] == 200
        assert g.ask({"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": words * 4}]})[0] == 402
        assert len(p.requests) == 1


def test_levels_are_logged_once_and_status_shows_where_a_budget_stands():
    with Provider(answer()) as p, Shop({"one": p}, config=budget("limit: 0.0001 USD, hard: false, warn: [30%, 70%]")) as g:
        for _ in range(4):
            assert g.ask()[0] == 200
        g.records(4)
        said = re.findall(r'budget level reached.*?"percent":(\d+)', g.log())
        assert said == ["30", "70", "100"], g.log()
        b = g.status()["budgets"][0]
        assert (b["name"], b["who"], b["hard"], b["currency"]) == ("B1", "tests", False, "USD")
        assert Decimal(b["spent"]) == 4 * 39 * MICRO and Decimal(b["held"]) == 0 and Decimal(b["limit"]) == Decimal("0.0001")
        assert g.metric("entente_budget_spent", 'budget="B1"') == 4 * 39 * MICRO
        top = subprocess.run([ENTENTE, "top", "--once", "--url", "http://127.0.0.1:%d" % g.port, "--key", "env:ADMIN_KEY"], env=g.env, capture_output=True,
                             text=True, check=True).stdout
        assert re.search(r"^B1 +tests +\S+ +0.000156 +0.00 +0.0001 USD$", top, re.M), top


def test_when_it_is_exhausted_the_models_named_for_that_are_still_served():
    models = "models:\n  m: [{provider: one}]\n  small: [{provider: one}]\n"
    with Provider(answer()) as p, Shop({"one": p}, models=models, config=budget('limit: 0.000001 USD, then: ["sm*"]')) as g:
        assert g.ask()[0] == 402
        assert g.ask({**HI, "model": "small"})[0] == 200
        g.records(2)
        assert Decimal(g.status()["budgets"][0]["spent"]) == 39 * MICRO


def test_each_key_has_a_budget_for_itself():
    keys = "keys:\n  - {name: story, secret: env:STORY_KEY}\n  - {name: other, secret: env:OTHER}\n"
    limits = "budgets: [{name: B, for: {key: '*'}, each: true, limit: 0.0011 USD}]\n"
    with Provider(answer()) as p, Shop({"one": p}, keys=False, config=keys + limits, env={"OTHER": "sk-other"}) as g:
        ask = {**HI, "max_tokens": 100}
        used = {True: 0, "sk-other": 0}
        for key in used:
            while g.ask(ask, key=key)[0] == 200:
                used[key] += 1
        assert used[True] == used["sk-other"] > 0
        assert sorted(b["who"] for b in g.status()["budgets"]) == ["other", "story"]


def test_a_provider_whose_budget_is_exhausted_is_passed_over_until_none_is_left():
    limits = "budgets: [{name: P1, for: {provider: one}, limit: 0.000001 USD}, {name: P2, for: {provider: two}, limit: 0.0012 USD}]\n"
    ask = {**HI, "max_tokens": 100}
    with Provider(answer()) as one, Provider(answer()) as two, Shop({"one": one, "two": two}, config=limits) as g:
        status, headers, _ = g.ask(ask)
        assert status == 200 and headers["x-entente-provider"] == "two" and headers["x-entente-attempts"] == "1" and not one.requests
        answers = [g.ask(ask) for _ in range(8)]
        refused = [error_of(data) for status, _, data in answers if status == 402]
        assert refused and refused[-1]["param"] == "P2" and answers[-1][0] == 402


def test_a_failover_that_no_longer_fits_is_refused_and_holds_nothing():
    limits = "budgets: [{name: P2, for: {provider: two}, limit: 0.000001 USD}]\n"
    with Provider(answer(401, {"error": {"message": "no"}}), answer(500, {"error": {"message": "no"}})) as one, Provider(answer()) as two, Shop(
            {"one": one, "two": two}, config=limits) as g:
        status, _, data = g.ask()
        assert status == 402 and error_of(data)["param"] == "P2" and not two.requests
        assert g.records(1)[0]["outcome"] == "failed"
        assert g.ask()[0] == 502 and len(one.requests) > 2 and not two.requests  # one that may be asked again is
        assert all(Decimal(b["held"]) == 0 for b in g.status()["budgets"])


def test_sixty_four_clients_at_once_never_pass_a_budget_together():
    body, fits = json.dumps({**HI, "max_tokens": 50}), 20
    free = threading.Event()

    def wait_then_answer(connection, request):
        free.wait(60)
        return answer()(connection, request)

    limit = fits * worst(body, 50)
    with Provider(wait_then_answer) as p, Shop({"one": p}, workers=4, config=budget("limit: %s USD" % limit, whose="{key: story}")) as g:
        statuses, lock = [], threading.Lock()

        def ask():
            status = g.ask(body)[0]
            with lock:
                statuses.append(status)
        threads = [threading.Thread(target=ask) for _ in range(64)]
        for t in threads:
            t.start()
        wait_for(lambda: len(statuses) == 64 - fits and len(p.requests) == fits, 30)
        assert g.metric("entente_budget_held") == limit and g.metric("entente_budget_spent") == 0
        free.set()
        for t in threads:
            t.join()
        assert sorted(statuses) == [200] * fits + [402] * (64 - fits)
        g.records(64)
        assert g.metric("entente_budget_held") == 0 and g.metric("entente_budget_spent") == fits * 39 * MICRO
        g.verify()


def test_what_was_spent_outlives_restart_and_reload():
    ask = {**HI, "max_tokens": 10}
    with Provider(answer()) as p, Shop({"one": p}, config=budget("limit: 0.0002 USD")) as g:
        n = 0
        while g.ask(ask)[0] == 200:
            n += 1
        assert n > 0
        spent = Decimal(g.status()["budgets"][0]["spent"])
        assert spent == n * 39 * MICRO
        g.stop()
        with g:
            assert Decimal(g.status()["budgets"][0]["spent"]) == spent and g.ask(ask)[0] == 402
            g.write_config(g.text.replace("limit: 0.0002 USD", "limit: 0.0004 USD") + "  - {name: fresh, for: all, limit: 1 USD}\n")
            g.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "reloaded" in g.log())
            assert {b["name"]: Decimal(b["spent"]) for b in g.status()["budgets"]} == {"B1": spent, "fresh": spent}
            assert g.ask(ask)[0] == 200


# ---- disks and processes that die ----

def stop_disk(g):
    """From here on nothing of the gateway can be written, the spool neither."""
    resource.prlimit(g.process.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


def heal_disk(g):
    resource.prlimit(g.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def ready(g):
    status, _, data = g.request("GET", "/readyz", key=False)
    return status, json.loads(data)


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)], capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield str(tmp_path)
    subprocess.run(["umount", "-l", str(tmp_path)], check=False)


def fill(path):
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass


def test_a_full_disk_goes_to_the_spool_says_so_and_is_caught_up_with(small_disk):
    with Provider(answer()) as p:
        g = Shop({"one": p})
        os.mkdir(os.path.join(small_disk, "data"))
        os.symlink(os.path.join(small_disk, "data"), os.path.join(g.folder, "data"))
        with g:
            ids = [g.ask()[1]["x-entente-request-id"] for _ in range(20)]
            fill(os.path.join(small_disk, "filler"))
            during = [g.ask() for _ in range(100)]
            assert {status for status, _, _ in during} == {200}
            status, said = ready(g)
            assert status == 200 and said["status"] == "degraded" and "the ledger cannot be written" in said["why"] and "spool" in said["why"]
            assert g.metric("entente_ledger_state", "spooling") == 1 and g.metric("entente_ledger_spool_records") > 0
            assert g.status()["ledger"]["state"] == "spooling"
            os.unlink(os.path.join(small_disk, "filler"))
            wait_for(lambda: ready(g) == (200, {"status": "ready"}))
            assert [r["id"] for r in g.records(120)] == ids + [h["x-entente-request-id"] for _, h, _ in during]
            assert g.ask()[0] == 200
            g.verify()


def test_when_not_even_the_spool_can_be_written_nothing_is_lost_and_nothing_new_is_taken():
    with Provider(answer()) as p, Shop({"one": p}) as g:
        assert g.ask()[0] == 200
        stop_disk(g)
        answers = [g.ask() for _ in range(20)]
        assert answers[0][0] == 500 and error_of(answers[0][2])["code"] == "not_recorded"
        assert answers[-1][0] == 503 and error_of(answers[-1][2])["code"] == "ledger_unavailable"
        assert ready(g)[0] == 503
        asked = len(p.requests)
        heal_disk(g)
        wait_for(lambda: ready(g) == (200, {"status": "ready"}))
        assert sum(r["outcome"] == "answered" for r in g.records()) == asked
        g.verify()


def test_a_strict_gateway_refuses_what_it_cannot_book():
    with Provider(answer()) as p, Shop({"one": p}, config="durability: strict\n") as g:
        for _ in range(60):
            assert g.ask()[0] == 200
        stop_disk(g)
        answers = [g.ask() for _ in range(10)]
        assert all(status in (500, 503) for status, _, _ in answers)
        status, headers, data = answers[-1]
        assert status == 503 and error_of(data)["code"] == "ledger_unavailable" and int(headers["retry-after"]) >= 1
        assert len(p.requests) == 60, "a provider was asked though the hold was on no disk"
        status, said = ready(g)
        assert status == 503 and "the ledger cannot be written" in said["why"] and g.metric("entente_ledger_admitting") == 0
        heal_disk(g)
        wait_for(lambda: ready(g)[0] == 200)
        assert g.ask()[0] == 200
        assert sum(r["outcome"] == "answered" for r in g.records()) == 61
        g.verify()


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_no_disk_has_does_not_end_well(stream):
    free = threading.Event()

    def step(connection, request):
        if not stream:
            free.wait(60)
            return answer()(connection, request)
        return events(sse(chunk("Hello"), done=False), gap=0, end=False, then=lambda c: (free.wait(60), c.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (
            len(sse(chunk(finish="stop"), chunk(usage=USAGE))), sse(chunk(finish="stop"), chunk(usage=USAGE))))))(connection, request)
    with Provider(*[answer()] * 60, step) as p, Shop({"one": p}, config="durability: strict\n") as g:
        for _ in range(60):
            g.ask()
        got = []
        t = threading.Thread(target=lambda: got.append(g.stream() if stream else g.ask()))
        t.start()
        wait_for(lambda: len(p.requests) == 61)
        time.sleep(0.2)
        stop_disk(g)
        free.set()
        t.join(30 * SLOW)
        status, _, data = got[0]
        if stream:
            assert status == 200 and data[0]["choices"][0]["delta"]["content"] == "Hello"
            assert data[-1]["error"]["code"] == "not_recorded" and "[DONE]" not in data
        else:
            assert status == 500 and error_of(data)["code"] == "not_recorded"
        assert g.metric("entente_answers_withheld_total") == 1
        heal_disk(g)
        wait_for(lambda: ready(g)[0] == 200)
        g.records(61)  # what was used is booked all the same
        g.verify()


def load(g, stop, seen):
    while not stop.is_set():
        try:
            status, headers, data = g.request("POST", "/v1/chat/completions", json.dumps(HI))
            if status == 200 and data == json.dumps(ANSWER).encode():
                seen.append(headers["x-entente-request-id"])
        except (OSError, http.client.HTTPException):
            time.sleep(0.01)


def test_what_a_client_has_whole_is_in_the_books_after_kill_9():
    seen = []
    with Provider(answer()) as p:
        g = Shop({"one": p}, workers=2, config=budget("limit: 1000 USD"))
        for life in range(4):
            with g:
                assert life == 0 or "recovered" in g.log()
                stop = threading.Event()
                threads = [threading.Thread(target=load, args=(g, stop, seen)) for _ in range(8)]
                for t in threads:
                    t.start()
                time.sleep(0.4 * SLOW)
                g.process.kill()
                g.process.wait(20)
                stop.set()
                for t in threads:
                    t.join()
                g.stop = lambda *_: 0  # it is dead
            del g.stop
            g.verify()
        with g:
            ids = [r["id"] for r in g.records()]
            assert len(ids) == len(set(ids)) and set(seen) <= set(ids) and len(seen) > 50, (len(seen), len(ids))
            spent = sum(cost(r) for r in g.records(lost=True) if "cost" in r)
            assert Decimal(g.status()["budgets"][0]["spent"]) == spent
            assert g.status()["ledger"]["holds_open"] == 0

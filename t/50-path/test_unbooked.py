# SPDX-License-Identifier: Apache-2.0
"""The gateway without its ledger (`durability: none`), for measuring and for trials: all is answered, nothing is booked, and
nobody can have missed it."""
import json
import os
import socket

from stories import Gateway, Provider, answer, chunk, events, reset, sse, wait_for, USAGE

PRICES = """books:
  - book: list
    seller: maker
    currency: USD
    from: 2020-01-01
    lines:
      - {model: "*", input: 1000, output: 1000}
"""
NONE = "durability: none\nprices: [prices.yaml]\n"


class Unbooked(Gateway):
    def __init__(self, providers, config="", **options):
        super().__init__(providers, config=NONE + config, **options)
        with open(os.path.join(self.folder, "prices.yaml"), "w", encoding="utf-8") as f:
            f.write(PRICES)

    def logged(self, message):
        lines = [json.loads(line) for line in self.log().splitlines()]
        return [line for line in lines if line["msg"] == message]


def test_without_a_ledger_all_is_answered_and_everybody_is_told_that_nothing_is_booked():
    stream = events(sse(chunk("Hello"), chunk(finish="stop"), chunk(usage=USAGE)))
    with Provider(answer(), stream, reset, answer(status=500), answer()) as p, Unbooked({"one": p}) as g:
        assert g.ask()[0] == 200 and g.stream()[0] == 200
        assert g.ask()[0] in (200, 502)
        wait_for(lambda: len(g.logged("exchange")) == 3)
        assert g.logged("exchange")[0]["cost"] == "0.012"
        status, _, said = g.request("GET", "/readyz", key=False)
        assert status == 200 and json.loads(said) == {"status": "degraded", "why": "durability: none: nothing is booked"}
        assert g.logged("durability: none: nothing is booked")[0]["level"] == "warn"
        assert b"entente_ledger_admitting 1" in g.request("GET", "/metrics", key="admin-canary-key")[2]
        assert json.loads(g.request("GET", "/admin/v1/status", key="admin-canary-key")[2])["ledger"]["entries"] == 0
        assert not os.path.exists(os.path.join(g.folder, "data", "ledger.db"))


def test_without_a_ledger_a_budget_still_refuses():
    budgets = "budgets:\n  - {name: B1, for: {department: tests}, limit: 0.02 USD, period: month}\n"
    with Provider(answer(), answer()) as p, Unbooked({"one": p}, config=budgets) as g:
        asked = {"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": "Hi"}]}
        assert g.ask(asked)[0] == 200
        status, _, data = g.ask(asked)
        assert status == 402 and json.loads(data)["error"]["code"] == "budget_exhausted" and len(p.requests) == 1


def test_without_a_ledger_a_client_that_leaves_is_seen_and_the_gateway_ends_in_order():
    slow = events(*[sse(chunk(" word"), done=False)] * 2000, gap=0.01)
    with Provider(slow) as p, Unbooked({"one": p}) as g:
        s = socket.create_connection(("127.0.0.1", g.port))
        body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (
            g.key.encode(), len(body), body))
        while b" word" not in s.recv(65536):
            pass
        s.close()
        wait_for(lambda: [line["outcome"] for line in g.logged("exchange")] == ["abandoned"])

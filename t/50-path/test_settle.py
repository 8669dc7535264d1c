# SPDX-License-Identifier: Apache-2.0
"""Statements, their booking, and re-rating: what is printed is computed again here, by other code, from what is printed alone."""
import csv
import io
import json
import os
import re
import subprocess
import tempfile
from fractions import Fraction
from math import floor

import pytest
from stories import BUILD, ENTENTE, ROOT

BOOK_USAGE = os.path.join(BUILD, "t", "harness", "book-usage")
TERMS = """
    terms:
      - {capacity: K1, units: 20, amount: 1.00, model: luna, provider: azure-eu, allowance: 100000}
      - {free: starter, class: output, quantity: 1000001}
      - {band: volume, class: input, quantity: 400000000, rate: 90%}
      - {fee: platform, rate: 5.5%}
      - {fee: seat, amount: 12.34}
      - {commit: M1, counts: [capacity], milestones: [{by: 2026-07-31, amount: 15000}, {by: 2026-08-31, amount: 50000}]}
      - {minimum: floor, amount: 16000}
      - {credit: welcome, amount: 250, until: 2026-12-31}
      - {tax: VAT, rate: 20%}
      - {share: S1, from: acme, to: owner, rate: 1/7, cap: 120}
"""
FIRST = """books:
  - book: azure-2026-07
    seller: microsoft
    currency: USD
    source: contract
    from: 2026-07-01
    lines:
      - {model: luna, provider: azure-gl, input: 0.25, cache_read: 0.025, output: 1.50}
      - {model: luna, provider: azure-eu, as: azure-gl, times: 1.1}
""" + TERMS + """
  - book: resale
    seller: acme
    buyer: legal
    currency: USD
    source: house rules
    from: 2026-07-01
    lines:
      - {model: "*", provider: "*", input: 0.31, cache_read: 0.031, output: 1.81}
    terms:
      - {fee: desk, amount: 3.333333333333333}
"""
CUT = """books:
  - book: azure-2026-08
    seller: microsoft
    currency: USD
    source: invoice
    from: 2026-08-01
    known: 2026-08-04
    lines:
      - {model: luna, provider: azure-gl, input: 0.20, cache_read: 0.02, output: 1.20}
      - {model: luna, provider: azure-gl, above: 200000, input: 0.40, cache_read: 0.04, output: 1.80}
      - {model: luna, provider: azure-eu, as: azure-gl, times: 1.1}
      - {model: nova, provider: azure-gl, input: 2, output: 8}
"""
THIRD = """books:
  - book: azure-2026-08b
    seller: microsoft
    currency: USD
    source: credit note
    from: 2026-08-02
    known: 2026-09-10
    lines:
      - {model: luna, provider: azure-gl, input: 0.19, cache_read: 0.019, output: 1.19}
"""
USAGE = """
2026-07-03T10:00:00Z azure-gl luna legal input=1000000000 cache_read=200000000 output=50000000 stated=355000000000
2026-07-10T10:00:00Z azure-eu luna rnd input=250000000 output=1000003
2026-07-10T10:20:00Z azure-eu luna rnd input=1234567 output=77 estimated
2026-08-01T10:00:00Z azure-gl luna legal input=100000 cache_read=20000 output=5001
2026-08-02T10:00:00Z azure-gl luna legal input=300001 cache_read=200000 output=5003
2026-08-02T11:00:00Z azure-gl luna - input=1001 output=7
2026-08-02T12:00:00Z azure-eu luna rnd input=999 output=333 reasoning=5
2026-08-03T10:00:00Z azure-gl nova rnd input=1234567 output=50001
"""


class Books:
    """A folder with a config, price books and the usage that was booked by them."""

    def __init__(self, *prices, usage=USAGE, zone="UTC", period="month"):
        self.folder = tempfile.mkdtemp(prefix="entente-story-")
        self.zone, self.period = zone, period
        os.mkdir(os.path.join(self.folder, "data"))
        self.prices(*prices)
        self.book(usage)

    def prices(self, *texts):
        for i, text in enumerate(texts):
            with open(os.path.join(self.folder, "prices%d.yaml" % i), "w", encoding="utf-8") as f:
                f.write(text)
        with open(os.path.join(self.folder, "entente.yaml"), "w", encoding="utf-8") as f:
            f.write("listen: 127.0.0.1:8080\ndata: data\nparty: acme\nprices: [%s]\nledger: {zone: %s, period: %s}\nproviders:\n" %
                    (", ".join("prices%d.yaml" % i for i in range(len(texts))), self.zone, self.period))
            f.write("".join("  %s: {dialect: openai, url: 'http://127.0.0.1:1/v1'}\n" % n for n in ("azure-gl", "azure-eu")))
            f.write("models: {m: [{provider: azure-gl, model: luna}, {provider: azure-eu, model: luna}]}\n")

    def book(self, usage):
        done = subprocess.run([BOOK_USAGE, "entente.yaml"], input=usage, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def run(self, *words, code=0):
        done = subprocess.run([ENTENTE, *words], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def settle(self, period, *words):
        return self.run("settle", "--config", "entente.yaml", "--period", period, *words)

    def json(self, period, *words):
        return json.loads(self.settle(period, "--json", *words))

    def rerate(self, *words):
        return json.loads(self.run("ledger", "rerate", "--config", "entente.yaml", "--json", *words))

    def balances(self):
        accounts = json.loads(self.run("ledger", "balance", "--data", "data", "--json"))["accounts"]
        return {(a["account"], a["currency"]): int(Fraction(a["amount"]) * 10**15) for a in accounts}


@pytest.fixture(autouse=True)
def needs_the_tool():
    if not os.path.exists(BOOK_USAGE):
        pytest.skip("t/harness/book-usage is not built")


# ---- computing again ----

def prices_of(text):
    fields = dict(f.split("=", 1) for f in text.split("\t"))
    return {k: int(v) for k, v in fields.items() if v.isdigit()}


def share_of(rate, base):
    return floor(Fraction(*rate) * base)


def commit(d):
    paid = before = int(d["shortfalls_before"])
    for required in d["required"]:
        paid += max(0, int(required) - int(d["counted"]) - paid)
    return paid - before


def term_amount(d):
    """What a term comes to, by its detail alone."""
    base = int(d.get("base", 0))
    uses = sum(u["quantity"] * u["price"] for u in d.get("uses", []) if "price" in u)
    return {
        "free": lambda: -uses,
        "capacity": lambda: -uses if "uses" in d else d["units"] * int(d["per_unit_and_hour"]) * d["seconds"] // 3600,
        "band": lambda: sum(share_of(d["rate"], int(u["full"])) - int(u["full"]) for u in d["uses"]),
        "storage": lambda: d["token_hours"] * int(d["per_million"]) // 10**6,
        "fee": lambda: int(d["fixed"]) + (max(0, share_of(d["rate"], base)) if d["rate"][1] else 0),
        "commit": lambda: commit(d),
        "minimum": lambda: max(0, int(d["minimum"]) - base),
        "credit": lambda: -min(int(d["left_before"]), max(0, int(d["owed"]))),
        "tax": lambda: max(0, share_of(d["rate"], base)),
        "share": lambda: min(share_of(d["rate"], base), int(d.get("cap", 10**40))) - int(d["accrued"]),
    }[d["kind"]]()


def correction_amounts(d):
    def by(line):
        return 0 if line is None else sum(n * prices_of(line["text"]).get(c, 0) for c, n in d["usage"].items())
    return by(d["old"]), by(d["new"])


def line_amount(line):
    if line["section"] == "usage":
        assert prices_of(line["price_line"]["text"])[line["class"]] == line["price"]
        return line["quantity"] * line["price"]
    if line["cause"] == "correction":
        old, new = correction_amounts(line["detail"])
        assert (str(old), str(new)) == (line["detail"]["old_amount"], line["detail"]["new_amount"])
        return new - old
    if "detail" in line:
        assert str(term_amount(line["detail"])) == line["detail"]["amount"]
        return term_amount(line["detail"])
    return int(line["amount"])


def check(document):
    """Every line, every sum."""
    for s in document["statements"]:
        booked = pending = 0
        for line in s["lines"]:
            if line["section"] == "unpriced":
                assert "amount" not in line
                continue
            assert abs(line_amount(line)) == abs(int(line["amount"])), line
            assert Fraction(line["amount_text"]) * 10**15 == int(line["amount"])
            if line["section"] == "pending":
                pending += int(line["amount"])
            else:
                booked += int(line["amount"])
        assert int(s["opening"]) + booked == int(s["closing"])
        assert pending == int(s["pending"])
        assert int(s["to_settle"]) + int(s["carried"]) == int(s["closing"])  # invariant 9
        assert int(s["to_settle"]) % 10**13 == 0 and abs(int(s["carried"])) < 10**13
    for n in document["net"]:
        assert int(n["net_we_owe"]) == int(n["we_owe"]) - int(n["owed_to_us"])
    return document


def statement(document, party, side):
    found = [s for s in document["statements"] if (s["party"], s["side"]) == (party, side)]
    assert len(found) == 1, found
    return found[0]


# ---- statements ----

def test_each_line_of_a_statement_can_be_computed_again_from_the_statement_alone():
    b = Books(FIRST)
    kinds = set()
    for period in ("2026-07", "2026-08", "2026-Q3", "2026", "2026-07-10", "2026-W28"):
        document = check(b.json(period))
        kinds |= {line["detail"]["kind"] for s in document["statements"] for line in s["lines"] if "detail" in line}
    assert kinds == {"capacity", "free", "band", "fee", "commit", "minimum", "credit", "tax", "share"}


def test_closing_is_the_opening_of_the_next_period_before_and_after_booking():
    b = Books(FIRST)
    for booked in (False, True):
        july, august = check(b.json("2026-07")), check(b.json("2026-08"))
        for s in july["statements"]:
            after = [x for x in august["statements"] if (x["party"], x["side"], x["currency"]) == (s["party"], s["side"], s["currency"])]
            assert after[0]["opening"] == s["closing"]
        assert july["not_closed"] == [] and august["not_closed"] == ([] if booked else ["2026-07"])
        b.settle("2026-07", "--post")


def test_booking_a_period_books_what_was_shown_and_once():
    b = Books(FIRST)
    shown = statement(b.json("2026-07"), "microsoft", "we owe")
    with_pending = int(shown["closing"]) + int(shown["pending"])
    for _ in range(3):
        b.settle("2026-07", "--post")
        after = statement(check(b.json("2026-07")), "microsoft", "we owe")
        assert int(after["closing"]) == with_pending and after["pending"] == "0"
    assert {x["name"]: x["amount"] for x in after["lines"] if x["section"] == "terms"} == \
        {x["name"]: x["amount"] for x in shown["lines"] if x["section"] == "pending"}


def test_a_later_period_is_the_same_whether_those_before_were_booked_or_not():
    booked, not_booked = Books(FIRST), Books(FIRST)
    booked.settle("2026-07", "--post")
    amounts = [{x["key"]: x["amount"] for s in b.json("2026-08")["statements"] for x in s["lines"] if x["section"] == "pending"} for b in (booked, not_booked)]
    assert amounts[0] == amounts[1] and amounts[0]


def test_net_positions_of_all_parties_and_ourselves_are_zero():
    b = Books(FIRST)
    b.settle("2026-Q3", "--post")
    b.run("ledger", "pay", "--data", "data", "--party", "microsoft", "--amount", "100.01 USD", "--key", "INV-1")
    b.run("ledger", "pay", "--data", "data", "--party", "legal", "--amount", "7 USD", "--key", "INV-2")
    net = sum(int(s["closing"]) * (1 if s["side"] == "we owe" else -1) for s in check(b.json("2026"))["statements"])
    ours = sum(m for (account, _), m in b.balances().items() if not re.match("liabilities:payable:|assets:receivable:", account))
    assert net == ours and sum(b.balances().values()) == 0


def test_csv_says_what_json_says():
    b = Books(FIRST)
    rows = list(csv.DictReader(io.StringIO(b.settle("2026-07", "--format", "csv"))))
    lines = [line for s in b.json("2026-07")["statements"] for line in s["lines"]]
    assert [r["amount"] for r in rows if r["section"] not in ("opening", "closing")] == [line.get("amount", "") for line in lines]
    for r in rows:
        if r["section"] == "usage":
            assert int(r["quantity"]) * int(r["price"]) == int(r["amount"])
        if r["detail"]:
            assert term_amount(json.loads(r["detail"])) == int(json.loads(r["detail"])["amount"])


def test_text_adds_up_in_cents_and_fits_a_hundred_columns():
    b = Books(FIRST, zone="Europe/Paris")
    for period in ("2026-07", "2026-08"):
        text = b.settle(period)
        assert max(map(len, text.splitlines())) <= 100
        for part in text.split("STATEMENT  ")[1:]:
            booked, pending = (part.split("\nNot booked yet") + [""])[:2]
            together = sum(amount(line) for line in booked.splitlines() if line.endswith(tuple("0123456789")) and re.match(r"Opening|  \w+ together", line))
            assert together == amount(re.search("Closing balance .*", booked)[0])
            if pending:
                shown = [amount(line) for line in re.findall(r"^  \S+  \w+ .*\d\.\d\d$", pending.split("  Not booked yet together")[0], re.M)]
                assert sum(shown) == amount(re.search("together .*", pending)[0])


def amount(line):
    return Fraction(line.split()[-1].replace(",", ""))


def test_estimated_and_unpriced_usage_stand_apart_and_what_the_provider_stated_stands_beside():
    b = Books(FIRST)
    text = b.settle("2026-08", "--party", "microsoft")
    assert "USAGE WITHOUT A PRICE" in text and re.search(r"luna at azure-eu .*\n +reasoning +5\n", text) and re.search(r"nova at azure-gl\n +input +1,234,567\n", text)
    text = b.settle("2026-07", "--party", "microsoft")
    assert re.search(r"input, ESTIMATED +1,234,567 +0\.275 ", text)
    assert "azure-gl, 1 of 1 requests: stated 355.00, by our prices 330.00, difference 25.00" in text


@pytest.mark.parametrize("words, says", [
    (["--period", "2026-13"], "write 2026-11"),
    (["--period", "9999"], "has not begun"),
    (["--period", "2026-08", "--party", "microsft"], 'did you mean "microsoft"'),
    (["--period", "2026-08", "--party", "zzzzzzzz"], "there are legal, microsoft"),
    (["--period", "2026-08", "--format", "xml"], "text, json or csv"),
    ([], "--period is missing"),
])
def test_a_question_that_cannot_be_answered_says_why(words, says):
    assert says in Books(FIRST).run("settle", "--config", "entente.yaml", *words, code=2)


def test_payments_are_booked_once_and_never_to_a_stranger():
    b = Books(FIRST)
    pay = ["ledger", "pay", "--data", "data", "--party", "microsoft", "--amount", "100.01", "USD", "--key", "INV-1"]
    assert b.run(*pay) == b.run(*pay)
    assert b.balances()[("assets:bank", "USD")] == -100010000000000000
    assert "with other content" in b.run(*[w.replace("100.01", "100.02") for w in pay], code=2)
    assert 'did you mean "microsoft"' in b.run(*[w.replace("microsoft", "microsofd") for w in pay], code=2)
    assert "no amount above zero" in b.run(*[w.replace("100.01", "-5") for w in pay], code=2)
    assert "currency" in b.run(*[w.replace("USD", "XQZ") for w in pay], code=2)


# ---- re-rating ----

def owed(b):
    """What we owe and are owed for usage, by account."""
    return {a: m for (a, _), m in b.balances().items() if re.match("liabilities:payable:microsoft:azure|assets:receivable", a)}


def test_a_cut_valid_1_august_and_known_4_august_is_posted_as_differences_once():
    b, known_at_once = Books(FIRST), Books(FIRST, CUT.replace("known: 2026-08-04", "known: 2026-08-01"))
    b.prices(FIRST, CUT)
    assert b.rerate("--dry-run")["corrections"] and owed(b) == owed(Books(FIRST))
    made = b.rerate()["corrections"]
    assert {c["detail"]["period"] for c in made} == {"2026-08"}
    assert any(c["detail"]["old"] is None for c in made)  # nova had no price
    assert owed(b) == owed(known_at_once)
    assert b.rerate()["corrections"] == []
    after = check(b.json("2026"))
    assert any(line["section"] == "corrections" for line in statement(after, "microsoft", "we owe")["lines"])


def test_a_third_price_works_on_top_of_the_second_and_a_fourth_may_be_the_first_again():
    b = Books(FIRST)
    b.prices(FIRST, CUT)
    b.rerate()
    b.prices(FIRST, CUT, THIRD)
    assert b.rerate()["corrections"]
    assert owed(b) == owed(Books(FIRST, CUT.replace("2026-08-04", "2026-08-01"), THIRD.replace("2026-09-10", "2026-08-02")))
    assert b.rerate()["corrections"] == []
    b.prices(FIRST)
    b.rerate()
    b.book("2026-09-20T10:00:00Z azure-gl luna - input=7\n")
    assert b.rerate()["corrections"] == []
    assert "liabilities:payable:microsoft:azure-gl" in owed(b)
    check(b.json("2026"))


def test_re_rating_begins_where_it_is_told_and_refuses_what_is_no_date():
    b = Books(FIRST)
    b.prices(FIRST, CUT)
    assert b.rerate("--from", "2026-08-03", "--dry-run")["looked_at"] == 1
    assert "no date" in b.run("ledger", "rerate", "--config", "entente.yaml", "--from", "yesterday", code=2)


def test_requests_that_go_different_ways_are_told_apart_however_many():
    usage = "".join("2026-08-02T10:%02d:%02dZ azure-gl luna - input=%d\n" % (i // 60, i % 60, 199999 + i % 3) for i in range(1000))
    b = Books(FIRST, usage=usage)
    b.prices(FIRST, CUT)
    made = b.rerate()["corrections"]
    assert len(made) > 2 and max(len(c["detail"]["ranges"]) for c in made) <= 300
    assert sum(c["detail"]["entries"] for c in made) == 1000
    assert owed(b) == owed(Books(FIRST, CUT.replace("2026-08-04", "2026-08-01"), usage=usage))
    assert b.rerate()["corrections"] == []


def test_compacted_usage_keeps_its_statements_and_is_not_re_rated():
    usage = "".join("2026-07-%02dT10:00:%02dZ azure-gl luna rnd input=1000 output=10\n" % (1 + i // 60, i % 60) for i in range(600)) + \
        "2026-08-20T10:00:00Z azure-gl luna rnd input=1000\n"
    b = Books(FIRST, usage=usage)
    before = [b.json(p)["statements"] for p in ("2026-07", "2026-08", "2026-07-03")]
    b.run("ledger", "compact", "--data", "data", "--before", "2026-08-01")
    assert [b.json(p)["statements"] for p in ("2026-07", "2026-08", "2026-07-03")] == before
    b.prices(FIRST, CUT)
    assert "compacted" in b.run("ledger", "rerate", "--config", "entente.yaml", code=1)
    assert b.rerate("--from", "2026-08-01")["corrections"]


SHARES = """books:
  - {book: one, seller: microsoft, currency: USD, source: list, from: 2026-01-01, lines: [{model: luna, provider: "*", input: 1}],
     terms: [{share: S1, from: acme, to: host, rate: 20%%}, {share: S3, from: owner, to: nonprofit, rate: 1%%}]}
  - {book: two, seller: google, currency: USD, source: list, from: 2026-01-01, lines: [{model: nova, provider: "*", input: 1}],
     terms: [{share: S2, from: host, to: acme, rate: 20%%}]}
"""


@pytest.mark.parametrize("period", ["day", "week", "month", "quarter", "year"])
def test_shares_both_ways_are_200000_and_80000_and_120000_net(period):
    b = Books(SHARES.replace("%%", "%"), period=period, zone="Europe/Paris", usage="".join(
        "2026-03-%02dT10:00:00Z azure-gl %s - input=%d\n" % (day, model, n)
        for day, model, n in ((3, "luna", 333333333333), (4, "nova", 400000000000), (27, "luna", 666666666667))))
    for booked in (False, True):
        net = {n["party"]: n for n in check(b.json("2026"))["net"]}
        assert [net["host"][k] for k in ("we_owe", "owed_to_us", "net_we_owe")] == ["2%020d" % 0, "8%019d" % 0, "12%019d" % 0]
        assert (net["owner"]["owed_to_us"], net["nonprofit"]["we_owe"]) == ("1%019d" % 0, "1%019d" % 0)
        if not booked and period != "year":
            b.settle("2026-Q1", "--post")
            assert all(x["pending"] == "0" for x in b.json("2026-Q1")["statements"])


# ---- the page ----

def test_the_statement_in_the_manual_is_what_the_program_prints():
    with open(os.path.join(ROOT, "docs", "settlement.md"), encoding="utf-8") as f:
        page = f.read()
    prices, sample = re.search(r"```yaml\n(books:.*?)```", page, re.S)[1], re.search(r"```\n(=====.*?)```", page, re.S)[1]
    usage = re.search(r"<!-- usage\n(.*?)-->", page, re.S)[1]
    b = Books(prices, usage=usage)
    assert b.settle("2026-07", "--party", "microsoft").strip() == sample.strip()

# SPDX-License-Identifier: Apache-2.0
"""What is exported is what is in the books: read by the programs that it is for, to the last digit, and refused when one digit is another.

The books are made by t/harness/make_books.c with names as bad as names may be.
"""
import csv
import io
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
from collections import defaultdict
from decimal import Decimal, getcontext
from urllib.parse import unquote

import pytest

import stories

getcontext().prec = 60
MAKE_BOOKS = os.path.join(stories.BUILD, "t", "harness", "make-books")
FORMATS = ("hledger", "ledger", "beancount", "focus", "csv", "json")
JOURNALS = ("hledger", "ledger", "beancount")
FIXTURES = os.environ.get("ENTENTE_FIXTURES", os.path.join(os.path.dirname(stories.ROOT), "shared"))
ENVIRONMENT = {**os.environ, "LC_ALL": "C"}


def run(*words, code=0, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, timeout=300, check=False, env=ENVIRONMENT, **more)
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    assert code is None or done.returncode == code, "%s\nexit %d\n%s" % (" ".join(map(str, words)), done.returncode, (out + err)[-2000:])
    return done.returncode if code is None else out


def export(data, form, *more, out=None):
    run(stories.ENTENTE, "ledger", "export", "--data", data, "--format", form, "--out", out, *more)
    return out


def text_of(path):
    with open(path, encoding="utf-8", newline="") as f:
        return f.read()


BOOKS = {"ugly": ("--seed", "7", "--requests", "400"), "plain": ("--seed", "8", "--requests", "150", "--plain", "--days", "40"),
         "compacted": ("--seed", "9", "--requests", "1500", "--days", "9", "--compact", "3")}


@pytest.fixture(scope="module", params=sorted(BOOKS))
def books(request, tmp_path_factory):
    if not os.path.exists(MAKE_BOOKS):
        pytest.skip("make-books is not built")
    data = tmp_path_factory.mktemp(request.param)
    run(MAKE_BOOKS, data, *BOOKS[request.param])
    return data


def have(program):
    return shutil.which(program) is not None


# ---- what the books say ----

def stored(data):
    """{(account, currency): balance}, read from the store itself, which a closed ledger leaves complete."""
    with sqlite3.connect(os.path.join(data, "ledger.db")) as store:
        rows = store.execute("select a.text, c.text, posted from account join name a on a.id = account.name join name c on c.id = account.currency").fetchall()
    return {(a, c): Decimal(posted) / 10**15 for a, c, posted in rows if int(posted)}


def total(data):
    answer = json.loads(run(stories.ENTENTE, "ledger", "balance", "--data", data, "--json"))
    found = {(a["account"], a["currency"]): Decimal(a["amount"]) for a in answer["accounts"] if Decimal(a["amount"])}
    assert found == stored(data)
    return found


def segment(name):
    return name.replace("%", "%25").replace(":", "%3A") or "%"


def lines(data, tmp_path):
    return [json.loads(line) for line in text_of(export(data, "json", out=tmp_path / "lines.json")).splitlines()]


# ---- what the programs read ----

def account_of_beancount(name):
    """docs/exports.md, the other way round."""
    def part(text):
        if text == "0--":
            return ""
        capital = text.endswith("--")
        text = text[:-2] if capital else text
        foreign = text.startswith("X--") and len(text) > 3
        text = text[2:] if foreign else text
        decoded = re.sub(rb"-([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode()).decode()
        return decoded if capital or foreign else decoded[:1].lower() + decoded[1:]
    parts = name.split(":")
    if parts[:2] == ["Equity", "0-"] and len(parts) > 2:
        parts = parts[2:]
    elif parts[1:] == ["0-"]:
        parts = parts[:1]
    return ":".join(part(p) for p in parts)


def read_hledger(path):
    run("hledger", "-f", path, "check", "--strict")
    rows = csv.reader(io.StringIO(run("hledger", "-f", path, "bal", "--flat", "-E", "-N", "-O", "csv", "--layout=bare")))
    return {(unquote(a), c): Decimal(n) for a, c, n in list(rows)[1:] if Decimal(n)}


def read_ledger(path):
    text = run("ledger", "--args-only", "--pedantic", "-f", path, "bal", "--flat", "--no-total", "--empty", "--balance-format",
               '%(account)|%(quoted(amount))\n')
    found = {}
    for account, amounts in re.findall(r'^(.*)\|"([^"]*)"$', text, re.M):
        for amount in amounts.split("\n"):
            if amount.strip() != "0":
                number, currency = amount.split()
                found[unquote(account), currency] = Decimal(number)
    return {k: v for k, v in found.items() if v}


def read_beancount(path):
    run("bean-check", path)
    rows = csv.reader(io.StringIO(run("bean-query", "-q", "-f", "csv", path, "select account, currency, sum(number) as n group by account, currency")))
    return {(account_of_beancount(a.strip()), c.strip()): Decimal(n) for a, c, n in list(rows)[1:] if Decimal(n)}


PROGRAMS = {"hledger": ("hledger", read_hledger), "ledger": ("ledger", read_ledger), "beancount": ("bean-check", read_beancount)}
CHECKS = {"hledger": ("hledger", "check", "-f"), "ledger": ("ledger", "--args-only", "bal", "-f"), "beancount": ("bean-check", "-C")}


def need(form):
    if not have(PROGRAMS[form][0]):
        pytest.skip("%s is not installed" % PROGRAMS[form][0])


# ---- tests ----

@pytest.mark.parametrize("by", ("request", "day"))
@pytest.mark.parametrize("form", JOURNALS)
def test_each_program_agrees_on_every_balance_to_the_last_digit(books, form, by, tmp_path):
    need(form)
    found = PROGRAMS[form][1](export(books, form, "--by", by, out=tmp_path / "books.journal"))
    assert found == total(books)
    assert any(abs(v) > 2**63 // 10**15 for v in found.values()), "no amount here is beyond 64 bits"


@pytest.mark.parametrize("by", ("request", "day"))
@pytest.mark.parametrize("form", JOURNALS)
def test_each_program_refuses_one_changed_digit(books, form, by, tmp_path):
    need(form)
    text = text_of(export(books, form, "--by", by, out=tmp_path / "books.journal"))
    chance = random.Random(form + by)
    places = [m.span(1) for m in re.finditer(r"(?m)(?<=[ -])(\d+\.\d{15})(?= )(?! [A-Z]+$\n\n^account)", text)]
    places = [p for p in places if "format" not in text[text.rfind("\n", 0, p[0]):p[0]]]
    ends = chance.sample(places, 6)
    for place, at in [(p, p[1] - 1) for p in ends] + [(p, chance.choice([i for i in range(*p) if text[i] != "."])) for p in chance.sample(places, 6)]:
        other = chance.choice([d for d in "0123456789" if d != text[at]])
        changed = tmp_path / "changed.journal"
        changed.write_text(text[:at] + other + text[at + 1:], encoding="utf-8")
        assert run(*CHECKS[form], changed, code=None) != 0, "%s became %s%s%s and nobody said so" % (
            text[slice(*place)], text[place[0]:at], other, text[at + 1:place[1]])


@pytest.mark.parametrize("form", JOURNALS)
def test_a_journal_of_a_part_opens_with_what_was_there_before(books, form, tmp_path):
    need(form)
    found = PROGRAMS[form][1](export(books, form, "--from", "2026-11-04", "--zone", "America/New_York", out=tmp_path / "books.journal"))
    assert found == total(books)


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_cut_off_or_changed_is_no_whole_export(books, form, tmp_path):
    path = export(books, form, out=tmp_path / "whole")
    assert "whole and unchanged" in run(stories.ENTENTE, "ledger", "export", "--check", path)
    whole, chance = path.read_bytes(), random.Random(form)
    mark = whole.rindex(b"entente-export-end ")
    for end in [0, 1, mark, mark + 30, len(whole) - 20, len(whole) - 1] + [chance.randrange(len(whole)) for _ in range(20)]:
        path.write_bytes(whole[:end])
        assert run(stories.ENTENTE, "ledger", "export", "--check", path, code=None) == 2
    digits = [m.start() for m in re.finditer(rb"\d", whole)]
    for at in chance.sample(digits, 20):
        path.write_bytes(whole[:at] + (b"1" if whole[at:at + 1] != b"1" else b"2") + whole[at + 1:])
        changed = run(stories.ENTENTE, "ledger", "export", "--check", path, code=None)
        assert changed == 2 or whole[mark:].find(b" root=") < at - mark, "a digit at %d of %d was changed unseen" % (at, len(whole))


def test_standard_output_and_file_are_the_same_bytes(books, tmp_path):
    for form in FORMATS:
        path = export(books, form, out=tmp_path / "file")
        assert run(stories.ENTENTE, "ledger", "export", "--data", books, "--format", form) == path.read_bytes().decode()


def test_a_file_appears_when_it_is_whole_or_not_at_all(books, tmp_path):
    small = tmp_path / "out"
    small.write_text("what was there")
    words = [stories.ENTENTE, "ledger", "export", "--data", str(books), "--format", "csv", "--out", str(small)]
    done = subprocess.run(["bash", "-c", 'ulimit -f 40; trap "" XFSZ; exec "$@"', "bash", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "cannot write" in done.stderr, done
    assert small.read_text() == "what was there" and os.listdir(tmp_path) == ["out"]


def test_sums_that_beancount_cannot_add_up_are_refused_and_the_others_take_them(tmp_path):
    if not os.path.exists(MAKE_BOOKS):
        pytest.skip("make-books is not built")
    run(MAKE_BOOKS, tmp_path / "data", "--requests", "5", "--huge", "1")
    done = subprocess.run([stories.ENTENTE, "ledger", "export", "--data", str(tmp_path / "data"), "--format", "beancount", "--out", str(tmp_path / "out")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "28 digits" in done.stderr and not (tmp_path / "out").exists(), done
    for form in ("hledger", "ledger"):
        need(form)
        assert PROGRAMS[form][1](export(tmp_path / "data", form, out=tmp_path / form)) == total(tmp_path / "data")


# ---- CSV ----

def csv_rows(path):
    rows = list(csv.DictReader(io.StringIO(text_of(path), newline="")))
    assert all(None not in r and None not in r.values() for r in rows), "a row has more or fewer cells than the head"
    return rows


def unguarded(text):
    return text[1:] if text.startswith("'") else text


def test_csv_rows_add_up_to_the_balances_and_begin_no_formula(books, tmp_path):
    rows = csv_rows(export(books, "csv", out=tmp_path / "books.csv"))
    assert rows[-1]["record"] == "end" and rows[-1]["end"].startswith("entente-export-end ")
    found = defaultdict(Decimal)
    for r in rows[:-1]:
        assert not any(v[:1] in "=+@\t" and v for v in r.values()), r
        moves = [(r["debit"], r["credit"], r["amount"], r["currency"])] if r["record"] == "posting" else []
        if r["buy_amount"]:
            moves.append(("expenses:usage:%s:%s" % (segment(unguarded(r["provider"])), segment(unguarded(r["provider_model"]))),
                          "liabilities:payable:%s:%s" % (segment(unguarded(r["buy_seller"])), segment(unguarded(r["provider"]))), r["buy_amount"], r["buy_currency"]))
        if r["sell_amount"]:
            who = segment(unguarded(r["sell_buyer"]))
            moves.append(("assets:receivable:" + who, "income:usage:" + who, r["sell_amount"], r["sell_currency"]))
        for debit, credit, amount, currency in moves:
            found[unguarded(debit), currency] += Decimal(amount)
            found[unguarded(credit), currency] -= Decimal(amount)
    assert {k: v for k, v in found.items() if v} == total(books)


def test_days_put_together_are_the_whole(books, tmp_path):
    for form in ("csv", "json"):
        whole = text_of(export(books, form, out=tmp_path / form)).splitlines()
        bounds = ["2026-11-%02dT00:00:00Z" % day for day in range(1, 11)] + ["2026-11-10T10:30:00Z", "2027-01-01"]
        parts = [text_of(export(books, form, "--from", a, "--until", b, out=tmp_path / "part")).splitlines() for a, b in zip(bounds, bounds[1:])]
        head = 1 if form == "csv" else 0
        assert [line for part in parts for line in part[head:-1]] == whole[head:-1]


@pytest.mark.parametrize("form", JOURNALS)
def test_a_journal_until_a_day_has_the_balances_of_that_day(books, form, tmp_path):
    need(form)
    answer = json.loads(run(stories.ENTENTE, "ledger", "balance", "--data", books, "--at", "2026-11-04", "--json"))
    wanted = {(a["account"], a["currency"]): Decimal(a["amount"]) for a in answer["accounts"] if Decimal(a["amount"])}
    assert PROGRAMS[form][1](export(books, form, "--until", "2026-11-04", out=tmp_path / "books.journal")) == wanted


# ---- FOCUS ----

def focus_columns():
    path = os.path.join(FIXTURES, "specs", "focus", "columns.csv")
    if not os.path.exists(path):
        pytest.skip("the column specification is not here: set ENTENTE_FIXTURES")
    with open(path, encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


# The specification's table names a few values only in its prose.
MORE_ALLOWED = {"ChargeFrequency": {"One-Time", "Usage-Based"}, "ServiceSubcategory": {"Generative AI"}}
NEVER_EMPTY_OF_USAGE = ("ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit", "SkuId", "SkuMeter", "ResourceId")


def check_cell(column, value):
    name = column["ColumnID"]
    if value == "":
        assert column["AllowsNulls"] == "True", name + " is empty"
        return
    allowed = {v.strip() for v in column["AllowedValues"].split(";") if v.strip()} | MORE_ALLOWED.get(name, set())
    assert not column["AllowedValues"] or value in allowed, "%s: %s" % (name, value)
    if column["DataType"] == "Decimal":
        assert re.fullmatch(r"-?\d+(\.\d+)?", value), "%s: %s" % (name, value)
    elif column["DataType"] == "Date/Time":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value), "%s: %s" % (name, value)
    elif column["DataType"] == "JSON":
        assert all(isinstance(v, (str, int, bool, type(None))) for v in json.loads(value).values())
    elif "currencyformat" in column["ValueFormat"]:
        assert re.fullmatch(r"[A-Z]{3}", value)


@pytest.mark.parametrize("by", ("hour", "day"))
def test_focus_rows_are_what_the_specification_asks_for(books, by, tmp_path):
    columns, rows = focus_columns(), csv_rows(export(books, "focus", "--by", by, out=tmp_path / "focus.csv"))
    names = list(rows[0])
    assert names[:len(columns)] == [c["ColumnID"] for c in columns]
    assert {"ServiceProviderName", "HostProviderName"} <= set(names[len(columns):])
    assert all(n.startswith("x_") for n in names[len(columns):] if n not in ("ServiceProviderName", "HostProviderName"))
    for r in rows:
        for c in columns:
            check_cell(c, r[c["ColumnID"]])
        assert r["BillingPeriodStart"] <= r["ChargePeriodStart"] < r["ChargePeriodEnd"] <= r["BillingPeriodEnd"]
        if r["ChargeCategory"] == "Usage":
            assert all(r[c] for c in NEVER_EMPTY_OF_USAGE)
        if r["ContractedUnitPrice"]:
            assert Decimal(r["ContractedUnitPrice"]) * Decimal(r["PricingQuantity"]) == Decimal(r["ContractedCost"]) == Decimal(r["BilledCost"])
        assert (r["x_Unpriced"] == "true") == (r["ChargeCategory"] == "Usage" and not r["ContractedUnitPrice"])


@pytest.mark.parametrize("by", ("hour", "day"))
def test_focus_costs_add_up_to_what_is_owed(books, by, tmp_path):
    rows = csv_rows(export(books, "focus", "--by", by, out=tmp_path / "focus.csv"))
    owed, owing = defaultdict(Decimal), defaultdict(Decimal)
    for r in rows:
        owed[r["BillingCurrency"]] += Decimal(r["BilledCost"])
        if r["x_ChargebackCost"]:
            owing[r["x_ChargebackCurrency"]] += Decimal(r["x_ChargebackCost"])
    balance, back = defaultdict(Decimal), defaultdict(Decimal)
    for (account, currency), amount in total(books).items():
        balance[currency] -= amount if account.startswith("liabilities:payable:") else 0
        back[currency] += amount if account.startswith("assets:receivable:") else 0
    for e in lines(books, tmp_path):
        for t in e.get("transfers", ()) if e.get("cause") == "payment" else ():
            balance[t["currency"]] += Decimal(t["amount"]) if t["debit"].startswith("liabilities:payable:") else 0
    for found, wanted in ((owed, balance), (owing, back)):
        assert {k: v for k, v in found.items() if v} == {k: v for k, v in wanted.items() if v}


# ---- from a request to every program ----

PRICES = """
books:
  - {book: list, seller: microsoft, buyer: self, currency: USD, source: contract, from: 2020-01-01, known: 2020-01-01,
     lines: [{model: "*", provider: azure, input: 0.25, output: 1.234567891}]}
"""


def test_what_clients_were_answered_is_what_every_program_says_is_owed(tmp_path):
    (tmp_path / "prices.yaml").write_text(PRICES, encoding="utf-8")
    with stories.Provider(stories.answer(), stories.events(stories.STREAM)) as p, \
            stories.Gateway(providers={"azure": p}, config="prices: [%s]\n" % (tmp_path / "prices.yaml")) as g:
        assert g.ask()[0] == 200
        for _ in range(6):
            assert g.stream()[0] == 200
        g.records(7)
        g.stop()
        data, cost = os.path.join(g.folder, "data"), 7 * (9 * Decimal("0.25") + 3 * Decimal("1.234567891")) / 10**6
        wanted = total(data)
        assert wanted["liabilities:payable:microsoft:azure", "USD"] == -cost and wanted["assets:receivable:tests", "USD"] == cost
        for form in JOURNALS:
            if have(PROGRAMS[form][0]):
                assert PROGRAMS[form][1](export(data, form, out=tmp_path / form)) == wanted
        rows = csv_rows(export(data, "focus", out=tmp_path / "focus.csv"))
        assert sum(Decimal(r["BilledCost"]) for r in rows) == cost
        assert sum(int(r["x_InputTokens"] or 0) for r in rows) == 63 and sum(int(r["x_OutputTokens"] or 0) for r in rows) == 21


# ---- asking wrongly ----

@pytest.mark.parametrize("words, says", [
    (("--format", "qif"), 'no format "qif"'), ((), "--format is missing"), (("--format", "csv", "--by", "day"), "cannot be written by day"),
    (("--format", "csv", "--from", "yesterday"), "is no date"), (("--format", "csv", "--zone", "Mars/Phobos"), "no time zone"),
    (("--format", "csv", "--period", "2026-13"), "--period"), (("--format", "csv", "--from", "2026-11-02", "--until", "2026-11-01"), "not before"),
    (("--format", "csv", "--out", "/dev/null"), "is no file"),
])
def test_a_wrong_question_is_answered_with_what_to_do(books, words, says):
    done = subprocess.run([stories.ENTENTE, "ledger", "export", "--data", str(books), *words], capture_output=True, text=True, check=False)
    assert done.returncode == (1 if "/dev/null" in words else 2) and says in done.stderr, done


def test_books_that_are_none_are_refused(tmp_path):
    (tmp_path / "ledger.db").write_text("these are no books")
    for data in (tmp_path, tmp_path / "nowhere"):
        done = subprocess.run([stories.ENTENTE, "ledger", "export", "--data", str(data), "--format", "csv"], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and done.stderr.startswith("entente ledger export: ") and not done.stdout

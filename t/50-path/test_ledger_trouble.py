# SPDX-License-Identifier: Apache-2.0
"""Trouble with the ledger's files: what is damaged, gone, foreign or somebody else's is refused with a sentence, and left as it is."""
import csv
import http.client
import json
import os
import shutil
import sqlite3
import subprocess
from decimal import Decimal

import pytest
from stories import BUILD, ENTENTE, USAGE, Provider, answer, chunk, events, reset, sse
from test_money import Shop, budget, cost

CONFIG = """party: acme
data: data
listen: 127.0.0.1:0
prices: [prices.yaml]
providers:
  one: {dialect: openai, url: 'http://127.0.0.1:9/v1'}
models: {m: [{provider: one}]}
keys: []
"""
BOOK = "books:\n  - {book: list, seller: maker, currency: USD, from: 2020-01-01, lines: [{model: '*', input: 1, output: 10}]}\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound")
    subprocess.run([os.path.join(BUILD, "t/harness/make-books"), str(path / "data"), "--plain", "--requests", "400"], check=True, capture_output=True)
    (path / "entente.yaml").write_text(CONFIG)
    (path / "prices.yaml").write_text(BOOK)
    return path


@pytest.fixture
def site(sound, tmp_path):
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    return tmp_path


def entente(site, *words):
    return subprocess.run([ENTENTE, *words], cwd=site, capture_output=True, text=True, errors="replace", check=False, timeout=60)


def files(site):
    """What is in the data directory, but for what readers and a gateway's start leave: shared memory, an empty write-ahead log, a pid, a spool."""
    found = {}
    for p in (site / "data").rglob("*"):
        if p.is_file() and p.suffix not in (".db-shm", ".pid", ".spool") and not (p.name.endswith("-wal") and p.stat().st_size == 0):
            found[p.name] = p.read_bytes()
    return found


def sql(text):
    def spoil(site):
        db = sqlite3.connect(site / "data/ledger.db")
        db.executescript(text)
        db.close()
    return spoil


def instead(data):
    return lambda site: (site / "data/ledger.db").write_bytes(data)


def cut(site):
    os.truncate(site / "data/ledger.db", (site / "data/ledger.db").stat().st_size // 2)


def directory(site):
    (site / "data/ledger.db").unlink()
    (site / "data/ledger.db").mkdir()


WRITERS = (["serve", "--config", "entente.yaml"], ["ledger", "checkpoint", "--data", "data"], ["ledger", "compact", "--data", "data", "--before",
           "2026-11-01"], ["ledger", "rerate", "--config", "entente.yaml"], ["settle", "--config", "entente.yaml", "--period", "2026-10", "--post"])
READERS = (["ledger", "verify", "--data", "data"], ["ledger", "balance", "--data", "data"], ["ledger", "export", "--format", "csv", "--data", "data"],
           ["ledger", "backup", "--to", "copy.db", "--data", "data"], ["ledger", "restore", "--from", "data/ledger.db", "--data", "restored"])


@pytest.mark.parametrize("spoil, words", [
    (instead(b"Dear ledger,\n" * 400), "no SQLite database"), (cut, "it is damaged"), (directory, "ledger.db"),
    (instead(b""), "it is empty"), (sql("PRAGMA user_version = 9"), "written by a newer entente: schema 9, this one knows 1"),
    (sql("PRAGMA application_id = 1"), "not an entente ledger")], ids=["text", "cut", "directory", "empty", "newer", "foreign"])
def test_what_is_no_sound_ledger_is_refused_by_everybody_and_left_as_it_is(site, spoil, words):
    spoil(site)
    before = files(site)
    for command in READERS + WRITERS:
        if words == "it is empty" and command[0] == "serve":
            continue  # an empty file is what the first start makes
        done = entente(site, *command)
        assert done.returncode == 2 and words in done.stderr, (command, done)
        assert not (site / "copy.db").exists() and not (site / "restored").exists()
    assert files(site) == before


@pytest.mark.parametrize("text", ["DELETE FROM entry WHERE seq = (SELECT max(seq) FROM entry)",
                                  "UPDATE meta SET value = CAST('999999' AS BLOB) WHERE key = 'flushed_seq'",
                                  "UPDATE meta SET value = x'00' WHERE key = 'frontier'"], ids=["end", "flushed", "frontier"])
def test_nothing_is_written_to_a_log_whose_end_is_gone(site, text):
    sql(text)(site)
    before = files(site)
    for command in WRITERS:
        done = entente(site, *command)
        assert done.returncode == 2 and "damaged" in done.stderr and "backup" in done.stderr, (command, done)
    assert files(site) == before
    assert entente(site, "ledger", "verify", "--data", "data").returncode in (1, 2)


def test_a_restore_that_was_killed_is_run_again(site):
    (site / "restored").mkdir()
    for name in ("ledger.db.part", "ledger.db.part-journal"):
        (site / "restored" / name).write_bytes((site / "data/ledger.db").read_bytes()[:5000])
    done = entente(site, "ledger", "restore", "--from", "data/ledger.db", "--data", "restored")
    assert done.returncode == 0 and entente(site, "ledger", "verify", "--data", "restored").returncode == 0, done
    assert not list((site / "restored").glob("*.part*"))


def test_a_wrong_hash_that_the_next_checkpoint_would_be_made_of_is_found(site):
    db = sqlite3.connect(site / "data/ledger.db")
    frontier = bytearray(db.execute("SELECT value FROM meta WHERE key = 'frontier'").fetchone()[0])
    frontier[-1] ^= 1
    db.execute("UPDATE meta SET value = ? WHERE key = 'frontier'", (bytes(frontier),))
    db.commit()
    db.close()
    done = entente(site, "ledger", "verify", "--data", "data")
    assert done.returncode == 1 and "the frontier, from which the writer goes on, is not that of the first" in done.stdout + done.stderr, done


def test_records_that_only_the_write_ahead_log_has_do_not_go_with_a_lost_file():
    with Provider(answer()) as p:
        g = Shop({"one": p})
        with g:
            for _ in range(20):
                assert g.ask()[0] == 200
            g.process.kill()
            g.process.wait(20)
            g.stop = lambda *_: 0  # it is dead
        del g.stop
        store, wal = (os.path.join(g.folder, "data", name) for name in ("ledger.db", "ledger.db-wal"))
        with open(wal, "rb") as f:
            log = f.read()
        assert log
        os.rename(store, store + ".away")
        for _ in range(2):
            done = subprocess.run([ENTENTE, "serve", "--config", g.config_path], env=g.env, cwd=g.folder, capture_output=True, text=True, check=False)
            assert done.returncode == 2 and "its write-ahead log is not" in done.stderr, done
            with open(wal, "rb") as f:
                assert f.read() == log
        os.replace(store + ".away", store)
        with g:
            assert len(g.records(20)) == 20
            g.verify()


# ---- names that clients choose ----

ODD = ["a:b:c", "a/b/c", "two words", "ünï→日本", "q\"uo'te", "new\nline", "x" * 200, "=cmd()|' /C calc'!A0", "tab\tx", "%41", "-1", "@SUM(1)", "; comment", "::", "  lead",
       "a  b", "{b}", "(p)", "[v]", "\\", "\x01", "é" * 60, "#", "a,b", "~other", "*"]


def test_whatever_models_clients_name_the_books_can_be_read_by_everybody():
    keys = "keys:\n  - {name: story, secret: env:STORY_KEY, department: 'de:pt \"1\"'}\n  - {name: 'k 2', secret: env:OTHER, party: 'part/y =x'}\n"
    with Provider(answer()) as p, Shop({"one": p}, models="models: {'*': [{provider: one}]}\n", keys=False, config=keys, env={"OTHER": "sk-other"}) as g:
        client = http.client.HTTPConnection("127.0.0.1", g.port)
        names = ODD * 2 + ["model-%d-%s" % (n, "y" * 30) for n in range(4500)]
        for n, name in enumerate(names):  # all in one hour, or nearly
            client.request("POST", "/v1/chat/completions", json.dumps({"model": name, "messages": []}), g.headers(key="sk-other" if n % 2 else True))
            answered = client.getresponse()
            assert answered.read() and answered.status == 200, name
        g.records(len(names))
        g.verify()
        out, data = os.path.join(g.folder, "out"), os.path.join(g.folder, "data")
        for form, check in (("hledger", ["hledger", "-f", out, "check", "--strict"]), ("ledger", ["ledger", "--args-only", "-f", out, "balance"]),
                            ("beancount", ["bean-check", out]), ("focus", None), ("csv", None)):
            done = subprocess.run([ENTENTE, "ledger", "export", "--data", data, "--format", form, "--out", out], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done
            if check and shutil.which(check[0]):
                done = subprocess.run(check, capture_output=True, text=True, check=False)
                assert done.returncode == 0 and "rror" not in done.stderr, done
            if not check:
                with open(out, newline="", encoding="utf-8") as f:
                    head, *rows = csv.reader(f)
                assert {len(r) for r in rows} == {len(head)} and not [c for r in rows for c in r if c[:1] in "=+@" and c]


# ---- what a payment may be ----

def pay(site, amount, *more, key="INV-1"):
    return entente(site, "ledger", "pay", "--data", "data", "--party", "microsoft", "--to", "--amount", amount, "--key", key, *more)


@pytest.mark.parametrize("amount", ["-5 USD", "0 USD", "9" * 400 + " USD", "170141183460469231731687 USD", "9223372036854776 USD",
                                    "0.0000000000000001 USD", "12.50", "12.50 XYZ", "12,50 USD", "nan USD", "5 USD EUR"])
def test_an_amount_that_is_none_books_nothing(site, amount):
    before = files(site)
    done = pay(site, amount)
    assert done.returncode == 2 and "--amount" in done.stderr, done
    assert files(site) == before


def test_payments_of_any_size_that_is_taken_leave_books_that_everybody_reads(site):
    for n, key in enumerate(["big", "=cmd()|'\n; x", "ü" * 127, "-1", "\"a\" b:c %"]):
        assert pay(site, "9223372036854775.807 USD", "--memo", key * 2, key=key).returncode == 0, n
    for key, memo in (("", "x"), ("x" * 256, "x"), ("long", "x" * 801)):
        done = pay(site, "1 USD", "--memo", memo, key=key)
        assert done.returncode == 2 and "bytes" in done.stderr, done
    assert entente(site, "ledger", "verify", "--data", "data").returncode == 0
    assert entente(site, "settle", "--config", "entente.yaml", "--period", "2026-11").returncode == 0
    for form, check in (("hledger", ["hledger", "-f", "out", "check", "--strict"]), ("ledger", ["ledger", "--args-only", "-f", "out", "balance"])):
        assert entente(site, "ledger", "export", "--data", "data", "--format", form, "--out", "out").returncode == 0
        if shutil.which(check[0]):
            done = subprocess.run(check, cwd=site, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done
        os.unlink(site / "out")


# ---- budgets, where deployments fail ----

def spent_of(g, name):
    return next(Decimal(b["spent"]) for b in g.status()["budgets"] if b["name"] == name)


def test_a_retry_at_a_deployment_because_the_others_are_exhausted_is_held_and_counted():
    limits = budget("limit: 1 USD") + "  - {name: P2, for: {provider: two}, limit: 0.000001 USD}\n"
    with Provider(answer(500, {"error": {"message": "no"}}), answer()) as one, Provider(answer()) as two, Shop({"one": one, "two": two}, config=limits) as g:
        assert g.ask()[0] == 200 and not two.requests and len(one.requests) == 2
        assert spent_of(g, "B1") == cost(g.records(1)[0]) > 0


def test_an_attempt_that_was_used_and_lost_leaves_less_for_the_next_at_the_same_deployment():
    begun = events(end=False, then=reset)
    with Provider(begun, events(sse(chunk("Hello", "stop"), chunk(usage=USAGE)))) as p, Shop({"one": p}, config=budget("limit: 0.00101 USD")) as g:
        g.stream({"max_tokens": 100})  # worst: 0.001 and the prompt, which fits once
        records = g.records(1) and g.records(lost=True)
        spent = sum(cost(r) for r in records if "amount" in r.get("cost", {}))
        assert 0 < spent == spent_of(g, "B1") and len(p.requests) == 1, records

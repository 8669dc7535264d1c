# SPDX-License-Identifier: Apache-2.0
"""Proofs and copies of the books: what a partner without the ledger can check, with our program, with OpenSSL, and with the few lines of Python
here that know the published formats only; and that nothing changed, cut off, foreign or damaged passes for good."""
import base64
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import threading
from fractions import Fraction

import pytest
import stories
from stories import BUILD, ENTENTE, STREAM, Gateway, Provider, answer, events

VERIFY = os.path.join(BUILD, "entente-verify")
MAKE_BOOKS = os.path.join(BUILD, "t", "harness", "make-books")
PRICES = """books:
  - book: one-2026
    seller: acme-models
    currency: USD
    source: contract
    from: 2020-01-01
    lines:
      - {model: "at-one", provider: "one", input: 2.50, output: 10}
"""
CONFIG = "prices: [prices.yaml]\n"
COST = Fraction(9) * Fraction("2.5") / 10**6 + Fraction(3) * 10 / 10**6  # what stories.USAGE costs


class Books:
    """A gateway that keeps books, and the commands that look at them, also when it is gone."""

    def __init__(self, *script):
        self.provider = Provider(*(script or (answer(),)))
        self.gateway = Gateway(providers={"one": self.provider}, config=CONFIG)
        with open(os.path.join(self.gateway.folder, "prices.yaml"), "w", encoding="utf-8") as f:
            f.write(PRICES)
        self.data = os.path.join(self.gateway.folder, "data")
        self.folder = self.gateway.folder

    def __enter__(self):
        self.provider.__enter__()
        self.gateway.__enter__()
        return self

    def __exit__(self, kind, *rest):
        self.gateway.__exit__(kind, *rest)
        self.provider.__exit__()

    def ask(self, n=1):
        """The ids of n requests, which are in the books when this returns."""
        before = len(self.gateway.records())
        ids = [self.gateway.ask()[1]["x-entente-request-id"] for _ in range(n)]
        self.gateway.records(before + n)
        return ids

    def path(self, name):
        return os.path.join(self.folder, name)

    def key(self):
        return ledger("checkpoint", "--key", "--data", self.data)[1].strip()

    def prove(self, *words):
        code, out, err = ledger("prove", *words, "--data", self.data)
        assert code == 0, err
        return out


def run(program, *words, text=None):
    done = subprocess.run([program, *words], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60 * stories.SLOW, check=False)
    assert "Sanitizer" not in done.stderr and done.returncode in (0, 1, 2), done.stderr
    assert done.returncode == 0 or done.stderr.strip() or "--json" in words, "it failed without a word"
    return done.returncode, done.stdout, done.stderr


def ledger(*words):
    return run(ENTENTE, "ledger", *words)


def verify(key, proof):
    return run(VERIFY, "--key", key, "-", text=proof)


# ---- a checker that shares nothing with the program ----

def sha(prefix, *parts):
    return hashlib.sha256(bytes([prefix]) + b"".join(parts)).digest()


def root_of(leaf, index, size, path):
    """RFC 9162, 2.1.3.2."""
    at, last, r = index, size - 1, leaf
    for p in path:
        assert last > 0
        if at & 1 or at == last:
            r = sha(1, p, r)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            r = sha(1, r, p)
        at, last = at >> 1, last >> 1
    assert last == 0
    return r


def number(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def leaves_of(extra, index, path):
    """(index, bytes, path) of the entry and of what it refers to."""
    assert extra[0] == 1
    n, at = number(extra, 1)
    yield index, extra[at:at + n], path
    at += n
    while at < len(extra):
        index, at = number(extra, at)
        n, at = number(extra, at)
        body, at = extra[at:at + n], at + n
        n, at = number(extra, at)
        yield index, body, [extra[at + 32 * i:at + 32 * i + 32] for i in range(n)]
        at += 32 * n


def parse_note(note):
    text, signatures = note.rsplit("\n\n", 1)
    _, name, signature = signatures.rstrip("\n").split(" ")
    return text + "\n", name, base64.b64decode(signature)


def openssl_accepts(key, text, signature, folder):
    """Whether OpenSSL's command says that the signature of the text is of this key."""
    public = base64.b64decode(key.split("+", 2)[2])[1:]
    files = {"key.der": bytes.fromhex("302a300506032b6570032100") + public, "text": text.encode(), "signature": signature}
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(content)
    done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin", "-in", "text", "-sigfile", "signature"],
                          cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


def check_alone(proof, key, folder):
    """The leaves that the proof proves, by the published formats."""
    head, note = proof.split("\n\n", 1)
    lines = head.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra ") and lines[2].startswith("index ")
    text, name, signature = parse_note(note)
    origin, size, root = text.split("\n")[:3]
    key_name, key_hash, key_bytes = key.split("+", 2)
    assert origin == name == key_name
    assert signature[:4].hex() == key_hash == hashlib.sha256(key_name.encode() + b"\n" + base64.b64decode(key_bytes)).hexdigest()[:8]
    assert openssl_accepts(key, text, signature[4:], folder)
    leaves = list(leaves_of(base64.b64decode(lines[1][6:]), int(lines[2][6:]), [base64.b64decode(line) for line in lines[3:]]))
    for index, body, path in leaves:
        assert root_of(sha(0, body), index, int(size), path) == base64.b64decode(root)
    return leaves


# ---- proofs ----

def test_a_partner_can_check_what_a_request_cost_while_the_gateway_runs():
    with Books(answer(), events(STREAM)) as b:
        first = b.ask()[0]
        b.gateway.stream()
        b.gateway.records(2)
        key, proof = b.key(), b.prove(first)
        code, out, err = verify(key, proof)
        assert code == 0, err
        for line in ("request id +" + first, "department +tests", "provider +one", "model +at-one", "input +9", "output +3", "counted by +reported"):
            assert re.search("^  %s$" % line, out, re.M), (line, out)
        bought = re.search(r"^  bought for +(\S+) USD$", out, re.M)
        assert Fraction(bought[1]) == COST
        assert "from acme-models to" in out
        leaves = check_alone(proof, key, b.folder)
        assert any(b"at-one" in body for _, body, _ in leaves[1:]) and any(b"acme-models" in body for _, body, _ in leaves[1:])


def test_every_entry_has_a_proof():
    with Books() as b:
        b.ask(3)
        key = b.key()
        b.prove("0")
        size = int(ledger("checkpoint", "--print", "--data", b.data)[1].split("\n")[1])
        kinds = set()
        for seq in range(size):
            code, out, err = verify(key, b.prove(str(seq)))
            assert code == 0, err
            kinds.add(re.search(r"^  kind +(\w+)", out, re.M)[1])
        assert kinds == {"name", "price", "usage"}


def test_a_proof_of_an_entry_that_was_never_booked_is_not_made():
    with Books() as b:
        b.ask()
        for word, code in (("999999", 1), ("req_00000000000000000g", 1), ("req_short", 1), ("what", 2), ("-1", 2)):
            got, out, err = ledger("prove", word, "--data", b.data)
            assert got == code and out == "", (word, err)


def changed(proof, what):
    head, note = proof.split("\n\n", 1)
    lines, parts = head.split("\n"), note.split("\n")
    if what == "index":
        lines[2] = "index %d" % (int(lines[2][6:]) ^ 1)
    elif what == "entry":
        raw = bytearray(base64.b64decode(lines[1][6:]))
        raw[len(raw) // 2] ^= 1
        lines[1] = "extra " + base64.b64encode(raw).decode()
    elif what == "path":
        raw = bytearray(base64.b64decode(lines[3]))
        raw[0] ^= 1
        lines[3] = base64.b64encode(raw).decode()
    elif what == "size":
        parts[1] = str(int(parts[1]) + 1)
    elif what == "root":
        parts[2] = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    elif what == "origin":
        parts[0] = "another.example/ledger"
    elif what == "signature":
        raw = bytearray(base64.b64decode(parts[4].split(" ")[2]))
        raw[20] ^= 1
        parts[4] = " ".join(parts[4].split(" ")[:2] + [base64.b64encode(raw).decode()])
    return "\n".join(lines) + "\n\n" + "\n".join(parts)


def test_a_changed_proof_proves_nothing():
    with Books() as b, Books() as other:
        proof, key = b.prove(b.ask(4)[2]), b.key()
        assert changed(proof, "nothing") == proof
        for what in ("index", "entry", "path", "size", "root", "origin", "signature"):
            code, out, err = verify(key, changed(proof, what))
            assert code == 1 and "proved\n" not in out, (what, out)
            assert err.startswith("entente-verify: -: "), err
        other.ask()
        code, _, err = verify(other.key(), proof)
        assert code == 1 and "another ledger" in err


def test_what_is_no_proof_is_told_apart_from_a_wrong_one():
    with Books() as b:
        proof, key = b.prove(b.ask()[0]), b.key()
        for text in ("", proof[:len(proof) // 2], proof[:-1], "hello\n", proof.replace("c2sp", "c2sq"), proof + "more\n"):
            code, _, err = verify(key, text)
            assert code == 2 and err, text
        for words in ((), ("--key", key), ("--key", "nonsense", "-"), ("--key", key, "--key-file", "x", "-"), ("--nothing", "-"), ("--key", key, "no-such-file")):
            assert run(VERIFY, *words, text=proof)[0] == 2
        with open(os.path.join(b.data, "ledger.key"), encoding="utf-8") as f:
            code, _, err = run(VERIFY, "--key", f.read().strip(), "-", text=proof)
        assert code == 2 and "secret" in err and "PRIVATE" not in err


def test_several_files_and_a_key_in_a_file():
    with Books() as b:
        good, bad, key_file = b.path("good.tlog-proof"), b.path("bad.tlog-proof"), b.path("key")
        code, out, _ = ledger("prove", b.ask()[0], "--data", b.data, "--out", good)
        assert code == 0 and "entente-verify --key" in out
        with open(good, encoding="utf-8") as f, open(bad, "w", encoding="utf-8") as g, open(key_file, "w", encoding="utf-8") as k:
            g.write(changed(f.read(), "root"))
            k.write(b.key() + "\n")
        assert run(VERIFY, "--key-file", key_file, good)[0] == 0
        code, out, err = run(VERIFY, "--key-file=" + key_file, good, bad)
        assert code == 1 and good + ": proved\n" in out and bad + ": NOT PROVED\n" in out and bad in err


def test_growth_between_checkpoints_is_proved_and_a_fork_is_not():
    with Books() as b:
        b.ask(2)
        first = ledger("checkpoint", "--data", b.data)[1]
        b.ask(3)
        second = ledger("checkpoint", "--data", b.data)[1]
        old, now = first.split("\n")[1], second.split("\n")[1]
        assert int(old) < int(now)
        assert [line.split()[0] for line in ledger("checkpoint", "--list", "--data", b.data)[1].splitlines()][-2:] == [old, now]
        assert ledger("checkpoint", "--print", "--size", old, "--data", b.data)[1] == first
        proof, key = b.prove("--from", old, "--to", now), b.key()
        assert proof == b.prove("--from", old)
        code, out, err = verify(key, proof)
        assert code == 0 and "%s entries" % old in out and "%s entries" % now in out, err
        lines = proof.split("\n")
        for wrong in (proof.replace(lines[1], lines[2], 1), proof.replace("\n%s\n" % old, "\n%d\n" % (int(old) - 1), 1), proof.replace(second, first)):
            assert wrong != proof and verify(key, wrong)[0] == 1, wrong
        assert ledger("prove", "--from", str(int(old) + 1), "--data", b.data)[0] == 1
        assert ledger("prove", "--from", now, "--to", old, "--data", b.data)[0] == 2


# ---- what the books say ----

def test_balances_are_those_of_what_was_asked():
    with Books() as b:
        ids = b.ask(3)
        code, out, err = ledger("balance", "--data", b.data, "--json")
        assert code == 0, err
        found = {a["account"]: Fraction(a["amount"]) for a in json.loads(out)["accounts"]}
        assert sum(found.values()) == 0
        assert found["expenses:usage:one:at-one"] == 3 * COST == -found["liabilities:payable:acme-models:one"]
        assert found["assets:receivable:tests"] == 3 * COST == -found["income:usage:tests"]
        flat = ledger("balance", "--data", b.data, "--flat")[1].splitlines()
        assert {line.split()[2]: Fraction(line.split()[0]) for line in flat} == found
        tree = ledger("balance", "expenses", "--data", b.data)[1].splitlines()
        assert [line.split()[2] for line in tree] == ["expenses", "usage", "one", "at-one"] and {Fraction(line.split()[0]) for line in tree} == {3 * COST}
        assert "nothing" in ledger("balance", "--data", b.data, "--at", "2020-01-01")[1]
        assert ledger("balance", "--data", b.data, "--at", "2100-01-01", "--flat")[1].splitlines() == flat
        assert ledger("balance", "--data", b.data, "--at", "someday")[0] == 2
        assert len(ids) == 3


def test_verify_says_so_in_a_line_and_names_what_is_wrong(tmp_path):
    with Books() as b:
        b.ask(3)
        key = b.key()
        code, out, _ = ledger("verify", "--data", b.data, "--key", key)
        assert code == 0 and re.match(r"verified: [\d,]+ entries, root [0-9a-f]{64}, \d+ checkpoints?, balances agree, [\d.]+ s\n$", out)
        report = json.loads(ledger("verify", "--data", b.data, "--json")[1])
        assert report["verified"] is True and report["usage"] == 3 and report["faults"] == []
        assert ledger("verify", "--data", b.data, "--key", key[:-4] + "AAAA")[0] == 1
    shutil.copy(os.path.join(b.data, "ledger.db"), tmp_path / "copy.db")
    db = sqlite3.connect(tmp_path / "copy.db")
    seq, body = db.execute("SELECT seq, body FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    db.execute("UPDATE entry SET body = ? WHERE seq = ?", (body[:-1] + bytes([body[-1] ^ 1]), seq))
    db.commit()
    db.close()
    code, out, err = ledger("verify", "--data", str(tmp_path / "copy.db"))
    assert code == 1 and out.startswith("NOT verified: ") and err.strip(), err
    report = json.loads(ledger("verify", "--data", str(tmp_path / "copy.db"), "--json")[1])
    assert report["verified"] is False and len(report["faults"]) >= 1


# ---- copies ----

def exported(data):
    code, out, err = ledger("export", "--format", "json", "--data", data)
    assert code == 0, err
    return out


def test_a_backup_while_the_gateway_runs_can_be_restored_and_proved():
    with Books() as b:
        ids, copy, restored = b.ask(3), b.path("copy.db"), b.path("restored")
        proof, ending = b.prove(ids[1]), threading.Event()

        def keep_asking():
            while not ending.is_set():
                b.gateway.ask()
        asker = threading.Thread(target=keep_asking)
        asker.start()
        try:
            for n in range(5):
                code, out, err = ledger("backup", "--data", b.data, "--to", copy + str(n))
                assert code == 0 and re.search(r"[\d,]+ entries\n$", out), err
                assert ledger("verify", "--data", copy + str(n))[0] == 0
        finally:
            ending.set()
            asker.join()
        code, out, err = ledger("restore", "--from", copy + "4", "--data", restored)
        assert code == 0 and "ledger.key" in out, err
        assert exported(restored) == exported(copy + "4")
        assert b.key() == ledger("checkpoint", "--key", "--data", restored)[1].strip()
        assert verify(b.key(), proof)[0] == 0
        assert ledger("prove", ids[0], "--data", restored)[0] in (0, 1)  # without the key nothing new is signed
        shutil.copy(os.path.join(b.data, "ledger.key"), restored)
        code, out, err = ledger("prove", ids[0], "--data", restored)
        assert code == 0 and verify(b.key(), out)[0] == 0, err


def test_nothing_is_restored_over_anything_or_from_something_bad(tmp_path):
    with Books() as b:
        b.ask()
        copy = b.path("copy.db")
        assert ledger("backup", "--data", b.data, "--to", copy)[0] == 0
        code, _, err = ledger("backup", "--data", b.data, "--to", copy)
        assert code == 2 and "already" in err
        code, _, err = ledger("restore", "--from", copy, "--data", b.data)
        assert code == 2 and "no empty directory" in err
        with open(copy, "rb") as f:
            whole = f.read()
        for n, content in enumerate((b"", b"hello", b"SQLite format 3\0", whole[:len(whole) // 2], whole[:100] + bytes(4096) + whole[4196:])):
            bad, target = tmp_path / ("bad%d.db" % n), tmp_path / ("target%d" % n)
            bad.write_bytes(content)
            code, out, err = ledger("restore", "--from", str(bad), "--data", str(target))
            assert code == 2 and not out and not target.exists(), (n, err)
        sqlite3.connect(tmp_path / "foreign.db").execute("CREATE TABLE t (a)").connection.close()
        for command in (("verify",), ("balance",), ("prove", "0"), ("checkpoint", "--print"), ("compact", "--before", "2030-01-01")):
            assert ledger(*command, "--data", str(tmp_path / "foreign.db"))[0] == 2
            assert ledger(*command, "--data", str(tmp_path / "nothing"))[0] == 2
            assert ledger(*command)[0] == 2


def test_a_damaged_copy_is_never_taken_for_more_than_it_is(tmp_path):
    """A byte changed anywhere: a fault, a sentence, or a place that says nothing; never a crash, and what is verified says what it said before."""
    with Books() as b:
        b.ask(3)
        copy = b.path("copy.db")
        assert ledger("backup", "--data", b.data, "--to", copy)[0] == 0
    before = exported(copy)
    with open(copy, "rb") as f:
        whole = bytearray(f.read())
    bad, seen = tmp_path / "bad.db", set()
    for place in range(17, len(whole), max(1, len(whole) // 60)):
        whole[place] ^= 0x55
        bad.write_bytes(whole)
        code, _, err = ledger("verify", "--data", str(bad))
        seen.add(code)
        assert code or exported(str(bad)) == before, (place, err)
        whole[place] ^= 0x55
    assert seen & {1, 2}


# ---- larger books ----

@pytest.fixture(scope="module")
def large(tmp_path_factory):
    if not os.path.exists(MAKE_BOOKS):
        pytest.skip("make-books is not built")
    folder = tmp_path_factory.mktemp("books")
    subprocess.run([MAKE_BOOKS, str(folder), "--seed", "5", "--requests", "3000", "--days", "6"], check=True, timeout=300 * stories.SLOW)
    return str(folder)


def test_proofs_survive_compaction(large, tmp_path):
    data = str(tmp_path / "data")
    shutil.copytree(large, data)
    key = ledger("checkpoint", "--key", "--data", data)[1].strip()
    early = ledger("prove", "600", "--data", data)[1]
    before = ledger("balance", "--data", data, "--json")[1]
    sizes = [line.split()[0] for line in ledger("checkpoint", "--list", "--data", data)[1].splitlines()]
    code, out, err = ledger("compact", "--data", data, "--before", "2026-11-04", "--shrink")
    assert code == 0 and "sums now" in out, err
    assert verify(key, early)[0] == 0
    assert json.loads(ledger("balance", "--data", data, "--json")[1])["accounts"] == json.loads(before)["accounts"]
    code, _, err = ledger("prove", "600", "--data", data)
    assert code == 1 and "compacted" in err
    for size in sizes[:3]:
        assert verify(key, ledger("prove", "--from", size, "--data", data)[1])[0] == 0
    assert "nothing to compact" in ledger("compact", "--data", data, "--before", "2026-11-04")[1]


def test_balances_of_a_moment_add_up_to_those_of_now(large):
    now = json.loads(ledger("balance", "--data", large, "--json")[1])["accounts"]
    then = json.loads(ledger("balance", "--data", large, "--at", "2100-01-01", "--json")[1])["accounts"]
    assert [a for a in now if Fraction(a["amount"])] == [a for a in then if Fraction(a["amount"])]
    middle = json.loads(ledger("balance", "--data", large, "--at", "2026-11-03", "--json")[1])["accounts"]
    sums = {}
    for a in middle:
        sums[a["currency"]] = sums.get(a["currency"], 0) + Fraction(a["amount"])
    assert len(middle) > 10 and not any(sums.values())


def test_growth_of_a_larger_log_is_proved_between_all_its_checkpoints(large):
    key = ledger("checkpoint", "--key", "--data", large)[1].strip()
    sizes = [line.split()[0] for line in ledger("checkpoint", "--list", "--data", large)[1].splitlines()]
    assert len(sizes) > 3
    for old, now in zip(sizes, sizes[1:]):
        assert verify(key, ledger("prove", "--from", old, "--to", now, "--data", large)[1])[0] == 0

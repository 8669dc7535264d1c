#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ledger's figures: what booking costs, and what a year's books cost to read. bench/run has both in its table.

  bench/books.py [--requests 10000000] [--build DIR] [--dir DIR]

Each command runs in a process of its own, on one core; CPU time, wall time and peak memory are the kernel's word. The
books of ten million requests take 1.2 GB in a directory of their own, and half of that again while they are shrunk; it
goes afterwards.
"""
import argparse
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORE = 0
CONFIG = """
listen: 127.0.0.1:0
data: {data}
ledger: {{zone: Europe/Berlin, period: month}}
providers:
  azure-eu: {{dialect: openai, url: "http://127.0.0.1:9/v1"}}
models:
  gpt-5.6: [{{provider: azure-eu, model: gpt-5.6}}]
"""


def peak_bytes(pid, before):
    """The most that it had resident so far. The kernel's figure of an ended process would be at least what we have ourselves."""
    try:
        with open(f"/proc/{pid}/status") as status:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    except OSError:
        found = None
    return max(before, int(found[1]) * 1024) if found else before


def run(command, core=CORE):
    """Runs it on one core; returns what it printed, its CPU and wall seconds and its peak resident bytes."""
    pinned = ["taskset", "-c", str(core), *command] if core is not None else command
    with tempfile.TemporaryFile() as out:
        began, peak, ended = time.monotonic(), 0, 0
        process = subprocess.Popen(pinned, stdout=out, stderr=subprocess.STDOUT)
        while not ended:
            time.sleep(0.005)
            peak = peak_bytes(process.pid, peak)
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        out.seek(0)
        said = out.read(65536).decode(errors="replace")
    if process.returncode:
        raise SystemExit(f"bench: {' '.join(command)} ended with {process.returncode}: {said.strip()[-400:]}")
    return said, {"cpu": used.ru_utime + used.ru_stime, "wall": wall, "rss": peak}


# ---- writing -------------------------------------------------------------------------------------------------------

SPEED = re.compile(r"lone request: (?P<lone>\d+) us.*?fdatasync: (?P<bare>\d+) us.*?: (?P<rate>\d+) requests/s durable"
                   r".*?writer CPU (?P<writer>[\d.]+) us/request, submitting CPU (?P<submit>[\d.]+)", re.S)


def writing(build, scratch, seconds):
    """Figures of bench/ledger_speed: two threads beside the writer, then one request alone."""
    data = tempfile.mkdtemp(prefix="speed-", dir=scratch)
    try:
        said, used = run([os.path.join(build, "bench", "ledger_speed"), data, str(max(1, round(seconds)))], core=None)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    found = SPEED.search(said)
    if not found:
        raise SystemExit(f"bench: ledger_speed said {said!r}")
    got = {f"ledger.{name}": float(value) for name, value in found.groupdict().items()}
    return {**got, "ledger.added": got["ledger.lone"] - got["ledger.bare"], "ledger.rss": used["rss"]}


# ---- reading -------------------------------------------------------------------------------------------------------

def rollup_rows(data):
    with sqlite3.connect(f"file:{data}/ledger.db?mode=ro", uri=True) as db:
        return db.execute("SELECT count(*) FROM rollup").fetchone()[0]


def file_bytes(data):
    return os.path.getsize(f"{data}/ledger.db")


def year(build, scratch, requests, tell=lambda name, used: None):
    """A year's books made, read in every way, compacted, and read again."""
    data = tempfile.mkdtemp(prefix="year-", dir=scratch)
    entente, config = os.path.join(build, "entente"), os.path.join(data, "entente.yaml")
    got = {"year.requests": requests}

    def step(name, *command):
        said, used = run(list(command))
        got.update({f"year.{name}.{what}": value for what, value in used.items()})
        tell(name, used)
        return said

    def settle(name, *more):
        step(name, entente, "settle", "--config", config, *more)

    try:
        with open(config, "w") as file:
            file.write(CONFIG.format(data=data))
        step("book", os.path.join(build, "bench", "year_books"), data, str(requests))
        got["year.rows"], got["year.bytes"] = rollup_rows(data), file_bytes(data) / requests
        settle("month", "--period", "2025-11")
        settle("month-party", "--period", "2025-11", "--party", "legal")
        settle("statement", "--period", "2025")
        settle("statement-party", "--period", "2025", "--party", "legal")
        step("balance", entente, "ledger", "balance", "--data", data)
        entries = int(re.search(r"([\d,]+) entries", step("verify", entente, "ledger", "verify", "--data", data))[1].replace(",", ""))
        got["year.verify.rate"] = entries / got["year.verify.cpu"]
        step("json", entente, "ledger", "export", "--data", data, "--format", "json")
        step("compact", entente, "ledger", "compact", "--data", data, "--before", "2026-01-01", "--shrink")
        got["year.compacted"] = file_bytes(data) / requests
        settle("statement-compacted", "--period", "2025")
        step("verify-compacted", entente, "ledger", "verify", "--data", data)
        return got
    finally:
        shutil.rmtree(data, ignore_errors=True)


# ---- the table -----------------------------------------------------------------------------------------------------

# label, figure, scale, decimals, limit as text, whether it is met
ROWS = [
    ("W1 with the ledger, CPU µs/request of the whole gateway", "W1", 1, 1, "–", None),
    ("W1 without it (`durability: none`)", "W1-none", 1, 1, "–", None),
    ("records made durable, a second", "ledger.rate", 1, 0, "≥ 50,000", lambda g, v: v >= 50000),
    ("writer, CPU µs/request", "ledger.writer", 1, 2, "< 4", lambda g, v: v < 4),
    ("worker, CPU µs/request to hand over hold and record", "ledger.submit", 1, 2, "< 1", lambda g, v: v < 1),
    ("a lone request waits, p50 µs beyond a bare fdatasync", "ledger.added", 1, 0, "< 50", lambda g, v: v < 50),
    ("statement of a year, all parties, CPU s", "year.statement.cpu", 1, 2, "< 2", lambda g, v: v < 2),
    ("statement of a month, all parties, CPU s", "year.month.cpu", 1, 2, "< 2", lambda g, v: v < 2),
    ("the year's statement, peak MiB of memory", "year.statement.rss", 1 << 20, 0, "flat", None),
    ("verify, million entries a second and core", "year.verify.rate", 1e6, 2, "> 1", lambda g, v: v > 1e6),
    ("verify, peak MiB of memory", "year.verify.rss", 1 << 20, 0, "flat", None),
    ("export as JSON, CPU µs/request", "year.json.per", 1e-6, 2, "–", None),
    ("export as JSON, peak MiB of memory", "year.json.rss", 1 << 20, 0, "flat", None),
    ("file, bytes/request", "year.bytes", 1, 0, "–", None),
    ("file after `compact --shrink`, bytes/request", "year.compacted", 1, 0, "< 200", lambda g, v: v < 200),
]


def table(got):
    if "year.json.cpu" in got:
        got = {**got, "year.json.per": got["year.json.cpu"] / got["year.requests"]}
    lines = ["| the ledger | measured | must | met |", "|---|---:|---:|---|"]
    for label, figure, scale, decimals, limit, met in ROWS:
        if figure in got:
            verdict = "–" if met is None else "must" if met(got, got[figure]) else "**no**"
            lines.append(f"| {label} | {got[figure] / scale:,.{decimals}f} | {limit} | {verdict} |")
    return "\n".join(lines)


def said(got):
    """The circumstances of the table, as a sentence."""
    parts = []
    if "ledger.bare" in got:
        parts.append(f"a bare fdatasync of one page took {got['ledger.bare']:.0f} µs")
    if "year.rows" in got:
        parts.append(f"the year has {got['year.requests']:,} requests of 24 keys, in {got['year.rows']:,} rows of the roll-up")
    return "; ".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--build", default=os.environ.get("BUILD", os.path.join(ROOT, "build")))
    parser.add_argument("--dir", help="where the books are made, on the disk to be measured; the system's temporary directory unless said")
    args = parser.parse_args()
    got = writing(args.build, args.dir, args.seconds)
    got.update(year(args.build, args.dir, args.requests, lambda name, used: print(
        f"{name:20} {used['cpu']:8.2f} s CPU {used['wall']:8.2f} s {used['rss'] / (1 << 20):8.1f} MiB", file=sys.stderr, flush=True)))
    print(f"{table(got)}\n\n{said(got)}\n{json.dumps(got)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""docs/ledger.md is a specification: its tables and columns are those of the schema, its fields those of the codec, its numbers those of the lists."""
import os
import re
import sqlite3

import pytest
from test_tables import read, rows

PAGE = "docs/ledger.md"


def classes():
    return re.findall(r'^USAGE\(\w+, +"(\w+)"', read("src/neutral/usage.def"), re.M)


def schema():
    """The columns of each table, from the SQL of the last schema run by SQLite itself."""
    source = read("src/ledger/store_schema.c")
    version = re.search(r"static const char schema_1\[\] =\n(.*?);\n", source, re.S)[1]
    version = version.replace('#include "neutral/usage.def"', " ".join('"%s INTEGER NOT NULL, "' % c for c in classes()))
    text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r"/\*.*?\*/", "", version)))
    store = sqlite3.connect(":memory:")
    try:
        store.executescript(text)
    except sqlite3.OperationalError as e:
        if "STRICT" in str(e):
            pytest.skip("this Python's SQLite is older than 3.37")
        raise
    tables = [name for name, in store.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    return {t: [row[1] for row in store.execute("PRAGMA table_info(%s)" % t)] for t in tables}


def documented():
    found, table = {}, None
    for row in rows(PAGE, "## The file"):
        if len(row) != 3 or not re.search(r"`", row[0] + row[1]):
            continue
        table = (re.findall(r"`(\w+)`", row[0]) or [table])[0]
        found.setdefault(table, []).extend(re.findall(r"`(\w+)`", row[1]))
    return found


def test_every_table_and_column_is_described_in_its_order():
    assert documented() == schema()


def test_the_fields_of_a_usage_entry_are_described_in_the_order_of_its_bytes():
    fields = re.findall(r"^NUMBER\(([\w.]+),", read("src/ledger/entry_usage.def"), re.M)
    told = [name for row in rows(PAGE, "### Usage entries")[2:] for name in re.findall(r"`([\w.]+)`", row[0])]
    assert len(fields) > 20 and told == fields


def numbered(text):
    return {int(n): word for n, word in re.findall(r"(?:^|[ ,])(\d+) ([a-z_ ]+?)(?=,|\.|;| \||$)", text)}


def named(source, array):
    return [w for w in re.findall(r'"([a-z_]+)"', re.search(r"%s[^=]*=\s*\{(.*?)\};" % array, read(source), re.S)[1])]


@pytest.mark.parametrize("field, source, array", [
    ("outcome", "src/ledger/record_words.c", r"outcome_names\["),
    ("attempt_outcome", "src/ledger/record_words.c", r"attempt_names\["),
    ("usage.source", "src/neutral/usage.c", r"const names\["),
])
def test_numbers_of_usage_entries_mean_what_the_page_says(field, source, array):
    row = next(r for r in rows(PAGE, "### Usage entries") if r[0] == "`%s`" % field)
    assert numbered(row[1]) == dict(enumerate(named(source, array)))


def test_causes_of_postings_mean_what_the_page_says():
    text = re.search(r"^Causes of postings: (.*?)\. A key", read(PAGE), re.M | re.S)[1].replace("\n", " ")
    assert numbered(text) == dict(enumerate(named("src/ledger/entry.c", r"names\[POSTING_CAUSES\]")))


def test_every_entry_kind_is_described():
    kinds = [int(n) for n in re.findall(r"ENTRY_[A-Z]+ = (\d+)", read("src/ledger/entry.h"))]
    assert [int(r[0]) for r in rows(PAGE, "## Entries") if r[0].isdigit()] == kinds


def test_every_meta_key_is_described():
    keys = set()
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "src", "ledger")
    for name in os.listdir(folder):
        keys |= set(re.findall(r'^#define META_\w+ "(\w+)"', read("src/ledger/" + name), re.M))
    told = {name for row in rows(PAGE, "## The file") if len(row) == 2 for name in re.findall(r"`(\w+)`", row[0])}
    assert keys and told == keys

# SPDX-License-Identifier: Apache-2.0
"""The books beside what a provider says: exports of every format are written here from the usage that was booked, by other code than the gateway's,
and then one thing in them is made wrong. Each wrong thing must be found where it is, with its amount and its cause; nothing else may be.
"""
import csv
import io
import json
import os
import subprocess
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from stories import BUILD, ENTENTE

BOOK_USAGE = os.path.join(BUILD, "t", "harness", "book-usage")
GPT, CLAUDE, GEMINI = "gpt-4o-2024-08-06", "us.anthropic.claude-sonnet-4-20250514-v1:0", "gemini-2.0-flash-001"
PRICES = {GPT: {"input": "2.50", "cache_read": "1.25", "cache_write": "2.50", "output": "10.00", "reasoning": "10.00"},
          CLAUDE: {"input": "3", "cache_read": "0.30", "cache_write": "3.75", "output": "15", "reasoning": "15"},
          GEMINI: {"input": "0.10", "cache_read": "0.025", "cache_write": "0.1", "output": "0.4", "reasoning": "0.4"}}
CLASSES = ("input", "cache_read", "cache_write", "output", "reasoning")
START = datetime(2026, 8, 1, tzinfo=timezone.utc)


def some_usage():
    """Three days, a request of each model each 50 minutes; counts that nothing else makes by chance."""
    lines, seed = [], 12345
    for i in range(86):
        at = START + timedelta(minutes=50 * i)
        for model in PRICES:
            counts = {}
            for c in CLASSES:
                seed = (seed * 1103515245 + 12345) % 2**31
                counts[c] = 1 + seed % (90000 if c == "input" else 7000)
            lines.append((at, model, counts))
    return lines


USAGE = some_usage()


def stamp(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def book(folder, usage, extra="", prices=None):
    os.makedirs(folder / "data")
    text = "books:\n  - {book: theirs, seller: them, currency: USD, source: list, from: 2026-01-01, lines: ["
    text += ", ".join("{model: '%s', provider: p, %s}" % (m, ", ".join("%s: %s" % kv for kv in row.items())) for m, row in (prices or PRICES).items()) + "]}\n"
    (folder / "prices.yaml").write_text(text)
    (folder / "entente.yaml").write_text("listen: 127.0.0.1:8080\ndata: data\nprices: [prices.yaml]\nproviders: {p: {dialect: openai, url: 'http://127.0.0.1:1/v1'},"
                                         " other: {dialect: openai, url: 'http://127.0.0.1:1/v1'}}\nmodels: {m: [{provider: p, model: m}]}\n")
    lines = ["%s p %s - %s%s" % (stamp(at), m, " ".join("%s=%d" % kv for kv in counts.items()), extra) for at, m, counts in usage]
    lines.append("%s other %s - input=777 output=7" % (stamp(usage[-1][0]), GPT))
    done = subprocess.run([BOOK_USAGE, "entente.yaml"], input="\n".join(lines) + "\n", cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    if not os.path.exists(BOOK_USAGE):
        pytest.skip("t/harness/book-usage is not built")
    return book(tmp_path_factory.mktemp("books"), USAGE)


def run(folder, text, *words, name="export", code=0, form=None):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    more = ("--format", form) if form else ()
    done = subprocess.run([ENTENTE, "reconcile", "--data", "data", "--provider", "p", "--file", name, *more, *words], cwd=folder, capture_output=True, text=True,
                          check=False)
    assert done.returncode == code, (done.stdout[-3000:], done.stderr)
    return done.stderr if code == 2 else json.loads(done.stdout) if "--json" in words else done.stdout


# ---- the formats, written as the providers write them ----

def cells(usage, hours, fold):
    """{(begin, model, class): [count, cost]}, exact."""
    found = defaultdict(lambda: [0, Decimal(0)])
    for at, model, counts in usage:
        begin = START + timedelta(hours=hours) * ((at - START) // timedelta(hours=hours))
        for c, n in counts.items():
            cell = found[begin, model, fold.get(c, c)]
            cell[0] += n
            cell[1] += n * Decimal(PRICES[model][c]) / 10**6
    return dict(found)


def table(rows):
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def plain(decimal):
    return format(Decimal(decimal).normalize(), "f")


def openai_usage(found, hours):
    fields = {"input": "input_tokens", "cache_read": "input_cached_tokens", "output": "output_tokens"}
    buckets = []
    for begin in sorted({k[0] for k in found}):
        results = []
        for model in PRICES:
            counts = {c: found[begin, model, c][0] for c in fields if (begin, model, c) in found}
            if counts:
                counts["input"] = counts.get("input", 0) + counts.get("cache_read", 0)
                results.append({"object": "organization.usage.completions.result", **{fields[c]: n for c, n in counts.items()}, "input_audio_tokens": 0,
                                "output_audio_tokens": 0, "project_id": None, "model": model, "batch": None})
        buckets.append({"object": "bucket", "start_time": int(begin.timestamp()), "end_time": int(begin.timestamp()) + 3600 * hours, "results": results})
    half = len(buckets) // 2
    pages = [{"object": "page", "data": part, "has_more": more, "next_page": "page_x" if more else None} for part, more in ((buckets[:half], True), (buckets[half:], False))]
    return "\n".join(json.dumps(p, indent=2) for p in pages)


def openai_costs(found, hours):
    words = {"input": "input", "cache_read": "cached input", "output": "output"}
    buckets = []
    for begin in sorted({k[0] for k in found}):
        results = [{"object": "organization.costs.result", "amount": {"value": float(cost), "currency": "usd"}, "line_item": "%s, %s" % (m, words[c]), "project_id": None}
                   for (at, m, c), (_, cost) in found.items() if at == begin]
        buckets.append({"results": results, "object": "bucket", "end_time": int(begin.timestamp()) + 3600 * hours, "start_time": int(begin.timestamp())})
    return json.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None})


AZURE = {GPT: "gpt 4o 0806", CLAUDE: "Claude Sonnet 4", GEMINI: "Gemini-2.0-Flash"}


def azure(found, hours):
    words = {"input": "Inp glbl Tokens", "cache_read": "cached Inp glbl Tokens", "output": "Outp glbl Tokens"}
    rows = [["Date", "MeterCategory", "MeterSubCategory", "MeterName", "Quantity", "UnitOfMeasure", "CostInBillingCurrency", "BillingCurrency", "ChargeType", "Tags"]]
    for (begin, m, c), (n, cost) in found.items():
        rows.append([begin.strftime("%m/%d/%Y"), "Azure OpenAI", "Azure, OpenAI", AZURE[m] + " " + words[c], plain(Decimal(n) / 1000), "1K", plain(cost), "USD", "Usage",
                     '"env": "prod, eu"'])
    rows.append([START.strftime("%m/%d/%Y"), "Storage", "Blob", "Hot LRS Data Stored", "1.5", "1 GB/Month", "0.03", "USD", "Usage", ""])
    return "\ufeff" + table(rows)


AWS = {GPT: "Gpt4o0806", CLAUDE: "ClaudeSonnet4", GEMINI: "Gemini2.0Flash"}


def aws(found, hours, old=False):
    words = {"input": "input-tokens", "cache_read": "cache-read-input-token-count", "cache_write": "cache-write-input-token-count", "output": "output-tokens"}
    rows = [["line_item_line_item_type", "line_item_usage_start_date", "line_item_usage_end_date", "line_item_usage_type", "line_item_usage_amount", "pricing_unit",
             "line_item_unblended_cost", "line_item_currency_code"]]
    if old:
        rows = [["lineItem/LineItemType", "lineItem/UsageStartDate", "lineItem/UsageEndDate", "lineItem/UsageType", "lineItem/UsageAmount", "pricing/unit",
                 "lineItem/UnblendedCost", "lineItem/CurrencyCode"]]
    for (begin, m, c), (n, cost) in found.items():
        rows.append(["Usage", stamp(begin), stamp(begin + timedelta(hours=hours)), "EUC1-%s-%s" % (AWS[m], words[c]), "%.10f" % (n / 1000), "1K tokens", "%.10f" % cost, "USD"])
    return table(rows)


GCP = {GPT: "GPT 4o 0806", CLAUDE: "Claude Sonnet 4", GEMINI: "Gemini 2.0 Flash"}
GCP_WORDS = {"input": "Text Input - Predictions", "cache_read": "Cached Text Input - Predictions", "output": "Text Output - Predictions"}


def gcp_rows(found, hours):
    for (begin, m, c), (n, cost) in found.items():
        yield begin, begin + timedelta(hours=hours), GCP[m] + " " + GCP_WORDS[c], n, cost


def gcp_json(found, hours):
    return "".join(json.dumps({"billing_account_id": "1", "service": {"id": "x", "description": "Vertex AI"}, "sku": {"id": "y", "description": sku}, "usage_start_time": stamp(a),
                               "usage_end_time": stamp(b), "labels": [{"key": "a", "value": "b"}], "usage": {"amount": n, "unit": "count", "amount_in_pricing_units": n,
                               "pricing_unit": "count"}, "cost": float(cost), "currency": "USD", "cost_type": "regular"}) + "\n" for a, b, sku, n, cost in gcp_rows(found, hours))


def gcp_csv(found, hours):
    rows = [["service.description", "sku.description", "usage_start_time", "usage_end_time", "usage.amount", "usage.unit", "cost", "currency", "cost_type"]]
    for a, b, sku, n, cost in gcp_rows(found, hours):
        rows.append(["Vertex AI", sku, a.strftime("%Y-%m-%d %H:%M:%S UTC"), b.strftime("%Y-%m-%d %H:%M:%S UTC"), str(n), "count", plain(cost), "USD", "regular"])
    return table(rows)


def focus(found, hours):
    rows = [["BilledCost", "BillingCurrency", "ChargeCategory", "ChargePeriodStart", "ChargePeriodEnd", "ConsumedQuantity", "ConsumedUnit", "SkuMeter"]]
    words = {"input": "Inp regnl Tokens", "cache_read": "cached Inp regnl Tokens", "output": "Outp regnl Tokens"}
    for (begin, m, c), (n, cost) in found.items():
        rows.append([plain(cost), "USD", "Usage", stamp(begin), stamp(begin + timedelta(hours=hours)), plain(Decimal(n) / 10**6), "1M Tokens", AZURE[m] + " " + words[c]])
    return table(rows)


def plain_table(found, hours):
    return table([["from", "until", "model", "class", "quantity", "cost", "currency"]] +
                 [[stamp(b), stamp(b + timedelta(hours=hours)), m, c, n, plain(cost), "USD"] for (b, m, c), (n, cost) in found.items()])


ALL_BUT_OUTPUT = {"cache_write": "input", "reasoning": "output"}
FORMATS = {  # writer, hours of a bucket, what the format does not know, what --json calls it
    "openai-usage": (openai_usage, 1, ALL_BUT_OUTPUT, "openai-usage"), "openai-usage by day": (openai_usage, 24, ALL_BUT_OUTPUT, "openai-usage"),
    "openai-costs": (openai_costs, 24, ALL_BUT_OUTPUT, "openai-costs"), "azure": (azure, 24, ALL_BUT_OUTPUT, "azure"),
    "aws": (aws, 1, {"reasoning": "output"}, "aws"), "aws, older": (lambda f, h: aws(f, h, True), 24, {"reasoning": "output"}, "aws"),
    "gcp rows": (gcp_json, 1, ALL_BUT_OUTPUT, "gcp"), "gcp table": (gcp_csv, 24, ALL_BUT_OUTPUT, "gcp"), "focus": (focus, 1, ALL_BUT_OUTPUT, "focus"),
    "plain": (plain_table, 1, {}, "plain"),
}
EXPLAINED = {"equal", "rounding", "edge"}


def made(form, change=lambda found: None, usage=None):
    writer, hours, fold, _ = FORMATS[form]
    found = cells(usage or USAGE, hours, fold)
    change(found)
    return writer(found, hours)


def only(answer, *causes):
    """The differences, which have no other cause than these."""
    assert set(answer["causes"]) - {"equal", "rounding"} == set(causes), answer["causes"]
    return [d for d in answer["differences"] if d["cause"] in causes]


# ---- tests ----

@pytest.mark.parametrize("form", FORMATS)
def test_an_export_that_says_the_same_needs_no_look(books, form):
    answer = run(books, made(form), "--json")
    writer, hours, fold, name = FORMATS[form]
    assert answer["format"] == name and set(answer["causes"]) <= {"equal", "rounding"} and answer["unexplained"] == 0
    sums = defaultdict(lambda: [0, Decimal(0)])
    for (_, m, c), (n, cost) in cells(USAGE, hours, fold).items():
        sums[m, c][0] += n
        sums[m, c][1] += cost
    for total in answer["totals"]:
        count, cost = sums.pop((total["model"], total["class"]))
        assert Decimal(total["ours"]["quantity"]) == count and Decimal(total["ours"]["cost"]) == cost
        assert abs(Decimal(total["theirs"].get("quantity", count)) - count) < Decimal("1e-6")
        assert abs(Decimal(total["theirs"].get("cost", cost)) - cost) < Decimal("1e-6")
    assert not sums


@pytest.mark.parametrize("form", [f for f in FORMATS if f != "openai-costs"])
def test_tokens_that_were_counted_otherwise_are_found_in_their_bucket(books, form):
    writer, hours, _, _ = FORMATS[form]
    begin = START + timedelta(hours=24)
    was = cells(USAGE, hours, FORMATS[form][2])[begin, CLAUDE, "output"][0]

    def change(found):
        found[begin, CLAUDE, "output"][0] += 1234
    found, = only(run(books, made(form, change), "--json", code=1), "quantity")
    assert (found["from"][:19] + "Z", found["model"], found["class"]) == (stamp(begin), CLAUDE, "output")
    assert Decimal(found["ours"]["quantity"]) == was and Decimal(found["theirs"]["quantity"]) == was + 1234 and Decimal(found["quantity_off"]) == 1234


def test_costs_without_quantities_that_differ_are_told_as_that(books):
    begin = START + timedelta(hours=24)

    def change(found):
        found[begin, GPT, "input"][1] += Decimal("0.25")
    found, = only(run(books, made("openai-costs", change), "--json", code=1), "cost")
    assert Decimal(found["cost_off"]) == Decimal("0.25") and found["model"] == GPT


@pytest.mark.parametrize("form", FORMATS)
def test_a_row_that_is_missing_there_is_found(books, form):
    begin = START + timedelta(hours=24)
    writer, hours, fold, _ = FORMATS[form]
    was = cells(USAGE, hours, fold)[begin, GEMINI, "output"]
    found = only(run(books, made(form, lambda f: f.pop((begin, GEMINI, "output"))), "--json", code=1), "missing_there")[0]
    assert found["theirs"]["rows"] == 0 and Decimal(found["ours"]["cost"]) == was[1] and found["class"] == "output"


@pytest.mark.parametrize("form", ("azure", "aws", "gcp rows", "focus", "plain"))
def test_another_price_is_told_with_both_prices(books, form):
    begin = START + timedelta(hours=48)

    def change(found):
        found[begin, GPT, "input"][1] *= 2
    text = made(form, change)
    found, = only(run(books, text, "--json", code=1), "price")
    assert Decimal(found["ours"]["price_per_million"]) == Decimal("2.5")
    assert abs(Decimal(found["theirs"]["price_per_million"]) - 5) < Decimal("1e-6")
    assert "a million costs 2.50 by our price book, 5" in run(books, text, code=1)


@pytest.mark.parametrize("form", ("openai-usage", "aws", "gcp rows", "focus", "plain"))
def test_what_moved_over_the_edge_of_a_bucket_is_explained(books, form):
    one, two = START + timedelta(hours=10), START + timedelta(hours=11)
    price = Decimal(PRICES[GPT]["output"]) / 10**6

    def change(found):
        for at, n in ((one, -300), (two, 300)):
            found[at, GPT, "output"][0] += n
            found[at, GPT, "output"][1] += n * price
    found = only(run(books, made(form, change), "--json"), "edge")
    assert [Decimal(d["quantity_off"]) for d in found] == [-300, 300]


def test_a_difference_in_neighbours_that_no_moving_makes_is_no_edge(books):
    """More than the neighbour has cannot have come from there."""
    one, two = START + timedelta(hours=10), START + timedelta(hours=11)

    def change(found):
        found[one, GPT, "output"][0] += 10**6
        found[two, GPT, "output"][0] = 0
        found[two, GPT, "output"][0] -= 10**6 - cells(USAGE, 1, {})[two, GPT, "output"][0]
    assert "edge" not in run(books, made("plain", change), "--json", code=1)["causes"]


def test_decimals_that_an_export_lacks_are_rounding_and_no_more(books):
    def cents(found):
        for cell in found.values():
            cell[1] = round(cell[1], 4)
    assert set(run(books, made("plain", cents), "--json")["causes"]) <= {"equal", "rounding"}
    begin = START + timedelta(hours=24)

    def wrong(found):
        cents(found)
        found[begin, GPT, "input"][1] += Decimal("0.0003")
    found, = only(run(books, made("plain", wrong), "--json", code=1), "price")
    assert found["model"] == GPT


def test_another_currency_is_never_compared(books):
    text = made("plain").replace(",USD", ",EUR")
    answer = run(books, text, "--json", code=1)
    assert set(answer["causes"]) == {"currency"} and "cost_off" not in answer["differences"][0]


def test_estimates_explain_what_is_no_larger_than_they_are(tmp_path):
    folder = book(tmp_path, USAGE[:3], extra=" estimated")

    def change(found):
        found[START, GPT, "output"] = [found[START, GPT, "output"][0] - 1, found[START, GPT, "output"][1] - Decimal(PRICES[GPT]["output"]) / 10**6]
    found, = only(run(folder, made("plain", change, USAGE[:3]), "--json", code=1), "estimated")
    assert Decimal(found["quantity_off"]) == -1 and Decimal(found["estimated"]) == USAGE[0][2]["output"]


def test_what_has_no_price_here_is_told_as_that(tmp_path):
    prices = {m: {c: p for c, p in row.items() if (m, c) != (CLAUDE, "cache_read")} for m, row in PRICES.items()}
    folder = book(tmp_path, USAGE[:3], prices=prices)
    found, = only(run(folder, made("plain", usage=USAGE[:3]), "--json", code=1), "unpriced")
    assert (found["model"], found["class"]) == (CLAUDE, "cache_read")


def test_models_that_are_none_of_ours_are_listed_and_can_be_named(books):
    text = made("plain").replace(GPT, "my deployment")
    answer = run(books, text, "--json", code=1)
    assert set(answer["causes"]) == {"equal", "missing_here", "missing_there"}
    assert {"theirs": "my deployment"} in answer["models"]
    assert run(books, text, "--json", "--model", "my deployment=" + GPT)["unexplained"] == 0
    assert "there are: " + GPT in run(books, text, "--model", "my deployment=gpt-9", code=2)
    near = run(books, made("plain").replace(GPT, "gpt-4o-mini-2024-08-06"), code=1)
    assert "gpt-4o-mini-2024-08-06: perhaps " + GPT in near


def test_requests_are_compared_where_they_are_counted(tmp_path):
    folder = book(tmp_path, USAGE[:6], extra=" request=1")
    document = json.loads(openai_usage(cells(USAGE[:6], 24, ALL_BUT_OUTPUT), 24).split("\n}\n")[-1])
    results = document["data"][0]["results"]
    for result in results:
        result["num_model_requests"] = 2
    assert run(folder, json.dumps([document]), "--json")["unexplained"] == 0
    results[1]["num_model_requests"] = 3
    found, = only(run(folder, json.dumps(document), "--json", code=1), "quantity")
    assert found["class"] == "request" and found["quantity_off"] == "1" and found["model"] == CLAUDE
    assert run(folder, made("plain", usage=USAGE[:6]), "--json")["unexplained"] == 0


def test_a_total_that_holds_audio_is_parted_and_one_that_does_not_is_not(tmp_path):
    at = USAGE[0][0]
    folder = book(tmp_path, [(at, GPT, {"input": 100, "cache_read": 30, "input_audio": 50, "output": 20, "output_audio": 5})])
    result = {"object": "organization.usage.completions.result", "model": GPT, "input_cached_tokens": 30, "input_audio_tokens": 50, "output_tokens": 25,
              "output_audio_tokens": 5, "input_tokens": 180}
    page = {"object": "page", "data": [{"object": "bucket", "start_time": int(at.timestamp()), "end_time": int(at.timestamp()) + 3600, "results": [result]}], "has_more": False}
    assert run(folder, json.dumps(page), "--json")["unexplained"] == 0


def test_a_name_that_could_be_two_of_ours_is_neither(tmp_path):
    at, other = USAGE[0][0], "gpt-4o-2024-05-13"
    usage = [(at, GPT, {"input": 100}), (at, other, {"input": 200})]
    folder = book(tmp_path, usage, prices={**PRICES, other: PRICES[GPT]})
    text = table([["from", "model", "class", "quantity"], ["2026-08-01", "gpt-4o", "input", 100], ["2026-08-01", other, "input", 200]])
    answer = run(folder, text, "--json", code=1)
    assert set(answer["causes"]) == {"equal", "missing_here", "missing_there"}
    perhaps, = [m["perhaps"] for m in answer["models"] if m.get("theirs") == "gpt-4o"]
    assert set(perhaps.split(", ")) == {GPT, other}
    assert run(folder, text, "--json", "--model", "gpt-4o=" + GPT)["unexplained"] == 0


def test_our_own_focus_export_reconciles_to_zero(books):
    for by in ("hour", "day"):
        subprocess.run([ENTENTE, "ledger", "export", "--data", "data", "--format", "focus", "--by", by, "--out", by + ".csv"], cwd=books, capture_output=True, check=True)
        answer = run(books, (books / (by + ".csv")).read_bytes(), "--json", name="focus-" + by)
        assert set(answer["causes"]) == {"equal"} and len(answer["totals"]) == 15


def test_a_bucket_that_the_export_leaves_out_is_not_forgotten(books):
    gone = [START + timedelta(hours=20), START + timedelta(hours=21)]
    found = only(run(books, made("plain", lambda f: [f.pop(k) for k in list(f) if k[0] in gone]), "--json", code=1), "missing_there")
    assert len(found) == 30 and {d["from"][:19] + "Z" for d in found} == {stamp(begin) for begin in gone}


def test_what_went_from_one_bucket_to_one_far_away_is_no_edge(tmp_path):
    usage = [(START, GPT, {"input": 1000}), (START + timedelta(hours=5), GPT, {"input": 1000})]
    folder = book(tmp_path, usage)

    def change(found):
        found[START, GPT, "input"][0] -= 300
        found[START + timedelta(hours=5), GPT, "input"][0] += 300
    assert set(run(folder, made("openai-usage", change, usage), "--json", code=1)["causes"]) == {"quantity"}


def test_books_with_lost_attempts_and_prices_that_lack_classes_reconcile_with_their_focus_export(tmp_path):
    make_books = os.path.join(BUILD, "t", "harness", "make-books")
    if not os.path.exists(make_books):
        pytest.skip("make-books is not built")
    subprocess.run([make_books, tmp_path / "data", "--requests", "500", "--compact", "2"], check=True)
    subprocess.run([ENTENTE, "ledger", "export", "--data", "data", "--format", "focus", "--out", "focus.csv"], cwd=tmp_path, capture_output=True, check=True)
    for provider in ("azure-eu", "vertex-eu", "my-vllm", "gold:mine"):
        done = subprocess.run([ENTENTE, "reconcile", "--data", "data", "--provider", provider, "--file", "focus.csv", "--json"], cwd=tmp_path, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0 and set(json.loads(done.stdout)["causes"]) == {"equal"}, (provider, done.stdout[:2000], done.stderr)


def test_rows_of_other_services_are_told_and_not_compared(books):
    text = run(books, made("azure"))
    assert "Not compared" in text and "1 rows, 0.03 USD: Hot LRS Data Stored" in text and "Nothing needs a look" in text


HEAD = "from,until,model,class,quantity,cost,currency\r\n"
ROW = "2026-08-01,2026-08-02,m,input,1,1,USD\r\n"
PAGE = '{"object":"page","data":[{"object":"bucket","start_time":1,"end_time":2,"results":[%s]}],"has_more":%s}'
BAD = {
    "empty": ("", "the file is empty"),
    "no rows": (HEAD, "no rows"),
    "foreign columns": ("a,b,c\n1,2,3\n", "line 1: these columns are of no format"),
    "compressed": (b"\x1f\x8b\x08\x00abc", "unpack"),
    "UTF-16": ("from,until".encode("utf-16"), "UTF-8"),
    "quote never closed": (HEAD + ROW + '"2026-08-01,2026\r\n', "line 3: the quote that opens here is never closed"),
    "something behind a quote": (HEAD + '"2026-08-01"x,2026-08-02,m,input,1,1,USD\r\n', "line 2: something stands behind a closing quote"),
    "quote inside": (HEAD + '2026-08-01,2026-08-02,m"m,input,1,1,USD\r\n', "line 2: a quote stands in a cell"),
    "cut off": (HEAD + ROW + "2026-08-01,2026-08", "line 3 has 2 cells, the head has 7"),
    "no time": (HEAD + ROW.replace("2026-08-01", "soon"), 'line 2: from: "soon" is no time'),
    "no such day": (HEAD + ROW.replace("2026-08-01", "2026-02-30"), "is no time"),
    "backwards": (HEAD + ROW.replace("2026-08-02", "2026-07-31"), "is not after"),
    "no number": (HEAD + ROW.replace(",1,1,", ",1 000,1,"), 'line 2: quantity: "1 000" is no quantity'),
    "a number beyond all": (HEAD + ROW.replace(",1,1,", ",1,1" + "0" * 40 + ","), "line 2: cost:"),
    "no class": (HEAD + ROW.replace("input", "inputs"), 'line 2: class: "inputs" is no class'),
    "no currency": (HEAD + ROW.replace("USD", "dollars"), "is no currency"),
    "quantity of nothing": (HEAD + ROW.replace("input", ""), "without a class"),
    "JSON cut off": (PAGE[:60], "line 1:"),
    "more pages": (PAGE % ("", "true"), "has_more"),
    "a result of what": (PAGE % ('{"object":"x"}', "false"), "line 1: a result's"),
    "cached more than all": (PAGE % ('{"object":"organization.usage.completions.result","input_tokens":1,"input_cached_tokens":2}', "false"), "input_cached_tokens is more"),
    "two kinds": (PAGE % ('{"object":"organization.usage.completions.result","input_tokens":1},{"object":"organization.costs.result","amount":{"value":1,"currency":"usd"}}',
                          "false"), "two exports"),
    "rows of JSON behind which is something": ('{"usage_start_time":"2026-08-01T00:00:00Z","usage_end_time":"2026-08-02T00:00:00Z","sku":{"description":"Gemini Input Tokens"},'
                                              '"usage":{"amount":1,"unit":"count"},"cost":1,"currency":"USD"}\nnonsense', "line 2: this is no JSON"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_refused_with_its_line_and_what_is_wrong(books, what):
    text, says = BAD[what]
    assert says in run(books, text, code=2)


def test_bad_arguments_are_refused(books):
    (books / "good.csv").write_text(made("plain"))
    good = {"--data": "data", "--provider": "p", "--file": "good.csv"}
    for change, says in (({"--data": None}, "--data (or --config) is missing"), ({"--config": "entente.yaml"}, "not both"), ({"--provider": None}, "--provider is missing"),
                         ({"--file": None}, "--file is missing"), ({"--file": "absent"}, "absent: No such file"), ({"--format": "azur"}, "did you mean azure"),
                         ({"--model": "a"}, "THEIRS=OURS"), ({"--zone": "Mars/North"}, "no time zone"), ({"--provider": "q"}, 'no provider "q"; there are: p, other'),
                         ({"--format": "aws"}, "there must be columns"), ({"--data": "absent"}, "absent")):
        words = [w for k, v in {**good, **change}.items() if v for w in (k, v)]
        done = subprocess.run([ENTENTE, "reconcile", *words], cwd=books, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and says in done.stderr, (change, done.returncode, done.stderr)
    done = subprocess.run([ENTENTE, "reconcile", "--config", "entente.yaml", "--provider", "p", "--file", "good.csv"], cwd=books, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

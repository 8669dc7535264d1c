# SPDX-License-Identifier: Apache-2.0
"""Prices on the command line: books checked, listed and compared; community tables imported, each price against what decimal arithmetic on the table gives."""
import functools
import gzip
import json
import os
import re
import subprocess
from decimal import Decimal

import pytest
import stories
import yaml

FIXTURES = os.environ.get("ENTENTE_FIXTURES", os.path.join(os.path.dirname(stories.ROOT), "shared"))
EXAMPLE = os.path.join(stories.ROOT, "docs", "examples", "prices.yaml")
MILLION = Decimal(1000000)
TABLES = {
    "litellm": "litellm-model_prices_and_context_window.json.gz",
    "litellm-2026": "model-price-repo.json.gz",
    "genai-prices": "genai-prices.data.json.gz",
    "models.dev": "models.dev.json.gz",
    "portkey": "portkey-pricing.json.gz",
}


def entente(*words, cwd=None):
    done = subprocess.run([stories.ENTENTE, *words], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120 * stories.SLOW, check=False)
    assert "Sanitizer" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def table_path(name):
    path = os.path.join(FIXTURES, "prices", TABLES[name])
    if not os.path.exists(path):
        pytest.skip("no price tables at %s: set ENTENTE_FIXTURES" % FIXTURES)
    return path


def table(name):
    with gzip.open(table_path(name)) as f:
        return json.load(f, parse_float=Decimal, parse_int=Decimal)


# ---- what a table says, by itself: {(provider, model, tier, above, clock, from): {class: price of one}} ----

def put(found, key, usage, price):
    """Zeros and what 10^-15 cannot say are left out; of two prices the first stays."""
    if price > 0 and price.scaleb(15) == int(price.scaleb(15)):
        found.setdefault(key, {}).setdefault(usage, price)


def complete(found):
    """Steps take what they do not say from below, tiers what is no token from the default; reasoning is output."""
    others = ("request", "search", "session", "second", "image", "pixel")
    for key in sorted(found, key=lambda k: (k[2] != "", k[3])):
        provider, model, tier, above, clock, since = key
        row = found[key]
        if tier:
            base = found.get((provider, model, "", above, clock, since), {})
            row.update({c: base[c] for c in others if c in base and c not in row})
        lower = [k for k in found if k[:3] == key[:3] and k[4:] == key[4:] and k[3] < above]
        if lower:
            for c, price in found[max(lower, key=lambda k: k[3])].items():
                row.setdefault(c, price)
        if "output" in row:
            row.setdefault("reasoning", row["output"])
    return {k: v for k, v in found.items() if k[:3] + (0,) + k[4:] in found}


def of_litellm(models):
    keys = {"input_cost_per_token": "input", "output_cost_per_token": "output", "output_cost_per_reasoning_token": "reasoning",
            "cache_read_input_token_cost": "cache_read", "input_cost_per_token_cache_hit": "cache_read", "cache_creation_input_token_cost": "cache_write",
            "cache_creation_input_token_cost_above_1hr": "cache_write_1h", "input_cost_per_audio_token": "input_audio",
            "output_cost_per_audio_token": "output_audio", "input_cost_per_image_token": "input_image", "output_cost_per_image_token": "output_image",
            "input_cost_per_request": "request", "input_cost_per_query": "request", "output_cost_per_image": "image"}
    by_mode = {"image_generation": {"input_cost_per_image": "image", "input_cost_per_pixel": "pixel", "output_cost_per_pixel": "pixel"},
               "audio_transcription": {"input_cost_per_second": "second", "output_cost_per_second": "second"},
               "audio_speech": {"output_cost_per_second": "second"}, "video_generation": {"output_cost_per_second": "second"}}
    tiers = {"_batches": "batch", "_priority": "priority", "_flex": "flex"}
    found = {}
    for name, m in models.items():
        if name == "sample_spec":
            continue
        provider = m["litellm_provider"]
        first, _, rest = name.partition("/")
        model = rest if rest and provider.startswith(first) else name
        if any(k[:2] == (provider, model) for k in found):
            continue
        known = {**keys, **by_mode.get(m.get("mode"), {})}
        for key, value in m.items():
            tier, above = "", 0
            for suffix, t in tiers.items():
                if key.endswith(suffix):
                    key, tier = key[:-len(suffix)], t
            step = re.fullmatch(r"(.*)_above_(\d+)k_tokens", key)
            if step:
                key, above = step[1], int(step[2]) * 1000
            if key in known and isinstance(value, Decimal):
                put(found, (provider, model, tier, above, "", ""), known[key], value)
        searches = set((m.get("search_context_cost_per_query") or {}).values())
        if len(searches) == 1:
            put(found, (provider, model, "", 0, "", ""), "search", searches.pop())
    return complete(found)


def of_models_dev(providers):
    found = {}

    def take(provider, model, tier, above, cost):
        for usage in ("input", "output", "reasoning", "cache_read", "cache_write", "input_audio", "output_audio"):
            if isinstance(cost.get(usage), Decimal):
                put(found, (provider, model, tier, above, "", ""), usage, cost[usage] / MILLION)
    for provider, models in providers.items():
        for model, m in models.items():
            cost = m.get("cost", {})
            take(provider, model, "", 0, cost)
            for step in cost.get("tiers", []):
                take(provider, model, "", int(step["tier"]["size"]), step)
            fast = m.get("experimental", {}).get("modes", {}).get("fast", {})
            tier = fast.get("provider", {}).get("body", {}).get("service_tier")
            if tier:
                take(provider, model, tier, 0, fast["cost"])
    return complete(found)


def of_genai(providers):
    keys = {"input_mtok": "input", "output_mtok": "output", "cache_read_mtok": "cache_read", "cache_write_mtok": "cache_write",
            "input_audio_mtok": "input_audio", "output_audio_mtok": "output_audio"}
    found = {}
    for p in providers:
        for m in p["models"]:
            parts = m["prices"] if isinstance(m["prices"], list) else [{"prices": m["prices"]}]
            for part in parts:
                constraint = part.get("constraint", {})
                since, clock = constraint.get("start_date", ""), ""
                if "start_time" in constraint:
                    clock = "%s-%s" % (constraint["start_time"][:5], constraint["end_time"][:5])
                for key, value in part["prices"].items():
                    at = (p["id"], m["id"], "")
                    if key == "requests_kcount":
                        put(found, at + (0, clock, since), "request", value / 1000)
                    elif key in keys and isinstance(value, dict):
                        put(found, at + (0, clock, since), keys[key], value["base"] / MILLION)
                        for tier in value["tiers"]:
                            put(found, at + (int(tier["start"]), clock, since), keys[key], tier["price"] / MILLION)
                    elif key in keys:
                        put(found, at + (0, clock, since), keys[key], value / MILLION)
    return complete(found)


def of_portkey(providers):
    keys = {"request_token": "input", "request_text_token": "input", "response_token": "output", "response_text_token": "output",
            "cache_read_input_token": "cache_read", "cache_read_text_input_token": "cache_read", "cached_text_input_token": "cache_read",
            "cache_write_input_token": "cache_write", "request_audio_token": "input_audio", "response_audio_token": "output_audio",
            "request_image_token": "input_image", "response_image_token": "output_image"}
    more = {"cache_write_1h": "cache_write_1h", "request_audio_token": "input_audio", "response_audio_token": "output_audio", "image_token": "output_image",
            "thinking_token": "reasoning", "web_search": "search", "search": "search", "video_seconds": "second"}
    found = {}

    def leaves(value):
        return [value["price"]] if "price" in value else [x for v in value.values() for x in leaves(v)]

    def take(provider, model, tier, above, prices):
        for key, value in prices.items():
            at = (provider, model, tier, above, "", "")
            if key in keys:
                put(found, at, keys[key], value["price"] / 100)
            for unit, price in value.items() if key == "additional_units" else ():
                if unit in more:
                    put(found, at, more[unit], price["price"] / 100)
            if key == "image" and not tier and len(set(leaves(value))) == 1:
                put(found, at, "image", leaves(value)[0] / 100)
    for provider, models in providers.items():
        for model, m in models.items():
            if model == "default":
                continue
            config, custom = m.get("pricing_config") or {}, m.get("custom_pricing")
            if not custom:
                take(provider, model, "", 0, config.get("pay_as_you_go") or {})
                take(provider, model, "batch", 0, config.get("batch_config") or {})
                continue
            above = {label: int(tokens) for tokens, label in custom.get("context_tier_map", {}).items()}
            for regions, r in custom["regions"].items():
                for region in regions.split(","):
                    name = provider if region == "default" else "%s/%s" % (provider, region)
                    for mode, e in r["execution_modes"].items():
                        tier = "" if mode == "standard" else mode
                        take(name, model, tier, 0, (e.get("pricing_config") or {}).get("pay_as_you_go", {}))
                        for label, c in e.get("context_tiers", {}).items():
                            take(name, model, tier, above[label], c["pricing_config"]["pay_as_you_go"])
    return complete(found)


SAYS = {"litellm": of_litellm, "litellm-2026": of_litellm, "models.dev": of_models_dev, "genai-prices": of_genai, "portkey": of_portkey}


def of_book(text):
    """The same of a written book: names and patterns apart, `from` as in the table."""
    found = {}
    for book in yaml.load(text, Loader=yaml.BaseLoader)["books"]:
        since = "" if book["from"] == "2025-01-01" else book["from"]
        for line in book["lines"]:
            names = line["model"] if isinstance(line["model"], list) else [line["model"]]
            providers = line["provider"] if isinstance(line["provider"], list) else [line["provider"]]
            prices = {}
            for key, value in line.items():
                if key not in ("model", "provider", "tier", "above", "clock", "reasoning"):
                    number, _, unit = value.partition(" ")
                    prices[key] = Decimal(number) / (1 if unit == "each" else MILLION)
            if "reasoning" in line:
                prices["reasoning"] = prices["output"] if line["reasoning"] == "output" else Decimal(line["reasoning"]) / MILLION
            for name in names:
                for provider in providers:
                    key = (provider, name, line.get("tier", ""), int(line.get("above", 0)), line.get("clock", ""), since)
                    assert key not in found, key
                    found[key] = prices
    return found


@functools.lru_cache(maxsize=None)
def import_table(name, *more):
    return entente("price", "import", name.split("-2026")[0], table_path(name), "--known", "2026-09-05", "--from", "2025-01-01", *more)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_imported_price_is_what_the_table_says_to_the_last_digit(name, tmp_path):
    code, out, err = import_table(name)
    assert code == 0, err[-500:]
    book, says = of_book(out), SAYS[name](table(name))
    own = {k: v for k, v in book.items() if k in says} if name == "genai-prices" else book  # other names of a model there are of rules
    assert own == {k: v for k, v in says.items() if k in book or name != "genai-prices"}
    assert len(own) > {"litellm": 1400, "litellm-2026": 300, "genai-prices": 1200, "models.dev": 400, "portkey": 4000}[name]
    assert set(says) - set(book) == set()
    path = tmp_path / "book.yaml"
    path.write_text(out)
    assert entente("price", "check", str(path)) == (0, "", "")


def test_samples_that_a_person_looked_up():
    found = {name: of_book(import_table(name)[1]) for name in TABLES}
    million = {c: p * MILLION for c, p in found["litellm"][("azure", "gpt-4o", "", 0, "", "")].items()}
    assert million == {"input": Decimal("2.5"), "output": 10, "cache_read": Decimal("1.25"), "reasoning": 10}
    assert found["litellm"][("gemini", "gemini-2.5-pro", "", 200000, "", "")]["output"] * MILLION == 15
    assert found["litellm"][("openai", "gpt-4o", "batch", 0, "", "")]["input"] * MILLION == Decimal("1.25")
    assert found["litellm"][("openai", "whisper-1", "", 0, "", "")] == {"second": Decimal("0.0001")}
    assert found["genai-prices"][("openai", "o3", "", 0, "", "")]["input"] * MILLION == 10
    assert found["genai-prices"][("openai", "o3", "", 0, "", "2025-06-10")]["input"] * MILLION == 2
    assert found["genai-prices"][("deepseek", "deepseek-chat", "", 0, "00:30-16:30", "")]["output"] * MILLION == Decimal("1.1")
    assert found["models.dev"][("openai", "gpt-5.4", "priority", 0, "", "")]["output"] * MILLION == 30
    assert found["portkey"][("anthropic", "claude-3-5-sonnet-20241022", "", 0, "", "")]["cache_write_1h"] * MILLION == 6
    assert found["portkey"][("openai/eu", "gpt-5.4", "", 272000, "", "")]["input"] * MILLION == Decimal("5.5")


@pytest.mark.parametrize("name", sorted(TABLES))
def test_what_is_left_out_is_told_and_counted(name):
    _, _, err = import_table(name)
    lines = err.splitlines()
    summary = re.search(r": (\d+) models in (\d+) lines; (\d+) without a price that could be taken, (\d+) said twice, (\d+) of other providers; (\d+) notes above$", lines[-1])
    assert summary and int(summary[6]) == len(lines) - 1
    assert all(" at " in line for line in lines[:-1])


def test_a_price_of_zero_is_free_only_when_that_is_said():
    assert not any(p == 0 for prices in of_book(import_table("litellm")[1]).values() for p in prices.values())
    free = of_book(import_table("litellm", "--zero-is-free")[1])
    assert free[("ollama", "codegemma", "", 0, "", "")]["input"] == 0


def test_providers_are_named_as_ours(tmp_path):
    code, out, err = import_table("litellm", "--provider", "azure=azure-eu", "--provider", "azure=azure-us", "--seller", "microsoft", "--buyer", "acme", "--book", "azure")
    assert code == 0, err
    (book,) = yaml.safe_load(out)["books"]
    assert (book["book"], book["seller"], book["buyer"], book["currency"]) == ("azure", "microsoft", "acme", "USD")
    assert str(book["known"]) == "2026-09-05" and book["source"] == "litellm litellm-model_prices_and_context_window.json.gz"
    assert all(line["provider"] == ["azure-eu", "azure-us"] for line in book["lines"]) and len(book["lines"]) > 100
    code, out, err = import_table("portkey", "--provider", "openai/eu=openai-eu", "--seller", "openai")
    assert code == 0 and {line["provider"] for line in yaml.safe_load(out)["books"][0]["lines"]} == {"openai-eu"}


def test_two_tables_can_be_compared(tmp_path):
    for name, file in (("litellm", "old.yaml"), ("models.dev", "new.yaml")):
        (tmp_path / file).write_text(import_table(name, "--seller", "them")[1])
    code, out, err = entente("price", "diff", "old.yaml", "new.yaml", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert re.search(r"^\d+ lines changed, \d+ added, \d+ removed$", out.splitlines()[-1])
    code, text, _ = entente("price", "diff", "old.yaml", "new.yaml", "--json", cwd=tmp_path)
    changes = json.loads(text)
    assert code == 0 and len(changes) == len(out.splitlines()) - 1
    for change in changes:
        for p in change["prices"].values():
            if p["percent"]:
                old, new = Decimal(p["from"].split()[0]), Decimal(p["to"].split()[0])
                assert abs((new - old) / old * 100 - Decimal(p["percent"].split()[0])) <= Decimal("0.05")


# ---- what is no table ----

BAD = [
    ("litellm", "", "at byte 0: the document ends where a value is due"),
    ("litellm", "[]", "at byte 0: expected an object"),
    ("litellm", '{"m": 1}', "at byte 6: what stands there has another shape in this format"),
    ("litellm", '{"m": {"litellm_provider": "p"', "at byte"),
    ("litellm", "{}", "no price in it was imported"),
    ("litellm", '{"m": {"litellm_provider": "p", "input_cost_per_token": -1}}', "no price in it was imported"),
    ("litellm", '{"m": {"litellm_provider": "p", "input_cost_per_token": 1e99999}}', "no price in it was imported"),
    ("litellm", '{"m": {"litellm_provider": "p", "input_cost_per_token": 1%s}}' % ("0" * 400), "no price in it was imported"),
    ("genai-prices", "{}", "at byte 0: expected an array"),
    ("genai-prices", '[{"id": "p"}]', "not a table of this format"),
    ("genai-prices", '[{"id": "p", "models": [{"id": "m", "match": {"or": [1]}, "prices": {}}]}]', "not a table of this format"),
    ("models.dev", "[]", "at byte 0: expected an object"),
    ("portkey", '{"p": []}', "at byte 6: expected an object"),
    ("portkey", "\x1f\x8bxx", "the gzip in it is damaged or cut"),
    ("csv", "{}", '"csv" is no format: say litellm, genai-prices, models.dev or portkey'),
]


@pytest.mark.parametrize("format_, text, said", BAD)
def test_what_is_no_table_is_refused_with_a_sentence(format_, text, said, tmp_path):
    (tmp_path / "t.json").write_bytes(text.encode("latin-1"))
    code, out, err = entente("price", "import", format_, "t.json", cwd=tmp_path)
    assert (code, out) == (2, "") and err.splitlines()[-1].startswith("entente price import: ") and said in err, err


def test_prices_that_no_book_could_keep_are_told_and_left_out(tmp_path):
    model = {"litellm_provider": "p", "input_cost_per_token": 1e-6, "output_cost_per_token": -1, "cache_read_input_token_cost": 1e-16, "output_cost_per_image": 1e9}
    (tmp_path / "t.json").write_text(json.dumps({'a "b"\\': model, "null": model, "x\u20ac*": model}))
    code, out, err = entente("price", "import", "litellm", "t.json", cwd=tmp_path)
    assert code == 0 and len(err.splitlines()) == 10
    assert {k[1]: v for k, v in of_book(out).items()} == {n: {"input": Decimal("0.000001")} for n in ('a "b"\\', "null", "x\u20ac*")}
    (tmp_path / "b.yaml").write_text(out)
    assert entente("price", "check", "b.yaml", cwd=tmp_path) == (0, "", "")


def test_bad_arguments_are_told(tmp_path):
    (tmp_path / "t.json").write_text("{}")
    for words, said in (
            (["import"], "which table?"),
            (["import", "litellm", "none.json"], "none.json: cannot be read: No such file or directory"),
            (["import", "litellm", "."], "cannot be read: Is a directory"),
            (["import", "litellm", "t.json", "--known", "soon"], '--known must be a date such as 2026-08-01, not "soon"'),
            (["import", "litellm", "t.json", "--provider", "=x"], "--provider must be SOURCE=OURS"),
            (["check"], "which file?"),
            (["check", "none.yaml"], "none.yaml: cannot be read"),
            (["check", "--config", "x", "t.json"], "leave the others out"),
            (["list", EXAMPLE, "--at", "soon"], "--at must be a date"),
            (["diff", EXAMPLE], "which files?"),
            (["diff", EXAMPLE, "none.yaml"], "none.yaml: cannot be read"),
            (["lst"], 'did you mean "list"?')):
        code, out, err = entente("price", *words, cwd=tmp_path)
        assert (code, out) == (2, "") and said in err, (words, err)


# ---- list, diff, check of books by hand ----

def listed(*words):
    code, out, err = entente("price", "list", EXAMPLE, "--json", *words)
    assert (code, err) == (0, "")
    return [(line["model"], line["provider"], line["above"], line["prices"]["input"]) for line in json.loads(out)]


def test_the_list_shows_what_was_valid_and_known_then():
    vertex = [("gemini-pro", "vertex-eu", 0, "1.25"), ("gemini-pro", "vertex-eu", 200000, "2.5")]
    azure = [("gpt-5.6-luna", "azure-eu", 0, "0.22"), ("gpt-5.6-luna", "azure-gl", 0, "0.2")]
    assert listed("--at", "2026-08-02", "--known", "2026-08-02") == vertex
    assert listed("--at", "2026-08-02", "--known", "2026-08-04") == vertex + azure
    assert listed("--at", "2026-07-31", "--known", "2027-01-01") == []
    assert listed("--at", "2026-09-01", "--known", "2026-09-01", "--model", "gpt-5.6-luna", "--provider", "azure-gl") == azure[1:]
    code, out, _ = entente("price", "list", EXAMPLE, "--at", "2026-09-01", "--known", "2026-09-01")
    assert code == 0 and re.search(r"^gemini-pro +vertex-eu +above 200000 +vertex +USD +input 2.5, cache_read 0.25, output 15, reasoning 15$", out, re.M)


def test_the_difference_is_told_in_per_cent(tmp_path):
    text = open(EXAMPLE, encoding="utf-8").read()
    (tmp_path / "new.yaml").write_text(text.replace("output: 1.20", "output: 0.80").replace("gemini-pro,", "gemini-ultra,").replace("cache_write: 0.25, ", ""))
    code, out, err = entente("price", "diff", EXAMPLE, "new.yaml", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "removed  gemini-pro at vertex-eu: input 1.25 -> unpriced, cache_read 0.125 -> unpriced, output 10 -> unpriced, reasoning 10 -> unpriced",
        "removed  gemini-pro at vertex-eu (above 200000): input 2.5 -> unpriced, cache_read 0.25 -> unpriced, output 15 -> unpriced, reasoning 15 -> unpriced",
        "added    gemini-ultra at vertex-eu: input unpriced -> 1.25, cache_read unpriced -> 0.125, output unpriced -> 10, reasoning unpriced -> 10",
        "added    gemini-ultra at vertex-eu (above 200000): input unpriced -> 2.5, cache_read unpriced -> 0.25, output unpriced -> 15, reasoning unpriced -> 15",
        "changed  gpt-5.6-luna at azure-eu: cache_write 0.275 -> unpriced, output 1.32 -> 0.88 (-33.3 %), reasoning 1.32 -> 0.88 (-33.3 %)",
        "changed  gpt-5.6-luna at azure-gl: cache_write 0.25 -> unpriced, output 1.2 -> 0.8 (-33.3 %), reasoning 1.2 -> 0.8 (-33.3 %)",
        "2 lines changed, 2 added, 2 removed"]
    assert entente("price", "diff", EXAMPLE, EXAMPLE) == (0, "0 lines changed, 0 added, 0 removed\n", "")


CONFIG = """\
party: acme
prices: [books/prices.yaml]
providers:
  azure-eu: {dialect: openai, url: 'http://127.0.0.1:1/v1'}
  local: {dialect: openai, url: 'http://127.0.0.1:2/v1'}
models:
  luna: [{provider: azure-eu, model: gpt-5.6-luna}, {provider: local, model: llama}]
  '*': [{provider: local}]
"""


def test_a_deployment_without_a_price_is_a_warning(tmp_path):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "prices.yaml").write_text(open(EXAMPLE, encoding="utf-8").read())
    (tmp_path / "c.yaml").write_text(CONFIG)
    said = "unpriced: llama at local: no price book of `prices:` has a price for it now; what it uses will be booked as unpriced\n"
    assert entente("check", "--config", "c.yaml", cwd=tmp_path) == (0, "", said)
    assert entente("price", "check", "--config", "c.yaml", cwd=tmp_path) == (0, "", said)
    (tmp_path / "c.yaml").write_text(CONFIG.replace("prices: [books/prices.yaml]\n", ""))
    assert entente("check", "--config", "c.yaml", cwd=tmp_path) == (0, "", "")


def test_mistakes_of_books_stand_among_those_of_the_config(tmp_path):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "prices.yaml").write_text(open(EXAMPLE, encoding="utf-8").read().replace("1.20", "-1.20"))
    (tmp_path / "c.yaml").write_text(CONFIG.replace("party: acme", "party: acme\nworkers: lots"))
    code, out, err = entente("check", "--config", "c.yaml", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert [line.split(":")[:2] for line in err.splitlines()] == [["books/prices.yaml", "11"], ["c.yaml", "2"]]
    (tmp_path / "c.yaml").write_text(CONFIG.replace("party: acme\n", ""))
    (tmp_path / "books" / "prices.yaml").write_text(open(EXAMPLE, encoding="utf-8").read())
    code, _, err = entente("check", "--config", "c.yaml", cwd=tmp_path)
    assert code == 2 and "books/prices.yaml:3:5: neither the seller microsoft nor the buyer acme is us" in err

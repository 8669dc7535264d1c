# SPDX-License-Identifier: Apache-2.0
"""The pages against the code: whatever a user can meet by name stands in a page, and what a page names exists."""
import glob
import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def lines_of_def(path, macro):
    """The arguments of each MACRO(...) line of a list, as written."""
    return [[part.strip() for part in re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", row)]
            for row in re.findall(r"^%s\((.*)\)$" % macro, read(path), re.M)]


def rows(page, heading=None):
    """Rows of the tables of a page (or of one section of it), each a list of cells."""
    text = read(page)
    if heading:
        text = re.split(r"^#+ ", text.split("\n%s\n" % heading, 1)[1], maxsplit=1, flags=re.M)[0]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))] for row in text.splitlines() if row.startswith("|")]


def first_cells(page, heading=None):
    return {name for row in rows(page, heading) for name in re.findall(r"`([^`]+)`", row[0])}


ERRORS = lines_of_def("src/base/err.def", "ERR")


def test_the_lists_are_found():
    assert len(ERRORS) > 40 and ERRORS[0][:2] == ["OK", '"ok"']


@pytest.mark.parametrize("code", sorted({e[1].strip('"') for e in ERRORS}))
def test_error_is_described_with_every_status_it_has(code):
    found = [row for row in rows("docs/operations.md", "## Errors, by code") if row[0] == "`%s`" % code]
    assert len(found) == 1, "docs/operations.md, the table of errors: %d rows for %s" % (len(found), code)
    assert {int(n) for n in re.findall(r"\d+", found[0][1])} == {int(e[2]) for e in ERRORS if e[1].strip('"') == code}
    assert all(found[0]), "an empty cell: %s" % found[0]


def test_no_error_is_described_that_does_not_exist():
    assert first_cells("docs/operations.md", "## Errors, by code") - {e[1].strip('"') for e in ERRORS} == set()


def metric_names():
    """Names in metrics*.c: those that begin a HELP line."""
    found = read("src/serve/metrics.c") + read("src/serve/metrics_money.c")
    return set(re.findall(r'page_(?:head|single)\(\w*&?\w*, "([a-z_]+)"', found))


def test_metrics_are_found():
    assert len(metric_names()) > 25


def test_every_metric_is_described_and_no_other():
    described = first_cells("docs/operations.md", "## Metrics")
    assert metric_names() - described == set(), "not in docs/operations.md"
    assert described - metric_names() == set(), "in docs/operations.md, not in metrics*.c"


def record_fields():
    text = read("src/ledger/record.c")
    return set(re.findall(r'\\"([a-z_]+)\\":', text)) - {""}


def test_every_field_of_the_record_is_described():
    text = read("docs/operations.md").split("\n## The usage record\n")[1].split("\n## ")[0]
    missing = {name for name in record_fields() if "`%s`" % name not in text and "`usage.%s`" % name not in text}
    assert len(record_fields()) > 20
    assert missing == set(), "fields of record.c that docs/operations.md does not describe"


def test_every_class_of_usage_and_every_outcome_is_described():
    page = read("docs/operations.md")
    classes = {c[1].strip('"') for c in lines_of_def("src/neutral/usage.def", "USAGE")}
    outcomes = set(re.findall(r'\[(?:RECORD|ATTEMPT)_[A-Z]+\] = "([a-z]+)"', read("src/ledger/record_words.c")))
    assert len(classes) > 10 and len(outcomes) >= 15
    assert {name for name in classes | outcomes if "`%s`" % name not in page} == set()


def test_every_command_is_in_the_guide():
    commands = set(re.findall(r'\{"([a-z]+)", cli_\w+,', read("src/cli/cli.c")))
    described = {word.split()[1] for word in first_cells("docs/guide.md", "## Commands") if word.startswith("entente ")}
    assert len(commands) > 5
    assert commands - described == set(), "in cli.c, not in docs/guide.md"
    assert described - commands - {"help"} == set(), "in docs/guide.md, not in cli.c"


def test_every_log_message_is_described():
    page = read("docs/operations.md")
    messages = set()
    for path in glob.glob(os.path.join(ROOT, "src", "*", "*.c")):
        if "/sim/" in path or path.endswith("_sim.c") or path.endswith("_demo.c"):
            continue
        with open(path, encoding="utf-8") as f:
            for call in re.findall(r"log_line\(([^;]*);", f.read()):
                messages |= {m for m in re.findall(r'(?:LOG_[A-Z]+,|\? |: )\s*"([^"]{4,})"', call)[:2]}
    missing = {m for m in messages if m.split(";")[0] not in page}
    assert len(messages) > 8
    assert missing == set(), "messages of the log that docs/operations.md does not describe"


PAGES = ["README.md", "CHANGELOG.md", "SECURITY.md", "src/README.md"] + sorted(
    os.path.relpath(p, ROOT) for p in glob.glob(os.path.join(ROOT, "docs", "**", "*.md"), recursive=True))


def anchors(text):
    """As the usual hosts make them of headings."""
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", read(page), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        assert os.path.exists(os.path.join(ROOT, there)), "%s: %s leads nowhere" % (page, target)
        if anchor:
            assert anchor in anchors(read(there)), "%s: no heading %s in %s" % (page, anchor, there)


@pytest.mark.parametrize("page", [p for p in PAGES if p.startswith("docs/internals/") or p == "src/README.md"])
def test_functions_and_files_that_internals_name_exist(page):
    """Drawings name their arrows by function: each name with an underscore in a drawing is somewhere in the source."""
    source = "".join(open(p, encoding="utf-8").read() for folder in ("src", "t", "fuzz")
                     for p in glob.glob(os.path.join(ROOT, folder, "**", "*.[chd]*"), recursive=True) if os.path.isfile(p) and not p.endswith((".md", ".html")))
    text = read(page)
    drawings = "\n".join(re.findall(r"^```\n(.*?)^```", text, re.S | re.M))
    names = set(re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", drawings))
    assert {n for n in names if n not in source} == set(), "in a drawing of %s, not in the source" % page
    files = {os.path.basename(p) for p in glob.glob(os.path.join(ROOT, "**", "*.*"), recursive=True)
             if not os.path.relpath(p, ROOT).startswith("build")}
    named = set(re.findall(r"`(?:[\w/]+/)?([a-z_0-9]+\.(?:c|h|def|py|md))`", text))
    assert named - files == set(), "files that %s names and that do not exist" % page


def test_every_folder_has_a_page_and_a_place_in_the_tree():
    folders = {d for d in os.listdir(os.path.join(ROOT, "src")) if os.path.isdir(os.path.join(ROOT, "src", d))}
    for folder in folders:
        assert os.path.exists(os.path.join(ROOT, "docs", "internals", folder + ".md")), "docs/internals/%s.md" % folder
        assert "`%s/`" % folder in read("src/README.md"), "src/README.md says nothing of %s/" % folder

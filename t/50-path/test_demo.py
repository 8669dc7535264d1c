# SPDX-License-Identifier: Apache-2.0
"""entente demo and entente top: the whole path on real sockets, with books that must be equal to the token."""
import json
import os
import re
import signal
import subprocess

import pytest
import stories

TRACE = os.path.join(os.environ.get("ENTENTE_FIXTURES", os.path.join(os.path.dirname(stories.ROOT), "shared")), "traces", "azure-llm-2023-conv.csv")
SPEED = "40" if stories.SLOW == 1 else "12"


def demo(*words, env=None):
    return subprocess.run([stories.ENTENTE, "demo", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=90 * stories.SLOW, check=False,
                          env={**{k: v for k, v in os.environ.items() if k != "ENTENTE_FIXTURES"}, **(env or {})})


def check(result, requests, tmp):
    told = json.loads(result.stdout)
    assert result.returncode == 0 and told["equal"], told["difference"] + result.stderr
    assert told["asked"] == told["answered"] == requests and told["unanswered"] == 0
    for p in told["providers"]:
        books = told["books"][p["name"]]
        assert books["input_tokens"] == p["input_tokens"] + p["broken_input_tokens"]
        assert books["output_tokens"] == p["output_tokens"] + p["broken_output_tokens"]
        assert p["requests"] == p["answered"] + p["broken"] + p["refused"]
    for kind in ("records", "answered", "input_tokens", "output_tokens"):
        assert told["books"]["all"][kind] == sum(told["books"][k][kind] for k in ("support-bot", "legal-app", "notebooks"))
    assert os.listdir(tmp) == [], "it left files behind"
    return told


def test_every_request_is_answered_and_the_books_are_equal_though_a_provider_dies(tmp_path):
    told = check(demo("--requests", "300", "--speed", SPEED, "--json", env={"TMPDIR": str(tmp_path)}), 300, tmp_path)
    cirrus = next(p for p in told["providers"] if p["name"] == "cirrus")
    others = [p for p in told["providers"] if p["name"] != "cirrus"]
    assert 0 < cirrus["answered"] < 150 + 60 and all(p["answered"] > 0 for p in others)
    assert told["calls"] == 300 + told["asked_again_broken"] + told["asked_again_refused"]
    assert "a workload with the distributions" in told["trace"]


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_the_books_are_equal_when_two_providers_fail_at_random(tmp_path, seed):
    told = check(demo("--requests", "300", "--speed", SPEED, "--chaos", "--json", "--seed", seed, env={"TMPDIR": str(tmp_path)}), 300, tmp_path)
    assert told["asked_again_broken"] > 0 and told["moved"] > 0


@pytest.mark.skipif(not os.path.exists(TRACE), reason="the trace of azure-llm-2023-conv is not here")
def test_the_production_trace_is_replayed_token_by_token(tmp_path):
    with open(TRACE, newline="") as f:
        rows = [line.split(",") for line in f.read().splitlines()[1:201]]
    told = check(demo("--trace", TRACE, "--requests", "200", "--speed", SPEED, "--json", env={"TMPDIR": str(tmp_path)}), 200, tmp_path)
    assert sum(p["output_tokens"] for p in told["providers"]) == sum(int(r[2]) for r in rows)
    assert sum(p["input_tokens"] for p in told["providers"]) == sum(max(8, int(r[1])) for r in rows)


def test_without_a_terminal_it_prints_plain_lines_and_says_what_was_asked_again(tmp_path):
    done = demo("--requests", "100", "--speed", SPEED, env={"TMPDIR": str(tmp_path)})
    assert done.returncode == 0 and "\x1b" not in done.stdout
    assert "cirrus is killed" in done.stdout and "asked again" in done.stdout and "Equal to the token" in done.stdout
    assert re.search(r"^all +100 ", done.stdout, re.M)


def test_a_short_trace_ends_the_demo_early_and_a_broken_one_is_named(tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("timestamp,input,output\n" + "".join("%d,%d,%d\n" % (i, 10 + i, 1 + i) for i in range(10)))
    bad.write_text("timestamp,input,output\n1,2,3\n0,2,3\n")
    os.mkdir(tmp_path / "data")
    check(demo("--trace", str(good), "--speed", "50", "--json", env={"TMPDIR": str(tmp_path / "data")}), 10, tmp_path / "data")
    done = demo("--trace", str(bad))
    assert done.returncode == 2 and "row 2" in done.stderr
    done = demo("--trace", str(tmp_path / "none.csv"))
    assert done.returncode == 2 and "none.csv" in done.stderr


def test_what_keep_leaves_up_answers_the_line_it_prints_and_top_shows_it(tmp_path):
    process = subprocess.Popen([stories.ENTENTE, "demo", "--requests", "50", "--speed", SPEED, "--keep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "TMPDIR": str(tmp_path)})
    lines = []
    while not lines or "entente ledger balance" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines) + process.stderr.read()
    text = "".join(lines)
    command = text[text.index("curl -N"):].split("\n\n")[0]
    told = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=30 * stories.SLOW, check=True).stdout
    assert told.count("data: {") > 20 and told.endswith("data: [DONE]\n\n")
    url = re.search(r"entente top --url (\S+)", text)[1]
    shown = subprocess.run([stories.ENTENTE, "top", "--url", url], stdout=subprocess.PIPE, text=True, timeout=30 * stories.SLOW, check=True).stdout
    assert "my-vllm" in shown and "azure-eu" in shown and "under way" in shown
    raw = subprocess.run([stories.ENTENTE, "top", "--url", url, "--once", "--json"], stdout=subprocess.PIPE, text=True, timeout=30 * stories.SLOW, check=True).stdout
    assert json.loads(raw)["exchanges"]["answered"] == 51
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30 * stories.SLOW) == 0
    assert "Sanitizer" not in process.stderr.read()


def test_top_says_why_it_shows_nothing():
    done = subprocess.run([stories.ENTENTE, "top", "--url", "http://127.0.0.1:9"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "http://127.0.0.1:9" in done.stderr
    done = subprocess.run([stories.ENTENTE, "top", "--url", "gopher"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 2

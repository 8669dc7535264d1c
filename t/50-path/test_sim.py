# SPDX-License-Identifier: Apache-2.0
"""entente sim on the command line: what a tester would rely on when a gateway is tried against it."""
import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

import pytest
import stories


class Sim:
    def __init__(self, *words, env=None):
        self.process = subprocess.Popen([stories.ENTENTE, "sim", "--listen", "127.0.0.1:0", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env={**os.environ, **(env or {})})
        self.url = self.process.stdout.readline().split(" on ")[1].strip()
        self.control = self.process.stdout.readline().split(" on ")[1].strip() if "--control" in words else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()

    def end(self):
        """SIGTERM; the count that it prints."""
        self.process.send_signal(signal.SIGTERM)
        out, errors = self.process.communicate(timeout=20 * stories.SLOW)
        assert self.process.returncode == 0 and "Sanitizer" not in errors, errors
        return json.loads(out)

    def call(self, path, body=None, headers=None, method=None, base=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request((base or self.url) + path, data=data, headers={"content-type": "application/json", **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20 * stories.SLOW) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as e:
            return e.code, dict(e.headers), e.read()

    def chat(self, text, path="/v1/chat/completions", **more):
        return self.call(path, {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more})


def test_what_it_says_it_counted_is_what_it_sent():
    with Sim("--name", "one", "--seed", "3") as sim:
        status, headers, body = sim.chat("say exactly 21 tokens")
        answer = json.loads(body)
        assert status == 200 and answer["usage"]["completion_tokens"] == 21 and answer["choices"][0]["finish_reason"] == "stop"
        assert {"x-request-id", "openai-processing-ms", "x-ratelimit-remaining-tokens"} <= {k.lower() for k in headers}
        seen = json.loads(sim.call("/sim/count")[2])
        counted = sim.end()
    assert counted == seen
    assert counted == {"name": "one", "requests": 1, "answered": 1, "broken": 0, "refused": 0, "input_tokens": answer["usage"]["prompt_tokens"],
                       "output_tokens": 21, "broken_input_tokens": 0, "broken_output_tokens": 0}


def test_the_same_seed_says_the_same_and_another_something_else():
    said = []
    for seed in ("5", "5", "6"):
        with Sim("--seed", seed) as sim:
            said.append(json.loads(sim.chat("say exactly 30 tokens")[2])["choices"][0]["message"]["content"])
    assert said[0] == said[1] != said[2]


def test_faults_come_when_they_were_ordered():
    with Sim("--fault", "status:503@1", "--fault", "rate:2s@2", "--fault=html@3", "--fault", "error-in-200@4") as sim:
        status, _, body = sim.chat("x")
        assert status == 503 and json.loads(body)["error"]["message"]
        status, headers, body = sim.chat("x")
        assert status == 429 and headers["retry-after"] == "2" and headers["retry-after-ms"] == "2000"
        assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
        status, headers, body = sim.chat("x")
        assert status == 502 and headers["content-type"] == "text/html"
        status, _, body = sim.chat("x")
        assert status == 200 and "error" in json.loads(body)
        assert sim.chat("x")[0] == 200
        assert sim.end()["refused"] == 4


def test_a_wrong_key_is_refused_and_azure_has_its_own_paths():
    with Sim("--dialect", "azure-openai", "--key", "env:SIM_KEY", env={"SIM_KEY": "canary-sim"}) as sim:
        path = "/openai/deployments/prod/chat/completions?api-version=2024-10-21"
        assert sim.chat("x", path)[0] == 401
        status, _, body = sim.call(path, {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}, {"api-key": "canary-sim"})
        assert status == 200 and json.loads(body)["model"] == "prod" and json.loads(body)["usage"]["completion_tokens"] == 2
        assert sim.call("/v1/chat/completions", {"messages": []}, {"api-key": "canary-sim"})[0] == 404


def test_it_can_be_killed_and_revived_under_its_old_address(tmp_path):
    count_file = tmp_path / "count.json"
    with Sim("--control", "127.0.0.1:0", "--count-file", str(count_file)) as sim:
        assert sim.chat("say exactly 2 tokens")[0] == 200
        assert sim.call("/kill", method="POST", base=sim.control)[0] == 200
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            sim.chat("x")
        assert sim.call("/revive", method="POST", base=sim.control)[0] == 200
        assert sim.chat("say exactly 3 tokens")[0] == 200
        assert json.loads(sim.call("/count", base=sim.control)[2])["output_tokens"] == 5
        counted = sim.end()
    assert json.loads(count_file.read_text()) == counted and counted["answered"] == 2


@pytest.mark.parametrize("words, says", [
    (["--listen", "nowhere"], "--listen"), ([], "--listen"), (["--listen", "127.0.0.1:0", "--dialect", "latin"], "openai"),
    (["--listen", "127.0.0.1:0", "--ttft", "soon"], "--ttft"), (["--listen", "127.0.0.1:0", "--fault", "explode@1"], "explode"),
    (["--listen", "127.0.0.1:0", "--fault"], "--fault needs a value"), (["--listen", "127.0.0.1:0", "--key", "sk-canary"], "env:NAME"),
    (["--listen", "127.0.0.1:0", "--usage", "lots"], "--usage"), (["--listne", "127.0.0.1:0"], "did you mean --listen"),
])
def test_a_mistake_on_the_command_line_is_told_and_ends_with_2(words, says):
    done = subprocess.run([stories.ENTENTE, "sim", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20 * stories.SLOW, check=False)
    assert done.returncode == 2 and says in done.stderr and "sk-canary" not in done.stderr and not re.search("Sanitizer", done.stderr)

# SPDX-License-Identifier: Apache-2.0
"""The command line: what each command prints, where, and with which exit code."""
import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest
import stories
import yaml
from stories import Gateway, Provider, answer

CONFIG = """\
data: data
providers:
  eu: {dialect: azure-openai, url: 'https://acme.example', credential: env:EU_KEY, proxy: none}
  local: {dialect: openai, url: 'http://127.0.0.1:1/v1'}
models:
  gpt-4o:
    - {provider: eu, model: prod}
    - {provider: local, model: llama-4}
  mix: {select: weighted, deployments: [{provider: eu, weight: 3}, {provider: local}]}
  '*': [{provider: local}]
keys:
  - name: legal-app
    secret: env:LEGAL_KEY
    department: legal
    models: ['gpt-*']
  - {name: old, secret: env:OLD_KEY, revoked: true}
"""
SECRETS = {"EU_KEY": "canary-eu", "LEGAL_KEY": "canary-legal", "OLD_KEY": "canary-old"}


def run(*words, env=None, cwd=None):
    done = subprocess.run([stories.ENTENTE, *words], env={**os.environ, **SECRETS, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60 * stories.SLOW, check=False)
    assert "canary" not in done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "entente.yaml"
    path.write_text(CONFIG)
    return str(path)


# ---- the dispatcher ----

def test_no_command_shows_all_commands_and_fails():
    code, out, err = run()
    assert code == 2 and out == ""
    for name in ("serve", "demo", "check", "explain", "key", "reload", "sim", "top", "version"):
        assert re.search(r"^  %s " % name, err, re.M)


def test_help_is_no_failure():
    for words in (["help"], ["--help"], ["help", "check"], ["check", "--help"], ["key", "-h"], ["reload", "--help"], ["explain", "--help"], ["version", "--help"]):
        code, out, err = run(*words)
        assert (code, err) == (0, "") and out.startswith("usage: entente"), words


def test_a_mistyped_command_gets_the_one_that_was_meant():
    assert run("chekc") == (2, "", 'entente: unknown command "chekc": did you mean "check"?\n')
    assert run("frobnicate") == (2, "", 'entente: unknown command "frobnicate"; `entente help` lists all\n')
    assert run("help", "srve")[0] == 2


def test_a_mistyped_option_gets_the_one_that_was_meant(config):
    code, out, err = run("check", "--confg", config)
    assert (code, out) == (2, "") and err.startswith("entente check: unknown option --confg: did you mean --config?\nusage:")
    assert run("check", "--config")[0] == 2
    assert run("check", config, "more")[0] == 2
    assert run("explain", "--json=yes")[0] == 2


def test_version_is_one_line():
    code, out, err = run("version")
    assert (code, err) == (0, "") and re.fullmatch(r"entente \d+\.\d+\.\d+\n", out)
    assert run("--version") == (code, out, err)


# ---- check ----

def test_a_right_config_is_silent(config):
    assert run("check", "--config", config) == (0, "", "")
    assert run("check", "--config=" + config) == (0, "", "")
    assert run("check", config) == (0, "", "")
    assert not os.path.exists(os.path.join(os.path.dirname(config), "data"))


def test_every_mistake_is_one_line_with_its_place(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("lisen: x\nworkers: lots\nproviders:\n  p: {dialect: gemini, url: 'ftp://h', credential: env:NOT_SET_ANYWHERE}\n"
                    "models:\n  m: [{provider: q}]\nkeys:\n  - {name: a, secret: sk-canary}\n  - {name: a, secret: file:gone}\ndurability: certain\n")
    code, out, err = run("check", "--config", str(path))
    lines = err.splitlines()
    assert (code, out, len(lines)) == (2, "", 10)
    assert all(re.match(re.escape(str(path)) + r":\d+:\d+: \S", line) for line in lines), err
    assert [int(line[len(str(path)) + 1:].split(":")[0]) for line in lines] == [1, 2, 4, 4, 4, 6, 8, 9, 9, 10]


def test_a_file_that_is_not_there_is_said(tmp_path):
    path = str(tmp_path / "none.yaml")
    assert run("check", "--config", path) == (2, "", path + ": cannot be read: No such file or directory\n")
    assert run("check", "--config", str(tmp_path))[0] == 2


def test_agreements_are_not_claimed_to_be_right(tmp_path):
    path = tmp_path / "acme.agreement"
    path.write_text("parties\n")
    code, out, err = run("check", str(path))
    assert (code, out) == (2, "") and "not in this version yet" in err


def test_certificates_are_looked_at(tmp_path):
    path = tmp_path / "tls.yaml"
    path.write_text("listen: {address: '127.0.0.1:0', tls: {cert: none.pem, key: none.pem}}\n" + CONFIG)
    code, _, err = run("check", str(path))
    assert code == 2 and len(err.splitlines()) == 1 and ":1:39: TLS cannot be set up: " in err
    path.write_text(CONFIG.replace("proxy: none", "tls: {ca: none.pem}"))
    code, _, err = run("check", str(path))
    assert code == 2 and len(err.splitlines()) == 1 and "TLS cannot be set up: " in err


# ---- explain ----

def test_the_plan_says_who_and_why(config):
    code, out, err = run("explain", "--config", config, "--model", "gpt-4o", "--key", "legal-app")
    assert (code, err) == (0, "")
    assert out == ("model gpt-4o, select: ordered, key legal-app\n"
                   "   1  eu     prod     listed first\n"
                   "   2  local  llama-4  listed next\n")


def test_the_plan_as_json(config):
    code, out, err = run("explain", "--config", config, "--model", "gpt-4o", "--api", "embeddings", "--json")
    plan = json.loads(out)
    assert (code, err, plan["verdict"], plan["select"]) == (0, "", "ok", "ordered")
    assert [(p["provider"], p["model"], p["kept"]) for p in plan["plan"]] == [("eu", "prod", True), ("local", "llama-4", True)]


def test_a_weighted_plan_says_that_it_is_one_draw(config):
    code, out, _ = run("explain", "--config", config, "--model", "mix")
    assert code == 0 and "select: weighted" in out and "one draw" in out


def test_the_catch_all_passes_the_name_on(config):
    code, out, _ = run("explain", "--config", config, "--model", "o1-mini")
    assert code == 0 and 'by the catch-all "*"' in out and re.search(r"1  local  o1-mini  listed first", out)


def test_a_key_that_may_not_ask_is_told(config):
    code, out, err = run("explain", "--config", config, "--model", "mix", "--key", "legal-app")
    assert code == 1 and out.count("removed: this key may not ask for this model") == 2 and "may not do this" in err
    code, _, err = run("explain", "--config", config, "--model", "gpt-4o", "--key", "old")
    assert code == 1 and "is revoked" in err
    code, _, err = run("explain", "--config", config, "--model", "gpt-4o", "--key", "legal-ap")
    assert code == 1 and 'did you mean "legal-app"?' in err


def test_an_unknown_model_is_told(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG.replace("  '*': [{provider: local}]\n", ""))
    code, _, err = run("explain", "--config", str(path), "--model", "gpt-40")
    assert code == 1 and err == 'entente explain: the model "gpt-40" is not configured: did you mean "gpt-4o"?\n'
    assert run("explain", "--config", str(path))[0] == 2
    assert run("explain", "--config", str(path), "--model", "mix", "--api", "pictures")[0] == 2


# ---- keys ----

def test_a_new_key_is_shown_once_and_its_line_works(config):
    code, out, _ = run("key", "new", "--name", 'le"gal: x', "--department", "law", "--party", "acme")
    secret, line = out.splitlines()
    entry = yaml.safe_load(line)[0]
    assert code == 0 and re.fullmatch(r"sk-entente-[0-9A-Za-z]{43}", secret)
    assert entry == {"name": 'le"gal: x', "secret": "sha256:" + hashlib.sha256(secret.encode()).hexdigest(), "department": "law", "party": "acme"}
    with open(config, "a") as f:
        f.write(line + "\n")
    assert run("check", config) == (0, "", "")
    assert run("key", "new", "--name", "x")[1].splitlines()[0] != secret
    assert run("key", "new")[0] == 2


def test_keys_are_listed_without_secrets(config):
    code, out, _ = run("key", "list", "--config", config)
    assert code == 0
    assert re.search(r"^legal-app +legal +- +valid +gpt-\*$", out, re.M) and re.search(r"^old +- +- +revoked +all$", out, re.M)
    digest = hashlib.sha256(b"canary-legal").hexdigest()
    code, listed, _ = run("key", "list", "--config", config, "--json")
    assert json.loads(listed)[0] == {"name": "legal-app", "department": "legal", "party": "", "revoked": False, "models": ["gpt-*"]}
    assert digest not in out + listed


def test_revoking_says_where_and_changes_nothing(config):
    code, out, err = run("key", "revoke", "legal-app", "--config", config)
    line = CONFIG[:CONFIG.index("- name: legal-app")].count("\n") + 1
    assert (code, out) == (1, "") and err.startswith("%s:%d: nothing was changed yet: add `revoked: true`" % (config, line))
    assert open(config).read() == CONFIG
    assert run("key", "revoke", "old", "--config", config)[:2] == (0, 'the key "old" is revoked already\n')
    assert run("key", "revoke", "nobody", "--config", config)[0] == 1
    assert run("key", "revoke", "old")[0] == 2
    assert run("key", "remove", "old")[0] == 2


# ---- reload ----

def test_reload_without_a_gateway_says_so(config):
    code, out, err = run("reload", "--config", config)
    assert (code, out) == (1, "") and "no gateway is running with the data directory" in err
    os.mkdir(os.path.join(os.path.dirname(config), "data"))
    with open(os.path.join(os.path.dirname(config), "data", "entente.pid"), "w") as f:
        f.write("%d\n" % os.getpid())  # left over: nobody holds its lock, and the number is this test's
    assert run("reload", "--config", config)[0] == 1
    assert run("reload")[0] == 2


def test_reload_puts_a_right_file_in_force_and_a_bad_one_not():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        assert g.ask({"model": "new", "messages": []})[0] == 404
        g.write_config(g.text.replace("models:\n", "models:\n  new: [{provider: one}]\n"))
        code, out, err = run("reload", "--config", g.config_path, env=g.env)
        assert (code, err) == (0, "") and re.fullmatch(r"reloaded, generation \d+\n", out)
        assert g.ask({"model": "new", "messages": []})[0] == 200
        g.write_config(g.text.replace("dialect: openai", "dialect: opnai"))
        code, out, err = run("reload", "--config", g.config_path, env=g.env)
        assert (code, out) == (2, "") and 'did you mean "openai"?' in err
        assert g.ask({"model": "new", "messages": []})[0] == 200


def test_what_only_the_gateway_can_find_is_told():
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        g.write_config(g.text.replace("STORY_KEY", "ONLY_HERE"))
        code, out, err = run("reload", "--config", g.config_path, env={**g.env, "ONLY_HERE": "x-1234567890"})
        assert (code, out) == (1, "") and "the gateway refused the file and goes on as before:" in err
        assert "the environment variable ONLY_HERE is not set" in err
        assert g.ask()[0] == 200


def test_a_copy_of_the_config_elsewhere_finds_the_same_gateway(tmp_path):
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        copy = tmp_path / "copy.yaml"
        copy.write_text(g.text.replace("data: data", "data: " + os.path.join(g.folder, "data")))
        assert run("reload", "--config", str(copy), env=g.env)[0] == 0
        shutil.copy(g.config_path, tmp_path / "other.yaml")
        assert run("reload", "--config", str(tmp_path / "other.yaml"), env=g.env)[0] == 1

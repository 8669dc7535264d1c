# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what, and who answers: keys, catch-all models, weights, ejection, seen from outside."""
import json
import subprocess

import stories
from stories import Gateway, Provider, answer

CATCH_ALL = "models:\n  listed:\n    - {provider: one, model: named}\n  '*':\n    - {provider: one}\n"
KEY_WITH_GLOBS = "  - {name: globs, secret: env:GLOB_KEY, models: ['gpt-*', listed]}\n"
GLOB_KEY = "sk-glob-key-1"


def ask(g, model, **options):
    return g.ask({"model": model, "messages": [{"role": "user", "content": "Hi"}]}, **options)


def with_globs(p):
    g = Gateway({"one": p}, models=CATCH_ALL, env={"GLOB_KEY": GLOB_KEY})
    g.write_config(g.text.replace("admin:", KEY_WITH_GLOBS + "admin:"))
    return g


def test_a_catch_all_passes_unlisted_names_on():
    with Provider(answer()) as p, Gateway({"one": p}, models=CATCH_ALL) as g:
        assert [ask(g, name)[0] for name in ("listed", "o1", 'odd "name"', "*")] == [200] * 4
        assert [r.json()["model"] for r in p.requests] == ["named", "o1", 'odd "name"', "*"]


def test_a_key_with_patterns_may_ask_what_they_match_also_by_the_catch_all():
    with Provider(answer()) as p, with_globs(p) as g:
        assert ask(g, "listed", key=GLOB_KEY)[0] == 200
        assert ask(g, "gpt-9", key=GLOB_KEY)[0] == 200
        status, _, body = ask(g, "o1", key=GLOB_KEY)
        assert status == 403 and json.loads(body)["error"]["code"] == "forbidden"
        assert [r.json()["model"] for r in p.requests] == ["named", "gpt-9"]


def test_weights_decide_who_is_asked():
    models = "models:\n  m: {select: weighted, deployments: [{provider: one, weight: 0}, {provider: two, weight: 3}]}\n"
    with Provider(answer()) as one, Provider(answer()) as two, Gateway({"one": one, "two": two}, models=models) as g:
        assert [g.ask()[0] for _ in range(10)] == [200] * 10
        assert (len(one.requests), len(two.requests)) == (0, 10)


def test_a_failing_provider_is_left_alone_after_some_failures():
    ejection = "ejection: {failures: 3, base: 60s}\n"
    with Provider(answer(500)) as bad, Provider(answer()) as good, Gateway({"bad": bad, "good": good}, config=ejection) as g:
        assert [g.ask()[0] for _ in range(12)] == [200] * 12
        assert len(bad.requests) == 3
        assert len(good.requests) == 12


def test_a_rate_limited_provider_rests_as_long_as_it_asked():
    with Provider(answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "30"})) as busy, Provider(answer()) as free, \
            Gateway({"busy": busy, "free": free}) as g:
        assert [g.ask()[0] for _ in range(5)] == [200] * 5
        assert (len(busy.requests), len(free.requests)) == (1, 5)


def test_the_only_provider_is_asked_however_often_it_failed():
    config = "ejection: {failures: 2}\nretry: {attempts: 1}\n"
    with Provider(answer(500)) as p, Gateway({"one": p}, config=config) as g:
        for _ in range(6):
            g.ask()
        assert len(p.requests) == 6


def test_retries_stop_when_their_budget_is_spent():
    config = "retry: {attempts: 2, budget_percent: 0, budget_floor: 0, backoff: 1ms}\n"
    with Provider(answer(500)) as p, Provider(answer()) as q, Gateway({"one": p, "two": q}, config=config) as g:
        assert g.ask()[0] >= 500
        assert (len(p.requests), len(q.requests)) == (1, 0)


def test_health_survives_a_reload():
    ejection = "ejection: {failures: 2, base: 60s}\n"
    with Provider(answer(500)) as bad, Provider(answer()) as good, Gateway({"bad": bad, "good": good}, config=ejection) as g:
        for _ in range(3):
            g.ask()
        seen = len(bad.requests)
        generation = reload(g)
        assert [g.ask()[0] for _ in range(5)] == [200] * 5
        assert generation and len(bad.requests) == seen == 2


def reload(g):
    done = subprocess.run([stories.ENTENTE, "reload", "--config", g.config_path], env=g.env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout

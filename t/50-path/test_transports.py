# SPDX-License-Identifier: Apache-2.0
"""The same gateway over everything that bytes can travel by: TLS on either side, HTTP/2, Unix sockets, proxies, and HTTP/1 as old and odd
clients speak it."""
import base64
import gzip
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from h2_provider import H2Provider, h2_answer, h2_events, h2_goaway, h2_reset, h2_wait_for
from stories import (ANSWER, ENTENTE, SLOW, STREAM, Gateway, Provider, answer, chunk, close, events, payloads, shut, sse, text_of, wait_for)

ASK = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
ASK_STREAM = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})


# ---- certificates, made when the tests run ----

class Authority:
    def __init__(self, folder, name="ca"):
        self.folder, self.name = str(folder), name
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name + ".key"), "-out",
                 self.path(name + ".pem"), "-days", "30", "-subj", "/CN=entente test " + name)
        self.pem = self.path(name + ".pem")

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def run(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def issue(self, name, alt="IP:127.0.0.1,DNS:localhost", days=30):
        cert, key = self.path(name + ".pem"), self.path(name + ".key")
        with open(self.path("extensions"), "w") as f:
            f.write("subjectAltName=" + alt)
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", self.path("request"), "-subj", "/CN=" + name)
        self.run("x509", "-req", "-in", self.path("request"), "-CA", self.pem, "-CAkey", self.path(self.name + ".key"), "-CAcreateserial", "-days",
                 str(days), "-extfile", self.path("extensions"), "-out", cert)
        return cert, key


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def good(ca):
    return ca.issue("good")


def server_context(files, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def tls_listen(files):
    return "{address: 127.0.0.1:0, tls: {cert: '%s', key: '%s'}}" % files


def curl(g, *options, body=ASK, url=None):
    """(body, "HTTP-VERSION STATUS") of one request."""
    url = url or "https://127.0.0.1:%d/v1/chat/completions" % g.port
    done = subprocess.run(["curl", "-sS", "-w", "\n%{http_version} %{http_code}", url, "-H", "Authorization: Bearer " + g.key, "-H",
                           "Content-Type: application/json", "-d", body, *options], capture_output=True, text=True, timeout=30 * SLOW, check=False)
    text, _, verdict = done.stdout.rpartition("\n")
    return text, verdict, done.stderr


# ---- TLS from clients ----

@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("option, version", [("--http1.1", "1.1"), ("--http2", "2")])
def test_clients_are_served_over_tls_in_the_version_of_http_they_offer(ca, good, tls, option, version):
    with Provider(answer(), events(STREAM)) as p, Gateway({"one": p}, listen=tls_listen(good)) as g:
        whole, verdict, why = curl(g, "--cacert", ca.pem, option, "--tlsv" + tls, "--tls-max", tls)
        assert verdict == version + " 200" and json.loads(whole) == ANSWER, why
        streamed, verdict, why = curl(g, "-N", "--cacert", ca.pem, option, "--tlsv" + tls, "--tls-max", tls, body=ASK_STREAM)
        assert verdict == version + " 200" and payloads(streamed.encode())[-1] == "[DONE]", why


def test_tls_of_the_last_decade_is_refused_and_costs_others_nothing(ca, good):
    with Provider(answer()) as p, Gateway({"one": p}, listen=tls_listen(good)) as g:
        done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % g.port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], input="", capture_output=True,
                              text=True, timeout=20 * SLOW, check=False)
        assert done.returncode != 0 and "alert protocol version" in done.stderr, done.stderr
        assert curl(g, "--cacert", ca.pem)[1] == "2 200"


@pytest.mark.parametrize("first", [b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\0" * 5000])
def test_what_is_not_tls_on_the_tls_port_is_let_go_and_others_are_served(ca, good, first):
    with Provider(answer()) as p, Gateway({"one": p}, listen=tls_listen(good), config="timeouts: {head: 1s}\n") as g:
        with socket.create_connection(("127.0.0.1", g.port), timeout=10 * SLOW) as s:
            s.sendall(first)
            try:
                while s.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        assert curl(g, "--cacert", ca.pem)[1] == "2 200" and len(g.records(1)) == 1


def served_serial(g, ca, port=None):
    context = ssl.create_default_context(cafile=ca.pem)
    with socket.create_connection(("127.0.0.1", port or g.port), timeout=10 * SLOW) as s, context.wrap_socket(s, server_hostname="localhost") as t:
        return t.getpeercert()["serialNumber"]


def reload_and_wait(g, word="reloaded"):
    before = g.log().count(word)
    g.process.send_signal(signal.SIGHUP)
    wait_for(lambda: g.log().count(word) > before, what=word)


def test_renewed_certificate_is_served_after_a_reload_and_open_connections_stay(ca, tmp_path):
    first, second = ca.issue("first"), ca.issue("second")
    files = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")

    def install(pair):
        for source, target in zip(pair, files):
            shutil.copy(source, target)
    install(first)
    with Provider(answer()) as p, Gateway({"one": p}, listen=tls_listen(files)) as g:
        before = served_serial(g, ca)
        stays = http.client.HTTPSConnection("127.0.0.1", g.port, context=ssl.create_default_context(cafile=ca.pem), timeout=10 * SLOW)
        for turn in range(2):
            stays.request("POST", "/v1/chat/completions", ASK, g.headers())
            response = stays.getresponse()
            assert response.status == 200 and json.loads(response.read()) == ANSWER
            if turn == 0:
                install(second)
                assert served_serial(g, ca) == before  # what lies in the file is not what is served
                reload_and_wait(g)
                assert served_serial(g, ca) != before
        install((__file__, first[1]))
        now = served_serial(g, ca)
        reload_and_wait(g, "reload refused")
        assert served_serial(g, ca) == now
        stays.close()


def test_reload_with_other_listeners_than_at_start_changes_none_of_those_there_are(ca, good):
    other = ca.issue("other")
    plain = "{address: 127.0.0.1:0}"
    with Provider(answer()) as p, Gateway({"one": p}, listen=tls_listen(good)) as g:
        before = served_serial(g, ca)
        g.write_config(g.text.replace("listen: " + tls_listen(good), "listen: [%s, %s, {address: '127.0.0.1:1', tls: {cert: '%s', key: '%s'}}]" %
                                      (plain, tls_listen(good), *other)))
        reload_and_wait(g)
        assert served_serial(g, ca) == before and "take effect at the next start" in g.log()
    with Provider(answer()) as p, Gateway({"one": p}) as g:
        g.write_config(g.text.replace("listen: 127.0.0.1:0", "listen: " + tls_listen(good)))
        reload_and_wait(g)
        assert g.ask()[0] == 200  # still plain


@pytest.mark.parametrize("wrong, says", [("missing", "cert.pem"), ("broken", "cert.pem"), ("not the key of it", "key"), ("no key", "key.pem")])
def test_certificate_that_cannot_be_used_is_named_before_anything_starts(good, ca, tmp_path, wrong, says):
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    if wrong != "missing":
        shutil.copy(good[0], cert)
    if wrong == "broken":
        (tmp_path / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    if wrong != "no key":
        shutil.copy(ca.issue("stranger")[1] if wrong == "not the key of it" else good[1], key)
    config = tmp_path / "entente.yaml"
    config.write_text("listen: %s\nproviders:\n  one: {dialect: openai, url: 'http://127.0.0.1:1/v1'}\nmodels: {m: [{provider: one}]}\n" % tls_listen((cert, key)))
    done = subprocess.run([ENTENTE, "serve", "--config", str(config)], capture_output=True, text=True, timeout=20 * SLOW, check=False)
    assert done.returncode == 2 and done.stdout == "" and says in done.stderr and "entente.yaml:1:" in done.stderr, done.stderr


# ---- TLS to providers ----

def test_provider_over_tls_with_an_authority_of_ones_own_answers(ca, good):
    with Provider(answer(), events(STREAM), tls=server_context(good)) as p, Gateway({"one": p}, provider_options="tls: {ca: '%s'}" % ca.pem) as g:
        assert g.ask()[0] == 200
        assert text_of(g.stream()[2]) == "Hello there friend"


UNTRUSTED = {
    "unknown authority": (None, {}, ("issuer", "self-signed", "self signed")),
    "another host's certificate": ("ca", {"alt": "DNS:elsewhere.test,IP:127.0.0.9"}, ("mismatch",)),
    "expired certificate": ("ca", {"days": -1}, ("expired",)),
}


@pytest.mark.parametrize("what", UNTRUSTED)
def test_prompt_is_not_told_to_a_provider_that_cannot_prove_who_it_is(ca, what, tmp_path):
    trusted, details, words = UNTRUSTED[what]
    issuer = ca if trusted else Authority(tmp_path)
    files = issuer.issue(what.replace(" ", "-").replace("'", ""), **details)
    with Provider(answer(), tls=server_context(files)) as p, Gateway({"one": p}, provider_options="tls: {ca: '%s'}" % ca.pem, config="retry: {attempts: 1}\n") as g:
        status, _, data = g.ask()
        error = json.loads(data)["error"]
        assert status == 502 and error["code"] == "provider_unreachable", data
        assert any(word in error["message"] for word in words), error["message"]
        assert p.requests == [] and g.records(1)[0]["attempts"][0]["outcome"] == "connect"
        assert any(word in g.log() for word in words)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_handshakes_to_a_provider_are_resumed_even_when_it_closes_without_saying_so(ca, good, version):
    context = server_context(good)
    context.maximum_version = version
    with Provider(answer(keep=False), tls=context) as p, Gateway({"one": p}, provider_options="tls: {ca: '%s'}" % ca.pem) as g:
        for _ in range(6):
            assert g.ask()[0] == 200
        assert p.connections == 6 and p.resumed >= 4, p.resumed


# ---- providers that speak HTTP/2 ----

@pytest.fixture(params=["plain", "tls"])
def h2_kind(request, ca, good):
    """(keywords of H2Provider, options of the provider in the config)"""
    return ({}, "http: 2") if request.param == "plain" else ({"tls": server_context(good, ["h2", "http/1.1"])}, "tls: {ca: '%s'}" % ca.pem)


def test_requests_share_one_connection_to_a_provider_that_speaks_http2(h2_kind):
    more, options = h2_kind
    with H2Provider(h2_wait_for(10, h2_events(STREAM)), **more) as p, Gateway({"one": p}, provider_options=options) as g:
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(g.stream())) for _ in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert [text_of(s[2]) for s in seen] == ["Hello there friend"] * 10
        assert p.connections == 1 or (more and p.connections <= 10)  # over TLS nobody knows of h2 before the first handshake
        assert all(r.target == "/v1/chat/completions" and r.headers["authorization"] == "Bearer provider-secret-canary" for r in p.requests)
        assert [r["outcome"] for r in g.records(10)] == ["answered"] * 10


def test_http2_stream_reset_in_the_middle_ends_as_an_error_and_never_as_a_clean_end(h2_kind):
    more, options = h2_kind
    lost = h2_events(sse(chunk("Hello there"), done=False), then=lambda session, request: session.reset(request.stream, 2))
    with H2Provider(lost, h2_answer(), **more) as p, Gateway({"one": p}, provider_options=options) as g:
        status, _, seen = g.stream()
        assert status == 200 and text_of(seen) == "Hello there" and "error" in seen[-1] and "[DONE]" not in seen
        assert g.records(1)[0]["outcome"] == "broken"
        assert g.ask()[0] == 200 and p.connections == 1  # one stream's end is not the connection's


@pytest.mark.parametrize("step", [h2_goaway, h2_reset(7), h2_reset(2), lambda session, request: shut(session.connection)], ids=["goaway", "refused", "reset", "closed"])
def test_answer_comes_from_elsewhere_when_an_http2_provider_will_not_give_it(h2_kind, step):
    more, options = h2_kind
    with H2Provider(step, **more) as bad, Provider(answer()) as fine, Gateway({"bad": bad, "fine": fine}, provider_options={"bad": options}) as g:
        status, headers, data = g.ask()
        assert status == 200 and json.loads(data) == ANSWER and headers["x-entente-provider"] == "fine"
        assert [a["provider"] for a in g.records(1)[0]["attempts"]][-1] == "fine"


def test_gone_client_cancels_its_http2_stream_and_no_other(h2_kind):
    more, options = h2_kind
    with H2Provider(h2_events(sse(chunk("Hello"), done=False), end=False), h2_answer(), **more) as p, Gateway({"one": p}, provider_options=options) as g:
        with socket.create_connection(("127.0.0.1", g.port), timeout=10 * SLOW) as s:
            s.sendall(request_bytes(g, ASK_STREAM))
            wait_for(lambda: b"Hello" in s.recv(65536), what="the first event")
        wait_for(lambda: p.resets == 1, what="the reset")
        assert g.records(1)[0]["outcome"] == "abandoned"
        assert g.ask()[0] == 200 and p.connections == 1


# ---- Unix sockets ----

def test_clients_and_providers_are_reached_by_unix_sockets(tmp_path):
    mine, theirs = str(tmp_path / "in.sock"), str(tmp_path / "out.sock")
    with Provider(answer(), events(STREAM), unix=theirs) as p, Gateway({"one": p}, listen="[127.0.0.1:0, 'unix:%s']" % mine) as g:
        url = "http://localhost/v1/chat/completions"
        whole, verdict, why = curl(g, "--unix-socket", mine, url=url)
        assert verdict == "1.1 200" and json.loads(whole) == ANSWER, why
        streamed, verdict, why = curl(g, "-N", "--http2-prior-knowledge", "--unix-socket", mine, url=url, body=ASK_STREAM)
        assert verdict == "2 200" and payloads(streamed.encode())[-1] == "[DONE]", why
        assert p.requests[0].target == "/v1/chat/completions"
    assert not os.path.exists(mine)


# ---- proxies ----

class ConnectProxy:
    """A proxy that knows CONNECT. Whatever host is asked for, `to` is where it connects. secret: the Proxy-Authorization that it wants."""

    def __init__(self, to, secret=None):
        self.to, self.secret, self.heads = to, secret, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shut(self.listener)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1) or b"\r\n\r\n"
        self.heads.append(head.decode())
        if self.secret and "proxy-authorization: basic " + base64.b64encode(self.secret.encode()).decode().lower() not in head.decode().lower():
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            return shut(client)
        server = socket.create_connection(("127.0.0.1", self.to))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self.pump, args=(server, client), daemon=True).start()
        self.pump(client, server)

    @staticmethod
    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        shut(target)
        shut(source)


class Named:
    """A provider at a name that only the proxy can resolve."""

    def __init__(self, name, port):
        self.url = "https://%s:%d" % (name, port)


@pytest.fixture(scope="module")
def behind(ca):
    return ca.issue("behind", alt="DNS:provider.test")


def by_proxy(ca, provider, **more):
    return Gateway({"one": Named("provider.test", provider.port)}, provider_options="tls: {ca: '%s'}%s" % (ca.pem, more.pop("options", "")),
                   config="retry: {attempts: 1}\ntimeouts: {connect: %ds}\n" % (2 * SLOW), **more)


def test_provider_is_reached_through_the_proxy_of_the_environment_and_the_proxy_sees_no_prompt(ca, behind):
    with Provider(answer(), events(STREAM), tls=server_context(behind)) as p, ConnectProxy(p.port) as proxy:
        with by_proxy(ca, p, env={"HTTPS_PROXY": "http://127.0.0.1:%d" % proxy.port}) as g:
            assert g.ask()[0] == 200 and text_of(g.stream()[2]) == "Hello there friend"
        assert proxy.heads[0].startswith("CONNECT provider.test:%d HTTP/1.1\r\n" % p.port)
        assert "canary" not in "".join(proxy.heads) and p.requests[0].headers["host"] == "provider.test:%d" % p.port


def test_password_of_a_proxy_is_given_to_it_and_to_nobody_else(ca, behind):
    with Provider(answer(), tls=server_context(behind)) as p, ConnectProxy(p.port, secret="user:proxy-canary") as proxy:
        with by_proxy(ca, p, options=", proxy: env:MY_PROXY", env={"MY_PROXY": "http://user:proxy-canary@127.0.0.1:%d" % proxy.port}) as g:
            assert g.ask()[0] == 200
            assert "proxy-authorization" not in p.requests[0].headers and "proxy-canary" not in g.log()
        with by_proxy(ca, p, options=", proxy: env:MY_PROXY", env={"MY_PROXY": "http://user:proxy-canary-wrong@127.0.0.1:%d" % proxy.port}) as g:
            status, _, data = g.ask()
            error = json.loads(data)["error"]
            assert status == 502 and error["code"] == "provider_unreachable" and "407" in error["message"], data
            assert "proxy-canary" not in g.log() and b"proxy-canary" not in data


def test_no_proxy_is_honoured_for_hosts_it_names_and_for_this_machine(ca, behind, good):
    with Provider(answer(), tls=server_context(good)) as p, ConnectProxy(p.port) as proxy:
        env = {"HTTPS_PROXY": "http://127.0.0.1:%d" % proxy.port, "NO_PROXY": ".test"}
        with by_proxy(ca, p, env=env) as g:
            status, _, data = g.ask()
            assert status in (502, 504) and json.loads(data)["error"]["code"] == "provider_unreachable", data
        with Gateway({"one": p}, provider_options="tls: {ca: '%s'}" % ca.pem, env=env) as g:
            assert g.ask()[0] == 200
        assert proxy.heads == []


# ---- HTTP/1 as clients speak it ----

def request_bytes(g, body, extra="", version="1.1", path="/v1/chat/completions"):
    body = body.encode() if isinstance(body, str) else body
    return ("POST %s HTTP/%s\r\nHost: g\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n" %
            (path, version, g.key, len(body), extra)).encode() + body


def read_answers(s, n):
    """n answers with Content-Length from one connection, in order."""
    stash, out = b"", []
    while len(out) < n:
        head, found, rest = stash.partition(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0) if found else None
        if found and len(rest) >= length:
            out.append((int(head.split(b" ")[1]), head.decode(), rest[:length]))
            stash = rest[length:]
            continue
        more = s.recv(65536)
        assert more, "the connection ended after %d answers: %r" % (len(out), stash[:200])
        stash += more
    return out


def connect(g):
    return socket.create_connection(("127.0.0.1", g.port), timeout=15 * SLOW)


def test_compressed_request_is_understood_and_its_size_limit_holds_for_what_it_becomes():
    with Provider(answer()) as p, Gateway({"one": p}, config="limits: {body: 100KiB}\n") as g:
        plain = {"model": "m", "messages": [{"role": "user", "content": "long " * 1000}]}
        status, _, _ = g.ask(gzip.compress(json.dumps(plain).encode()), headers={"Content-Encoding": "gzip"})
        assert status == 200 and p.requests[0].json()["messages"] == plain["messages"] and "content-encoding" not in p.requests[0].headers
        bomb = gzip.compress(b'{"model": "m", "messages": [' + b" " * 10_000_000)
        status, _, data = g.ask(bomb, headers={"Content-Encoding": "gzip"})
        assert status == 413, data
        status, _, data = g.ask(b"not gzip at all", headers={"Content-Encoding": "gzip"})
        assert status in (400, 415) and len(p.requests) == 1, data
        status, _, data = g.ask(headers={"Content-Encoding": "lzma"})
        assert status == 415 and len(p.requests) == 1, data


def test_client_that_waits_for_100_continue_is_told_to_go_on_or_why_not():
    with Provider(answer()) as p, Gateway({"one": p}, config="limits: {body: 100KiB}\n") as g:
        url = "http://127.0.0.1:%d/v1/chat/completions" % g.port
        big = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 50000}]})
        seconds = time.monotonic()
        whole, verdict, why = curl(g, "-H", "Expect: 100-continue", "--expect100-timeout", "20", url=url, body=big)
        assert verdict == "1.1 200" and time.monotonic() - seconds < 15, why
        with connect(g) as s:
            s.sendall(request_bytes(g, "", "Expect: 100-continue\r\n").replace(b"Content-Length: 0", b"Content-Length: 200000"))
            assert read_answers(s, 1)[0][0] == 413  # at once, without a byte of the body


@pytest.mark.parametrize("body", [ASK, ASK_STREAM], ids=["whole", "stream"])
def test_http_1_0_client_gets_an_answer_that_ends_with_the_connection(body):
    with Provider(answer() if body is ASK else events(STREAM)) as p, Gateway({"one": p}) as g, connect(g) as s:
        s.sendall(request_bytes(g, body, version="1.0"))
        data = b""
        while more := s.recv(65536):
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        assert b" 200 " in head and b"chunked" not in head.lower()
        assert json.loads(rest) == ANSWER if body is ASK else payloads(rest)[-1] == "[DONE]"


def test_pipelined_requests_are_answered_in_their_order():
    def slow_first(connection, request):
        n = request.json()["messages"][0]["content"]
        time.sleep(0.3 if n == "0" else 0)
        return answer(body={**ANSWER, "id": "answer-" + n})(connection, request)
    with Provider(slow_first) as p, Gateway({"one": p}) as g, connect(g) as s:
        asks = [json.dumps({"model": "m", "messages": [{"role": "user", "content": str(n)}]}) for n in range(8)]
        s.sendall(b"".join(request_bytes(g, a) for a in asks))
        answers = read_answers(s, 8)
        assert [json.loads(a[2])["id"] for a in answers] == ["answer-%d" % n for n in range(8)]
        assert len(g.records(8)) == 8


def test_one_connection_carries_a_thousand_requests_on_either_side():
    with Provider(answer()) as p, Gateway({"one": p}) as g, connect(g) as s:
        one = request_bytes(g, ASK)
        for _ in range(1000):
            s.sendall(one)
            assert read_answers(s, 1)[0][0] == 200
        assert p.connections == 1 and len(g.records(1000)) == 1000


@pytest.mark.parametrize("body", [ASK, ASK_STREAM], ids=["whole", "stream"])
def test_client_that_closed_its_sending_half_still_gets_its_answer(body):
    with Provider(answer() if body is ASK else events(STREAM[:60], STREAM[60:], gap=0.2)) as p, Gateway({"one": p}) as g, connect(g) as s:
        s.sendall(request_bytes(g, body))
        s.shutdown(socket.SHUT_WR)
        data = b""
        while more := s.recv(65536):
            data += more
        assert b" 200 " in data and (b"Hello there friend" in data if body is ASK else b"[DONE]" in data), data
        assert g.records(1)[0]["outcome"] == "answered"


def test_slow_head_is_told_408_and_a_silent_connection_just_ends():
    with Provider(answer()) as p, Gateway({"one": p}, config="timeouts: {head: 1s, body: 1s, keep_alive: 1s}\n") as g:
        with connect(g) as s:
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHo")
            assert read_answers(s, 1)[0][0] == 408 and s.recv(1) == b""
        with connect(g) as s:
            s.sendall(request_bytes(g, ASK)[:-5])
            status, head, data = read_answers(s, 1)[0]
            assert status == 408 and json.loads(data)["error"]["code"] == "request_timeout" and "connection: close" in head.lower()
        with connect(g) as s:
            assert s.recv(1) == b""  # it had asked nothing: there is nothing to answer
        assert p.requests == []


def test_kept_connection_that_the_provider_had_closed_costs_the_client_nothing():
    with Provider(answer(keep=True), close, answer()) as p, Gateway({"one": p}) as g:
        assert g.ask()[0] == 200 and g.ask()[0] == 200
        assert [len(r["attempts"]) for r in g.records(2)] == [1, 1] and len(p.requests) == 3

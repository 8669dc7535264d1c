# SPDX-License-Identifier: Apache-2.0
"""What a story needs: a scripted provider on a raw socket, a gateway process in front of it, and a client.

    with Provider(answer(200, BODY)) as p, Gateway(providers={"one": p}) as g:
        status, headers, body = g.ask({"model": "m", "messages": []})

A provider's script is a list of steps, one per request it receives (the last one repeats). A step is a function of (connection,
request); `answer`, `events` and the faults below make them.
"""
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("ENTENTE_BUILD", "build"))
ENTENTE = os.path.join(BUILD, "entente")
SLOW = 4 if "san" in BUILD else 1  # sanitizers make everything slower: waits are multiplied

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served-1",
          "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there friend"}, "finish_reason": "stop"}], "usage": USAGE}


def chunk(content=None, finish=None, usage=None, **more):
    choices = [] if content is None and finish is None else [
        {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}]
    event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-1", "choices": choices, **more}
    if usage is not None:
        event["usage"] = usage
    return event


def sse(*payloads, done=True):
    text = "".join("data: %s\n\n" % (p if isinstance(p, str) else json.dumps(p)) for p in payloads)
    return (text + ("data: [DONE]\n\n" if done else "")).encode()


STREAM = sse(chunk("Hello"), chunk(" there"), chunk(" friend"), chunk(finish="stop"), chunk(usage=USAGE))


class Request:
    """One request as the provider received it."""

    def __init__(self, head, body):
        lines = head.split(b"\r\n")
        self.method, self.target, _ = lines[0].decode().split(" ", 2)
        self.headers = {k.strip().lower().decode(): v.strip().decode() for k, v in (line.split(b":", 1) for line in lines[1:] if line)}
        self.raw_head, self.body = head, body

    def json(self):
        return json.loads(self.body)


def answer(status=200, body=None, headers=None, keep=True):
    raw = body if isinstance(body, bytes) else json.dumps(ANSWER if body is None else body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(raw)), **(headers or {})}

    def step(connection, request):
        head = "HTTP/1.1 %d Status\r\n%s\r\n" % (status, "".join("%s: %s\r\n" % kv for kv in fields.items()))
        connection.sendall(head.encode() + raw)
        return keep
    return step


def chunked(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def events(*parts, gap=0.0, end=True, then=None, content_type="text/event-stream"):
    """A streamed answer: each part in a chunk of its own; end=False leaves the last chunk out; then(connection) acts at the end."""
    def step(connection, request):
        connection.sendall(("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % content_type).encode())
        for part in parts:
            connection.sendall(chunked(part))
            if gap:
                time.sleep(gap)
        if end:
            connection.sendall(b"0\r\n\r\n")
        if then:
            then(connection)
        return end and not then
    return step


def reset(connection, request=None):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return False


def close(connection, request=None):
    return False


def hang(seconds):
    def step(connection, request=None):
        connection.settimeout(seconds)
        try:
            connection.recv(1)
        except OSError:
            pass
        return False
    return step


def raw(data, keep=False):
    def step(connection, request):
        connection.sendall(data)
        return keep
    return step


def shut(s):
    """Wakes whoever waits for it; close alone would leave it open until then."""
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    s.close()


class Provider:
    """A scripted provider. `requests` has what it received; `lost` counts connections that the gateway closed on it. tls: an ssl.SSLContext;
    `refused` counts its failed handshakes, `resumed` those that took a session up again. unix: the path of a socket to listen on."""

    def __init__(self, *script, tls=None, unix=None):
        self.script, self.requests, self.connections, self.lost, self.at = list(script), [], 0, 0, 0
        self.lock, self.tls, self.refused, self.resumed = threading.Lock(), tls, 0, 0
        if unix:
            self.listener, self.port, self.url = socket.socket(socket.AF_UNIX), None, "unix:%s:" % unix
            self.listener.bind(unix)
            self.listener.listen(64)
        else:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.port = self.listener.getsockname()[1]
            self.url = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.port)
        self.open = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        shut(self.listener)
        with self.lock:
            for c in list(self.open):
                try:
                    c.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            if connection.family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                self.open.add(connection)
            threading.Thread(target=self.serve if not self.tls else self.serve_tls, args=(connection,), daemon=True).start()

    def serve_tls(self, plain):
        with self.lock:
            self.open.discard(plain)
        try:
            connection = self.tls.wrap_socket(plain, server_side=True)
        except OSError:
            with self.lock:
                self.refused += 1
            plain.close()
            return
        with self.lock:
            self.resumed += bool(connection.session_reused)
            self.open.add(connection)
        self.serve(connection)

    def serve(self, connection):
        stash = b""
        try:
            while True:
                request, stash = self.read(connection, stash)
                if request is None:
                    break
                with self.lock:
                    self.requests.append(request)
                    step = self.script[min(self.at, len(self.script) - 1)]
                    self.at += 1
                if not step(connection, request):
                    break
        except OSError:
            with self.lock:
                self.lost += 1
        finally:
            with self.lock:
                self.open.discard(connection)
            connection.close()

    @staticmethod
    def read(connection, stash):
        while b"\r\n\r\n" not in stash:
            more = connection.recv(65536)
            if not more:
                return None, b""
            stash += more
        head, rest = stash.split(b"\r\n\r\n", 1)
        length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [0, 0])[1])
        while len(rest) < length:
            more = connection.recv(65536)
            if not more:
                return None, b""
            rest += more
        return Request(head, rest[:length]), rest[length:]


class Gateway:
    """A gateway process. config is YAML after the providers, listen the YAML of its listeners, of which `port` is the first's."""

    def __init__(self, providers=None, model="m", models=None, config="", env=None, keys=True, provider_options="", workers=1, args=None,
                 listen="127.0.0.1:0"):
        self.folder = tempfile.mkdtemp(prefix="entente-story-")
        self.env = {**os.environ, "STORY_KEY": "sk-story-key-1", "PROVIDER_KEY": "provider-secret-canary", "ADMIN_KEY": "admin-canary-key", **(env or {})}
        self.key = "sk-story-key-1"
        self.config_path = os.path.join(self.folder, "entente.yaml")
        providers = providers or {}
        self.text = self.compose(providers, model, models, config, keys, provider_options, workers, listen)
        self.write_config(self.text)
        self.args = args
        self.process = None

    @staticmethod
    def compose(providers, model, models, config, keys, provider_options, workers, listen):
        text = "listen: %s\ndata: data\nworkers: %d\nlog: {level: debug}\nproviders:\n" % (listen, workers)
        for name, p in providers.items():
            options = provider_options.get(name, "") if isinstance(provider_options, dict) else provider_options
            dialect = "azure-openai" if name.startswith("azure") else "openai"
            path = "" if name.startswith("azure") else "/v1"
            text += "  %s: {dialect: %s, url: '%s%s', credential: env:PROVIDER_KEY%s}\n" % (name, dialect, p.url, path, ", " + options if options else "")
        text += models or "models:\n  %s:\n%s" % (model, "".join("    - {provider: %s, model: at-%s}\n" % (n, n) for n in providers))
        if keys:
            text += "keys:\n  - {name: story, secret: env:STORY_KEY, department: tests}\n"
        return text + "admin: {key: env:ADMIN_KEY}\n" + config

    def write_config(self, text):
        with open(self.config_path, "w") as f:
            f.write(text)

    def __enter__(self):
        self.log_path = os.path.join(self.folder, "stderr.log")
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(self.args or [ENTENTE, "serve", "--config", self.config_path], env=self.env, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder)
        line = self.process.stdout.readline()
        found = re.match(r"listening on https?://\S*:(\d+)$", line.strip())
        if not found:
            self.process.wait(10)
            raise AssertionError("the gateway did not start: %r\n%s" % (line, self.log()))
        self.port = int(found[1])
        return self

    def __exit__(self, kind, *_):
        code = self.stop()
        if kind is None:
            assert code == 0, "the gateway exited with %s:\n%s" % (code, self.log()[-3000:])

    def stop(self, signal_number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def headers(self, key=True, more=None):
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = "Bearer " + (self.key if key is True else key)
        return {**headers, **(more or {})}

    def request(self, method, path, body=None, key=True, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)
        connection.request(method, path, body=body, headers=self.headers(key, headers))
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, data

    def ask(self, body=None, path="/v1/chat/completions", **options):
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} if body is None else body
        raw_body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.request("POST", path, raw_body, **options)

    def stream(self, body=None, **options):
        """Asks for a stream; gives (status, headers, payloads): each data as parsed JSON, or the text when it is none."""
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}], **(body or {})}
        status, headers, data = self.ask(body, **options)
        return status, headers, payloads(data) if status == 200 else data

    def entries(self):
        """Every entry of the ledger, as `entente ledger export` writes it. None while there is no ledger yet."""
        done = subprocess.run([ENTENTE, "ledger", "export", "--format", "json", "--data", os.path.join(self.folder, "data")], capture_output=True, text=True,
                              check=False, env=self.env)
        assert done.returncode == 0 or "there is no" in done.stderr, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return [e for e in found if "end" not in e] if done.returncode == 0 else None  # the last line is the mark of a whole export

    def records(self, n=None, timeout=10, lost=False):
        """The usage records, once there are at least n; with those of lost attempts where lost says so."""
        until = time.monotonic() + timeout * SLOW
        while True:
            found = [e for e in self.entries() or [] if "outcome" in e and (lost or "attempt" not in e)]
            if n is None or len(found) >= n or time.monotonic() > until:
                assert n is None or len(found) == n, "%d records instead of %d: %s" % (len(found), n, found)
                return found
            time.sleep(0.02)


def payloads(data):
    out = []
    for event in data.decode().split("\n\n"):
        lines = [line[5:].lstrip(" ") for line in event.split("\n") if line.startswith("data:")]
        if not lines:
            continue
        text = "\n".join(lines)
        try:
            out.append(json.loads(text))
        except ValueError:
            out.append(text)
    return out


def text_of(events_seen):
    return "".join(c["delta"].get("content") or "" for e in events_seen if isinstance(e, dict) for c in e.get("choices", []) if "delta" in c)


def wait_for(condition, seconds=5, what="condition"):
    until = time.monotonic() + seconds * SLOW
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited %.0f s for %s" % (seconds * SLOW, what))

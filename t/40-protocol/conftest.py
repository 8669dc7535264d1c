# SPDX-License-Identifier: Apache-2.0
"""Starts t/harness/echo_server.c for the protocol stories: the HTTP layer alone, which answers what it understood.

ENTENTE_BUILD names the build folder (default: build). Every test ends with the server alive and, on exit, silent: under a sanitizer
a report is a failure.
"""
import os
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("ENTENTE_BUILD", "build"))

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


class Server:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([program(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        found = re.match(r"listening on 127\.0\.0\.1:(\d+)", line)
        assert found, "echo-server did not start: " + line + self.process.stderr.read().decode()
        self.port = int(found[1])

    def connect(self, timeout=5):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def counts(self):
        """Requests, aborts and pieces that the handler has seen."""
        text = ask(self, b"GET /counts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").partition(b"\r\n\r\n")[2].decode()
        return {name: int(value) for name, value in (line.split() for line in text.splitlines())}

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as f:
            return int(re.search(r"Rss:\s+(\d+)", f.read())[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("echo-server did not drain")
        complaint = self.process.stderr.read().decode()
        assert code == 0 and not complaint, f"echo-server ended with {code}:\n{complaint}"


def program():
    return os.path.join(BUILD, "t/harness/echo-server")


def read_all(s, quiet=5.0):
    """Everything until the server closes; b'...' and how it ended: 'close', 'reset', or 'open' when it fell silent."""
    s.settimeout(quiet)
    got = b""
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                return got, "close"
            got += piece
    except socket.timeout:
        return got, "open"
    except (ConnectionResetError, BrokenPipeError):
        return got, "reset"


def ask(server, request, quiet=5.0):
    with server.connect() as s:
        s.sendall(request)
        return read_all(s, quiet)[0]


def eventually(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def serve(*arguments):
    if not os.path.exists(program()):
        pytest.skip("no echo-server in the build folder: ninja -C build")
    return Server(*arguments)


@pytest.fixture(scope="module")
def server():
    s = serve("--timeout-ms", "1500")
    yield s
    s.stop()


@pytest.fixture
def make_server():
    made = []

    def make(*arguments):
        made.append(serve(*arguments))
        return made[-1]
    yield make
    for s in made:
        s.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key

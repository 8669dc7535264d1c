# SPDX-License-Identifier: Apache-2.0
"""What bench/run and bench/profile stand on: starting a peer, the mock provider and the load, and reading what a
process has used. The gateway under test has core 0 alone; mock and load share core 1. Everything listens on
127.0.0.1, everything started is stopped, and every wait has a limit.
"""
import glob
import json
import os
import random
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

GATE_CORE, LOAD_CORE = "0", "1"
KEY = "bench-key-3f9a6c1de27b"


class Skip(Exception):
    """This peer cannot run here; says why."""


class Rig:
    """One temporary directory, the ports, and the processes that run."""

    def __init__(self, build):
        self.bin = os.path.join(build, "bench")
        self.build = build
        self.dir = tempfile.mkdtemp(prefix="entente-bench-")
        os.chmod(self.dir, 0o755)
        self.mock_port, self.plain_port, self.tls_port = self.free_ports(3)
        self.running = []
        self.durability = "standard"  # of the entente that is started next; "none": without the ledger
        self.raise_files()
        self.make_certificate()

    @staticmethod
    def free_ports(count):
        """Ports of our own, below those that connections leave from, so that two benchmarks never meet."""
        found = []
        for port in random.sample(range(11000, 29000), 200):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    found.append(port)
                except OSError:
                    continue
            if len(found) == count:
                return found
        raise SystemExit("bench: no free ports between 11000 and 29000")

    @staticmethod
    def raise_files():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard != resource.RLIM_INFINITY and hard < 9000:
            raise SystemExit(f"bench: the limit of open files is {hard}; memory with 4,000 connections needs 9,000")

    def make_certificate(self):
        self.cert, self.key = f"{self.dir}/cert.pem", f"{self.dir}/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", self.key, "-out", self.cert],
                       check=True, capture_output=True)
        with open(f"{self.dir}/both.pem", "w") as both:
            both.write(open(self.cert).read() + open(self.key).read())

    def write(self, name, text):
        path = f"{self.dir}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, core, command, env=None, name=None):
        errors = open(f"{self.dir}/{name or os.path.basename(command[0])}.err", "w")
        process = subprocess.Popen(["taskset", "-c", core, *command], stdout=subprocess.PIPE, stderr=errors,
                                   text=True, env={**os.environ, **(env or {})}, start_new_session=True)
        process.errors = errors.name
        errors.close()
        self.running.append(process)
        return process

    def stop(self, process):
        """Asks, then insists; the whole session goes, so that nginx's worker does too."""
        for sig, limit in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
            try:
                os.killpg(process.pid, sig)
                process.wait(limit)
                break
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                break
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        process.stdout.close()
        if process in self.running:
            self.running.remove(process)

    def stop_all(self):
        for process in list(self.running):
            self.stop(process)

    def close(self):
        self.stop_all()
        shutil.rmtree(self.dir, ignore_errors=True)

    def wait_port(self, port, process, limit=10):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return
            except OSError:
                time.sleep(0.02)
        said = open(process.errors).read().strip()[-400:]
        self.stop(process)
        raise Skip(f"did not listen on {port}: {said or 'no message'}")

    def mock(self, *options):
        process = self.start(LOAD_CORE, [f"{self.bin}/mock_provider", "--port", str(self.mock_port), *options])
        self.wait_port(self.mock_port, process)
        if process.poll() is not None:
            raise SystemExit(f"bench: the mock provider ended: {open(process.errors).read().strip()}")
        return process

    def load_command(self, port, *options):
        return [f"{self.bin}/load", "--port", str(port), "--key", KEY, *options]

    def load(self, port, *options, limit=60):
        """Runs the load to its end and returns its report; a run with errors says so in it."""
        process = self.start(LOAD_CORE, self.load_command(port, *options))
        try:
            out, _ = process.communicate(timeout=limit)
            return json.loads(out.splitlines()[-1])
        except (subprocess.TimeoutExpired, IndexError, ValueError):
            return {"failed": f"the load gave no report within {limit} s", "errors": 1, "requests": 0, "chunks": 0}
        finally:
            self.stop(process)

    def measure(self, pid, port, *options, limit=60):
        """As load(); adds what the process pid has run while the load was counting, in "cpu_ns"."""
        process = self.start(LOAD_CORE, self.load_command(port, *options))
        marks = {}
        try:
            end = time.monotonic() + limit
            while time.monotonic() < end and select.select([process.stdout], [], [], limit)[0]:
                line = process.stdout.readline().strip()
                if line in ("warm", "end"):
                    marks[line] = cpu_ns(pid)
                elif line.startswith("{"):
                    return {**json.loads(line), "cpu_ns": marks["end"] - marks["warm"]}
                else:
                    break
            return {"failed": f"the load gave no report within {limit} s", "errors": 1}
        except KeyError:
            return {"failed": "the load did not say when it counted", "errors": 1}
        finally:
            self.stop(process)

    def hold(self, port, *options, limit=40):
        """Starts a load that holds connections; returns when it says how many it holds."""
        process = self.start(LOAD_CORE, self.load_command(port, *options))
        if select.select([process.stdout], [], [], limit)[0]:
            words = process.stdout.readline().split()
            if words[:1] == ["ready"]:
                return process, int(words[1])
        self.stop(process)
        return None, 0


def tree(pid):
    """The process and its children."""
    found = [pid]
    for file in glob.glob(f"/proc/{pid}/task/*/children"):
        for child in open(file).read().split():
            found += tree(int(child))
    return found


def cpu_ns(pid):
    """What all threads of the process and its children have run: nanoseconds, where clock ticks are 10 ms."""
    total = 0
    for member in tree(pid):
        for file in glob.glob(f"/proc/{member}/task/*/schedstat"):
            try:
                total += int(open(file).read().split()[0])
            except OSError:
                pass
    return total


def rss_bytes(pid):
    """Private and shared resident bytes of the process and its children, from smaps_rollup's Rss."""
    total = 0
    for member in tree(pid):
        for line in open(f"/proc/{member}/smaps_rollup"):  # exact; VmRSS of status is off by what each CPU has not handed in yet
            if line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


# ---- the peers -------------------------------------------------------------------------------------------------

NGINX = """
daemon off;
worker_processes 1;
worker_cpu_affinity 01;
worker_rlimit_nofile 20000;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log error;
{user}
events {{ worker_connections 9500; use epoll; multi_accept on; accept_mutex off; }}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_max_body_size 64m;
    client_body_buffer_size 512k;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream mock {{
        server 127.0.0.1:{mock};
        keepalive 4000;
        keepalive_timeout 600s;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        listen 127.0.0.1:{tls} ssl backlog=4096;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_buffer_size 4k;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
            proxy_send_timeout 600s;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 9000
    tune.bufsize 32768
    ssl-default-bind-options ssl-min-ver TLSv1.2
    tune.ssl.cachesize 0
    stats timeout 600s
defaults
    mode http
    option http-no-delay
    http-reuse always
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    timeout http-request 600s
frontend front
    bind 127.0.0.1:{plain} backlog 4096
    bind 127.0.0.1:{tls} ssl crt {dir}/both.pem alpn http/1.1
    default_backend mock
backend mock
    server mock 127.0.0.1:{mock} pool-max-conn -1 pool-purge-delay 600s
"""

ENTENTE = """
listen:
  - 127.0.0.1:{plain}
{tls_listen}data: {data}
durability: {durability}
workers: 1
log: {{level: warn}}
providers:
  mock:
    dialect: openai
    url: http://127.0.0.1:{mock}/v1
    credential: env:MOCK_KEY
models:
  gpt-4o:
    - {{provider: mock, model: gpt-4o}}
keys:
  - {{name: bench, secret: env:BENCH_KEY}}
"""


def names(rig, **more):
    return {"dir": rig.dir, "mock": rig.mock_port, "plain": rig.plain_port, "tls": rig.tls_port, "cert": rig.cert,
            "key": rig.key, "user": "user root;" if os.geteuid() == 0 else "", **more}


def find(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Skip(f"{program} is not installed")
    return path


def start_nginx(rig, tls):
    config = rig.write("nginx.conf", NGINX.format(**names(rig)))
    return rig.start(GATE_CORE, [find("nginx"), "-c", config, "-p", rig.dir, "-e", f"{rig.dir}/nginx.log"])


def start_haproxy(rig, tls):
    config = rig.write("haproxy.cfg", HAPROXY.format(**names(rig)))
    return rig.start(GATE_CORE, [find("haproxy"), "-db", "-f", config])


def start_relay(rig, tls):
    if tls:
        raise Skip("has no TLS")
    return rig.start(GATE_CORE, [f"{rig.bin}/relay", str(rig.plain_port), str(rig.mock_port)])


def start_entente(rig, tls):
    binary = os.path.join(rig.build, "entente")
    if not os.path.exists(binary):
        raise Skip(f"{binary} is not built")
    data = tempfile.mkdtemp(prefix="data-", dir=rig.dir)
    tls_listen = (f"  - {{address: 127.0.0.1:{rig.tls_port}, tls: {{cert: {rig.cert}, key: {rig.key}}}}}\n"
                  if tls else "")
    config = rig.write("entente.yaml", ENTENTE.format(**names(rig, data=data, tls_listen=tls_listen,
                                                                     durability=rig.durability)))
    return rig.start(GATE_CORE, [binary, "serve", "--config", config],
                     env={"MOCK_KEY": "sk-mock", "BENCH_KEY": KEY}, name="entente")


PEERS = {"nginx": start_nginx, "haproxy": start_haproxy, "relay": start_relay, "entente": start_entente}


def start_peer(rig, name, tls=False):
    """Starts a peer and waits until it answers one request; returns the process and the port to ask."""
    process = PEERS[name](rig, tls)
    port = rig.tls_port if tls else rig.plain_port
    rig.wait_port(port, process)
    first = rig.load(port, "--requests", "1", "--connections", "1", "--seconds", "5", *(["--tls"] if tls else []))
    if first["requests"] != 1 or first["errors"]:
        said = open(process.errors).read().strip()[-400:]
        rig.stop(process)
        raise Skip(f"does not answer a chat request with 200: {said or first}")
    return process, port

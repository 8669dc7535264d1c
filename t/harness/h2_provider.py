# SPDX-License-Identifier: Apache-2.0
"""A scripted provider that speaks HTTP/2 (python3-h2), plain by prior knowledge or over TLS by ALPN.

A step is a function of (session, request), run when a request is whole; the last step repeats. session has `answer`, `send`, `reset` and
`goaway`; request is as stories.Request, with its `stream`.
"""
import json
import socket
import threading

import h2.config
import h2.connection
import h2.events
from stories import ANSWER, shut


class Request:
    def __init__(self, stream, headers):
        fields = dict(headers)
        self.stream, self.method, self.target = stream, fields.pop(":method"), fields.pop(":path")
        self.authority, self.headers, self.body = fields.pop(":authority", ""), fields, b""


class Session:
    """One connection. Steps run on its reader's thread; parts that wait are sent by `later`."""

    def __init__(self, connection):
        self.connection, self.requests, self.lock = connection, {}, threading.RLock()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        with self.lock:
            self.connection.sendall(self.h2.data_to_send())

    def head(self, stream, status=200, kind="application/json", end=False, **more):
        with self.lock:
            self.h2.send_headers(stream, [(":status", str(status)), ("content-type", kind)] + list(more.items()), end_stream=end)
            self.flush()

    def send(self, stream, data, end=False):
        with self.lock:
            size = self.h2.max_outbound_frame_size
            for at in range(0, len(data), size):
                self.h2.send_data(stream, data[at:at + size])
            if end:
                self.h2.end_stream(stream)
            self.flush()

    def reset(self, stream, code):
        with self.lock:
            self.h2.reset_stream(stream, code)
            self.flush()

    def goaway(self, last, code=0):
        with self.lock:
            self.h2.close_connection(code, last_stream_id=last)
            self.flush()


def h2_answer(status=200, body=None):
    def step(session, request):
        session.head(request.stream, status)
        session.send(request.stream, json.dumps(ANSWER if body is None else body).encode(), end=True)
    return step


def h2_events(*parts, end=True, then=None):
    def step(session, request):
        session.head(request.stream, kind="text/event-stream")
        for part in parts:
            session.send(request.stream, part)
        if then:
            then(session, request)
        elif end:
            session.send(request.stream, b"", end=True)
    return step


def h2_reset(code):
    return lambda session, request: session.reset(request.stream, code)


def h2_goaway(session, request):
    """This request was not begun."""
    session.goaway(request.stream - 2 if request.stream > 1 else 0)


def h2_wait_for(n, step):
    """Requests are held until n have come; then all are answered."""
    held = []

    def wait(session, request):
        held.append((session, request))
        if len(held) == n:
            for each in held:
                step(*each)
    return wait


class H2Provider:
    def __init__(self, *script, tls=None):
        self.script, self.requests, self.connections, self.resets, self.at = list(script), [], 0, 0, 0
        self.lock, self.tls, self.open = threading.Lock(), tls, set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.url = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.port)
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shut(self.listener)
        with self.lock:
            for c in list(self.open):
                shut(c)

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with self.lock:
                self.open.add(connection)
            session = Session(connection)
            while True:
                data = connection.recv(65536)
                if not data:
                    break
                with session.lock:
                    events = session.h2.receive_data(data)
                    for event in events:
                        self.happened(session, event)
                    session.flush()
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            with self.lock:
                self.open.discard(connection)
            connection.close()

    def happened(self, session, event):
        if isinstance(event, h2.events.RequestReceived):
            session.requests[event.stream_id] = Request(event.stream_id, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            session.requests[event.stream_id].body += event.data
            session.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.resets += 1
        elif isinstance(event, h2.events.StreamEnded):
            with self.lock:
                self.requests.append(session.requests[event.stream_id])
                step = self.script[min(self.at, len(self.script) - 1)]
                self.at += 1
            step(session, session.requests[event.stream_id])

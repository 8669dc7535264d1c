# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by raw frames: what breaks the protocol ends the stream or the connection with the right code, floods end the connection
while others are served, and flow control holds both ways.

A row is a name, the frames to send after the handshake, and the errors that are right. Every connection also has a stream of its
own answered first, so that a server which merely dies does not pass.
"""
import signal
import socket
import ssl
import struct
import time

import hpack
import pytest
from conftest import ask, eventually

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK, PADDED, PRIO = 1, 4, 1, 8, 0x20
NO_ERROR, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, CONNECT, CALM = range(12)
NAMES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
         "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"]


def frame(kind, flags, stream, payload=b"", length=None):
    return struct.pack(">I", len(payload) if length is None else length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(*fields, method="GET", path="/", scheme="http", authority="a", more=()):
    """A header block without the dynamic table, so that rows do not depend on each other."""
    if not fields:
        pseudo = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
        fields = [(n, v) for n, v in pseudo if v is not None] + list(more)
    out = b""
    for name, value in fields:
        name, value = name.encode("latin-1"), value.encode("latin-1")
        out += b"\x00" + integer(len(name)) + name + integer(len(value)) + value
    return out


def integer(n):
    if n < 127:
        return bytes([n])
    out, n = bytes([127]), n - 127
    while n >= 128:
        out, n = out + bytes([n % 128 + 128]), n // 128
    return out + bytes([n])


def request(stream, end=True, **kw):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(**kw))


def fields(stream, *pairs, end=True):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(*pairs))


def setting(identifier, value):
    return struct.pack(">HI", identifier, value)


class Connection:
    def __init__(self, server, settings=b"", tls=None, hello=True):
        self.s = server.connect()
        if tls:
            self.s = tls.wrap_socket(self.s, server_hostname="localhost")
        self.buffer = b""
        self.decoder = hpack.Decoder()
        self.frames, self.headers, self.data, self.resets, self.goaway, self.ended = [], {}, {}, {}, None, set()
        self.open, self.pongs = True, 0
        if hello:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        try:
            self.s.sendall(data)
        except OSError:
            pass

    def take(self, kind, flags, stream, payload):
        self.frames.append((kind, flags, stream, len(payload)))
        if kind == HEADERS:
            self.headers.setdefault(stream, []).append(dict(self.decoder.decode(payload)))
        elif kind == DATA:
            self.data[stream] = self.data.get(stream, b"") + payload
        elif kind == RST:
            self.resets[stream] = struct.unpack(">I", payload)[0]
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">I", payload[4:8])[0]
        elif kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and flags & ACK:
            self.pongs += 1
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)

    def read(self, until, seconds=3.0):
        """Reads frames until the condition holds, the connection ends or time is up; returns whether it holds."""
        end = time.monotonic() + seconds
        while not until(self):
            while len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3], "big"):
                n = int.from_bytes(self.buffer[:3], "big")
                kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
                payload, self.buffer = self.buffer[9:9 + n], self.buffer[9 + n:]
                self.take(kind, flags, stream, payload)
                if until(self):
                    return True
            left = end - time.monotonic()
            if not self.open or left <= 0:
                return until(self)
            self.s.settimeout(left)
            try:
                piece = self.s.recv(65536)
                self.open = bool(piece)
                self.buffer += piece
            except socket.timeout:
                pass
            except OSError:
                self.open = False
        return True

    def answered(self, stream, seconds=3.0):
        return self.read(lambda c: stream in c.ended or stream in c.resets or c.goaway is not None, seconds) and stream in self.ended

    def status(self, stream):
        return self.headers[stream][-1][":status"]

    def close(self):
        self.s.close()


@pytest.fixture
def connection(server):
    made = []

    def make(**kw):
        made.append(Connection(server, **kw))
        return made[-1]
    yield make
    for c in made:
        c.close()


def hash_of(fields_list):
    return hpack.Encoder().encode(fields_list)


OK4 = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
BIG = b"x" * 16385

# name, frames (stream 1 was answered already), codes that are right; the error may be the stream's or the connection's
STREAM_ERRORS = [
    ("upper-case name", fields(3, *OK4, ("X-Big", "y")), {PROTOCOL}),
    ("empty name", fields(3, *OK4, ("", "y")), {PROTOCOL}),
    ("space in a name", fields(3, *OK4, ("x y", "z")), {PROTOCOL}),
    ("colon in a name", fields(3, *OK4, ("x:y", "z")), {PROTOCOL}),
    ("control character in a name", fields(3, *OK4, ("x\x01", "z")), {PROTOCOL}),
    ("high byte in a name", fields(3, *OK4, ("x\xe9", "z")), {PROTOCOL}),
    ("CR in a value", fields(3, *OK4, ("x", "a\rb")), {PROTOCOL}),
    ("LF in a value", fields(3, *OK4, ("x", "a\nb")), {PROTOCOL}),
    ("NUL in a value", fields(3, *OK4, ("x", "a\0b")), {PROTOCOL}),
    ("space before a value", fields(3, *OK4, ("x", " a")), {PROTOCOL}),
    ("space after a value", fields(3, *OK4, ("x", "a ")), {PROTOCOL}),
    ("unknown pseudo field", fields(3, *OK4, (":what", "y")), {PROTOCOL}),
    (":status in a request", fields(3, *OK4, (":status", "200")), {PROTOCOL}),
    (":protocol without the setting", fields(3, (":method", "CONNECT"), (":protocol", "websocket"), *OK4[1:]), {PROTOCOL}),
    ("pseudo field after a field", fields(3, OK4[0], OK4[1], ("x", "y"), OK4[2], OK4[3]), {PROTOCOL}),
    ("no :method", fields(3, *OK4[1:]), {PROTOCOL}),
    ("no :scheme", fields(3, OK4[0], *OK4[2:]), {PROTOCOL}),
    ("no :path", fields(3, *OK4[:2], OK4[3]), {PROTOCOL}),
    ("two :method", fields(3, OK4[0], *OK4), {PROTOCOL}),
    ("two :scheme", fields(3, OK4[1], *OK4), {PROTOCOL}),
    ("two :path", fields(3, OK4[2], *OK4), {PROTOCOL}),
    ("two :authority", fields(3, OK4[3], *OK4), {PROTOCOL}),
    ("empty :path", request(3, path=""), {PROTOCOL}),
    ("relative :path", request(3, path="a"), {PROTOCOL}),
    ("asterisk :path with GET", request(3, path="*"), {PROTOCOL}),
    ("absolute :path", request(3, path="http://a/"), {PROTOCOL}),
    ("empty :method", request(3, method=""), {PROTOCOL}),
    ("space in :method", request(3, method="GET /x HTTP/1.1"), {PROTOCOL}),
    ("bad :scheme", request(3, scheme="ftp"), {PROTOCOL}),
    ("empty :scheme", request(3, scheme=""), {PROTOCOL}),
    ("empty :authority", request(3, authority=""), {PROTOCOL}),
    ("user in :authority", request(3, authority="u@a"), {PROTOCOL}),
    ("path in :authority", request(3, authority="a/b"), {PROTOCOL}),
    ("space in :authority", request(3, authority="a b"), {PROTOCOL}),
    ("another Host than :authority", request(3, more=[("host", "b")]), {PROTOCOL}),
    ("no authority at all", request(3, authority=None), {PROTOCOL}),
    ("two Hosts", request(3, authority=None, more=[("host", "a"), ("host", "a")]), {PROTOCOL}),
    ("Connection", request(3, more=[("connection", "close")]), {PROTOCOL}),
    ("Keep-Alive", request(3, more=[("keep-alive", "timeout=5")]), {PROTOCOL}),
    ("Proxy-Connection", request(3, more=[("proxy-connection", "close")]), {PROTOCOL}),
    ("Transfer-Encoding", request(3, more=[("transfer-encoding", "chunked")]), {PROTOCOL}),
    ("Upgrade", request(3, more=[("upgrade", "h2c")]), {PROTOCOL}),
    ("TE other than trailers", request(3, more=[("te", "gzip")]), {PROTOCOL}),
    ("CONNECT with :path", fields(3, (":method", "CONNECT"), (":path", "/"), (":authority", "a:1")), {PROTOCOL}),
    ("Content-Length with less data", request(3, end=False, more=[("content-length", "5")]) + frame(DATA, END_STREAM, 3, b"abc"), {PROTOCOL}),
    ("Content-Length with more data", request(3, end=False, more=[("content-length", "2")]) + frame(DATA, END_STREAM, 3, b"abc"), {PROTOCOL}),
    ("Content-Length over several frames", request(3, end=False, more=[("content-length", "5")]) + frame(DATA, 0, 3, b"abc") + frame(DATA, END_STREAM, 3, b"abc"), {PROTOCOL}),
    ("Content-Length without data", request(3, more=[("content-length", "5")]), {PROTOCOL}),
    ("two Content-Lengths", request(3, end=False, more=[("content-length", "3"), ("content-length", "3")]) + frame(DATA, END_STREAM, 3, b"abc"), {PROTOCOL}),
    ("Content-Length that is no number", request(3, end=False, more=[("content-length", "+3")]) + frame(DATA, END_STREAM, 3, b"abc"), {PROTOCOL}),
    ("pseudo field in trailers", request(3, end=False) + fields(3, (":path", "/")), {PROTOCOL}),
    ("trailers that do not end the stream", request(3, end=False) + fields(3, ("x", "y"), end=False), {PROTOCOL}),
    ("Host in trailers", request(3, end=False) + fields(3, ("host", "b")), {PROTOCOL}),
    ("upper-case name in trailers", request(3, end=False) + fields(3, ("X", "b")), {PROTOCOL}),
    ("DATA after the end of the stream", request(3, path="/later/300") + frame(DATA, 0, 3, b"x"), {CLOSED}),
    ("HEADERS after the end of the stream", request(3, path="/later/300") + request(3), {CLOSED, PROTOCOL}),
    ("WINDOW_UPDATE of nought", request(3, path="/later/300") + frame(WINDOW, 0, 3, struct.pack(">I", 0)), {PROTOCOL}),
    ("WINDOW_UPDATE over 2^31-1", request(3, path="/later/300") + frame(WINDOW, 0, 3, struct.pack(">I", 0x7fffffff)), {FLOW}),
    ("INITIAL_WINDOW_SIZE that overflows a stream", request(3, path="/later/300") + frame(WINDOW, 0, 3, struct.pack(">I", 0x7fff0000)) + frame(SETTINGS, 0, 0, setting(4, 0x7fffffff)), {FLOW}),
    ("a stream that depends on itself", frame(HEADERS, END_HEADERS | END_STREAM | PRIO, 3, struct.pack(">IB", 3, 1) + block()), {PROTOCOL}),
    ("PRIORITY of five and one bytes", frame(PRIORITY, 0, 3, b"\0" * 6), {SIZE}),
]

CONNECTION_ERRORS = [
    ("DATA on stream 0", frame(DATA, 0, 0, b"x"), {PROTOCOL}),
    ("HEADERS on stream 0", frame(HEADERS, END_HEADERS, 0, block()), {PROTOCOL}),
    ("PRIORITY on stream 0", frame(PRIORITY, 0, 0, b"\0" * 5), {PROTOCOL}),
    ("RST_STREAM on stream 0", frame(RST, 0, 0, b"\0" * 4), {PROTOCOL}),
    ("CONTINUATION on stream 0", frame(CONTINUATION, END_HEADERS, 0, b""), {PROTOCOL}),
    ("SETTINGS on a stream", frame(SETTINGS, 0, 1, b""), {PROTOCOL}),
    ("PING on a stream", frame(PING, 0, 1, b"\0" * 8), {PROTOCOL}),
    ("GOAWAY on a stream", frame(GOAWAY, 0, 1, b"\0" * 8), {PROTOCOL}),
    ("PUSH_PROMISE from a client", frame(PUSH, END_HEADERS, 3, b"\0\0\0\2" + block()), {PROTOCOL}),
    ("DATA on an idle stream", frame(DATA, 0, 5, b"x"), {PROTOCOL, CLOSED}),
    ("RST_STREAM on an idle stream", frame(RST, 0, 5, b"\0" * 4), {PROTOCOL}),
    ("WINDOW_UPDATE on an idle stream", frame(WINDOW, 0, 5, b"\0\0\0\1"), {PROTOCOL}),
    ("CONTINUATION without HEADERS", frame(CONTINUATION, END_HEADERS, 3, block()), {PROTOCOL}),
    ("CONTINUATION after END_HEADERS", request(3) + frame(CONTINUATION, END_HEADERS, 3, b""), {PROTOCOL, CLOSED}),
    ("CONTINUATION of another stream", frame(HEADERS, 0, 3, block()) + frame(CONTINUATION, END_HEADERS, 5, b""), {PROTOCOL}),
    ("DATA inside a header block", frame(HEADERS, 0, 3, block()) + frame(DATA, 0, 1, b""), {PROTOCOL, CLOSED}),
    ("PING inside a header block", frame(HEADERS, 0, 3, block()) + frame(PING, 0, 0, b"\0" * 8), {PROTOCOL}),
    ("unknown frame inside a header block", frame(HEADERS, 0, 3, block()) + frame(0xee, 0, 3, b""), {PROTOCOL}),
    ("stream of an even number", request(2), {PROTOCOL}),
    ("stream of a smaller number", request(7) + request(5), {PROTOCOL}),
    ("HEADERS on a stream that ended", request(1), {CLOSED, PROTOCOL}),
    ("DATA on a stream that ended", frame(DATA, END_STREAM, 1, b"x"), {CLOSED}),
    ("HEADERS on a stream that the client reset", request(3, end=False) + frame(RST, 0, 3, b"\0\0\0\x08") + request(3), {CLOSED, PROTOCOL}),
    ("DATA on a stream that the client reset", request(3, end=False) + frame(RST, 0, 3, b"\0\0\0\x08") + frame(DATA, 0, 3, b"x"), {CLOSED}),
    ("padding longer than DATA", request(3, end=False) + frame(DATA, PADDED, 3, b"\x05abc"), {PROTOCOL}),
    ("padding longer than HEADERS", frame(HEADERS, PADDED | END_HEADERS, 3, b"\xff" + block()), {PROTOCOL}),
    ("padded DATA without a length", request(3, end=False) + frame(DATA, PADDED, 3, b""), {PROTOCOL, SIZE}),
    ("frame over the maximum size", request(3, end=False) + frame(DATA, 0, 3, BIG), {SIZE}),
    ("header block over the maximum size", frame(HEADERS, END_HEADERS, 3, BIG), {SIZE}),
    ("SETTINGS of seven bytes", frame(SETTINGS, 0, 0, b"\0" * 7), {SIZE}),
    ("SETTINGS ACK with a payload", frame(SETTINGS, ACK, 0, setting(1, 1)), {SIZE}),
    ("PING of seven bytes", frame(PING, 0, 0, b"\0" * 7), {SIZE}),
    ("RST_STREAM of three bytes", request(3, path="/later/300") + frame(RST, 0, 3, b"\0" * 3), {SIZE}),
    ("WINDOW_UPDATE of three bytes", frame(WINDOW, 0, 0, b"\0" * 3), {SIZE}),
    ("GOAWAY of seven bytes", frame(GOAWAY, 0, 0, b"\0" * 7), {SIZE}),
    ("WINDOW_UPDATE of nought on the connection", frame(WINDOW, 0, 0, b"\0" * 4), {PROTOCOL}),
    ("WINDOW_UPDATE over 2^31-1 on the connection", frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), {FLOW}),
    ("ENABLE_PUSH of two", frame(SETTINGS, 0, 0, setting(2, 2)), {PROTOCOL}),
    ("INITIAL_WINDOW_SIZE over 2^31-1", frame(SETTINGS, 0, 0, setting(4, 0x80000000)), {FLOW}),
    ("MAX_FRAME_SIZE under 16384", frame(SETTINGS, 0, 0, setting(5, 16383)), {PROTOCOL}),
    ("MAX_FRAME_SIZE over 2^24-1", frame(SETTINGS, 0, 0, setting(5, 1 << 24)), {PROTOCOL}),
    ("index 0 of the table", frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x80"), {COMPRESSION}),
    ("index beyond the table", frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\xff\x80\x01"), {COMPRESSION}),
    ("table size over the setting", frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x3f\xe2\x1f" + block()), {COMPRESSION}),
    ("table size after a field", frame(HEADERS, END_HEADERS | END_STREAM, 3, block() + b"\x20"), {COMPRESSION}),
    ("integer without end", frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x7f" + b"\xff" * 12), {COMPRESSION}),
    ("Huffman padding over seven bits", frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x00\x82\xff\xff\x01a"), {COMPRESSION}),
    ("Huffman with EOS", frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x00\x84\xff\xff\xff\xff\x01a"), {COMPRESSION}),
    ("string longer than the block", frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x00\x7fab"), {COMPRESSION, PROTOCOL}),
]


def names(codes):
    return [NAMES[c] if c is not None and c < len(NAMES) else c for c in codes]


@pytest.mark.parametrize("frames,codes", [pytest.param(f, c, id=n) for n, f, c in STREAM_ERRORS])
def test_malformed_requests_end_their_stream(server, connection, frames, codes):
    before = server.counts()["requests"]
    c = connection()
    c.send(request(1))
    assert c.answered(1)
    c.send(frames)
    assert c.read(lambda c: 3 in c.resets or c.goaway is not None), "nothing was said"
    got = c.resets.get(3, c.goaway)
    assert got in codes, names([got])
    assert c.goaway is None or b"later" in frames or not c.data.get(3)
    later = b"/later" in frames
    assert eventually(lambda: server.counts()["requests"] <= before + 1 + later)


@pytest.mark.parametrize("frames,codes", [pytest.param(f, c, id=n) for n, f, c in CONNECTION_ERRORS])
def test_broken_framing_ends_the_connection(connection, frames, codes):
    c = connection()
    c.send(request(1))
    assert c.answered(1)
    c.send(frames)
    assert c.read(lambda c: c.goaway is not None), "no GOAWAY; resets: %s" % c.resets
    assert c.goaway in codes, names([c.goaway])
    assert c.read(lambda c: not c.open, 4), "the connection stays open after GOAWAY"


ACCEPTED = [
    ("padded HEADERS", frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 3, b"\x03" + block() + b"\0\0\0"), b"path /\n"),
    ("HEADERS with priority", frame(HEADERS, END_HEADERS | END_STREAM | PRIO, 3, struct.pack(">IB", 1, 9) + block()), b"path /\n"),
    ("CONTINUATION", frame(HEADERS, END_STREAM, 3, block()[:9]) + frame(CONTINUATION, 0, 3, block()[9:12]) + frame(CONTINUATION, END_HEADERS, 3, block()[12:]), b"path /\n"),
    ("padded DATA", request(3, end=False) + frame(DATA, PADDED | END_STREAM, 3, b"\x02hi\0\0"), b"body 2\nhi"),
    ("an empty DATA frame", request(3, end=False) + frame(DATA, END_STREAM, 3), b"body 0\n"),
    ("trailers", request(3, end=False) + frame(DATA, 0, 3, b"hi") + fields(3, ("x-sum", "1")), b"body 2\nhi"),
    ("Content-Length that is right", request(3, end=False, more=[("content-length", "2")]) + frame(DATA, END_STREAM, 3, b"hi"), b"body 2\nhi"),
    ("an unknown frame", frame(0xbe, 0xff, 0, b"hello") + request(3), b"path /\n"),
    ("an unknown setting", frame(SETTINGS, 0, 0, setting(0xff, 1)) + request(3), b"path /\n"),
    ("PRIORITY on an idle stream", frame(PRIORITY, 0, 9, struct.pack(">IB", 3, 9)) + request(3), b"path /\n"),
    ("reserved bit of the stream", frame(HEADERS, END_HEADERS | END_STREAM, 3 | 1 << 31, block()), b"path /\n"),
    ("TE: trailers", request(3, more=[("te", "trailers")]), b"header te: trailers\n"),
    ("Host and no :authority", request(3, authority=None, more=[("host", "b")]), b"authority b\n"),
    ("Host like :authority", request(3, more=[("host", "a")]), b"authority a\n"),
    ("OPTIONS *", request(3, method="OPTIONS", path="*"), b"target *\n"),
    ("cookie crumbs", request(3, more=[("cookie", "a=b"), ("cookie", "c=d")]), b"header cookie: c=d\n"),
    ("a Huffman-coded block", frame(HEADERS, END_HEADERS | END_STREAM, 3, hash_of(OK4 + [("x-name", "value of it")])), b"header x-name: value of it\n"),
    ("GOAWAY from the client, then its last stream", request(3, path="/later/100") + frame(GOAWAY, 0, 0, b"\0" * 8), b"path /later/100\n"),
]


@pytest.mark.parametrize("frames,expected", [pytest.param(f, e, id=n) for n, f, e in ACCEPTED])
def test_what_the_protocol_allows_is_served(connection, frames, expected):
    c = connection()
    c.send(request(1))
    assert c.answered(1)
    c.send(frames)
    assert c.answered(3), (c.resets, c.goaway)
    assert c.status(3) == "200" and expected in c.data[3]


ANSWERED = [
    ("fragment in :path", request(3, path="/a#b"), "400"),
    ("high byte in :path", request(3, path="/\xe9"), "400"),
    ("a :path of 10,000 bytes", request(3, path="/" + "a" * 10000), "414"),
    ("CONNECT", fields(3, (":method", "CONNECT"), (":authority", "a:443")), "501"),
    ("two hundred fields", request(3, more=[("x", "y")] * 200), "431"),
    ("an expectation", request(3, more=[("expect", "x")]), "417"),
    ("refused by the handler", request(3, path="/refuse"), "404"),
    ("a declared body over the limit", request(3, end=False, more=[("content-length", "99999999")]), "413"),
    ("an unknown content coding", request(3, end=False, more=[("content-encoding", "x")]) + frame(DATA, END_STREAM, 3, b"x"), "415"),
]


@pytest.mark.parametrize("frames,status", [pytest.param(f, s, id=n) for n, f, s in ANSWERED])
def test_refusals_are_answers(connection, frames, status):
    c = connection()
    c.send(request(1))
    assert c.answered(1)
    c.send(frames)
    assert c.answered(3), (c.resets, c.goaway)
    assert c.status(3) == status and c.data[3]
    c.send(request(5))
    assert c.answered(5), "the connection must go on"


def test_a_head_over_the_limit_is_told_431(connection):
    c = connection()
    pieces = block(more=[("x", "y" * 4000)] * 20)
    head = frame(HEADERS, END_STREAM, 1, pieces[:16000])
    rest = [pieces[i:i + 16000] for i in range(16000, len(pieces), 16000)]
    c.send(head + b"".join(frame(CONTINUATION, END_HEADERS if p is rest[-1] else 0, 1, p) for p in rest))
    assert c.answered(1) and c.status(1) == "431"


def test_continue_is_sent_before_the_body(connection):
    c = connection()
    c.send(request(1, end=False, method="POST", more=[("expect", "100-continue"), ("content-length", "2")]))
    assert c.read(lambda c: 1 in c.headers) and c.status(1) == "100"
    c.send(frame(DATA, END_STREAM, 1, b"hi"))
    assert c.answered(1) and c.status(1) == "200"


def test_head_has_no_body(connection):
    c = connection()
    c.send(request(1, method="HEAD") + request(3, method="HEAD", path="/stream/3/3/1"))
    assert c.answered(1) and c.answered(3)
    assert int(c.headers[1][0]["content-length"]) > 0 and not c.data.get(1) and not c.data.get(3)


def test_a_body_over_the_limit_is_told_413_in_the_middle(connection):
    c = connection()
    c.send(request(1, end=False, method="POST"))
    for _ in range(70):
        c.send(frame(DATA, 0, 1, b"x" * 16000))
        c.read(lambda c: 1 in c.ended, 0.001)
    assert c.answered(1) and c.status(1) == "413"
    assert c.read(lambda c: 1 in c.resets) and c.resets[1] == NO_ERROR


def test_a_broken_answer_is_a_reset(connection):
    c = connection()
    c.send(request(1, path="/break/3"))
    assert c.read(lambda c: 1 in c.resets)
    assert c.resets[1] == INTERNAL and 1 not in c.ended and c.data[1] == b"x" * 30


def test_sixty_streams_at_once_are_answered(connection):
    c = connection()
    c.send(b"".join(request(i, path="/stream/5/50/5") for i in range(1, 121, 2)))
    assert all(c.answered(i) for i in range(1, 121, 2))
    assert all(c.data[i] == b"x" * 250 for i in range(1, 121, 2))


def test_streams_over_the_maximum_are_refused(connection):
    c = connection()
    assert c.read(lambda c: any(k == SETTINGS and f & ACK for k, f, *_ in c.frames))
    c.send(b"".join(request(i, path="/later/400") for i in range(1, 2 * 140, 2)))
    assert c.read(lambda c: len(c.resets) == 12 or c.goaway is not None)
    assert c.goaway == PROTOCOL or set(c.resets.values()) == {REFUSED}


# ---- flow control ----

def test_an_answer_waits_for_the_window(connection):
    c = connection(settings=setting(4, 10))
    c.send(request(1))
    assert c.read(lambda c: len(c.data.get(1, b"")) == 10)
    assert not c.answered(1, 0.2)
    c.send(frame(WINDOW, 0, 1, struct.pack(">I", 100000)))
    assert c.answered(1) and b"path /" in c.data[1]


def test_the_receive_window_opens_as_the_body_is_taken(connection):
    c = connection()
    c.send(request(1, end=False, method="POST", path="/pieces"))
    sent = 0
    c.read(lambda c: any(k == WINDOW for k, *_ in c.frames))
    while sent < 900000:
        c.send(frame(DATA, 0, 1, b"x" * 15000))
        sent += 15000
        c.read(lambda c: c.goaway is not None, 0.002)
    c.send(frame(DATA, END_STREAM, 1))
    assert c.answered(1) and b"body 900000 in pieces" in c.data[1]


def test_a_body_beyond_the_window_is_a_flow_control_error(make_server):
    server = make_server("--body-max", "10000000")
    c = Connection(server)
    c.send(b"".join(request(i, end=False, method="POST") for i in range(1, 20, 2)))
    c.send(b"".join(frame(DATA, 0, 1, b"x" * 16384) for _ in range(200)))
    c.read(lambda c: c.goaway is not None or 1 in c.resets, 1)
    assert c.goaway in (None, FLOW) and c.resets.get(1, FLOW) == FLOW
    c.close()


def test_a_window_kept_shut_costs_the_stream(server, connection):
    aborts = server.counts()["aborts"]
    c = connection(settings=setting(4, 0))
    c.send(request(1, path="/stream/100000/60000/0"))
    assert c.read(lambda c: 1 in c.resets or c.goaway is not None, 6)
    assert eventually(lambda: server.counts()["aborts"] > aborts)


def test_a_slow_reader_slows_the_source_not_the_memory(server, connection):
    before = server.rss_kib()
    c = connection(settings=setting(4, 1 << 20))
    c.send(request(1, path="/stream/2000/65536/0"))
    time.sleep(0.5)
    assert server.rss_kib() - before < 16384
    done = 0
    while c.read(lambda c: 1 in c.ended or len(c.data.get(1, b"")) > 30000, 5) and 1 not in c.ended:
        n, c.data[1] = len(c.data[1]), b""
        done += n
        c.send(frame(WINDOW, 0, 0, struct.pack(">I", n)) + frame(WINDOW, 0, 1, struct.pack(">I", n)))
    assert done + len(c.data[1]) == 2000 * 65536


# ---- clients that leave ----

@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_leaves_is_noticed(server, connection, how):
    aborts = server.counts()["aborts"]
    c = connection()
    c.send(request(1, path="/later/60000"))
    c.send(request(3, path="/stream/1000/10/1000"))
    assert c.read(lambda c: 3 in c.data)
    if how == "reset":
        c.send(frame(RST, 0, 1, struct.pack(">I", CANCEL)) + frame(RST, 0, 3, struct.pack(">I", CANCEL)))
    else:
        c.close()
    assert eventually(lambda: server.counts()["aborts"] == aborts + 2)


# ---- floods: each is legal frame by frame ----

def flood_rapid_reset(n):
    return b"".join(request(i, path="/later/1000") + frame(RST, 0, i, struct.pack(">I", CANCEL)) for i in range(1, 2 * n, 2))


def flood_made_reset(n):
    """The client makes the server reset: a window update of nought on each stream."""
    return b"".join(request(i, path="/later/1000") + frame(WINDOW, 0, i, b"\0" * 4) for i in range(1, 2 * n, 2))


FLOODS = [
    ("rapid reset", flood_rapid_reset(3000)),
    ("resets that the server is made to send", flood_made_reset(3000)),
    ("malformed requests", b"".join(request(i, path="") for i in range(1, 6000, 2))),
    ("SETTINGS", frame(SETTINGS, 0, 0, setting(3, 100)) * 20000),
    ("empty SETTINGS", frame(SETTINGS, 0, 0) * 20000),
    ("PING", frame(PING, 0, 0, b"12345678") * 20000),
    ("PRIORITY", b"".join(frame(PRIORITY, 0, 1 + 2 * (i % 1000), struct.pack(">IB", 0, i % 256)) for i in range(20000))),
    ("WINDOW_UPDATE on the connection", frame(WINDOW, 0, 0, b"\0\0\0\1") * 20000),
    ("WINDOW_UPDATE on a stream", request(1, path="/later/1000") + frame(WINDOW, 0, 1, b"\0\0\0\1") * 20000),
    ("empty DATA", request(1, end=False) + frame(DATA, 0, 1) * 20000),
    ("padded DATA of nothing", request(1, end=False) + frame(DATA, PADDED, 1, b"\0") * 100000),
    ("unknown frames", frame(0xee, 0, 0, b"x") * 20000),
    ("CONTINUATION", frame(HEADERS, END_STREAM, 1, block()) + frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y") * 20000),
    ("empty CONTINUATION", frame(HEADERS, END_STREAM, 1, block()) + frame(CONTINUATION, 0, 1) * 20000),
    ("a header bomb", b"".join(
        frame(HEADERS, END_HEADERS | END_STREAM, i, (b"\x40\x01x" + integer(4000) + b"y" * 4000 if i == 1 else b"") + b"\xbe" * 12000) for i in range(1, 800, 2))),
]


@pytest.mark.parametrize("frames", [pytest.param(f, id=n) for n, f in FLOODS])
def test_floods_end_the_connection_and_others_are_served(make_server, frames):
    server = make_server("--timeout-ms", "5000")
    before = server.rss_kib()
    c = Connection(server)
    c.s.settimeout(10)
    c.send(frames)
    slowest = 0.0
    for _ in range(5):
        began = time.monotonic()
        assert ask(server, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        slowest = max(slowest, time.monotonic() - began)
    assert c.read(lambda c: c.goaway is not None or not c.open, 5), "the flood goes on"
    assert c.goaway in (None, CALM, PROTOCOL, COMPRESSION, FLOW), names([c.goaway])
    assert slowest < 1.0
    assert server.rss_kib() - before < 32 * 1024
    c.close()


def test_a_flood_of_pings_that_are_not_read_is_bounded(make_server):
    server = make_server("--timeout-ms", "2000")
    before = server.rss_kib()
    s = server.connect()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(1)
    s.sendall(PREFACE + frame(SETTINGS, 0, 0))
    try:
        for _ in range(1000):
            s.sendall(frame(PING, 0, 0, b"12345678") * 1000)
    except OSError:
        pass
    assert server.rss_kib() - before < 16 * 1024
    s.close()


def test_a_head_that_never_ends_is_given_up(server, connection):
    c = connection()
    c.send(frame(HEADERS, END_STREAM, 1, block()))
    assert c.read(lambda c: c.goaway is not None, 6)


def test_a_body_that_never_ends_is_told_408(connection):
    c = connection()
    c.send(request(1, end=False, method="POST"))
    assert c.answered(1, 6) and c.status(1) == "408"


def test_an_idle_connection_gets_goaway(make_server):
    server = make_server("--timeout-ms", "100")
    c = Connection(server)
    assert c.read(lambda c: c.goaway is not None, 5) and c.goaway == NO_ERROR
    c.close()


def test_draining_finishes_the_streams_that_were_begun(make_server):
    server = make_server()
    c = Connection(server)
    c.send(request(1, path="/later/600"))
    time.sleep(0.2)
    server.process.send_signal(signal.SIGTERM)
    assert c.read(lambda c: c.goaway is not None) and c.goaway == NO_ERROR
    assert c.read(lambda c: 1 in c.ended) and c.status(1) == "200"
    assert c.read(lambda c: not c.open, 6)


# ---- how HTTP/2 is begun ----

def context():
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    return c


@pytest.mark.parametrize("alpn", [["h2"], ["h2", "http/1.1"], None])
def test_over_tls_by_alpn_or_by_the_preface(make_server, certificate, alpn):
    server = make_server("--tls", *certificate)
    tls = context()
    if alpn:
        tls.set_alpn_protocols(alpn)
    c = Connection(server, tls=tls)
    c.send(request(1, scheme="https"))
    assert c.answered(1) and b"version 20" in c.data[1]
    c.close()


def test_http1_over_tls_when_alpn_says_so(make_server, certificate):
    server = make_server("--tls", *certificate)
    tls = context()
    tls.set_alpn_protocols(["http/1.1"])
    with tls.wrap_socket(server.connect()) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = b""
        while piece := s.recv(65536):
            got += piece
    assert got.count(b"HTTP/1.1 200 OK") == 3


def test_h2_over_tls_without_its_preface_ends_the_connection(make_server, certificate):
    server = make_server("--tls", *certificate)
    tls = context()
    tls.set_alpn_protocols(["h2"])
    c = Connection(server, tls=tls, hello=False)
    c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    c.read(lambda c: not c.open, 5)
    assert not c.open and b"HTTP/1.1 200" not in c.buffer
    c.close()


@pytest.mark.parametrize("step", [1, 3, 11])
def test_the_preface_may_trickle_in(server, step):
    c = Connection(server, hello=False)
    start = PREFACE + frame(SETTINGS, 0, 0) + request(1)
    for i in range(0, len(start), step):
        c.send(start[i:i + step])
        time.sleep(0.001)
    assert c.answered(1)
    c.close()

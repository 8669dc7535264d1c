# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 by raw bytes: what a server in front of other servers must refuse, and what it must not.

A row is a name, the bytes, the statuses that are right, and whether the connection must be closed after. Behind every refused
request hides a second one ("GET /hidden"); whoever serves it has been smuggled past.
"""
import gzip
import re
import signal
import socket
import time

import pytest
from conftest import ask, eventually, read_all

H = b"Host: a\r\n"
GET = b"GET / HTTP/1.1\r\n" + H
POST = b"POST / HTTP/1.1\r\n" + H
TE = b"Transfer-Encoding: "
CL = b"Content-Length: "
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
END = b"0\r\n\r\n"


def post(*lines, body=b""):
    return POST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunked(body):
    return post(TE + b"chunked", body=body)


def line(text):
    return text + b"\r\n" + H + b"\r\n"


# name, bytes, statuses
REFUSED = [
    # the request line
    ("bare LF ends the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", {400}),
    ("bare LF ends every line", b"GET / HTTP/1.1\nHost: a\n\n", {400}),
    ("bare CR ends the request line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", {400}),
    ("two empty lines before", b"\r\n\r\n" + GET + b"\r\n", {400}),
    ("LF before", b"\n" + GET + b"\r\n", {400}),
    ("space before the method", line(b" GET / HTTP/1.1"), {400}),
    ("two spaces before the target", line(b"GET  / HTTP/1.1"), {400}),
    ("two spaces before the version", line(b"GET /  HTTP/1.1"), {400}),
    ("space after the version", line(b"GET / HTTP/1.1 "), {400}),
    ("tab for space", line(b"GET\t/\tHTTP/1.1"), {400}),
    ("vertical tab for space", line(b"GET\x0b/ HTTP/1.1"), {400}),
    ("form feed in the line", line(b"GET /\x0c HTTP/1.1"), {400}),
    ("NUL in the line", line(b"GET /\x00 HTTP/1.1"), {400}),
    ("NUL in the method", line(b"G\x00ET / HTTP/1.1"), {400}),
    ("method with @", line(b"G@T / HTTP/1.1"), {400}),
    ("method with colon", line(b"GET: / HTTP/1.1"), {400}),
    ("method with bracket", line(b"GE[T / HTTP/1.1"), {400}),
    ("method with high byte", line(b"G\xc9T / HTTP/1.1"), {400}),
    ("no method", line(b"/ HTTP/1.1"), {400}),
    ("method alone", b"GET\r\n", {400}),
    ("no version: HTTP/0.9", b"GET /\r\n", {400, 505}),
    ("no version, with header", line(b"GET /"), {400, 505}),
    ("lower-case version", line(b"GET / http/1.1"), {400, 505}),
    ("version without minor", line(b"GET / HTTP/1"), {400, 505}),
    ("version with empty minor", line(b"GET / HTTP/1."), {400, 505}),
    ("version with two-digit minor", line(b"GET / HTTP/1.10"), {400, 505}),
    ("version with leading zero", line(b"GET / HTTP/01.1"), {400, 505}),
    ("version with sign", line(b"GET / HTTP/+1.1"), {400, 505}),
    ("version with letter", line(b"GET / HTTP/1.x"), {400, 505}),
    ("version with space inside", line(b"GET / HTTP /1.1"), {400, 505}),
    ("another protocol", line(b"GET / RTSP/1.0"), {400, 505}),
    ("HTTP/2.0 as text", line(b"GET / HTTP/2.0"), {505}),
    ("HTTP/3.0 as text", line(b"GET / HTTP/3.0"), {505}),
    ("HTTP/0.9 as text", line(b"GET / HTTP/0.9"), {505}),
    ("a broken preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", {400, 505}),
    ("a TLS hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", {400}),
    # the target
    ("fragment in the target", line(b"GET /a#b HTTP/1.1"), {400}),
    ("raw UTF-8 in the target", line("GET /é HTTP/1.1".encode()), {400}),
    ("DEL in the target", line(b"GET /\x7f HTTP/1.1"), {400}),
    ("backslash in the target", line(b"GET /a\\b HTTP/1.1"), {400}),
    ("angle brackets in the target", line(b"GET /<x> HTTP/1.1"), {400}),
    ("double quote in the target", line(b'GET /"x HTTP/1.1'), {400}),
    ("caret in the target", line(b"GET /^ HTTP/1.1"), {400}),
    ("braces in the target", line(b"GET /{x} HTTP/1.1"), {400}),
    ("pipe in the target", line(b"GET /a|b HTTP/1.1"), {400}),
    ("percent alone", line(b"GET /% HTTP/1.1"), {400}),
    ("percent and one digit", line(b"GET /%4 HTTP/1.1"), {400}),
    ("percent and no digits", line(b"GET /%zz HTTP/1.1"), {400}),
    ("escaped NUL", line(b"GET /a%00b HTTP/1.1"), {400}),
    ("relative target", line(b"GET a HTTP/1.1"), {400}),
    ("query alone as target", line(b"GET ?a HTTP/1.1"), {400}),
    ("asterisk with GET", line(b"GET * HTTP/1.1"), {400}),
    ("asterisk with POST", line(b"POST * HTTP/1.1"), {400}),
    ("asterisk and more", line(b"OPTIONS *x HTTP/1.1"), {400}),
    ("authority form with GET", line(b"GET a:80 HTTP/1.1"), {400}),
    ("ftp URL", line(b"GET ftp://a/ HTTP/1.1"), {400}),
    ("URL without host", line(b"GET http:///a HTTP/1.1"), {400}),
    ("URL with port alone", line(b"GET http://:80/ HTTP/1.1"), {400}),
    ("URL with user", line(b"GET http://u:p@a/ HTTP/1.1"), {400}),
    ("URL with bad port", line(b"GET http://a:99999/ HTTP/1.1"), {400}),
    ("URL of another host than Host", line(b"GET http://b/ HTTP/1.1"), {400}),
    ("URL of another port than Host", line(b"GET http://a:8081/ HTTP/1.1"), {400}),
    ("CONNECT", line(b"CONNECT a:443 HTTP/1.1"), {405, 501}),
    ("CONNECT with a path", line(b"CONNECT / HTTP/1.1"), {400}),
    ("CONNECT with a URL", line(b"CONNECT http://a/ HTTP/1.1"), {400}),
    ("CONNECT without port", line(b"CONNECT a HTTP/1.1"), {400}),
    # header lines
    ("space before the colon", GET + b"X : a\r\n\r\n", {400}),
    ("tab before the colon", GET + b"X\t: a\r\n\r\n", {400}),
    ("space before the colon of Host", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", {400}),
    ("space before the colon of Content-Length", post(b"Content-Length : 5", body=b"abcde"), {400}),
    ("empty name", GET + b": a\r\n\r\n", {400}),
    ("no colon", GET + b"X\r\n\r\n", {400}),
    ("space in the name", GET + b"X Y: a\r\n\r\n", {400}),
    ("high byte in the name", GET + b"X\xe9: a\r\n\r\n", {400}),
    ("NUL in the name", GET + b"X\x00: a\r\n\r\n", {400}),
    ("parenthesis in the name", GET + b"X(): a\r\n\r\n", {400}),
    ("quote in the name", GET + b'"X": a\r\n\r\n', {400}),
    ("folded with space", GET + b"X: a\r\n b\r\n\r\n", {400}),
    ("folded with tab", GET + b"X: a\r\n\tb\r\n\r\n", {400}),
    ("first line folded", b"GET / HTTP/1.1\r\n X: y\r\n" + H + b"\r\n", {400}),
    ("folded Transfer-Encoding", post(b"Transfer-Encoding:\r\n chunked", body=END), {400}),
    ("NUL in a value", GET + b"X: a\x00b\r\n\r\n", {400}),
    ("bell in a value", GET + b"X: \x07\r\n\r\n", {400}),
    ("escape in a value", GET + b"X: \x1b[0m\r\n\r\n", {400}),
    ("DEL in a value", GET + b"X: \x7f\r\n\r\n", {400}),
    ("bare CR in a value", GET + b"X: a\rb\r\n\r\n", {400}),
    ("bare LF in a value", GET + b"X: a\nY: b\r\n\r\n", {400}),
    ("CR CR LF ends a line", GET + b"X: a\r\r\n\r\n", {400}),
    ("bare LF ends the head", GET + b"X: a\r\n\n", {400}),
    ("bare CR ends the head", GET + b"X: a\r\n\rGET", {400}),
    # Host
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", {400}),
    ("no Host, absolute form", b"GET http://a/ HTTP/1.1\r\n\r\n", {400}),
    ("two Hosts", GET + b"Host: b\r\n\r\n", {400}),
    ("the same Host twice", GET + H + b"\r\n", {400}),
    ("two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", {400}),
    ("empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", {400}),
    ("Host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", {400}),
    ("Host as a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", {400}),
    ("Host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", {400}),
    ("Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", {400}),
    ("Host with a query", b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", {400}),
    ("Host as a URL", b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", {400}),
    ("Host with a bad port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", {400}),
    ("Host with two ports", b"GET / HTTP/1.1\r\nHost: a:80:81\r\n\r\n", {400}),
    ("Host with a port too large", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", {400}),
    ("Host with a negative port", b"GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n", {400}),
    ("Host with a port alone", b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", {400}),
    ("Host with an open bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", {400}),
    ("Host with letters in brackets", b"GET / HTTP/1.1\r\nHost: [xyz]\r\n\r\n", {400}),
    ("Host with a high byte", b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", {400}),
    ("Host with a quote", b"GET / HTTP/1.1\r\nHost: a'b\"\r\n\r\n", {400}),
    # Content-Length
    ("two different lengths", post(CL + b"5", CL + b"6", body=b"abcdef"), {400}),
    ("the same length twice", post(CL + b"5", CL + b"5", body=b"abcde"), {400}),
    ("length as a list", post(CL + b"5, 5", body=b"abcde"), {400}),
    ("length with plus", post(CL + b"+5", body=b"abcde"), {400}),
    ("length with minus", post(CL + b"-5", body=b"abcde"), {400}),
    ("length minus nought", post(CL + b"-0"), {400}),
    ("length in hex", post(CL + b"0x5", body=b"abcde"), {400}),
    ("length with letters", post(CL + b"5a", body=b"abcde"), {400}),
    ("length with a space inside", post(CL + b"1 0", body=b"abcde"), {400}),
    ("length with a decimal point", post(CL + b"5.0", body=b"abcde"), {400}),
    ("length with an exponent", post(CL + b"5e0", body=b"abcde"), {400}),
    ("length in quotes", post(CL + b'"5"', body=b"abcde"), {400}),
    ("empty length", post(CL, body=b"abcde"), {400}),
    ("length with a comma after", post(CL + b"5,", body=b"abcde"), {400}),
    ("length with an underscore", post(CL + b"1_0", body=b"abcde"), {400}),
    ("length over 64 bits", post(CL + b"18446744073709551621", body=b"abcde"), {400, 413}),
    ("length over 63 bits", post(CL + b"9223372036854775808", body=b"abcde"), {400, 413}),
    ("length over the limit", post(CL + b"99999999"), {413}),
    # Transfer-Encoding
    ("chunked and a length", post(CL + b"5", TE + b"chunked", body=END), {400}),
    ("a length and chunked", post(TE + b"chunked", CL + b"5", body=END), {400}),
    ("chunked twice in two lines", post(TE + b"chunked", TE + b"chunked", body=END), {400}),
    ("chunked twice in a list", post(TE + b"chunked, chunked", body=END), {400}),
    ("chunked not last", post(TE + b"chunked, gzip", body=END), {400}),
    ("chunked, identity", post(TE + b"chunked, identity", body=END), {400, 501}),
    ("identity", post(TE + b"identity", CL + b"5", body=b"abcde"), {400, 501}),
    ("identity alone", post(TE + b"identity", body=b"abcde"), {400, 501}),
    ("gzip alone", post(TE + b"gzip", body=b"abcde"), {400}),
    ("gzip, chunked", post(TE + b"gzip, chunked", body=END), {501}),
    ("unknown coding", post(TE + b"foo", body=END), {400, 501}),
    ("unknown coding, chunked", post(TE + b"foo, chunked", body=END), {501}),
    ("xchunked", post(TE + b"xchunked", body=END), {400, 501}),
    ("chunkedx", post(TE + b"chunkedx", body=END), {400, 501}),
    ("chunked with a parameter", post(TE + b"chunked;q=1", body=END), {400}),
    ("chunked in quotes", post(TE + b'"chunked"', body=END), {400}),
    ("chunked after vertical tab", post(TE + b"\x0bchunked", body=END), {400}),
    ("chunked before vertical tab", post(TE + b"chunked\x0b", body=END), {400}),
    ("chunked after NUL", post(TE + b"\x00chunked", body=END), {400}),
    ("chunked after a comma", post(TE + b",chunked", body=END), {400}),
    ("chunked before a comma", post(TE + b"chunked,", body=END), {400}),
    ("empty Transfer-Encoding", post(TE, body=END), {400}),
    ("two words", post(TE + b"chunked chunked", body=END), {400}),
    ("chunked in HTTP/1.0", b"POST / HTTP/1.0\r\n" + H + TE + b"chunked\r\n\r\n" + END, {400}),
    ("chunked and a length in HTTP/1.0", b"POST / HTTP/1.0\r\n" + H + TE + b"chunked\r\nContent-Length: 5\r\n\r\n" + END, {400}),
    ("hidden in a folded line", POST + b"X: y\r\n " + TE + b"chunked\r\n\r\n" + END, {400}),
    # chunks
    ("size with 17 digits", chunked(b"00000000000000005\r\nhello\r\n" + END), {400}),
    ("size that overflows", chunked(b"10000000000000005\r\nhello\r\n" + END), {400}),
    ("size over 63 bits", chunked(b"ffffffffffffffff\r\nhello\r\n" + END), {400, 413}),
    ("size with plus", chunked(b"+5\r\nhello\r\n" + END), {400}),
    ("size with minus", chunked(b"-5\r\nhello\r\n" + END), {400}),
    ("size with 0x", chunked(b"0x5\r\nhello\r\n" + END), {400}),
    ("size with a space before", chunked(b" 5\r\nhello\r\n" + END), {400}),
    ("size with a space after", chunked(b"5 \r\nhello\r\n" + END), {400}),
    ("size with a tab after", chunked(b"5\t\r\nhello\r\n" + END), {400}),
    ("size with a letter", chunked(b"5g\r\nhello\r\n" + END), {400}),
    ("size with a comma", chunked(b"5,5\r\nhello\r\n" + END), {400}),
    ("size with an underscore", chunked(b"0_5\r\nhello\r\n" + END), {400}),
    ("empty size", chunked(b"\r\nhello\r\n" + END), {400}),
    ("bare LF after the size", chunked(b"5\nhello\r\n" + END), {400}),
    ("bare CR after the size", chunked(b"5\rhello\r\n" + END), {400}),
    ("no CRLF after the data", chunked(b"5\r\nhello" + END), {400}),
    ("bare LF after the data", chunked(b"5\r\nhello\n" + END), {400}),
    ("bare CR after the data", chunked(b"5\r\nhello\r" + END), {400}),
    ("more data than the size", chunked(b"3\r\nhello\r\n" + END), {400}),
    ("two bytes for CRLF", chunked(b"5\r\nhelloXX" + END), {400}),
    ("bare LF ends the last chunk", chunked(b"5\r\nhello\r\n0\n\r\n"), {400}),
    ("bare LF ends the body", chunked(b"5\r\nhello\r\n0\r\n\n"), {400}),
    ("extension without a name", chunked(b"5;\r\nhello\r\n" + END), {400}),
    ("extension without a value", chunked(b"5;a=\r\nhello\r\n" + END), {400}),
    ("extension with a bare LF", chunked(b"5;a\nhello\r\n" + END), {400}),
    ("extension with a bare CR", chunked(b"5;a\rX\r\nhello\r\n" + END), {400}),
    ("extension with a NUL", chunked(b"5;a\x00\r\nhello\r\n" + END), {400}),
    ("extension with an open quote", chunked(b'5;a="b\r\nhello\r\n' + END), {400}),
    ("extension with text after the quote", chunked(b'5;a="b"c\r\nhello\r\n' + END), {400}),
    ("extension with a space inside", chunked(b"5;a b\r\nhello\r\n" + END), {400}),
    ("extension with an LF in quotes", chunked(b'5;a="\n"\r\nhello\r\n' + END), {400}),
    ("extension of 64 KiB", chunked(b"5;" + b"a" * 65536 + b"\r\nhello\r\n" + END), {400}),
    ("body over the limit", chunked(b"200000\r\n" + b"a" * 0x200000 + b"\r\n" + END), {413}),
    # trailers
    ("trailer without a colon", chunked(b"0\r\nX\r\n\r\n"), {400}),
    ("trailer with a space before the colon", chunked(b"0\r\nX : y\r\n\r\n"), {400}),
    ("trailer without a name", chunked(b"0\r\n: y\r\n\r\n"), {400}),
    ("trailer that is folded", chunked(b"0\r\nX: y\r\n z\r\n\r\n"), {400}),
    ("trailer with a bare LF", chunked(b"0\r\nX: y\n\r\n"), {400}),
    ("trailer with a NUL", chunked(b"0\r\nX: \x00\r\n\r\n"), {400}),
    ("Content-Length as a trailer", chunked(b"0\r\nContent-Length: 5\r\n\r\n"), {400}),
    ("Transfer-Encoding as a trailer", chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), {400}),
    ("Host as a trailer", chunked(b"0\r\nHost: b\r\n\r\n"), {400}),
    ("Authorization as a trailer", chunked(b"0\r\nAuthorization: b\r\n\r\n"), {400}),
    ("trailers of 64 KiB", chunked(b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 2400 + b"\r\n"), {400, 431}),
    # sizes and expectations
    ("a target of 64 KiB", line(b"GET /" + b"a" * 65536 + b" HTTP/1.1"), {414}),
    ("a target without end", b"GET /" + b"a" * 70000, {414}),
    ("a method of 64 KiB", line(b"A" * 65536 + b" / HTTP/1.1"), {400, 414, 501}),
    ("a header of 128 KiB", GET + b"X: " + b"a" * 131072 + b"\r\n\r\n", {431}),
    ("a name of 128 KiB", GET + b"X" * 131072 + b": a\r\n\r\n", {431}),
    ("a thousand headers", GET + b"X: y\r\n" * 1000 + b"\r\n", {431}),
    ("an unknown expectation", post(b"Expect: 200-maybe", CL + b"5", body=b"abcde"), {417}),
    ("two expectations", post(b"Expect: 100-continue, x", CL + b"5", body=b"abcde"), {417}),
    ("an unknown content coding", post(b"Content-Encoding: foo", CL + b"5000", body=b"abcde"), {415}),
    ("a broken gzip body", post(b"Content-Encoding: gzip", CL + b"5", body=b"abcde"), {415}),
]

# name, bytes, what the echo must contain (None: an empty body is right), whether the connection stays open
ACCEPTED = [
    ("a plain GET", GET + b"\r\n", b"method GET\ntarget /\n", True),
    ("one empty line before", b"\r\n" + GET + b"\r\n", b"target /\n", True),
    ("a body on GET", GET + CL + b"5\r\n\r\nhello", b"body 5\nhello", True),
    ("an empty body", post(CL + b"0"), b"body 0\n", True),
    ("a length with zeros before", post(CL + b"005", body=b"hello"), b"body 5\nhello", True),
    ("a length with white space around", post(b"Content-Length:\t 5 \t", body=b"hello"), b"body 5\nhello", True),
    ("chunks", chunked(b"5\r\nhello\r\n1\r\n!\r\n" + END), b"body 6\nhello!", True),
    ("chunks in upper case", post(TE + b"CHUNKED", body=b"A\r\n0123456789\r\n" + END), b"body 10\n0123456789", True),
    ("chunks with zeros before", chunked(b"0000000000000005\r\nhello\r\n0000\r\n\r\n"), b"body 5\nhello", True),
    ("an empty chunked body", chunked(END), b"body 0\n", True),
    ("extensions", chunked(b'5;a;b=c;d="e\\"f;"\r\nhello\r\n0;x\r\n\r\n'), b"body 5\nhello", True),
    ("extensions with white space", chunked(b"5 ; a = b\r\nhello\r\n" + END), b"body 5\nhello", True),
    ("trailers", chunked(b"5\r\nhello\r\n0\r\nX-Checksum: 1\r\nY:\r\n\r\n"), b"body 5\nhello", True),
    ("UTF-8 in a value", GET + "X: é中\r\n\r\n".encode(), "header X: é中\n".encode(), True),
    ("an empty value", GET + b"X:\r\n\r\n", b"header X: \n", True),
    ("no space after the colon", GET + b"X:y\r\n\r\n", b"header X: y\n", True),
    ("white space around a value", GET + b"X: \t y z \t\r\n\r\n", b"header X: y z\n", True),
    ("every token character in a name", GET + b"!#$%&'*+-.^_`|~09Az: y\r\n\r\n", b"header !#$%&'*+-.^_`|~09Az: y\n", True),
    ("a lower-case host name", b"GET / HTTP/1.1\r\nhOsT: a\r\n\r\n", b"authority a\n", True),
    ("an IPv6 host", b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", b"authority [::1]:8080\n", True),
    ("an empty port", b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", b"authority a:\n", True),
    ("absolute form", b"GET http://a/x?y HTTP/1.1\r\n" + H + b"\r\n", b"path /x\nquery y\n", True),
    ("absolute form without path", b"GET http://a HTTP/1.1\r\n" + H + b"\r\n", b"path /\n", True),
    ("absolute form with the default port", b"GET HTTP://A:80/ HTTP/1.1\r\n" + H + b"\r\n", b"path /\n", True),
    ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", b"target *\n", True),
    ("a method nobody knows", b"BREW / HTTP/1.1\r\n" + H + b"\r\n", b"method BREW\n", True),
    ("a method in lower case is another", b"get / HTTP/1.1\r\n" + H + b"\r\n", b"method get\n", True),
    ("every sub-delimiter in a path", b"GET /!$&'()*+,;=:@-._~ HTTP/1.1\r\n" + H + b"\r\n", b"path /!$&'()*+,;=:@-._~\n", True),
    ("brackets in a query", b"GET /?a[]=1&b=/? HTTP/1.1\r\n" + H + b"\r\n", b"query a[]=1&b=/?\n", True),
    ("escapes", b"GET /%E2%82%ac%20 HTTP/1.1\r\n" + H + b"\r\n", b"path /%E2%82%ac%20\n", True),
    ("a higher minor version", b"GET / HTTP/1.2\r\n" + H + b"\r\n", b"version 11\n", True),
    ("Upgrade is ignored", GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", b"target /\n", True),
    ("websocket is ignored", GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"target /\n", True),
    ("close", GET + b"Connection: close\r\n\r\n", b"target /\n", False),
    ("close in a list", GET + b"Connection: x, Close\r\n\r\n", b"target /\n", False),
    ("HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", b"version 10\n", False),
    ("HTTP/1.0 that keeps alive", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"version 10\n", True),
    ("HTTP/1.0 with Expect", b"POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 2\r\n\r\nhi", b"body 2\nhi", False),
    ("Expect with the body at once", post(b"Expect: 100-continue", CL + b"2", body=b"hi"), b"body 2\nhi", True),
    ("identity as content coding", post(b"Content-Encoding: identity", CL + b"2", body=b"hi"), b"body 2\nhi", True),
    ("a large head", GET + b"X: " + b"a" * 30000 + b"\r\n\r\n", b"target /\n", True),
    ("a hundred headers", GET + b"X: y\r\n" * 100 + b"\r\n", b"target /\n", True),
    ("HEAD", b"HEAD / HTTP/1.1\r\n" + H + b"\r\n", None, True),
]


def status_of(answer):
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else None


def test_the_table_is_as_long_as_promised():
    assert len(REFUSED) + len(ACCEPTED) >= 150
    assert len({name for name, *_ in REFUSED + ACCEPTED}) == len(REFUSED) + len(ACCEPTED)


@pytest.mark.parametrize("request_bytes,statuses", [pytest.param(b, s, id=n) for n, b, s in REFUSED])
def test_refused(server, request_bytes, statuses):
    with server.connect() as s:
        try:
            s.sendall(request_bytes + HIDDEN)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer, end = read_all(s)
    assert status_of(answer) in statuses, answer[:300]
    assert end == "close", "the connection must end cleanly after the answer"
    assert b"\r\nConnection: close\r\n" in answer
    assert len(re.findall(rb"HTTP/1.1 \d", answer)) == 1 and b"/hidden" not in answer, "a hidden request was served"


@pytest.mark.parametrize("request_bytes,expected,stays", [pytest.param(b, e, k, id=n) for n, b, e, k in ACCEPTED])
def test_accepted(server, request_bytes, expected, stays):
    with server.connect() as s:
        s.sendall(request_bytes)
        if stays:
            s.sendall(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer, end = read_all(s)
    assert status_of(answer) == 200, answer[:300]
    assert expected is None or expected in answer
    assert end == "close"
    assert answer.count(b"HTTP/1.1 200 OK") == (2 if stays else 1)
    assert (b"path /last" in answer) == stays


@pytest.mark.parametrize("request_bytes,statuses", [pytest.param(b, s, id=n) for n, b, s in REFUSED if len(b) < 300])
def test_refused_all_the_same_when_it_trickles_in(server, request_bytes, statuses):
    with server.connect() as s:
        for i in range(0, len(request_bytes), 3):
            try:
                s.sendall(request_bytes[i:i + 3])
            except (BrokenPipeError, ConnectionResetError):
                break
        answer, end = read_all(s)
    assert status_of(answer) in statuses and end == "close", answer[:300]


# ---- bodies, continuation, order ----

def test_continue_is_sent_when_the_body_is_wanted_and_has_not_begun(server):
    with server.connect() as s:
        s.sendall(post(b"Expect: 100-continue", CL + b"2"))
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"hi")
        assert b"body 2\nhi" in s.recv(4096)


def test_continue_is_not_sent_for_a_body_that_will_be_refused(server):
    answer = ask(server, post(b"Expect: 100-continue", CL + b"99999999"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    answer = ask(server, b"POST /refuse HTTP/1.1\r\n" + H + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_continue_is_not_sent_without_a_body(server):
    assert ask(server, GET + b"Expect: 100-continue\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_the_answer_to_a_body_that_is_too_large_survives_the_upload(server):
    """The client goes on sending for megabytes: a reset would destroy the 413 that it has not read."""
    with server.connect() as s:
        s.sendall(post(CL + b"3000000"))
        try:
            for _ in range(46):
                s.sendall(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer, end = read_all(s)
    assert answer.startswith(b"HTTP/1.1 413 ") and end == "close"


def test_pipelined_requests_are_answered_in_order(server):
    n = 300
    request = b"".join(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (i, i, b"b" * i) for i in range(n))
    with server.connect() as s:
        s.sendall(request + b"GET /later/50 HTTP/1.1\r\nHost: a\r\n\r\nGET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer, _ = read_all(s)
    paths = re.findall(rb"^path (\S+)", answer, re.M)
    assert paths == [b"/%d" % i for i in range(n)] + [b"/later/50", b"/end"]


def test_a_large_body_arrives_whole(server):
    body = bytes(range(256)) * 4000
    answer = ask(server, post(CL + b"%d" % len(body), b"Connection: close", body=body))
    assert answer.endswith(body)


def test_a_request_after_a_large_body_is_served(server):
    body = b"x" * 700000
    with server.connect() as s:
        s.sendall(post(CL + b"%d" % len(body), body=body) + HIDDEN + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer, _ = read_all(s)
    assert answer.count(b"HTTP/1.1 200 OK") == 3 and b"path /hidden" in answer


def test_a_refused_request_that_is_whole_keeps_the_connection(server):
    answer = ask(server, b"POST /refuse HTTP/1.1\r\n" + H + b"Content-Length: 3\r\n\r\nabc" + GET + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.count(b"HTTP/1.1 200 OK") == 1


def test_head_is_answered_without_a_body(server):
    answer = ask(server, b"HEAD / HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.search(rb"Content-Length: [1-9]", head) and body == b""
    answer = ask(server, b"HEAD /stream/3/5/0 HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
    assert answer.partition(b"\r\n\r\n")[2] == b""
    answer = ask(server, b"HEAD /refuse HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.partition(b"\r\n\r\n")[2] == b""


def test_bodies_in_pieces(server):
    body = b"y" * 300000
    assert b"body 300000 in pieces" in ask(server, b"POST /pieces HTTP/1.1\r\n" + H + b"Connection: close\r\nContent-Length: 300000\r\n\r\n" + body)
    pieces = b"".join(b"%x\r\n%s\r\n" % (n, b"z" * n) for n in range(1, 500))
    assert b"body 124750 in pieces" in ask(server, b"POST /pieces HTTP/1.1\r\n" + H + b"Connection: close\r\n" + TE + b"chunked\r\n\r\n" + pieces + END)


def test_gzip_bodies_are_decoded_and_bombs_are_not(server):
    body = gzip.compress(b"hello world")
    answer = ask(server, post(b"Content-Encoding: gzip", b"Connection: close", CL + b"%d" % len(body), body=body))
    assert b"body 11\nhello world" in answer
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert ask(server, post(b"Content-Encoding: gzip", CL + b"%d" % len(bomb), body=bomb)).startswith(b"HTTP/1.1 413 ")


# ---- streamed answers ----

def dechunk(body):
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        n = int(size, 16)
        if not n:
            return out, body
        out, body = out + body[:n], body[n + 2:]


def test_a_stream_is_chunked_for_1_1_and_ends_with_the_connection_for_1_0(server):
    answer = ask(server, b"GET /stream/5/100/5 HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head and dechunk(body) == (b"x" * 500, b"\r\n")
    head, _, body = ask(server, b"GET /stream/5/100/5 HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"chunked" not in head and b"Connection: close" in head and body == b"x" * 500


def test_a_broken_stream_never_looks_complete(server):
    with server.connect() as s:
        s.sendall(b"GET /break/3 HTTP/1.1\r\n" + H + b"\r\n")
        answer, end = read_all(s)
    assert b"200 OK" in answer and not answer.endswith(b"0\r\n\r\n") and end in ("close", "reset")
    with server.connect() as s:
        s.sendall(b"GET /break/3 HTTP/1.0\r\n\r\n")
        assert read_all(s)[1] == "reset"


def test_a_slow_reader_slows_the_source_not_the_memory(server):
    before = server.rss_kib()
    with server.connect() as s:
        s.sendall(b"GET /stream/3000/65536/0 HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
        time.sleep(0.5)
        assert server.rss_kib() - before < 16384
        got = 0
        while True:
            piece = s.recv(1 << 20)
            if not piece:
                break
            got += len(piece)
    assert got > 3000 * 65536


def test_a_client_that_does_not_read_is_cut(server):
    aborts = server.counts()["aborts"]
    with server.connect():
        pass
    s = server.connect()
    s.sendall(b"GET /stream/1000000/65536/0 HTTP/1.1\r\n" + H + b"\r\n")
    assert eventually(lambda: server.counts()["aborts"] > aborts, 6)
    s.close()


# ---- clients that leave ----

def test_a_client_that_leaves_before_the_answer_is_noticed(server):
    aborts = server.counts()["aborts"]
    s = server.connect()
    s.sendall(b"GET /later/60000 HTTP/1.1\r\n" + H + b"\r\n")
    time.sleep(0.1)
    s.close()
    assert eventually(lambda: server.counts()["aborts"] == aborts + 1, 2)


def test_a_client_that_leaves_in_the_middle_of_a_stream_is_noticed(server):
    aborts = server.counts()["aborts"]
    s = server.connect()
    s.sendall(b"GET /stream/1000/10/1000 HTTP/1.1\r\n" + H + b"\r\n")
    s.recv(100)
    s.close()
    assert eventually(lambda: server.counts()["aborts"] == aborts + 1, 2)


def test_a_client_that_only_closed_its_half_is_answered(server):
    with server.connect() as s:
        s.sendall(b"GET /later/200 HTTP/1.1\r\n" + H + b"\r\n")
        s.shutdown(socket.SHUT_WR)
        answer, end = read_all(s)
    assert b"HTTP/1.1 200 OK" in answer and end == "close"


def test_pipelined_requests_before_a_half_close_are_all_answered(server):
    with server.connect() as s:
        s.sendall((b"GET /later/30 HTTP/1.1\r\n" + H + b"\r\n") * 5)
        s.shutdown(socket.SHUT_WR)
        answer, end = read_all(s)
    assert answer.count(b"HTTP/1.1 200 OK") == 5 and end == "close"


@pytest.mark.parametrize("part", [b"GET / HT", GET, post(CL + b"5", body=b"abc"), chunked(b"5\r\nhel")])
def test_an_incomplete_request_is_never_served(server, part):
    before = server.counts()["requests"]
    with server.connect() as s:
        s.sendall(part)
        s.shutdown(socket.SHUT_WR)
        answer, _ = read_all(s)
    assert status_of(answer) in (400, None)
    assert server.counts()["requests"] == before


# ---- time and number ----

@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", post(CL + b"5", body=b"abc"), chunked(b"5\r\nhel")])
def test_a_slow_request_is_told_408(server, part):
    with server.connect(timeout=10) as s:
        s.sendall(part)
        answer, end = read_all(s)
    assert status_of(answer) == 408 and end == "close"


def test_a_head_that_trickles_for_ever_is_told_408(server):
    with server.connect(timeout=10) as s:
        s.sendall(b"GET / HTTP/1.1\r\n")
        answer = b""
        s.settimeout(0.1)
        for i in range(60):
            try:
                s.sendall(b"X: y\r\n")
                answer += s.recv(4096)
            except TimeoutError:
                pass
            except OSError:
                break
            if answer:
                break
    assert status_of(answer) == 408


def test_an_idle_connection_is_closed_without_a_word(make_server):
    server = make_server("--timeout-ms", "100")
    with server.connect() as s:
        assert read_all(s) == (b"", "close")
    with server.connect() as s:
        s.sendall(GET + b"\r\n")
        answer, end = read_all(s)
    assert status_of(answer) == 200 and answer.count(b"HTTP/1.1") == 1 and end == "close"


def test_connections_over_the_maximum_are_told_503(make_server):
    server = make_server("--connections", "5")
    held = [server.connect() for _ in range(5)]
    for s in held:
        s.sendall(GET + b"\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")
    with server.connect() as s:
        s.sendall(GET + b"\r\n")
        answer, end = read_all(s)
    assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in answer and end == "close"
    for s in held:
        s.close()
    assert eventually(lambda: ask(server, GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 "))


def test_bodies_over_the_budget_of_all_together_are_told_503(make_server):
    server = make_server("--budget", "100000", "--timeout-ms", "3000")
    held = server.connect()
    held.sendall(post(CL + b"90000", body=b"x" * 80000))
    other = post(CL + b"50000", b"Connection: close", body=b"y" * 50000)
    assert eventually(lambda: ask(server, other).startswith(b"HTTP/1.1 503 "))
    held.sendall(b"x" * 10000)
    assert b"body 90000" in read_all(held, 1)[0]
    held.close()
    assert ask(server, other).startswith(b"HTTP/1.1 200 ")


def test_draining_finishes_what_was_begun(make_server):
    server = make_server()
    s = server.connect()
    s.sendall(b"GET /later/500 HTTP/1.1\r\n" + H + b"\r\n")
    idle = server.connect()
    idle.sendall(GET + b"\r\n")
    idle.recv(4096)
    time.sleep(0.1)
    server.process.send_signal(signal.SIGTERM)
    assert read_all(idle) == (b"", "close")
    answer, end = read_all(s)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in answer and end == "close"


def test_ten_thousand_slow_heads_leave_room_for_others(make_server):
    server = make_server("--timeout-ms", "20000")
    before = server.rss_kib()
    slow = []
    for _ in range(4000):
        s = server.connect()
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: y")
        slow.append(s)
    assert ask(server, GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    grown = server.rss_kib() - before
    for s in slow:
        s.close()
    assert grown < 4000 * 12, "KiB for 4,000 half heads"

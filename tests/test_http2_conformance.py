# SPDX-License-Identifier: Apache-2.0
"""What RFC 9113 and RFC 7541 forbid a client, case by case, and what must become of it.

Each case says some frames on a fresh connection.  A stream error may be answered by a
connection error, never the other way round (RFC 9113 §5.4); a connection may be closed
without a word where a client broke its framing.  After each case the gateway serves on."""
import struct

import pytest

from harness import h2
from harness.client import ask
from harness.config import everything_to
from harness.h2 import H2, frame

GET, POST = 'GET', 'POST'
U32 = struct.Struct('>I').pack


@pytest.fixture(scope='module')
def gw(module_gateway, module_origin):
    gw = module_gateway(everything_to(module_origin()), start=False)
    gw.write_conf(proxy_listen=f'127.0.0.1:{gw.proxy} http2')
    return gw.start()


def headers(c, stream=1, fields=None, flags=h2.END_HEADERS | h2.END_STREAM, before=b'', after=b''):
    return frame(h2.HEADERS, flags, stream, before + c.block(fields or c.fields()) + after)


def setting(number, value):
    return struct.pack('>HI', number, value)


def opened(c, stream=1):
    """A request whose body is still to come."""
    return headers(c, stream, c.fields(POST), h2.END_HEADERS)


def with_fields(*more, method=GET, without=(), first=()):
    """A head with these fields more, or without some of the four."""
    return lambda c: headers(c, fields=[*first, *(f for f in c.fields(method) if f[0] not in without), *more])


def raw(c, data):
    return headers(c, after=data)


P, S, F, C, E = (h2.PROTOCOL_ERROR, h2.STREAM_CLOSED, h2.FLOW_CONTROL_ERROR, h2.COMPRESSION_ERROR, h2.FRAME_SIZE_ERROR)

# what it is, what is sent, errors of the connection that are right, errors of the stream
CASES = [
    # ---- §4 frames, §4.3 field blocks
    ('4.2 a DATA frame over the maximum size', lambda c: opened(c) + frame(h2.DATA, 0, 1, b'x' * 16385), {E}, {E}),
    ('4.2 a HEADERS frame over the maximum size', lambda c: frame(h2.HEADERS, 5, 1, b'\0' * 16385), {E}, ()),
    ('4.3 a field block that cannot be decoded', lambda c: frame(h2.HEADERS, 5, 1, b'\xff\xff\xff\xff\xff'), {C}, ()),
    ('4.3 another frame within a field block', lambda c: frame(h2.HEADERS, 0, 1, c.block(c.fields())) +
     frame(h2.PRIORITY, 0, 1, b'\0\0\0\0\1'), {P}, ()),
    ('4.3 a HEADERS frame of another stream within a field block', lambda c: frame(h2.HEADERS, 0, 1, c.block(c.fields())) +
     headers(c, 3), {P}, ()),
    # ---- §5.1 states
    ('5.1 DATA on an idle stream', lambda c: frame(h2.DATA, 1, 1, b'x'), {P, S}, ()),
    ('5.1 RST_STREAM on an idle stream', lambda c: frame(h2.RST_STREAM, 0, 1, U32(8)), {P}, ()),
    ('5.1 WINDOW_UPDATE on an idle stream', lambda c: frame(h2.WINDOW_UPDATE, 0, 1, U32(8)), {P}, ()),
    ('5.1 CONTINUATION on an idle stream', lambda c: frame(h2.CONTINUATION, 4, 1, c.block(c.fields())), {P}, ()),
    ('5.1 DATA after the end of the stream', lambda c: headers(c) + frame(h2.DATA, 1, 1, b'x'), {S}, {S}),
    ('5.1 HEADERS after the end of the stream', lambda c: headers(c) + headers(c), {S, P}, {S}),
    ('5.1 CONTINUATION after the end of the stream', lambda c: headers(c) + frame(h2.CONTINUATION, 4, 1, c.block(c.fields())),
     {S, P}, {S}),
    ('5.1 DATA after RST_STREAM', lambda c: opened(c) + frame(h2.RST_STREAM, 0, 1, U32(8)) + frame(h2.DATA, 1, 1, b'x') +
     headers(c, 3), {S}, {S, None}),
    ('5.1.1 an even stream', lambda c: headers(c, 2), {P}, ()),
    ('5.3.1 a stream that depends on itself', lambda c: headers(c, flags=0x25, before=U32(1) + b'\x10'), {P}, {P, None}),
    # ---- §6.1 DATA, §6.2 HEADERS
    ('6.1 DATA on stream 0', lambda c: frame(h2.DATA, 1, 0, b'x'), {P}, ()),
    ('6.1 padding as long as the DATA', lambda c: opened(c) + frame(h2.DATA, 9, 1, b'\x06abcde'), {P}, ()),
    ('6.2 HEADERS on stream 0', lambda c: headers(c, 0), {P}, ()),
    ('6.2 padding as long as the HEADERS', lambda c: frame(h2.HEADERS, 0xd, 1, b'\xff' + c.block(c.fields())), {P}, ()),
    # ---- §6.3 PRIORITY, §6.4 RST_STREAM
    ('6.3 PRIORITY on stream 0', lambda c: frame(h2.PRIORITY, 0, 0, b'\0\0\0\0\1'), {P}, ()),
    ('6.3 PRIORITY of 4 bytes', lambda c: headers(c) + frame(h2.PRIORITY, 0, 1, b'\0\0\0\0'), {E}, {E}),
    ('6.4 RST_STREAM on stream 0', lambda c: frame(h2.RST_STREAM, 0, 0, U32(8)), {P}, ()),
    ('6.4 RST_STREAM of 3 bytes', lambda c: opened(c) + frame(h2.RST_STREAM, 0, 1, b'\0\0\0'), {E}, ()),
    # ---- §6.5 SETTINGS
    ('6.5 an acknowledgement with settings', lambda c: frame(h2.SETTINGS, 1, 0, setting(3, 1)), {E}, ()),
    ('6.5 SETTINGS on a stream', lambda c: frame(h2.SETTINGS, 0, 1, setting(3, 1)), {P}, ()),
    ('6.5 SETTINGS of 5 bytes', lambda c: frame(h2.SETTINGS, 0, 0, b'\0\3\0\0\0'), {E}, ()),
    ('6.5.2 ENABLE_PUSH of 2', lambda c: frame(h2.SETTINGS, 0, 0, setting(2, 2)), {P}, ()),
    ('6.5.2 INITIAL_WINDOW_SIZE over 2^31-1', lambda c: frame(h2.SETTINGS, 0, 0, setting(4, 1 << 31)), {F}, ()),
    ('6.5.2 MAX_FRAME_SIZE under 16,384', lambda c: frame(h2.SETTINGS, 0, 0, setting(5, 16383)), {P}, ()),
    ('6.5.2 MAX_FRAME_SIZE over 2^24-1', lambda c: frame(h2.SETTINGS, 0, 0, setting(5, 1 << 24)), {P}, ()),
    # ---- §6.6 PUSH_PROMISE, §6.7 PING, §6.8 GOAWAY
    ('6.6 PUSH_PROMISE of a client', lambda c: opened(c) + frame(h2.PUSH_PROMISE, 4, 1, U32(2) + c.block(c.fields())), {P}, ()),
    ('6.7 PING on a stream', lambda c: frame(h2.PING, 0, 1, b'12345678'), {P}, ()),
    ('6.7 PING of 6 bytes', lambda c: frame(h2.PING, 0, 0, b'123456'), {E}, ()),
    ('6.8 GOAWAY on a stream', lambda c: frame(h2.GOAWAY, 0, 1, U32(0) + U32(0)), {P}, ()),
    # ---- §6.9 WINDOW_UPDATE
    ('6.9 WINDOW_UPDATE of 0 on the connection', lambda c: frame(h2.WINDOW_UPDATE, 0, 0, U32(0)), {P}, ()),
    ('6.9 WINDOW_UPDATE of 0 on a stream', lambda c: opened(c) + frame(h2.WINDOW_UPDATE, 0, 1, U32(0)), {P}, {P}),
    ('6.9 WINDOW_UPDATE of 3 bytes', lambda c: frame(h2.WINDOW_UPDATE, 0, 0, b'\0\0\1'), {E}, ()),
    ('6.9.1 a window of the connection over 2^31-1', lambda c: frame(h2.WINDOW_UPDATE, 0, 0, U32(0x7fffffff)) * 2, {F}, ()),
    ('6.9.1 a window of a stream over 2^31-1', lambda c: opened(c) + frame(h2.WINDOW_UPDATE, 0, 1, U32(0x7fffffff)) * 2, {F}, {F}),
    ('6.9.1 more DATA than the window', lambda c: opened(c) + frame(h2.DATA, 0, 1, b'x' * 16384) * 500, {F}, {F}),
    # ---- §6.10 CONTINUATION
    ('6.10 CONTINUATION on stream 0', lambda c: frame(h2.HEADERS, 0, 1, c.block(c.fields())) + frame(h2.CONTINUATION, 4, 0), {P}, ()),
    ('6.10 CONTINUATION behind END_HEADERS', lambda c: opened(c) + frame(h2.CONTINUATION, 4, 1, c.block([('a', 'b')])), {P}, ()),
    ('6.10 CONTINUATION behind DATA', lambda c: opened(c) + frame(h2.DATA, 0, 1, b'x') +
     frame(h2.CONTINUATION, 4, 1, c.block([('a', 'b')])), {P}, ()),
    # ---- §8 requests
    ('8.1 trailers without END_STREAM', lambda c: opened(c) + headers(c, fields=[('a', 'b')], flags=4), {P}, {P}),
    ('8.1 pseudo-fields in trailers', lambda c: opened(c) + headers(c, fields=[(':method', GET)]), {P}, {P}),
    ('8.1.1 less body than content-length', lambda c: headers(c, fields=c.fields(POST, more=[('content-length', '2')]), flags=4) +
     frame(h2.DATA, 1, 1, b'x'), {P}, {P}),
    ('8.1.1 more body than content-length', lambda c: headers(c, fields=c.fields(POST, more=[('content-length', '1')]), flags=4) +
     frame(h2.DATA, 0, 1, b'x') + frame(h2.DATA, 1, 1, b'x'), {P}, {P}),
    ('8.1.1 a content-length without a body', with_fields(('content-length', '1')), {P}, {P}),
    ('8.1.1 two lengths', with_fields(('content-length', '0'), ('content-length', '1')), {P}, {P}),
    ('8.2.1 a name in upper case', with_fields(('X-Upper', '1')), {P}, {P}),
    ('8.2.1 a name with a space', with_fields(('x y', '1')), {P}, {P}),
    ('8.2.1 an empty name', with_fields(('', '1')), {P}, {P}),
    ('8.2.1 a colon within a name', with_fields(('x:y', '1')), {P}, {P}),
    ('8.2.1 CR and LF in a value', with_fields(('x', 'a\r\nevil: 1')), {P}, {P}),
    ('8.2.1 LF in a value', with_fields(('x', 'a\nevil: 1')), {P}, {P}),
    ('8.2.1 NUL in a value', with_fields(('x', 'a\0b')), {P}, {P}),
    ('8.2.2 connection', with_fields(('connection', 'keep-alive')), {P}, {P}),
    ('8.2.2 transfer-encoding', with_fields(('transfer-encoding', 'chunked'), method=POST), {P}, {P}),
    ('8.2.2 keep-alive', with_fields(('keep-alive', '1')), {P}, {P}),
    ('8.2.2 proxy-connection', with_fields(('proxy-connection', 'close')), {P}, {P}),
    ('8.2.2 upgrade', with_fields(('upgrade', 'h2c')), {P}, {P}),
    ('8.2.2 te that is not trailers', with_fields(('te', 'gzip')), {P}, {P}),
    ('8.3 an unknown pseudo-field', with_fields((':test', '1'), without=[], first=[(':test', '1')]), {P}, {P}),
    ('8.3 a pseudo-field of answers', with_fields(first=[(':status', '200')]), {P}, {P}),
    ('8.3 a pseudo-field behind others', with_fields((':path', '/'), without=[':path'], first=[('x', 'y')]), {P}, {P}),
    ('8.3.1 no :method', with_fields(without=[':method']), {P}, {P}),
    ('8.3.1 no :scheme', with_fields(without=[':scheme']), {P}, {P}),
    ('8.3.1 no :path', with_fields(without=[':path']), {P}, {P}),
    ('8.3.1 an empty :path', with_fields(without=[':path'], first=[(':path', '')]), {P}, {P}),
    ('8.3.1 two :method', with_fields(first=[(':method', GET)]), {P}, {P}),
    ('8.3.1 two :path', with_fields(first=[(':path', '/')]), {P}, {P}),
    ('8.3.1 two :scheme', with_fields(first=[(':scheme', 'http')]), {P}, {P}),
    ('8.3.1 two :authority', with_fields(first=[(':authority', 'x')]), {P}, {P}),
    # ---- RFC 7541
    ('7541 2.3.3 an index beyond the tables', lambda c: raw(c, b'\xff\x80\x80\x04'), {C}, ()),
    ('7541 6.1 index 0', lambda c: raw(c, b'\x80'), {C}, ()),
    ('7541 4.2 a table size in the middle of a block', lambda c: raw(c, b'\x20'), {C}, ()),
    ('7541 6.3 a table size over the limit', lambda c: frame(h2.HEADERS, 5, 1, b'\x3f\xe1\x7f' + c.block(c.fields())), {C}, ()),
    ('7541 5.2 padding of Huffman longer than 7 bits', lambda c: raw(c, b'\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff'), {C}, ()),
    ('7541 5.2 padding of Huffman with zeros', lambda c: raw(c, b'\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90'), {C}, ()),
    ('7541 5.2 EOS within Huffman', lambda c: raw(c, b'\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f'), {C}, ()),
]


@pytest.mark.parametrize('say, connection, stream', [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_forbidden_is_refused(gw, say, connection, stream):
    stream = set(stream)
    with H2(gw.proxy) as c:
        try:
            c.send(say(c))
            f = c.until(lambda f: f.kind in (h2.RST_STREAM, h2.GOAWAY) or
                        (None in stream and f.kind == h2.HEADERS))
        except (h2.Closed, BrokenPipeError, ConnectionResetError):
            f = None  # closed: right for every error of the connection
        if f is not None and f.kind == h2.RST_STREAM:
            assert f.code in stream
        elif f is not None and f.kind == h2.GOAWAY:
            assert f.code in set(connection)
            with pytest.raises(h2.Closed):
                c.until(lambda f: False)
    assert ask(gw.proxy, '/').status == 200


def ping_works(c):
    c.send(frame(h2.PING, 0, 0, b'alive ok'))
    return c.until(lambda f: f.kind == h2.GOAWAY or f.payload == b'alive ok').kind == h2.PING


ALLOWED = [
    ('4.1 a frame of an unknown type', lambda c: frame(0x77, 0xff, 0, b'abc')),
    ('4.1 unknown flags', lambda c: frame(h2.PING, 0x16, 0, b'12345678')),
    ('4.1 the reserved bit', lambda c: frame(h2.PING, 0, 0x80000000, b'12345678')),
    # A connection error by the letter; nghttp2 cannot tell it from a stream that was reset, and ignores it.
    ('5.1.1 a stream lower than one before', lambda c: headers(c, 5) + headers(c, 3)),
    ('5.1 PRIORITY on an idle stream', lambda c: frame(h2.PRIORITY, 0, 7, b'\0\0\0\0\1')),
    ('5.1 WINDOW_UPDATE after the end of the stream', lambda c: headers(c) + frame(h2.WINDOW_UPDATE, 0, 1, U32(1))),
    ('5.1 RST_STREAM after the end of the stream', lambda c: headers(c) + frame(h2.RST_STREAM, 0, 1, U32(8))),
    ('6.1 padded DATA', lambda c: opened(c) + frame(h2.DATA, 9, 1, b'\x02x\0\0')),
    ('6.5 SETTINGS that nobody knows', lambda c: frame(h2.SETTINGS, 0, 0, setting(0x99, 5))),
    ('6.7 an acknowledgement that was not asked for', lambda c: frame(h2.PING, 1, 0, b'12345678')),
    ('6.9.2 a window that becomes negative', lambda c: headers(c) + frame(h2.SETTINGS, 0, 0, setting(4, 0))),
    ('8.1 trailers', lambda c: opened(c) + frame(h2.DATA, 0, 1, b'x') + headers(c, fields=[('x', 'y')])),
    ('8.1.1 a body that fits its length', lambda c: headers(c, fields=c.fields(POST, more=[('content-length', '1')]), flags=4) +
     frame(h2.DATA, 1, 1, b'x')),
]


@pytest.mark.parametrize('say', [c[1] for c in ALLOWED], ids=[c[0] for c in ALLOWED])
def test_what_is_allowed_is_heard(gw, say):
    with H2(gw.proxy) as c:
        c.send(say(c))
        assert ping_works(c)
        c.request(11)
        c.grant(11, 100_000)
        assert c.answer(11)[0] == 200


def test_settings_are_acknowledged_and_come_first(gw):
    with H2(gw.proxy) as c:
        first = c.read()
        assert first.kind == h2.SETTINGS and not first.flags & h2.ACK
        c.until(lambda f: f.kind == h2.SETTINGS and f.flags & h2.ACK)


def test_a_window_update_lets_a_stuck_answer_go_on(gw):
    with H2(gw.proxy, settings=setting(4, 3)) as c:
        c.request(1)
        assert len(c.until(lambda f: f.kind == h2.DATA).payload) == 3
        c.send(frame(h2.SETTINGS, 0, 0, setting(4, 65535)))  # §6.9.2: it changes open streams too
        assert c.until(lambda f: f.kind == h2.DATA and f.flags & h2.END_STREAM).payload


def test_garbage_instead_of_the_preface_is_no_http2(gw):
    with H2(gw.proxy, greet=False) as c:
        c.send(b'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n')
        assert c.sock.recv(4096).startswith(b'HTTP/1.1 505 ')

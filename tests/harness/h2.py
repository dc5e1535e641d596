# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by the frame: a client that may say anything, right or wrong.

Frames are made and read here, so that a test can break each rule of RFC 9113; field
blocks are coded by hpack.  Real clients (curl, nghttp, h2load, grpc) have tests of
their own."""
import socket
import ssl
import struct
import time

import hpack

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY) = range(13)


def frame(kind, flags=0, stream=0, payload=b'', length=None):
    length = len(payload) if length is None else length
    return struct.pack('>I', length)[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + payload


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    def __repr__(self):
        return f'Frame(kind={self.kind}, flags={self.flags:#x}, stream={self.stream}, {self.payload[:40]!r})'

    @property
    def code(self):
        """The error of RST_STREAM or GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return struct.unpack('>I', self.payload[at:at + 4])[0]


class Closed(Exception):
    pass


class Missing(AssertionError):
    """A frame that was waited for."""


class H2:
    """A connection; `tls` by ALPN h2, else in clear by prior knowledge."""

    def __init__(self, port, tls=False, timeout=10, settings=b'', greet=True):
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=timeout)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(['h2'])
            self.sock = context.wrap_socket(self.sock, server_hostname='localhost')
            assert self.sock.selected_alpn_protocol() == 'h2'
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.buffer, self.kept = b'', []
        self.authority = f'127.0.0.1:{port}'
        if greet:
            self.send(PREFACE + frame(SETTINGS, payload=settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def block(self, fields):
        return self.encoder.encode(fields, huffman=False)

    def fields(self, method='GET', path='/', more=(), scheme='http'):
        return [(':method', method), (':scheme', scheme), (':path', path), (':authority', self.authority), *more]

    def request(self, stream, method='GET', path='/', more=(), end=True):
        block = self.block(self.fields(method, path, more))
        pieces = [block[at:at + 16384] for at in range(0, len(block), 16384)]
        for i, piece in enumerate(pieces):
            flags = END_HEADERS if i == len(pieces) - 1 else 0
            if i == 0:
                self.send(frame(HEADERS, flags | (END_STREAM if end else 0), stream, piece))
            else:
                self.send(frame(CONTINUATION, flags, stream, piece))

    def read_exactly(self, n):
        while len(self.buffer) < n:
            try:
                data = self.sock.recv(65536)
            except (ConnectionResetError, ssl.SSLError) as e:
                raise Closed(str(e)) from e
            if not data:
                raise Closed()
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read(self):
        head = self.read_exactly(9)
        n = int.from_bytes(head[:3], 'big')
        return Frame(head[3], head[4], int.from_bytes(head[5:9], 'big') & 0x7fffffff, self.read_exactly(n))

    def until(self, wanted, seconds=10):
        """Reads until a frame for which `wanted` is true; field blocks are decoded on the way,
        so that the decoder's table stays right."""
        end, seen = time.monotonic() + seconds, []
        while time.monotonic() < end:
            try:
                f = self.read()
            except TimeoutError as e:
                raise Missing(f'the frame did not come, but {seen}') from e
            seen = [*seen[-20:], f]
            if f.kind in (HEADERS, PUSH_PROMISE) and f.flags & END_HEADERS:
                f.fields = self.decoder.decode(f.payload)
            if wanted(f):
                return f
        raise Missing(f'the frame did not come, but {seen}')

    def _next_of(self, stream, seconds):
        """The next frame of a stream; those of others are kept for their turn."""
        def wanted(f):
            if f.kind == GOAWAY and f.code != NO_ERROR:
                return True
            if f.kind not in (HEADERS, DATA, RST_STREAM):
                return False
            if f.stream != stream:
                self.kept.append(f)
            return f.stream == stream

        for f in self.kept:
            if f.stream == stream:
                self.kept.remove(f)
                return f
        return self.until(wanted, seconds)

    def answer(self, stream, seconds=10):
        """Status, fields, body and trailers of an answer; windows are granted as bytes come."""
        status, fields, body, trailers = None, {}, b'', {}
        while True:
            f = self._next_of(stream, seconds)
            if f.kind in (RST_STREAM, GOAWAY):
                raise Closed(f'{f}')
            if f.kind == HEADERS:
                got = dict(f.fields)
                if status is None and not got[':status'].startswith('1'):
                    status, fields = int(got[':status']), got
                elif status is not None:
                    trailers = got
            else:
                body += f.payload
                if f.payload and not f.flags & END_STREAM:
                    self.grant(stream, len(f.payload))
            if f.flags & END_STREAM:
                return status, fields, body, trailers

    def grant(self, stream, n):
        try:
            self.send(b''.join(frame(WINDOW_UPDATE, 0, s, struct.pack('>I', n)) for s in (0, stream)))
        except OSError:
            pass  # the end will be seen when reading

    def ending(self, seconds=10):
        """How the connection ends: GOAWAY's error, or None when it is just closed."""
        code = None
        try:
            while True:
                f = self.until(lambda f: f.kind == GOAWAY, seconds)
                code = f.code
        except Closed:
            return code

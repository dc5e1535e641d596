# SPDX-License-Identifier: Apache-2.0
"""h2_origin - an origin of HTTP/2 that does what a script says, frame by frame.

    origin = H2Origin(lambda c, stream: c.refuse(stream))

The script is called for each request, when its head is there; `c` is the connection.
Heads are not decoded: what is told of a request is the number of its stream.
"""
import socket
import struct
import threading

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
REFUSED, CANCEL, INTERNAL = 7, 8, 2
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'


def literal(name, value):
    """A field as HPACK has it in full."""
    return b'\0' + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


OK_HEAD = b'\x88' + literal('content-type', 'application/grpc')
OK_END = literal('grpc-status', '0')


def message(data):
    return struct.pack('>BI', 0, len(data)) + data


class Connection:
    def __init__(self, origin, sock, number):
        self.origin, self.sock, self.number = origin, sock, number
        self.streams, self.data, self.resets = [], {}, {}

    def send(self, kind, flags, stream, payload=b''):
        self.sock.sendall(struct.pack('>I', len(payload))[1:] + bytes([kind, flags])
                          + struct.pack('>I', stream) + payload)

    def head(self, stream, flags=0, fields=OK_HEAD):
        self.send(HEADERS, END_HEADERS | flags, stream, fields)

    def answer(self, stream, data=b'well'):
        self.head(stream)
        self.send(DATA, 0, stream, message(data))
        self.head(stream, END_STREAM, OK_END)

    def refuse(self, stream, why=REFUSED):
        self.send(RST, 0, stream, struct.pack('>I', why))

    def leave(self, last):
        self.send(GOAWAY, 0, 0, struct.pack('>II', last, 0))

    def settings(self, *pairs):
        self.send(SETTINGS, 0, 0, b''.join(struct.pack('>HI', *p) for p in pairs))

    def read(self, n):
        got = b''
        while len(got) < n:
            more = self.sock.recv(n - len(got))
            if not more:
                raise ConnectionError
            got += more
        return got

    def run(self):
        try:
            assert self.read(len(PREFACE)) == PREFACE
            self.origin.greet(self)
            while True:
                self._frame()
        except (OSError, AssertionError):
            pass
        self.close()

    def _frame(self):
        head = self.read(9)
        size, kind, flags = int.from_bytes(head[:3], 'big'), head[3], head[4]
        stream = int.from_bytes(head[5:], 'big')
        payload = self.read(size)
        if kind == SETTINGS and not flags & ACK:
            self.send(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.send(PING, ACK, 0, payload)
        elif kind == DATA:
            self.data[stream] = self.data.get(stream, b'') + payload
            if payload:
                self.send(WINDOW, 0, 0, struct.pack('>I', len(payload)))
        elif kind == RST:
            self.resets[stream] = int.from_bytes(payload, 'big')
        elif kind == HEADERS:
            self.streams.append(stream)
            self.origin.script(self, stream)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class H2Origin:
    def __init__(self, script, greet=Connection.settings):
        self.script, self.greet, self.connections = script, greet, []
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.url = f'grpc://127.0.0.1:{self.port}'
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            one = Connection(self, sock, len(self.connections) + 1)
            self.connections.append(one)
            threading.Thread(target=one.run, daemon=True).start()

    def stop(self):
        self.listener.close()
        for one in self.connections:
            one.close()

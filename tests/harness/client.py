# SPDX-License-Identifier: Apache-2.0
"""client - a raw HTTP/1.1 client for tests: sends any bytes, reads strictly.

    with Client(port) as c:
        c.send(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
        answer = c.read_response()

What it reads must be well-formed by RFC 9112, with one meaning: bare line
feeds, two framings, a wrong chunk size or bytes cut short raise BadResponse.
"""
import json as json_module
import re
import socket
import ssl

from .waits import patience

STATUS_LINE = re.compile(rb'HTTP/1\.1 ([1-9]\d\d) ([\t \x21-\x7e\x80-\xff]*)')
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", re.S)


class BadResponse(AssertionError):
    """What came back is no proper HTTP/1.1 response."""


class NoAnswer(BadResponse):
    """The connection ended before the first byte of an answer."""


class Response:
    def __init__(self, status, reason, headers):
        self.status, self.reason, self.headers = status, reason, headers
        self.body, self.trailers, self.framing = b'', [], 'none'

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name, default=None):
        """The field's value; it must not come twice."""
        values = self.all(name)
        assert len(values) < 2, f'{name} came {len(values)} times: {values}'
        return values[0] if values else default

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json_module.loads(self.body)

    def __repr__(self):
        return f'<{self.status} {self.headers} {self.body[:200]!r}>'


class Client:
    """One connection.  tls: True, or an ssl.SSLContext; sni: the name to ask for."""

    def __init__(self, port, host='127.0.0.1', tls=None, sni=None, timeout=10, source=None):
        self.port, self.host = port, host
        self.sock = socket.create_connection((host, port), patience(timeout),
                                             source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b''
        if tls:
            context = unverified() if tls is True else tls
            self.sock = context.wrap_socket(self.sock, server_hostname=sni)
        self.sock.settimeout(patience(timeout))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Ends the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.sock.close()

    # ---- asking ------------------------------------------------------------

    def request(self, method='GET', target='/', headers=(), body=None, host=None, close=False):
        """Sends one request and reads its response."""
        self.send(request_bytes(method, target, headers, body, host or f'{self.host}:{self.port}',
                                close))
        return self.read_response(method)

    def get(self, target='/', headers=(), **more):
        return self.request('GET', target, headers, **more)

    # ---- reading -----------------------------------------------------------

    def _more(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            data = b''
        except ssl.SSLEOFError:
            data = b''
        self.buffer += data
        return bool(data)

    def _line(self):
        while b'\n' not in self.buffer:
            if not self._more():
                raise BadResponse(f'closed inside a line: {self.buffer[:200]!r}')
        line, self.buffer = self.buffer.split(b'\n', 1)
        if not line.endswith(b'\r') or b'\r' in line[:-1]:
            raise BadResponse(f'line not ended by CR LF: {line[:200]!r}')
        return line[:-1]

    def _exactly(self, size):
        pieces, self.buffer = [self.buffer[:size]], self.buffer[size:]
        missing = size - len(pieces[0])
        while missing:
            if not self._more():
                raise BadResponse(f'closed after {size - missing} of {size} bytes')
            pieces.append(self.buffer[:missing])
            self.buffer = self.buffer[missing:]
            missing -= len(pieces[-1])
        return b''.join(pieces)

    def _fields(self):
        fields = []
        while True:
            line = self._line()
            if not line:
                return fields
            m = FIELD_LINE.fullmatch(line)
            if not m:
                raise BadResponse(f'malformed field line: {line[:200]!r}')
            fields.append((m[1].decode(), m[2].decode('latin-1')))

    def read_head(self):
        if not self.buffer and not self._more():
            raise NoAnswer('closed before an answer')
        line = self._line()
        m = STATUS_LINE.fullmatch(line)
        if not m:
            raise BadResponse(f'malformed status line: {line[:200]!r}')
        return Response(int(m[1]), m[2].decode('latin-1'), self._fields())

    def read_response(self, method='GET', interim=None):
        """The final response; 1xx ones before it are added to the list `interim`."""
        while True:
            answer = self.read_head()
            if answer.status >= 200 or answer.status == 101:
                break
            if interim is not None:
                interim.append(answer)
        if method == 'HEAD' or answer.status in (101, 204, 304):
            return answer
        codings, lengths = answer.all('Transfer-Encoding'), answer.all('Content-Length')
        if codings and lengths:
            raise BadResponse('both Transfer-Encoding and Content-Length')
        if codings:
            if [c.lower() for c in codings] != ['chunked']:
                raise BadResponse(f'transfer codings {codings}')
            self._chunked(answer)
        elif lengths:
            if len(lengths) != 1 or not lengths[0].isdigit():
                raise BadResponse(f'content lengths {lengths}')
            answer.framing = 'length'
            answer.body = self._exactly(int(lengths[0]))
        else:
            answer.framing = 'close'
            answer.body = self.read_to_end()
        return answer

    def _chunked(self, answer):
        answer.framing = 'chunked'
        while True:
            line = self._line()
            if not re.fullmatch(rb'[0-9A-Fa-f]+', line):
                raise BadResponse(f'chunk size {line[:40]!r}')
            size = int(line, 16)
            if size == 0:
                answer.trailers = self._fields()
                return
            answer.body += self._exactly(size)
            if self._exactly(2) != b'\r\n':
                raise BadResponse('chunk not ended by CR LF')

    def read_to_end(self):
        pieces = []
        while self.buffer or self._more():
            pieces.append(self.buffer)
            self.buffer = b''
        return b''.join(pieces)

    def is_closed(self, within=5):
        """Whether the other side ends the connection, in order or by reset, in that time."""
        if self.buffer:
            raise BadResponse(f'unread bytes: {self.buffer[:200]!r}')
        old = self.sock.gettimeout()
        self.sock.settimeout(patience(within))
        try:
            return not self._more() and not self.buffer
        except (socket.timeout, ssl.SSLWantReadError):
            return False
        finally:
            self.sock.settimeout(old)


def request_bytes(method='GET', target='/', headers=(), body=None, host='x', close=False):
    fields = list(headers.items() if isinstance(headers, dict) else headers)
    names = {n.lower() for n, _ in fields}
    if 'host' not in names:
        fields.insert(0, ('Host', host))
    if body is not None and not names & {'content-length', 'transfer-encoding'}:
        fields.append(('Content-Length', str(len(body))))
    if close:
        fields.append(('Connection', 'close'))
    head = f'{method} {target} HTTP/1.1\r\n' + ''.join(f'{n}: {v}\r\n' for n, v in fields) + '\r\n'
    return head.encode('latin-1') + (body or b'')


def chunked(*pieces, trailers=()):
    """The pieces as a chunked body."""
    body = b''.join(b'%x\r\n%s\r\n' % (len(p), p) for p in pieces) + b'0\r\n'
    return body + b''.join(f'{n}: {v}\r\n'.encode() for n, v in trailers) + b'\r\n'


def unverified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ask(port, target='/', method='GET', headers=(), body=None, host=None, tls=None, sni=None,
        timeout=10):
    """One request on a connection of its own."""
    with Client(port, tls=tls, sni=sni, timeout=timeout) as c:
        return c.request(method, target, headers, body, host=host, close=True)

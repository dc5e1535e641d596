# SPDX-License-Identifier: Apache-2.0
"""origin - an HTTP origin on raw sockets that does what a script says.

    o = Origin()
    o.on('/slow', lambda c, r: (time.sleep(1), c.send(ok(b'late'))))
    o.on('/half', b'HTTP/1.1 200 OK\\r\\nContent-Le', close=True)
    ...
    o.requests[-1].raw      the exact bytes of the last request

Without a script for the path it echoes what it saw as JSON.  A script is bytes
(sent as they are) or a call with the connection and the request; after it the
connection is kept unless it was closed.  Requests are recorded before they are
answered, in the order of their arrival.
"""
import json
import socket
import threading

from .ports import free_port
from .waits import patience, wait_for


class Seen:
    """A request as it came in."""

    def __init__(self, raw_head, connection, index):
        self.raw_head, self.connection, self.index = raw_head, connection, index
        lines = raw_head.decode('latin-1').split('\r\n')
        self.line = lines[0]
        self.method, self.target, self.version = (lines[0].split(' ') + ['', ''])[:3]
        self.headers = [tuple(part.strip(' \t') for part in line.split(':', 1))
                        for line in lines[1:] if ':' in line]
        self.raw_body = self.body = b''
        self.trailers = []

    @property
    def raw(self):
        return self.raw_head + self.raw_body

    @property
    def path(self):
        return self.target.split('?', 1)[0]

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        assert len(values) < 2, f'{name} came {len(values)} times: {values}'
        return values[0] if values else default

    def __repr__(self):
        return f'<{self.line} {self.headers} {self.body[:100]!r}>'


class Connection:
    """One accepted connection, in the hands of a script."""

    def __init__(self, sock, number):
        self.sock, self.number = sock, number
        self.buffer = b''
        self.is_open = True

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        """In order: what was sent arrives, then the end."""
        self.is_open = False
        self.sock.close()

    def reset(self):
        """By RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.close()

    def wait_closed(self, timeout=10):
        """Until the other side ended the connection; True when it did."""
        self.sock.settimeout(patience(timeout))
        try:
            while self.sock.recv(65536):
                pass
            return True
        except socket.timeout:
            return False
        except OSError:
            return True

    # ---- reading requests ---------------------------------------------------

    def _more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        if not data:
            raise EOFError

    def _exactly(self, size):
        while len(self.buffer) < size:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def _until(self, mark):
        while mark not in self.buffer:
            self._more()
        end = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def read_head(self, index):
        return Seen(self._until(b'\r\n\r\n'), self.number, index)

    def read_body(self, request):
        if [v.lower() for v in request.all('Transfer-Encoding')] == ['chunked']:
            while True:
                line = self._until(b'\r\n')
                request.raw_body += line
                size = int(line.split(b';')[0], 16)
                if not size:
                    break
                data = self._exactly(size + 2)
                request.raw_body += data
                request.body += data[:-2]
            while True:
                line = self._until(b'\r\n')
                request.raw_body += line
                if line == b'\r\n':
                    return
                name, value = line.decode('latin-1').split(':', 1)
                request.trailers.append((name, value.strip()))
        elif request.all('Content-Length'):
            request.raw_body = request.body = self._exactly(int(request.get('Content-Length')))


def ok(body=b'', status=200, reason='OK', headers=(), length=True):
    """A proper response as bytes."""
    if isinstance(body, str):
        body = body.encode()
    lines = [f'HTTP/1.1 {status} {reason}'] + [f'{n}: {v}' for n, v in headers]
    if length:
        lines.append(f'Content-Length: {len(body)}')
    return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1') + body


def echo(connection, request):
    said = {'method': request.method, 'target': request.target, 'headers': request.headers,
            'body': request.body.decode('latin-1'), 'port': connection.sock.getsockname()[1]}
    answer = ok(json.dumps(said), headers=[('Content-Type', 'application/json')])
    if request.method == 'HEAD':
        answer = answer.split(b'\r\n\r\n')[0] + b'\r\n\r\n'
    connection.send(answer)


class Origin:
    """tls: a server-side ssl.SSLContext.  on_connect(connection) runs before the first read;
    when it closes the connection nothing is read.  body_first=False leaves the reading of
    request bodies to the scripts (connection.read_body)."""

    def __init__(self, tls=None, on_connect=None, body_first=True, backlog=512, host='127.0.0.1'):
        self.tls, self.on_connect, self.body_first = tls, on_connect, body_first
        self.requests, self.scripts, self.default = [], {}, echo
        self.connections, self.names = 0, []
        self._live, self._lock, self._stopping = set(), threading.Lock(), False
        self.host, self.port = host, free_port()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, self.port))
        self._listener.listen(backlog)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f'{"https" if self.tls else "http"}://{self.host}:{self.port}'

    def on(self, path, script, close=False):
        """What to do when that path is asked for; bytes are sent as they are."""
        if isinstance(script, bytes):
            data = script

            def script(connection, _request):
                connection.send(data)
                if close:
                    connection.close()
        self.scripts[path] = script
        return self

    def wait_requests(self, count, timeout=10):
        wait_for(lambda: len(self.requests) >= count, f'request {count} at the origin', timeout)
        return self.requests

    def last(self):
        return self.requests[-1]

    @property
    def open_connections(self):
        return len(self._live)

    def stop(self):
        self._stopping = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        with self._lock:
            live = list(self._live)
        for sock in live:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(5)

    # ---- threads --------------------------------------------------------------

    def _accept(self):
        while not self._stopping:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
                self._live.add(sock)
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock, number):
        live = sock
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self.names.append(getattr(sock, 'asked_name', None))
            connection = Connection(sock, number)
            if self.on_connect:
                self.on_connect(connection)
            index = 0
            while connection.is_open:
                index += 1
                self._exchange(connection, index)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            with self._lock:
                self._live.discard(live)
            sock.close()

    def _exchange(self, connection, index):
        request = connection.read_head(index)
        if self.body_first:
            connection.read_body(request)
        with self._lock:
            self.requests.append(request)
        self.scripts.get(request.path, self.default)(connection, request)

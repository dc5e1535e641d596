# SPDX-License-Identifier: Apache-2.0
"""Bodies larger than any memory: through in both ways, buffered or not, at a constant size.

By default they have 64 MB; GIBBON_TEST_BODY=5G runs the real thing."""
import hashlib
import os
import threading
import time

import pytest

from harness.client import Client, chunked, request_bytes
from harness.config import declarative, route, service
from harness.origin import ok
from harness.waits import wait_for

UNITS = {'M': 1 << 20, 'G': 1 << 30}
TEXT = os.environ.get('GIBBON_TEST_BODY', '64M')
SIZE = int(TEXT[:-1]) * UNITS[TEXT[-1]]
PIECE = os.urandom(1 << 20)
LONG = {'nginx_http_client_body_timeout': '60s'}
ASAN = 'asan' in os.environ.get('GIBBON', '')
pytestmark = pytest.mark.timeout(600)


def digest_of(size):
    sha, left = hashlib.sha1(), size
    while left:
        n = min(left, len(PIECE))
        sha.update(PIECE[:n])
        left -= n
    return sha.hexdigest()


def take(connection, request):
    """Reads the body in pieces, whichever way it is framed, and says what it was."""
    sha, size = hashlib.sha1(), 0
    if request.all('Content-Length'):
        left = int(request.get('Content-Length'))
        while left:
            data = connection.buffer or connection.sock.recv(1 << 20)
            connection.buffer = b''
            if not data:
                return connection.close()
            sha.update(data)
            left -= len(data)
            size += len(data)
    else:
        while True:
            n = int(connection._until(b'\r\n'), 16)
            if n == 0:
                break
            sha.update(connection._exactly(n + 2)[:-2])
            size += n
        connection._until(b'\r\n')
    connection.send(ok(f'{size} {sha.hexdigest()}'))


def give(connection, request):
    _, how, size = request.path.strip('/').split('/')
    left = int(size)
    connection.send(b'HTTP/1.1 200 OK\r\n' + (b'Transfer-Encoding: chunked' if how == 'chunked'
                                              else b'Content-Length: %d' % left) + b'\r\n\r\n')
    while left:
        piece = PIECE[:min(left, len(PIECE))]
        connection.send(b'%x\r\n%s\r\n' % (len(piece), piece) if how == 'chunked' else piece)
        left -= len(piece)
    if how == 'chunked':
        connection.send(b'0\r\n\r\n')


@pytest.fixture(scope='module')
def origin1(module_origin):
    o = module_origin(body_first=False)
    o.default = lambda c, r: take(c, r) if r.method in ('POST', 'PUT') else give(c, r)
    return o


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    def of(path, buffering):
        return service(origin1, route(paths=[path], strip_path=False, request_buffering=buffering,
                                      response_buffering=buffering))

    return module_gateway(declarative(of('/kept', True), of('/passed', False)), conf=LONG)


class Watched:
    """The largest memory of the worker while a test runs."""

    def __init__(self, gateway):
        (self.pid,), self.most = gateway.workers, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def resident(self):
        with open(f'/proc/{self.pid}/statm') as text:
            return int(text.read().split()[1]) * 4096

    def _look(self):
        while not self._end.wait(0.01):
            self.most = max(self.most, self.resident())

    def __enter__(self):
        self.before = self.resident()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        print(f'{self.before >> 10} KB before, {self.most >> 10} KB at most')


def check_memory(watched):
    if not ASAN:
        assert watched.most - watched.before < 12 << 20


def spool_files(gateway):
    (pid,) = gateway.workers
    names = []
    for fd in os.listdir(f'/proc/{pid}/fd'):
        try:
            names.append(os.readlink(f'/proc/{pid}/fd/{fd}'))
        except OSError:
            pass
    return [n for n in names if '/body_temp/' in n]


@pytest.mark.parametrize('framing', ['length', 'chunked'])
@pytest.mark.parametrize('path', ['/kept', '/passed'])
def test_up(gw, path, framing):
    with Watched(gw) as watched, gw.client(timeout=300) as c:
        began = time.monotonic()
        if framing == 'length':
            c.send(request_bytes('POST', path, [('Content-Length', str(SIZE))]))
        else:
            c.send(request_bytes('POST', path, [('Transfer-Encoding', 'chunked')]))
        for _ in range(SIZE // len(PIECE)):
            c.send(PIECE if framing == 'length' else b'%x\r\n%s\r\n' % (len(PIECE), PIECE))
        if framing == 'chunked':
            c.send(b'0\r\n\r\n')
        answer = c.read_response()
        print(f'{SIZE / (time.monotonic() - began) / 1e6:.0f} MB/s')
    assert answer.text == f'{SIZE} {digest_of(SIZE)}'
    check_memory(watched)
    wait_for(lambda: not spool_files(gw), 'the file to go')


@pytest.mark.parametrize('framing', ['length', 'chunked'])
@pytest.mark.parametrize('path', ['/kept', '/passed'])
def test_down(gw, path, framing):
    sha, size = hashlib.sha1(), 0
    with Watched(gw) as watched, gw.client(timeout=300) as c:
        began = time.monotonic()
        c.send(request_bytes('GET', f'{path}/{framing}/{SIZE}'))
        c.read_head()
        while size < SIZE:
            n = int(c._line(), 16) if framing == 'chunked' else min(SIZE - size, 1 << 16)
            sha.update(c._exactly(n))
            size += n
            if framing == 'chunked':
                assert c._exactly(2) == b'\r\n'
        print(f'{SIZE / (time.monotonic() - began) / 1e6:.0f} MB/s')
    assert sha.hexdigest() == digest_of(SIZE)
    check_memory(watched)
    wait_for(lambda: not spool_files(gw), 'the file to go')


def test_a_kept_body_lies_in_a_nameless_file_of_the_prefix(gw, origin1):
    before = len(origin1.requests)
    size = 4 << 20
    with gw.client() as c:
        c.send(request_bytes('POST', '/kept', [('Content-Length', str(size))]) + PIECE * 3)
        (name,) = wait_for(lambda: spool_files(gw), 'the file')
        assert name.startswith(gw.prefix) and name.endswith('(deleted)')
        assert os.listdir(os.path.join(gw.prefix, 'body_temp')) == []
        assert len(origin1.requests) == before  # nobody is asked before it is whole
        c.send(PIECE)
        assert c.read_response().text == f'{size} {digest_of(size)}'
    with gw.client() as c:  # and it goes with its client
        c.send(request_bytes('POST', '/kept', [('Content-Length', str(size))]) + PIECE * 3)
        wait_for(lambda: spool_files(gw), 'the file')
    wait_for(lambda: not spool_files(gw), 'the file to go')


def test_a_small_body_needs_no_file(gateway, origin):
    g = gateway(declarative(service(origin(), route(paths=['/']))),
                conf={'nginx_http_client_body_buffer_size': '256k'})
    with g.client() as c:
        c.send(request_bytes('POST', '/', [('Content-Length', '200000')]) + b'x' * 199999)
        time.sleep(0.1)
        assert spool_files(g) == []
        c.send(b'x')
        assert c.read_response().status == 200


def test_a_reader_that_is_slow_lets_the_service_go(gateway, origin):
    """What it has not taken yet lies in a file; without buffering the service waits."""
    done = {}
    o = origin()
    data = PIECE * 24

    def script(connection, request):
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(data))
        connection.send(data)
        done[request.path] = True

    o.on('/kept', script).on('/passed', script)
    g = gateway(declarative(
        service(o, route(paths=['/kept'], strip_path=False)),
        service(o, route(paths=['/passed'], strip_path=False, response_buffering=False))))
    for tls in (None, True):
        done.clear()
        kept = Client(g.proxy_tls if tls else g.proxy, tls=tls)
        passed = Client(g.proxy_tls if tls else g.proxy, tls=tls)
        with kept, passed:
            kept.send(request_bytes('GET', '/kept'))
            passed.send(request_bytes('GET', '/passed'))
            wait_for(lambda: '/kept' in done, 'the service to be through')
            assert '/passed' not in done
            assert kept.read_response().body == data
            assert passed.read_response().body == data


def test_over_tls_both_ways(gw):
    size = 8 << 20
    with Client(gw.proxy_tls, tls=True) as c:
        c.send(request_bytes('POST', '/kept', [('Content-Length', str(size))]))
        for _ in range(8):
            c.send(PIECE)
        assert c.read_response().text == f'{size} {digest_of(size)}'
        answer = c.get(f'/kept/chunked/{size}')
        assert hashlib.sha1(answer.body).hexdigest() == digest_of(size)


def test_100_continue_comes_when_the_body_is_wanted(gw):
    with gw.client() as c:
        for path in ('/kept', '/passed'):
            c.send(request_bytes('POST', path, [('Content-Length', '5'), ('Expect', '100-continue')]))
            assert c.read_head().status == 100
            c.send(PIECE[:5])
            assert c.read_response().text == f'5 {digest_of(5)}'
        c.send(request_bytes('POST', '/nowhere', [('Content-Length', '5'), ('Expect', '100-continue')]))
        assert c.read_head().status == 404


def test_a_body_past_the_limit_is_refused_however_it_comes(gateway, origin):
    o = origin()
    g = gateway(declarative(service(o, route(paths=['/kept'])),
                            service(o, route(paths=['/passed'], request_buffering=False))),
                conf={'nginx_http_client_max_body_size': '1m'})
    for path in ('/kept', '/passed'):
        with g.client() as c:
            c.send(request_bytes('POST', path, [('Content-Length', str((1 << 20) + 1))]))
            assert c.read_response().status == 413
        with g.client() as c:
            c.send(request_bytes('POST', path, [('Transfer-Encoding', 'chunked')])
                   + chunked(b'x' * (1 << 20), b'x'))
            assert c.read_response().status == 413
        with g.client() as c:
            c.send(request_bytes('POST', path, [('Expect', '100-continue'), ('Content-Length', '2000000')]))
            assert c.read_head().status == 413
        assert g.get(path, method='POST', body=b'x' * (1 << 20)).status == 200
    assert len(o.requests) == 2

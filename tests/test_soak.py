# SPDX-License-Identifier: Apache-2.0
"""Everything at once for a while: traffic of every kind, reloads, origins that die and come back.

GIBBON_TEST_SOAK says for how many seconds; 180 under a sanitizer is what a release is held to.
"""
import os
import random
import threading
import time
from collections import Counter

import pytest

from harness.client import BadResponse, Client, chunked, request_bytes
from harness.config import declarative, route, service
from harness.origin import ok
from harness.waits import wait_for

SECONDS = float(os.environ.get('GIBBON_TEST_SOAK', '15'))
BIG = b'x' * (2 << 20)
ASK = [('Connection', 'Upgrade'), ('Upgrade', 'websocket')]
pytestmark = pytest.mark.timeout(SECONDS * 2 + 120)


def switch(connection, _request):
    connection.send(b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n'
                    b'Upgrade: websocket\r\n\r\n')
    while True:
        data = connection.sock.recv(4096)
        if not data:
            return connection.close()
        connection.send(data)


class Soak:
    def __init__(self, gateway, dying):
        self.gateway, self.dying = gateway, dying
        self.end = time.monotonic() + SECONDS
        self.done, self.failed = Counter(), []
        self.random = random.Random(5)

    def each(self, name, work, pause=0.0):
        """A thread that does the work again and again; an exception is a failure."""
        def run():
            while time.monotonic() < self.end and len(self.failed) < 10:
                try:
                    work()
                    self.done[name] += 1
                except Exception as error:  # noqa: BLE001 - told by the test
                    self.failed.append(f'{name}: {error!r}')
                time.sleep(pause)
        return threading.Thread(target=run, daemon=True)

    # ---- what must always be right ------------------------------------------------

    def kept(self):
        with self.gateway.client() as c:
            for i in range(20):
                answer = c.get(f'/fine/{i}')
                assert answer.status == 200, answer
                if answer.get('Connection') == 'close':
                    return

    def fresh(self):
        assert self.gateway.get('/fine/x').status == 200

    def tls(self):
        with Client(self.gateway.proxy_tls, tls=True) as c:
            assert c.request('POST', '/fine/x', body=BIG[:50000], close=True).status == 200

    def large(self):
        with self.gateway.client() as c:
            answer = c.request('PUT', '/fine/x', body=BIG[:300000], close=True)
            assert answer.status == 200 and len(answer.json()['body']) == 300000

    def streamed(self):
        with self.gateway.client() as c:
            c.send(request_bytes('PUT', '/stream/x', [('Transfer-Encoding', 'chunked')], close=True)
                   + chunked(BIG[:1000], BIG[:70000]))
            assert c.read_response().status == 200

    def slow_reader(self):
        with self.gateway.client() as c:
            c.send(request_bytes('GET', '/fine/big', close=True))
            c.read_head()
            for _ in range(8):
                c._exactly(len(BIG) // 8)
                time.sleep(0.01)

    def tunnel(self):
        with self.gateway.client() as c:
            c.send(request_bytes('GET', '/fine/ws', ASK))
            assert c.read_response().status == 101
            for i in range(5):
                c.send(b'%05d' % i)
                assert c._exactly(5) == b'%05d' % i
                time.sleep(0.01)

    # ---- what may fail, in order ---------------------------------------------------

    def to_the_dying(self):
        answer = self.gateway.get('/dying/x')
        assert answer.status in (200, 502, 504), answer

    def aborted(self):
        with self.gateway.client() as c:
            c.send(request_bytes('POST', '/fine/x', [('Content-Length', '100000')]) + b'x' * 1000)
        with self.gateway.client() as c:
            c.send(request_bytes('GET', '/fine/big'))
            c.sock.recv(1000)
            c.reset()
        with self.gateway.client() as c:
            c.send(b'GET / HTTP/1.1\r\nHost')

    def malformed(self):
        with self.gateway.client() as c:
            c.send(b'GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n')
            assert c.read_response().status == 400

    def cut_short(self):
        with self.gateway.client() as c, pytest.raises(BadResponse):
            c.get('/fine/cut')

    # ---- what happens meanwhile ------------------------------------------------------

    def reload(self):
        self.gateway.reload()

    def dying_origin(self):
        """Takes some requests, then drops every connection for a moment."""
        self.dying.is_dead = True
        time.sleep(0.2)
        self.dying.is_dead = False


def descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def test_a_while_of_everything(gateway, origin):
    fine = origin().on('/fine/big', ok(BIG)).on('/fine/ws', switch)
    fine.on('/fine/cut', b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut', close=True)
    dying = origin(on_connect=lambda c: c.reset() if dying.is_dead else None)
    dying.is_dead = False
    dying.default = lambda c, r: c.reset() if dying.is_dead else c.send(ok(b'alive'))
    g = gateway(declarative(
        service(fine, route(paths=['/fine'], strip_path=False)),
        service(fine, route(paths=['/stream'], strip_path=False, request_buffering=False,
                            response_buffering=False)),
        service('http://up', route(paths=['/dying'], strip_path=False), retries=2, read_timeout=2000),
        upstreams=[{'name': 'up', 'targets': [{'target': f'127.0.0.1:{dying.port}'}]}]), conf={
            'nginx_worker_processes': '2', 'log_level': 'notice',
            'nginx_main_worker_shutdown_timeout': '10s'})
    soak = Soak(g, dying)
    pauses = {'reload': 2.5, 'dying_origin': 0.7, 'malformed': 0.05, 'cut_short': 0.05, 'aborted': 0.05}
    names = ['kept', 'fresh', 'tls', 'large', 'streamed', 'slow_reader', 'tunnel', 'to_the_dying', 'aborted',
             'malformed', 'cut_short', 'reload', 'dying_origin']
    threads = [soak.each(n, getattr(soak, n), pauses.get(n, 0.01)) for n in names]
    for t in threads:
        t.start()
    for t in threads:
        t.join(SECONDS + 60)
    print(dict(soak.done))
    assert soak.failed == []
    assert all(soak.done[n] for n in names), soak.done
    wait_for(lambda: len(g.workers) == 1, 'the former workers to go', timeout=15)
    (pid,) = g.workers
    before = descriptors(pid)
    for _ in range(20):
        soak.kept()
        soak.aborted()
    wait_for(lambda: descriptors(pid) <= before + 8, 'descriptors to be given back')
    assert g.get('/fine/x').status == 200
    assert 'ended by signal' not in g.log() and 'died' not in g.log()

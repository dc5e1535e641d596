# SPDX-License-Identifier: Apache-2.0
"""No request is lost over a reload, a crash or a full stop's drain."""
import os
import signal
import socket
import threading
import time

from harness.gateway import children
from harness.waits import wait_for

CONFIG = '''_format_version: "3.0"
services:
- name: origin
  url: http://127.0.0.1:%d
  routes:
  - name: all
    paths: [/]
'''


class Asker(threading.Thread):
    """Asks over kept-alive connections until told to stop; counts what it was promised and got.

    A connection may end after a reply that said close, and at no other time: `lost` counts
    requests that got no whole reply."""

    def __init__(self, port, keep_alive=True):
        super().__init__(daemon=True)
        self.port, self.keep_alive = port, keep_alive
        self.good = self.closed = self.lost = 0
        self.is_over = False
        self.start()

    def run(self):
        sock = None
        while not self.is_over:
            sock = sock or socket.create_connection(('127.0.0.1', self.port), timeout=10)
            said_close = self.ask(sock)
            if said_close is None:
                self.lost += 1
            else:
                self.good += 1
                self.closed += said_close
            if said_close is not False:
                sock.close()
                sock = None

    def ask(self, sock):
        """True when the reply said close, False when not, None when there is no whole reply."""
        close = b'' if self.keep_alive else b'Connection: close\r\n'
        try:
            sock.sendall(b'GET / HTTP/1.1\r\nHost: a.test\r\n' + close + b'\r\n')
            data = b''
            while b'\r\n\r\n' not in data:
                piece = sock.recv(65536)
                if not piece:
                    return None
                data += piece
            head, body = data.split(b'\r\n\r\n', 1)
            head = head.lower()
            if not head.startswith(b'http/1.1 200'):
                return None
            length = int(head.split(b'content-length: ')[1].split(b'\r\n')[0])
            while len(body) < length:
                piece = sock.recv(65536)
                if not piece:
                    return None
                body += piece
            return b'connection: close' in head
        except OSError:
            return None

    def end(self):
        self.is_over = True
        self.join(20)


def test_reloads_under_load_lose_nothing(gateway, origin):
    g = gateway(CONFIG % origin().port)
    askers = [Asker(g.proxy, keep_alive) for keep_alive in (True, True, False)]
    for _ in range(4):
        before = children(g.process.pid)
        done = g.cli('reload')
        assert done.returncode == 0, done.stderr
        assert done.stdout == 'Kong reloaded\n'
        wait_for(lambda: not set(before) & set(children(g.process.pid)), 'the old worker to go')
    for asker in askers:
        asker.end()
    assert [a.lost for a in askers] == [0, 0, 0]
    assert all(a.good > 10 for a in askers)
    assert all(a.closed >= 4 for a in askers)


def test_a_reload_that_fails_disturbs_nobody(gateway, origin):
    # After its 1000 requests a connection would be told to close, reload or not.
    g = gateway(CONFIG % origin().port, conf={'nginx_http_keepalive_requests': '1000000'})
    worker = children(g.process.pid)
    asker = Asker(g.proxy)
    g.write_config('_format_version: "3.0"\nservices: 1\n')
    assert g.cli('reload').returncode == 1
    g.write_config(CONFIG % 1)
    g.write_conf(status_listen='192.0.2.1:9')
    assert g.cli('reload').returncode == 1
    asker.end()
    assert (asker.lost, asker.closed) == (0, 0)
    assert children(g.process.pid) == worker


def test_a_crashed_worker_is_back_within_a_second(gateway, origin):
    g = gateway(CONFIG % origin().port)
    first = children(g.process.pid)
    os.kill(first[0], signal.SIGKILL)
    then = time.monotonic()
    with socket.create_connection(('127.0.0.1', g.proxy), timeout=5) as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')
        assert sock.recv(65536).startswith(b'HTTP/1.1 200')
    assert time.monotonic() - then < 1
    assert children(g.process.pid) != first

# SPDX-License-Identifier: Apache-2.0
"""UDP sessions through stream_listen."""
import json
import os
import signal
import socket
import threading

import pytest

from harness.config import declarative
from harness.ports import free_port
from harness.streams import UdpOrigin, stream, udp_client
from harness.waits import wait_for

LOG = {'proxy_stream_access_log': 'logs/stream.log basic'}


@pytest.fixture
def origin():
    made = []

    def make(*args, **more):
        made.append(UdpOrigin(*args, **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def test_datagrams_of_one_client_are_one_session(gateway, origin, tmp_path):
    port, out = free_port(), tmp_path / 'sessions.log'
    there = origin()
    gw = gateway(declarative(
        stream(there, protocol='udp', name='echo', protocols=['udp'], destinations=[{'port': port}],
               service={'read_timeout': 300}),
        plugins=[{'name': 'file-log', 'protocols': ['udp'], 'config': {'path': str(out)}}]),
        conf={'stream_listen': f'127.0.0.1:{port} udp', **LOG})
    with udp_client(port) as a, udp_client(port) as b:
        for text in (b'one', b'', b'x' * 40000):
            for c in (a, b):
                c.send(text)
                assert c.recv(65536) == text
    assert len({address for _, address in there.seen}) == 2
    wait_for(lambda: len(gw.log('stream.log').splitlines()) == 2, 'the log lines')
    for line in gw.log('stream.log').splitlines():
        assert ' UDP 200 40003 40003 ' in line
    entries = wait_for(lambda: len(out.read_text().splitlines()) == 2 and out.read_text(), 'the entries')
    for line in entries.splitlines():
        entry = json.loads(line)
        assert entry['session'] == {'received': 40003, 'sent': 40003, 'status': 200, 'server_port': port}
        assert entry['upstream'] == {'received': 40003, 'sent': 40003}


def test_many_answers_to_one_question_and_none(gateway, origin):
    port = free_port()
    gateway(declarative(stream(origin(lambda d: [d + b'%d' % i for i in range(int(d))]), protocol='udp',
                               protocols=['udp'], destinations=[{'port': port}])),
            conf={'stream_listen': f'127.0.0.1:{port} udp'})
    with udp_client(port) as c:
        c.send(b'0')
        c.send(b'100')
        assert [c.recv(100) for _ in range(100)] == [b'100%d' % i for i in range(100)]


def test_udp_and_tcp_on_one_port(gateway, origin):
    port = free_port()
    gateway(declarative(
        stream(origin(lambda d: [b'udp']), protocol='udp', protocols=['udp'], destinations=[{'port': port}])),
        conf={'stream_listen': f'127.0.0.1:{port} udp, 127.0.0.1:{port}', **LOG})
    with udp_client(port) as c:
        c.send(b'x')
        assert c.recv(100) == b'udp'
    with socket.create_connection(('127.0.0.1', port), 10) as s:
        assert s.recv(100) == b''  # a udp route takes no TCP


def test_answers_come_from_the_address_that_was_asked(gateway, origin):
    port = free_port()
    gateway(declarative(stream(origin(), protocol='udp', protocols=['udp'], destinations=[{'port': port}])),
            conf={'stream_listen': f'0.0.0.0:{port} udp reuseport', 'nginx_worker_processes': '2'})
    for host in ('127.0.0.1', '127.0.0.2', '127.9.9.9'):
        with udp_client(port, host) as c:  # connected: it hears this address alone
            c.send(host.encode())
            assert c.recv(100) == host.encode()


def test_ipv6_clients(gateway, origin):
    port = free_port()
    gateway(declarative(stream(origin(), protocol='udp', protocols=['udp'], sources=[{'ip': '::1'}])),
            conf={'stream_listen': f'[::]:{port} udp'})
    with udp_client(port, '::1') as c:
        c.send(b'six')
        assert c.recv(100) == b'six'


def test_no_route_and_no_target(gateway):
    port, other, dead = free_port(), free_port(), free_port()
    gw = gateway(declarative(stream(dead, protocol='udp', protocols=['udp'], destinations=[{'port': port}])),
                 conf={'stream_listen': f'127.0.0.1:{port} udp, 127.0.0.1:{other} udp', **LOG})
    with udp_client(port) as c, udp_client(other) as d:
        c.send(b'x')
        d.send(b'x')
        wait_for(lambda: ' UDP 500 0 0 ' in gw.log('stream.log'), 'no route in the log')
        wait_for(lambda: ' UDP 502 0 1 ' in gw.log('stream.log'), 'the refused datagram in the log')
    assert 'Connection refused' in gw.log()


def test_proxy_responses_ends_a_session_with_its_answer(gateway, origin):
    port = free_port()
    there = origin()
    gw = gateway(declarative(stream(there, protocol='udp', protocols=['udp'], destinations=[{'port': port}])),
                 conf={'stream_listen': f'127.0.0.1:{port} udp', 'nginx_sproxy_proxy_responses': '1', **LOG})
    with udp_client(port) as c:
        for i in range(3):
            c.send(b'%d' % i)
            assert c.recv(100) == b'%d' % i
            wait_for(lambda: len(gw.log('stream.log').splitlines()) == i + 1, 'the session to end')
    assert len({address for _, address in there.seen}) == 3


def test_proxy_requests_begins_a_new_session(gateway, origin):
    port = free_port()
    there = origin()
    gateway(declarative(stream(there, protocol='udp', protocols=['udp'], destinations=[{'port': port}])),
            conf={'stream_listen': f'127.0.0.1:{port} udp', 'nginx_sproxy_proxy_requests': '2'})
    with udp_client(port) as c:
        for i in range(6):
            c.send(b'%d' % i)
            assert c.recv(100) == b'%d' % i
    assert len({address for _, address in there.seen}) == 3


def memory(pid):
    with open(f'/proc/{pid}/statm') as text:
        return int(text.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def test_a_flood_of_clients_takes_bounded_memory(gateway, origin):
    port, most = free_port(), 1024
    there = origin()
    gw = gateway(declarative(stream(there, protocol='udp', protocols=['udp'], destinations=[{'port': port}],
                                    service={'read_timeout': 60000})),
                 conf={'stream_listen': f'127.0.0.1:{port} udp',
                       'nginx_events_worker_connections': str(most), **LOG})
    with udp_client(port) as known:
        known.send(b'hello')
        assert known.recv(100) == b'hello'
        before = memory(gw.workers[0])
        for i in range(4 * most):  # each from another address
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((f'127.1.{i >> 8 & 255}.{i & 255}', 0))
                s.sendto(b'flood' * 20, ('127.0.0.1', port))
        wait_for(lambda: 'the sessions that there may be are used up' in gw.log(), 'the ceiling')
        known.settimeout(0.5)

        def is_answered():  # who was there before goes on; the flood may have taken its datagram's place
            known.send(b'still here')
            return known.recv(100) == b'still here'
        wait_for(is_answered, 'an answer')
        assert memory(gw.workers[0]) - before < 64 << 20
    assert len({address for _, address in there.seen}) <= most // 2
    assert gw.is_ready()  # and others than UDP still get in
    gw.stop(signal.SIGTERM)


def test_a_session_goes_on_answering_over_a_reload(gateway, origin):
    port = free_port()
    heard, go = threading.Event(), threading.Event()

    def slowly(data):
        if data == b'slow':
            heard.set()
            go.wait(30)
        return [data]
    gw = gateway(declarative(stream(origin(slowly), protocol='udp', protocols=['udp'],
                                    destinations=[{'port': port}], service={'read_timeout': 2000})),
                 conf={'stream_listen': f'127.0.0.1:{port} udp'})
    with udp_client(port) as c:
        c.send(b'slow')
        assert heard.wait(10)
        gw.reload()
        go.set()
        assert c.recv(100) == b'slow'
        c.send(b'new')
        assert c.recv(100) == b'new'
    wait_for(lambda: len(gw.workers) == 1, 'the old worker to end')


def test_flags_of_connections_do_not_go_with_udp(gateway):
    gw = gateway(declarative(), start=False, conf={'stream_listen': f'127.0.0.1:{free_port()} udp ssl'})
    done = gw.cli('start')
    assert done.returncode != 0
    assert 'ssl does not go with udp' in done.stdout + done.stderr

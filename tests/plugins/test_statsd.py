# SPDX-License-Identifier: Apache-2.0
"""Figures of requests at a StatsD server, over UDP and TCP, through outages."""
import re
import socket
import socketserver
import threading

import pytest

from harness.config import declarative, route, service
from harness.origin import ok
from harness.ports import free_port
from harness.waits import patience, wait_for

WORKSPACE = '0dc6f45b-8f8d-40d2-a504-473544ee190b'
ROUTE = '22222222-2222-4222-8222-222222222222'


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


class Udp:
    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(('127.0.0.1', 0))
        self.sock.settimeout(patience(10))
        self.port = self.sock.getsockname()[1]

    def one(self):
        return self.sock.recv(70000).decode()

    def lines(self, n):
        """The next lines, in whatever datagrams they come; not more than those."""
        lines = []
        while len(lines) < n:
            lines += self.one().split('\n')
        assert len(lines) == n, lines
        return lines


class Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self, port=0):
        self.lines, self.connections = [], 0
        super().__init__(('127.0.0.1', port), None)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        self.connections += 1
        for line in request.makefile('r'):
            assert line.endswith('\n')
            self.lines.append(line[:-1])

    def close(self):
        self.shutdown()
        self.server_close()


METRIC = re.compile(r'(?P<name>[^:|]+):(?P<value>[^:|]+)\|(?P<type>c|g|h|m|ms|s)(\|@(?P<rate>[\d.]+))?'
                    r'(\|#(?P<tags>.*))?')


def decoded(line):
    found = METRIC.fullmatch(line)
    assert found, line
    return found['name'], found['value'], found['type'], found['rate']


def figures(origin, sink, consumers=(), **config):
    one = service(origin, {**route(paths=['/']), 'id': ROUTE, 'name': 'all'}, name='orders.v1')
    one['plugins'] = [{'name': 'statsd', 'config': {'host': '127.0.0.1', 'port': sink.port, **config}}]
    if consumers:
        one['plugins'].append({'name': 'key-auth'})
    return declarative(one, consumers=list(consumers))


JO = {'id': '33333333-3333-4333-8333-333333333333', 'username': 'jo', 'custom_id': '4711',
      'keyauth_credentials': [{'key': 'k'}]}
COUNT = {'name': 'request_count', 'stat_type': 'counter', 'sample_rate': 1}


def test_all_figures_by_default_each_in_a_datagram(gateway, origin1):
    sink = Udp()
    g = gateway(figures(origin1, sink, [JO]))
    assert g.get('/', headers=[('apikey', 'k')]).status == 200
    name = 'kong.service.orders_v1.'
    want = [(name + 'request.count', '1', 'c', None), (name + 'latency', None, 'ms', None),
            (name + 'request.size', None, 'c', None), (name + 'status.200', '1', 'c', None),
            (name + 'response.size', None, 'c', None), (name + 'user.uniques', '4711', 's', None),
            (name + 'user.4711.request.count', '1', 'c', None),
            (name + 'upstream_latency', None, 'ms', None), (name + 'kong_latency', None, 'ms', None),
            (name + 'user.4711.status.200', '1', 'c', None),
            (name + f'workspace.{WORKSPACE}.status.200', '1', 'c', None),
            (f'kong.route.{ROUTE}.user.4711.status.200', '1', 'c', None)]
    for one in want:
        said = decoded(sink.one())
        assert said[0] == one[0] and said[2:] == one[2:]
        assert said[1] == one[1] if one[1] else int(said[1]) >= 0
    # without a consumer and an upstream
    assert g.get('/').status == 401
    assert [decoded(line)[0] for line in sink.lines(7)] == [name + n for n in (
        'request.count', 'latency', 'request.size', 'status.401', 'response.size', 'kong_latency',
        f'workspace.{WORKSPACE}.status.401')]


def test_lines_share_datagrams_up_to_their_size(gateway, origin1):
    sink = Udp()
    g = gateway(figures(origin1, sink, udp_packet_size=80, prefix='p', metrics=[
        COUNT, {'name': 'status_count', 'stat_type': 'counter', 'sample_rate': 0.25},
        {'name': 'response_size', 'stat_type': 'gauge', 'sample_rate': 1}], queue_size=2,
        flush_timeout=60))
    g.get('/')
    g.get('/')
    datagrams = []
    while sum(d.count('\n') + 1 for d in datagrams) < 6:
        datagrams.append(sink.one())
    assert all(len(d) <= 80 for d in datagrams) and len(datagrams) < 6, datagrams
    names = [decoded(line)[0] for d in datagrams for line in d.split('\n')]
    assert names == ['p.service.orders_v1.request.count', 'p.service.orders_v1.status.200',
                     'p.service.orders_v1.response.size'] * 2
    assert 'p.service.orders_v1.status.200:1|c|@0.25' in datagrams[0].split('\n')


@pytest.mark.parametrize('style, pattern', [
    ('dogstatsd', r'kong\.request\.count:1\|c\|#(.*)'), ('influxdb', r'kong\.request\.count,(.*):1\|c'),
    ('librato', r'kong\.request\.count#(.*):1\|c'), ('signalfx', r'kong\.request\.count\[(.*)\]:1\|c')])
def test_tags(gateway, origin1, style, pattern):
    sink = Udp()
    g = gateway(figures(origin1, sink, [JO], tag_style=style, consumer_identifier_default='username',
                        workspace_identifier_default='workspace_name', metrics=[
                            {'name': 'unique_users', 'stat_type': 'set'}, COUNT]))
    g.get('/', headers=[('apikey', 'k')])
    said = re.fullmatch(pattern, sink.one())
    tags = dict(re.split('[:=]', tag) for tag in said[1].split(','))
    assert tags == {'service': 'orders.v1', 'route': 'all', 'workspace': 'default', 'consumer': 'jo',
                    'node': socket.gethostname().replace('.', '_'), 'status': '200'}


def test_statuses_outside_the_ranges_are_not_counted(gateway, origin1):
    sink = Udp()
    origin1.on('/gone', ok(b'', status=410, reason='Gone'))
    origin1.on('/bad', ok(b'', status=500, reason='Bad'))
    g = gateway(figures(origin1, sink, allow_status_codes=['200-299', '500-500'], metrics=[
        {'name': 'status_count', 'stat_type': 'counter', 'sample_rate': 1}], hostname_in_prefix=True))
    for path in ('/gone', '/', '/gone', '/bad'):
        g.get(path)
    host = socket.gethostname().replace('.', '_')
    assert [sink.one() for _ in range(2)] == [
        f'kong.node.{host}.service.orders_v1.status.{status}:1|c' for status in (200, 500)]


def test_requests_that_find_no_route_are_unmatched(gateway, origin1):
    sink = Udp()
    g = gateway(declarative(service(origin1, route(paths=['/here'])), plugins=[{
        'name': 'statsd', 'config': {'host': 'localhost', 'port': sink.port, 'metrics': [
            COUNT, {'name': 'upstream_latency', 'stat_type': 'timer'}]}}]))
    assert g.get('/there').status == 404
    assert sink.one() == 'kong.global.unmatched.request.count:1|c'


def test_lines_go_over_one_connection(gateway, origin1):
    sink = Tcp()
    g = gateway(figures(origin1, sink, use_tcp=True, metrics=[
        COUNT, {'name': 'latency', 'stat_type': 'timer'}]))
    for _ in range(10):
        g.get('/')
    wait_for(lambda: len(sink.lines) >= 20, '20 lines')
    assert [decoded(line)[0].rsplit('.', 1)[1] for line in sink.lines] == ['count', 'latency'] * 10
    assert sink.connections == 1
    sink.close()


def test_nothing_is_lost_while_the_server_is_away_and_that_is_told_once(gateway, origin1):
    sink = type('Absent', (), {'port': free_port()})
    g = gateway(figures(origin1, sink, use_tcp=True, metrics=[COUNT]))
    for _ in range(100):
        assert g.get('/').status == 200
    wait_for(lambda: 'statsd: failed to process entries' in g.log(), 'a word in the log')
    sink = Tcp(sink.port)
    wait_for(lambda: len(sink.lines) == 100, '100 lines', timeout=30)
    wait_for(lambda: 'statsd: sends again after' in g.log(), 'the end of the outage')
    assert g.log().count('failed to process entries') == 1
    sink.close()

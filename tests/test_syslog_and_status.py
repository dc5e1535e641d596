# SPDX-License-Identifier: Apache-2.0
"""Log lines to a syslog server, formats of one's own, and the counters of /status."""
import json
import re
import socket
import threading

import pytest

from harness.client import Client, request_bytes
from harness.config import declarative, everything_to, route, service
from harness.origin import ok
from harness.ports import free_port
from harness.waits import patience, wait_for


class Syslog:
    def __init__(self, path=None):
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(path or ('127.0.0.1', 0))
        self.sock.settimeout(patience(5))
        self.where = f'unix:{path}' if path else f'127.0.0.1:{self.sock.getsockname()[1]}'

    def line(self):
        return self.sock.recv(65536).decode()


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.mark.parametrize('kind', ['udp', 'unix'])
def test_access_lines_go_to_syslog(gateway, origin1, tmp_path, kind):
    server = Syslog(str(tmp_path / 'log') if kind == 'unix' else None)
    g = gateway(everything_to(origin1), conf={
        'proxy_access_log': f'syslog:server={server.where},facility=local3,severity=notice,tag=gate'})
    g.get('/said?x')
    line = server.line()
    assert re.match(r'<157>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ gate: 127\.0\.0\.1 - - \[', line), line
    assert '"GET /said?x HTTP/1.1" 200 ' in line


@pytest.mark.parametrize('kind', ['udp', 'unix'])
def test_error_lines_go_to_syslog_with_the_severity_of_their_level(gateway, tmp_path, kind):
    server = Syslog(str(tmp_path / 'log') if kind == 'unix' else None)
    g = gateway(declarative(service(f'http://127.0.0.1:{free_port()}', route(paths=['/']))), conf={
        'proxy_error_log': f'syslog:server={server.where},facility=local3,tag=gate'})
    assert g.get('/refused').status == 502
    lines = []
    wait_for(lambda: lines.append(server.line()) or '/refused' in lines[-1], 'the error line')
    assert re.match(r'<155>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ gate: \d{4}/\d\d/\d\d \S+ \[error\] ',
                    lines[-1]), lines[-1]
    assert any(line.startswith('<157>') and '[notice]' in line for line in lines), lines
    assert not any('\n' in line for line in lines)


def test_an_error_log_of_a_syslog_server_that_cannot_be_is_told_at_the_start(gateway, origin1):
    g = gateway(everything_to(origin1), conf={'proxy_error_log': 'syslog:facility=local3'}, start=False)
    done = g.cli('start')
    assert done.returncode == 1
    assert 'proxy_error_log: a syslog log needs server=' in done.stderr


def test_a_syslog_server_that_is_not_there_holds_nobody_up(gateway, origin1):
    server = Syslog()
    server.sock.close()
    g = gateway(everything_to(origin1), conf={'proxy_access_log': f'syslog:server={server.where}'})
    for _ in range(20):
        assert g.get('/').status == 200


def test_a_json_format(gateway, origin1):
    g = gateway(everything_to(origin1), conf={
        'nginx_http_log_format': 'j escape=json \'{"m":"$request_method","u":"$request_uri","s":$status,'
                                 '"ua":"$http_user_agent","up":"$upstream_addr","us":"$upstream_status",'
                                 '"n":$body_bytes_sent,"rl":$request_length,"t":$request_time}\'',
        'proxy_access_log': 'logs/access.log j'})
    sent = request_bytes('POST', '/a?b', [('User-Agent', 'quo"te\\')], body=b'12345', close=True)
    with g.client() as c:
        c.send(sent)
        size = len(c.read_response().body)
    line = json.loads(wait_for(lambda: [x for x in g.log('access.log').split('\n') if '/a?b' in x], 'it')[0])
    assert line['m'] == 'POST' and line['u'] == '/a?b' and line['s'] == 200
    assert line['ua'] == 'quo"te\\'
    assert line['up'] == f'127.0.0.1:{origin1.port}' and line['us'] == '200'
    assert line['n'] == size and line['rl'] == len(sent)
    assert 0 <= line['t'] < 10


def test_tries_are_listed(gateway, origin):
    bad, good = origin(on_connect=lambda c: c.reset()), origin()
    g = gateway(declarative(service('http://up', route(paths=['/'])), upstreams=[
        {'name': 'up', 'targets': [{'target': f'127.0.0.1:{o.port}'} for o in (bad, good)]}]), conf={
            'nginx_http_log_format': "t '$upstream_addr|$upstream_status'",
            'proxy_access_log': 'logs/access.log t'})
    for _ in range(4):
        assert g.get('/').status == 200
    both = f'127.0.0.1:{bad.port}, 127.0.0.1:{good.port}|502, 200'
    wait_for(lambda: both in g.log('access.log').split('\n'), 'a line with both tries')


def test_a_format_with_an_unknown_variable_is_refused_by_name(gateway, origin1):
    g = gateway(everything_to(origin1), start=False, conf={
        'nginx_http_log_format': "t '$no_such_thing'", 'proxy_access_log': 'logs/access.log t'})
    done = g.cli('start', timeout=20)
    assert done.returncode != 0
    assert 'no_such_thing' in done.stdout + done.stderr


def test_the_counters(gateway, origin):
    asked = threading.Event()
    go = threading.Event()

    def slow(connection, _request):
        asked.set()
        go.wait(20)
        connection.send(ok(b''))

    g = gateway(everything_to(origin().on('/slow', slow)))

    def server():
        return g.api('/status').json()['server']

    # those who looked whether it is ready have gone
    before = wait_for(lambda: (s := server())['connections_active'] == 1 and s, 'nobody else to be there')
    with g.client() as kept, g.client() as busy, g.client() as reading, Client(g.proxy_tls):
        for _ in range(5):
            kept.get('/')
        busy.send(request_bytes('GET', '/slow'))
        reading.send(b'GET / HT')
        assert asked.wait(5)

        def all_are_counted():
            more = {name: n - before[name] for name, n in server().items()}
            asks = more['total_requests'] - 6  # those for the status itself
            assert asks >= 1
            assert more['connections_waiting'] == 1, more
            assert more['connections_active'] == 4, more
            assert more['connections_writing'] == 1, more
            assert more['connections_reading'] == 2, more
            assert more['connections_accepted'] == more['connections_handled'] == 4 + asks, more
            return True
        wait_for(all_are_counted, 'the counters to tell')
        go.set()
        assert busy.read_response().status == 200
    wait_for(lambda: server()['connections_active'] == before['connections_active'], 'all to be gone')


def test_error_lines_say_of_which_request(gateway, origin):
    o = origin(on_connect=lambda c: c.reset())
    g = gateway(everything_to(o, retries=0))
    g.get('/which?one', method='PUT', host='asked.test', body=b'')
    line = wait_for(lambda: [x for x in g.log().split('\n') if '/which' in x], 'the line')[0]
    for part in ('[error]', f'127.0.0.1:{o.port}', 'client: 127.0.0.1', '"PUT /which?one', 'host: "asked.test"'):
        assert part in line, line

# SPDX-License-Identifier: Apache-2.0
"""What is told of a request elsewhere: entries in files and at servers, through outages."""
import json
import os
import re
import socket
import socketserver
import threading
import time

import pytest

from harness.config import declarative, route, service
from harness.origin import ok
from harness.ports import free_port
from harness.waits import patience, wait_for


def plugin(name, **config):
    return {'name': name, 'config': config}


def logged_by(origin, *plugins, **entities):
    return declarative({**service(origin, route(paths=['/'], strip_path=False), retries=2),
                        'plugins': list(plugins)}, **entities)


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


class Datagrams:
    """A socket that collects what comes to it."""

    def __init__(self, path=None):
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(path or ('127.0.0.1', 0))
        self.sock.settimeout(patience(10))
        self.port = None if path else self.sock.getsockname()[1]

    def one(self):
        return self.sock.recv(70000).decode()


class Lines(socketserver.ThreadingTCPServer):
    """A server that collects lines; tls is a context to wrap connections with."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, port=0, tls=None):
        self.lines, self.connections, self.tls = [], 0, tls
        super().__init__(('127.0.0.1', port), None)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        self.connections += 1
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        for line in request.makefile('rb'):
            self.lines.append(line)

    def wait(self, n):
        wait_for(lambda: len(self.lines) >= n, f'{n} lines')
        return [json.loads(line) for line in self.lines]


def lines_of(path, n):
    wait_for(lambda: path.read_text().count('\n') >= n, f'{n} lines in {path}')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_file_log(gateway, origin1, tmp_path):
    path = tmp_path / 'entries.log'
    g = gateway(logged_by(origin1, plugin('file-log', path=str(path))), conf={
        'nginx_worker_processes': '2'})
    for i in range(20):
        assert g.get(f'/x?i={i}&a=b&a=c', headers=[('X-Two', '1'), ('Authorization', 'secret')]).status == 200
    entries = lines_of(path, 20)
    assert len(entries) == 20
    assert sorted(int(e['request']['querystring']['i']) for e in entries) == list(range(20))
    e = entries[0]
    assert e['request']['method'] == 'GET'
    assert e['request']['querystring']['a'] == ['b', 'c']
    assert e['request']['headers']['authorization'] == 'REDACTED'
    assert e['response']['status'] == 200
    assert e['client_ip'] == '127.0.0.1'
    assert set(e['latencies']) == {'kong', 'proxy', 'request'}
    assert e['service']['port'] == origin1.port and e['route']['paths'] == ['/']
    [one] = e['tries']
    assert one['ip'] == '127.0.0.1' and one['port'] == origin1.port
    assert one['balancer_latency'] >= 0 and abs(one['balancer_start'] - e['started_at']) < 60000
    assert 'state' not in one


def test_entries_show_the_configuration_that_served(gateway, origin1, tmp_path):
    path = tmp_path / 'names.log'
    config = logged_by(origin1, plugin('file-log', path=str(path)))
    names = ['first', 'second']
    g = None
    for i, name in enumerate(names):
        config['services'][0] |= {'name': name, 'tags': [name]}
        config['services'][0]['routes'][0]['name'] = 'route-' + name
        if g:
            assert g.api('/config', method='POST', headers=[('Content-Type', 'application/json')],
                         body=json.dumps(config).encode()).status == 201
        else:
            g = gateway(config, conf={'nginx_worker_processes': '2'})
        for _ in range(4):
            assert g.get('/').status == 200
        lines_of(path, 4 * (i + 1))
    said = [(e['service']['name'], e['service']['tags'], e['route']['name'], e['response']['status'])
            for e in lines_of(path, 8)]
    assert said == [(name, [name], 'route-' + name, 200) for name in names for _ in range(4)]


def test_a_file_with_reopen_may_be_moved_away(gateway, origin1, tmp_path):
    path, kept = tmp_path / 'moved.log', tmp_path / 'kept.log'
    g = gateway(logged_by(origin1, plugin('file-log', path=str(path), reopen=True)))
    g.get('/1')
    lines_of(path, 1)
    path.rename(kept)
    g.get('/2')
    assert lines_of(path, 1)[0]['request']['uri'] == '/2'
    assert len(lines_of(kept, 1)) == 1


def test_a_file_that_cannot_be_written_is_told_once(gateway, origin1, tmp_path):
    folder = tmp_path / 'absent'
    g = gateway(logged_by(origin1, plugin('file-log', path=str(folder / 'x.log'))))
    for i in range(5):
        assert g.get(f'/{i}').status == 200
    wait_for(lambda: 'file-log: failed to process entries' in g.log(), 'a word in the log')
    folder.mkdir()

    def works():
        g.get('/later')
        return 'file-log: sends again after' in g.log()
    wait_for(works, 'the end of the outage')
    assert g.log().count('failed to process entries') == 1
    assert 'No such file or directory' in g.log()


def test_a_file_of_several_configurations_gets_every_line(gateway, origin1, tmp_path):
    path = tmp_path / 'shared.log'
    g = gateway(declarative(*(
        service(origin1, {'paths': [f'/{i}'], 'plugins': [
            plugin('file-log', path=str(path), reopen=i < 3)]}) for i in range(4))),
        conf={'nginx_worker_processes': '2'})

    def ask(i):
        with g.client() as client:
            for _ in range(50):
                assert client.get(f'/{i}').status == 200
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    uris = [e['request']['uri'] for e in lines_of(path, 200)]
    assert sorted(uris) == sorted(f'/{i}' for i in range(4) for _ in range(50))
    assert 'failed to' not in g.log()


def test_a_pipe_without_a_reader_or_with_a_slow_one(gateway, origin1, tmp_path):
    pipe, path = tmp_path / 'pipe', tmp_path / 'beside.log'
    os.mkfifo(pipe)
    g = gateway(declarative(*(
        service(origin1, {'paths': [f'/{name}'], 'plugins': [plugin('file-log', path=str(where))]})
        for name, where in (('pipe', pipe), ('file', path)))))
    for _ in range(8):  # more than there are threads for it
        assert g.get('/pipe').status == 200
    wait_for(lambda: 'No such device or address' in g.log(), 'a word in the log')
    assert g.get('/file').status == 200
    lines_of(path, 1)

    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with g.client() as client:
        for _ in range(300):  # some 64 KB fit
            assert client.get('/pipe', headers=[('X-Long', 'x' * 1000)]).status == 200
    wait_for(lambda: 'Connection timed out' in g.log(), 'a word in the log')
    assert g.get('/file').status == 200
    lines_of(path, 2)
    text = b''

    def works():
        nonlocal text
        try:
            text += os.read(reader, 1 << 20)
        except BlockingIOError:
            pass
        g.get('/pipe?last')
        return b'?last' in text and text.endswith(b'\n')
    wait_for(works, 'the last line')
    os.close(reader)
    whole = [line for line in text.splitlines() if line.endswith(b'}')]
    assert whole and all(json.loads(line)['route'] for line in whole)


def test_each_try_is_in_the_entry(gateway, origin1, tmp_path):
    path = tmp_path / 'tries.log'
    dead = [free_port(), free_port()]
    g = gateway(declarative(
        {**service('http://many.test', route(paths=['/'])),
         'retries': 5, 'plugins': [plugin('file-log', path=str(path))]},
        upstreams=[{'name': 'many.test', 'algorithm': 'round-robin', 'targets': [
            {'target': f'127.0.0.1:{port}'} for port in (*dead, origin1.port)]}]))
    for _ in range(6):
        assert g.get('/').status == 200
    tries = [e['tries'] for e in lines_of(path, 6)]
    assert all(t[-1]['port'] == origin1.port and 'state' not in t[-1] for t in tries)
    failed = [one for t in tries for one in t[:-1]]
    assert failed
    for one in failed:
        assert one['state'] == 'failed' and one['code'] == 502 and one['port'] in dead
        assert one['balancer_latency'] >= 0


def raw(port, text):
    """What is answered to those bytes, to the end of the connection."""
    with socket.create_connection(('127.0.0.1', port), timeout=patience(10)) as s:
        s.sendall(text.encode())
        return b''.join(iter(lambda: s.recv(65536), b'')).decode()


def test_an_entry_tells_what_became_of_a_request(gateway, origin1, tmp_path):
    path = tmp_path / 'fates.log'
    dead = free_port()
    g = gateway(declarative(
        {**service(origin1, route(paths=['/good'])), 'name': 'good'},
        service(origin1, {'paths': ['/own'], 'plugins': [
            plugin('request-termination', status_code=200, body='hello!', content_type='text/plain')]}),
        service(f'http://127.0.0.1:{dead}', route(paths=['/dead']), retries=1),
        service('http://nowhere.invalid', route(paths=['/nowhere'])),
        plugins=[plugin('file-log', path=str(path))]))
    asked = 'GET /good/x?a=1 HTTP/1.1\r\nHost:  x.test\r\nConnection: close\r\n\r\n'
    answers = [raw(g.proxy, asked)] + [raw(g.proxy, f'GET {where} HTTP/1.0\r\n\r\n') for where in (
        '/own?a=1', '/dead', '/nowhere', '/none')] + [raw(g.proxy, 'GET nothing\r\n\r\n')]
    good, own, failed, nowhere, none, bad = lines_of(path, 6)

    assert [e['response']['status'] for e in (good, own, failed, nowhere, none, bad)] == [
        200, 200, 502, 503, 404, 400]
    assert good['request']['size'] == len(asked) and good['response']['size'] == len(answers[0])
    assert good['request']['url'] == f'http://x.test:{g.proxy}/good/x?a=1'
    assert own['request']['url'] == f'http://kong:{g.proxy}/own?a=1'  # as nginx's server_name
    assert [e['upstream_uri'] for e in (good, own, none, bad)] == ['/x?a=1', '/?a=1', '', '']
    assert [len(e['tries']) for e in (good, own, failed, nowhere)] == [1, 0, 2, 0]
    for e in (none, bad):
        assert 'tries' not in e and 'route' not in e and 'service' not in e
    for e in (good, failed):
        assert e['latencies']['proxy'] >= 0
    for e in (own, nowhere, none, bad):
        assert e['latencies']['proxy'] == -1
    for e, answer in zip((good, own, failed, nowhere, none, bad), answers):
        head = dict(line.split(': ', 1) for line in answer.split('\r\n\r\n')[0].split('\r\n')[1:])
        assert head.pop('Date')  # the gateway's own
        assert e['response']['headers'] == {n.lower(): v for n, v in head.items()}

    assert good['route']['ws_id'] == good['service']['ws_id']
    assert good['route']['service'] == {'id': good['service']['id']}
    assert None not in good['route'].values() and None not in good['service'].values()


def test_the_gateway_s_own_time_has_that_of_the_body(gateway, origin1, tmp_path):
    path = tmp_path / 'times.log'
    late = threading.Event()

    def slow(c, r):
        c.send(b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab')
        late.wait(0.3)
        c.send(b'cd')
    origin1.on('/slow', slow)
    g = gateway(logged_by(origin1, plugin('file-log', path=str(path))))
    assert g.get('/slow').body == b'abcd'
    [e] = lines_of(path, 1)
    took = e['latencies']
    assert took['kong'] >= 250 and took['kong'] + took['proxy'] <= took['request'] + 1


def test_clients_that_leave_are_logged(gateway, origin1, tmp_path):
    path = tmp_path / 'gone.log'
    origin1.on('/never', lambda c, r: c.wait_closed(30))
    g = gateway(logged_by(origin1, plugin('file-log', path=str(path))))
    for text in ('GET /never HTTP/1.1\r\nHost: x\r\n\r\n',
                 'POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc'):
        with socket.create_connection(('127.0.0.1', g.proxy)) as s:
            s.sendall(text.encode())
            if 'never' in text:
                wait_for(lambda: any(r.path == '/never' for r in origin1.requests), 'the request')
    entries = lines_of(path, 2)
    for e in entries:
        assert e['response'] == {'status': 499, 'headers': {}, 'size': 0}
        assert 0 <= e['latencies']['kong'] <= e['latencies']['request'] < 60000
    [waited] = [e for e in entries if e['request']['uri'] == '/never']
    assert waited['latencies']['proxy'] >= 0 and len(waited['tries']) == 1


def test_custom_fields(gateway, origin1, tmp_path):
    path = tmp_path / 'custom.log'
    g = gateway(logged_by(origin1, plugin('file-log', path=str(path), custom_fields_by_lua={
        'route': 'return nil', 'request.headers': 'return', 'mine': 'return "a b"',
        'deep.er': 'return 5', 'request.seen': 'return true'})))
    g.get('/')
    [e] = lines_of(path, 1)
    assert 'route' not in e and 'headers' not in e['request'] and 'headers' in e['response']
    assert e['mine'] == 'a b' and e['deep'] == {'er': 5} and e['request']['seen'] is True


def test_http_log_one_by_one(gateway, origin1, origin):
    sink = origin()
    g = gateway(logged_by(origin1, plugin(
        'http-log', http_endpoint=f'http://jo:pass@127.0.0.1:{sink.port}/logs/', method='PUT',
        headers={'X-Key': 'k'})))
    for i in range(5):
        g.get(f'/{i}')
    sink.wait_requests(5)
    assert {json.loads(s.body)['request']['uri'] for s in sink.requests} == {f'/{i}' for i in range(5)}
    seen = sink.requests[0]
    assert seen.line == 'PUT /logs/ HTTP/1.1'
    assert seen.get('Content-Type') == 'application/json' and seen.get('X-Key') == 'k'
    assert seen.get('Authorization') == 'Basic am86cGFzcw=='


def test_http_log_in_batches(gateway, origin1, origin):
    sink = origin()
    g = gateway(logged_by(origin1, plugin(
        'http-log', http_endpoint=f'http://127.0.0.1:{sink.port}', queue_size=3,
        flush_timeout=0.2)), conf={'nginx_worker_processes': '2'})
    for i in range(7):
        g.get(f'/{i}')

    def arrived():
        return [e for s in list(sink.requests) for e in json.loads(s.body)]
    wait_for(lambda: len(arrived()) == 7, '7 entries')
    assert sorted(e['request']['uri'] for e in arrived()) == [f'/{i}' for i in range(7)]
    assert len(sink.requests) < 7
    assert all(len(json.loads(s.body)) <= 3 for s in sink.requests)


def test_http_log_tries_again_what_is_refused(gateway, origin1, origin):
    sink = origin()
    answers = [ok(b'no', status=500, reason='No')]
    sink.on('/', lambda c, r: c.send(answers.pop() if answers else ok(b'')))
    g = gateway(logged_by(origin1, plugin('http-log', http_endpoint=f'http://127.0.0.1:{sink.port}/')))
    g.get('/once')
    sink.wait_requests(2, timeout=20)
    assert [json.loads(s.body)['request']['uri'] for s in sink.requests] == ['/once', '/once']
    wait_for(lambda: 'http-log: sends again after' in g.log(), 'the end of the outage')
    assert 'returned status code 500 and body no' in g.log()


def test_http_log_over_tls_and_what_waits_is_sent_at_the_end(gateway, origin1, origin, certs):
    sink = origin(tls=certs.make('sink', ['localhost']).server_context())
    g = gateway(logged_by(origin1, plugin(
        'http-log', http_endpoint=f'https://127.0.0.1:{sink.port}/', queue_size=1000,
        flush_timeout=3600)))
    for i in range(10):
        g.get(f'/{i}')
    assert not sink.requests
    g.stop()
    assert len(json.loads(sink.requests[0].body)) == 10


def test_a_queue_lives_through_changes_beside_it(gateway, origin1, origin):
    sink = origin()
    config = logged_by(origin1, plugin(
        'http-log', http_endpoint=f'http://127.0.0.1:{sink.port}/', queue_size=4,
        flush_timeout=3600))
    g = gateway(config)
    g.get('/1')
    g.get('/2')
    config['services'].append(service(origin1, route(paths=['/other'])))
    assert g.api('/config', method='POST', headers=[('Content-Type', 'application/json')],
                 body=json.dumps(config).encode()).status == 201
    wait_for(lambda: g.get('/other').json()['target'] == '/', 'the new configuration')
    g.get('/3')
    g.get('/4')
    sink.wait_requests(1)
    assert [e['request']['uri'] for e in json.loads(sink.requests[0].body)] == ['/1', '/2', '/3', '/4']


@pytest.mark.parametrize('tls', [False, True])
def test_tcp_log(gateway, origin1, certs, tls):
    sink = Lines(tls=certs.make('lines', ['logs.test']).server_context() if tls else None)
    g = gateway(logged_by(origin1, plugin('tcp-log', host='127.0.0.1', port=sink.port, tls=tls)))
    for i in range(10):
        g.get(f'/{i}')
    assert [e['request']['uri'] for e in sink.wait(10)] == [f'/{i}' for i in range(10)]
    assert sink.connections == 1
    assert all(line.endswith(b'}\n') for line in sink.lines)
    sink.shutdown()
    sink.server_close()


def test_tcp_log_loses_nothing_in_a_short_outage(gateway, origin1):
    port = free_port()
    g = gateway(logged_by(origin1, plugin('tcp-log', host='127.0.0.1', port=port)))
    for i in range(200):
        assert g.get(f'/{i}').status == 200
    wait_for(lambda: 'tcp-log: failed to process entries' in g.log(), 'a word in the log')
    sink = Lines(port)
    wait_for(lambda: len(sink.lines) == 200, '200 lines', timeout=30)
    wait_for(lambda: 'tcp-log: sends again after' in g.log(), 'the end of the outage')
    assert g.log().count('failed to process entries') == 1
    sink.shutdown()
    sink.server_close()


def test_udp_log(gateway, origin1):
    sink = Datagrams()
    g = gateway(logged_by(origin1, plugin('udp-log', host='localhost', port=sink.port)))
    g.get('/a')
    g.get('/b')
    assert [json.loads(sink.one())['request']['uri'] for _ in 'ab'] == ['/a', '/b']


def test_udp_log_drops_what_is_too_long_for_a_datagram_alone(gateway, origin1):
    sink = Datagrams()
    g = gateway(logged_by(origin1, plugin('udp-log', host='127.0.0.1', port=sink.port)),
                conf={'nginx_http_large_client_header_buffers': '4 64k'})
    with g.client() as client:
        for path in ('/a', '/?x=' + 30000 * 'x', '/b'):
            assert client.get(path).status == 200
    assert [json.loads(sink.one())['request']['uri'] for _ in 'ab'] == ['/a', '/b']
    wait_for(lambda: 'udp-log: 1 entries were dropped: they are refused' in g.log(), 'a word in the log')


def test_syslog(gateway, origin1, tmp_path):
    sink = Datagrams(str(tmp_path / 'dev-log'))
    origin1.on('/bad', ok(b'', status=500, reason='Bad'))
    g = gateway(logged_by(origin1, plugin(
        'syslog', facility='local3', log_level='warning', server_errors_severity='err',
        client_errors_severity='warning')), env={'GIBBON_SYSLOG_SOCKET': str(tmp_path / 'dev-log')})
    g.get('/good')
    g.get('/bad')
    line = sink.one()
    said = re.fullmatch(r'<155>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d kong: (\{.*\})', line)
    assert said, line
    assert json.loads(said[1])['response']['status'] == 500


def test_loggly(gateway, origin1):
    sink = Datagrams()
    g = gateway(logged_by(origin1, plugin('loggly', host='127.0.0.1', port=sink.port, key='k-1',
                                          tags=['a', 'b'], successful_severity='notice')))
    g.get('/said')
    line = sink.one()
    said = re.fullmatch(r'<13>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (\S+) kong - - \[k-1@41058 (.*?)\] (\{.*\})',
                        line)
    assert said, line
    assert said[1] == socket.gethostname() and said[2] == 'tag="a" tag="b"'
    assert json.loads(said[3])['request']['uri'] == '/said'


def test_datadog(gateway, origin1):
    sink = Datagrams()
    config = logged_by(origin1, plugin('key-auth'), plugin(
        'datadog', host='127.0.0.1', port=sink.port, prefix='gate', metrics=[
            {'name': 'request_count', 'stat_type': 'counter', 'sample_rate': 0.5, 'tags': ['a:b', 'c'],
             'consumer_identifier': 'custom_id'},
            {'name': 'latency', 'stat_type': 'distribution', 'consumer_identifier': 'username'},
            {'name': 'response_size', 'stat_type': 'gauge', 'sample_rate': 1}]),
        consumers=[{'username': 'jo', 'keyauth_credentials': [{'key': 'k'}]}])
    config['services'][0]['name'] = 'orders.v1'
    g = gateway(config)
    assert g.get('/', headers=[('apikey', 'k')]).status == 200
    assert sink.one() == 'gate.request.count:1|c|@0.5|#name:orders_v1,status:200,a:b,c'
    assert re.fullmatch(r'gate\.latency:\d+\|d\|#name:orders_v1,status:200,consumer:jo', sink.one())
    assert re.fullmatch(r'gate\.response\.size:[1-9]\d+\|g\|#name:orders_v1,status:200', sink.one())
    assert g.get('/').status == 401
    assert sink.one() == 'gate.request.count:1|c|@0.5|#name:orders_v1,status:401,a:b,c'


def test_no_name_makes_a_line_for_datadog(gateway, origin1):
    sink = Datagrams()
    g = gateway(logged_by(origin1, plugin('key-auth'), plugin(
        'datadog', host='127.0.0.1', port=sink.port, metrics=[
            {'name': 'request_count', 'stat_type': 'set', 'consumer_identifier': 'username'}]),
        consumers=[{'username': 'jo\nmade.up:1|c', 'keyauth_credentials': [{'key': 'k'}]}]))
    assert g.get('/', headers=[('apikey', 'k')]).status == 200
    assert sink.one().endswith(',status:200,consumer:jo_made.up:1|c')


def test_datadog_sends_six_figures_by_default(gateway, origin1):
    sink = Datagrams()
    g = gateway(logged_by(origin1, plugin('datadog', host='localhost', port=sink.port)))
    g.get('/')
    lines = [sink.one() for _ in range(6)]
    assert [line.split(':')[0] for line in lines] == [f'kong.{name}' for name in (
        'request.count', 'latency', 'request.size', 'response.size', 'upstream_latency',
        'kong_latency')]
    assert all(line.endswith(',status:200,app:kong') for line in lines), lines


def test_a_sink_that_hangs_holds_nobody_up(gateway, origin1, origin):
    sink = origin()
    sink.on('/', lambda c, r: c.wait_closed(60))
    g = gateway(logged_by(origin1, plugin(
        'http-log', http_endpoint=f'http://127.0.0.1:{sink.port}/', timeout=600000)))
    for i in range(50):
        assert g.get(f'/{i}').status == 200
    sink.wait_requests(1)
    start = time.monotonic()
    g.stop()
    assert time.monotonic() - start < patience(9)


def test_a_syslog_that_takes_nothing_costs_what_is_told(gateway, origin1, tmp_path):
    sink = Datagrams(str(tmp_path / 'dev-log'))
    g = gateway(logged_by(origin1, plugin('syslog')), env={'GIBBON_SYSLOG_SOCKET': str(tmp_path / 'dev-log')})
    asked = 40

    with g.client() as client:
        for i in range(asked):
            assert client.get(f'/{i}').status == 200
    wait_for(lambda: 'syslog: failed to process entries' in g.log(), 'a word in the log')
    assert ': timeout' in g.log()
    got = 0
    sink.sock.settimeout(0.05)

    def works():
        nonlocal got, asked
        try:
            while sink.one():
                got += 1
        except TimeoutError:
            pass
        told = re.search(r'syslog: sends again after \d+ s, (\d+) entries were dropped', g.log())
        if not told:
            assert g.get('/later').status == 200
            asked += 1
        return told and got + int(told[1]) == asked
    wait_for(works, 'every entry to be there or dropped')


def test_sinks_that_accept_and_never_read(gateway, origin1, origin):
    sink = socket.create_server(('127.0.0.1', 0))
    port = sink.getsockname()[1]
    g = gateway(logged_by(
        origin1, plugin('tcp-log', host='127.0.0.1', port=port),
        plugin('http-log', http_endpoint=f'http://127.0.0.1:{port}/'),
        plugin('statsd', host='127.0.0.1', port=port, use_tcp=True, prefix='x' * 4000)),
        env={'KONG_MAX_QUEUED_BATCHES': '2'})

    def is_told():
        with g.client() as client:
            for _ in range(100):
                assert client.get('/', headers=[('X-Long', 'x' * 7000)]).status == 200
        return all(f'{name}: queue is full' in g.log() for name in ('tcp-log', 'http-log', 'statsd'))
    wait_for(is_told, 'full queues')
    g.stop()
    for name in ('tcp-log', 'http-log', 'statsd'):
        assert re.search(rf'{name}: (sends again after \d+ s, )?[1-9]\d* entries were dropped', g.log())
    sink.close()

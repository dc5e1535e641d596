# SPDX-License-Identifier: Apache-2.0
"""TCP sessions through stream_listen: routes, targets, half-closes, logs."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from harness.client import ask, unverified
from harness.config import declarative
from harness.ports import free_port
from harness.streams import TcpOrigin, UdpOrigin, connect, read_all, stream, udp_client
from harness.waits import patience, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BULK = os.urandom(1 << 20) * 4


def started(made, services, listen, conf=None, **entities):
    return made(declarative(*services, **entities),
                conf={'stream_listen': ', '.join(listen), **(conf or {})})


def lines(gateway, name='stream.log'):
    return gateway.log(name).splitlines()


@pytest.fixture
def origin():
    made = []

    def make(*args, **more):
        made.append(TcpOrigin(*args, **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def test_bytes_go_both_ways_and_a_half_close_is_passed_on(gateway, origin):
    port = free_port()
    gw = started(gateway, [stream(origin(), protocols=['tcp'], destinations=[{'port': port}])],
                 [f'127.0.0.1:{port}'], {'proxy_stream_access_log': 'logs/stream.log basic'})
    with connect(port) as c:
        sender = threading.Thread(target=lambda: (c.sendall(BULK), c.shutdown(socket.SHUT_WR)))
        sender.start()
        assert read_all(c) == BULK + b'bye'
        sender.join()
    line = wait_for(lambda: lines(gw), 'the log line')[0]
    # $remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time
    words = line.split()
    assert words[0] == '127.0.0.1' and words[3:7] == ['TCP', '200', str(len(BULK) + 3), str(len(BULK))]
    assert float(words[7]) >= 0


def test_a_server_may_speak_first(gateway, origin):
    port = free_port()
    started(gateway, [stream(origin(lambda s: s.sendall(b'220 hello\r\n')), protocols=['tcp'],
                             destinations=[{'port': port}])], [f'127.0.0.1:{port}'])
    with connect(port) as c:
        assert read_all(c) == b'220 hello\r\n'


def test_routes_by_source_and_destination(gateway, origin):
    one, other = free_port(), free_port()
    a, b, c = (origin(lambda s, t=t: s.sendall(t)) for t in (b'by port', b'by source', b'by net'))
    gw = started(gateway, [
        stream(a, protocols=['tcp'], destinations=[{'port': one}]),
        stream(b, protocols=['tcp'], sources=[{'ip': '127.0.0.9'}], destinations=[{'port': one}]),
        stream(c, protocols=['tcp'], sources=[{'ip': '127.0.1.0/24'}])],
        [f'127.0.0.1:{one}', f'127.0.0.1:{other}'], {'proxy_stream_access_log': 'logs/stream.log basic'})

    def said(port, source):
        with socket.create_connection(('127.0.0.1', port), 10, (source, 0)) as s:
            return read_all(s)
    assert said(one, '127.0.0.1') == b'by port'
    assert said(one, '127.0.0.9') == b'by source'
    assert said(other, '127.0.1.77') == b'by net'
    assert said(other, '127.0.0.1') == b''  # no route
    wait_for(lambda: [w for w in lines(gw) if ' TCP 500 0 0 ' in w], 'the refusal in the log')
    assert 'no Route found with those values' in gw.log()


def test_a_route_without_service_closes(gateway):
    port = free_port()
    gw = started(gateway, [], [f'127.0.0.1:{port}'], {'proxy_stream_access_log': 'logs/stream.log basic'},
                 routes=[{'name': 'alone', 'protocols': ['tcp'], 'destinations': [{'port': port}]}])
    with connect(port) as c:
        assert read_all(c) == b''
    wait_for(lambda: ' TCP 503 ' in gw.log('stream.log'), 'the refusal in the log')
    assert 'no Service found with those values' in gw.log()


def test_another_target_is_tried_and_the_dead_one_marked(gateway, origin):
    port, dead = free_port(), free_port()
    alive = origin(lambda s: s.sendall(b'alive'))
    gw = started(
        gateway,
        [stream(0, host='pool', protocols=['tcp'], destinations=[{'port': port}])],
        [f'127.0.0.1:{port}'], {'proxy_stream_access_log': 'logs/stream.log basic'},
        upstreams=[{'name': 'pool',
                    'healthchecks': {'passive': {'type': 'tcp', 'unhealthy': {'tcp_failures': 2}}},
                    'targets': [{'target': f'127.0.0.1:{dead}'}, {'target': f'127.0.0.1:{alive.port}'}]}])
    for _ in range(8):
        with connect(port) as c:
            assert read_all(c) == b'alive'

    def health():
        return {t['target']: t['health'] for t in ask(gw.admin, '/upstreams/pool/health').json()['data']}
    wait_for(lambda: health() == {f'127.0.0.1:{dead}': 'UNHEALTHY', f'127.0.0.1:{alive.port}': 'HEALTHY'},
             'the dead target to be marked')


def test_nobody_there_is_a_502(gateway):
    port, dead = free_port(), free_port()
    gw = started(gateway, [stream(dead, protocols=['tcp'], destinations=[{'port': port}],
                                  service={'retries': 1})],
                 [f'127.0.0.1:{port}'], {'proxy_stream_access_log': 'logs/stream.log basic'})
    with connect(port) as c:
        assert read_all(c) == b''
    wait_for(lambda: ' TCP 502 0 0 ' in gw.log('stream.log'), 'the failure in the log')
    assert gw.log().count('Connection refused') == 2


def test_silence_ends_a_session_after_read_timeout(gateway, origin):
    port = free_port()
    release = threading.Event()
    started(gateway, [stream(origin(lambda s: release.wait(60)), protocols=['tcp'],
                             destinations=[{'port': port}], service={'read_timeout': 300})],
            [f'127.0.0.1:{port}'])
    with connect(port) as c:
        c.sendall(b'x')
        assert read_all(c) == b''
    release.set()


def test_the_proxy_protocol_in_and_out(gateway, origin):
    port = free_port()
    gw = started(gateway, [stream(origin(lambda s: s.sendall(s.recv(1000))), protocols=['tcp'],
                                  sources=[{'ip': '9.8.7.0/24', 'port': 1234}])],
                 [f'127.0.0.1:{port} proxy_protocol'],
                 {'trusted_ips': '127.0.0.0/8', 'nginx_sproxy_proxy_protocol': 'on',
                  'proxy_stream_access_log': 'logs/stream.log basic'})
    with connect(port) as c:
        c.sendall(b'PROXY TCP4 9.8.7.6 5.4.3.2 1234 443\r\n')
        assert read_all(c) == f'PROXY TCP4 9.8.7.6 127.0.0.1 1234 {port}\r\n'.encode()
    wait_for(lambda: gw.log('stream.log').startswith('9.8.7.6 '), 'the log line')
    with connect(port) as c:
        c.sendall(b'no such header\r\n')
        with pytest.raises(OSError):
            c.shutdown(socket.SHUT_WR)
            assert read_all(c) == b''
            raise ConnectionResetError  # either end is fine
    wait_for(lambda: ' TCP 400 ' in gw.log('stream.log'), 'the refusal in the log')


def test_plugins_log_sessions(gateway, origin, tmp_path):
    port, out = free_port(), tmp_path / 'sessions.log'
    gw = started(gateway, [stream(origin(), name='echo', protocols=['tcp'], destinations=[{'port': port}])],
                 [f'127.0.0.1:{port}'],
                 plugins=[{'name': 'file-log', 'protocols': ['tcp', 'http'], 'config': {'path': str(out)}},
                          {'name': 'file-log', 'service': 'echo', 'protocols': ['http'],
                           'config': {'path': str(tmp_path / 'never.log')}},
                          {'name': 'prometheus', 'protocols': ['tcp'], 'config': {
                              'status_code_metrics': True, 'latency_metrics': True,
                              'bandwidth_metrics': True}}])
    with connect(port) as c:
        c.sendall(b'hello')
        c.shutdown(socket.SHUT_WR)
        assert read_all(c) == b'hellobye'
    entry = json.loads(wait_for(out.read_text, 'the entry'))
    assert entry['session'] == {'received': 5, 'sent': 8, 'status': 200, 'server_port': port}
    assert entry['upstream'] == {'received': 8, 'sent': 5}
    assert set(entry['latencies']) == {'kong', 'session'}
    assert entry['client_ip'] == '127.0.0.1' and entry['route']['name'] == 'echo'
    assert entry['service']['name'] == 'echo' and len(entry['tries']) == 1
    assert 'request' not in entry and 'response' not in entry
    assert not (tmp_path / 'never.log').exists()
    page = wait_for(lambda: (lambda t: 'kong_stream_sessions_total' in t and t)(ask(gw.admin, '/metrics').text),
                    'the session to be counted')
    assert 'kong_stream_sessions_total{service="echo",route="echo",code="200",source="service"} 1' in page
    assert 'kong_session_duration_ms_count{service="echo",route="echo"} 1' in page


def test_sessions_go_on_over_a_reload(gateway, origin):
    port = free_port()
    gw = started(gateway, [stream(origin(), protocols=['tcp'], destinations=[{'port': port}])],
                 [f'127.0.0.1:{port}'], {'nginx_worker_processes': '2'})
    old = connect(port)
    old.sendall(b'before')
    assert old.recv(100) == b'before'
    failures, over = [], threading.Event()

    def clients():
        while not over.is_set():
            try:
                with connect(port) as c:
                    c.sendall(b'x' * 5000)
                    c.shutdown(socket.SHUT_WR)
                    got = read_all(c)
                    if got != b'x' * 5000 + b'bye':
                        failures.append(got[:20])
            except OSError as error:
                failures.append(error)
    threads = [threading.Thread(target=clients) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(2):
        gw.reload()
    over.set()
    for t in threads:
        t.join(patience(20))
    assert not failures
    old.sendall(b'after')
    assert old.recv(100) == b'after'
    old.shutdown(socket.SHUT_WR)
    assert read_all(old) == b'bye'
    old.close()
    wait_for(lambda: len(gw.workers) == 1, 'the old worker to end')


def test_a_slow_reader_holds_the_sender_back(gateway, origin):
    port, sent = free_port(), []

    def pour(sock):
        for _ in range(2000):
            sock.sendall(BULK[:65536])
            sent.append(1)
    started(gateway, [stream(origin(pour), protocols=['tcp'], destinations=[{'port': port}])],
            [f'127.0.0.1:{port}'])
    with connect(port) as c:
        c.recv(1)
        last = -1
        while last != len(sent):  # until nothing more fits between the two
            last = len(sent)
            threading.Event().wait(0.3)
        assert last < 1000
        total = 1
        while data := c.recv(1 << 20):
            total += len(data)
        assert total == 2000 * 65536


def test_zipkin_gets_the_spans_of_a_session(gateway, origin, tmp_path):
    port, spans = free_port(), []

    def collect(sock):
        head, _, body = sock.recv(65536).partition(b'\r\n\r\n')
        length = int(re.search(rb'content-length: (\d+)', head.lower()).group(1))
        while len(body) < length:
            body += sock.recv(65536)
        spans.extend(json.loads(body))
        sock.sendall(b'HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    collector = origin(collect)
    there = origin()
    gateway(declarative(
        stream(there, name='echo', protocols=['tcp'], destinations=[{'port': port}]),
        plugins=[{'name': 'zipkin', 'protocols': ['tcp'], 'config': {
            'sample_ratio': 1, 'http_endpoint': f'http://127.0.0.1:{collector.port}/api/v2/spans'}}]),
        conf={'stream_listen': f'127.0.0.1:{port}'})
    with connect(port) as c:
        c.shutdown(socket.SHUT_WR)
        assert read_all(c) == b'bye'
    wait_for(lambda: len(spans) == 3, 'the spans')
    by_name = {s['name']: s for s in spans}
    assert set(by_name) == {'stream', 'stream (proxy)', 'stream (balancer try 1)'}
    assert by_name['stream']['tags'].keys() == {'lc', 'kong.node.id'}
    assert [a['value'] for a in by_name['stream (proxy)']['annotations']] == ['kps', 'kpf']
    assert by_name['stream (balancer try 1)']['remoteEndpoint']['port'] == there.port


def test_the_configuration_of_the_guide(gateway, origin, redis, certs, tmp_path):
    with open(os.path.join(ROOT, 'docs', 'guides', 'streams.md')) as text:
        guide = text.read()
    listen = re.search(r'^stream_listen = (.*)$', guide, re.M).group(1)
    config, plugins = re.findall(r'```yaml\n(.*?)```', guide, re.S)
    ports = {p: free_port() for p in ('9000', '9443', '9053')}
    pair = certs.make('vault.example', ['vault.example'])
    vault = origin(lambda s: (s.recv(9), s.sendall(b'vault')), tls=pair.server_context())
    ledger, names = origin(lambda s: (s.recv(9), s.sendall(b'ledger'))), UdpOrigin(lambda d: [b'named'])
    config = config.replace('port: 6379', f'port: {redis().port}').replace('8200', str(vault.port)) \
        .replace('5432', str(ledger.port)).replace('port: 53\n', f'port: {names.port}\n') \
        .replace('read_timeout: 5000', 'read_timeout: 500') + plugins.replace('/tmp', str(tmp_path))
    for old, new in ports.items():
        listen = listen.replace(f'0.0.0.0:{old}', f'127.0.0.1:{new}')
        config = config.replace(old, str(new))
    gateway(config, conf={'stream_listen': listen})
    done = subprocess.run(['redis-cli', '-p', str(ports['9000']), 'PING'], capture_output=True, text=True,
                          timeout=patience(10))
    assert done.stdout == 'PONG\n', done
    for name, context in (('ledger', unverified()), ('vault', pair.client_context())):
        with context.wrap_socket(connect(ports['9443']), server_hostname=f'{name}.example') as s:
            s.sendall(b'x')
            assert s.recv(100) == name.encode()
    with udp_client(ports['9053']) as c:
        c.send(b'?')
        assert c.recv(100) == b'named'
    entries = wait_for(lambda: (lambda t: t.count('\n') == 4 and t)((tmp_path / 'sessions.log').read_text()),
                       'what is logged')
    assert sorted(json.loads(e)['service']['name'] for e in entries.splitlines()) == \
        ['ledger', 'names', 'redis', 'vault']
    names.stop()


def test_formats_ports_and_logs_of_ones_own(gateway, origin):
    port = free_port()
    there = origin(lambda s: s.sendall(b'here'))
    gw = started(gateway, [stream(there, protocols=['tcp'], destinations=[{'port': 5432}])],
                 [f'127.0.0.1:{port}'],
                 {'port_maps': f'5432:{port}', 'nginx_sproxy_access_log': 'logs/own.log mine',
                  'nginx_stream_log_format': "mine '$protocol to $upstream_addr from $remote_addr: $status'"})
    with connect(port) as c:
        assert read_all(c) == b'here'
    wait_for(lambda: gw.log('own.log') == f'TCP to 127.0.0.1:{there.port} from 127.0.0.1: 200\n', 'the line')
    os.rename(os.path.join(gw.prefix, 'logs/own.log'), os.path.join(gw.prefix, 'logs/old.log'))
    os.kill(gw.master, signal.SIGUSR1)
    wait_for(lambda: os.path.exists(os.path.join(gw.prefix, 'logs/own.log')), 'the log to be opened again')
    with connect(port) as c:
        assert read_all(c) == b'here'
    wait_for(lambda: gw.log('own.log').count('200\n') == 1, 'the line in the new file')

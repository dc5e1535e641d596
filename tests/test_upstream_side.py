# SPDX-License-Identifier: Apache-2.0
"""The connections to services: pools, timeouts, tries, and who proves what to whom over TLS."""
import json
import select
import socket
import struct
import threading
import time

import pytest

from harness.client import request_bytes
from harness.config import declarative, everything_to, route, service
from harness.origin import ok
from harness.ports import free_port
from harness.waits import wait_for


@pytest.fixture(scope='module')
def authority(certs):
    return certs.authority('up ca')


@pytest.fixture(scope='module')
def secure(module_origin, certs, authority):
    leaf = certs.make('up.test', ['up.test', '127.0.0.1', 'localhost'], by=authority)
    return module_origin(tls=leaf.server_context())


def ca(pair, number=1):
    return {'id': f'00000000-0000-4000-8000-00000000ca0{number}', 'cert': pair.cert}


def certificate(pair, number):
    return {'id': f'00000000-0000-4000-8000-0000000ce10{number}', 'cert': pair.cert, 'key': pair.key}


def connection_of(origin):
    return origin.requests[-1].connection


# ---- pools -------------------------------------------------------------------------------------


def test_services_of_one_identity_share_connections(gateway, secure):
    g = gateway(declarative(service(secure, route(paths=['/a'])), service(secure, route(paths=['/b']))))
    g.get('/a')
    first = connection_of(secure)
    g.get('/b')
    assert connection_of(secure) == first


@pytest.mark.parametrize('other', ['name', 'certificate', 'verification', 'depth', 'authorities'])
def test_another_identity_has_its_own_connections(gateway, secure, certs, authority, other):
    second = certs.authority('other ca')
    mine = certs.make('client.test')
    base = {'tls_verify': True, 'ca_certificates': [ca(authority)['id']], 'tls_verify_depth': 2}
    more = {'name': {}, 'certificate': {'client_certificate': certificate(mine, 1)['id']},
            'verification': {'tls_verify': False}, 'depth': {'tls_verify_depth': 1},
            'authorities': {'ca_certificates': [ca(authority)['id'], ca(second, 2)['id']]}}[other]
    routes = [route(paths=['/a']), route(paths=['/b'], preserve_host=other == 'name')]
    config = declarative(service(secure, routes[0], **base), service(secure, routes[1], **{**base, **more}),
                         ca_certificates=[ca(authority), ca(second, 2)],
                         certificates=[certificate(mine, 1)])
    g = gateway(config)
    hosts = ('127.0.0.1', 'up.test' if other == 'name' else '127.0.0.1')
    assert g.get('/a', host=hosts[0]).status == 200
    first = connection_of(secure)
    assert g.get('/b', host=hosts[1]).status == 200
    assert connection_of(secure) != first
    for path, host in (('/a', hosts[0]), ('/b', hosts[1])):  # and both are kept
        before = secure.connections
        assert g.get(path, host=host).status == 200
        assert secure.connections == before


def test_a_changed_client_certificate_is_used_at_once(gateway, origin, certs):
    authority = certs.authority('client ca')
    o = origin(tls=certs.make('o.test').server_context(client_ca=authority))
    seen = []
    o.default = lambda c, r: (seen.append(c.sock.getpeercert()['subject']), c.send(ok(b'')))[0]

    def config(name):
        pair = certs.make(name, by=authority)
        return declarative(service(o, route(paths=['/']), client_certificate=certificate(pair, 1)['id']),
                           certificates=[certificate(pair, 1)])

    g = gateway(config('one.test'))
    assert g.get('/').status == 200
    assert g.api('/config', 'POST', body=json.dumps(config('two.test')).encode(),
                 headers={'Content-Type': 'application/json'}).status == 201
    assert g.get('/').status == 200
    assert [dict(s[0] for s in subject)['commonName'] for subject in seen] == ['one.test', 'two.test']


# ---- who proves what ----------------------------------------------------------------------------


def test_the_global_client_certificate_and_the_service_s_own(gateway, origin, certs):
    authority = certs.authority('client ca')
    o = origin(tls=certs.make('o.test').server_context(client_ca=authority))
    seen = []
    o.default = lambda c, r: (seen.append(c.sock.getpeercert()['subject']), c.send(ok(b'')))[0]
    all_of_us, mine = certs.make('all.test', by=authority), certs.make('mine.test', by=authority)
    g = gateway(declarative(service(o, route(paths=['/all'])),
                            service(o, route(paths=['/mine']), client_certificate=certificate(mine, 1)['id']),
                            certificates=[certificate(mine, 1)]),
                conf={'client_ssl': 'on', 'client_ssl_cert': all_of_us.cert_path,
                      'client_ssl_cert_key': all_of_us.key_path})
    assert g.get('/all').status == 200 and g.get('/mine').status == 200
    assert [dict(s[0] for s in subject)['commonName'] for subject in seen] == ['all.test', 'mine.test']


@pytest.mark.parametrize('depth,status', [(0, 502), (1, 200)])
def test_the_depth_of_a_chain_is_checked(gateway, origin, certs, depth, status):
    root = certs.authority('root')
    between = certs.authority('between', by=root)
    leaf = certs.make('deep.test', ['127.0.0.1'], by=between)
    with open(leaf.cert_path, 'a') as out:
        out.write(between.cert)
    o = origin(tls=leaf.server_context())
    g = gateway(declarative(service(o, route(paths=['/']), tls_verify=True, tls_verify_depth=depth,
                                    ca_certificates=[ca(root)['id']], retries=0),
                            ca_certificates=[ca(root)]))
    assert g.get('/').status == status


@pytest.mark.parametrize('preserve,host,name', [
    (True, 'asked.test', 'asked.test'), (True, 'asked.test:8443', 'asked.test'),
    (False, 'asked.test', None), (True, '127.0.0.1', None)])
def test_the_name_asked_for_follows_the_host(gateway, secure, preserve, host, name):
    names = []
    secure.default = lambda c, r: (names.append(getattr(c.sock, 'asked_name', None)), c.send(ok(b'')))[0]
    g = gateway(declarative(service(secure, route(paths=['/'], preserve_host=preserve))))
    assert g.get('/', host=host).status == 200
    assert names == [name]


def test_the_upstream_s_host_header_is_the_name_asked_for(gateway, secure):
    names = []
    secure.default = lambda c, r: (names.append((getattr(c.sock, 'asked_name', None), r.get('Host'))),
                                   c.send(ok(b'')))[0]
    g = gateway(declarative(
        service(f'https://up.upstream:{secure.port}', route(paths=['/'])),
        upstreams=[{'name': 'up.upstream', 'host_header': 'header.test',
                    'targets': [{'target': f'127.0.0.1:{secure.port}'}]}]))
    assert g.get('/').status == 200
    assert names[0][0] == 'header.test' and names[0][1].split(':')[0] == 'header.test'


# ---- timeouts ------------------------------------------------------------------------------------


def test_a_read_timeout_is_between_two_bytes(gateway, origin):
    def trickle(connection, _request):
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
        for _ in range(5):
            time.sleep(0.15)
            connection.send(b'x')

    o = origin().on('/trickle', trickle).on('/never', lambda c, r: c.wait_closed())
    g = gateway(everything_to(o, read_timeout=400, retries=0))
    assert g.get('/trickle').body == b'xxxxx'
    began = time.monotonic()
    answer = g.get('/never')
    assert answer.status == 504 and 0.3 < time.monotonic() - began < 4
    assert b'The upstream server is timing out' in answer.body


def test_a_write_timeout_is_a_504(gateway):
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(('127.0.0.1', 0))
        deaf.listen()
        g = gateway(declarative(service(f'http://127.0.0.1:{deaf.getsockname()[1]}', route(paths=['/']),
                                        write_timeout=300, read_timeout=60000, retries=0)))
        answer = g.get('/', method='POST', body=b'x' * (16 << 20))
        assert answer.status == 504


def full_listener():
    """A socket whose queue is full: SYNs to it are dropped."""
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen(0)
    fill = [socket.socket() for _ in range(4)]
    for f in fill:
        f.setblocking(False)
        f.connect_ex(s.getsockname())
    return s, fill


def test_a_connect_timeout_is_a_504_and_the_next_target_is_tried(gateway, origin):
    s, fill = full_listener()
    port = s.getsockname()[1]
    try:
        o = origin()
        g = gateway(declarative(
            service(f'http://127.0.0.1:{port}', route(paths=['/alone']), connect_timeout=200, retries=0),
            service('http://two.up', route(paths=['/two']), connect_timeout=200),
            upstreams=[{'name': 'two.up', 'targets': [{'target': f'127.0.0.1:{port}'},
                                                      {'target': f'127.0.0.1:{o.port}'}]}]))
        assert g.get('/alone').status == 504
        assert [g.get('/two').status for _ in range(2)] == [200, 200]
    finally:
        for one in (s, *fill):
            one.close()


# ---- tries ---------------------------------------------------------------------------------------


def dead_port():
    return free_port()


def upstream_of(*ports, **fields):
    return {'name': 'up', 'targets': [{'target': f'127.0.0.1:{p}'} for p in ports], **fields}


def test_each_target_is_tried_once_before_one_is_tried_again(gateway, origin):
    counts = {}

    def refuse(connection):
        port = connection.sock.getsockname()[1]
        counts[port] = counts.get(port, 0) + 1
        connection.reset()

    bad = [origin(on_connect=refuse) for _ in range(3)]
    g = gateway(declarative(service('http://up', route(paths=['/']), retries=5),
                            upstreams=[upstream_of(*[b.port for b in bad])]))
    assert g.get('/').status == 502
    assert sum(counts.values()) == 6 and set(counts.values()) == {2}


@pytest.mark.parametrize('retries,tries', [(0, 1), (1, 2), (5, 6)])
def test_retries_are_counted_exactly(gateway, origin, retries, tries):
    o = origin(on_connect=lambda c: c.reset())
    g = gateway(everything_to(o, retries=retries))
    assert g.get('/').status == 502
    assert o.connections == tries


@pytest.mark.parametrize('method,tries', [('GET', 3), ('HEAD', 3), ('PUT', 3), ('DELETE', 3),
                                          ('OPTIONS', 3), ('POST', 1), ('PATCH', 1), ('LOCK', 1)])
def test_what_was_sent_is_repeated_only_when_that_changes_nothing(gateway, origin, method, tries):
    o = origin()
    o.default = lambda c, r: c.close()
    g = gateway(everything_to(o, retries=2))
    assert g.get('/', method=method, body=b'body' if method == 'PUT' else None).status == 502
    assert len(o.requests) == tries


def test_an_answer_is_final_whatever_its_status(gateway, origin):
    o = origin().on('/', ok(b'broken', 503, 'No'))
    g = gateway(everything_to(o))
    assert g.get('/').body == b'broken'
    assert len(o.requests) == 1


def test_a_body_is_sent_again_whole(gateway, origin):
    body = bytes(range(256)) * 2000
    o = origin()
    o.default = lambda c, r: c.close() if len(o.requests) < 3 else c.send(ok(b'%d' % len(r.body)))
    g = gateway(everything_to(o))
    assert g.get('/', method='PUT', body=body).body == b'%d' % len(body)
    assert [r.body == body for r in o.requests] == [True] * 3


def test_a_second_try_that_is_answered_early_is_not_a_whole_request(gateway):
    """The first try took the whole body and gave no answer; the second one answers in front
    of it.  The rest of that body must not be read as the next request of its connection."""
    listener, ended, firsts = socket.create_server(('127.0.0.1', 0)), [], []
    size, timeout = 30_000_000, 15

    def head(c):
        data = b''
        while b'\r\n\r\n' not in data:
            data += c.recv(65536)
        return data.split(b'\r\n\r\n', 1)

    def serve():
        c, _ = listener.accept()
        got = len(head(c)[1])
        while got < size:
            got += len(c.recv(1 << 20))
        c.close()
        c, _ = listener.accept()
        head(c)
        c.sendall(ok(b'early'))
        other, _ = listener.accept()
        firsts.append(head(other)[0])
        other.sendall(ok(b'next'))
        c.settimeout(timeout)
        try:
            while c.recv(1 << 20):
                pass
            ended.append(True)
        except ConnectionError:
            ended.append(True)
        c.close()
        other.close()

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    g = gateway(declarative(service(f'http://127.0.0.1:{port}', route(paths=['/']))))
    with g.client(timeout=timeout) as c:
        c.send(request_bytes('PUT', '/big', body=b'x' * size))
        assert c.read_response().body == b'early'
    with g.client(timeout=timeout) as c:
        assert c.get('/next').body == b'next'
    assert firsts[0].startswith(b'GET /next ')
    wait_for(lambda: ended, 'the end of the connection with half a request')


def test_a_streamed_body_is_not_sent_twice(gateway, origin):
    o = origin()
    o.default = lambda c, r: c.close()
    g = gateway(declarative(service(o, route(paths=['/'], request_buffering=False))))
    assert g.get('/', method='PUT', body=b'x' * 100).status == 502
    assert len(o.requests) == 1


def test_a_streamed_body_still_finds_a_target_that_lives(gateway, origin):
    o = origin()
    g = gateway(declarative(service('http://up', route(paths=['/'], request_buffering=False)),
                            upstreams=[upstream_of(dead_port(), o.port)]))
    for _ in range(4):
        assert g.get('/', method='POST', body=b'x' * 100).status == 200


def test_no_try_follows_an_answer_that_began(gateway, origin):
    o = origin().on('/', b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', close=True)
    g = gateway(everything_to(o))
    with g.client() as c:
        c.send(request_bytes())
        assert c.read_head().status == 200
        assert c.read_to_end() == b'half'
    assert len(o.requests) == 1


def test_x_kong_upstream_status_is_that_of_the_last_try(gateway, origin):
    conf = {'headers': 'X-Kong-Upstream-Status'}
    o = origin().on('/418', ok(b'', 418, 'Teapot'))
    g = gateway(declarative(service(o, route(paths=['/'], strip_path=False), retries=0),
                            service(f'http://127.0.0.1:{dead_port()}', route(paths=['/dead']), retries=0)),
                conf=conf)
    assert g.get('/418').get('X-Kong-Upstream-Status') == '418'
    assert g.get('/dead').get('X-Kong-Upstream-Status') == '502'


# ---- clients that leave -----------------------------------------------------------------------------


@pytest.mark.parametrize('buffering', [True, False])
def test_a_client_that_leaves_ends_the_work_for_it(gateway, origin, buffering):
    ended = threading.Event()
    o = origin().on('/wait', lambda c, r: c.wait_closed() and ended.set())
    g = gateway(declarative(service(o, route(paths=['/'], strip_path=False, request_buffering=buffering,
                                             response_buffering=buffering))))
    c = g.client()
    c.send(request_bytes('GET', '/wait'))
    o.wait_requests(1)
    c.close()
    assert ended.wait(5)
    wait_for(lambda: '"GET /wait HTTP/1.1" 499 ' in g.log('access.log'), 'the 499 in the log')


def test_a_client_that_leaves_an_upload_ends_it_upstream(gateway, origin):
    ended = threading.Event()

    def script(connection, _request):
        connection.wait_closed()
        ended.set()

    o = origin(body_first=False).on('/up', script)
    g = gateway(declarative(service(o, route(paths=['/'], strip_path=False, request_buffering=False))))
    c = g.client()
    c.send(request_bytes('POST', '/up', [('Content-Length', '1000000')]) + b'x' * 1000)
    o.wait_requests(1)
    c.close()
    assert ended.wait(5)
    wait_for(lambda: '"POST /up HTTP/1.1" 499 ' in g.log('access.log'), 'the 499 in the log')


def test_a_client_that_leaves_a_download_ends_it_upstream(gateway, origin):
    ended = threading.Event()

    def script(connection, _request):
        connection.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        try:
            while True:
                connection.send(b'400\r\n' + b'x' * 1024 + b'\r\n')
                time.sleep(0.002)
        except OSError:
            ended.set()
            connection.close()

    o = origin().on('/down', script)
    g = gateway(everything_to(o))
    with g.client() as c:
        c.send(request_bytes('GET', '/down'))
        c.read_head()
    assert ended.wait(5)


def test_a_client_that_leaves_while_the_service_does_not_answer_its_call(gateway):
    s, fill = full_listener()
    try:
        g = gateway(declarative(service(f'http://127.0.0.1:{s.getsockname()[1]}', route(paths=['/']),
                                        connect_timeout=60000)))
        c = g.client()
        c.send(request_bytes('GET', '/call'))
        wait_for(lambda: g.api('/status').json()['server']['connections_writing'] >= 2, 'the request')
        c.close()
        wait_for(lambda: '"GET /call HTTP/1.1" 499 ' in g.log('access.log'), 'the 499 in the log')
    finally:
        for one in (s, *fill):
            one.close()


def send_what_is_taken(c, data):
    """Sends as long as the other side takes more within half a second."""
    c.sock.setblocking(False)
    while select.select([], [c.sock], [], 0.5)[1]:
        data = data[c.sock.send(data):]
    return data


@pytest.mark.parametrize('buffering', [True, False])
def test_a_client_that_leaves_while_the_service_does_not_take_its_body(gateway, buffering):
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(('127.0.0.1', 0))
        deaf.listen()
        g = gateway(declarative(service(f'http://127.0.0.1:{deaf.getsockname()[1]}',
                                        route(paths=['/'], request_buffering=buffering))))
        c = g.client()
        data = request_bytes('POST', '/give', body=b'x' * (16 << 20))
        if buffering:
            c.send(data)
        else:
            assert send_what_is_taken(c, data)
            # The end of a stream would come behind what is not read yet; a reset does not.
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        taken, _ = deaf.accept()
        with taken:
            c.close()
            wait_for(lambda: '"POST /give HTTP/1.1" 499 ' in g.log('access.log'), 'the 499 in the log')

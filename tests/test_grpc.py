# SPDX-License-Identifier: Apache-2.0
"""gRPC through the gateway, between real clients and servers of Debian's python3-grpcio."""
import os
import re
import threading

import grpc
import pytest

from harness.client import chunked
from harness.config import declarative, route
from harness.gateway import ROOT
from harness.grpc_origin import GrpcClient, GrpcOrigin, connections_to, wait_for_connections
from harness.h2_origin import CANCEL, END_STREAM, INTERNAL, OK_HEAD, H2Origin, literal, message
from harness.ports import free_port
from harness.waits import wait_for

SOON = 30


@pytest.fixture
def grpc_origin():
    made = []

    def make(*args, **more):
        made.append(GrpcOrigin(*args, **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def h2_origin():
    made = []

    def make(*args, **more):
        made.append(H2Origin(*args, **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def client():
    made = []

    def make(*args, **more):
        made.append(GrpcClient(*args, **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def to(*services, **entities):
    return declarative(*services, **entities)


def grpc_service(origin, *routes, **fields):
    where = origin if isinstance(origin, str) else origin.url
    routes = routes or (route(protocols=['grpc', 'grpcs'], paths=['/']),)
    return {'name': fields.pop('name', 'g'), 'routes': list(routes), 'retries': 0,
            **url_fields(where), **fields}


def url_fields(url):
    protocol, rest = url.split('://')
    host, port = rest.split(':')
    return {'protocol': protocol, 'host': host, 'port': int(port)}


@pytest.fixture
def h2c(gateway):
    """h2c(config): a gateway whose clear port speaks HTTP/2; its .grpc is that port."""
    def make(config, conf=None, **more):
        port, tls = free_port(), free_port()
        g = gateway(config, conf={
            'proxy_listen': f'127.0.0.1:{port} http2 reuseport backlog=4096, '
                            f'127.0.0.1:{tls} http2 ssl reuseport backlog=4096', **(conf or {})},
            start=False, **more)
        g.proxy, g.proxy_tls = port, tls
        return g.start()
    return make


def test_all_kinds_of_calls_go_through(h2c, grpc_origin, client):
    origin = grpc_origin()
    g = h2c(to(grpc_service(origin)))
    c = client(g.proxy)
    assert c.Unary(b'hello', timeout=SOON) == b'hello'
    assert c.Unary(b'', timeout=SOON) == b''
    assert list(c.Download(b'5 3', timeout=SOON)) == [bytes([i]) * 3 for i in range(5)]
    assert c.Upload(iter([b'ab'] * 7), timeout=SOON) == b'7 14'
    assert list(c.Chat(iter([b'a', b'b', b'c']), timeout=SOON)) == [b'a', b'b', b'c']
    assert list(c.Chat(iter([]), timeout=SOON)) == []
    wait_for_connections(origin.port, 1)


def test_metadata_goes_both_ways_and_headers_of_the_gateway_with_it(h2c, grpc_origin, client):
    origin = grpc_origin()
    g = h2c(to(grpc_service(origin)))
    answer, call = client(g.proxy).Meta.with_call(
        b'', timeout=SOON, metadata=(('x-mine', 'yes'), ('x-bytes-bin', b'\1\2')))
    seen = dict(line.split(': ', 1) for line in answer.decode().split('\n'))
    assert seen['x-mine'] == "'yes'" and seen['x-bytes-bin'] == "b'\\x01\\x02'"
    assert seen['x-forwarded-proto'] == "'http'" and seen['x-forwarded-for'] == "'127.0.0.1'"
    assert seen['x-forwarded-path'] == "'/test.Echo/Meta'"
    assert 0 < float(seen['left']) < SOON + 1
    initial = dict(call.initial_metadata())
    assert initial['initial'] == 'here' and initial['via'].startswith('gibbon/')
    assert int(initial['x-kong-proxy-latency']) >= 0 <= int(initial['x-kong-upstream-latency'])
    trailing = dict(call.trailing_metadata())
    assert trailing['trailing'] == 'there' and trailing['bin-bin'] == b'\0\xff'


def test_a_status_reaches_the_client_with_its_message_and_metadata(h2c, grpc_origin, client):
    g = h2c(to(grpc_service(grpc_origin())))
    with pytest.raises(grpc.RpcError) as failed:
        client(g.proxy).Fail(b'', timeout=SOON)
    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failed.value.details() == 'no more: 100 % used, schön'
    assert dict(failed.value.trailing_metadata())['why'] == 'asked'
    with pytest.raises(grpc.RpcError) as failed:
        client(g.proxy).Nothing(b'', timeout=SOON)
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_both_directions_flow_at_once(h2c, grpc_origin, client):
    """Each message waits for the answer to the one before; the server speaks first."""
    g = h2c(to(grpc_service(grpc_origin())))
    heard = threading.Semaphore(0)

    def talk():
        for i in range(50):
            assert heard.acquire(timeout=SOON)
            yield str(i).encode()
    got = []
    for message in client(g.proxy).Greet(talk(), timeout=SOON):
        got.append(message)
        heard.release()
    assert got == [b'hello'] + [str(i).encode() for i in range(50)]


def test_a_server_may_end_a_call_that_is_still_being_sent(h2c, grpc_origin, client):
    g = h2c(to(grpc_service(grpc_origin())))
    end = threading.Event()

    def endless():
        while not end.is_set():
            yield b'x' * 10000
    try:
        with pytest.raises(grpc.RpcError) as failed:
            list(client(g.proxy).Refuse(endless(), timeout=SOON))
    finally:
        end.set()
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == 'enough'


def test_a_client_that_cancels_ends_the_call_at_the_server(h2c, grpc_origin, client):
    origin = grpc_origin()
    g = h2c(to(grpc_service(origin)))
    c = client(g.proxy)
    waiting = c.Wait.future(b'1', timeout=SOON)
    wait_for(lambda: origin.waiting, 'the call to be there')
    waiting.cancel()
    wait_for(lambda: origin.cancelled == [b'1'], 'the call to be cancelled')
    stream = c.WaitStream(b'2', timeout=SOON)
    assert next(stream) == b'begun'
    wait_for(lambda: b'2' in origin.waiting, 'the stream to wait')
    stream.cancel()
    wait_for(lambda: origin.cancelled == [b'1', b'2'], 'the stream to be cancelled')
    with pytest.raises(grpc.RpcError) as failed:
        c.Wait(b'3', timeout=2)
    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for(lambda: origin.cancelled == [b'1', b'2', b'3'], 'the deadline to be seen')
    assert c.Unary(b'still here', timeout=SOON) == b'still here'
    wait_for_connections(origin.port, 1)


def test_big_messages_go_through_and_hold_up_nobody(h2c, grpc_origin, client):
    size = 20 * 1000 * 1000
    room = (('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1))
    g = h2c(to(grpc_service(grpc_origin(options=room))))
    c = client(g.proxy, options=room)
    big = bytes(range(250)) * (size // 250)
    slow = c.Download(b'100 1000000', timeout=SOON)  # nobody reads it yet
    assert c.Unary(big, timeout=SOON) == big
    assert c.Upload(iter([big[:1000000]] * 20), timeout=SOON) == b'20 20000000'
    assert sum(len(one) for one in slow) == 100 * 1000000


def test_a_thousand_streams_share_few_connections(h2c, grpc_origin, client):
    origin = grpc_origin(workers=8)
    g = h2c(to(grpc_service(origin)), conf={
        'nginx_http_http2_max_concurrent_streams': '2000'})
    c = client(g.proxy)
    calls = []
    done = threading.Semaphore(0)
    for i in range(1000):
        one = c.Unary.future(str(i).encode(), timeout=SOON)
        one.add_done_callback(lambda _: done.release())
        calls.append(one)
    for _ in calls:
        assert done.acquire(timeout=SOON)
    assert [one.result() for one in calls] == [str(i).encode() for i in range(1000)]
    assert connections_to(origin.port) <= 10


def test_a_server_that_takes_few_streams_gets_more_connections(h2c, grpc_origin, client):
    origin = grpc_origin(streams=2)
    g = h2c(to(grpc_service(origin)))
    calls = [client(g.proxy).Wait.future(str(i).encode(), timeout=SOON) for i in range(6)]
    wait_for(lambda: len(origin.calls) == 6, 'all calls to be there')
    assert connections_to(origin.port) == 3
    origin.go_on.set()
    assert sorted(one.result() for one in calls) == [str(i).encode() for i in range(6)]


def test_errors_of_the_gateway_are_told_in_words_of_grpc(h2c, grpc_origin, client):
    g = h2c(to(grpc_service(f'grpc://127.0.0.1:{free_port()}'),
               grpc_service(grpc_origin(), route(protocols=['grpcs'], hosts=['secure.test'],
                                                 paths=['/']), name='s'),
               plugins=[]), conf={'router_flavor': 'traditional'})
    c = client(g.proxy)
    with pytest.raises(grpc.RpcError) as failed:
        c.Unary(b'', timeout=SOON)
    assert failed.value.code() == grpc.StatusCode.INTERNAL
    assert failed.value.details() == 'An invalid response was received from the upstream server'
    secure = client(g.proxy, options=(('grpc.default_authority', 'secure.test'),))
    with pytest.raises(grpc.RpcError) as failed:
        secure.Unary(b'', timeout=SOON)
    assert failed.value.code() == grpc.StatusCode.CANCELLED
    assert failed.value.details() == 'gRPC request matched gRPCs route'


def test_no_route_is_not_found(h2c, grpc_origin, client):
    g = h2c(to(grpc_service(grpc_origin(), route(protocols=['grpc'], paths=['/test.Echo/Meta']))))
    with pytest.raises(grpc.RpcError) as failed:
        client(g.proxy).Unary(b'', timeout=SOON)
    assert failed.value.code() == grpc.StatusCode.NOT_FOUND
    assert failed.value.details() == 'no Route matched with those values'


def test_who_does_not_speak_it_is_told_so(h2c, grpc_origin):
    g = h2c(to(grpc_service(grpc_origin())))
    answer = g.get('/test.Echo/Unary', headers=[('Content-Type', 'application/grpc')])
    assert answer.status == 426 and answer.json()['message'] == 'Please use HTTP2 protocol'
    assert answer.get('Upgrade') == 'HTTP/2'
    answer = g.get('/test.Echo/Unary')
    assert answer.status == 415
    assert answer.json()['message'] == 'Non-gRPC request matched gRPC route'


def test_plugins_see_metadata(h2c, grpc_origin, client):
    origin = grpc_origin()
    config = to(grpc_service(origin), consumers=[{
        'username': 'ann', 'keyauth_credentials': [{'key': 'secret'}]}])
    config['plugins'] = [{'name': 'key-auth'},
                         {'name': 'rate-limiting', 'config': {'hour': 2, 'policy': 'local'}}]
    c = client(h2c(config).proxy)
    with pytest.raises(grpc.RpcError) as failed:
        c.Unary(b'', timeout=SOON)
    assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert failed.value.details() == 'No API key found in request'
    key = (('apikey', 'secret'),)
    assert c.Unary(b'x', timeout=SOON, metadata=key) == b'x'
    assert origin.calls[-1][1]['x-consumer-username'] == 'ann'
    assert c.Unary(b'x', timeout=SOON, metadata=key) == b'x'
    with pytest.raises(grpc.RpcError) as failed:
        c.Unary(b'', timeout=SOON, metadata=key)
    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failed.value.details() == 'API rate limit exceeded'


def test_a_call_on_a_connection_that_is_going_away_is_not_lost(h2c, grpc_origin, client):
    """The server stops in order in the middle of a call; another takes its place."""
    first, second = grpc_origin(), grpc_origin()
    g = h2c(to(grpc_service('grpc://both:80'), upstreams=[{
        'name': 'both', 'targets': [{'target': f'127.0.0.1:{one.port}', 'weight': 100}
                                    for one in (first, second)]}]))
    c = client(g.proxy)
    calls = [c.Wait.future(str(i).encode(), timeout=SOON) for i in range(4)]
    wait_for(lambda: len(first.calls) == 2 and len(second.calls) == 2, 'both to have calls')
    stopped = first.server.stop(SOON)  # GOAWAY; what it has goes on
    first.go_on.set()
    second.go_on.set()
    assert [one.result() for one in calls] == [b'0', b'1', b'2', b'3']
    assert stopped.wait(SOON)


def test_tls_on_both_sides(h2c, grpc_origin, client, certs):
    ca = certs.authority()
    pair = certs.make('localhost', ['localhost', '127.0.0.1'], by=ca)
    origin = grpc_origin(grpc.ssl_server_credentials([(pair.key.encode(), pair.cert.encode())]))
    g = h2c(to(grpc_service(origin)), conf={'ssl_cert': pair.cert_path,
                                            'ssl_cert_key': pair.key_path})
    c = client(g.proxy_tls, grpc.ssl_channel_credentials(ca.cert.encode()))
    assert c.Unary(b'hidden', timeout=SOON) == b'hidden'
    assert list(c.Chat(iter([b'a'] * 100), timeout=SOON)) == [b'a'] * 100
    assert origin.calls[0][1]['x-forwarded-proto'] == 'https'
    wait_for_connections(origin.port, 1)


# ---- targets that do what they may, and what they should not ------------------------------


def test_a_call_that_the_server_has_not_seen_is_made_again(h2c, h2_origin, client):
    """GOAWAY in front of the call's number, and REFUSED_STREAM: even with a body, even
    without retries."""
    def script(c, stream):
        if c.number == 1 and len(c.streams) == 2:
            c.leave(c.streams[0])
        elif c.number == 2 and len(c.streams) == 2:
            c.refuse(stream)
        else:
            c.answer(stream)
    origin = h2_origin(script)
    c = client(h2c(to(grpc_service(origin))).proxy)
    for _ in range(5):
        assert c.Unary(b'hello', timeout=SOON) == b'well'
    first, second = origin.connections[:2]
    assert len(first.streams) == 2 and len(second.streams) >= 3
    assert second.data[second.streams[0]] == message(b'hello')


def test_a_server_that_refuses_everybody_is_not_asked_for_ever(h2c, h2_origin, client):
    origin = h2_origin(lambda c, stream: c.refuse(stream))
    c = client(h2c(to(grpc_service(origin))).proxy)
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as failed:
            c.Unary(b'hello', timeout=SOON)
        assert failed.value.code() == grpc.StatusCode.INTERNAL
    assert sum(len(one.streams) for one in origin.connections) < 10


def test_a_call_that_may_have_been_seen_is_made_once(h2c, h2_origin, client):
    for script in (lambda c, stream: c.refuse(stream, INTERNAL), lambda c, stream: c.close()):
        origin = h2_origin(script)
        with pytest.raises(grpc.RpcError) as failed:
            client(h2c(to(grpc_service(origin, retries=5))).proxy).Unary(b'x', timeout=SOON)
        assert failed.value.code() == grpc.StatusCode.INTERNAL
        assert sum(len(one.streams) for one in origin.connections) == 1


def test_what_does_not_speak_http2_is_a_failed_target(h2c, h2_origin, client):
    def greet(c):
        c.sock.sendall(b'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    silent = h2_origin(None, greet=lambda c: c.read(1 << 20))
    for origin in (h2_origin(None, greet=greet), silent):
        with pytest.raises(grpc.RpcError) as failed:
            client(h2c(to(grpc_service(origin, connect_timeout=500))).proxy).Unary(
                b'x', timeout=SOON)
        assert failed.value.code() == (grpc.StatusCode.DEADLINE_EXCEEDED if origin is silent else
                                       grpc.StatusCode.INTERNAL)


def test_an_answer_that_breaks_off_is_not_taken_for_whole(h2c, h2_origin, client):
    def reset(c, stream):
        c.head(stream)
        c.send(0, 0, stream, message(b'well'))
        c.refuse(stream, CANCEL)

    def close(c, stream):
        c.head(stream)
        c.send(0, 0, stream, message(b'well'))
        c.close()
    for script in (reset, close):
        with pytest.raises(grpc.RpcError) as failed:
            list(client(h2c(to(grpc_service(h2_origin(script)))).proxy).Unary(b'', timeout=SOON))
        assert failed.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED,
                                       grpc.StatusCode.UNAVAILABLE)


def test_an_answer_of_trailers_alone_goes_through(h2c, h2_origin, client):
    def script(c, stream):
        c.head(stream, END_STREAM, OK_HEAD + literal('grpc-status', '9')
               + literal('grpc-message', 'not now'))
    with pytest.raises(grpc.RpcError) as failed:
        client(h2c(to(grpc_service(h2_origin(script)))).proxy).Unary(b'', timeout=SOON)
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == 'not now'


def test_a_connection_ends_after_its_requests_and_after_its_idle_time(h2c, h2_origin, client):
    origin = h2_origin(lambda c, stream: c.answer(stream))
    c = client(h2c(to(grpc_service(origin)), conf={
        'upstream_keepalive_max_requests': '3',
        'upstream_keepalive_idle_timeout': '0.5'}).proxy)
    for _ in range(7):
        assert c.Unary(b'', timeout=SOON) == b'well'
    assert [len(one.streams) for one in origin.connections] == [3, 3, 1]
    wait_for_connections(origin.port, 0)
    assert c.Unary(b'', timeout=SOON) == b'well'
    assert len(origin.connections) == 4


def test_without_a_pool_no_connection_stays(h2c, h2_origin, client):
    origin = h2_origin(lambda c, stream: c.answer(stream))
    c = client(h2c(to(grpc_service(origin)), conf={'upstream_keepalive_pool_size': '0'}).proxy)
    for n in range(1, 4):
        assert c.Unary(b'', timeout=SOON) == b'well'
        wait_for_connections(origin.port, 0)
        assert len(origin.connections) == n


def test_an_idle_connection_that_the_server_closes_is_replaced(h2c, h2_origin, client):
    origin = h2_origin(lambda c, stream: c.answer(stream))
    c = client(h2c(to(grpc_service(origin))).proxy)
    for n in range(1, 6):
        assert c.Unary(b'', timeout=SOON) == b'well'
        assert len(origin.connections) == n
        origin.connections[-1].close()


def test_a_silent_server_is_timed_out_but_not_while_the_client_speaks(h2c, grpc_origin, client):
    g = h2c(to(grpc_service(grpc_origin(), read_timeout=400)))
    c = client(g.proxy)
    with pytest.raises(grpc.RpcError) as failed:
        c.Wait(b'', timeout=SOON)
    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert failed.value.details() == 'The upstream server is timing out'

    def slowly():
        for _ in range(8):
            yield b'x'
            threading.Event().wait(0.1)
    assert c.Upload(slowly(), timeout=SOON) == b'8 8'


def test_clients_of_http1_reach_services_of_grpc(h2c, h2_origin):
    """What plugins that translate stand on."""
    seen = []

    def script(c, stream):
        seen.append(c)
        c.answer(stream)
    config = to(grpc_service(h2_origin(script), route(protocols=['http'], paths=['/a'])))
    g = h2c(config)
    te = ('TE', 'trailers')
    for headers, body in (([te], b'12345'), ([te], None),
                          ([te, ('Transfer-Encoding', 'chunked')], chunked(b'12', b'345'))):
        answer = g.get('/a/b', method='POST', headers=headers, body=body)
        assert answer.status == 200 and answer.body == message(b'well'), answer
        assert ('grpc-status', '0') in answer.trailers
    data = list(seen[0].data.values())
    assert data == [b'12345', b'12345']


def test_a_reload_loses_no_stream(h2c, grpc_origin, client):
    origin = grpc_origin()
    g = h2c(to(grpc_service(origin)))
    stream = client(g.proxy).WaitStream(b'1', timeout=SOON)
    assert next(stream) == b'begun'
    before = g.workers
    g.reload()
    wait_for(lambda: set(g.workers) - set(before), 'a new worker')
    assert client(g.proxy).Unary(b'x', timeout=SOON) == b'x'
    origin.go_on.set()
    assert next(stream) == b'1'
    assert list(stream) == []


# ---- docs/guides/grpc.md --------------------------------------------------------------------


def test_the_guide_does_what_it_says(h2c, grpc_origin, client):
    with open(os.path.join(ROOT, 'docs', 'guides', 'grpc.md'), encoding='utf-8') as text:
        guide = text.read()
    example = re.search(r'```yaml\n(.*?)```', guide, re.S).group(1)
    origin = grpc_origin()
    assert 'port: 50051' in example
    g = h2c(example.replace('port: 50051', f'port: {origin.port}'))
    call = re.search(r'```python\n(.*?)```', guide, re.S).group(1)
    assert call.count('127.0.0.1:8000') == 1
    exec(call.replace('127.0.0.1:8000', f'127.0.0.1:{g.proxy}'), {'grpc': grpc})
    assert origin.calls[-1][1]['x-consumer-username'] == 'ann'
    with pytest.raises(grpc.RpcError) as failed:
        client(g.proxy).Unary(b'hello', timeout=SOON)
    assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED

# SPDX-License-Identifier: Apache-2.0
"""proxy-cache: answers that come from the gateway, and how they are forgotten."""
import hashlib
import json
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.config import declarative, route, service
from harness.fleet import Fleet, call
from harness.origin import ok
from harness.postgres import Postgres
from harness.waits import wait_for

TEXT = [('Content-Type', 'text/plain')]
BIG = bytes(range(256)) * 4096  # 1 MB


def cached(path, **config):
    return {**route(paths=[path], strip_path=False),
            'plugins': [{'name': 'proxy-cache', 'config': {'strategy': 'memory', **config}}]}


def numbered():
    """A script whose answers are told apart."""
    count = iter(range(1000000))

    def script(connection, _request):
        connection.send(ok(b'answer %d' % next(count), headers=TEXT))
    return script


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def gw(module_gateway, origin1):
    return module_gateway(declarative(service(
        origin1,
        cached('/plain'),
        cached('/mine', memory={'dictionary_name': 'mine'}),
        cached('/control', cache_control=True, storage_ttl=600),
        cached('/keyed', vary_query_params=['a'], vary_headers=['X-A']),
        {**cached('/guarded'), 'plugins': [*cached('/guarded')['plugins'], {'name': 'key-auth'}]}),
        consumers=[{'username': name, 'keyauth_credentials': [{'key': name}]} for name in ('jo', 'jane')]),
        conf={'nginx_worker_processes': '2', 'nginx_http_lua_shared_dict': 'mine 3m'})


@pytest.fixture(scope='module')
def server():
    pg = Postgres().start()
    yield pg
    pg.end()


@pytest.fixture
def path(gw, origin1, request):
    """path('/plain'): one of its own below that, whose answers are numbered."""
    gw.api('/proxy-cache', 'DELETE')

    def path_(prefix, script=None):
        target = f'{prefix}/{request.node.name.replace("[", "-").replace("]", "")}'
        origin1.on(target, script or numbered())
        return target
    return path_


def status(answer):
    return answer.get('X-Cache-Status')


def test_an_answer_is_given_again(gw, path):
    target = path('/plain')
    first, again = gw.get(target), gw.get(target)
    assert (status(first), status(again)) == ('Miss', 'Hit')
    assert first.body == again.body == b'answer 0'
    assert again.get('Content-Type') == first.get('Content-Type')
    assert again.get('Content-Length') == '8' and again.get('Age').isdigit() and first.all('Age') == []
    assert again.get('X-Kong-Upstream-Latency') == '0' and again.get('X-Kong-Proxy-Latency').isdigit()
    assert again.get('Via').startswith('gibbon/') and again.all('X-Kong-Response-Latency') == []
    assert status(gw.get(target + '?x=1')) == 'Miss' and status(gw.get(target + '?x=1')) == 'Hit'


def test_keys_are_those_of_kong(gw, path):
    target = path('/keyed')
    route_id = next(r['id'] for r in gw.api('/routes').json()['data'] if r['paths'] == ['/keyed'])
    text = f'{route_id}|GET|GET {target}|a=1,2|X-A=x'
    answer = gw.get(target + '?b=3&a=2&a=1', headers=[('x-a', 'x')])
    assert answer.get('X-Cache-Key') == hashlib.sha256(text.encode()).hexdigest()
    again = gw.get(target + '?a=1&b=4&a=2', headers=[('x-a', 'x')])
    assert status(again) == 'Hit' and again.get('X-Cache-Key') == answer.get('X-Cache-Key')
    assert status(gw.get(target + '?a=1&a=2', headers=[('x-a', 'y')])) == 'Miss'


def test_consumers_have_keys_of_their_own(gw, path):
    target = path('/guarded')
    route_id = next(r['id'] for r in gw.api('/routes').json()['data'] if r['paths'] == ['/guarded'])
    for name in ('jo', 'jane'):
        consumer = gw.api(f'/consumers/{name}').json()['id']
        text = f'{consumer}:{route_id}|GET|GET {target} HTTP/1.1||'
        first = gw.get(target, headers=[('apikey', name)])
        assert first.get('X-Cache-Key') == hashlib.sha256(text.encode()).hexdigest()
        assert status(first) == 'Miss' and status(gw.get(target, headers=[('apikey', name)])) == 'Hit'
    assert gw.get(target).status == 401


def test_other_methods_and_types_go_past(gw, path):
    target = path('/plain')
    assert status(gw.client().request('POST', target, [], b'')) == 'Bypass'
    html = path('/plain', ok(b'x', headers=[('Content-Type', 'text/html')]))
    assert [status(gw.get(html)) for _ in range(2)] == ['Bypass'] * 2


def test_head_is_kept_apart_and_says_its_length(gw, path):
    target = path('/plain', b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 77\r\n\r\n')
    with gw.client() as c:
        for want in ('Miss', 'Hit', 'Hit'):
            answer = c.request('HEAD', target)
            assert (status(answer), answer.get('Content-Length'), answer.body) == (want, '77', b'')


@pytest.mark.parametrize('length', [True, False])
def test_big_bodies_of_known_and_unknown_length(gw, path, length):
    answer = ok(BIG, headers=TEXT, length=length)
    if not length:
        head, body = answer.split(b'\r\n\r\n', 1)
        answer = head + b'\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n' % len(body) + body + b'\r\n0\r\n\r\n'
    target = path('/plain', answer)
    for want in ('Miss', 'Hit'):
        got = gw.get(target)
        assert status(got) == want and got.body == BIG


def test_what_does_not_fit_is_passed_on_and_not_kept(gw, path):
    target = path('/mine', ok(BIG, headers=TEXT))  # more than a quarter of 3 MB
    for _ in range(2):
        answer = gw.get(target)
        assert status(answer) == 'Bypass' and answer.body == BIG
    assert gw.log().count('does not fit into') == 1


def test_an_answer_that_breaks_off_is_not_kept(gw, origin1, path):
    def broken(connection, _request):
        connection.send(b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf')
        connection.close()

    target = path('/plain', broken)
    with pytest.raises(Exception):
        gw.get(target)
    origin1.on(target, numbered())
    assert status(gw.get(target)) == 'Miss'


def test_a_hit_that_is_purged_while_it_is_sent_is_whole(gw, path):
    target = path('/plain', ok(BIG * 8, headers=TEXT))  # more than sockets hold
    gw.get(target)
    with gw.client() as c:
        c.send(f'GET {target} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
        c._more()  # it has begun
        assert gw.api('/proxy-cache', 'DELETE').status == 204
        answer = c.read_response()
        assert answer.body == BIG * 8
    assert status(gw.get(target)) == 'Miss'


def test_clients_may_ask_for_more(gw, origin1, path):
    target = path('/control', ok(b'x', headers=[*TEXT, ('Cache-Control', 'max-age=60')]))

    def asked(directives, where=target):
        return gw.get(where, headers=[('Cache-Control', directives)])

    assert status(gw.get(target)) == 'Miss' and status(gw.get(target)) == 'Hit'
    assert status(asked('min-fresh=30')) == 'Hit' and status(asked('min-fresh=61')) == 'Refresh'
    assert status(asked('no-cache')) == 'Bypass'
    assert status(gw.get(target, headers=[('Authorization', 'x')])) == 'Bypass'
    answer = asked('only-if-cached', target + '/none')
    assert answer.status == 504 and answer.body == b''
    origin1.on(target + '/short', ok(b'x', headers=[*TEXT, ('Cache-Control', 'max-age=1')]))
    assert status(gw.get(target + '/short')) == 'Miss'
    wait_for(lambda: status(gw.get(target + '/short')) == 'Refresh', 'the end of its time')


def test_streams_of_http2_get_it_too(gateway, origin):
    o = origin().on('/', ok(BIG, headers=TEXT))
    g = gateway(declarative(service(o, cached('/'))), start=False)
    g.write_conf(proxy_listen=f'127.0.0.1:{g.proxy}, 127.0.0.1:{g.proxy_tls} ssl http2')
    g.start()
    for want in ('Miss', 'Hit'):
        got = subprocess.run(['curl', '-sk', '--http2', '-D', '-', '--max-time', '20',
                              f'https://127.0.0.1:{g.proxy_tls}/'], capture_output=True, check=True).stdout
        head, body = got.split(b'\r\n\r\n', 1)
        assert head.startswith(b'HTTP/2 200') and body == BIG
        assert f'x-cache-status: {want}' in head.decode()


def test_what_is_kept_is_shown_and_purged(gw, path):
    target = path('/plain')
    key = gw.get(target).get('X-Cache-Key')
    kept = gw.api(f'/proxy-cache/{key}')
    assert kept.status == 200 and kept.json()['body'] == 'answer 0' and kept.json()['status'] == 200
    assert kept.json()['headers']['Content-Type'] == 'text/plain' and kept.json()['ttl'] == 300
    assert gw.api('/proxy-cache/none').status == gw.api('/proxy-cache/none', 'DELETE').status == 404
    plugin = next(p['id'] for p in gw.api('/plugins').json()['data']
                  if p['config'].get('memory', {}).get('dictionary_name') == 'kong_db_cache')
    mine = next(p['id'] for p in gw.api('/plugins').json()['data']
                if p['config'].get('memory', {}).get('dictionary_name') == 'mine')
    assert gw.api(f'/proxy-cache/{plugin}/caches/{key}').json() == kept.json()
    assert gw.api(f'/proxy-cache/{mine}/caches/{key}').status == 404
    assert gw.api(f'/proxy-cache/{mine}/caches/{key}', 'DELETE').status == 404
    assert gw.api(f'/proxy-cache/{plugin}/caches/{key}', 'DELETE').status == 204
    assert status(gw.get(target)) == 'Miss' and status(gw.get(target)) == 'Hit'
    assert gw.api(f'/proxy-cache/{key}', 'DELETE').status == 204
    assert status(gw.get(target)) == 'Miss'
    assert gw.api('/proxy-cache', 'DELETE').status == 204
    assert status(gw.get(target)) == 'Miss'


def test_methods_of_the_pages(gw):
    assert gw.api('/proxy-cache').status == 405
    assert gw.api('/proxy-cache', 'OPTIONS').get('Allow') == 'DELETE, OPTIONS'
    assert gw.api('/proxy-cache/x', 'OPTIONS').get('Allow') == 'DELETE, GET, HEAD, OPTIONS'
    assert {'/proxy-cache', '/proxy-cache/{cache_key}', '/proxy-cache/{plugin_id}/caches/{cache_key}'} <= \
        set(gw.api('/endpoints').json()['data'])


def test_a_zone_that_is_not_there_is_refused(gw):
    answer = gw.api('/schemas/plugins/validate', 'POST', headers=[('Content-Type', 'application/json')],
                    body=json.dumps({'name': 'proxy-cache', 'config': {
                        'strategy': 'memory', 'memory': {'dictionary_name': 'nowhere'}}}).encode())
    assert answer.status == 400 and "missing shared dict 'nowhere'" in answer.json()['message']


def test_many_at_once_while_room_is_made(gw, origin1, path):
    """Answers of 200 KB in a zone of 3 MB: each is whole, wherever it comes from."""
    target = path('/mine')
    for i in range(30):
        origin1.on(f'{target}/{i}', ok(b'%02d' % i * 100000, headers=TEXT))

    order = random.Random(1)

    def ask(i):
        answer = gw.get(f'{target}/{i}')
        return answer.body == b'%02d' % i * 100000 and status(answer)

    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(ask, [order.randrange(30) for _ in range(300)]))
    assert set(seen) == {'Miss', 'Hit'}, set(seen)


def test_nodes_of_one_database_forget_together(server, gateway, origin):
    fleet = Fleet(server, gateway, origin().on('/', numbered()), 'proxy_cache')
    one, two = fleet.node(), fleet.node()
    call(one, 'DELETE', '/plugins/' + call(one, 'GET', '/plugins')['data'][0]['id'])
    call(one, 'POST', '/plugins', {'name': 'proxy-cache', 'config': {'strategy': 'memory'}})
    key = wait_for(lambda: two.get('/').get('X-Cache-Key'), 'the plugin at the other node')
    for purge in (f'/proxy-cache/{key}', '/proxy-cache'):
        wait_for(lambda: status(two.get('/')) == status(one.get('/')) == 'Hit', 'both have it')
        call(one, 'DELETE', purge)
        wait_for(lambda: two.api(f'/proxy-cache/{key}').status == 404, 'the other to forget it')

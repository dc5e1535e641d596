# SPDX-License-Identifier: Apache-2.0
"""Requests are spread over targets exactly as their weights say."""
import collections
import threading

import pytest

from harness.config import declarative, route, sent, service
from harness.ports import free_port
from harness.waits import wait_for


def balanced(*targets, name='many.upstream', service_fields=None, **fields):
    """targets: (origin or port, weight)"""
    return declarative(
        service(f'http://{name}', route(paths=['/'], strip_path=False), **(service_fields or {})),
        upstreams=[{'name': name, 'targets': [
            {'target': f'127.0.0.1:{t if isinstance(t, int) else t.port}', 'weight': w}
            for t, w in targets], **fields}])


def spread(gateway, count, **more):
    with gateway.client() as c:
        ports = [c.get('/', **more).json()['port'] for _ in range(count)]
    return collections.Counter(ports), ports


@pytest.mark.parametrize('weights', [(100, 100), (1, 2, 3), (10, 0, 30), (7, 5), (1, 1, 1, 1, 1)])
def test_round_robin_is_exact_over_whole_rounds(gateway, origin, weights):
    origins = [origin() for _ in weights]
    gw = gateway(balanced(*zip(origins, weights)))
    counts, _ = spread(gw, sum(weights) if sum(weights) < 100 else 40)
    total = sum(weights)
    n = sum(counts.values())
    assert [counts[o.port] for o in origins] == [n * w // total for w in weights]


def test_the_order_mixes_the_targets(gateway, origin):
    origins = [origin() for _ in range(3)]
    gw = gateway(balanced(*((o, 100) for o in origins)))
    _, ports = spread(gw, 30)
    for i in range(0, 30, 3):
        assert len(set(ports[i:i + 3])) == 3


def test_round_robin_stays_exact_over_a_reload(gateway, origin):
    origins = [origin(), origin()]
    gw = gateway(balanced((origins[0], 1), (origins[1], 1)))
    assert spread(gw, 10)[0][origins[0].port] == 5
    gw.reload()
    assert spread(gw, 10)[0][origins[0].port] == 5


def test_a_dead_target_costs_no_request(gateway, origin):
    alive = origin()
    gw = gateway(balanced((alive, 100), (free_port(), 100), (free_port(), 100)))
    counts, _ = spread(gw, 30)
    assert counts == {alive.port: 30}


def test_all_targets_dead(gateway):
    gw = gateway(balanced((free_port(), 100), (free_port(), 100)))
    assert gw.get('/').status == 502


def test_without_retries_a_dead_target_shows(gateway, origin):
    alive = origin()
    gw = gateway(balanced((alive, 100), (free_port(), 100), service_fields={'retries': 0}))
    statuses = collections.Counter(gw.get('/').status for _ in range(20))
    assert statuses == {200: 10, 502: 10}


def test_no_weight_at_all(gateway, origin):
    gw = gateway(balanced((origin(), 0)))
    answer = gw.get('/')
    assert (answer.status, answer.json()) == (
        503, {'message': 'failure to get a peer from the ring-balancer'})


def test_the_host_sent_is_the_target_s(gateway, origin):
    o = origin()
    assert sent(gateway(balanced((o, 100))).get('/'), 'Host') == [f'127.0.0.1:{o.port}']


def test_the_upstream_s_host_header_is_sent(gateway, origin):
    o = origin()
    gw = gateway(balanced((o, 100), host_header='own.example'))
    assert sent(gw.get('/'), 'Host')[0] in ('own.example', f'own.example:{o.port}')


def test_hashing_on_a_header_is_sticky_and_spreads(gateway, origin):
    origins = [origin() for _ in range(4)]
    gw = gateway(balanced(*((o, 100) for o in origins), algorithm='consistent-hashing',
                          hash_on='header', hash_on_header='X-Key'))
    where = {}
    for key in range(60):
        counts, _ = spread(gw, 3, headers={'X-Key': f'key{key}'})
        assert len(counts) == 1, f'key{key} went to {counts}'
        where[key] = next(iter(counts))
    assert len(set(where.values())) == 4
    gw.reload()
    for key in range(0, 60, 7):
        counts, _ = spread(gw, 1, headers={'X-Key': f'key{key}'})
        assert next(iter(counts)) == where[key]


@pytest.mark.parametrize('fields,ask', [
    ({'hash_on': 'path'}, lambda k: {'target': f'/{k}'}),
    ({'hash_on': 'query_arg', 'hash_on_query_arg': 'k'}, lambda k: {'target': f'/?k={k}'}),
    ({'hash_on': 'ip'}, lambda k: {}),
])
def test_other_things_to_hash_on(gateway, origin, fields, ask):
    origins = [origin() for _ in range(3)]
    gw = gateway(balanced(*((o, 100) for o in origins), algorithm='consistent-hashing', **fields))
    seen = set()
    for key in range(20):
        ports = {gw.get(**ask(key)).json()['port'] for _ in range(3)}
        assert len(ports) == 1
        seen |= ports
    assert len(seen) == (1 if fields['hash_on'] == 'ip' else 3)


def test_hashing_on_a_cookie_makes_it(gateway, origin):
    origins = [origin() for _ in range(3)]
    gw = gateway(balanced(*((o, 100) for o in origins), algorithm='consistent-hashing',
                          hash_on='cookie', hash_on_cookie='stick'))
    first = gw.get('/')
    cookie = first.get('Set-Cookie')
    assert cookie.startswith('stick=') and 'Path=/' in cookie and 'HttpOnly' in cookie
    value = cookie.split(';')[0]
    for _ in range(6):
        again = gw.get('/', headers={'Cookie': value})
        assert again.json()['port'] == first.json()['port']
        assert again.all('Set-Cookie') == []


def hashed(origin, n=3, routes=None, consumers=(), plugins=(), **fields):
    """A configuration whose upstream hashes on something, and its origins."""
    origins = [origin() for _ in range(n)]
    config = balanced(*((o, 100) for o in origins), algorithm='consistent-hashing', **fields)
    service = config['services'][0]
    service['routes'] = routes or [{'name': 'any', 'paths': ['/'], 'strip_path': False}]
    config['plugins'] = list(plugins)
    config['consumers'] = [{'username': u, 'keyauth_credentials': [{'key': u}]}
                           for u in consumers]
    return config


def port_of(gw, target='/', **headers):
    ports = {gw.get(target, headers=headers).json()['port'] for _ in range(3)}
    assert len(ports) == 1, ports
    return ports.pop()


def test_hashing_on_the_consumer(gateway, origin):
    users = [f'user{i}' for i in range(40)]
    gw = gateway(hashed(origin, consumers=users, plugins=[{'name': 'key-auth'}],
                        hash_on='consumer'))
    where = {user: port_of(gw, apikey=user) for user in users}
    assert len(set(where.values())) == 3
    gw.reload()
    assert {user: port_of(gw, apikey=user) for user in users[:6]} == \
        {user: where[user] for user in users[:6]}


def test_who_is_no_consumer_is_hashed_by_the_fallback(gateway, origin):
    gw = gateway(hashed(origin, hash_on='consumer', hash_fallback='header',
                        hash_fallback_header='X-Key'))
    assert len({port_of(gw, **{'X-Key': f'k{i}'}) for i in range(40)}) == 3


@pytest.mark.parametrize('fields', [
    {'hash_on': 'uri_capture', 'hash_on_uri_capture': 'shop'},
    {'hash_on': 'header', 'hash_on_header': 'X-None', 'hash_fallback': 'uri_capture',
     'hash_fallback_uri_capture': 'shop'},
])
def test_hashing_on_a_group_of_the_route_s_regex(gateway, origin, fields):
    gw = gateway(hashed(origin, routes=[
        {'name': 'shops', 'paths': [r'~/(?<shop>\w+)/(?<item>\w+)'], 'strip_path': False},
        {'name': 'any', 'paths': ['/'], 'strip_path': False}], **fields))
    where = {}
    for i in range(40):
        shop = f'shop{i}'
        where[shop] = port_of(gw, f'/{shop}/a')
        assert port_of(gw, f'/{shop}/b') == where[shop]
    assert len(set(where.values())) == 3
    assert len({port_of(gw, target) for target in ('/', '/x', '/y')}) == 1  # nothing to go by


def test_the_cookie_that_is_made_has_its_path(gateway, origin):
    gw = gateway(hashed(origin, hash_on='header', hash_on_header='X-Key', hash_fallback='cookie',
                        hash_on_cookie='stick', hash_on_cookie_path='/shop'))
    cookies = [gw.get('/').get('Set-Cookie') for _ in range(2)]
    assert all(c.startswith('stick=') and 'Path=/shop;' in c for c in cookies)
    assert cookies[0] != cookies[1]
    assert gw.get('/', headers={'X-Key': 'a'}).get('Set-Cookie') is None


def test_lines_of_a_header_are_hashed_together(gateway, origin):
    gw = gateway(hashed(origin, hash_on='header', hash_on_header='X-Key'))
    two = gw.get('/', headers=[('X-Key', 'a'), ('X-Key', 'b')]).json()['port']
    assert two == port_of(gw, **{'X-Key': 'ab'})


def test_least_connections_prefers_the_idle(gateway, origin):
    origins = [origin(), origin()]
    go = threading.Event()
    for o in origins:
        o.on('/hold', lambda c, r: (go.wait(10), c.send(b'HTTP/1.1 200 OK\r\nContent-Length: 0'
                                                        b'\r\n\r\n')))
    gw = gateway(balanced(*((o, 100) for o in origins), algorithm='least-connections'))
    c = gw.client()
    c.send(b'GET /hold HTTP/1.1\r\nHost: x\r\n\r\n')
    busy = wait_for(lambda: next((o for o in origins if o.requests), None), 'the held request')
    counts, _ = spread(gw, 10)
    go.set()
    c.close()
    assert busy.port not in counts


def test_a_service_by_name_uses_every_address(gateway, origin):
    o = origin()
    gw = gateway(declarative(service(f'http://localhost:{o.port}', route(paths=['/']))))
    assert sent(gw.get('/'), 'Host') == [f'localhost:{o.port}']


def test_a_target_by_name(gateway, origin):
    o = origin()
    gw = gateway(declarative(
        service('http://named.upstream', route(paths=['/'])),
        upstreams=[{'name': 'named.upstream', 'targets': [{'target': f'localhost:{o.port}'}]}]))
    assert sent(gw.get('/'), 'Host') == [f'localhost:{o.port}']


def test_targets_may_change_with_the_configuration(gateway, origin):
    first, second = origin(), origin()
    gw = gateway(balanced((first, 100)))
    assert gw.get('/').json()['port'] == first.port
    gw.write_config(balanced((second, 100)))
    gw.reload()
    wait_for(lambda: gw.get('/').json()['port'] == second.port, 'the new target', timeout=1)

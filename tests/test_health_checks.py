# SPDX-License-Identifier: Apache-2.0
"""Targets that fail are left out and come back: passive and active checks, thresholds, marks."""
import json
import os
import re
import signal
import threading
from concurrent import futures

import grpc
import pytest

from harness.client import ask
from harness.config import declarative, route, service
from harness.dns import Dns
from harness.gateway import ROOT
from harness.origin import Origin, ok
from harness.ports import free_port
from harness.waits import wait_for

POOL = '/upstreams/pool'


def passive(healthy=None, unhealthy=None, **more):
    return {'passive': {'healthy': healthy or {}, 'unhealthy': unhealthy or {}}, **more}


def active(kind='http', successes=1, failures=1, interval=0.1, **fields):
    unhealthy = {'interval': interval, 'http_failures': failures, 'tcp_failures': failures,
                 'timeouts': failures}
    return {'active': {'type': kind, 'healthy': {'interval': interval, 'successes': successes},
                       'unhealthy': unhealthy, **fields}}


def where(target):
    if isinstance(target, str):
        return target
    return f'127.0.0.1:{target if isinstance(target, int) else target.port}'


def pool(checks, *targets, name='pool', weights=None, service_fields=None, **fields):
    weights = weights or [100] * len(targets)
    return declarative(
        service(f'http://{name}', route(paths=['/'], strip_path=False),
                **{'retries': 0, **(service_fields or {})}),
        upstreams=[{'name': name, 'healthchecks': checks, **fields, 'targets': [
            {'target': where(t), 'weight': w} for t, w in zip(targets, weights)]}])


def always(status):
    """Everything is answered with that status."""
    def say(connection, _request):
        connection.send(ok(b'.', status=status))
    return say


class Moody(Origin):
    """An origin whose status for everything is `status`."""

    def __init__(self, status=200, **more):
        super().__init__(**more)
        self.status = status
        self.default = lambda connection, _request: connection.send(ok(b'.', status=self.status))


@pytest.fixture
def moody():
    made = []

    def make(*args, **more):
        made.append(Moody(*args, **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def dns():
    d = Dns()
    yield d
    d.stop()


def health(gateway, target, name='pool'):
    page = gateway.api(f'/upstreams/{name}/health').json()['data']
    return next(t['health'] for t in page if t['target'] == where(target))


def wait_health(gateway, target, word, name='pool'):
    wait_for(lambda: health(gateway, target, name) == word, f'{target} to be {word}')


def statuses(gateway, count):
    return [gateway.get('/').status for _ in range(count)]


# ---- passive ---------------------------------------------------------------------------------------


def test_bad_statuses_take_a_target_out(gateway, origin, moody):
    good, bad = origin(), moody(500)
    gw = gateway(pool(passive(unhealthy={'http_failures': 2}), good, bad))
    seen = statuses(gw, 20)
    assert seen.count(500) == 2 and seen.count(200) == 18
    assert len(bad.requests) == 2
    assert (health(gw, good), health(gw, bad)) == ('HEALTHY', 'UNHEALTHY')


def test_listed_statuses_count_and_others_do_not(gateway, moody):
    one = moody(404)
    gw = gateway(pool(passive(unhealthy={'http_failures': 1, 'http_statuses': [418]}), one))
    assert statuses(gw, 5) == [404] * 5
    one.status = 418
    assert statuses(gw, 3) == [418, 503, 503]


def test_nobody_left(gateway, moody):
    gw = gateway(pool(passive(unhealthy={'http_failures': 1}), moody(500)))
    assert gw.get('/').status == 500
    answer = gw.get('/')
    assert (answer.status, answer.json()) == (
        503, {'message': 'failure to get a peer from the ring-balancer'})
    whole = gw.api(f'{POOL}/health?balancer_health=1').json()['data']
    assert whole['health'] == 'UNHEALTHY'
    assert whole['details']['weight'] == {'total': 100, 'available': 0, 'unavailable': 100}


def test_successes_between_forget_failures(gateway, moody):
    one = moody()
    gw = gateway(pool(passive({'successes': 1}, {'http_failures': 2}), one))
    for _ in range(3):
        for one.status in (500, 200):
            assert gw.get('/').status == one.status
    one.status = 500
    assert statuses(gw, 3) == [500, 500, 503]


def test_refused_connections_count_without_a_retry(gateway, origin):
    dead = free_port()
    gw = gateway(pool(passive(unhealthy={'tcp_failures': 1}), origin(), dead))
    assert sorted(statuses(gw, 10)) == [200] * 9 + [502]
    assert health(gw, dead) == 'UNHEALTHY'


def test_a_dead_target_costs_one_retry_in_all(gateway, origin):
    alive, dead = origin(), free_port()
    gw = gateway(pool(passive(unhealthy={'tcp_failures': 1}), alive, dead,
                      service_fields={'retries': 5}))
    assert statuses(gw, 20) == [200] * 20
    assert gw.log().count(f'upstream 127.0.0.1:{dead}:') == 1


def test_the_502_of_a_refused_connection_is_a_status_too(gateway):
    dead = free_port()
    gw = gateway(pool(passive(unhealthy={'http_failures': 2, 'http_statuses': [502]}), dead))
    assert statuses(gw, 4) == [502, 502, 503, 503]


def test_timeouts_count(gateway, origin):
    slow, gate = origin(), threading.Event()
    slow.default = lambda connection, _request: gate.wait(20)
    gw = gateway(pool(passive(unhealthy={'timeouts': 2}), slow,
                      service_fields={'read_timeout': 100}))
    try:
        assert statuses(gw, 3) == [504, 504, 503]
    finally:
        gate.set()


def test_a_passive_breaker_stays_open_until_somebody_closes_it(gateway, moody):
    one = moody(500)
    gw = gateway(pool(passive(unhealthy={'http_failures': 1}), one))
    assert statuses(gw, 2) == [500, 503]
    one.status = 200
    assert statuses(gw, 3) == [503] * 3
    assert gw.api(f'{POOL}/targets/{where(one)}/healthy', method='PUT').status == 204
    assert statuses(gw, 3) == [200] * 3


def test_all_loops_know_and_one_says_it(gateway, moody):
    one = moody(500)
    gw = gateway(pool(passive(unhealthy={'http_failures': 3}), one),
                 conf={'nginx_worker_processes': '2'})
    wait_for(lambda: gw.get('/').status == 503, 'the target to be out')
    assert statuses(gw, 20) == [503] * 20
    line = f'target {where(one)} is unhealthy: 3 bad statuses'
    wait_for(lambda: line in gw.log(), 'a line in the log')
    assert gw.log().count(line) == 1
    assert gw.log().count('upstream pool is unhealthy') == 1


def test_the_threshold_counts_weight(gateway, origin, moody):
    good, bad = origin(), moody(500)
    gw = gateway(pool(passive(unhealthy={'http_failures': 1}, threshold=50), good, bad,
                      weights=[50, 50]))
    wait_for(lambda: gw.get('/').status == 503, 'the whole upstream to be out')
    assert health(gw, good) == 'HEALTHY'
    assert gw.api(f'{POOL}/health?balancer_health=1').json()['data']['health'] == 'UNHEALTHY'
    gw.api(f'{POOL}/targets/{where(bad)}/healthy', method='PUT')
    assert gw.get('/').status in (200, 500)


# ---- active ------------------------------------------------------------------------------------------


def test_probes_take_out_and_bring_back(gateway, moody):
    one, two = moody(), moody()
    gw = gateway(pool(active(http_path='/ping'), one, two))
    wait_health(gw, one, 'HEALTHY')
    two.status = 503
    wait_health(gw, two, 'UNHEALTHY')
    assert statuses(gw, 10) == [200] * 10
    two.status = 200
    wait_health(gw, two, 'HEALTHY')
    before = len([r for r in two.requests if r.path == '/'])
    assert statuses(gw, 10) == [200] * 10
    assert len([r for r in two.requests if r.path == '/']) == before + 5


def test_the_request_of_a_probe(gateway, moody, dns):
    one = moody()
    dns.a('one.test', '127.0.0.1')
    checks = active(http_path='/ping', headers={'X-One': ['a', 'b'], 'Accept': ['*/*']})
    gw = gateway(pool(checks, f'one.test:{one.port}'), conf={'dns_resolver': dns.address})
    request = one.wait_requests(1)[0]
    assert (request.method, request.target, request.version) == ('GET', '/ping', 'HTTP/1.0')
    assert sorted(request.headers) == [('Accept', '*/*'), ('Connection', 'close'),
                                       ('Host', 'one.test'), ('X-One', 'a'), ('X-One', 'b')]
    assert health(gw, f'one.test:{one.port}') == 'HEALTHY'


def test_the_host_header_of_an_upstream_is_its_probes_too(gateway, moody):
    one = moody()
    gateway(pool(active(), one, host_header='other.test'))
    assert one.wait_requests(1)[0].get('Host') == 'other.test'


def test_each_probe_has_its_own_connection(gateway, moody):
    one = moody()
    gateway(pool(active(), one))
    one.wait_requests(5)
    assert len({r.connection for r in one.requests[:5]}) == 5


def test_thresholds_of_probes(gateway, moody):
    one = moody(500)
    gw = gateway(pool(active(successes=3, failures=3), one))
    wait_health(gw, one, 'UNHEALTHY')
    bad = len(one.requests)
    one.status = 200
    wait_health(gw, one, 'HEALTHY')
    assert bad >= 3 and len(one.requests) >= bad + 2
    assert f'target {where(one)} is unhealthy: 3 bad statuses' in gw.log()
    assert f'target {where(one)} is healthy: 3 successes' in gw.log()


@pytest.mark.parametrize('how', ['refuses', 'closes', 'babbles', 'is silent', 'never ends'])
def test_what_is_no_answer_is_a_failure(gateway, origin, how):
    gate = threading.Event()
    if how == 'refuses':
        one = free_port()
    else:
        one = origin()
        one.default = {
            'closes': lambda c, _r: c.close(),
            'babbles': lambda c, _r: (c.send(b'220 smtp.test ESMTP\r\n'), c.close()),
            'is silent': lambda _c, _r: gate.wait(20),
            'never ends': lambda c, _r: (c.send(b'HTTP/1.1 2' + b'0' * 10000), c.close()),
        }[how]
    try:
        gw = gateway(pool(active(timeout=0.2), one))
        wait_health(gw, one, 'UNHEALTHY')
        assert gw.get('/').status == 503
    finally:
        gate.set()


def test_tcp_probes_only_connect(gateway, moody):
    one, dead = moody(500), free_port()
    gw = gateway(pool(active('tcp'), one, dead))
    wait_health(gw, dead, 'UNHEALTHY')
    wait_for(lambda: one.connections >= 3, 'three probes')
    assert health(gw, one) == 'HEALTHY' and not one.requests
    assert statuses(gw, 4) == [500] * 4


def test_https_probes_verify_when_asked(gateway, moody, certs):
    ca, other_ca = certs.authority(), certs.authority('other')
    good = moody(tls=certs.make('known.test', by=ca).server_context())
    others = [moody(tls=certs.make('known.test', by=other_ca).server_context()),
              moody(tls=certs.make('unknown.test', by=ca).server_context())]
    gw = gateway(pool(active('https', https_sni='known.test'), good, *others),
                 conf={'lua_ssl_trusted_certificate': ca.cert_path})
    for bad in others:
        wait_health(gw, bad, 'UNHEALTHY')
    good.wait_requests(3)
    assert health(gw, good) == 'HEALTHY'
    assert not any(bad.requests for bad in others)


def test_https_probes_show_the_client_certificate_of_the_upstream(gateway, moody, certs):
    ca = certs.authority()
    one = moody(tls=certs.make('any.test').server_context(client_ca=ca))
    mine, id = certs.make('client.test', by=ca), 'ce0a4a1e-94b2-4a56-9a1c-0d5e3f0f6a11'
    config = pool(active('https', https_verify_certificate=False), one, client_certificate=id)
    config['certificates'] = [{'id': id, 'cert': mine.cert, 'key': mine.key}]
    gw = gateway(config)
    one.wait_requests(2)
    assert health(gw, one) == 'HEALTHY'


def test_https_probes_do_not_verify_when_not_asked(gateway, moody, certs):
    one = moody(tls=certs.make('any.test').server_context())
    gw = gateway(pool(active('https', https_verify_certificate=False, https_sni='sni.test'), one))
    one.wait_requests(3)
    assert health(gw, one) == 'HEALTHY'
    assert set(one.names) == {'sni.test'}


def test_probes_at_once(gateway, origin):
    lock, gate, now, most = threading.Lock(), threading.Event(), [0], [0]

    def hold(connection, _request):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        gate.wait(20)
        with lock:
            now[0] -= 1
        connection.send(ok(b'.'))
    origins = [origin() for _ in range(5)]
    for one in origins:
        one.default = hold
    try:
        gateway(pool(active(timeout=30, concurrency=2), *origins))
        wait_for(lambda: now[0] == 2, 'two probes')
    finally:
        gate.set()
    wait_for(lambda: all(len(o.requests) >= 2 for o in origins), 'the others')
    assert most[0] == 2


class Health(grpc.GenericRpcHandler):
    """A server with grpc.health.v1.Health, which says .answer, or fails when there is none."""

    def __init__(self, credentials=None):
        self.answer, self.seen = b'\x08\x01', []
        self.server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[self])
        self.port = (self.server.add_secure_port('127.0.0.1:0', credentials) if credentials else
                     self.server.add_insecure_port('127.0.0.1:0'))
        self.server.start()

    def service(self, details):
        if details.method != '/grpc.health.v1.Health/Check':
            return None
        self.seen.append(dict(details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(self.check) if self.answer else None

    def check(self, request, context):
        assert request == b''
        return self.answer


@pytest.mark.parametrize('kind', ['grpc', 'grpcs'])
def test_grpc_is_asked_for_its_health(gateway, certs, kind):
    pair = certs.make('localhost', ['localhost', '127.0.0.1'])
    one = Health(grpc.ssl_server_credentials([(pair.key.encode(), pair.cert.encode())])
                 if kind == 'grpcs' else None)
    try:
        gw = gateway(pool(active(kind, headers={'x-probe': ['yes']},
                                 https_verify_certificate=False), one))
        for answer, word in ((b'\x08\x01', 'HEALTHY'), (b'\x08\x02', 'UNHEALTHY'),
                             (b'\x08\x01', 'HEALTHY'), (None, 'UNHEALTHY')):
            one.answer = answer
            wait_for(lambda: health(gw, one) == word, word)
        assert one.seen[0]['x-probe'] == 'yes'
    finally:
        one.server.stop(None).wait()


def test_an_upstream_without_services_is_probed_too(gateway, moody):
    one = moody()
    config = pool(active(), one)
    del config['services']
    gateway(config)
    one.wait_requests(2)


# ---- changes ---------------------------------------------------------------------------------------------


def apply(gateway, config):
    answer = gateway.api('/config', method='POST', body=json.dumps(config).encode(),
                         headers=[('Content-Type', 'application/json')])
    assert answer.status == 201, answer.text


def test_health_outlives_a_change_of_the_configuration(gateway, moody):
    one, two = moody(), moody(500)
    config = pool(passive(unhealthy={'http_failures': 1}), one, two)
    gw = gateway(config)
    wait_health_by_requests(gw, two)
    config['services'].append(service('http://elsewhere.test', route(paths=['/x'])))
    apply(gw, config)
    assert health(gw, two) == 'UNHEALTHY'
    assert statuses(gw, 6) == [200] * 6
    config['upstreams'][0]['targets'][0]['weight'] = 50
    apply(gw, config)
    assert statuses(gw, 6) == [200] * 6


def wait_health_by_requests(gateway, target):
    wait_for(lambda: gateway.get('/') and health(gateway, target) == 'UNHEALTHY', 'it to be out')


def test_what_is_removed_is_not_probed_any_more(gateway, moody):
    one, two = moody(), moody()
    gw = gateway(pool(active(), one, two))
    two.wait_requests(2)
    apply(gw, pool(active(), one))
    count, mark = len(two.requests), len(one.requests)
    one.wait_requests(mark + 5)
    assert len(two.requests) <= count + 1  # one may have been under way
    apply(gw, pool(active(), two, name='other'))
    count, mark = len(one.requests), len(two.requests)
    two.wait_requests(mark + 5)
    assert len(one.requests) <= count + 1


def test_checks_that_are_switched_off_bring_everybody_back(gateway, moody):
    one = moody(500)
    gw = gateway(pool(active(), one))
    wait_health(gw, one, 'UNHEALTHY')
    apply(gw, pool({}, one))
    assert health(gw, one) == 'HEALTHCHECKS_OFF'
    assert gw.get('/').status == 500


@pytest.mark.parametrize('how', ['reload', 'crash'])
def test_health_outlives_the_worker(gateway, moody, how):
    good, bad = moody(), moody()
    gw = gateway(pool(passive(unhealthy={'tcp_failures': 3}), good, bad))
    target = f'{POOL}/targets/{where(bad)}'
    assert gw.api(f'{target}/unhealthy', 'PUT').status == 204
    before = gw.workers
    if how == 'reload':
        gw.reload()
    else:
        os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: gw.workers and gw.workers[-1] not in before and gw.is_ready(), 'the next worker')
    states = {t['target']: t['health'] for t in gw.api(f'{POOL}/health').json()['data']}
    assert states == {where(good): 'HEALTHY', where(bad): 'UNHEALTHY'}
    seen = len(bad.requests)
    assert all(gw.get('/').status == 200 for _ in range(10)) and len(bad.requests) == seen
    assert gw.api(f'{target}/healthy', 'PUT').status == 204
    wait_for(lambda: gw.get('/').status == 200 and len(bad.requests) > seen, 'its traffic')


def test_probing_goes_on_after_a_reload(gateway, moody):
    one = moody()
    gw = gateway(pool(active(), one))
    one.wait_requests(2)
    gw.reload()
    one.wait_requests(len(one.requests) + 5)
    one.status = 500
    wait_health(gw, one, 'UNHEALTHY')


# ---- the Admin API ------------------------------------------------------------------------------------------


def test_marks_by_hand(gateway, origin):
    one, two = origin(), origin()
    gw = gateway(pool(passive(unhealthy={'http_failures': 1}), one, two))
    put = f'{POOL}/targets/{where(one)}'
    answer = gw.api(f'{put}/unhealthy', method='PUT')
    assert (answer.status, answer.body) == (204, b'')
    assert health(gw, one) == 'UNHEALTHY'
    assert {a.json()['port'] for a in (gw.get('/') for _ in range(6))} == {two.port}
    assert gw.api(f'{put}/{where(one)}/healthy', method='PUT').status == 204
    assert health(gw, one) == 'HEALTHY'
    assert gw.api(f'{put}/{where(one)}/unhealthy', method='PUT').status == 204
    assert health(gw, one) == 'UNHEALTHY'
    assert gw.api(f'{put}/127.0.0.9:1/healthy', method='PUT').status == 204
    assert health(gw, one) == 'UNHEALTHY'


def test_marks_need_an_upstream_a_target_and_checks(gateway, origin):
    one = origin()
    gw = gateway(pool({}, one))
    answer = gw.api(f'{POOL}/targets/{where(one)}/healthy', method='PUT')
    assert (answer.status, answer.json()) == (
        400, {'message': 'no healthchecker found for pool'})
    for path in (f'/upstreams/none/targets/{where(one)}', f'{POOL}/targets/127.0.0.1:1'):
        answer = gw.api(f'{path}/healthy', method='PUT')
        assert (answer.status, answer.json()) == (404, {'message': 'Not found'})


def test_what_health_shows(gateway, origin, dns):
    one = origin()
    dns.a('two.test', '127.0.0.1', '127.0.0.2')
    gw = gateway(pool(passive(unhealthy={'tcp_failures': 1}), f'two.test:{one.port}', 'none.test:1',
                      weights=[10, 20]),
                 conf={'dns_resolver': dns.address})
    assert health(gw, f'two.test:{one.port}') == 'HEALTHY'
    assert health(gw, 'none.test:1') == 'DNS_ERROR'
    assert gw.api(f'{POOL}/targets/two.test:{one.port}/127.0.0.2:{one.port}/unhealthy',
                  method='PUT').status == 204
    page = gw.api(f'{POOL}/health').json()['data']
    data = next(t for t in page if t['target'] == f'two.test:{one.port}')['data']
    assert data['weight'] == {'total': 20, 'available': 10, 'unavailable': 10}
    assert [(a['ip'], a['health']) for a in data['addresses']] == [
        ('127.0.0.1', 'HEALTHY'), ('127.0.0.2', 'UNHEALTHY')]
    assert statuses(gw, 4) == [200] * 4
    details = gw.api(f'{POOL}/health?balancer_health=1').json()['data']['details']
    assert details['weight'] == {'total': 20, 'available': 10, 'unavailable': 10}


def test_on_a_database(gateway, moody):
    one = moody(500)
    gw = gateway(conf={'database': 'sqlite'})

    def post(path, body):
        answer = gw.api(path, method='POST', body=json.dumps(body).encode(),
                        headers=[('Content-Type', 'application/json')])
        assert answer.status == 201, answer.text
    post('/upstreams', {'name': 'pool', 'healthchecks': active()})
    post(f'{POOL}/targets', {'target': where(one)})
    wait_health(gw, one, 'UNHEALTHY')
    one.status = 200
    wait_health(gw, one, 'HEALTHY')
    assert ask(gw.admin, f'{POOL}', method='DELETE').status == 204
    other = Moody()
    try:
        post('/upstreams', {'name': 'next', 'healthchecks': active()})
        post('/upstreams/next/targets', {'target': where(other)})
        other.wait_requests(1)
        count = len(one.requests)
        other.wait_requests(5)
        assert len(one.requests) <= count + 1
    finally:
        other.stop()


# ---- the guide ------------------------------------------------------------------------------------------------


def test_the_configuration_of_the_guide(gateway, origin, moody):
    with open(os.path.join(ROOT, 'docs', 'guides', 'health-checks.md')) as text:
        guide = text.read()
    config = re.search(r'```yaml\n(.*?)```', guide, re.S).group(1)
    good, bad = origin(), moody(500)
    config = config.replace('127.0.0.1:9001', where(good)).replace('127.0.0.1:9002', where(bad))
    config = config.replace('interval: 5', 'interval: 0.1')
    gw = gateway(config)
    wait_for(lambda: gw.get('/shop') and health(gw, bad, 'shop.upstream') == 'UNHEALTHY', 'out')
    bad.status = 200
    wait_health(gw, bad, 'HEALTHY', 'shop.upstream')
    for line in re.findall(r'^    (upstream shop.*)$', guide, re.M):
        assert line.replace('127.0.0.1:9002', where(bad)) in gw.log()
    for path in re.findall(r'127\.0\.0\.1:8001(/\S+?)\'?$', guide, re.M):
        method = 'PUT' if path.endswith('healthy') else 'GET'
        answer = gw.api(path.replace('127.0.0.1:9002', where(bad)), method=method)
        assert answer.status == (204 if method == 'PUT' else 200), path

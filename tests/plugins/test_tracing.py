# SPDX-License-Identifier: Apache-2.0
"""zipkin and opentelemetry: what collectors get of requests, and what services do."""
import json

import pytest

from harness import config, otlp
from harness.config import declarative, route, service
from harness.h2 import H2
from harness.origin import ok
from harness.ports import free_port
from harness.postgres import Postgres
from harness.waits import wait_for

TRACE, SPAN = '80f198ee56343ba864fe8b2a57d3eff7', 'e457b5a2e4d86bd1'
PARENT = [('traceparent', f'00-{TRACE}-{SPAN}-01')]


def sent(answer, name):
    """The one header of that name that the service got."""
    value, = config.sent(answer, name)
    return value


@pytest.fixture
def collector(origin):
    one = origin()
    one.default = lambda connection, request: connection.send(ok())
    return one


# ---- zipkin --------------------------------------------------------------------------------

def zipkin(collector, **more):
    return {'name': 'zipkin', 'config': {'http_endpoint': collector.url + '/api/v2/spans',
                                         'sample_ratio': 1, **more}}


def zipkin_spans(collector, count):
    def all_there():
        spans = [s for r in collector.requests for s in json.loads(r.body)]
        return spans if len(spans) >= count else None

    spans = wait_for(all_there, f'{count} spans')
    for request in collector.requests:
        assert (request.method, request.path) == ('POST', '/api/v2/spans')
        assert request.get('content-type') == 'application/json'
    assert len(spans) == count
    return spans


def test_zipkin_gets_the_request_the_proxy_and_each_try(gateway, origin, collector):
    where = origin()
    one = gateway(declarative(
        {**service(where, {**route(paths=['/a']), 'name': 'ra'}), 'name': 'sa'},
        plugins=[zipkin(collector, static_tags=[{'name': 'stage', 'value': 'test'}],
                        http_span_name='method_path', local_service_name='gate')]))
    answer = one.get('/a/b?c=d', headers=[('Zipkin-Tags', 'x = 1; wrong; a=b=c')])
    assert answer.status == 200
    trial, proxy, request = zipkin_spans(collector, 3)
    assert [s['kind'] for s in (trial, proxy, request)] == ['CLIENT', 'CLIENT', 'SERVER']
    assert request['name'] == 'GET /a/b'
    assert proxy['name'] == 'GET /a/b (proxy)'
    assert trial['name'] == 'GET /a/b (balancer try 1)'
    assert trial['parentId'] == proxy['parentId'] == request['id']
    assert 'parentId' not in request
    assert len({s['traceId'] for s in (trial, proxy, request)}) == 1
    tags = request['tags']
    assert tags.pop('kong.node.id')
    assert tags == {'lc': 'kong', 'http.method': 'GET', 'http.host': '127.0.0.1', 'http.path': '/a/b',
                    'http.protocol': 'HTTP/1.1', 'http.status_code': '200', 'stage': 'test',
                    'x': '1', 'a=b': 'c'}
    assert request['localEndpoint'] == {'serviceName': 'gate'}
    assert request['remoteEndpoint']['ipv4'] == '127.0.0.1'
    assert trial['tags']['kong.balancer.try'] == '1' and 'error' not in trial['tags']
    for s in (trial, proxy):
        assert s['tags']['kong.service_name'] == 'sa' and s['tags']['kong.route_name'] == 'ra'
        assert s['remoteEndpoint'] == {'serviceName': 'sa', 'ipv4': where.host,
                                       'port': where.port}
    assert [a['value'] for a in request['annotations']] == ['krs', 'krf']
    assert [a['value'] for a in proxy['annotations']] == ['kas', 'kaf', 'khs', 'khf', 'kbs', 'kbf']
    times = [a['timestamp'] for a in proxy['annotations']]
    assert times == sorted(times)
    assert request['timestamp'] <= proxy['timestamp'] <= trial['timestamp']
    assert request['duration'] >= proxy['duration'] >= trial['duration'] >= 0
    got = sent(answer, 'x-b3-spanid'), sent(answer, 'x-b3-traceid'), sent(answer, 'x-b3-sampled')
    assert got == (proxy['id'], proxy['traceId'], '1')


def test_zipkin_carries_on_and_shows_failed_tries(gateway, origin, collector):
    refused, where = free_port(), origin()
    one = gateway(declarative(
        {'name': 's', 'host': 'up', 'retries': 5, 'routes': [{'name': 'r', 'paths': ['/']}]},
        upstreams=[{'name': 'up', 'algorithm': 'round-robin',
                    'targets': [{'target': f'127.0.0.1:{refused}', 'weight': 100},
                                {'target': f'{where.host}:{where.port}', 'weight': 100}]}],
        plugins=[zipkin(collector, phase_duration_flavor='tags',
                        http_response_header_for_traceid='X-Trace')]))
    answers = [one.get('/', headers=PARENT) for _ in range(2)]
    assert [a.status for a in answers] == [200, 200]
    assert answers[0].get('x-trace') == TRACE

    def all_there():
        spans = [s for r in collector.requests for s in json.loads(r.body)]
        return spans if [s['kind'] for s in spans].count('SERVER') == 2 else None

    spans = wait_for(all_there, 'spans of two requests')
    assert {s['traceId'] for s in spans} == {TRACE}
    assert {s['parentId'] for s in spans if s['kind'] == 'SERVER'} == {SPAN}
    failed = [s['tags'] for s in spans if s.get('tags', {}).get('error') == 'true']
    assert failed and failed[0]['kong.balancer.state'] == 'failed'
    assert failed[0]['http.status_code'] == '502'
    proxy = [s for s in spans if s['name'].endswith('(proxy)')][0]
    assert 'annotations' not in proxy
    assert proxy['tags']['peer.hostname'] == 'up' and 'kong.access.duration_ms' in proxy['tags']


def test_zipkin_is_silent_about_what_is_not_sampled(gateway, origin, collector):
    one = gateway(declarative(service(origin(), route(paths=['/'])), plugins=[zipkin(collector)]))
    answer = one.get('/', headers=[('b3', '0')])
    assert sent(answer, 'b3').endswith('-0-' + sent(answer, 'b3')[-16:])
    assert one.get('/').status == 200
    zipkin_spans(collector, 3)


def test_zipkin_says_what_was_spoken(gateway, origin, collector):
    one = gateway(declarative(service(origin(), route(paths=['/'])), plugins=[zipkin(collector)]),
                  start=False)
    one.write_conf(proxy_listen=f'127.0.0.1:{one.proxy} http2')
    one.start()
    with H2(one.proxy) as client:
        client.request(1, path='/two')
        assert client.answer(1)[0] == 200
    assert zipkin_spans(collector, 3)[2]['tags']['http.protocol'] == 'HTTP/2'


def test_zipkin_shows_requests_without_a_route(gateway, collector):
    one = gateway(declarative(plugins=[zipkin(collector)]))
    assert one.get('/').status == 404
    proxy, request = zipkin_spans(collector, 2)
    assert request['tags']['http.status_code'] == '404'
    assert proxy['remoteEndpoint'] is None


# ---- opentelemetry ---------------------------------------------------------------------------

def otel(collector, **more):
    return {'name': 'opentelemetry', 'config': {'endpoint': collector.url + '/v1/traces',
                                                'batch_flush_delay': 0, **more}}


def otel_spans(collector, condition, what):
    def look():
        spans = []
        for request in collector.requests:
            assert request.get('content-type') == 'application/x-protobuf'
            spans += otlp.request(request.body)[2]
        return spans if condition(spans) else None

    return wait_for(look, what)


def has_roots(count):
    return lambda spans: sum(s['kind'] == 2 for s in spans) == count


def test_opentelemetry_gets_the_spans_of_the_core(gateway, origin, collector):
    where = origin()
    one = gateway(declarative(
        {'name': 's', 'host': 'localhost', 'port': where.port, 'routes': [route(paths=['/a'])]},
        plugins=[otel(collector, headers={'X-Key': 'k'},
                      resource_attributes={'service.name': 'gate', 'stage': 'test'}),
                 {'name': 'correlation-id', 'config': {'echo_downstream': True}}]),
        conf={'tracing_instrumentations': 'all'})
    answer = one.get('/a/b?c=d')
    assert answer.status == 200
    spans = otel_spans(collector, lambda spans: [s for s in spans if s['kind'] == 3], 'the try')
    resource, scope, _ = otlp.request(collector.requests[0].body)
    assert resource.pop('service.instance.id')
    assert resource == {'service.name': 'gate', 'stage': 'test', 'service.version': '3.2.2'}
    assert scope == {1: 'kong-internal', 2: '0.1.0'}
    assert collector.requests[0].get('x-key') == 'k'
    names = {s['name']: s for s in spans}
    root = names['GET /a/b']
    assert {'router', 'balancer try #1', 'access phase: correlation-id',
            'access phase: opentelemetry', 'header_filter phase: correlation-id'} <= set(names)
    assert root['kind'] == 2 and root['parent_id'] is None
    assert root['attributes'] == {
        'http.method': 'GET', 'http.url': 'http://127.0.0.1/a/b?c=d', 'http.host': '127.0.0.1',
        'http.scheme': 'http', 'http.flavor': '1.1', 'net.peer.ip': '127.0.0.1',
        'http.status_code': 200}
    for name, s in names.items():
        assert s['trace_id'] == root['trace_id'] and s['start'] <= s['end'], name
        assert s is root or s['parent_id'] == root['span_id'], name
        assert root['start'] <= s['start'] and s['end'] <= root['end'], name
    trial = names['balancer try #1']
    assert trial['kind'] == 3 and trial['attributes'] == {
        'net.peer.ip': where.host, 'net.peer.port': float(where.port)}
    dns = [s for name, s in names.items() if name.startswith('DNS: ')]
    assert [s['attributes']['dns.record.domain'] for s in dns] == ['localhost']
    assert sent(answer, 'traceparent') == f'00-{root["trace_id"]}-{root["span_id"]}-01'


def test_opentelemetry_carries_the_caller_s_trace_on(gateway, origin, collector):
    one = gateway(declarative(service(origin(), route(paths=['/'])), plugins=[otel(collector)]),
                  conf={'tracing_instrumentations': 'request,router'})
    answer = one.get('/', headers=PARENT)
    spans = otel_spans(collector, lambda spans: len(spans) == 2, 'both spans')
    root, = [s for s in spans if s['kind'] == 2]
    assert {s['name'] for s in spans} == {'GET /', 'router'}
    assert {s['trace_id'] for s in spans} == {TRACE} and root['parent_id'] == SPAN
    assert sent(answer, 'traceparent') == f'00-{TRACE}-{root["span_id"]}-01'
    answer = one.get('/', headers=[('traceparent', f'00-{TRACE}-{SPAN}-00')])
    assert sent(answer, 'traceparent').endswith('-00')
    assert one.get('/last').status == 200
    spans = otel_spans(collector, lambda spans: len(spans) == 4, 'the spans of the sampled two')
    assert {s['name'] for s in spans} == {'GET /', 'router', 'GET /last'}


@pytest.mark.parametrize('types, names', [
    ('router', {'GET /', 'router'}), ('balancer', {'GET /', 'balancer try #1'}),
    ('plugin_access', {'GET /', 'access phase: opentelemetry'}), ('request', {'GET /'}),
    ('http_client', {'GET /'})])
def test_every_kind_of_span_has_the_request_s_above_it(gateway, origin, collector, types, names):
    one = gateway(declarative(service(origin(), route(paths=['/'])), plugins=[otel(collector)]),
                  conf={'tracing_instrumentations': types})
    assert one.get('/').status == 200
    spans = otel_spans(collector, lambda spans: len(spans) == len(names), 'the spans')
    root, = [s for s in spans if s['kind'] == 2]
    assert {s['name'] for s in spans} == names
    assert {s['parent_id'] for s in spans if s is not root} <= {root['span_id']}


@pytest.fixture(params=['sqlite', 'postgres'])
def with_a_database(request, gateway):
    """A gateway with each kind of database, which has tables already."""
    pg = Postgres().start() if request.param == 'postgres' else None
    try:
        conf = pg.new_database() if pg else {'database': 'sqlite'}
        one = gateway(conf={**conf, 'tracing_instrumentations': 'db_query'}, start=False)
        if pg:
            assert one.cli('migrations', 'bootstrap').returncode == 0
        yield request.param, one.start()
        one.stop()
    finally:
        if pg:
            pg.end()


def test_whatever_a_plugin_asks_the_database_has_a_span(with_a_database, origin, collector):
    kind, one = with_a_database

    def create(path, body):
        answer = one.api(path, 'POST', headers=[('Content-Type', 'application/json')],
                         body=json.dumps(body).encode())
        assert answer.status == 201, answer.body
        return answer.json()

    create('/services', {'name': 's', 'url': origin().url})
    create('/services/s/routes', {'paths': ['/']})
    guest = create('/consumers', {'username': 'guest'})
    create('/consumers', {'username': 'jo'})
    create('/consumers/jo/key-auth', {'key': 'good'})
    for plugin in (otel(collector), {'name': 'session', 'config': {'storage': 'kong'}},
                   {'name': 'key-auth', 'config': {'anonymous': guest['id']}},
                   {'name': 'rate-limiting', 'config': {'policy': 'cluster', 'year': 100}}):
        create('/plugins', plugin)
    wait_for(lambda: one.get('/', headers=[('apikey', 'good')]).get('RateLimit-Remaining'),
             'the plugins to be served')
    assert one.get('/traced', headers=[('apikey', 'good')]).status == 200

    def condition(spans):
        roots = [s for s in spans if s['name'] == 'GET /traced']
        return roots and len([s for s in spans if s['trace_id'] == roots[0]['trace_id']]) >= 4

    spans = otel_spans(collector, condition, 'the spans')
    root, = [s for s in spans if s['name'] == 'GET /traced']
    queries = [s for s in spans if s['trace_id'] == root['trace_id'] and s is not root]
    assert {(s['name'], s['attributes']['db.system']) for s in queries} == {('query', kind)}
    assert {s['parent_id'] for s in queries} == {root['span_id']}
    statements = [s['attributes']['db.statement'] for s in queries]
    for verb, table in (('SELECT', 'ratelimiting_metrics'), ('INSERT', 'ratelimiting_metrics'),
                        ('INSERT', 'sessions')):
        assert any(s.startswith(verb) and f'"{table}"' in s for s in statements), statements
    for s in queries:
        assert root['start'] <= s['start'] <= s['end'] <= root['end']


@pytest.mark.parametrize('conf', [{}, {'tracing_instrumentations': 'all',
                                       'tracing_sampling_rate': '0'}])
def test_opentelemetry_sends_headers_on_without_spans(gateway, origin, collector, conf):
    one = gateway(declarative(service(origin(), route(paths=['/'])), plugins=[otel(collector)]),
                  conf=conf)
    answer = one.get('/', headers=PARENT)
    assert sent(answer, 'traceparent').startswith(f'00-{TRACE}-')
    assert sent(answer, 'traceparent') != PARENT[0][1]
    one.stop()
    assert collector.requests == []


def test_no_span_is_lost_while_the_collector_fails_for_a_moment(gateway, origin):
    flaky, answers = origin(), [ok(status=503, reason='no')]
    flaky.default = lambda connection, request: connection.send(answers.pop() if answers else ok())
    one = gateway(declarative(service(origin(), route(paths=['/'])),
                              plugins=[otel(flaky, batch_span_count=10)]),
                  conf={'tracing_instrumentations': 'request'})
    for number in range(25):
        assert one.get(f'/{number}').status == 200
    one.stop()
    names = set()
    for request in flaky.requests[1:]:
        spans = otlp.request(request.body)[2]
        assert len(spans) <= 10
        names |= {s['name'] for s in spans}
    assert names == {f'GET /{number}' for number in range(25)}


def test_a_route_without_a_tracing_plugin_is_not_traced(gateway, origin, collector):
    where = origin()
    one = gateway(declarative(
        service(where, {**route(paths=['/a']), 'plugins': [otel(collector)]}),
        service(where, route(paths=['/b']))), conf={'tracing_instrumentations': 'all'})
    assert one.get('/b').status == 200
    assert one.get('/a').status == 200
    spans = otel_spans(collector, has_roots(1), 'the root span')
    assert [s['name'] for s in spans if s['kind'] == 2] == ['GET /a']

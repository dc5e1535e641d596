# SPDX-License-Identifier: Apache-2.0
"""GET /metrics: read by the parser of Prometheus' own library, and compared with what was sent."""
import json

from prometheus_client.parser import text_string_to_metric_families

from harness.client import ask
from harness.config import declarative, route, service
from harness.ports import free_port
from harness.waits import wait_for

ALL = {'per_consumer': True, 'status_code_metrics': True, 'latency_metrics': True,
       'bandwidth_metrics': True, 'upstream_health_metrics': True}
KONG = [1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000]
UPSTREAM = [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000]


def page(port):
    answer = ask(port, '/metrics')
    assert answer.status == 200
    assert answer.get('content-type') == 'text/plain; charset=UTF-8'
    return answer.body.decode()


def metrics(port):
    """{(name, labels): value}; every line must belong to a family with help and type."""
    found = {}
    for family in text_string_to_metric_families(page(port)):
        assert family.documentation and family.type != 'unknown', family.name
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found, name, **labels):
    return found.get((name, frozenset(labels.items())))


def labels_of(found, name):
    return [dict(labels) for sample, labels in found if sample == name]


def test_what_was_served_is_what_is_counted(gateway, origin):
    where = origin()
    one = gateway(declarative(
        {**service(where, {**route(paths=['/a']), 'name': 'ra'}), 'name': 'sa'},
        {**service(where, {**route(paths=['/locked']), 'name': 'rl',
                           'plugins': [{'name': 'key-auth'}]}), 'name': 'sl'},
        plugins=[{'name': 'prometheus', 'config': ALL}],
        consumers=[{'username': 'jo', 'keyauth_credentials': [{'key': 'k'}]}]))
    for _ in range(7):
        assert one.get('/a').status == 200
    for _ in range(3):
        assert one.get('/locked').status == 401
    assert one.get('/locked', headers=[('apikey', 'k')]).status == 200
    assert one.get('/nowhere').status == 404

    def all_there():
        found = metrics(one.admin)
        return found if sum(v for (name, _), v in found.items()
                            if name == 'kong_http_requests_total') == 11 else None

    found = wait_for(all_there, 'the requests to be counted')
    count = lambda **labels: value(found, 'kong_http_requests_total', **labels)
    assert count(service='sa', route='ra', code='200', source='service', consumer='') == 7
    assert count(service='sl', route='rl', code='401', source='kong', consumer='') == 3
    assert count(service='sl', route='rl', code='200', source='service', consumer='jo') == 1
    assert value(found, 'kong_request_latency_ms_count', service='sa', route='ra') == 7
    assert value(found, 'kong_upstream_latency_ms_count', service='sl', route='rl') == 1
    for direction in ('ingress', 'egress'):  # the library adds _total, the page does not
        assert value(found, 'kong_bandwidth_bytes_total', service='sa', route='ra', consumer='',
                     direction=direction) > 7 * 40
    assert '\nkong_bandwidth_bytes{service="sa",route="ra",direction="egress",consumer=""} ' in \
        page(one.admin)
    for name, bounds in (('kong_kong_latency_ms', KONG), ('kong_upstream_latency_ms', UPSTREAM),
                         ('kong_request_latency_ms', UPSTREAM)):
        rows = [value(found, f'{name}_bucket', service='sa', route='ra', le=str(le))
                for le in bounds + ['+Inf']]
        assert None not in rows and rows == sorted(rows) and rows[-1] == 7, (name, rows)
        assert len(labels_of(found, f'{name}_bucket')) % (len(bounds) + 1) == 0


def test_both_interfaces_show_the_node_without_the_plugin_too(gateway, origin):
    status = free_port()
    one = gateway(declarative(service(origin(), route(paths=['/']))),
                  conf={'status_listen': f'127.0.0.1:{status}'})
    assert one.get('/').status == 200
    for port in (one.admin, status):
        found = metrics(port)
        assert value(found, 'kong_datastore_reachable') == 1
        assert value(found, 'kong_nginx_metric_errors_total') is None
        assert labels_of(found, 'kong_http_requests_total') == []
        assert {l['state'] for l in labels_of(found, 'kong_nginx_connections_total')} == {
            'accepted', 'active', 'handled', 'reading', 'total', 'waiting', 'writing'}
        info, = labels_of(found, 'kong_node_info')
        assert info['version'] == '3.2.2' and len(info['node_id']) == 36
        requests, = [v for (n, _), v in found.items() if n == 'kong_nginx_requests_total']
        assert requests >= 1
    assert ask(status, '/metrics', method='POST').status in (404, 405)
    assert '/metrics' in one.api('/endpoints').json()['data']


def test_targets_are_shown_once_asked_for(gateway, origin):
    where = origin()
    host, port = where.host, where.port
    one = gateway(declarative(
        {'name': 's', 'host': 'up', 'routes': [{'name': 'r', 'paths': ['/'],
                                                'plugins': [{'name': 'prometheus',
                                                             'config': ALL}]}]},
        upstreams=[{'name': 'up', 'targets': [{'target': f'{host}:{port}'}]}]))
    assert labels_of(metrics(one.admin), 'kong_upstream_target_health') == []
    assert one.get('/').status == 200
    found = wait_for(lambda: [f for f in [metrics(one.admin)]
                              if labels_of(f, 'kong_upstream_target_health')],
                     'the health of targets')[0]
    states = {dict(labels)['state']: v for (name, labels), v in found.items()
              if name == 'kong_upstream_target_health'}
    assert states == {'healthchecks_off': 1, 'healthy': 0, 'unhealthy': 0, 'dns_error': 0}
    assert labels_of(found, 'kong_upstream_target_health')[0]['address'] == f'{host}:{port}'


def test_names_are_escaped(gateway, origin):
    one = gateway(declarative(
        service(origin(), {**route(paths=['/']), 'plugins': [{'name': 'key-auth'}]}),
        plugins=[{'name': 'prometheus', 'config': ALL}],
        consumers=[{'username': 'a "b" \\ c\nd', 'keyauth_credentials': [{'key': 'k'}]}]))
    assert one.get('/', headers=[('apikey', 'k')]).status == 200
    wait_for(lambda: [l for l in labels_of(metrics(one.admin), 'kong_http_requests_total')
                      if l['consumer'] == 'a "b" \\ c\nd'], 'the consumer in the metrics')


def test_all_loops_are_summed_and_counters_survive_a_new_configuration(gateway, origin):
    config = declarative({**service(origin(), {**route(paths=['/']), 'name': 'r'}), 'name': 's'},
                         plugins=[{'name': 'prometheus', 'config': ALL}])
    one = gateway(config, conf={'nginx_worker_processes': '3'})

    def count():
        return sum(v for (name, _), v in metrics(one.admin).items()
                   if name == 'kong_http_requests_total')

    for _ in range(20):
        assert one.get('/').status == 200
    wait_for(lambda: count() == 20, 'twenty requests')
    assert one.api('/config', 'POST', headers=[('content-type', 'application/json')],
                   body=json.dumps(config).encode()).status == 201
    for _ in range(10):
        assert one.get('/').status == 200
    wait_for(lambda: count() == 30, 'thirty requests')

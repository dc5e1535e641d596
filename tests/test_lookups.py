# SPDX-License-Identifier: Apache-2.0
"""Consumers and credentials of a PostgreSQL database: found on demand, kept, forgotten when
somebody changes them, and served while the database is away."""
import re
import socket
import uuid

import pytest

from harness import otlp
from harness.client import ask
from harness.origin import ok
from harness.fleet import Fleet, call
from harness.gateway import PROGRAM, children
from harness.postgres import Postgres
from harness.waits import patience, wait_for

UNEXPECTED = {'message': 'An unexpected error occurred'}


@pytest.fixture(scope='module')
def server():
    pg = Postgres().start()
    yield pg
    pg.end()


@pytest.fixture
def fleet(server, gateway, origin, request):
    return Fleet(server, gateway, origin(), 'd' + uuid.uuid4().hex[:10])


def get(gw, key=None, path='/'):
    return gw.get(path, headers=[('apikey', key)] if key else [])


def builds(gw):
    return gw.log().count('configuration: ')


def make_consumer(gw, name, *keys):
    made = call(gw, 'POST', '/consumers', {'username': name})
    for key in keys:
        call(gw, 'POST', f'/consumers/{name}/key-auth', {'key': key})
    return made


def test_a_write_is_served_at_once_and_builds_nothing(fleet):
    gw = fleet.node()
    assert get(gw, 'k1').status == 401  # kept as not there
    before = builds(gw)
    consumer = make_consumer(gw, 'jo', 'k1')
    answer = get(gw, 'k1')
    assert answer.status == 200
    seen = fleet.origin.requests[-1]
    assert seen.get('X-Consumer-ID') == consumer['id']
    assert seen.get('X-Consumer-Username') == 'jo'
    call(gw, 'PATCH', '/consumers/jo', {'username': 'jane'})
    assert get(gw, 'k1').status == 200
    assert fleet.origin.requests[-1].get('X-Consumer-Username') == 'jane'
    id = call(gw, 'GET', '/consumers/jane/key-auth')['data'][0]['id']
    call(gw, 'PATCH', f'/consumers/jane/key-auth/{id}', {'key': 'k2'})
    assert [get(gw, k).status for k in ('k1', 'k2')] == [401, 200]
    call(gw, 'DELETE', f'/consumers/jane/key-auth/{id}')
    assert get(gw, 'k2').status == 401
    call(gw, 'POST', '/consumers/jane/key-auth', {'key': 'k3'})
    assert get(gw, 'k3').status == 200
    call(gw, 'DELETE', '/consumers/jane')
    assert get(gw, 'k3').status == 401
    assert builds(gw) == before


def test_other_nodes_hear_of_each_change(fleet):
    one, two = fleet.node(), fleet.node()
    assert get(two, 'k1').status == 401
    make_consumer(one, 'jo', 'k1', 'k2')
    wait_for(lambda: get(two, 'k1').status == 200, 'the other node to hear of the key')
    assert get(two, 'k2').status == 200
    call(one, 'PATCH', '/consumers/jo', {'custom_id': 'c'})

    def custom_id():
        assert get(two, 'k1').status == 200
        return fleet.origin.requests[-1].get('X-Consumer-Custom-ID')
    wait_for(lambda: custom_id() == 'c', 'the other node to hear of the consumer')
    call(one, 'DELETE', '/consumers/jo')
    for key in ('k1', 'k2'):  # though the table deletes them by itself
        wait_for(lambda: get(two, key).status == 401, 'the other node to forget the keys')


def test_groups_of_a_consumer(fleet):
    one, two = fleet.node(), fleet.node()
    call(one, 'POST', '/routes/r/plugins', {'name': 'acl', 'config': {'allow': ['g']}})
    make_consumer(one, 'jo', 'k1')
    for gw in (one, two):
        wait_for(lambda: get(gw, 'k1').status == 403, 'the group to be asked for')
    group = call(one, 'POST', '/consumers/jo/acls', {'group': 'g'})['id']
    assert get(one, 'k1').status == 200
    wait_for(lambda: get(two, 'k1').status == 200, 'the other node to hear of the group')
    call(one, 'DELETE', f'/consumers/jo/acls/{group}')
    assert get(one, 'k1').status == 403
    wait_for(lambda: get(two, 'k1').status == 403, 'the other node to forget the group')
    assert fleet.sql("SELECT count(*) > 0 FROM cluster_events WHERE data LIKE 'acls:%:::::"
                     f"{fleet.workspace}'") == 't'


def test_a_consumer_without_credentials_called_by_name_or_id(fleet):
    gw = fleet.node()
    plugin = call(gw, 'GET', '/routes/r/plugins')['data'][0]['id']
    guest = make_consumer(gw, 'guest')
    for name in ('guest', guest['id']):
        call(gw, 'PATCH', f'/plugins/{plugin}', {'config': {'anonymous': name}})
        wait_for(lambda: get(gw).status == 200, 'strangers to be let in')
        assert fleet.origin.requests[-1].get('X-Consumer-ID') == guest['id']
    call(gw, 'PATCH', f'/plugins/{plugin}', {'config': {'anonymous': 'guest'}})
    call(gw, 'PATCH', '/consumers/guest', {'username': 'other'})
    wait_for(lambda: get(gw).status == 500, 'the name to be nobody\'s')


def test_words_of_kong_nodes_are_understood(fleet):
    gw = fleet.node()
    make_consumer(gw, 'jo')
    assert get(gw, 'k1').status == 401
    fleet.sql("INSERT INTO keyauth_credentials (id, created_at, key, consumer_id, ws_id) SELECT"
              f" '{uuid.uuid4()}', now(), 'k1', id, ws_id FROM consumers")
    assert get(gw, 'k1').status == 401  # nobody said so
    fleet.tell(fleet.cache_key('keyauth_credentials', 'k1'))
    wait_for(lambda: get(gw, 'k1').status == 200, 'the word to be heard')
    before = builds(gw)
    fleet.tell(fleet.cache_key('jwt_secrets', 'x'))
    fleet.sql('DELETE FROM keyauth_credentials')
    fleet.tell(fleet.cache_key('keyauth_credentials', 'k1'))
    wait_for(lambda: get(gw, 'k1').status == 401, 'the word to be heard')
    assert builds(gw) == before
    fleet.tell('router:version')
    wait_for(lambda: builds(gw) == before + 1, 'the routes to be read again')


def test_the_cache_of_the_admin_api(fleet):
    gw = fleet.node()
    path = '/cache/' + fleet.cache_key('keyauth_credentials', 'k1')
    call(gw, 'GET', path, status=404)
    get(gw, 'k1')
    assert call(gw, 'GET', path) == {}
    consumer = make_consumer(gw, 'jo', 'k1')
    call(gw, 'GET', path, status=404)
    assert get(gw, 'k1').status == 200
    kept = call(gw, 'GET', path)
    assert kept['key'] == 'k1' and kept['consumer'] == {'id': consumer['id']}
    by_id = call(gw, 'GET', '/cache/' + fleet.cache_key('consumers', consumer['id']))
    assert by_id['username'] == 'jo'
    fleet.sql('DELETE FROM keyauth_credentials')
    assert get(gw, 'k1').status == 200
    call(gw, 'DELETE', path, status=204)
    call(gw, 'GET', path, status=404)
    assert get(gw, 'k1').status == 401
    fleet.sql("UPDATE services SET path = '/elsewhere'")
    fleet.sql("INSERT INTO keyauth_credentials (id, created_at, key, consumer_id, ws_id) SELECT"
              f" '{uuid.uuid4()}', now(), 'k1', id, ws_id FROM consumers")
    call(gw, 'DELETE', '/cache', status=204)
    wait_for(lambda: get(gw, 'k1').status == 200, 'everything to be read again')
    wait_for(lambda: get(gw, 'k1') and fleet.origin.requests[-1].target == '/elsewhere',
             'everything to be read again')


def test_while_the_database_is_away(fleet):
    gw = fleet.node()
    make_consumer(gw, 'jo', 'k1', 'k2')
    assert get(gw, 'k1').status == 200
    assert get(gw, 'nobody').status == 401
    fleet.server.stop()
    try:
        assert get(gw, 'k1').status == 200  # for ever, with db_cache_ttl = 0
        assert get(gw, 'nobody').status == 401
        answer = get(gw, 'k2')
        assert answer.status == 500 and answer.json() == UNEXPECTED
        assert 'cannot look up one of keyauth_credentials' in gw.log()
        assert 'k2' not in gw.log()
    finally:
        fleet.server.start()
    wait_for(lambda: get(gw, 'k2').status == 200, 'the database to be asked again')


def test_what_is_over_serves_on_for_a_while(fleet):
    gw = fleet.node(db_cache_ttl='0.2', db_resurrect_ttl='600')
    make_consumer(gw, 'jo', 'k1')
    assert get(gw, 'k1').status == 200
    fleet.sql("UPDATE keyauth_credentials SET key = 'k2'")
    wait_for(lambda: get(gw, 'k1').status == 401, 'its time to be over')
    wait_for(lambda: get(gw, 'k2').status == 200, 'its time to be over')
    fleet.server.stop()
    try:
        def is_over():
            assert [get(gw, k).status for k in ('k1', 'k2')] == [401, 200]
            return 'cannot look up' in gw.log()
        wait_for(is_over, 'its time to be over')
        assert [get(gw, k).status for k in ('k1', 'k2', 'k3')] == [401, 200, 500]
    finally:
        fleet.server.start()


def test_without_resurrection_what_is_over_is_gone(fleet):
    gw = fleet.node(db_cache_ttl='0.2', db_resurrect_ttl='0')
    make_consumer(gw, 'jo', 'k1')
    assert get(gw, 'k1').status == 200
    fleet.server.stop()
    try:
        wait_for(lambda: get(gw, 'k1').status == 500, 'its time to be over')
    finally:
        fleet.server.start()
    wait_for(lambda: get(gw, 'k1').status == 200, 'the database to be asked again')


def test_missing_ones_have_a_time_of_their_own(fleet):
    gw = fleet.node(db_cache_neg_ttl='0.2')
    make_consumer(gw, 'jo', 'k1')
    assert [get(gw, k).status for k in ('k1', 'k2')] == [200, 401]
    fleet.sql("UPDATE keyauth_credentials SET key = 'k2'")
    wait_for(lambda: get(gw, 'k2').status == 200, 'its time to be over')
    assert get(gw, 'k1').status == 200


def test_warmed_up(fleet):
    fleet.node()
    make_consumer(fleet.first, 'jo', 'k1')
    gw = fleet.node(db_cache_warmup_entities='consumers,keyauth_credentials,nothings')
    assert "there is no entity 'nothings'" in gw.log()
    fleet.server.stop()
    try:
        assert [get(gw, k).status for k in ('k1', 'k2')] == [200, 500]
    finally:
        fleet.server.start()


def test_a_small_cache_keeps_what_is_used(fleet):
    gw = fleet.node(mem_cache_size='100k')
    make_consumer(gw, 'jo')
    fleet.sql("INSERT INTO keyauth_credentials (id, created_at, key, consumer_id, ws_id) SELECT"
              " gen_random_uuid(), now(), 'k' || n, id, ws_id FROM consumers,"
              " generate_series(1, 400) n")
    for n in range(1, 401):
        assert get(gw, f'k{n}').status == 200
    kept = sum(gw.api('/cache/' + fleet.cache_key('keyauth_credentials', f'k{n}')).status == 200
               for n in range(1, 401))
    assert 10 < kept < 150


def test_odd_keys_are_nobodys(fleet):
    gw = fleet.node()
    for key in ('\xff\xfe', 'a' * 5000, "'; DROP TABLE consumers; --", 'a:b:::::c', '*'):
        assert get(gw, key).status == 401
    make_consumer(gw, 'jo', 'a:b')
    assert get(gw, 'a:b').status == 200


def test_log_levels_of_a_fleet(fleet):
    one, two = fleet.node(), fleet.node()
    call(one, 'PUT', '/debug/node/log-level/warn')
    call(one, 'PUT', '/debug/cluster/log-level/debug')
    wait_for(lambda: call(two, 'GET', '/debug/node/log-level')['message'] == 'log level: debug',
             'the other node to hear of it')
    fleet.tell('7', 'log_level')
    for gw in (one, two):
        wait_for(lambda: call(gw, 'GET', '/debug/node/log-level')['message'] == 'log level: info',
                 'the word to be heard')


def test_health_that_was_set_by_hand_is_told_to_the_fleet(fleet):
    one, two = fleet.node(), fleet.node()
    checks = {'passive': {'unhealthy': {'tcp_failures': 1}}}
    made = call(one, 'POST', '/upstreams', {'name': 'pool', 'healthchecks': checks})
    call(one, 'POST', '/upstreams/pool/targets', {'target': '127.0.0.1:9'})

    def health(gw):
        return [t['health'] for t in call(gw, 'GET', '/upstreams/pool/health')['data']]

    wait_for(lambda: two.api('/upstreams/pool').status == 200 and health(two) == ['HEALTHY'],
             'the other node to know the target')
    call(one, 'PUT', '/upstreams/pool/targets/127.0.0.1:9/unhealthy')
    assert health(one) == ['UNHEALTHY']
    wait_for(lambda: health(two) == ['UNHEALTHY'], 'the other node to hear of it')
    fleet.tell(f'127.0.0.1||9|1|{made["id"]}|pool', 'balancer:post_health')  # as Kong tells it
    for gw in (one, two):
        wait_for(lambda: health(gw) == ['HEALTHY'], 'the word to be heard')
    fleet.tell(f'127.0.0.1|127.0.0.1|9|0|{made["id"]}|pool', 'balancer:post_health')
    for gw in (one, two):
        wait_for(lambda: health(gw) == ['UNHEALTHY'], 'the word to be heard')
    fleet.tell('nonsense', 'balancer:post_health')
    fleet.tell('a|b|c|d|e|f', 'balancer:post_health')


def test_what_is_kept_has_a_size_that_is_shown(fleet):
    node = fleet.node(mem_cache_size='8m')
    assert get(node, 'unknown').status == 401
    zones = node.api('/status?unit=b').json()['memory']['lua_shared_dicts']
    assert zones['kong_db_cache']['capacity'] == 8 << 20
    assert 0 < zones['kong_db_cache_miss']['allocated_slabs'] < zones['kong_db_cache_miss']['capacity']
    page = node.api('/metrics').text
    assert re.search(r'\nkong_memory_lua_shared_dict_total_bytes{node_id="[^"]+",shared_dict="kong_db_cache",'
                     r'kong_subsystem="http"} %d\n' % (8 << 20), page)
    assert re.search(r'\nkong_memory_lua_shared_dict_bytes{[^}]*"kong_db_cache_miss"[^}]*} [1-9]\d+\n', page)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(('127.0.0.1', 0))
        sink.settimeout(patience(10))
        call(node, 'POST', '/plugins', {'name': 'statsd', 'config': {
            'host': '127.0.0.1', 'port': sink.getsockname()[1], 'udp_packet_size': 1400, 'metrics': [
                {'name': 'status_count_per_workspace', 'stat_type': 'counter', 'sample_rate': 1},
                {'name': 'shdict_usage', 'stat_type': 'gauge', 'sample_rate': 1}]}})
        sink.setblocking(False)

        def lines():
            get(node)
            try:
                return sink.recv(65536).decode().split('\n')
            except BlockingIOError:
                return None
        said = wait_for(lines, 'figures')
    assert said[0] == f'kong.service.s.workspace.{fleet.workspace}.status.401:1|c'
    begin = f'kong.node.{socket.gethostname().replace(".", "_")}.shdict.kong_db_cache'
    assert f'{begin}.capacity:{8 << 20}|g' in said
    assert [line.split(':')[0] for line in said[1:]] == [
        f'{begin}{of}.{what}' for of in ('', '_miss') for what in ('free_space', 'capacity')]


def memory_kb(gw):
    with open(f'/proc/{children(gw.process.pid)[-1]}/status') as text:
        return next(int(line.split()[1]) for line in text if line.startswith('VmRSS'))


@pytest.mark.skipif('asan' in PROGRAM, reason="a sanitizer's memory is not the program's")
def test_what_nobody_asks_for_costs_nothing(fleet):
    """Twenty thousand consumers with a key each: a start reads none, a change builds nothing."""
    before = memory_kb(fleet.node())
    fleet.sql('INSERT INTO consumers (id, created_at, username, ws_id) SELECT'
              " md5('c' || n)::uuid, now(), 'c' || n, '" + fleet.workspace + "'"
              ' FROM generate_series(1, 20000) n;'
              'INSERT INTO keyauth_credentials (id, created_at, key, consumer_id, ws_id) SELECT'
              " md5('k' || n)::uuid, now(), 'k' || n, md5('c' || n)::uuid,"
              " '" + fleet.workspace + "' FROM generate_series(1, 20000) n")
    gw = fleet.node()
    assert memory_kb(gw) < before + 2000
    built = builds(gw)
    assert [get(gw, f'k{n}').status for n in (1, 9999, 20000, 20001)] == [200, 200, 200, 401]
    call(gw, 'PATCH', '/consumers/c20000', {'custom_id': 'x'})
    assert get(gw, 'k20000').status == 200
    assert fleet.origin.requests[-1].get('X-Consumer-Custom-ID') == 'x'
    assert builds(gw) == built


def test_look_ups_that_ask_the_database_have_spans(fleet, origin):
    collector = origin()
    collector.default = lambda connection, request: connection.send(ok())
    node = fleet.node(tracing_instrumentations='request,db_query')
    make_consumer(node, 'jo', 'first', 'second')
    call(node, 'POST', '/plugins', {'name': 'opentelemetry', 'config': {
        'endpoint': collector.url + '/v1/traces', 'batch_flush_delay': 0}})
    wait_for(lambda: get(node, 'first').status == 200 and collector.requests, 'spans')

    def spans_of(path, least):
        assert get(node, 'second', path).status == 200

        def look():
            spans = [s for r in list(collector.requests) for s in otlp.request(r.body)[2]]
            root = [s for s in spans if s['name'] == f'GET {path}']
            all_of_it = [s for s in spans if root and s['trace_id'] == root[0]['trace_id']]
            assert len(all_of_it) >= least, [s['name'] for s in spans]
            return all_of_it
        return wait_for(look, f'the spans of {path}', timeout=20)
    root, *queries = sorted(spans_of('/asked', 2), key=lambda s: s['name'])
    assert {q['name'] for q in queries} == {'query'}
    first = min(queries, key=lambda q: q['start'])
    assert first['attributes']['db.system'] == 'postgres'
    statement = first['attributes']['db.statement']
    assert statement.startswith('SELECT ') and 'FROM "keyauth_credentials" WHERE "key" = $1' in statement
    assert 'second' not in str(queries)
    for q in queries:
        assert q['parent_id'] == root['span_id'] and root['start'] <= q['start'] <= q['end'] <= root['end']
    assert [s['name'] for s in spans_of('/known', 1)] == ['GET /known']

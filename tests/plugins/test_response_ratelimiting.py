# SPDX-License-Identifier: Apache-2.0
"""response-ratelimiting over real connections: what answers cost is counted, in the process, in
the database and in Redis, and what goes too far becomes an empty 429."""
import calendar
import threading
import time

import pytest

from harness.config import declarative, route, service
from harness.postgres import Postgres
from harness.waits import wait_for

ROUTE = '11111111-1111-1111-1111-111111111111'
NONE = '00000000-0000-0000-0000-000000000000'
YEAR = calendar.timegm((time.gmtime().tm_year, 1, 1, 0, 0, 0))


def limit(limits, **config):
    return {'name': 'response-ratelimiting', 'config': {'limits': limits, **config}}


def answer(*lines, body=b'hello'):
    head = [b'HTTP/1.1 200 OK', b'Content-Type: text/plain', b'Content-Length: %d' % len(body),
            *lines]
    return b'\r\n'.join(head) + b'\r\n\r\n' + body


@pytest.fixture
def costly(origin):
    """An origin whose answers cost a video each."""
    o = origin()
    o.on('/one', answer(b'X-Kong-Limit: video=1'))
    o.on('/two', answer(b'X-Kong-Limit: video=1', b'x-kong-limit: image=2'))
    o.on('/free', answer())
    return o


@pytest.fixture
def node(gateway, costly):
    def start(*plugins, conf=None, routes=True, **more):
        config = declarative(service(costly, {**route(paths=['/'], strip_path=False, id=ROUTE),
                                              'plugins': list(plugins)}))
        conf = {'nginx_worker_processes': '4', **(conf or {})}
        if 'database' not in conf:
            return gateway(config, conf=conf, **more)
        one = gateway(conf=conf, start=False, **more)
        if routes:
            one.write_config(config)
            if conf['database'] == 'postgres':
                assert one.cli('migrations', 'bootstrap').returncode == 0
            done = one.cli('config', 'db_import', one.config_path)
            assert done.returncode == 0, done.stderr
        return one.start()
    return start


def test_answers_are_counted_and_what_is_beyond_is_empty(node, costly):
    one = node(limit({'video': {'month': 2, 'year': 9}, 'image': {'year': 9}}))
    got = one.get('/two')
    assert got.status == 200 and got.body == b'hello'
    assert costly.requests[-1].get('X-RateLimit-Remaining-video') == '2'
    assert costly.requests[-1].get('X-RateLimit-Remaining-image') == '9'
    assert got.get('X-RateLimit-Limit-video-month') == '2'
    assert got.get('X-RateLimit-Remaining-video-month') == '1'
    assert got.get('X-RateLimit-Remaining-video-year') == '8'
    assert got.get('X-RateLimit-Remaining-image-year') == '7'
    assert got.get('X-Kong-Limit') is None
    assert one.get('/one').status == 200
    with one.client() as c:
        for _ in range(3):  # on one connection: nothing of the body is left over
            got = c.get('/one')
            assert got.status == 429 and got.body == b''
            assert got.get('Content-Length') == '0'
            assert got.get('X-RateLimit-Remaining-video-month') == '0'
            assert c.get('/free').body == b'hello'
    assert costly.requests[-1].get('X-RateLimit-Remaining-video') == '0'


def test_with_a_first_violation_the_upstream_is_not_asked(node, costly):
    one = node(limit({'video': {'year': 1}}, block_on_first_violation=True))
    assert one.get('/one').status == 200
    asked = len(costly.requests)
    got = one.get('/one')
    assert got.status == 429
    assert got.json() == {'message': "API rate limit exceeded for 'video'"}
    assert len(costly.requests) == asked


def test_a_tunnel_costs_too(node, costly):
    costly.on('/ws', b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n'
                     b'Connection: Upgrade\r\nX-Kong-Limit: video=1\r\n\r\n')
    one = node(limit({'video': {'year': 1}}))
    ask = {'headers': [('Upgrade', 'websocket'), ('Connection', 'Upgrade'),
                       ('Sec-WebSocket-Key', 'x'), ('Sec-WebSocket-Version', '13')]}
    with one.client() as c:
        c.send(b'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n'
               b'Connection: Upgrade\r\n\r\n')
        assert c.read_head().status == 101
    got = one.get('/ws', **ask)
    assert got.status == 429 and got.body == b''
    assert one.get('/free').body == b'hello'


def crowd(nodes, threads=8, each=20):
    statuses, lock = [], threading.Lock()

    def call(k):
        with nodes[k % len(nodes)].client() as c:
            mine = [c.get('/one').status for _ in range(each)]
        with lock:
            statuses.extend(mine)

    all_threads = [threading.Thread(target=call, args=[k]) for k in range(threads)]
    for t in all_threads:
        t.start()
    for t in all_threads:
        t.join(timeout=60)
    assert len(statuses) == threads * each
    return statuses


def test_of_many_at_once_exactly_as_many_are_served(node):
    statuses = crowd([node(limit({'video': {'year': 50}}))])
    assert statuses.count(200) == 50 and statuses.count(429) == 110


def test_two_nodes_on_one_redis(node, redis):
    server = redis()
    plugin = limit({'video': {'year': 50}}, policy='redis', redis_host='127.0.0.1',
                   redis_port=server.port, redis_database=1)
    statuses = crowd([node(plugin), node(plugin)])
    assert statuses.count(200) == 50 and statuses.count(429) == 110
    keys = server.keys(database=1)
    year = f'response-ratelimit:{ROUTE}:{NONE}:127.0.0.1:{YEAR}000:video:year'
    assert year in keys
    assert {k.rsplit(':', 1)[1] for k in keys} <= {'second', 'minute', 'hour', 'day', 'month',
                                                   'year'}
    assert server.ask('GET', year, database=1) == '50'
    for key in keys:
        assert int(server.ask('TTL', key, database=1)) != -1, key


def test_two_nodes_on_one_database(node):
    pg = Postgres().start()
    try:
        conf = pg.new_database('responses')
        one = node(limit({'video': {'year': 30}}, policy='cluster'), conf=conf)
        two = node(conf=conf, routes=False)
        statuses = crowd([one, two], each=10)
        assert statuses.count(200) == 30 and statuses.count(429) == 50
        rows = pg.sql('SELECT identifier, EXTRACT(EPOCH FROM period_date)::int, service_id, route_id,'
                      " value FROM response_ratelimiting_metrics WHERE period = 'video_year'",
                      'responses')
        assert rows == f'127.0.0.1|{YEAR}|{NONE}|{ROUTE}|30'
        assert int(pg.sql("SELECT SUM(value) FROM response_ratelimiting_metrics"
                          " WHERE period = 'video_day'", 'responses')) == 30
    finally:
        pg.end()


def test_a_node_on_sqlite_keeps_its_counts(node):
    one = node(limit({'video': {'year': 2}}, policy='cluster'), conf={'database': 'sqlite'})
    assert [one.get('/one').status for _ in range(3)] == [200, 200, 429]
    one.stop()
    one.start()
    assert one.get('/one').status == 429


def test_an_outage_lets_pass_or_not_as_it_is_told(node, redis):
    server = redis()
    base = {'policy': 'redis', 'redis_host': '127.0.0.1', 'redis_port': server.port}
    one = node(limit({'video': {'year': 50}}, **base))
    two = node(limit({'video': {'year': 50}}, fault_tolerant=False, **base))
    server.stop()
    for _ in range(5):
        got = one.get('/one')
        assert got.status == 200 and got.body == b'hello'
        assert got.get('X-RateLimit-Limit-video-year') is None
        assert got.get('X-Kong-Limit') is None
        assert two.get('/one').status == 500
    assert one.log().count('(told once') == 1
    server.start()
    wait_for(lambda: two.get('/one').status == 200, 'Redis to be asked again')


def test_consumers_are_counted_each(gateway, costly):
    config = declarative(
        service(costly, {**route(paths=['/'], strip_path=False),
                         'plugins': [{'name': 'key-auth'}, limit({'video': {'year': 2}})]}),
        consumers=[{'username': u, 'keyauth_credentials': [{'key': u}]} for u in ('jo', 'al')])
    one = gateway(config)
    for key in ('jo', 'al'):
        assert [one.get('/one', headers=[('apikey', key)]).status for _ in range(3)] == \
            [200, 200, 429]

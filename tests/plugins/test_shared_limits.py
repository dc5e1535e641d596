# SPDX-License-Identifier: Apache-2.0
"""Limits whose counts nodes share, in Redis and in the database: exactly as many pass as the
limit says, whichever node they come to; and what happens when it cannot be asked."""
import calendar
import random
import threading
import time

import pytest

from harness.config import declarative, route, service
from harness.postgres import Postgres
from harness.waits import wait_for

ROUTE = '11111111-1111-1111-1111-111111111111'
NONE = '00000000-0000-0000-0000-000000000000'
YEAR = calendar.timegm((time.gmtime().tm_year, 1, 1, 0, 0, 0))


def limit(**config):
    return {'name': 'rate-limiting', 'config': config}


def in_redis(server, **config):
    return limit(**{'policy': 'redis', 'redis_host': '127.0.0.1', 'redis_port': server.port,
                    **config})


def path(name, *plugins, **fields):
    return {**route(paths=[f'/{name}']), 'plugins': list(plugins), **fields}


@pytest.fixture
def node(gateway, origin):
    """Nodes of four loops with the same configuration; with a database it is put there once."""
    where = []

    def start(*routes, conf=None, **more):
        where.extend([] if where else [origin()])
        config = declarative(service(where[0], *routes))
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


@pytest.fixture(scope='module')
def postgres():
    pg = Postgres().start()
    yield pg
    pg.end()


def crowd(nodes, target='/a', threads=8, each=30):
    """Statuses of many calls at once, spread over the nodes."""
    statuses, lock = [], threading.Lock()

    def call(k):
        with nodes[k % len(nodes)].client() as c:
            mine = [c.get(target).status for _ in range(each)]
        with lock:
            statuses.extend(mine)

    all_threads = [threading.Thread(target=call, args=[k]) for k in range(threads)]
    for t in all_threads:
        t.start()
    for t in all_threads:
        t.join(timeout=60)
    assert len(statuses) == threads * each
    return statuses


# ---- Redis -------------------------------------------------------------------------------

def test_two_nodes_on_one_redis_let_exactly_as_many_pass(node, redis):
    server = redis()
    routes = [path('a', in_redis(server, year=100), id=ROUTE)]
    nodes = [node(*routes), node(*routes)]
    statuses = crowd(nodes)
    assert statuses.count(200) == 100 and statuses.count(429) == 140
    assert server.ask('GET', f'ratelimit:{ROUTE}:{NONE}:127.0.0.1:{YEAR}000:year') == '100'


def test_keys_and_their_ends_are_kong_s(node, redis):
    server = redis()
    one = node(path('a', in_redis(server, day=5, year=9), id=ROUTE))
    before = int(time.time())
    answer = one.get('/a')
    assert answer.status == 200
    assert answer.get('X-RateLimit-Remaining-Day') == '4'
    assert answer.get('X-RateLimit-Remaining-Year') == '8'
    days = {t - t % 86400 for t in (before, int(time.time()))}
    wanted = [[f'ratelimit:{ROUTE}:{NONE}:127.0.0.1:{d}000:day',
               f'ratelimit:{ROUTE}:{NONE}:127.0.0.1:{YEAR}000:year'] for d in days]
    keys = sorted(server.keys(), key=lambda k: k[-4:] == 'year')
    assert keys in wanted
    for key, most in zip(keys, (86400, 31536000)):
        assert server.ask('GET', key) == '1'
        assert most - 60 < int(server.ask('TTL', key)) <= most
    # what another node counted counts here, and the end stays where it was put first
    server.ask('SET', keys[1], '8', 'EX', '5000')
    assert one.get('/a').get('RateLimit-Remaining') == '0'
    assert one.get('/a').status == 429
    assert int(server.ask('TTL', keys[1])) <= 5000
    assert server.ask('GET', keys[0]) == '2'  # a refusal costs nothing


@pytest.mark.parametrize('seed', range(4))
def test_whatever_the_limits_are_what_passed_is_what_was_counted(node, redis, seed):
    """Windows at random, callers at random, over loops and nodes: the least limit passes, and
    each window has counted just that."""
    chance = random.Random(seed)
    limits = {w: chance.randrange(5, 90) for w in chance.sample(('day', 'month', 'year'), 2)}
    names = [w for w in ('day', 'month', 'year') if w in limits]
    limits = dict(zip(names, sorted(limits.values())))  # a longer one may not have less
    server = redis()
    routes = [path('a', in_redis(server, **limits), id=ROUTE)]
    nodes = [node(*routes) for _ in range(chance.choice((1, 2)))]
    threads, each = chance.randrange(2, 9), chance.randrange(5, 25)
    today = time.time() // 86400
    passed = crowd(nodes, threads=threads, each=each).count(200)
    if today == time.time() // 86400:
        assert passed == min(*limits.values(), threads * each)
        assert {server.ask('GET', k) for k in server.keys()} == {str(passed)}


def test_a_user_with_what_kong_needs_is_enough(node, redis):
    server = redis('user kong on >secret ~ratelimit:* +get +exists +incrby +expire +select')
    plugin = in_redis(server, year=60, redis_username='kong', redis_password='secret',
                      redis_database=2)
    nodes = [node(path('a', plugin, id=ROUTE)), node(path('a', plugin, id=ROUTE))]
    assert crowd(nodes, each=20).count(200) <= 60
    key = f'ratelimit:{ROUTE}:{NONE}:127.0.0.1:{YEAR}000:year'
    left = 60 - int(server.ask('GET', key, database=2))
    assert [nodes[0].get('/a').status for _ in range(left + 1)] == [200] * left + [429]
    assert server.ask('GET', key, database=2) == '60'
    assert int(server.ask('TTL', key, database=2)) > 0
    assert server.keys() == []


@pytest.mark.parametrize('config, words', [
    ({'redis_password': 'wrong'}, 'WRONGPASS'),
    ({'redis_username': 'jo', 'redis_password': 'secret'}, 'WRONGPASS'),
    ({}, 'NOAUTH'),
    ({'redis_password': 'secret', 'redis_database': 99}, 'DB index is out of range'),
])
def test_who_is_not_let_in_is_told_even_beside_one_who_is(node, redis, config, words):
    server = redis('requirepass secret', login=['-a', 'secret'])
    one = node(path('a', in_redis(server, year=9, redis_password='secret')),
               path('b', in_redis(server, year=9, fault_tolerant=False, **config)))
    for _ in range(3):
        assert one.get('/a').status == 200
        answer = one.get('/b')
        assert answer.status == 500
        assert answer.json() == {'message': 'An unexpected error occurred'}
    assert words in one.log()
    assert 'secret' not in one.log()


def test_over_tls_whom_the_node_trusts_is_believed(node, redis, certs):
    ca, other = certs.authority('redis-ca'), certs.authority('other')
    server = redis(tls=certs.make('redis.test', ['redis.test'], by=ca))
    base = {'redis_port': server.tls_port, 'redis_ssl': True, 'fault_tolerant': False}
    routes = [path('any', in_redis(server, year=9, **base)),
              path('good', in_redis(server, year=9, redis_ssl_verify=True,
                                    redis_server_name='redis.test', **base)),
              path('name', in_redis(server, year=9, redis_ssl_verify=True, **base)),
              path('clear', in_redis(server, year=9, fault_tolerant=False,
                                     redis_port=server.tls_port))]
    one = node(*routes, conf={'lua_ssl_trusted_certificate': ca.cert_path})
    assert [one.get(f'/{p}').status for p in ('any', 'good', 'name', 'clear')] == \
        [200, 200, 500, 500]
    assert one.get('/good').get('X-RateLimit-Remaining-Year') == '7'
    two = node(*routes, conf={'lua_ssl_trusted_certificate': other.cert_path})
    assert [two.get(f'/{p}').status for p in ('any', 'good')] == [200, 500]
    assert 'certificate verify error' in two.log()


def test_a_secret_may_be_a_reference(node, redis):
    server = redis('requirepass from-outside', login=['-a', 'from-outside'])
    one = node(path('a', in_redis(server, year=2, fault_tolerant=False,
                                  redis_password='{vault://env/redis-secret}')),
               env={'REDIS_SECRET': 'from-outside'})
    assert [one.get('/a').status for _ in range(3)] == [200, 200, 429]


# ---- outages -----------------------------------------------------------------------------

def test_an_outage_is_told_once_and_ends_by_itself(node, redis):
    server = redis()
    one = node(path('a', in_redis(server, year=50)),
               path('b', in_redis(server, year=50, fault_tolerant=False)))
    assert one.get('/a').status == 200
    server.stop()
    for _ in range(30):
        answer = one.get('/a')
        assert answer.status == 200
        assert answer.get('RateLimit-Remaining') is None
        assert answer.get('X-RateLimit-Remaining-Year') is None
        assert one.get('/b').status == 500
    assert one.log().count(f'Redis 127.0.0.1:{server.port} (told once') == 1
    server.start()
    wait_for(lambda: one.get('/b').status == 200, 'Redis to be asked again')
    assert f'Redis 127.0.0.1:{server.port}: works again' in one.log()
    assert one.get('/a').get('RateLimit-Remaining') is not None


def test_a_redis_that_does_not_answer_holds_up_nobody_else(node, redis):
    server = redis()
    one = node(path('a', in_redis(server, year=50, redis_timeout=20000)), path('c'))
    assert one.get('/a').status == 200
    server.freeze()
    done = []
    waiting = threading.Thread(target=lambda: done.append(one.get('/a').status))
    waiting.start()
    for _ in range(50):
        assert one.get('/c').status == 200
    assert not done
    server.thaw()
    waiting.join(timeout=60)
    assert done == [200]


def test_a_wait_for_redis_has_an_end(node, redis):
    server = redis()
    one = node(path('a', in_redis(server, year=50, redis_timeout=100)))
    server.freeze()
    assert one.get('/a').status == 200
    assert crowd([one]).count(200) == 240
    assert one.log().count('(told once') == 1
    assert 'timed out' in one.log()


# ---- the database ---------------------------------------------------------------------------

def test_a_node_on_sqlite_counts_in_its_table(node):
    routes = [path('a', limit(year=40, policy='cluster'), id=ROUTE),
              path('b', limit(minute=1000, day=5000, policy='cluster'))]
    one = node(*routes, conf={'database': 'sqlite'})
    statuses = crowd([one], each=10)
    assert statuses.count(200) == 40 and statuses.count(429) == 40
    answer = one.get('/b')
    assert answer.get('X-RateLimit-Remaining-Minute') == '999'
    assert answer.get('X-RateLimit-Remaining-Day') == '4999'
    one.stop()
    one.start()
    assert one.get('/a').status == 429  # it is still there


def test_two_nodes_on_one_database_let_exactly_as_many_pass(node, postgres):
    conf = postgres.new_database('exact')
    one = node(path('a', limit(month=50, year=60, policy='cluster'), id=ROUTE), conf=conf)
    two = node(conf=conf)
    statuses = crowd([one, two], each=15)
    assert statuses.count(200) == 50 and statuses.count(429) == 70
    assert one.get('/a').get('X-RateLimit-Limit-Year') == '60'
    rows = postgres.sql('SELECT identifier, period, EXTRACT(EPOCH FROM period_date)::int,'
                        ' service_id, route_id, value, ttl > now() FROM ratelimiting_metrics'
                        " WHERE period = 'year'", 'exact')
    assert rows == f'127.0.0.1|year|{YEAR}|{NONE}|{ROUTE}|50|t'


def test_each_second_has_its_limit_on_whichever_node(node, postgres):
    conf = {**postgres.new_database('seconds'), 'db_update_frequency': '600'}
    one = node(path('a', limit(second=7, minute=60, policy='cluster'), id=ROUTE), conf=conf)
    two = node(conf=conf)
    passed, seconds, end = 0, 0, time.monotonic() + 60
    while seconds < 4:
        assert time.monotonic() < end
        passed += crowd([one, two], each=4).count(200)
        seconds = int(postgres.sql("SELECT COUNT(*) FROM ratelimiting_metrics"
                                   " WHERE period = 'second'", 'seconds'))
    rows = [r.split('|') for r in postgres.sql(
        'SELECT period, MAX(value), SUM(value) FROM ratelimiting_metrics GROUP BY 1',
        'seconds').split()]
    most = {p: (int(m), int(s)) for p, m, s in rows}
    assert most['second'][0] <= 7 and most['minute'][0] <= 60
    assert most['second'][1] == most['minute'][1] == passed


def test_what_kong_s_nodes_counted_counts(node, postgres):
    conf = postgres.new_database('mixed')
    one = node(path('a', limit(year=9, policy='cluster'), id=ROUTE), conf=conf)
    assert one.get('/a').get('RateLimit-Remaining') == '8'
    postgres.sql(f"""
        INSERT INTO ratelimiting_metrics
          (identifier, period, period_date, service_id, route_id, value, ttl)
        VALUES ('127.0.0.1', 'year', TO_TIMESTAMP('{YEAR}') AT TIME ZONE 'UTC', '{NONE}', '{ROUTE}',
                5, CURRENT_TIMESTAMP AT TIME ZONE 'UTC' + INTERVAL '31536000 second')
        ON CONFLICT (identifier, period, period_date, service_id, route_id) DO UPDATE
          SET value = ratelimiting_metrics.value + EXCLUDED.value""".replace(
            'INSERT', "SET TIME ZONE 'UTC'; INSERT", 1), 'mixed')
    assert one.get('/a').get('RateLimit-Remaining') == '2'


def test_without_the_database_requests_pass_or_not_as_they_are_told(node, tmp_path):
    pg = Postgres().start()
    try:
        conf = {**pg.new_database('gone'), 'pg_timeout': '500'}
        one = node(path('a', limit(year=9, policy='cluster')),
                   path('b', limit(year=9, policy='cluster', fault_tolerant=False)), conf=conf)
        assert [one.get(p).status for p in ('/a', '/b')] == [200, 200]
        pg.stop()
        for _ in range(10):
            assert one.get('/a').status == 200
            assert one.get('/b').status == 500
        assert one.log().count('counters in the database (told once') == 1
        pg.start()
        wait_for(lambda: one.get('/b').status == 200, 'the database to be asked again')
    finally:
        pg.end()


def test_an_identifier_that_no_column_takes_is_counted_all_the_same(node, postgres):
    conf = postgres.new_database('odd')
    one = node(path('a', limit(year=1, policy='cluster', limit_by='header', header_name='who',
                               fault_tolerant=False)), conf=conf)
    for name in (b'\xff\xfe', b'x' * 3000, 'jo', b"'; DROP TABLE x --"):
        name = name if isinstance(name, str) else name.decode('latin-1')
        assert [one.get('/a', headers=[('who', name)]).status for _ in range(2)] == [200, 429]

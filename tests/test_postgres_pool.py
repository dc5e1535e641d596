# SPDX-License-Identifier: Apache-2.0
"""The connections of a process to PostgreSQL: shared, bounded, and back after an outage."""
import os
import signal
import socket
import struct
import time

import pytest

from harness.pg_fake import FakePostgres
from harness.ports import free_port
from harness.postgres import Ask, Postgres
from harness.waits import patience, wait_for


@pytest.fixture(scope='module')
def pg():
    server = Postgres().start()
    server.sql('CREATE ROLE kong LOGIN')
    server.sql('CREATE DATABASE kong OWNER kong')
    yield server
    server.end()


@pytest.fixture
def ask(pg, tmp_path):
    made = []

    def start(**conf):
        conf.setdefault('pg_port', pg.port)
        made.append(Ask(tmp_path / str(len(made)), conf))
        return made[-1]
    yield start
    for one in made:
        one.close()
    wait_for(lambda: backends(pg) == 0, 'all connections to be closed')


def backends(pg):
    return int(pg.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'kong'"))


def descriptors(ask):
    return len(os.listdir(f'/proc/{ask.process.pid}/fd'))


def test_one_connection_serves_calls_in_a_row(pg, ask):
    one = ask()
    for _ in range(20):
        assert one('pool SELECT 1')['rows'] == [['1']]
    assert one('stats') == {'open': 1, 'idle': 1, 'waiting': 0, 'connects': 1, 'failures': 0}
    assert backends(pg) == 1


def test_a_burst_opens_what_it_needs_and_keeps_pg_pool_size(pg, ask):
    one = ask(pg_pool_size=3)
    assert one('burst 10 SELECT pg_sleep(0.2)')['errors'] == []
    stats = one('stats')
    assert (stats['open'], stats['idle'], stats['connects']) == (3, 3, 10)
    wait_for(lambda: backends(pg) == 3, 'the others to be closed')


def test_pg_backlog_bounds_connections_and_who_waits(ask):
    one = ask(pg_pool_size=2, pg_backlog=4)
    assert one('burst 6 SELECT pg_sleep(0.1)')['errors'] == []
    assert one('stats')['connects'] == 2
    errors = one('burst 9 SELECT pg_sleep(0.1)')['errors']
    assert errors == ['too many waiting connect operations'] * 3


def test_waiting_for_a_connection_ends(ask):
    one = ask(pg_pool_size=1, pg_backlog=4, pg_timeout=300)
    errors = one('burst 3 SELECT pg_sleep(0.2)')['errors']
    assert errors == ['timeout waiting for a connection to PostgreSQL']


def test_queries_at_a_time(ask):
    one = ask(pg_max_concurrent_queries=2)
    assert one('burst 6 SELECT pg_sleep(0.05)')['errors'] == []
    assert one('stats')['connects'] == 2


def test_the_semaphores_timeout(ask):
    one = ask(pg_max_concurrent_queries=1, pg_semaphore_timeout=100)
    errors = one('burst 3 SELECT pg_sleep(0.4)')['errors']
    assert errors == ['error acquiring query semaphore: timeout'] * 2
    assert one('pool SELECT 1')['rows'] == [['1']]


def test_idle_connections_end(pg, ask):
    one = ask(pg_keepalive_timeout=300)
    one('pool SELECT 1')
    assert backends(pg) == 1
    wait_for(lambda: backends(pg) == 0, 'the idle connection to be closed')
    assert one('stats')['open'] == 0


def test_a_transaction_left_open_is_not_given_to_the_next(pg, ask):
    one = ask()
    one('pool BEGIN')
    assert one('stats')['open'] == 0
    wait_for(lambda: backends(pg) == 0, 'the connection to be closed')


def test_a_query_that_lasts_ends_with_pg_timeout(ask):
    one = ask(pg_timeout=300)
    began = time.monotonic()
    answer = one('pool SELECT pg_sleep(10)')
    assert answer['error'] == 'timeout' and 'pg_timeout' in answer['hint']
    assert time.monotonic() - began < patience(3)
    assert one('stats')['open'] == 0
    assert one('pool SELECT 2')['rows'] == [['2']]


def test_a_cancelled_fiber_leaves_at_once_and_leaves_nothing(pg, ask):
    one = ask(pg_max_concurrent_queries=1)
    began = time.monotonic()
    assert one('cancel 200 SELECT pg_sleep(30)')['error'] == 'cancelled'
    assert time.monotonic() - began < patience(3)
    assert one('stats')['open'] == 0
    assert one('pool SELECT 1')['rows'] == [['1']]
    assert one('cancel 200 SELECT pg_sleep(30)')['error'] == 'cancelled'
    # the server knows that its client may go, and ends the second one
    wait_for(lambda: int(pg.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE "
                                "'%pg_sleep(30)%' AND usename = 'kong'")) <= 1,
             'the statement to end')
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(4)
        other = ask(pg_port=silent.getsockname()[1])
        assert other('cancel 100 SELECT 1')['error'] == 'cancelled'  # while it connects
        assert other('stats')['open'] == 0
    pg.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'kong'")


def test_a_unix_socket(pg, ask):
    assert ask(pg_host=pg.socket)('pool SELECT 1')['error']  # pg_hba lets postgres alone in
    assert ask(pg_host=pg.socket, pg_user='postgres')('pool SELECT 1')['rows'] == [['1']]
    answer = ask(pg_host=pg.socket, pg_user='postgres', pg_ssl='on', pg_ssl_required='on')
    assert answer('pool SELECT 1')['error'] == 'the server does not support SSL connections'


def message(kind, body):
    return kind + struct.pack('!I', len(body) + 4) + body


@pytest.mark.parametrize('number, said', [
    (90424, 'Kong requires PostgreSQL 9.5 or greater (currently using 9.4)'),
    (90500, None), (150020, None),
])
def test_the_least_version(ask, number, said):
    ready = message(b'Z', b'I')
    greeting = message(b'R', struct.pack('!I', 0)) + message(b'S', b'TimeZone\0UTC\0') + ready
    row = (message(b'1', b'') + message(b'2', b'')
           + message(b'T', struct.pack('!H', 1) + b'v\0' + struct.pack('!IHIHIH', 0, 0, 25, 65535,
                                                                       0, 0))
           + message(b'D', struct.pack('!HI', 1, len(str(number))) + str(number).encode())
           + message(b'C', b'SHOW\0') + ready)
    with FakePostgres(b'', reply=[greeting, row]) as fake:
        answer = ask(pg_port=fake.port)('probe')
    assert answer == {} if said is None else answer['error'] == f'[PostgreSQL error] {said}'


def test_errors_of_the_server_leave_the_connection_good(ask):
    one = ask()
    answer = one('pool SELECT 1/0')
    assert answer['error'] == 'ERROR: division by zero' and answer['state'] == '22012'
    assert one('pool SELECT 1')['rows'] == [['1']]
    assert one('stats')['connects'] == 1


def test_a_killed_connection_is_replaced_unseen(pg, ask):
    one = ask()
    one('pool SELECT 1')
    pg.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'kong'")
    assert one('pool SELECT 1')['rows'] == [['1']]


def test_large_results_and_long_statements(ask):
    one = ask()
    answer = one("pool SELECT sum(length(v)), max(v) = repeat('x', 100000) FROM "
                 "(SELECT repeat('x', 100000) AS v FROM generate_series(1, 50)) t")
    assert answer['rows'] == [['5000000', 't']]
    rows = one("pool SELECT i, repeat('y', 500) FROM generate_series(1, 20000) i")['rows']
    assert len(rows) == 20000 and rows[-1] == ['20000', 'y' * 500]


def test_the_session_is_in_utc_and_in_its_schema(pg, ask):
    pg.sql('CREATE SCHEMA "a b""c" AUTHORIZATION kong', 'kong')
    pg.sql("ALTER ROLE kong SET timezone = 'Asia/Tokyo'")
    try:
        one = ask(pg_schema='a b"c')
        assert one("pool SELECT current_schema(), current_setting('TimeZone')")['rows'] == \
            [['a b"c', 'UTC']]
    finally:
        pg.sql('ALTER ROLE kong RESET timezone')


# ---- outages ------------------------------------------------------------------------------

@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGQUIT])
def test_an_outage_fails_fast_and_ends_by_itself(pg, ask, how):
    one = ask(pg_backlog=2, pg_pool_size=4)
    one('burst 4 SELECT pg_sleep(0.1)')
    before = descriptors(one)
    pg.stop(how)
    try:
        began = time.monotonic()
        for _ in range(50):
            answer = one('pool SELECT 1')
            assert 'error' in answer
        assert time.monotonic() - began < patience(2)
        assert answer['error'] in ('connection refused',
                                   'FATAL: the database system is shutting down')
        assert one('stats')['open'] == 0
    finally:
        pg.start()
    wait_for(lambda: one('pool SELECT 1').get('rows') == [['1']], 'the recovery', timeout=3)
    assert one('burst 4 SELECT pg_sleep(0.1)')['errors'] == []
    assert descriptors(one) <= before
    assert one('stats')['open'] == one('stats')['idle']


def test_a_silent_server_costs_one_timeout_not_one_each(ask):
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(64)
        one = ask(pg_port=silent.getsockname()[1], pg_timeout=500)
        assert one('pool SELECT 1')['error'] == 'timeout'
        time.sleep(0.3)
        began = time.monotonic()
        assert len(one('burst 40 SELECT 1')['errors']) == 40
        assert time.monotonic() - began < patience(1.5)
        assert one('stats')['connects'] == 2 and one('stats')['open'] == 0


def test_a_server_that_ends_in_the_middle(ask):
    with FakePostgres(b'') as fake:
        one = ask(pg_port=fake.port, pg_timeout=500)
        assert 'error' in one('pool SELECT 1')
    assert one('stats')['open'] == 0


def test_names_are_resolved_and_failures_named(ask):
    assert ask(pg_host='localhost')('pool SELECT 1')['rows'] == [['1']]
    answer = ask(pg_host='no.such.host.invalid', pg_timeout=2000)('pool SELECT 1')
    assert 'no.such.host.invalid' in answer['error'] and 'pg_host' in answer['hint']
    answer = ask(pg_port=free_port())('pool SELECT 1')
    assert answer['error'] == 'connection refused' and 'pg_port' in answer['hint']

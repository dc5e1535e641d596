# SPDX-License-Identifier: Apache-2.0
"""Statements, values, transactions and notifications over Gibbon's PostgreSQL connections."""
import pytest

from harness.postgres import Ask, Postgres


@pytest.fixture(scope='module')
def pg():
    server = Postgres().start()
    server.sql('CREATE ROLE kong LOGIN')
    server.sql('CREATE DATABASE kong OWNER kong')
    yield server
    server.end()


@pytest.fixture(scope='module')
def ask(pg, tmp_path_factory):
    with Ask(tmp_path_factory.mktemp('ask'), {'pg_port': pg.port}) as one:
        yield one


def test_values_are_bound_and_nulls_are_nulls(ask):
    answer = ask('''bind ["it's; DROP", null, "", "42"] SELECT $1::text, $2::text IS NULL, '''
                 '$3::text, $4::int + 1, NULL')
    assert answer['rows'] == [["it's; DROP", 't', '', '43', None]]


def test_what_postgresql_cannot_keep_is_refused_before_it_is_sent(ask):
    answer = ask('bind ["a\\u0000b"] SELECT $1::text')
    assert answer['error'] == "$1: PostgreSQL's text has no zero bytes"


def test_a_script_is_all_or_nothing(ask, pg):
    assert ask('script CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1)') == \
        {'rows': []}
    answer = ask('script INSERT INTO s VALUES (2); INSERT INTO s VALUES (1)')
    assert answer['state'] == '23505'
    assert pg.sql('SELECT count(*) FROM s', 'kong') == '1'


def test_affected_rows_are_counted(ask):
    ask('script CREATE TABLE n (id int); INSERT INTO n SELECT generate_series(1, 7)')
    assert ask('bind ["3"] DELETE FROM n WHERE id > $1::int') == {'rows': [], 'affected': 4}


def test_transactions_commit_or_leave_nothing(ask, pg):
    ask('script CREATE TABLE t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)')
    assert ask('transaction good INSERT INTO t VALUES (1)') == {'rows': []}
    assert ask('transaction bad INSERT INTO t VALUES (2)')['error'] == 'the caller gives up'
    assert ask('transaction good INSERT INTO t VALUES (3); SELECT 1/0')['state'] == '22012'
    assert ask('transaction good INSERT INTO t VALUES (1)')['state'] == '23505'  # at COMMIT
    assert pg.sql('SELECT array_agg(id) FROM t', 'kong') == '{1}'


def test_failures_name_what_they_are_about(ask):
    ask('script CREATE TABLE f (id int PRIMARY KEY, name text NOT NULL)')
    ask("script INSERT INTO f VALUES (1, 'a')")
    said = ask("failure INSERT INTO f VALUES (1, 'b')")
    assert (said['sqlstate'], said['table'], said['constraint']) == ('23505', 'f', 'f_pkey')
    assert said['message'] == 'duplicate key value violates unique constraint "f_pkey"'
    assert said['detail'] == 'Key (id)=(1) already exists.'
    said = ask('failure INSERT INTO f VALUES (2, NULL)')
    assert (said['sqlstate'], said['column']) == ('23502', 'name')


def test_notifications(ask):
    answer = ask("listen changes 5000 SELECT pg_notify('changes', 'hello')")
    assert answer == {'channel': 'changes', 'payload': 'hello'}
    assert ask('listen changes 100 SELECT 1')['error'] == 'timeout'


def test_copy_is_refused_and_costs_the_connection_alone(ask):
    assert 'COPY' in ask('query COPY (SELECT 1) TO STDOUT')['error']
    assert ask('pool SELECT 1')['rows'] == [['1']]

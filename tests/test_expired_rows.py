# SPDX-License-Identifier: Apache-2.0
"""Rows that have outlived their ttl are not seen any more, and leave the database bit by bit."""
import json
import os
import sqlite3

import pytest

from harness.postgres import Postgres
from harness.waits import wait_for

MANY = 25000  # more than go at once
INSERT = {
    'sqlite': f'''WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})
        INSERT INTO sessions (id, session_id, created_at, ttl)
        SELECT printf('%08x-0000-4000-8000-000000000000', i), 's' || i, unixepoch() - 20, unixepoch() - 10 FROM n''',
    'postgres': f'''INSERT INTO sessions (id, session_id, created_at, ttl)
        SELECT (lpad(to_hex(i), 8, '0') || '-0000-4000-8000-000000000000')::uuid, 's' || i, now(),
               now() - interval '10 seconds' FROM generate_series(1, {MANY}) i''',
}


def call(gw, method, path, body=None):
    answer = gw.api(path, method, headers=[('Content-Type', 'application/json')],
                    body=None if body is None else json.dumps(body).encode())
    return answer.status, answer.json() if answer.body else None


@pytest.mark.parametrize('kind', ['sqlite', 'postgres'])
def test_rows_that_are_over_leave_and_others_stay(gateway, kind):
    pg = Postgres().start() if kind == 'postgres' else None
    try:
        conf = pg.new_database() if pg else {'database': 'sqlite'}
        one = gateway(conf={**conf, 'db_update_frequency': '0.1'}, start=False)
        if pg:
            assert one.cli('migrations', 'bootstrap').returncode == 0
        one.start()
        for name, ttl in ('lasting', 0), ('long', 10000):
            assert call(one, 'POST', '/sessions', {'session_id': name, 'ttl': ttl})[0] == 201
        one.stop()

        def sql(text):
            if pg:
                return pg.sql(text, 'kong').strip()
            with sqlite3.connect(os.path.join(one.prefix, 'gibbon.db'), timeout=10) as db:
                return str((db.execute(text).fetchone() or [''])[0])
        sql(INSERT[kind])
        assert sql('SELECT count(*) FROM sessions') == str(MANY + 2)
        one.start()
        assert call(one, 'GET', '/sessions/s1')[0] == 404
        assert len(call(one, 'GET', '/sessions?size=1000')[1]['data']) == 2
        wait_for(lambda: sql('SELECT count(*) FROM sessions') == '2', 'the rows to go', 30)
        assert call(one, 'GET', '/sessions/lasting')[1]['ttl'] is None
        assert 0 < call(one, 'GET', '/sessions/long')[1]['ttl'] <= 10000
        one.stop()
    finally:
        if pg:
            pg.end()

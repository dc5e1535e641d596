# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL behind PgBouncer, which refuses or forgets what it cannot keep per transaction."""
import os
import shutil
import subprocess

import pytest

from harness.ports import free_port
from harness.postgres import Ask, Postgres, as_owner
from harness.waits import patience, wait_for

pytestmark = pytest.mark.skipif(not shutil.which('pgbouncer', path='/usr/sbin:/usr/bin'),
                                reason='pgbouncer is missing')


@pytest.fixture(scope='module')
def pg():
    server = Postgres().start()
    server.sql('CREATE ROLE kong LOGIN')
    server.sql('CREATE DATABASE kong OWNER kong')
    server.sql('CREATE SCHEMA own AUTHORIZATION kong', 'kong')
    yield server
    server.end()


def is_up(path):
    with open(path, errors='replace') as text:
        return 'process up' in text.read()


@pytest.fixture
def pooler(pg):
    """pooler(mode): PgBouncer's port."""
    made = []

    def start(mode):
        port = free_port()
        path = os.path.join(pg.folder, f'pgbouncer-{port}.ini')
        with open(path, 'w') as out:
            out.write(f'[databases]\n* = user=kong host=127.0.0.1 port={pg.port}\n[pgbouncer]\n'
                      f'listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n'
                      f'pool_mode = {mode}\nunix_socket_dir =\nauth_file =\n')
        os.chmod(path, 0o644)
        with open(path + '.log', 'wb') as log:
            made.append(subprocess.Popen(as_owner('/usr/sbin/pgbouncer', path), stdout=log,
                                         stderr=log, cwd=pg.folder))
        wait_for(lambda: is_up(path + '.log'), 'pgbouncer to be up')
        return port
    yield start
    for one in made:
        one.terminate()
        one.wait(patience(10))


@pytest.mark.parametrize('mode', ['session', 'transaction'])
def test_a_pooler_that_refuses_options_is_served_without(pooler, tmp_path, mode):
    with Ask(tmp_path, {'pg_port': pooler(mode)}) as ask:
        answer = ask("pool SELECT current_setting('TimeZone'), current_schema()")
        assert answer['rows'] == [['UTC', 'public']]
        assert ask('burst 8 SELECT pg_sleep(0.05)')['errors'] == []


def test_a_schema_of_its_own_in_session_mode(pooler, tmp_path):
    with Ask(tmp_path, {'pg_port': pooler('session'), 'pg_schema': 'own'}) as ask:
        assert ask('pool SELECT current_schema()')['rows'] == [['own']]

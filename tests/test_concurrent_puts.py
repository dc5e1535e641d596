# SPDX-License-Identifier: Apache-2.0
"""Several PUT of one new entity at once: one makes it, the others change it."""
import json
import threading
import uuid

import pytest

from harness.postgres import Postgres

WRITERS, ROUNDS = 6, 25


@pytest.fixture(scope='module', params=['sqlite', 'postgres'])
def gw(request, module_gateway):
    pg = Postgres().start() if request.param == 'postgres' else None
    one = module_gateway(conf=pg.new_database() if pg else {'database': 'sqlite'}, start=False)
    if pg:
        done = one.cli('migrations', 'bootstrap')
        assert done.returncode == 0, done.stdout + done.stderr
    yield one.start()
    one.stop()
    if pg:
        pg.end()


def at_once(gw, paths, body):
    """The answers of one PUT to each of the paths, all sent together."""
    start, answers = threading.Barrier(len(paths)), [None] * len(paths)

    def put(i):
        data = json.dumps({**body, 'tags': [f'w{i}']}).encode()
        start.wait()
        answers[i] = gw.api(paths[i], 'PUT', body=data,
                            headers=[('Content-Type', 'application/json')])
    writers = [threading.Thread(target=put, args=(i,)) for i in range(len(paths))]
    for w in writers:
        w.start()
    for w in writers:
        w.join()
    return answers


@pytest.mark.parametrize('kind, body', [('services', {'host': 'a.test'}),
                                        ('upstreams', {}), ('consumers', {})])
@pytest.mark.parametrize('is_by_name', [False, True])
def test_all_succeed_and_one_entity_is_there(gw, kind, body, is_by_name):
    field = 'username' if kind == 'consumers' else 'name'
    for _ in range(ROUNDS):
        name = 'n' + uuid.uuid4().hex
        key = name if is_by_name else str(uuid.uuid4())
        answers = at_once(gw, [f'/{kind}/{key}'] * WRITERS, {**body, field: name})
        assert [a.status for a in answers] == [200] * WRITERS, answers
        assert len({a.json()['id'] for a in answers}) == 1
        kept = gw.api(f'/{kind}/{name}').json()
        assert kept in [a.json() for a in answers]
        if not is_by_name:
            assert kept['id'] == key


def test_another_entity_with_its_name_is_still_refused(gw):
    name = 'n' + uuid.uuid4().hex
    paths = [f'/services/{uuid.uuid4()}' for _ in range(WRITERS)]
    answers = at_once(gw, paths, {'host': 'a.test', 'name': name})
    assert sorted(a.status for a in answers) == [200] + [409] * (WRITERS - 1)

# SPDX-License-Identifier: Apache-2.0
"""rate-limiting over real connections: exactly as many pass as the limit says, whoever counts."""
import json
import threading
import time
from collections import Counter

import pytest

from harness.config import declarative, route, service


def limit(**config):
    return {'name': 'rate-limiting', 'config': config}


def path(name, *plugins):
    return {**route(paths=[f'/{name}']), 'plugins': list(plugins)}


@pytest.fixture
def limited(gateway, origin):
    """A gateway of four loops."""
    def start(*routes, **entities):
        return gateway(declarative(service(origin(), *routes), **entities),
                       conf={'nginx_worker_processes': '4'})
    return start


def test_headers_say_what_is_left_and_a_refusal_when_to_come_again(limited):
    one = limited(path('a', limit(hour=2, year=5)))
    answer = one.get('/a')
    assert answer.status == 200
    assert answer.get('X-RateLimit-Limit-Hour') == '2'
    assert answer.get('X-RateLimit-Remaining-Hour') == '1'
    assert answer.get('X-RateLimit-Remaining-Year') == '4'
    assert answer.get('RateLimit-Limit') == '2'
    assert answer.get('RateLimit-Remaining') == '1'
    assert 0 < int(answer.get('RateLimit-Reset')) <= 3600
    assert answer.get('Retry-After') is None
    assert one.get('/a').get('RateLimit-Remaining') == '0'
    answer = one.get('/a')
    assert answer.status == 429
    assert answer.body == b'{\n  "message":"API rate limit exceeded"\n}'
    assert answer.get('Retry-After') == answer.get('RateLimit-Reset')
    assert answer.get('X-RateLimit-Remaining-Year') == '3'


def test_hidden_headers_and_an_error_of_ones_own(limited):
    one = limited(path('a', limit(year=1, hide_client_headers=True, error_code=403,
                                  error_message='Enough.')))
    for status in (200, 403):
        answer = one.get('/a', headers=[('Accept', 'text/plain')])
        assert answer.status == status
        assert not [n for n, _ in answer.headers
                    if 'ratelimit' in n.lower() or n.lower() == 'retry-after']
    assert answer.text == 'Enough.\n'


def crowd(one, threads=8, each=30):
    """The answers to many calls at once."""
    answers, lock = [], threading.Lock()

    def call():
        with one.client() as c:
            mine = [c.get('/a') for _ in range(each)]
        with lock:
            answers.extend(mine)

    all_threads = [threading.Thread(target=call) for _ in range(threads)]
    for t in all_threads:
        t.start()
    for t in all_threads:
        t.join(timeout=60)
    assert len(answers) == threads * each
    return answers


def test_of_many_at_once_exactly_as_many_pass(limited):
    statuses = [a.status for a in crowd(limited(path('a', limit(year=100))))]
    assert statuses.count(200) == 100 and statuses.count(429) == 140


def test_each_second_has_its_limit_whatever_the_load(limited):
    """What is left says which of its second a request was, so no clock is asked: of each number
    there are as many as seconds that came so far, so never more than of the one before."""
    one = limited(path('a', limit(second=7, year=100000)))
    passed, began = [], time.monotonic()
    while time.monotonic() < began + 30:
        passed += [a for a in crowd(one, each=20) if a.status == 200]
        nth = Counter(7 - int(a.get('X-RateLimit-Remaining-Second')) for a in passed)
        if nth[1] >= 4:
            break
    assert 4 <= nth[1] <= time.monotonic() - began + 2
    assert set(nth) <= set(range(1, 8))
    assert [nth[n] for n in range(1, 8)] == sorted(nth.values(), reverse=True) + [0] * (7 - len(nth))
    assert sorted(int(a.get('X-RateLimit-Remaining-Year')) for a in passed) == \
        list(range(100000 - len(passed), 100000))


def test_a_count_belongs_to_the_plugin_s_scope(limited):
    one = limited(path('a', limit(year=1)), path('b', limit(year=1)), path('c'), path('d'),
                  plugins=[limit(year=2)])
    assert [one.get(p).status for p in ('/a', '/b', '/a', '/b')] == [200, 200, 429, 429]
    assert [one.get(p).status for p in ('/c', '/d', '/c', '/d')] == [200, 200, 429, 429]


def test_consumers_are_counted_each(limited):
    one = limited(path('a', {'name': 'key-auth'}, limit(year=2)),
                  consumers=[{'username': u, 'keyauth_credentials': [{'key': u}]}
                             for u in ('jo', 'al')])
    assert one.get('/a').status == 401
    for key in ('jo', 'al'):
        assert [one.get('/a', headers=[('apikey', key)]).status for _ in range(3)] == \
            [200, 200, 429]


def test_counts_stay_when_the_configuration_changes(limited):
    one = limited(path('a', limit(year=2)))
    assert one.get('/a').status == 200
    config = one.api('/config').json()['config']
    said = one.api('/config', 'POST', headers=[('Content-Type', 'application/json')],
                   body=json.dumps({'config': config}).encode())
    assert said.status == 201, said
    assert [one.get('/a').status for _ in range(2)] == [200, 429]


def test_without_a_database_nodes_have_nothing_to_share_counts_in(gateway):
    one = gateway(declarative(plugins=[limit(year=1, policy='cluster')]), start=False)
    done = one.cli('start', timeout=20)
    assert done.returncode != 0
    assert 'expected one of: local, redis' in done.stdout + done.stderr + one.log()

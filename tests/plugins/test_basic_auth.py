# SPDX-License-Identifier: Apache-2.0
"""Names and passwords: how they are kept, and who gets in with them."""
import base64
import hashlib
import json
import os
import threading

import pytest

from harness.config import declarative, route, sent, service
from harness.postgres import Postgres
from harness.waits import wait_for

WRONG = (401, 'Invalid authentication credentials')


def costly(password, rounds=1000, kind='sha512'):
    salt = os.urandom(16)
    made = hashlib.pbkdf2_hmac(kind, password.encode(), salt, rounds, 32)
    salt, made = (base64.b64encode(b).decode().rstrip('=') for b in (salt, made))
    return f'$pbkdf2-{kind}$i={rounds},l=32${salt}${made}'


def basic(user, password, name='Authorization'):
    return [(name, 'Basic ' + base64.b64encode(f'{user}:{password}'.encode()).decode())]


def status(answer):
    return answer.status, answer.json().get('message') if answer.status != 200 else None


def get(gw, user, password, path='/'):
    return status(gw.get(path, headers=basic(user, password)))


def call(gw, method, path, body=None):
    answer = gw.api(path, method, headers=[('Content-Type', 'application/json')],
                    body=None if body is None else json.dumps(body).encode())
    return answer.status, answer.json() if answer.body else None


@pytest.fixture(scope='module', params=['sqlite', 'postgres'])
def gw(request, module_gateway, module_origin):
    pg = None
    if request.param == 'sqlite':
        one = module_gateway(conf={'database': 'sqlite'})
    else:
        pg = Postgres().start()
        one = module_gateway(conf=pg.new_database(), start=False)
        done = one.cli('migrations', 'bootstrap')
        assert done.returncode == 0, done.stdout + done.stderr
        one.start()
    try:
        call(one, 'PUT', '/services/one', {'url': module_origin().url})
        call(one, 'PUT', '/services/one/routes/one', {'paths': ['/']})
        assert call(one, 'POST', '/routes/one/plugins', {'name': 'basic-auth'})[0] == 201
        for name in 'jo', 'al':
            assert call(one, 'PUT', f'/consumers/{name}', {})[0] == 200
        yield one
        one.stop()
    finally:
        if pg:
            pg.end()


def test_a_password_is_hashed_as_kong_does(gw):
    jo = call(gw, 'GET', '/consumers/jo')[1]['id']
    code, made = call(gw, 'POST', '/consumers/jo/basic-auth', {'username': 'jo', 'password': ' pass '})
    assert code == 201 and made['password'] == hashlib.sha1(f' pass {jo}'.encode()).hexdigest()
    wait_for(lambda: get(gw, 'jo', ' pass ') == (200, None), 'the password to be known')
    assert get(gw, 'jo', 'pass') == WRONG
    code, changed = call(gw, 'PATCH', f'/consumers/jo/basic-auth/{made["id"]}', {'username': 'joe'})
    assert code == 200 and changed['password'] == made['password']
    code, changed = call(gw, 'PATCH', '/consumers/jo/basic-auth/joe', {'password': 'other'})
    assert code == 200 and changed['password'] == hashlib.sha1(f'other{jo}'.encode()).hexdigest()
    wait_for(lambda: get(gw, 'joe', 'other') == (200, None), 'the other password to be known')
    assert get(gw, 'joe', ' pass ') == get(gw, 'jo', ' pass ') == WRONG
    assert call(gw, 'DELETE', '/basic-auths/joe')[0] == 204
    wait_for(lambda: get(gw, 'joe', 'other') == WRONG, 'the password to be forgotten')


def test_a_password_and_whose_it_is_change_together(gw):
    al, jo = (call(gw, 'GET', f'/consumers/{name}')[1] for name in ('al', 'jo'))
    made = call(gw, 'POST', '/consumers/jo/basic-auth', {'username': 'moves', 'password': 'x'})[1]
    for half in ({'consumer': {'id': al['id']}}, {'password': 'y'}):
        code, answer = call(gw, 'PATCH', '/basic-auths/moves', half)
        assert code == 400 and answer['message'] == (
            "schema violation (all or none of these fields must be set: 'password', 'consumer.id')"), half
    assert call(gw, 'PATCH', '/basic-auths/moves', {'consumer': {'id': jo['id']}}) == (200, made)
    assert call(gw, 'PATCH', '/basic-auths/moves', {'username': 'moved'})[0] == 200
    code, moved = call(gw, 'PATCH', '/basic-auths/moved', {'consumer': {'id': al['id']}, 'password': 'y'})
    assert code == 200 and moved['password'] == hashlib.sha1(f'y{al["id"]}'.encode()).hexdigest()
    wait_for(lambda: get(gw, 'moved', 'y') == (200, None), 'the new password to be known')
    assert sent(gw.get('/', headers=basic('moved', 'y')), 'X-Consumer-Username') == ['al']


def test_a_hash_that_is_costly_to_guess_is_kept_as_it_is(gw):
    kept = costly('secret', kind='sha256')
    code, made = call(gw, 'POST', '/consumers/jo/basic-auth', {'username': 'costly', 'password': kept})
    assert code == 201 and made['password'] == kept
    wait_for(lambda: get(gw, 'costly', 'secret') == (200, None), 'the password to be known')
    assert get(gw, 'costly', 'secret') == (200, None)
    assert get(gw, 'costly', kept) == get(gw, 'costly', 'Secret') == WRONG
    code, changed = call(gw, 'PUT', '/consumers/jo/basic-auth/costly', made | {'tags': ['t']})
    assert code == 200 and changed['password'] == kept
    changed = call(gw, 'PATCH', '/consumers/jo/basic-auth/costly', {'password': costly('new')})[1]
    wait_for(lambda: get(gw, 'costly', 'new') == (200, None), 'the new password to be known')
    assert get(gw, 'costly', 'secret') == WRONG
    for bad in '$pbkdf2-sha512$x', changed['password'].replace('i=1000,', 'i=1000000000,'):
        code, answer = call(gw, 'PATCH', '/consumers/jo/basic-auth/costly', {'password': bad})
        assert code == 400 and 'not a hash as it begins to be' in answer['fields']['password']


@pytest.fixture
def guarded(gateway, origin):
    echo = origin()

    def start(*credentials, **config):
        return gateway(declarative(
            service(echo, {**route(paths=['/']), 'plugins': [{'name': 'basic-auth', 'config': config}]}),
            consumers=[{'username': 'jo', 'basicauth_credentials': [
                {'username': user, 'password': password} for user, password in credentials]}, {'username': 'guest'}]))
    return start


def test_many_guesses_at_a_costly_hash_wait_for_each_other_and_too_many_are_refused(guarded):
    one = guarded(('slow', costly('right', 30000)), ('quick', 'pass'))
    answers, lock = [], threading.Lock()

    def guess():
        answer = get(one, 'slow', 'wrong')
        with lock:
            answers.append(answer)

    crowd = [threading.Thread(target=guess) for _ in range(100)]
    for t in crowd:
        t.start()
    wait_for(lambda: (503, 'Too many passwords are being checked') in answers, 'too many to be refused')
    assert get(one, 'quick', 'pass') == (200, None)  # nobody else waits
    for t in crowd:
        t.join()
    assert set(answers) == {WRONG, (503, 'Too many passwords are being checked')}
    assert get(one, 'slow', 'right') == (200, None)
    assert 'right' not in one.log()


def test_what_comes_by_other_ways(guarded):
    one = guarded(('jo', 'a:b'), ('é', 'ü'), anonymous='guest', hide_credentials=True)
    for user, password in ('jo', 'a:b'), ('é', 'ü'):
        for name in 'Authorization', 'Proxy-Authorization':
            answer = one.get('/', headers=basic(user, password, name))
            assert sent(answer, 'X-Credential-Identifier') == [user.encode().decode('latin-1')], name
            assert sent(answer, name) == []
    for bad in 'Basic', 'Basic ' + 'A' * 6000, 'Basic =', 'Basic Og==', 'Basic OnBhc3M=', 'Digest x', '':
        answer = one.get('/', headers=[('Authorization', bad)])
        assert sent(answer, 'X-Consumer-Username') == ['guest'], bad
        assert answer.get('WWW-Authenticate') is None
    answer = one.get('/', headers=basic('jo', 'a:b', 'Proxy-Authorization') + basic('nobody', 'x'))
    assert sent(answer, 'X-Credential-Identifier') == ['jo']
    assert sent(answer, 'Authorization') == ['Basic bm9ib2R5Ong='], 'nobody looked at it'

# SPDX-License-Identifier: Apache-2.0
"""Signed tokens and signed requests over real connections, and their credentials in the Admin API."""
import base64
import email.utils
import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from harness.config import declarative, route, sent, service
from harness.h2 import H2
from harness.ports import free_port
from harness.postgres import Postgres
from harness.waits import wait_for


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def token(sign, claims, **header):
    text = '.'.join(b64(json.dumps(part).encode()) for part in (header, claims))
    return f'{text}.{b64(sign(text.encode()))}'


def shared(secret, kind):
    return lambda text: hmac.new(secret, text, kind).digest()


def by_rsa(key, kind):
    return lambda text: key.sign(text, padding.PKCS1v15(), kind)


def by_curve(key, kind):
    def sign(text):
        size = (key.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(kind)))
        return r.to_bytes(size, 'big') + s.to_bytes(size, 'big')
    return sign


def public(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


RSA = rsa.generate_private_key(65537, 2048)
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
SIGNERS = {
    'HS256': shared(b's', 'sha256'), 'HS384': shared(b's', 'sha384'), 'HS512': shared(b's', 'sha512'),
    'RS256': by_rsa(RSA, hashes.SHA256()), 'RS384': by_rsa(RSA, hashes.SHA384()),
    'RS512': by_rsa(RSA, hashes.SHA512()),
    'ES256': by_curve(P256, hashes.SHA256()), 'ES384': by_curve(P384, hashes.SHA384()),
}
KEYS = {'RS': RSA, 'ES256': P256, 'ES384': P384}


def secret_of(alg):
    key = KEYS.get(alg) or KEYS.get(alg[:2])
    return {'key': alg, 'algorithm': alg,
            **({'rsa_public_key': public(key)} if key else {'secret': 's'})}


@pytest.fixture(scope='module')
def guarded(module_gateway, module_origin):
    origin = module_origin()
    return module_gateway(declarative(
        service(origin, {**route(paths=['/jwt']), 'plugins': [
            {'name': 'jwt', 'config': {'claims_to_verify': ['exp'], 'cookie_names': ['sid']}}]}),
        service(origin, {**route(paths=['/hmac']), 'plugins': [
            {'name': 'hmac-auth', 'config': {'validate_request_body': True,
                                             'hide_credentials': True,
                                             'enforce_headers': ['request-line']}}]}),
        consumers=[{'username': 'jo', 'jwt_secrets': [secret_of(a) for a in SIGNERS],
                    'hmacauth_credentials': [{'username': 'jo', 'secret': 's'}]}]))


def soon():
    return int(time.time()) + 600


@pytest.mark.parametrize('alg', SIGNERS)
def test_a_good_token_passes_and_no_other(guarded, alg):
    good = token(SIGNERS[alg], {'iss': alg, 'exp': soon()}, alg=alg, typ='JWT')
    answer = guarded.get('/jwt', headers=[('Authorization', f'Bearer {good}')])
    assert answer.status == 200, answer
    assert sent(answer, 'X-Consumer-Username') == ['jo']
    assert sent(answer, 'X-Credential-Identifier') == [alg]
    assert guarded.get('/jwt', headers=[('Cookie', f'a=b; sid={good}')]).status == 200
    assert guarded.get(f'/jwt?jwt={good}').status == 200
    head, claims, signature = good.split('.')
    other = b64(json.dumps({'iss': alg, 'exp': soon() + 1}).encode())
    for bad in f'{head}.{other}.{signature}', f'{head}.{claims}.', f'{head}.{claims}.{signature[4:]}':
        answer = guarded.get(f'/jwt?jwt={bad}')
        assert (answer.status, answer.json()) == (401, {'message': 'Invalid signature'}), bad
    old = token(SIGNERS[alg], {'iss': alg, 'exp': 1}, alg=alg)
    answer = guarded.get(f'/jwt?jwt={old}')
    assert (answer.status, answer.json()) == (401, {'exp': 'token expired'})


def test_a_public_key_signs_nothing(guarded):
    forged = token(shared(public(RSA).encode(), 'sha256'), {'iss': 'RS256', 'exp': soon()},
                   alg='HS256')
    answer = guarded.get(f'/jwt?jwt={forged}')
    assert (answer.status, answer.json()) == (401, {'message': 'Invalid algorithm'})
    assert guarded.get('/jwt').json() == {'message': 'Unauthorized'}


def signed(method, path, body=b'', secret=b's'):
    date = email.utils.formatdate(usegmt=True)
    digest = 'SHA-256=' + base64.b64encode(hashlib.sha256(body).digest()).decode()
    text = f'date: {date}\n{method} {path} HTTP/1.1\ndigest: {digest}'
    mac = base64.b64encode(hmac.new(secret, text.encode(), 'sha256').digest()).decode()
    return [('Date', date), ('Digest', digest),
            ('Authorization', 'hmac username="jo", algorithm="hmac-sha256", '
                              f'headers="date request-line digest", signature="{mac}"')]


def test_a_signed_request_passes_with_its_own_body_alone(guarded):
    body = b'x' * 300000
    head = signed('POST', '/hmac/x?a=1', body)
    answer = guarded.client().request('POST', '/hmac/x?a=1', headers=head, body=body)
    assert answer.status == 200, answer
    assert sent(answer, 'X-Consumer-Username') == ['jo']
    assert sent(answer, 'Authorization') == []
    for path, what in ('/hmac/x?a=2', body), ('/hmac/x?a=1', body[1:]):
        answer = guarded.client().request('POST', path, headers=head, body=what)
        assert answer.status == 401
        assert answer.json()['message'] == 'HMAC signature does not match'
    answer = guarded.get('/hmac')
    assert (answer.status, answer.json()['message']) == (401, 'Unauthorized')


def test_the_line_that_is_signed_says_which_http_it_is(gateway, origin):
    port = free_port()
    one = gateway(declarative(
        service(origin(), {**route(paths=['/']), 'plugins': [{'name': 'hmac-auth'}]}),
        consumers=[{'username': 'jo', 'hmacauth_credentials': [{'username': 'jo', 'secret': 's'}]}]),
        conf={'proxy_listen': f'127.0.0.1:{port} http2'}, start=False)
    one.proxy = port
    one.start()
    date = email.utils.formatdate(usegmt=True)

    def fields(version, host):
        text = f'date: {date}\nGET /a/../b?c=%20 {version}\nhost: {host}\n@request-target: get /a/../b?c=%20'
        mac = base64.b64encode(hmac.new(b's', text.encode(), 'sha1').digest()).decode()
        return [('date', date), ('authorization', 'hmac username="jo", algorithm="hmac-sha1", headers='
                                                  f'"date request-line host @request-target", signature="{mac}"')]
    for good, bad in ('HTTP/2.0', 'HTTP/1.1'), ('HTTP/1.1', 'HTTP/2.0'), ('HTTP/1.0', 'HTTP/1.1'):
        for version, status in (good, 200), (bad, 401):
            if good == 'HTTP/2.0':
                with H2(port) as c:
                    c.request(1, path='/a/../b?c=%20', more=fields(version, c.authority))
                    got = c.answer(1)[0]
            else:
                lines = ''.join(f'{name}: {value}\r\n' for name, value in fields(version, 'x'))
                with one.client() as c:
                    c.send(f'GET /a/../b?c=%20 {good}\r\nHost: x\r\n{lines}\r\n'.encode())
                    got = c.read_response().status
            assert got == status, (good, version)


# ---- the Admin API -------------------------------------------------------------------------

@pytest.fixture(scope='module', params=['sqlite', 'postgres'])
def gw(request, module_gateway):
    if request.param == 'sqlite':
        yield module_gateway(conf={'database': 'sqlite'})
        return
    pg = Postgres().start()
    try:
        one = module_gateway(conf=pg.new_database(), start=False)
        done = one.cli('migrations', 'bootstrap')
        assert done.returncode == 0, done.stdout + done.stderr
        yield one.start()
        one.stop()
    finally:
        pg.end()


def call(gw, method, path, body=None):
    answer = gw.api(path, method, headers=[('Content-Type', 'application/json')],
                    body=None if body is None else json.dumps(body).encode())
    return answer.status, answer.json() if answer.body else None


CREDENTIALS = [
    ('jwt', 'jwts', 'key', {'key': 'k1'}, {'algorithm': 'HS512'}),
    ('hmac-auth', 'hmac-auths', 'username', {'username': 'k1'}, {'secret': 'other'}),
]


@pytest.mark.parametrize('nested, path, name, body, change', CREDENTIALS)
def test_credentials_have_their_endpoints(gw, nested, path, name, body, change):
    jo = f'jo-{nested}'
    assert call(gw, 'PUT', f'/consumers/{jo}', {})[0] == 200
    status, made = call(gw, 'POST', f'/consumers/{jo}/{nested}', body)
    assert status == 201 and made[name] == 'k1' and len(made['secret']) == 32
    assert call(gw, 'POST', f'/consumers/{jo}/{nested}', body)[0] == 409
    for where in (f'/consumers/{jo}/{nested}/k1', f'/consumers/{jo}/{nested}/{made["id"]}',
                  f'/{path}/k1', f'/{path}/{made["id"]}'):
        assert call(gw, 'GET', where) == (200, made), where
    assert call(gw, 'GET', f'/{path}/k1/consumer')[1]['username'] == jo
    assert [x['id'] for x in call(gw, 'GET', f'/consumers/{jo}/{nested}')[1]['data']] == [made['id']]
    assert [x['id'] for x in call(gw, 'GET', f'/{path}')[1]['data']] == [made['id']]
    status, changed = call(gw, 'PATCH', f'/consumers/{jo}/{nested}/k1', change)
    assert status == 200 and changed == {**made, **change}
    status, put = call(gw, 'PUT', f'/consumers/{jo}/{nested}/k2', {})
    assert status == 200 and put[name] == 'k2' and put['consumer'] == made['consumer']
    assert call(gw, 'GET', f'/{path}/none')[0] == 404
    assert call(gw, 'DELETE', f'/consumers/{jo}/{nested}/k1')[0] == 204
    assert call(gw, 'DELETE', f'/consumers/{jo}')[0] == 204
    assert call(gw, 'GET', f'/{path}')[1]['data'] == []


def test_a_credential_that_was_just_made_lets_in(gw, module_origin):
    origin = module_origin()
    call(gw, 'PUT', '/services/one', {'url': origin.url})
    call(gw, 'PUT', '/services/one/routes/one', {'paths': ['/one']})
    assert call(gw, 'POST', '/routes/one/plugins', {'name': 'jwt'})[0] == 201
    call(gw, 'PUT', '/consumers/jo', {})
    assert call(gw, 'POST', '/consumers/jo/jwt', secret_of('ES256'))[0] == 201
    good = token(SIGNERS['ES256'], {'iss': 'ES256'}, alg='ES256')
    wait_for(lambda: gw.get('/one', headers=[('Authorization', f'Bearer {good}')]).status == 200,
             'the token to be known')
    bad = {'algorithm': 'RS256', 'rsa_public_key': 'no key'}
    status, answer = call(gw, 'POST', '/consumers/jo/jwt', bad)
    assert status == 400 and answer['fields']['rsa_public_key'] == 'invalid key'

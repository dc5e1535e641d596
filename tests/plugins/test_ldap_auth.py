# SPDX-License-Identifier: Apache-2.0
"""ldap-auth asks a real directory: in clear, after StartTLS and over TLS, and whom it believes;
what it remembers; and servers that are away, slow, or no directory at all."""
import base64
import socket
import threading

import pytest

from harness.config import declarative, route, sent, service
from harness.ports import free_port
from harness.slapd import BASE, PEOPLE, Slapd
from harness.waits import wait_for

UNKNOWN = {'message': 'Invalid authentication credentials'}
BROKEN = {'message': 'An unexpected error occurred'}


def shown(user, password, scheme='ldap', name='Authorization'):
    return [(name, f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}")]


def ldap(port, **config):
    return {'name': 'ldap-auth', 'config': {'ldap_host': '127.0.0.1', 'ldap_port': port, 'base_dn': BASE,
                                            'attribute': 'cn', **config}}


@pytest.fixture(scope='module')
def ca(certs):
    return certs.authority()


@pytest.fixture(scope='module')
def directory(certs, ca, tmp_path_factory):
    one = Slapd(tmp_path_factory.mktemp('slapd') / 'one', tls=certs.make('127.0.0.1', by=ca))
    yield one
    one.stop()


@pytest.fixture(scope='module')
def other(certs, ca, tmp_path_factory):
    """Its certificate is for somebody else."""
    one = Slapd(tmp_path_factory.mktemp('slapd') / 'other', tls=certs.make('other.test', by=ca))
    yield one
    one.stop()


@pytest.fixture(scope='module')
def gw(module_gateway, module_origin, directory, other, ca):
    ways = {
        'clear': ldap(directory.port),
        'starttls': ldap(directory.port, start_tls=True),
        'starttls-verified': ldap(directory.port, start_tls=True, verify_ldap_host=True),
        'tls': ldap(directory.tls_port, ldaps=True),
        'tls-verified': ldap(directory.tls_port, ldaps=True, verify_ldap_host=True),
        'other': ldap(other.tls_port, ldaps=True),
        'other-verified': ldap(other.tls_port, ldaps=True, verify_ldap_host=True),
        'other-starttls-verified': ldap(other.port, start_tls=True, verify_ldap_host=True),
        'other-clear': ldap(other.port),
        'forgets': ldap(directory.port, cache_ttl=0, keepalive=0),
        'hides': ldap(directory.port, hide_credentials=True),
        'basic': ldap(directory.port, header_type='basic'),
        'guests': ldap(directory.port, anonymous='guest'),
        'nowhere': ldap(free_port()),
        'nowhere-guests': ldap(free_port(), anonymous='guest'),
    }
    return module_gateway(declarative(service(module_origin(), *(
        {**route(paths=[f'/{name}/']), 'plugins': [plugin]} for name, plugin in ways.items())),
        consumers=[{'username': 'guest'}]),
        conf={'lua_ssl_trusted_certificate': ca.cert_path})


def get(gw, way, user=None, password=None, **more):
    return gw.get(f'/{way}/', headers=shown(user, password, **more) if user else ())


@pytest.mark.parametrize('way', ['clear', 'starttls', 'starttls-verified', 'tls', 'tls-verified', 'forgets'])
def test_the_directory_says_who_may_come_in(gw, way):
    for user, password in PEOPLE.items():
        answer = get(gw, way, user, password)
        assert answer.status == 200, answer
        assert [v.encode('latin-1').decode() for v in sent(answer, 'X-Credential-Identifier')] == [user]
        assert sent(answer, 'X-Consumer-ID') == sent(answer, 'X-Anonymous-Consumer') == []
    for user, password in (('jo', 'Secret'), ('nobody', 'secret'), ('jo', 'x' * 4000)):
        answer = get(gw, way, user, password)
        assert (answer.status, answer.json()) == (401, UNKNOWN)
        assert answer.get('WWW-Authenticate') is None


def test_without_a_header_it_is_asked_for(gw):
    answer = get(gw, 'clear')
    assert (answer.status, answer.json()) == (401, {'message': 'Unauthorized'})
    assert answer.get('WWW-Authenticate') == 'LDAP realm="kong"'
    assert get(gw, 'basic').get('WWW-Authenticate') == 'basic realm="kong"'
    assert get(gw, 'basic', 'jo', 'secret', scheme='BASIC').status == 200
    assert get(gw, 'basic', 'jo', 'secret').status == 401


def test_proxy_authorization_goes_first_and_the_other_is_asked_too(gw):
    good = shown('jo', 'secret', name='Proxy-Authorization')
    assert gw.get('/clear/', headers=[*good, *shown('jo', 'wrong')]).status == 200
    bad = shown('jo', 'wrong', name='Proxy-Authorization')
    assert gw.get('/clear/', headers=[*bad, *shown('jo', 'secret')]).status == 200
    assert gw.get('/clear/', headers=bad).status == 401


def test_a_name_is_one_value_whatever_it_says(gw):
    assert get(gw, 'clear', 'jo,ou=staff', 'of-staff').status == 401
    assert get(gw, 'clear', 'jo,ou=staff', 'comma').status == 200


def test_credentials_are_hidden(gw):
    answer = get(gw, 'hides', 'jo', 'secret')
    assert answer.status == 200 and sent(answer, 'Authorization') == []
    assert sent(get(gw, 'clear', 'jo', 'secret'), 'Authorization') != []


def test_others_may_be_anonymous(gw):
    for headers in (), shown('jo', 'wrong'):
        answer = gw.get('/guests/', headers=headers)
        assert answer.status == 200 and sent(answer, 'X-Consumer-Username') == ['guest']
        assert sent(answer, 'X-Anonymous-Consumer') == ['true']
    answer = get(gw, 'guests', 'jo', 'secret')
    assert sent(answer, 'X-Credential-Identifier') == ['jo'] and sent(answer, 'X-Anonymous-Consumer') == []


def test_a_certificate_for_somebody_else_is_no_good_where_it_matters(gw, other):
    assert get(gw, 'other', 'jo', 'secret').status == 200  # and its connection is kept
    before = other.count(' BIND ')
    for way in 'other-verified', 'other-starttls-verified':
        answer = get(gw, way, 'jo', 'secret')
        assert (answer.status, answer.json()) == (500, BROKEN)
    assert other.count(' BIND ') == before, 'no password was sent'
    assert get(gw, 'other-clear', 'jo', 'secret').status == 200
    assert 'nobody is let in' in gw.log() and 'secret' not in gw.log()


def test_connections_are_kept_and_answers_remembered(gw, directory):
    def binds(name):
        return directory.count(f'BIND dn="cn={name},{BASE}" method=')
    assert get(gw, 'clear', 'mo', PEOPLE['mo']).status == 200
    accepted, asked = directory.count(' ACCEPT '), binds('mo')
    for _ in range(3):
        assert get(gw, 'clear', 'mo', PEOPLE['mo']).status == 200
        assert get(gw, 'clear', 'somebody', 'new').status == 401
    wait_for(lambda: binds('somebody') == 1, 'slapd to tell of the bind')
    assert directory.count(' ACCEPT ') == accepted and binds('mo') == asked
    for _ in range(3):
        assert get(gw, 'forgets', 'mo', PEOPLE['mo']).status == 200
    wait_for(lambda: binds('mo') == asked + 3, 'slapd to tell of the binds')
    assert directory.count(' ACCEPT ') == accepted + 2, 'one was there, and is not kept'


def test_a_server_that_comes_back_is_asked_again(gw, directory):
    assert get(gw, 'forgets', 'jo', 'secret').status == 200
    assert get(gw, 'clear', 'jo', 'fresh').status == 401
    directory.stop()
    answer = get(gw, 'forgets', 'jo', 'secret')
    assert (answer.status, answer.json()) == (500, BROKEN)
    assert get(gw, 'clear', 'jo', 'unheard').status == 500, 'and that is not remembered'
    directory.start()
    assert get(gw, 'forgets', 'jo', 'secret').status == 200
    assert get(gw, 'clear', 'jo', 'unheard').status == 401
    assert get(gw, 'clear', 'li é', PEOPLE['li é']).status == 200


def test_where_nobody_listens_nobody_comes_in(gw):
    for way in 'nowhere', 'nowhere-guests':
        answer = get(gw, way, 'jo', 'secret')
        assert (answer.status, answer.json()) == (500, BROKEN)
    assert get(gw, 'nowhere-guests').status == 200, 'nobody is asked about a guest'


def test_a_server_that_says_nothing_or_nonsense_lets_nobody_in(gateway, origin, directory):
    busy = b'\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x33\x04\x00\x04\x00'
    said = [b'HTTP/1.1 400 Bad Request\r\n\r\n', busy, b'\x30\x84\x7f\xff\xff\xff', b'\x30\x0c\x02\x01']
    listener = socket.create_server(('127.0.0.1', 0))

    def serve():
        for text in said:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(text)
                if text is said[-1]:
                    client.settimeout(5)
                    client.recv(4096)  # says no more

    server = threading.Thread(target=serve)
    server.start()
    one = gateway(declarative(service(origin(), *(
        {**route(paths=[path]), 'plugins': [plugin]} for path, plugin in (
            ('/bad', ldap(listener.getsockname()[1], timeout=300)),
            ('/slow', ldap(directory.port, timeout=300)))))))
    try:
        for text in said:
            answer = one.get('/bad', headers=shown('jo', 'secret'))
            assert (answer.status, answer.json()) == ((401, UNKNOWN) if text is busy else (500, BROKEN))
        directory.freeze()
        assert one.get('/slow', headers=shown('jo', 'secret')).status == 500
        directory.thaw()
        assert one.get('/slow', headers=shown('jo', 'secret')).status == 200
        assert 'does not speak LDAP' in one.log() and 'timeout' in one.log()
        assert 'secret' not in one.log()
    finally:
        directory.thaw()
        listener.close()
        server.join()

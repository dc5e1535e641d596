# SPDX-License-Identifier: Apache-2.0
"""TLS on both sides: certificates by name, verification where it is asked for."""
import socket
import ssl
import subprocess

import pytest

from harness.client import Client, unverified
from harness.config import declarative, everything_to, route, service


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


@pytest.fixture(scope='module')
def authority(certs):
    return certs.authority('ca')


@pytest.fixture(scope='module')
def named(module_gateway, origin1, certs, authority):
    def entity(pair, *snis):
        return {'cert': pair.cert, 'key': pair.key, 'snis': [{'name': n} for n in snis]}
    return module_gateway(declarative(
        service(origin1, route(paths=['/'])),
        certificates=[
            entity(certs.make('exact.test', by=authority), 'exact.test'),
            entity(certs.make('any.left.test', ['*.left.test'], by=authority), '*.left.test'),
            entity(certs.make('right', ['right.example', 'right.test'], by=authority), 'right.*'),
            entity(certs.make('own.left.test', by=authority), 'own.left.test'),
        ]))


def subject(port, sni=None, **limits):
    """CN of the certificate presented for a name."""
    context = unverified()
    for name, value in limits.items():
        setattr(context, name, value)
    with Client(port, tls=context, sni=sni) as c:
        der = c.sock.getpeercert(binary_form=True)
    text = subprocess.run(['openssl', 'x509', '-noout', '-subject', '-nameopt', 'multiline'],
                          input=ssl.DER_cert_to_PEM_cert(der), capture_output=True, text=True,
                          check=True).stdout
    names = [line.split('=', 1)[1].strip() for line in text.splitlines() if 'commonName' in line]
    return names[0]


@pytest.mark.parametrize('sni,cn', [
    ('exact.test', 'exact.test'), ('EXACT.test', 'exact.test'), ('a.left.test', 'any.left.test'),
    ('own.left.test', 'own.left.test'), ('right.example', 'right'), ('right.test', 'right'),
    ('unknown.test', 'localhost'), ('a.b.left.test', 'localhost'), (None, 'localhost'),
])
def test_the_certificate_for_a_name(named, sni, cn):
    assert subject(named.proxy_tls, sni) == cn


def test_a_verifying_client_is_content(named, authority):
    with Client(named.proxy_tls, tls=authority.client_context(), sni='exact.test') as c:
        assert c.get('/').status == 200


def test_both_kinds_of_default_certificate(named):
    for kind, expect in (('ECDSA', 'id-ecPublicKey'), ('RSA', 'rsaEncryption')):
        context = unverified()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f'ECDHE-{kind}-AES128-GCM-SHA256')
        with Client(named.proxy_tls, tls=context) as c:
            der = c.sock.getpeercert(binary_form=True)
            assert c.get('/').status == 200
        text = subprocess.run(['openssl', 'x509', '-noout', '-text'], capture_output=True,
                              input=ssl.DER_cert_to_PEM_cert(der), text=True, check=True).stdout
        assert f'Public Key Algorithm: {expect}' in text


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_spoken(named, version):
    context = unverified()
    context.minimum_version = context.maximum_version = version
    with Client(named.proxy_tls, tls=context) as c:
        assert c.get('/').status == 200


def test_old_versions_are_refused(named):
    done = subprocess.run(['openssl', 's_client', '-tls1_1', '-cipher', 'ALL@SECLEVEL=0',
                           '-connect', f'127.0.0.1:{named.proxy_tls}'], input='',
                          capture_output=True, text=True)
    assert 'Cipher is (NONE)' in done.stdout


def test_the_modern_suite_has_one_version(module_gateway, origin1):
    gateway = module_gateway(everything_to(origin1), conf={'ssl_cipher_suite': 'modern'})
    assert gateway.get_tls('/').status == 200
    context = unverified()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(gateway.proxy_tls, tls=context)


def test_own_default_certificate(module_gateway, origin1, certs):
    pair = certs.make('own-default.test')
    gateway = module_gateway(everything_to(origin1), conf={
        'ssl_cert': pair.cert_path, 'ssl_cert_key': pair.key_path})
    assert subject(gateway.proxy_tls) == 'own-default.test'


def test_plain_http_on_the_tls_port(named):
    with Client(named.proxy_tls) as c:
        c.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        data = c.read_to_end()
    assert data == b'' or b' 400 ' in data.split(b'\r\n')[0]


def test_sessions_resume(named):
    context = unverified()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Client(named.proxy_tls, tls=context, sni='exact.test') as c:
        assert c.get('/').status == 200
        session = c.sock.session
    raw = socket.create_connection(('127.0.0.1', named.proxy_tls))
    with context.wrap_socket(raw, server_hostname='exact.test', session=session) as s:
        assert s.session_reused


# ---- to the service -----------------------------------------------------------------------


@pytest.fixture(scope='module')
def secure_origin(module_origin, certs, authority):
    pair = certs.make('localhost', ['localhost', '127.0.0.1'], by=authority)
    return module_origin(tls=pair.server_context())


def ca_entity(authority, id_='11111111-1111-4111-8111-111111111111'):
    return {'id': id_, 'cert': authority.cert}


def test_an_https_service(gateway, secure_origin):
    gw = gateway(everything_to(f'https://localhost:{secure_origin.port}'))
    answer = gw.get('/x')
    assert (answer.status, answer.json()['target']) == (200, '/x')
    assert secure_origin.names[-1] == 'localhost'


def test_verification_with_the_right_authority(gateway, secure_origin, authority):
    ca = ca_entity(authority)
    gw = gateway(declarative(
        service(f'https://localhost:{secure_origin.port}', route(paths=['/']), tls_verify=True,
                ca_certificates=[ca['id']]), ca_certificates=[ca]))
    assert gw.get('/').status == 200


def test_verification_with_another_authority(gateway, secure_origin, certs):
    ca = ca_entity(certs.authority('other'))
    gw = gateway(declarative(
        service(f'https://localhost:{secure_origin.port}', route(paths=['/']), tls_verify=True,
                ca_certificates=[ca['id']], retries=0), ca_certificates=[ca]))
    before = len(secure_origin.requests)
    assert gw.get('/').status == 502
    assert len(secure_origin.requests) == before


def test_verification_of_the_name(gateway, origin, certs, authority):
    pair = certs.make('somebody.else', by=authority)
    o = origin(tls=pair.server_context())
    ca = ca_entity(authority)
    gw = gateway(declarative(
        service(f'https://localhost:{o.port}', route(paths=['/']), tls_verify=True,
                ca_certificates=[ca['id']], retries=0), ca_certificates=[ca]))
    assert gw.get('/').status == 502
    assert o.requests == []


def test_verification_without_an_authority_fails(gateway, secure_origin):
    gw = gateway(declarative(service(f'https://localhost:{secure_origin.port}',
                                     route(paths=['/']), tls_verify=True, retries=0)))
    assert gw.get('/').status == 502


def test_a_kept_connection_without_verification_is_not_used_where_it_is_asked_for(
        gateway, secure_origin, certs):
    ca = ca_entity(certs.authority('other'))
    where = f'https://localhost:{secure_origin.port}'
    gw = gateway(declarative(
        service(where, route(paths=['/loose'])),
        service(where, route(paths=['/strict']), tls_verify=True, ca_certificates=[ca['id']],
                retries=0), ca_certificates=[ca]))
    for _ in range(3):
        assert gw.get('/loose').status == 200
        assert gw.get('/strict').status == 502


def test_a_client_certificate_is_presented(gateway, origin, certs, authority):
    server = certs.make('localhost', ['localhost'], by=authority)
    client = certs.make('gateway', by=authority)
    o = origin(tls=server.server_context(client_ca=authority))
    id_ = '22222222-2222-4222-8222-222222222222'
    gw = gateway(declarative(
        service(f'https://localhost:{o.port}', route(paths=['/with']), client_certificate=id_),
        service(f'https://localhost:{o.port}', route(paths=['/without']), retries=0),
        certificates=[{'id': id_, 'cert': client.cert, 'key': client.key}]))
    assert gw.get('/with').status == 200
    assert gw.get('/without').status == 502
    assert gw.get('/with').status == 200


def test_https_to_a_plain_port(gateway, origin):
    o = origin()
    gw = gateway(declarative(service(f'https://localhost:{o.port}', route(paths=['/']), retries=0,
                                     read_timeout=1000, connect_timeout=1000)))
    assert gw.get('/').status in (502, 504)

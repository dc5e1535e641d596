# SPDX-License-Identifier: Apache-2.0
"""TLS of clients: suites and versions by property, sessions, names, thousands of certificates,
and certificates that change while handshakes go on."""
import json
import os
import ssl
import threading
import time

import pytest

from harness.client import Client, unverified
from harness.config import declarative, route, service
from harness.waits import wait_for

ASAN = 'asan' in os.environ.get('GIBBON', '')


@pytest.fixture(scope='module')
def origin1(module_origin):
    return module_origin()


def everything(origin, certificates=()):
    return declarative(service(origin, route(paths=['/'], strip_path=False)), certificates=list(certificates))


def entry(pair, *snis, alt=None, number=None):
    made = {'cert': pair.cert, 'key': pair.key, 'snis': [{'name': n} for n in snis]}
    if alt:
        made.update(cert_alt=alt.cert, key_alt=alt.key)
    if number is not None:
        made['id'] = f'00000000-0000-4000-8000-{number:012d}'
    return made


def context(version=None, ciphers=None):
    c = unverified()
    if version:
        c.minimum_version = c.maximum_version = version
    if ciphers:
        c.set_ciphers(ciphers)
    return c


def shake(gateway, sni=None, c=None, session=None):
    """A handshake and a request; the socket, which is closed."""
    with Client(gateway.proxy_tls) as raw:
        raw.sock = (c or context()).wrap_socket(raw.sock, server_hostname=sni, session=session)
        assert raw.get('/').status == 200
        raw.facts = (raw.sock.version(), raw.sock.cipher()[0], raw.sock.session_reused)
        raw.der, raw.session = raw.sock.getpeercert(True), raw.sock.session
    return raw


def der(pair):
    return ssl.PEM_cert_to_DER_cert(pair.cert)


# ---- suites, versions -----------------------------------------------------------------------------


def test_own_suites(module_gateway, origin1):
    g = module_gateway(everything(origin1), conf={
        'ssl_cipher_suite': 'custom', 'ssl_protocols': 'TLSv1.2',
        'ssl_ciphers': 'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305'})
    assert shake(g).facts[:2] in [('TLSv1.2', f'ECDHE-{k}-CHACHA20-POLY1305') for k in ('RSA', 'ECDSA')]
    for bad in (context(ssl.TLSVersion.TLSv1_3), context(ssl.TLSVersion.TLSv1_2, 'AES128-GCM-SHA256')):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            shake(g, c=bad)


@pytest.mark.parametrize('suite,good,bad', [
    ('modern', [ssl.TLSVersion.TLSv1_3], [ssl.TLSVersion.TLSv1_2]),
    ('intermediate', [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2], []),
    ('fips', [ssl.TLSVersion.TLSv1_2], [])])
def test_suites_by_name(gateway, origin1, suite, good, bad):
    g = gateway(everything(origin1), conf={'ssl_cipher_suite': suite})
    for version in good:
        assert shake(g, c=context(version)).facts[0] == version.name.replace('_', '.')
    for version in bad:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            shake(g, c=context(version))


def test_the_server_s_order_counts_when_it_is_told_to(gateway, origin1):
    conf = {'ssl_cipher_suite': 'custom', 'ssl_protocols': 'TLSv1.2', 'ssl_prefer_server_ciphers': 'on',
            'ssl_ciphers': 'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384:'
                           'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256'}
    g = gateway(everything(origin1), conf=conf)
    mine = context(ciphers='ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384')
    assert shake(g, c=mine).facts[1] == 'ECDHE-RSA-AES256-GCM-SHA384'


# ---- sessions --------------------------------------------------------------------------------------


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(module_gateway, origin1, version):
    g = module_gateway(everything(origin1))
    c = context(version)
    first = shake(g, 'a.test', c)
    assert not first.facts[2]
    assert shake(g, 'a.test', c, first.session).facts[2]


def test_tickets_can_be_off(gateway, origin1):
    g = gateway(everything(origin1), conf={'ssl_session_tickets': 'off'})
    c = context(ssl.TLSVersion.TLSv1_2)
    assert not shake(g, 'a.test', c).session.has_ticket


# ---- names -----------------------------------------------------------------------------------------


def test_which_certificate_a_name_gets(gateway, origin1, certs):
    exact, left, right, both = (certs.make(n) for n in ('e.test', '*.w.test', 'w.*', 'b.test'))
    rsa = certs.make('b.test', kind='rsa')
    g = gateway(everything(origin1, [entry(exact, 'e.w.test'), entry(left, '*.w.test'),
                                     entry(right, 'w.*'), entry(both, 'b.test', alt=rsa)]))
    for name, pair in (('e.w.test', exact), ('x.w.test', left), ('E.W.TEST', exact), ('w.org', right),
                       ('b.test', both)):
        assert shake(g, name).der == der(pair), name
    own = shake(g).der
    assert own not in [der(p) for p in (exact, left, right, both)]
    for name in ('other.test', 'w.test.other', 'x.y.other'):
        assert shake(g, name).der == own
    only_rsa = context(ssl.TLSVersion.TLSv1_2, 'ECDHE-RSA-AES128-GCM-SHA256')
    assert shake(g, 'b.test', only_rsa).der == der(rsa)


def test_thousands_of_certificates_are_read_when_they_are_asked_for(gateway, origin1, certs):
    pair, last = certs.make('many.test'), certs.make('last.test')
    many = [entry(pair, f'n{i}.test', number=i) for i in range(2000)] + [entry(last, 'last.test', number=9999)]
    g = gateway(everything(origin1, many))
    (pid,) = g.workers
    began = time.monotonic()
    assert shake(g, 'last.test').der == der(last)
    assert time.monotonic() - began < 2
    assert shake(g, 'n1999.test').der == der(pair)
    with open(f'/proc/{pid}/statm') as text:
        resident = int(text.read().split()[1]) * 4096
    assert ASAN or resident < 64 << 20, resident


def test_a_broken_certificate_spoils_no_other(gateway, origin1, certs):
    good = certs.make('good.test')
    g = gateway(everything(origin1, [entry(good, 'good.test')]))
    bad = dict(entry(good, 'bad.test'), cert=good.cert.replace('MII', 'MIX', 1))
    answer = g.api('/config', 'POST', headers={'Content-Type': 'application/json'},
                   body=json.dumps(everything(origin1, [bad])).encode())
    assert answer.status == 400
    assert shake(g, 'good.test').der == der(good)


# ---- change ----------------------------------------------------------------------------------------


def test_certificates_change_without_a_failing_handshake(gateway, origin1, certs):
    pairs = [certs.make('turn.test') for _ in range(4)]
    g = gateway(everything(origin1, [entry(pairs[0], 'turn.test', number=1)]),
                conf={'nginx_worker_processes': '2'})
    known, failed, seen, stop = {der(p): i for i, p in enumerate(pairs)}, [], [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                seen.append(known[shake(g, 'turn.test').der])
            except Exception as error:  # noqa: BLE001 - told below
                failed.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for t in threads:
        t.start()
    kept = Client(g.proxy_tls, tls=True, sni='turn.test')
    for i in (1, 2, 3):
        answer = g.api('/config', 'POST', headers={'Content-Type': 'application/json'}, body=json.dumps(
            everything(origin1, [entry(pairs[i], 'turn.test', number=1)])).encode())
        assert answer.status == 201
        assert shake(g, 'turn.test').der == der(pairs[i])  # at once, for who comes from now on
        count = len(seen)
        wait_for(lambda: len(seen) > count + 10 or failed, 'handshakes')  # noqa: B023
        assert kept.get('/').status == 200
    stop.set()
    for t in threads:
        t.join()
    kept.close()
    assert failed == []
    assert {0, 3} <= set(seen)


def test_a_resumed_session_survives_a_change_of_configuration(gateway, origin1, certs):
    pair = certs.make('s.test')
    g = gateway(everything(origin1, [entry(pair, 's.test', number=1)]))
    c = context(ssl.TLSVersion.TLSv1_2)
    first = shake(g, 's.test', c)
    assert g.api('/config', 'POST', headers={'Content-Type': 'application/json'},
                 body=json.dumps(everything(origin1, [entry(pair, 's.test', number=1)])).encode()).status == 201
    assert shake(g, 's.test', c, first.session).facts[2]

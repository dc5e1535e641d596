# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL over TLS and mutual TLS, as kong.conf asks for it (docs/guides/postgresql-tls.md).

Each case is looked at from both sides: what Gibbon says, and what a real server's
pg_stat_ssl and log, or a recording fake server, have to say about it.
"""
import itertools
import os
import shutil
import ssl
import sys

import pytest

from harness.gateway import ROOT
from harness.pg_fake import SSL_REQUEST, FakePostgres
from harness.postgres import Ask, Postgres, ask_once
from harness.waits import wait_for

sys.path.insert(0, os.path.join(ROOT, 'tools'))
from make_pg_certs import make_all  # noqa: E402

SEEN = "query SELECT ssl, version, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
NO_SSL = 'the server does not support SSL connections'


@pytest.fixture(scope='module')
def pki(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp('pki'), user='kong', host='localhost')


@pytest.fixture(scope='module')
def pg(pki):
    server = Postgres()
    for name in os.listdir(pki.directory):
        if name.endswith(('.crt', '.key', '.crl')):
            server.take(pki.path(name))
    server.start()
    server.sql("CREATE ROLE kong LOGIN PASSWORD 'secret'")
    server.sql('CREATE DATABASE kong OWNER kong')
    yield server
    server.end()


@pytest.fixture
def serve(pg):
    """serve(cert='server', chain=False, ...): a server with TLS, as configured."""
    def configure(cert='server', hba=None, ident=None, ca='root.crt', **more):
        pg.configure(hba=hba, ident=ident, ssl='on', ssl_cert_file=f'{cert}.crt',
                     ssl_key_file=f'{cert.split(".")[0]}.key', ssl_ca_file=ca, **more)
        return pg
    return configure


@pytest.fixture
def ask(pg, pki, tmp_path):
    """ask(command, pg_ssl='on', ...): the answer to one command."""
    def once(command=SEEN, env=None, client=None, **conf):
        conf.setdefault('pg_port', pg.port)
        if client:
            conf.setdefault('pg_ssl_cert', pki.path(f'{client}.crt'))
            conf.setdefault('pg_ssl_cert_key', pki.path(f'{client.split(".")[0]}.key'))
        return ask_once(tmp_path, conf, command, env)
    return once


def trusting(pki, name='root'):
    return {'pg_ssl': 'on', 'pg_ssl_verify': 'on',
            'lua_ssl_trusted_certificate': pki.path(f'{name}.crt')}


def refused(answer, *words, hint=None):
    assert 'error' in answer, answer
    for word in words:
        assert word in answer['error'], answer
    assert answer['hint'], answer
    if hint:
        assert hint in answer['hint'], answer


def on(yes):
    return 'on' if yes else 'off'


# ---- the table of the page --------------------------------------------------------------

TABLE = list(itertools.product([False, True], repeat=3))


@pytest.mark.parametrize('use, required, verify', TABLE)
def test_server_without_tls(pg, pki, ask, use, required, verify):
    pg.configure()
    answer = ask(pg_ssl=on(use), pg_ssl_required=on(required), pg_ssl_verify=on(verify),
                 lua_ssl_trusted_certificate=pki.path('root.crt'))
    if use and (required or verify):
        refused(answer, NO_SSL, hint='pg_ssl_required')
    else:
        assert answer['rows'] == [['f', None, None]]


@pytest.mark.parametrize('use, required, verify', TABLE)
@pytest.mark.parametrize('cert', ['server', 'server-other', 'server-wrong', 'server-self'])
def test_server_with_tls(serve, pki, ask, use, required, verify, cert):
    serve(cert)
    answer = ask(pg_ssl=on(use), pg_ssl_required=on(required), pg_ssl_verify=on(verify),
                 lua_ssl_trusted_certificate=pki.path('root.crt'))
    if use and verify and cert in ('server-other', 'server-self'):
        refused(answer, 'certificate verify failed', hint='lua_ssl_trusted_certificate')
    else:
        assert answer['rows'][0][0] == ('t' if use else 'f')


def test_the_probe_says_what_kong_says(pg, ask):
    pg.configure()
    assert ask('probe') == {}
    answer = ask('probe', pg_ssl='on', pg_ssl_required='on')
    assert answer['error'] == ('[PostgreSQL error] failed to retrieve PostgreSQL '
                               f'server_version_num: {NO_SSL}')


@pytest.mark.parametrize('conf, said', [
    ({'pg_ssl': 'on', 'pg_ssl_required': 'on'}, NO_SSL),
    ({'pg_user': 'nobody-known'}, 'role "nobody-known" does not exist'),
    ({'pg_port': '1'}, 'connection refused'),
])
def test_start_refuses_and_names_the_property(pg, gateway, conf, said):
    pg.configure()
    g = gateway(start=False, conf={'database': 'postgres', 'pg_host': '127.0.0.1',
                                   'pg_port': pg.port, **conf})
    done = g.cli('start')
    assert done.returncode == 1
    assert 'Error: [PostgreSQL error] failed to retrieve PostgreSQL server_version_num: ' \
        in done.stderr
    assert said in done.stderr and 'pg_' in done.stderr.split(said)[1]


def test_check_finds_what_is_wrong_with_files_without_connecting(gateway, pki, own):
    folder = own('client.crt', 'client.key')
    os.chmod(folder / 'client.key', 0o644)
    g = gateway(start=False, conf={'database': 'postgres', 'pg_port': '1',
                                   **with_files(folder)})
    done = g.cli('check', g.conf_path, conf=False)
    assert done.returncode == 1
    assert 'has group or world access (mode 0644)' in done.stderr + done.stdout
    assert 'chmod 600' in done.stderr + done.stdout


# ---- nothing in clear -----------------------------------------------------------------------

STRICT = [{'pg_ssl_required': 'on'}, {'pg_ssl_verify': 'on'},
          {'pg_ssl_required': 'on', 'pg_ssl_verify': 'on'}, {'pg_ssl_verify_host': 'on'}]


@pytest.mark.parametrize('conf', STRICT)
@pytest.mark.parametrize('answer', [b'N', b'E' + b'SFATAL\0Mno\0\0', b'X', b''])
def test_nothing_but_the_ssl_request_is_sent_in_clear(pki, ask, conf, answer):
    with FakePostgres(answer) as fake:
        got = ask('query SELECT 1', pg_port=fake.port, pg_ssl='on', pg_password='secret',
                  pg_timeout='400', lua_ssl_trusted_certificate=pki.path('root.crt'), **conf)
        assert 'error' in got
        if answer[:1] in (b'N', b'E'):
            assert NO_SSL in got['error']
        wait_for(lambda: all(h.is_over for h in fake.heard), 'the connections to end')
        assert [h.clear for h in fake.heard] == [SSL_REQUEST] * len(fake.heard)
        assert fake.heard


def test_without_required_an_n_goes_on_in_clear(ask):
    with FakePostgres(b'N') as fake:
        ask('query SELECT 1', pg_port=fake.port, pg_ssl='on', pg_timeout='300')
        wait_for(lambda: all(h.is_over for h in fake.heard), 'the connections to end')
        clear = [h.clear for h in fake.heard]
    assert clear[0] == SSL_REQUEST and b'user\0kong\0' in clear[1]


def test_a_failed_handshake_never_ends_in_clear(serve, ask):
    """libpq's sslmode=prefer would."""
    pg = serve(ssl_min_protocol_version='TLSv1.3')
    before = len(pg.log())
    answer = ask(pg_ssl='on', pg_ssl_version='tlsv1_2')
    refused(answer, hint='pg_ssl_version')
    assert 'connection authorized' not in pg.log()[before:]


def test_bytes_injected_before_the_handshake_are_refused(pki, ask):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path('server.crt'), pki.path('server.key'))
    with FakePostgres(b'S', tls=context, inject=b'R\0\0\0\x08\0\0\0\0') as fake:
        answer = ask('query SELECT 1', pg_port=fake.port, pg_ssl='on', pg_password='secret',
                     pg_timeout='3000')
        assert 'error' in answer
        wait_for(lambda: all(h.is_over for h in fake.heard), 'the connections to end')
        assert [(h.clear[:8], h.secret) for h in fake.heard] == [(SSL_REQUEST, b'')]
        assert b'secret' not in fake.heard[0].clear


# ---- depth ------------------------------------------------------------------------------------

@pytest.mark.parametrize('cert, needs', [('server', 0), ('server-1.chain', 1),
                                         ('server-2.chain', 2)])
@pytest.mark.parametrize('depth', [0, 1, 2])
def test_depth_of_the_chain(serve, pki, ask, cert, needs, depth):
    serve(cert)
    answer = ask(**trusting(pki), lua_ssl_verify_depth=depth)
    if needs <= depth:
        assert answer['rows'][0][0] == 't'
    else:
        refused(answer, 'certificate verify failed: certificate chain too long',
                f'allows {depth} intermediates', hint='lua_ssl_verify_depth')


def test_depth_is_judged_before_the_startup_packet(pki, ask):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path('server-2.chain.crt'), pki.path('server-2.key'))
    for version in ('tlsv1_2', 'tlsv1_3'):
        with FakePostgres(b'S', tls=context) as fake:
            answer = ask('query SELECT 1', pg_port=fake.port, pg_ssl_version=version,
                         **trusting(pki))
            refused(answer, 'certificate verify failed', 'allows 1 intermediates')
            wait_for(lambda: fake.heard[0].is_over, 'the connection to end')
            assert [(h.clear, h.secret) for h in fake.heard] == [(SSL_REQUEST, b'')]


def test_depth_does_not_count_without_verification(serve, ask):
    serve('server-2.chain')
    assert ask(pg_ssl='on', lua_ssl_verify_depth=0)['rows'][0][0] == 't'


# ---- versions ------------------------------------------------------------------------------------

@pytest.mark.parametrize('server', ['TLSv1.2', 'TLSv1.3', None])
@pytest.mark.parametrize('version', [None, 'tlsv1_2', 'tlsv1_3', 'any'])
def test_versions(serve, ask, server, version):
    serve(**({'ssl_min_protocol_version': server, 'ssl_max_protocol_version': server}
             if server else {}))
    answer = ask(pg_ssl='on', pg_ssl_version=version)
    speaks = {'TLSv1.2': {'tlsv1_2', 'any'}, 'TLSv1.3': {'tlsv1_3', 'any'},
              None: {'tlsv1_2', 'tlsv1_3', 'any'}}[server]
    if (version or 'tlsv1_2') in speaks:
        want = {'tlsv1_2': 'TLSv1.2', 'tlsv1_3': 'TLSv1.3', 'any': server or 'TLSv1.3'}
        assert answer['rows'][0][:2] == ['t', want[version or 'tlsv1_2']]
    else:
        refused(answer, 'protocol', hint='pg_ssl_version')


def test_tls_1_1_where_the_policy_has_none(serve, ask):
    serve(ssl_min_protocol_version='TLSv1.1')
    refused(ask(pg_ssl='on', pg_ssl_version='tlsv1_1'), 'unsupported protocol', 'TLS 1.1',
            hint='tlsv1_2')


@pytest.mark.parametrize('version', ['tlsv1_1', 'any'])
def test_tls_1_1_where_the_policy_has_it(serve, ask, tmp_path, version):
    serve(ssl_min_protocol_version='TLSv1.1', ssl_max_protocol_version='TLSv1.1',
          ssl_ciphers='DEFAULT:@SECLEVEL=0')
    policy = tmp_path / 'openssl.cnf'
    policy.write_text('openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n'
                      '[c]\nCipherString = DEFAULT@SECLEVEL=0\n')
    answer = ask(pg_ssl='on', pg_ssl_version=version, env={'OPENSSL_CONF': str(policy)})
    assert answer['rows'][0][:2] == ['t', 'TLSv1.1']


# ---- how the server knows us ----------------------------------------------------------------------

METHODS = [
    # pg_hba's line, client's certificate, password, what the answer says
    ('hostssl all all all cert', 'client', None, None),
    ('hostssl all all all cert', 'client', 'wrong', None),
    ('hostssl all all all cert', None, 'secret', 'connection requires a valid client certificate'),
    ('hostssl all all all cert', 'client-wrong', None,
     'certificate authentication failed for user "kong"'),
    ('hostssl all all all cert map=m', 'client-wrong', None, None),
    ('hostssl all all all trust clientcert=verify-full', 'client', None, None),
    ('hostssl all all all trust clientcert=verify-full', 'client-wrong', None,
     'authentication failed for user "kong"'),
    ('hostssl all all all scram-sha-256 clientcert=verify-ca', 'client-wrong', 'secret', None),
    ('hostssl all all all scram-sha-256 clientcert=verify-ca', None, 'secret',
     'connection requires a valid client certificate'),
    ('hostssl all all all scram-sha-256 clientcert=verify-ca', 'client', 'wrong',
     'password authentication failed for user "kong"'),
    ('hostssl all all all scram-sha-256', None, 'secret', None),
    ('hostssl all all all scram-sha-256', None, 'wrong',
     'password authentication failed for user "kong"'),
    ('hostssl all all all scram-sha-256', None, None, 'no password supplied'),
    ('hostssl all all all password', None, 'secret', None),
    ('hostnossl all all all trust', None, None, 'no pg_hba.conf entry'),
]


@pytest.mark.parametrize('line, client, password, said', METHODS)
@pytest.mark.parametrize('version', ['tlsv1_2', 'tlsv1_3'])
def test_methods(serve, ask, line, client, password, said, version):
    pg = serve(hba=[line], ident=['m somebody kong'])
    before = len(pg.log())
    answer = ask(pg_ssl='on', pg_ssl_required='on', pg_ssl_version=version, client=client,
                 pg_password=password)
    if said:
        refused(answer, said)
    else:
        name = 'somebody' if client == 'client-wrong' else 'kong'
        assert answer['rows'][0][0] == 't'
        assert answer['rows'][0][2] == (f'/CN={name}' if client else None)
        assert 'SSL enabled' in pg.log()[before:]


def test_md5(serve, ask):
    pg = serve(hba=['hostssl all all all md5'])
    pg.sql("SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'older'")
    try:
        assert ask(pg_ssl='on', pg_user='old', pg_password='older')['rows'][0][0] == 't'
    finally:
        pg.sql('DROP ROLE old')


def test_channel_binding_is_used_when_offered(serve, pki, tmp_path):
    """Seen from a man in the middle who has TLS to both sides: SCRAM must not get through."""
    from harness.tls_middle import Middle
    pg = serve(hba=['hostssl all all all scram-sha-256'])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path('server-other.crt'), pki.path('server-other.key'))
    with Middle(pg.port, context) as middle:
        answer = ask_once(tmp_path, {'pg_port': middle.port, 'pg_ssl': 'on',
                                     'pg_password': 'secret'}, SEEN)
    assert b'SCRAM-SHA-256-PLUS' in middle.from_client
    refused(answer, 'channel binding')


def test_a_connection_in_clear_where_tls_is_asked_for(serve, ask):
    serve(hba=['hostssl all all all trust'])
    refused(ask(pg_ssl='off'), 'no pg_hba.conf entry', 'no encryption', hint='pg_ssl')


# ---- certificates, ours and theirs --------------------------------------------------------------------

@pytest.mark.parametrize('version', ['tlsv1_2', 'tlsv1_3'])
@pytest.mark.parametrize('client, said', [
    ('client', None),
    ('client-1.chain', None),
    ('client-1', 'unknown ca'),
    ('client-self', 'unknown ca'),
    ('client-other', 'unknown ca'),
    ('client-revoked', 'certificate revoked'),
    ('client-expired', 'certificate expired'),
])
def test_client_certificates(serve, ask, client, said, version):
    serve(hba=['hostssl all all all cert'], ssl_crl_file='all.crl')
    answer = ask(pg_ssl='on', pg_ssl_version=version, client=client)
    if said:
        refused(answer, said, hint='pg_ssl_cert')
    else:
        assert answer['rows'][0][2] == '/CN=kong'


def test_self_signed_on_both_sides(serve, pki, ask):
    serve('server-self', ca='client-self.crt', hba=['hostssl all all all cert'])
    answer = ask(client='client-self', **trusting(pki, 'server-self'))
    assert answer['rows'][0] == ['t', 'TLSv1.2', '/CN=kong']


@pytest.mark.parametrize('cert, why', [
    ('server-expired', 'certificate has expired'),
    ('server-1', 'unable to get local issuer certificate'),
    ('server-self', 'self-signed certificate'),
])
def test_server_certificates_that_do_not_verify(serve, pki, ask, cert, why):
    serve(cert)
    answers = [ask(**trusting(pki)) for _ in range(3)]
    for answer in answers:
        refused(answer, 'certificate verify failed')
    # A server that answers at once can end the handshake before the reason is seen.
    assert any(f'certificate verify failed: {why}' in str(answer) for answer in answers)
    assert ask(pg_ssl='on')['rows'][0][0] == 't'


def test_a_host_name_is_compared_when_asked(serve, pki, ask):
    serve('server-wrong')
    assert ask(**trusting(pki))['rows'][0][0] == 't'
    refused(ask(**trusting(pki), pg_ssl_verify_host='on'), 'does not match host name',
            hint='pg_ssl_verify_host')
    serve('server')
    assert ask(**trusting(pki), pg_host='localhost', pg_ssl_verify_host='on')['rows'][0][0] == 't'
    refused(ask(**trusting(pki), pg_ssl_verify_host='on'), 'does not match host name')


def test_a_revoked_server_is_refused_when_asked(serve, pki, ask):
    serve('server-revoked')
    assert ask(**trusting(pki))['rows'][0][0] == 't'
    refused(ask(**trusting(pki), pg_ssl_crl=pki.path('root.crl')),
            'certificate verify failed: certificate revoked')
    serve('server')
    assert ask(**trusting(pki), pg_ssl_crl=pki.path('root.crl'))['rows'][0][0] == 't'


@pytest.mark.parametrize('how', ['system and path', 'two paths', 'pem', 'base64'])
def test_ways_to_trust(serve, pki, ask, how):
    import base64
    serve()
    root = pki.read('root.crt')
    given = {'system and path': f'system,{pki.path("root.crt")}',
             'two paths': f'{pki.path("other.crt")}, {pki.path("root.crt")}',
             'base64': base64.b64encode(root.encode()).decode()}.get(how)
    env = {'KONG_LUA_SSL_TRUSTED_CERTIFICATE': root} if how == 'pem' else None
    answer = ask(pg_ssl='on', pg_ssl_verify='on', lua_ssl_trusted_certificate=given, env=env)
    assert answer['rows'][0][0] == 't'


def test_nothing_of_the_environment_or_home_has_a_say(serve, pki, ask, tmp_path):
    serve(hba=['hostssl all all all cert'])
    folder = tmp_path / '.postgresql'
    folder.mkdir()
    for name, to in [('client.crt', 'postgresql.crt'), ('client.key', 'postgresql.key'),
                     ('other.crt', 'root.crt')]:
        shutil.copy(pki.path(name), folder / to)
    env = {'HOME': str(tmp_path), 'PGSSLCERT': pki.path('client.crt'), 'PGSSLMODE': 'disable',
           'PGSSLKEY': pki.path('client.key'), 'PGHOST': '192.0.2.1', 'PGDATABASE': 'postgres',
           'PGSSLROOTCERT': pki.path('other.crt'), 'PGTZ': 'Asia/Tokyo',
           'PGOPTIONS': '-c search_path=nowhere'}
    refused(ask(pg_ssl='on', env=env), 'requires a valid client certificate')
    answer = ask("query SELECT current_database(), current_setting('TimeZone'), "
                 "current_setting('search_path')", env=env, client='client', **trusting(pki))
    assert answer['rows'] == [['kong', 'UTC', '"$user", public']]


# ---- files ------------------------------------------------------------------------------------------------

@pytest.fixture
def own(pki, tmp_path):
    """own('client.key', ...): copies that the test may spoil; their folder."""
    folder = tmp_path / 'own'
    folder.mkdir()

    def copy(*names):
        for name in names:
            shutil.copy(pki.path(name), folder / name)
            os.chmod(folder / name, 0o600 if name.endswith('.key') else 0o644)
        return folder
    return copy


def with_files(folder, cert='client.crt', key='client.key'):
    return {'pg_ssl': 'on', 'pg_ssl_cert': folder / cert, 'pg_ssl_cert_key': folder / key}


def test_the_pages_lines_with_their_quotes(serve, ask, own):
    serve(hba=['hostssl all all all cert'])
    folder = own('client.crt', 'client.key')
    answer = ask(pg_ssl='on', pg_ssl_cert=f"'{folder}/client.crt'",
                 pg_ssl_cert_key=f"'{folder}/client.key'")
    assert answer['rows'][0][2] == '/CN=kong'


@pytest.mark.parametrize('mode', [0o644, 0o604, 0o660, 0o666, 0o640, 0o400, 0o600])
def test_loose_permissions_of_the_key(serve, ask, own, mode):
    serve(hba=['hostssl all all all cert'])
    folder = own('client.crt', 'client.key')
    os.chmod(folder / 'client.key', mode)
    answer = ask(**with_files(folder))
    if mode in (0o400, 0o600) or mode == 0o640 and os.getuid() == 0:
        assert answer['rows'][0][2] == '/CN=kong'
    else:
        refused(answer, 'pg_ssl_cert_key', 'group or world access', f'{mode:04o}', hint='chmod 600')


@pytest.mark.parametrize('spoil, property, said', [
    (lambda d: os.remove(d / 'client.key'), 'pg_ssl_cert_key', 'No such file'),
    (lambda d: os.remove(d / 'client.crt'), 'pg_ssl_cert', 'No such file'),
    (lambda d: os.replace(d / 'client.encrypted.key', d / 'client.key'), 'pg_ssl_cert_key',
     'encrypted'),
    (lambda d: os.replace(d / 'client-wrong.key', d / 'client.key'), 'pg_ssl_cert_key', 'key'),
    (lambda d: (d / 'client.crt').write_text('nothing'), 'pg_ssl_cert', 'client.crt'),
    (lambda d: (d / 'client.key').write_text('nothing'), 'pg_ssl_cert_key', 'not a PEM key'),
    (lambda d: (os.remove(d / 'client.key'), os.mkdir(d / 'client.key')), 'pg_ssl_cert_key',
     'not a regular file'),
])
def test_faults_of_files_are_found_with_the_settings_and_at_each_connection(
        serve, ask, own, tmp_path, spoil, property, said):
    serve(hba=['hostssl all all all cert'])
    folder = own('client.crt', 'client.key', 'client.encrypted.key', 'client-wrong.key')
    with Ask(tmp_path / 'a', {'pg_port': serve().port, **with_files(folder)}) as one:
        assert one(SEEN)['rows'][0][0] == 't'
        spoil(folder)
        after = one(SEEN)
    for answer in (after, ask(**with_files(folder))):
        assert answer['error'].startswith(f'{property}: '), answer
        assert said in answer['error'], answer


def test_a_certificate_without_its_key(ask, pki):
    answer = ask(pg_ssl='on', pg_ssl_cert=pki.path('client.crt'))
    assert answer['error'] == 'pg_ssl_cert_key: must be specified with pg_ssl_cert'


def test_replaced_files_are_used_by_the_next_connection(serve, pki, own, tmp_path):
    pg = serve('server-self', hba=['hostssl all all all cert'])
    folder = own('client-wrong.crt', 'client-wrong.key', 'other.crt')
    conf = {'pg_port': pg.port, **with_files(folder, 'client-wrong.crt', 'client-wrong.key'),
            'pg_ssl_verify': 'on', 'lua_ssl_trusted_certificate': folder / 'other.crt'}
    with Ask(tmp_path / 'a', conf) as ask:
        refused(ask(SEEN), 'certificate verify failed')
        shutil.copy(pki.path('server-self.crt'), folder / 'other.crt')
        refused(ask(SEEN), 'certificate authentication failed for user "kong"')
        shutil.copy(pki.path('client.crt'), folder / 'client-wrong.crt')
        shutil.copy(pki.path('client.key'), folder / 'client-wrong.key')
        assert ask(SEEN)['rows'][0] == ['t', 'TLSv1.2', '/CN=kong']


@pytest.mark.skipif(os.getuid() != 0, reason='needs root')
def test_a_worker_that_gave_up_root_still_has_its_key(serve, pki, own, tmp_path):
    """And the pair that it began with, when it may read only half of a new one."""
    pg = serve(hba=['hostssl all all all cert'])
    folder = own('client.crt', 'client.key')
    for path in [folder, *folder.parents][:-2]:
        os.chmod(path, 0o755)
    conf = {'pg_port': pg.port, **with_files(folder)}
    with Ask(tmp_path / 'a', conf, {'PG_ASK_AS': '65534'}) as ask:
        assert ask(SEEN)['rows'][0][2] == '/CN=kong'
        shutil.copy(pki.path('client-wrong.crt'), folder / 'client.crt')
        shutil.copy(pki.path('client-wrong.key'), folder / 'client.key')
        assert ask(SEEN)['rows'][0][2] == '/CN=kong'
        assert 'reload to use the new pair' in ask.complaints()


def test_a_password_by_reference_is_read_again_when_a_login_fails(serve, pki, tmp_path):
    pg = serve(hba=['hostssl all all all scram-sha-256'])
    conf = {'pg_port': pg.port, 'pg_ssl': 'on', 'pg_password': '{vault://env/db-secret}',
            'pg_user': '{vault://env/db/user}'}
    env = {'DB_SECRET': 'stale', 'DB': '{"user": "nobody"}'}
    with Ask(tmp_path, conf, env) as ask:
        refused(ask(SEEN), 'password authentication failed for user "nobody"')
        ask('setenv DB_SECRET secret')
        ask('setenv DB {"user": "kong"}')
        assert ask(SEEN)['rows'][0][0] == 't'
        assert ask('pool SELECT 1')['rows'] == [['1']]


# ---- the replica ---------------------------------------------------------------------------------------------

def test_the_replica_inherits_what_is_not_said(serve, pki, ask):
    pg = serve(hba=['hostssl all all all cert'])
    conf = {'pg_ro_host': '127.0.0.1', 'pg_port': pg.port, 'client': 'client', **trusting(pki)}
    assert ask(f'ro {SEEN}', **conf)['rows'][0] == ['t', 'TLSv1.2', '/CN=kong']
    assert ask(f'ro {SEEN}', **conf, pg_ro_ssl_version='tlsv1_3')['rows'][0][1] == 'TLSv1.3'
    refused(ask(f'ro {SEEN}', **conf, pg_ro_ssl='off'), 'no encryption', hint='pg_ro_ssl')
    refused(ask(f'ro {SEEN}', **conf, pg_ro_port=1), 'connection refused', hint='pg_ro_port')

# SPDX-License-Identifier: Apache-2.0
"""docs/guides/postgresql-tls.md, executed: its recipes, its server's files, its kong.conf."""
import os
import re
import shutil
import subprocess

import pytest

from harness.gateway import ROOT
from harness.postgres import Postgres, ask_once

GUIDE = os.path.join(ROOT, 'docs', 'guides', 'postgresql-tls.md')
SEEN = 'query SELECT ssl, version, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()'
FENCE = re.compile(r'^```(\w+)\n(.*?)^```$', re.M | re.S)
FILE = re.compile(r'`(kong\.conf|postgresql\.conf|pg_hba\.conf|pg_ident\.conf)`')


class Guide:
    """recipes: shell texts in order; blocks: (file, text) in order; text: the whole."""

    def __init__(self):
        with open(GUIDE) as page:
            self.text = page.read()
        self.recipes, self.blocks = [], []
        for m in FENCE.finditer(self.text):
            if m[1] == 'sh':
                self.recipes.append(m[2])
            elif m[1] == 'ini':
                before = FILE.findall(self.text[:m.start()])
                self.blocks.append((before[-1], m[2]))

    def find(self, file, part):
        found = [text for name, text in self.blocks if name == file and part in text]
        assert len(found) == 1, f'{len(found)} blocks of {file} with {part}'
        return found[0]


def properties(text, folder):
    rows = dict(line.split(' = ', 1) for line in text.splitlines())
    return {n: v.replace('/etc/gibbon/pg', str(folder)) for n, v in rows.items()}


@pytest.fixture(scope='module')
def guide():
    return Guide()


@pytest.fixture(scope='module')
def made(guide, tmp_path_factory):
    """The folder in which all recipes were followed, one after the other."""
    folder = tmp_path_factory.mktemp('recipes')
    for recipe in guide.recipes:
        done = subprocess.run(['bash', '-eu', '-c', recipe], cwd=folder, capture_output=True,
                              text=True)
        assert done.returncode == 0, recipe + done.stderr
    return folder


@pytest.fixture(scope='module')
def pg(made):
    server = Postgres()
    for name in os.listdir(made):
        if name.endswith(('.crt', '.key')):
            server.take(made / name)
    server.start()
    server.sql("CREATE ROLE kong LOGIN PASSWORD 'secret'")
    server.sql('CREATE DATABASE kong OWNER kong')
    yield server
    server.end()


@pytest.fixture
def run(guide, made, pg, tmp_path):
    """run(hba, kong.conf's blocks...): the server as the guide sets it up, and what it sees."""
    def configured(hba, *parts, ident=None, server=None, **more):
        tls = {n: v.strip("'") for n, v in
               properties(guide.find('postgresql.conf', 'ssl_cert_file'), made).items()}
        pg.configure(hba=guide.find('pg_hba.conf', hba).splitlines(),
                     ident=ident.splitlines() if ident else None, **{**tls, **(server or {})})
        conf = {'pg_port': pg.port}
        for part in ('database = postgres', *parts):
            conf.update(properties(guide.find('kong.conf', part), made))
        return ask_once(tmp_path, {**conf, **more}, SEEN)
    return configured


def test_encryption_and_verification(run):
    assert run('all all all scram-sha-256\n')['rows'] == [['t', 'TLSv1.2', None]]
    assert run('all all all scram-sha-256\n', 'verify_host')['rows'] == [['t', 'TLSv1.2', None]]


def test_a_server_with_tls_1_3_alone(run):
    only = {'ssl_min_protocol_version': 'TLSv1.3'}
    assert 'protocol version' in run('all all all scram-sha-256\n', server=only)['error']
    assert run('all all all scram-sha-256\n', 'tlsv1_3', server=only)['rows'][0][1] == 'TLSv1.3'


@pytest.mark.parametrize('hba', ['all cert\n', 'clientcert=verify-ca', 'clientcert=verify-full'])
def test_mutual_tls(run, hba):
    assert run(hba, '/client.crt')['rows'] == [['t', 'TLSv1.2', '/CN=kong']]
    assert 'requires a valid client certificate' in run(hba)['error']


def test_a_map_and_an_intermediate(guide, run):
    answer = run('map=gateways', 'gateway.chain.crt',
                 ident=guide.find('pg_ident.conf', 'gateways'))
    assert answer['rows'] == [['t', 'TLSv1.2', '/CN=gateway-7.example.com']]


def test_without_an_authority(guide, made, run):
    trusted = re.search(r'`(lua_ssl_trusted_certificate = \S*server-self.crt)`', guide.text)[1]
    answer = run('all cert\n', '/client.crt',
                 server={'ssl_cert_file': 'server-self.crt', 'ssl_key_file': 'server-self.key',
                         'ssl_ca_file': 'client-self.crt'},
                 pg_ssl_cert=made / 'client-self.crt', pg_ssl_cert_key=made / 'client-self.key',
                 **properties(trusted, made))
    assert answer['rows'] == [['t', 'TLSv1.2', '/CN=kong']]


def test_the_tool_makes_what_the_guide_says(tmp_path):
    tool = os.path.join(ROOT, 'tools', 'make_pg_certs.py')
    subprocess.run([tool, str(tmp_path / 'a')], check=True)
    for name in ('root.crt', 'server.crt', 'client.crt', 'client.key', 'client-revoked.crt'):
        assert (tmp_path / 'a' / name).exists()
    assert shutil.which('openssl')


def test_every_message_of_the_table_is_one_the_program_knows(guide):
    """They stand in the sources, or are OpenSSL's and PostgreSQL's own, which
    tests/test_postgres_tls.py provokes."""
    table = guide.text[guide.text.index('| message |'):]
    said = [part for row in re.findall(r'^\| (`.*?`) \|', table, re.M)
            for part in re.findall(r'`([^`]+)`', row)]
    assert len(said) > 12
    known = ''
    for path in ('src/store/postgres', 'src/settings', 'src/net', 'tests'):
        for folder, _, names in os.walk(os.path.join(ROOT, path)):
            for name in names:
                if name.endswith(('.c', '.py')) and name != os.path.basename(__file__):
                    with open(os.path.join(folder, name)) as source:
                        known += source.read()
    for text in said:
        words = max(re.split(r'"|\.\.\.', text), key=len).strip()
        assert words in known or ' '.join(words.split()[-2:]) in known, text

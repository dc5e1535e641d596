#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make_pg_certs.py - certificates to try PostgreSQL over TLS and mutual TLS with.

    make_pg_certs.py [--user NAME] [--host NAME] [--days N] DIRECTORY

Makes, with the openssl command, in DIRECTORY (NAME.crt and NAME.key each, keys
with mode 0600):

    root            a certification authority       intermediate    one below it
    second          one below intermediate          other           a stranger's root
    server          of --host, by root              client          of --user, by root
    server-1, -2    by intermediate, by second      client-1        by intermediate
    server-self     self-signed                     client-self     self-signed
    server-wrong    by root, of another host        client-wrong    by root, of another user
    server-revoked  by root, revoked                client-revoked  by root, revoked
    server-expired  by root, out of date            client-expired  by root, out of date
    server-other    by other                        client-other    by other

    NAME.chain.crt         NAME.crt and the intermediates above it, for NAME-1 and NAME-2
    client.encrypted.key   client.key under the passphrase "secret"
    root.crl, all.crl      what root revoked; the same and the empty lists of the intermediates

They are for testing: the keys of the authorities lie beside them.
"""
import argparse
import ipaddress
import os
import subprocess

CA = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']


class Maker:
    def __init__(self, directory, days=30):
        self.directory, self.days = str(directory), days
        os.makedirs(self.directory, exist_ok=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def openssl(self, *args):
        done = subprocess.run(['openssl', *args], capture_output=True, text=True,
                              cwd=self.directory)
        if done.returncode:
            raise SystemExit(f'openssl {" ".join(args)}\n{done.stderr}')
        return done.stdout

    def write(self, name, text, mode=0o644):
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(fd, 'w') as out:
            out.write(text)

    def read(self, name):
        with open(self.path(name)) as text:
            return text.read()

    def make(self, name, common_name, by=None, extensions=(), expired=False):
        """name.crt and name.key, signed by the authority `by` or by itself."""
        self.write(f'{name}.key', self.openssl('genpkey', '-algorithm', 'EC', '-pkeyopt',
                                               'ec_paramgen_curve:P-256'), 0o600)
        self.write(f'{name}.cnf', f'[ req ]\ndistinguished_name = dn\nprompt = no\n[ dn ]\n'
                                  f'CN = {common_name}\n[ ext ]\n' + '\n'.join(extensions) + '\n')
        self.openssl('req', '-new', '-config', f'{name}.cnf', '-key', f'{name}.key',
                     '-out', f'{name}.csr')
        signer = ['-cert', f'{by}.crt', '-keyfile', f'{by}.key'] if by else \
            ['-selfsign', '-keyfile', f'{name}.key']
        times = ['-startdate', '20200101000000Z', '-enddate', '20200201000000Z'] if expired else \
            ['-days', str(self.days)]
        self.openssl('ca', '-batch', '-notext', '-config', self.book(by or name), *signer, *times,
                     '-extfile', f'{name}.cnf', '-extensions', 'ext', '-in', f'{name}.csr',
                     '-out', f'{name}.crt')
        os.remove(self.path(f'{name}.csr'))
        os.remove(self.path(f'{name}.cnf'))

    def book(self, authority):
        """The configuration of an authority that keeps books, as `openssl ca` wants it."""
        name = f'{authority}.book'
        if not os.path.exists(self.path(name)):
            os.makedirs(self.path(f'{authority}.issued'), exist_ok=True)
            self.write(f'{authority}.index', '')
            self.write(f'{authority}.index.attr', 'unique_subject = no\n')
            self.write(name, f'''[ ca ]
default_ca = it
[ it ]
dir = {self.directory}
database = $dir/{authority}.index
new_certs_dir = $dir/{authority}.issued
rand_serial = yes
default_md = sha256
default_crl_days = {self.days}
policy = any
[ any ]
commonName = supplied
''')
        return self.path(name)

    def revoke(self, name, by):
        self.openssl('ca', '-config', self.book(by), '-cert', f'{by}.crt', '-keyfile',
                     f'{by}.key', '-revoke', f'{name}.crt')

    def crl(self, by):
        return self.openssl('ca', '-config', self.book(by), '-cert', f'{by}.crt', '-keyfile',
                            f'{by}.key', '-gencrl')


def alt_name(host):
    try:
        ipaddress.ip_address(host)
        return [f'subjectAltName=IP:{host}']
    except ValueError:
        return [f'subjectAltName=DNS:{host}']


def make_all(directory, user='kong', host='localhost', days=30):
    m = Maker(directory, days)
    m.make('root', 'root', extensions=CA)
    m.make('other', 'other', extensions=CA)
    m.make('intermediate', 'intermediate', by='root', extensions=CA)
    m.make('second', 'second', by='intermediate', extensions=CA)

    san = alt_name(host)
    for name, by in [('server', 'root'), ('server-1', 'intermediate'), ('server-2', 'second'),
                     ('server-self', None), ('server-other', 'other'),
                     ('server-revoked', 'root')]:
        m.make(name, host, by, san)
    m.make('server-wrong', 'elsewhere.invalid', 'root', alt_name('elsewhere.invalid'))
    m.make('server-expired', host, 'root', san, expired=True)
    for name, by in [('client', 'root'), ('client-1', 'intermediate'), ('client-self', None),
                     ('client-other', 'other'), ('client-revoked', 'root')]:
        m.make(name, user, by)
    m.make('client-wrong', 'somebody', 'root')
    m.make('client-expired', user, 'root', expired=True)

    for name, above in [('server-1', ['intermediate']), ('server-2', ['second', 'intermediate']),
                        ('client-1', ['intermediate'])]:
        m.write(f'{name}.chain.crt', ''.join(m.read(f'{n}.crt') for n in [name, *above]))
    m.openssl('pkey', '-in', 'client.key', '-aes256', '-passout', 'pass:secret',
              '-out', 'client.encrypted.key')
    os.chmod(m.path('client.encrypted.key'), 0o600)
    for name in ('server-revoked', 'client-revoked'):
        m.revoke(name, 'root')
    m.write('root.crl', m.crl('root'))
    m.write('all.crl', m.read('root.crl') + m.crl('intermediate') + m.crl('second'))
    return m


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--user', default='kong')
    parser.add_argument('--host', default='localhost')
    parser.add_argument('--days', type=int, default=30)
    parser.add_argument('directory')
    given = parser.parse_args()
    make_all(os.path.abspath(given.directory), given.user, given.host, given.days)


if __name__ == '__main__':
    main()

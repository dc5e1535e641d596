# SPDX-License-Identifier: Apache-2.0
"""slapd - Debian's OpenLDAP server, on free ports of 127.0.0.1, with a few people in it.

    directory = Slapd(folder, tls=pair)      .port, .tls_port
"""
import os
import signal
import subprocess

from .client import Client
from .ports import free_port
from .waits import patience, wait_for

BASE = 'ou=people,dc=test'
PEOPLE = {'jo': 'secret', 'jo,ou=staff': 'comma', 'li é': 'pass:word', 'mo': 'x' * 500}

CONFIG = '''
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
argsfile {folder}/args
{tls}
database mdb
suffix dc=test
rootdn cn=root,dc=test
rootpw root
directory {folder}/data
maxsize 10485760
'''


def escape(name):
    return name.replace(',', '\\2c').replace('=', '\\3d')


def entries():
    yield 'dn: dc=test\nobjectClass: organization\nobjectClass: dcObject\no: test\ndc: test\n'
    yield f'dn: {BASE}\nobjectClass: organizationalUnit\nou: people\n'
    yield f'dn: ou=staff,{BASE}\nobjectClass: organizationalUnit\nou: staff\n'
    for name, password in PEOPLE.items():
        yield (f'dn: cn={escape(name)},{BASE}\nobjectClass: person\ncn: {name}\nsn: {name}\n'
               f'userPassword: {password}\n')
    yield (f'dn: cn=jo,ou=staff,{BASE}\nobjectClass: person\ncn: jo\nsn: jo\n'
           'userPassword: of-staff\n')


class Slapd:
    """tls: a Pair that it serves with, at tls_port and after StartTLS."""

    def __init__(self, folder, tls=None):
        self.folder, self.tls = str(folder), tls
        self.port, self.tls_port = free_port(), free_port()
        self.process = None
        os.makedirs(self.folder)
        lines = [f'TLSCertificateFile {tls.cert_path}', f'TLSCertificateKeyFile {tls.key_path}'] if tls else []
        with open(self._path('slapd.conf'), 'w') as out:
            out.write(CONFIG.format(folder=self.folder, tls='\n'.join(lines)))
        self._fill()
        self.start()

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _fill(self):
        os.makedirs(self._path('data'))
        done = subprocess.run(['/usr/sbin/slapadd', '-q', '-f', self._path('slapd.conf')],
                              input='\n'.join(entries()), capture_output=True, text=True,
                              timeout=patience(20))
        assert done.returncode == 0, done.stderr

    def start(self):
        where = f'ldap://127.0.0.1:{self.port}/'
        if self.tls:
            where += f' ldaps://127.0.0.1:{self.tls_port}/'
        with open(self._path('log'), 'ab') as log:
            self.process = subprocess.Popen(
                ['/usr/sbin/slapd', '-d', 'stats', '-f', self._path('slapd.conf'), '-h', where],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.is_ready, 'slapd to answer')
        return self

    def is_ready(self):
        assert self.process.poll() is None, self.log()
        try:
            Client(self.port).close()
        except OSError:
            return False
        return True

    def log(self):
        with open(self._path('log'), errors='replace') as text:
            return text.read()

    def count(self, words):
        return self.log().count(words)

    def freeze(self):
        """It takes connections, for the kernel does, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None

# SPDX-License-Identifier: Apache-2.0
"""certs - certificates for a test run, made with the openssl command.

    ca = certs.authority('ca')
    leaf = certs.make('api.test', ['api.test', '127.0.0.1'], by=ca)
    leaf.cert, leaf.key          PEM texts;  leaf.cert_path, leaf.key_path  their files
"""
import ipaddress
import os
import ssl
import subprocess


class Pair:
    def __init__(self, path):
        self.cert_path, self.key_path = path + '.crt', path + '.key'

    @property
    def cert(self):
        with open(self.cert_path) as text:
            return text.read()

    @property
    def key(self):
        with open(self.key_path) as text:
            return text.read()

    def server_context(self, client_ca=None):
        """For an origin: presents this certificate, notes the name asked for as asked_name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_path, self.key_path)
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca.cert_path)

        def note(sock, name, _context):
            sock.asked_name = name
        context.sni_callback = note
        return context

    def client_context(self):
        """For a client: believes this certificate (or what it signed) and checks the name."""
        return ssl.create_default_context(cafile=self.cert_path)


class Certs:
    def __init__(self, directory):
        self.directory = str(directory)
        self.count = 0

    def _openssl(self, *args, given=None):
        done = subprocess.run(['openssl', *args], input=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _path(self, name):
        self.count += 1
        return os.path.join(self.directory, f'{self.count}-{name.replace("*", "any")}')

    def _key(self, path, kind):
        if kind == 'rsa':
            self._openssl('genrsa', '-out', path, '2048')
        else:
            self._openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path)

    def authority(self, name='ca', by=None):
        return self._make(name, by, 'ec', ['basicConstraints=critical,CA:TRUE',
                                           'keyUsage=critical,keyCertSign,cRLSign'])

    def make(self, name, names=None, by=None, kind='ec'):
        """A leaf for the names (DNS names or addresses); self-signed without `by`."""
        alt = []
        for n in names or [name]:
            try:
                ipaddress.ip_address(n)
                alt.append(f'IP:{n}')
            except ValueError:
                alt.append(f'DNS:{n}')
        return self._make(name, by, kind, [f'subjectAltName={",".join(alt)}'])

    def _make(self, name, by, kind, extensions):
        pair = Pair(self._path(name))
        self._key(pair.key_path, kind)
        request = self._openssl('req', '-new', '-key', pair.key_path, '-subj', f'/CN={name}')
        config = pair.cert_path + '.ext'
        with open(config, 'w') as out:
            out.write('\n'.join(extensions) + '\n')
        signer = ['-CA', by.cert_path, '-CAkey', by.key_path, '-CAcreateserial'] if by else \
            ['-signkey', pair.key_path]
        self._openssl('x509', '-req', *signer, '-days', '30', '-extfile', config,
                      '-out', pair.cert_path, given=request)
        return pair

# SPDX-License-Identifier: Apache-2.0
"""redis - Debian's redis-server, on a free port of 127.0.0.1, with nothing kept on the disk.

    redis = Redis(folder, 'requirepass secret')
    redis.ask('GET', 'key')                  what redis-cli prints
"""
import os
import signal
import subprocess

from .ports import free_port
from .waits import patience, wait_for

CONFIG = '''
bind 127.0.0.1
port {port}
dir {folder}
save ""
appendonly no
daemonize no
logfile {folder}/log
{more}
'''


class Redis:
    """tls: a Pair that it serves with, on a second port; more: lines of its configuration;
    login: what redis-cli needs to be let in."""

    def __init__(self, folder, *more, tls=None, login=()):
        self.folder, self.port, self.login = str(folder), free_port(), list(login)
        self.tls_port = free_port() if tls else None
        self.process, self.is_frozen = None, False
        os.makedirs(self.folder)
        lines = list(more)
        if tls:
            lines += [f'tls-port {self.tls_port}', f'tls-cert-file {tls.cert_path}',
                      f'tls-key-file {tls.key_path}', 'tls-auth-clients no']
        with open(os.path.join(self.folder, 'redis.conf'), 'w') as out:
            out.write(CONFIG.format(port=self.port, folder=self.folder, more='\n'.join(lines)))
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ['redis-server', os.path.join(self.folder, 'redis.conf')],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.ask('PING') == 'PONG', 'Redis to answer')
        return self

    def ask(self, *words, database=0):
        done = subprocess.run(['redis-cli', '--no-auth-warning', '-p', str(self.port),
                               '-n', str(database), *self.login, *map(str, words)],
                              capture_output=True, text=True, timeout=patience(10))
        return done.stdout.strip()

    def keys(self, database=0):
        return sorted(self.ask('KEYS', '*', database=database).split())

    def freeze(self):
        """It takes connections, for the kernel does, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)
        self.is_frozen = False

    def stop(self):
        if self.process is None:
            return
        if self.is_frozen:
            self.thaw()
        self.process.kill()
        self.process.wait()
        self.process = None

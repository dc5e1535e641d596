# SPDX-License-Identifier: Apache-2.0
"""postgres - PostgreSQL clusters of the tests' own, and a program that asks them.

    pg = Postgres().start()                a fresh cluster on a free port of 127.0.0.1
    pg.configure(hba=['host all all all trust'], ssl='on')    written, reloaded, in force
    pg.sql('SELECT 1')                      as superuser, over its Unix socket
    Ask(folder, {'pg_port': pg.port}) ('query SELECT 1')      through Gibbon's connections

Servers refuse to run as root: as root they run as the user postgres.  Their folder
is not below pytest's, which is closed to everybody else.
"""
import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

from .gateway import PROGRAM, clean_environment
from .ports import free_port
from .waits import patience, wait_for

ASK = os.path.join(os.path.dirname(PROGRAM), 'tests', 'programs', 'pg_ask')


def bin_folder():
    """Of the newest server that is installed."""
    found = glob.glob('/usr/lib/postgresql/*/bin/initdb')
    assert found, 'PostgreSQL is missing: make deps-test'
    return os.path.dirname(max(found, key=lambda p: float(p.split('/')[4])))


def as_owner(*command):
    return ['runuser', '-u', 'postgres', '--', *command] if os.getuid() == 0 else list(command)


class Postgres:
    def __init__(self, env=None):
        self.folder = tempfile.mkdtemp(prefix='gibbon-pg-')
        self.data, self.port = os.path.join(self.folder, 'data'), free_port()
        self.socket = os.path.join(self.folder, 's')
        self.bin, self.env, self.process, self.generation = bin_folder(), env or {}, None, 0
        self.settings, self.hba, self.ident = {}, ['host all all all trust'], []
        os.makedirs(self.socket)
        self._give(self.folder, self.socket)
        self._run('initdb', '-D', self.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8',
                  '--locale=C', '-N')
        self._write()

    # ---- files ------------------------------------------------------------------

    def _give(self, *paths):
        if os.getuid() == 0:
            owner = pwd.getpwnam('postgres')
            for path in paths:
                os.chown(path, owner.pw_uid, owner.pw_gid)

    def _run(self, program, *args):
        done = subprocess.run(as_owner(os.path.join(self.bin, program), *args),
                              capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def take(self, source, name=None):
        """A copy of a file, its own, with the rights of a key; the path."""
        path = os.path.join(self.data, name or os.path.basename(source))
        shutil.copyfile(source, path)
        os.chmod(path, 0o600)
        self._give(path)
        return path

    def _write(self):
        self.generation += 1
        base = {'port': self.port, 'listen_addresses': '127.0.0.1', 'fsync': 'off',
                'unix_socket_directories': self.socket, 'log_connections': 'on',
                'shared_buffers': '16MB', 'max_connections': 50,
                'gibbon.generation': self.generation}
        with open(os.path.join(self.data, 'postgresql.conf'), 'w') as out:
            out.writelines(f"{n} = '{v}'\n" for n, v in {**base, **self.settings}.items())
        with open(os.path.join(self.data, 'pg_hba.conf'), 'w') as out:
            out.write('\n'.join(['local all postgres trust', 'local replication postgres trust',
                                 *self.hba, '']))
        with open(os.path.join(self.data, 'pg_ident.conf'), 'w') as out:
            out.write('\n'.join([*self.ident, '']))

    # ---- life -------------------------------------------------------------------

    def start(self):
        self.log_file = open(os.path.join(self.folder, 'log'), 'ab')
        self.process = subprocess.Popen(
            as_owner(os.path.join(self.bin, 'postgres'), '-D', self.data),
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file,
            env={**os.environ, **self.env}, cwd=self.folder)
        wait_for(self.is_ready, 'PostgreSQL to be ready', timeout=30)
        return self

    def replica(self):
        """Another server that follows this one, which is running; started."""
        other = Postgres.__new__(Postgres)
        other.__dict__.update(self.__dict__)
        other.folder, other.port = tempfile.mkdtemp(prefix='gibbon-pg-'), free_port()
        other.data, other.socket = (os.path.join(other.folder, n) for n in ('data', 's'))
        os.makedirs(other.socket)
        other._give(other.folder, other.socket)
        other._run('pg_basebackup', '-D', other.data, '-R', '-c', 'fast', '-h', self.socket,
                   '-p', str(self.port), '-U', 'postgres')
        other._write()
        return other.start()

    def is_ready(self):
        assert self.process.poll() is None, self.log()
        return subprocess.run(as_owner('psql', '-qAtX', '-h', self.socket, '-p', str(self.port),
                                       '-U', 'postgres', '-c', 'SELECT 1'),
                              capture_output=True, cwd=self.folder).returncode == 0

    @property
    def master(self):
        with open(os.path.join(self.data, 'postmaster.pid')) as text:
            return int(text.readline())

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast shutdown; SIGQUIT: at once, as after a crash."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.kill(self.master, how)
            self.process.wait(patience(30))
        self.process = None
        self.log_file.close()

    def end(self):
        """It is stopped and nothing of it is left."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def configure(self, hba=None, ident=None, **settings):
        """What is given is in force when this returns; what is not is as at first."""
        self.hba = hba if hba is not None else ['host all all all trust']
        self.ident, self.settings = ident or [], settings
        self._write()
        os.kill(self.master, signal.SIGHUP)
        wait_for(lambda: self.sql('SHOW gibbon.generation') == str(self.generation),
                 'the configuration to be in force')

    # ---- asking -----------------------------------------------------------------

    def sql(self, text, database='postgres'):
        done = subprocess.run(as_owner('psql', '-qAtX', '-v', 'ON_ERROR_STOP=1', '-h', self.socket,
                                       '-p', str(self.port), '-U', 'postgres', '-d', database,
                                       '-c', text),
                              capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def new_database(self, name='kong'):
        """An empty one, owned by a role of the same name that is no superuser; what
        kong.conf says of it."""
        self.sql(f'CREATE ROLE {name} LOGIN')
        self.sql(f'CREATE DATABASE {name} OWNER {name}')
        return {'database': 'postgres', 'pg_host': '127.0.0.1', 'pg_port': str(self.port),
                'pg_user': name, 'pg_database': name}

    def log(self):
        with open(os.path.join(self.folder, 'log'), errors='replace') as text:
            return text.read()


class Ask:
    """pg_ask over a kong.conf: call it with a command, get the answer as a dict."""

    def __init__(self, folder, conf, env=None):
        os.makedirs(folder, exist_ok=True)
        self.conf_path = os.path.join(str(folder), 'kong.conf')
        conf = {'prefix': str(folder), 'database': 'postgres', 'pg_host': '127.0.0.1', **conf}
        with open(self.conf_path, 'w') as out:
            out.writelines(f'{n} = {v}\n' for n, v in conf.items() if v is not None)
        self.err_path = os.path.join(str(folder), 'stderr')
        self.err_file = open(self.err_path, 'wb')
        self.process = subprocess.Popen([ASK, self.conf_path], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=self.err_file,
                                        env=clean_environment(env))

    def __call__(self, command):
        try:
            self.process.stdin.write(command + '\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        assert line, f'pg_ask ended with {self.process.wait()}: {self.complaints()}'
        return json.loads(line)

    def complaints(self):
        with open(self.err_path, errors='replace') as text:
            return text.read()

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:  # it ended before it read what is still in the buffer
            pass
        self.process.stdout.read()
        self.process.stdout.close()
        status = self.process.wait(patience(20))
        self.err_file.close()
        assert 'Sanitizer' not in self.complaints() and 'runtime error' not in self.complaints(), \
            self.complaints()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask_once(folder, conf, command, env=None):
    with Ask(folder, conf, env) as ask:
        return ask(command)

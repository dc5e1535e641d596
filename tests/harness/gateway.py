# SPDX-License-Identifier: Apache-2.0
"""gateway - Gibbon as users start it: a kong.conf, a kong.yml, a prefix.

The program is $GIBBON, or build/gibbon.  It runs in the foreground on free
ports; it is stopped by SIGQUIT and must then end by itself with status 0.
Whatever a sanitizer or an assertion said, in a log or on stderr, fails the test.
"""
import json
import os
import re
import signal
import subprocess

from .client import Client, ask
from .ports import free_port
from .waits import patience, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get('GIBBON', os.path.join(ROOT, 'build', 'gibbon')))
COMPLAINT = re.compile(r'(?:Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:'
                       r'|Assertion .* failed|assertion failed')


def clean_environment(more=None):
    """Ours without any KONG_*, so that a developer's shell does not leak into a test."""
    env = {n: v for n, v in os.environ.items() if not n.startswith('KONG_')}
    env.setdefault('ASAN_OPTIONS', 'abort_on_error=1')
    env.setdefault('UBSAN_OPTIONS', 'print_stacktrace=1')
    env.update(more or {})
    return env


def children(pid):
    try:
        with open(f'/proc/{pid}/task/{pid}/children') as text:
            return [int(p) for p in text.read().split()]
    except FileNotFoundError:
        return []


def is_running(pid):
    """Whether there is such a process; one that ended and waits to be reaped is none."""
    try:
        with open(f'/proc/{pid}/stat') as text:
            return text.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


class Gateway:
    def __init__(self, directory, config=None, conf=None, env=None, admin=True, limits=None):
        self.prefix = str(directory)
        self.conf_path = os.path.join(self.prefix, 'kong.conf')
        self.config_path = os.path.join(self.prefix, 'kong.yml')
        self.proxy, self.proxy_tls, self.admin = free_port(), free_port(), free_port()
        self.env, self.limits, self.process = dict(env or {}), limits, None
        self.may_complain = False
        os.makedirs(self.prefix, exist_ok=True)
        self.conf = {
            'prefix': self.prefix,
            'database': 'off',
            'proxy_listen': f'127.0.0.1:{self.proxy} reuseport backlog=4096, '
                            f'127.0.0.1:{self.proxy_tls} ssl reuseport backlog=4096',
            'admin_listen': f'127.0.0.1:{self.admin}' if admin else 'off',
            'nginx_worker_processes': '1',
            'nginx_daemon': 'off',
            'log_level': 'info',
        }
        if os.environ.get('GIBBON_TEST_IO_BACKEND'):  # the suites run on either
            self.conf['io_backend'] = os.environ['GIBBON_TEST_IO_BACKEND']
        if os.getuid() == 0:
            self.conf['nginx_user'] = 'root root'
        if config is not None:
            self.conf['declarative_config'] = self.config_path
            self.write_config(config)
        self.conf.update(conf or {})
        self.write_conf()

    # ---- files ----------------------------------------------------------------

    def write_conf(self, **changes):
        self.conf.update(changes)
        with open(self.conf_path, 'w') as out:
            out.writelines(f'{n} = {v}\n' for n, v in self.conf.items() if v is not None)

    def write_config(self, config):
        """kong.yml: a text as it is, anything else as JSON, which is YAML."""
        text = config if isinstance(config, str) else json.dumps(config, indent=1)
        with open(self.config_path + '.new', 'w') as out:
            out.write(text)
        os.rename(self.config_path + '.new', self.config_path)

    def log(self, name='error.log'):
        try:
            with open(os.path.join(self.prefix, 'logs', name), errors='replace') as text:
                return text.read()
        except FileNotFoundError:
            return ''

    @property
    def output(self):
        """What it wrote to stdout and stderr in the foreground."""
        try:
            with open(os.path.join(self.prefix, 'output'), errors='replace') as text:
                return text.read()
        except FileNotFoundError:
            return ''

    # ---- life -----------------------------------------------------------------

    def start(self, wait=True):
        with open(os.path.join(self.prefix, 'output'), 'ab') as out:
            self.process = subprocess.Popen(
                [PROGRAM, 'start', '-c', self.conf_path, '-p', self.prefix],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env=clean_environment(self.env), preexec_fn=self.limits)
        if wait:
            self.wait_ready()
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f'the gateway ended with {self.process.returncode}:\n{self.output}')
        if self.conf['admin_listen'] != 'off' and ask(self.admin, '/status').status != 200:
            return False
        if self.conf['proxy_listen'] != 'off':
            Client(self.proxy).close()
        return True

    def wait_ready(self, timeout=10):
        try:
            wait_for(self.is_ready, 'the gateway to be ready', timeout)
        except AssertionError as error:
            raise AssertionError(f'{error}\n{self.output}\n{self.log()}') from None

    def cli(self, *args, conf=True, env=None, timeout=20, given=None):
        """Runs a command of the program; with the configuration file and prefix by default."""
        where = ['-c', self.conf_path, '-p', self.prefix] if conf else []
        return subprocess.run([PROGRAM, *args, *where], capture_output=True, text=True,
                              timeout=patience(timeout), input=given,
                              env=clean_environment({**self.env, **(env or {})}))

    @property
    def master(self):
        """The supervisor's pid, as the pid file says."""
        with open(os.path.join(self.prefix, 'pids', 'nginx.pid')) as text:
            return int(text.read())

    @property
    def workers(self):
        return children(self.master)

    def reload(self):
        done = self.cli('reload')
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self, number=signal.SIGQUIT):
        """Ends it by a signal; it must end by itself, with status 0, without a complaint."""
        if self.process is None:
            return
        status = self.process.poll()
        if status is None:
            self.send_signal(number)
            try:
                status = self.process.wait(patience(15))
            except subprocess.TimeoutExpired:
                status = 'still running 15 s after the signal'
        self.end()
        complaint = None if self.may_complain else self.complaint()
        assert complaint is None, complaint
        assert status == 0 or self.may_complain, f'exit: {status}\n{self.output}\n{self.log()}'

    def end(self):
        """Nothing of it is left, whatever state it is in."""
        if self.process is None:
            return
        pids = [self.process.pid, *children(self.process.pid)]
        self.process.kill()
        self.process.wait()
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process = None

    def complaint(self):
        """What a sanitizer or an assertion said, or None."""
        for text in (self.output, self.log()):
            m = COMPLAINT.search(text)
            if m:
                return text[max(0, m.start() - 200):m.start() + 6000]
        return None

    # ---- asking -----------------------------------------------------------------

    def get(self, target='/', **more):
        return ask(self.proxy, target, **more)

    def get_tls(self, target='/', sni=None, **more):
        return ask(self.proxy_tls, target, tls=more.pop('tls', True), sni=sni, **more)

    def api(self, target='/', method='GET', **more):
        return ask(self.admin, target, method=method, **more)

    def client(self, **more):
        return Client(self.proxy, **more)

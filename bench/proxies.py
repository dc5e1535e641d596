# SPDX-License-Identifier: Apache-2.0
"""proxies - the origin and the three proxies of the comparison, one worker thread each.

All have the same origin, keep connections on both sides, write no access log (unless
asked to) and add the same kind of headers.  Each is started in a folder of its own on free
ports and is stopped by its pid.
"""
import os
import resource
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests'))

from harness.client import ask  # noqa: E402
from harness.gateway import Gateway, children  # noqa: E402
from harness.ports import free_port  # noqa: E402
from harness.waits import wait_for  # noqa: E402

NGINX = '/usr/sbin/nginx'
HAPROXY = '/usr/sbin/haproxy'
CONNECTIONS = 12000
DESCRIPTORS = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)
KEPT = 1000000  # requests on one connection: as good as no limit

NGINX_HEAD = '''
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {dir}/nginx.pid;
error_log {dir}/error.log;
{user}
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    access_log {log};
    keepalive_requests {kept};
    keepalive_timeout 600s;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
'''


class Process:
    """Something that was started for the comparison."""

    name = ''

    def __init__(self, directory):
        self.directory = str(directory)
        os.makedirs(self.directory)
        self.port, self.port_tls = free_port(), free_port()
        self.process = None

    def run(self, *command):
        with open(os.path.join(self.directory, 'output'), 'ab') as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out)
        try:
            wait_for(lambda: ask(self.port, '/1k').status == 200, f'{self.name} to answer')
        except AssertionError:
            self.stop()
            raise

    @property
    def pids(self):
        return [self.process.pid, *children(self.process.pid)]

    @property
    def worker(self):
        return self.pids[-1]

    def cpu_seconds(self):
        """User and system time of all its processes and threads so far."""
        return sum(time.clock_gettime(((~pid) << 3) | 2) for pid in self.pids)

    def memory_kb(self):
        """Resident memory of the worker."""
        with open(f'/proc/{self.worker}/status') as text:
            return next(int(line.split()[1]) for line in text if line.startswith('VmRSS'))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def nginx_head(directory, has_log=False):
    return NGINX_HEAD.format(dir=directory, log=f'{directory}/access.log' if has_log else 'off', connections=CONNECTIONS, kept=KEPT,
                             descriptors=DESCRIPTORS,
                             user='user root;' if os.getuid() == 0 else '')


class Origin(Process):
    """nginx with bodies of fixed sizes."""

    name = 'origin'

    def __init__(self, directory, sizes):
        super().__init__(directory)
        root = os.path.join(self.directory, 'root')
        os.makedirs(root)
        for name, size in sizes.items():
            with open(os.path.join(root, name), 'wb') as out:
                out.write(b'x' * size)
        config = os.path.join(self.directory, 'nginx.conf')
        with open(config, 'w') as out:
            out.write(nginx_head(self.directory) + f'''
    sendfile on;
    tcp_nopush on;
    open_file_cache max=100;
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        root {root};
        default_type application/octet-stream;
        location /post {{ return 200 "thanks"; }}
        location /r/ {{ rewrite ^ /1k break; }}
        location /log {{ return 200; }}
    }}
}}
''')
        self.run(NGINX, '-p', self.directory, '-c', config)


class Nginx(Process):
    name = 'nginx'

    def __init__(self, directory, origin, cert, has_log=False):
        super().__init__(directory)
        config = os.path.join(self.directory, 'nginx.conf')
        with open(config, 'w') as out:
            out.write(nginx_head(self.directory, has_log) + f'''
    upstream origin {{
        server 127.0.0.1:{origin.port};
        keepalive 512;
        keepalive_requests {KEPT};
    }}
    server {{
        listen 127.0.0.1:{self.port} reuseport backlog=4096;
        listen 127.0.0.1:{self.port_tls} ssl http2 reuseport backlog=4096;
        ssl_certificate {cert.cert_path};
        ssl_certificate_key {cert.key_path};
        client_max_body_size 0;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Port $server_port;
        }}
    }}
}}
''')
        self.run(NGINX, '-p', self.directory, '-c', config)


class Haproxy(Process):
    name = 'haproxy'

    def __init__(self, directory, origin, cert):
        super().__init__(directory)
        both = os.path.join(self.directory, 'both.pem')
        with open(both, 'w') as out:
            out.write(cert.cert + cert.key)
        config = os.path.join(self.directory, 'haproxy.cfg')
        with open(config, 'w') as out:
            out.write(f'''
global
    nbthread 1
    maxconn {min(CONNECTIONS, (DESCRIPTORS - 200) // 2)}
defaults
    mode http
    timeout client 600s
    timeout server 60s
    timeout connect 5s
    timeout http-keep-alive 600s
    option http-keep-alive
    http-reuse always
frontend all
    bind 127.0.0.1:{self.port} backlog 4096
    bind 127.0.0.1:{self.port_tls} ssl crt {both} alpn h2,http/1.1
    http-request set-header X-Real-IP %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Port %[dst_port]
    option forwardfor
    default_backend origin
backend origin
    server one 127.0.0.1:{origin.port} maxconn 4000
''')
        self.run(HAPROXY, '-db', '-f', config)


def gateway_config(origin, routes):
    """One catch-all route; with `routes`, so many beside it: /r/0/ ... """
    config = {'_format_version': '3.0', 'services': [{
        'name': 'origin', 'url': f'http://127.0.0.1:{origin.port}', 'routes': [
            {'name': 'all', 'paths': ['/'], 'strip_path': False}]}]}
    config['services'][0]['routes'] += [
        {'name': f'r{i}', 'paths': [f'/r/{i}/'], 'strip_path': False} for i in range(routes)]
    return config


class Gibbon(Process):
    name = 'gibbon'

    def __init__(self, directory, origin, cert, routes=0, has_log=False, config=None,
                 is_stream=False):
        super().__init__(directory)
        self.gateway = Gateway(os.path.join(self.directory, 'prefix'),
                               config or gateway_config(origin, routes), conf={
            'log_level': 'notice',
            'proxy_access_log': 'logs/access.log' if has_log else 'off',
            'ssl_cert': cert.cert_path,
            'ssl_cert_key': cert.key_path,
            'nginx_http_keepalive_requests': str(KEPT),
            'nginx_http_keepalive_timeout': '600s',
            'upstream_keepalive_pool_size': '512',
            'upstream_keepalive_max_requests': '0',
            'nginx_main_worker_rlimit_nofile': str(DESCRIPTORS),
            'nginx_events_worker_connections': str(CONNECTIONS),
        })
        self.port, self.port_tls = self.gateway.proxy, self.gateway.proxy_tls
        listen = self.gateway.conf['proxy_listen']
        if is_stream:  # the same ports
            self.gateway.write_conf(stream_listen=listen, proxy_listen='off', proxy_stream_access_log='off')
        else:
            self.gateway.write_conf(proxy_listen=listen.replace(' ssl ', ' ssl http2 '))
        self.gateway.start(wait=False)
        self.gateway.wait_ready(timeout=60)
        self.process = self.gateway.process

    def stop(self):
        self.gateway.stop()

# SPDX-License-Identifier: Apache-2.0
"""nginx - Debian's nginx as a real origin, on free ports, in a folder of its own."""
import os
import subprocess

from .client import ask
from .ports import free_port
from .waits import patience, wait_for

CONFIG = '''
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {dir}/root;
        default_type application/octet-stream;
        location = /ready {{ return 200 "ready"; }}
{extra}
    }}
}}
'''


class Nginx:
    """extra: lines for the server block; files: name -> bytes below its root."""

    def __init__(self, directory, extra='', files=None):
        self.directory, self.port = str(directory), free_port()
        root = os.path.join(self.directory, 'root')
        os.makedirs(root)
        os.chmod(self.directory, 0o755)
        for name, data in (files or {}).items():
            with open(os.path.join(root, name), 'wb') as out:
                out.write(data)
        config = os.path.join(self.directory, 'nginx.conf')
        with open(config, 'w') as out:
            user = 'user root;' if os.getuid() == 0 else ''
            out.write(user + CONFIG.format(dir=self.directory, port=self.port, extra=extra))
        binary = '/usr/sbin/nginx'
        self.process = subprocess.Popen([binary, '-p', self.directory, '-c', config],
                                        stderr=subprocess.DEVNULL)
        wait_for(lambda: ask(self.port, '/ready').status == 200, 'nginx to answer')

    @property
    def url(self):
        return f'http://127.0.0.1:{self.port}'

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(patience(10))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

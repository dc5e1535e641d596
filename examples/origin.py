#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""origin.py - a small HTTP service to stand behind the example gateway.

    origin.py PORT

Answers every request with what it saw: method, path and headers, as JSON.
"""
import http.server
import json
import sys


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self):
        length = int(self.headers.get('Content-Length') or 0)
        seen = {'method': self.command, 'path': self.path, 'headers': dict(self.headers),
                'body_bytes': len(self.rfile.read(length))}
        body = (json.dumps(seen, indent=2) + '\n').encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_):
        pass


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()
    except KeyboardInterrupt:
        pass

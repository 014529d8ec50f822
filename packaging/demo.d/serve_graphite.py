#!/usr/bin/python3
"""Serves Graphite-web, as the settings module in the environment has it, on 127.0.0.1.

    serve_graphite.py PORT FOLDER

FOLDER holds the settings module. Enough for one person who looks: for more, Debian's graphite-web
comes with a configuration for Apache.
"""

import mimetypes
import pathlib
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

sys.path.insert(0, sys.argv[2])

from graphite.wsgi import application as graphite  # noqa: E402

STATIC = pathlib.Path("/usr/share/graphite-web/static")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if not path.startswith("/static/"):
        return graphite(environ, start_response)
    file = (STATIC / path[len("/static/") :]).resolve()
    if STATIC not in file.parents or not file.is_file():
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such file\n"]
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    start_response("200 OK", [("Content-Type", kind), ("Cache-Control", "max-age=3600")])
    return [file.read_bytes()]


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        pass  # a line for every picture of a page that refreshes itself


make_server("127.0.0.1", int(sys.argv[1]), application, Server, Handler).serve_forever()

"""A WSGI service without a framework."""

import peer

import mmstats.wsgi

ROUTES = ("items", "fail", "stream")


def service(environ, start_response):
    headers = [("Content-Type", "text/plain"), peer.count()]
    route = environ["PATH_INFO"].split("/")[1]
    if route == "fail":
        raise RuntimeError("as the test wants it")
    if route == "stream":
        start_response("200 OK", headers)
        return (b"part " for _ in range(3))
    if route != "items":
        start_response("404 Not Found", headers)
        return [b"nothing"]
    start_response("201 Created" if environ["REQUEST_METHOD"] == "POST" else "200 OK", headers)
    return [b"item"]


def route(environ):
    name = environ["PATH_INFO"].split("/")[1]
    return f"/{name}" if name in ROUTES else None


counted = mmstats.wsgi.Middleware(service, stats=peer.stats, route=route)


def application(environ, start_response):
    peer.wait_at_the_door()
    return counted(environ, start_response)

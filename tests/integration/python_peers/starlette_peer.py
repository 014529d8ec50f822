"""The service in Starlette: items in threads of its pool, all else in the event loop."""

import peer
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

import mmstats.asgi


def item(request):
    name, value = peer.count()
    return PlainTextResponse("item", 201 if request.method == "POST" else 200, {name: value})


async def fail(request):
    peer.count()
    raise RuntimeError("as the test wants it")


async def stream(request):
    async def parts():
        for _ in range(3):
            yield b"part "

    name, value = peer.count()
    return StreamingResponse(parts(), headers={name: value})


async def missing(request, reason):
    name, value = peer.count()
    return PlainTextResponse("nothing", 404, {name: value})


starlette = Starlette(
    exception_handlers={404: missing},
    routes=[
        Route("/items/{number:int}", item, methods=["GET", "POST"]),
        Route("/fail/{number:int}", fail),
        Route("/stream/{number:int}", stream),
    ],
)
starlette.add_middleware(mmstats.asgi.Middleware, stats=peer.stats)


async def application(scope, receive, send):
    if scope["type"] == "http":
        peer.wait_at_the_door()
    await starlette(scope, receive, send)

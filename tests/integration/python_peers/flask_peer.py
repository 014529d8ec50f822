"""The service in Flask, which knows its routes."""

import flask
import peer

import mmstats.wsgi

app = flask.Flask(__name__)
app.wsgi_app = mmstats.wsgi.Middleware(app.wsgi_app, stats=peer.stats)


@app.after_request
def count(response):
    response.headers.add(*peer.count())
    return response


@app.route("/items/<int:number>")
def item(number):
    return "item"


@app.route("/items/<int:number>", methods=["POST"])
def new_item(number):
    return "item", 201


@app.route("/fail/<int:number>")
def fail(number):
    raise RuntimeError("as the test wants it")


@app.route("/stream/<int:number>")
def stream(number):
    return app.response_class("part " for _ in range(3))


def application(environ, start_response):
    peer.wait_at_the_door()
    return app(environ, start_response)

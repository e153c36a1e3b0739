"""The smallest legacy API in Python (WSGI, standard library): it answers with
what it believes about the user, and knows nothing of tokens."""

import base64
import hmac
import json
import os
import ssl
import sys
from socketserver import ThreadingMixIn
from urllib.parse import unquote
from wsgiref.simple_server import WSGIServer, make_server

SECRET = os.environ.get("GATEWAY_SECRET", "")
CERTS = os.environ.get("CERTS", "")


def text(environ, name):
    """The default form. unquote leaves + alone; unquote_plus would make a blank of it."""
    value = environ.get(name)
    return unquote(value, errors="strict") if value else None


def elements(environ, name):
    """join: split first, decode each element then."""
    value = environ.get(name)
    return [unquote(e, errors="strict") for e in value.split(",")] if value else None


def from_json(environ, name):
    value = environ.get(name)
    return json.loads(value) if value else None


def from_base64url(environ, name):
    value = environ.get(name)
    if not value:
        return None
    # The padding is left out; Python wants it.
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode("utf-8")


def utf8(environ, name):
    """The utf8 form. WSGI reads headers as Latin-1 (PEP 3333): take the bytes back."""
    value = environ.get(name)
    return value.encode("latin-1").decode("utf-8") if value else None


def believe(environ):
    verified = environ.get("HTTP_X_USER_VERIFIED")
    return {
        "id": text(environ, "HTTP_X_USER_ID"),
        "name": text(environ, "HTTP_X_USER_NAME"),
        "account": text(environ, "HTTP_X_USER_ACCOUNT"),
        "verified": None if verified is None else verified == "true",
        "roles": elements(environ, "HTTP_X_USER_ROLES"),
        "groups": from_json(environ, "HTTP_X_USER_GROUPS"),
        "profile": from_base64url(environ, "HTTP_X_USER_PROFILE"),
        "city": utf8(environ, "HTTP_X_USER_CITY"),
    }


def from_gateway(environ):
    if CERTS:
        return True  # the handshake asked for the gateway's certificate
    # As bytes: compare_digest raises an error for text beyond ASCII.
    got = environ.get("HTTP_X_GATEWAY_SECRET", "").encode("latin-1")
    return hmac.compare_digest(got, SECRET.encode())


def application(environ, start_response):
    if not from_gateway(environ):
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"not through the gateway\n"]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(believe(environ)).encode()]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def main():
    if not SECRET and not CERTS:
        sys.exit("set GATEWAY_SECRET, or CERTS for a client certificate: without either, "
                 "anybody who reaches this port is whom they say")
    host, _, port = os.environ.get("LISTEN", "127.0.0.1:9000").rpartition(":")  # never 0.0.0.0
    with make_server(host, int(port), application, server_class=Server) as server:
        if CERTS:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(CERTS + "/api.pem", CERTS + "/api.key")
            tls.load_verify_locations(CERTS + "/ca.pem")
            tls.verify_mode = ssl.CERT_REQUIRED
            # The handshake is left to the thread of the connection.
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.serve_forever()


if __name__ == "__main__":
    main()

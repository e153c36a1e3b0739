"""What an API team checks in its CI: for every request that the gateway may send, the
API believes what the token said. No gateway runs, and no server.

    caddy jwtgate contract --config Caddyfile --fixture --format json > fixture.json
    FIXTURE=fixture.json python3 -m unittest examples/backends/python/test_contract.py
"""

import json
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("GATEWAY_SECRET", "only for the tests")

import api  # noqa: E402

# Header of the contract, field of the API, claim.
FIELDS = [
    ("X-User-Id", "id", ["sub"]),
    ("X-User-Name", "name", ["name"]),
    ("X-User-Account", "account", ["account_number"]),
    ("X-User-Verified", "verified", ["email_verified"]),
    ("X-User-Roles", "roles", ["realm_access", "roles"]),
    ("X-User-Groups", "groups", ["groups"]),
    ("X-User-Profile", "profile", ["profile"]),
    ("X-User-City", "city", ["address", "locality"]),
]


def environ(headers):
    """A request as WSGI hands it over: bytes as Latin-1 (PEP 3333)."""
    return {
        "HTTP_" + h["name"].upper().replace("-", "_"): h["value"].encode("utf-8").decode("latin-1")
        for h in headers
    }


def claim(claims, path):
    for name in path:
        claims = claims[name]
    return claims


class Contract(unittest.TestCase):
    def test_believes_the_token(self):
        fixtures = json.loads(Path(os.environ["FIXTURE"]).read_text(encoding="utf-8"))
        sent = [f for f in fixtures if not f["refused"]]
        self.assertGreater(len(sent), 5)
        for f in sent:
            with self.subTest(route=f["route"], case=f["case"]):
                believed = api.believe(environ(f["headers"]))
                for header, field, path in FIELDS:
                    want = None if header in f["missing"] else claim(f["claims"], path)
                    self.assertEqual(believed[field], want, header)

    def test_knows_every_header(self):
        """A header that the gateway learns to send fails here until the API reads it."""
        known = {header for header, _, _ in FIELDS} | {"Host", "Authorization"}
        for f in json.loads(Path(os.environ["FIXTURE"]).read_text(encoding="utf-8")):
            self.assertLessEqual({h["name"] for h in f["headers"]} | set(f["missing"]), known)


if __name__ == "__main__":
    unittest.main()

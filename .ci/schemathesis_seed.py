"""Prepares the databases of a set-up that has provisioned one car, so that schemathesis finds something
behind tokens and ids: links, profiles, open requests, begun onboardings. Writes seeds.json.
    schemathesis_seed.py SITE"""

import base64
import hashlib
import hmac
import json
import re
import sqlite3
import sys
import time
import uuid

COUNT = 400

site = sys.argv[1]
secret = re.search(r'^account_id_secret = "(.*)"', open(f"{site}/cmp.toml").read(), re.M).group(1)
now = int(time.time())
later = (now + 24 * 3600) * 1000


def encoded(value):
    text = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def account_id(sid):
    head = encoded({"alg": "HS256", "typ": "JWT"})
    claims = encoded({"exp": now + 3600, "iat": now, "sid": sid})
    mac = hmac.new(secret.encode(), f"{head}.{claims}".encode(), hashlib.sha256).digest()
    return f"{head}.{claims}.{encoded(mac)}"


def rows(db, table, count, change):
    """Copies the first row of a table, each copy changed."""
    names = [column[1] for column in db.execute(f"PRAGMA table_info({table})")]
    first = dict(zip(names, db.execute(f"SELECT * FROM {table}").fetchone()))
    made = []
    for n in range(count):
        row = {**first, **change(n)}
        marks = ", ".join("?" * len(names))
        db.execute(f"INSERT INTO {table} VALUES ({marks})", [row[name] for name in names])
        made.append(row)
    return first, made


# aid-cmp stores identifiers in 16 bytes, aid-msp as text.
fresh = lambda: uuid.uuid4().bytes
text = lambda value: str(uuid.UUID(bytes=value))
db = sqlite3.connect(f"{site}/state/cmp.sqlite")
link, links = rows(db, "federation", COUNT, lambda n: {"id": fresh(), "token": fresh()})
profile, profiles = rows(
    db, "profile", COUNT, lambda n: {"iccid": f"89445008{n:011d}", "federation": links[n]["id"]}
)
_, requests = rows(
    db,
    "code_request",
    COUNT,
    lambda n: {
        "id": fresh(), "car_request": fresh(), "federation": links[n]["id"], "state": "accepted",
        "correlation": fresh(), "code": None, "iccid": None, "expires_at": later, "delivered_at": None,
    },
)
_, begun = rows(
    db,
    "onboarding",
    COUNT,
    lambda n: {
        "sid": fresh(), "state": "open", "return_state": text(fresh()), "token": None, "expires_at": later,
    },
)
db.commit()
msp = sqlite3.connect(f"{site}/state/msp.sqlite")
_, ends = rows(msp, "onboarding", COUNT, lambda n: {"msp_token": text(fresh()), "sid": text(fresh())})
msp.commit()
seeds = {
    "token": text(link["token"]),
    "iccid": profile["iccid"],
    "eid": profile["eid"],
    "phone": {"phoneNumber": link["phone_number"], "iv": link["iv"]},
    "links": [
        {
            "token": text(l["token"]), "iccid": p["iccid"], "request": text(r["id"]),
            "correlation": text(r["correlation"]),
        }
        for l, p, r in zip(links, profiles, requests)
    ],
    "ends": [e["msp_token"] for e in ends],
    "account_ids": [account_id(text(b["sid"])) for b in begun],
}
with open(f"{site}/seeds.json", "w") as out:
    json.dump(seeds, out)

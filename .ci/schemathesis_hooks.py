"""Hooks of schemathesis: what no schema can say is put into cases that are meant to be taken, so that they
reach what stands behind tokens and ids. Every second case keeps what was generated. Notes each answer."""

import itertools
import json
import os
import uuid

import schemathesis

SEEDS = json.load(open(os.environ["AID_SEEDS"]))
SEEN = os.environ["AID_SEEN"]
turns = {}
links = itertools.cycle(SEEDS["links"])
ends = itertools.cycle(SEEDS["ends"])
account_ids = iter(SEEDS["account_ids"])


def is_uuid(text):
    try:
        return bool(uuid.UUID(str(text)))
    except ValueError:
        return False


@schemathesis.hook
def before_call(context, case, kwargs):
    label = case.operation.label
    mode = getattr(getattr(case.meta, "generation", None), "mode", None)
    if mode is not None and not mode.is_positive:
        heed_other_members(case.body)
        return
    turn = turns[label] = turns.get(label, 0) + 1
    if turn % 2 == 0:
        return
    # Generators like a few ids: an id that was used says nothing about what stands behind it.
    case.headers["CMP-request-id"] = str(uuid.uuid4())
    path, body = case.path_parameters or {}, case.body if isinstance(case.body, dict) else {}
    if "{account_id}" in label:
        fill_account(path, body)
    elif os.environ["AID_PART"] == "cmp":
        fill_cmp(case, label, path, body)
    else:
        fill_msp(case, path, body)


def heed_other_members(body):
    """Beside an error all other members are ignored, whatever they are (R-7.3-4): no schema says that, so
    what is wrong in them is tried without one."""
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        body["error"] = None


def fill_account(path, body):
    path["account_id"] = next(account_ids, path["account_id"])
    body["msp_token"] = str(uuid.uuid4())
    body.update(SEEDS["phone"])
    body["error"] = None
    body["subscriptionType"] = "private"


def fill_cmp(case, label, path, body):
    link = next(links)
    if is_uuid(path.get("msp_token")):
        path["msp_token"] = link["token"]
    if "/subscriptions" in label and "phoneNumber" in body:
        body.update(SEEDS["phone"])
    # Members that an operation does not know may have any name and any type.
    if "/profiles" in label and isinstance(body.get("profiles"), list):
        for profile in body["profiles"]:
            profile["iccid"] = link["iccid"]
        del body["profiles"][1:]
    if "/activation-codes" in label and "activationCodeRequestID" in body:
        case.headers["correlation-id"] = link["correlation"]
        body["activationCodeRequestID"] = link["request"]
        if body.get("error") is None:
            body["activationCode"] = "1$localhost$AAAAA-BBBBB"
            body["profileType"] = "personal"
            body["iccid"] = "8944500805172032953"
            body["swappedIccid"] = None


def fill_msp(case, path, body):
    if is_uuid(path.get("msp_token")):
        # A link that has ended gets no code any more.
        path["msp_token"] = next(ends) if case.method == "DELETE" else SEEDS["token"]
    if "/activation-code-requests" in case.operation.label and "profileType" in body:
        known = {"profileType": "personal", "deviceType": "tcu", "imei": "", "replaceIccid": None}
        body.update(known, activationCodeRequestID=str(uuid.uuid4()))
    for name in ("iccid", "eid"):
        if name in body and case.method == "POST":
            body[name] = SEEDS[name]
    if case.query and "iccid" in case.query:
        case.query["iccid"] = SEEDS["iccid"]


@schemathesis.hook
def after_call(context, case, response):
    with open(SEEN, "a") as out:
        out.write(f"{response.status_code} {case.operation.label}\n")

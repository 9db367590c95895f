"""Webhook endpoints, notices and deliveries through the finance door; and a licensee's own totals."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from core.notices.deliver import Outcome, claim, record
from core.notices.tables import Delivery, WebhookEndpoint
from tests.service.finance.house import BEFORE, Finance
from tests.service.finance.test_acts import WHY, session_of

HOOKS = "/v1/finance/webhook-endpoints"
TOTALS = "/v1/finance/reconciliations"


def test_an_endpoint_is_added_changed_and_given_a_new_secret(finance: Finance, database_url: str) -> None:
    said = {"url": "https://new.example/hooks", "kinds": ["invoice.issued"], "licensee": "north"}
    made = finance.post(HOOKS, said, key="k")
    assert made.status_code == 201, made.text
    first = made.json()
    assert first["secret"].startswith("whsec_") and first["licensee"] == "north" and first["active"]
    assert finance.post(HOOKS, said, key="k").json() == first, "asked twice, added once"
    listed = finance.get(HOOKS)
    assert [each["url"] for each in listed.json()["endpoints"]] == ["https://hooks.guild.example/", said["url"]]
    assert "whsec_" not in listed.text
    path = f"{HOOKS}/{first['id']}"
    changed = finance.post(f"{path}/change", {"kinds": []}).json()
    assert (changed["kinds"], changed["url"]) == ([], said["url"])
    turned = finance.post(f"{path}/rotate-secret").json()
    assert turned["secret"] != first["secret"]
    with session_of(database_url) as session:
        row = session.get_one(WebhookEndpoint, first["id"])
        assert (row.former_secret, row.secret) == (first["secret"], turned["secret"])
        assert row.former_until is not None
    off = finance.post(f"{path}/switch-off", WHY).json()
    assert (off["active"], off["off_reason"]) == (False, "because")
    refused = finance.post(f"{path}/test")
    assert (refused.status_code, refused.json()["code"]) == (409, "endpoint_off")
    assert finance.post(f"{path}/switch-on").json()["active"]
    done = finance.get("/v1/finance/audit", "admin", subject=f"webhook {first['id']}").json()["entries"]
    assert [each["action"].removeprefix("webhook.") for each in done] == [
        *("added", "changed", "secret_changed", "switched_off", "switched_on"),
    ]
    assert "whsec_" not in str(done)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"url": "http://new.example/"}, "bad_url"),
        ({"url": "https://127.0.0.1/"}, "private_address"),
        ({"url": "https://new.example/", "kinds": ["all"]}, "unknown_kind"),
        ({"url": "https://new.example/", "secret": "x"}, "invalid_request"),
    ],
)
def test_an_endpoint_that_nothing_may_be_sent_to_is_refused(finance: Finance, said: dict[str, Any], code: str) -> None:
    answer = finance.post(HOOKS, said)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_test_is_delivered_logged_and_replayed(finance: Finance, database_url: str) -> None:
    path = f"{HOOKS}/{finance.names()['endpoint_id']}"
    finance.post(f"{path}/rotate-secret")
    asked = finance.post(f"{path}/test", None, "clerk")
    assert asked.status_code == 202, asked.text
    delivery = asked.json()["delivery_id"]
    with session_of(database_url) as session:
        session.execute(update(Delivery).where(Delivery.id != delivery).values(state="given_up"))
        parcel = claim(session, timedelta(minutes=5))
        assert parcel is not None and parcel.delivery_id == delivery
        assert parcel.former_secret not in ("", parcel.secret), "both secrets sign for a day"
        record(session, parcel, Outcome("failed", "no", 500, 3))
        session.commit()
        session.expire_all()
        late = session.scalars(select(WebhookEndpoint).filter_by(id=parcel.endpoint_id)).one()
        assert late.former_until is not None
    log = finance.get(f"/v1/finance/notice-deliveries/{delivery}/attempts").json()["attempts"]
    assert [(each["attempt"], each["result"], each["status"]) for each in log] == [(1, "failed", 500)]
    shown = finance.get("/v1/finance/notice-deliveries", state="given_up", limit=1).json()
    assert [each["id"] for each in shown["deliveries"]] == [delivery]
    following = finance.get("/v1/finance/notice-deliveries", limit=1, after=shown["next"]).json()["deliveries"]
    assert [each["to"] for each in following] == ["https://hooks.guild.example/"], "and never another licensor's"
    again = finance.post(f"/v1/finance/notice-deliveries/{delivery}/replay", None, "clerk", key="again")
    assert (again.status_code, again.json()["state"]) == (202, "waiting")
    told = finance.get("/v1/finance/notices", kind="notice.test").json()["notices"]
    assert len(told) == 2 and all(each["said"] for each in told)


def test_a_licensees_own_totals_are_compared_by_model_and_day(finance: Finance) -> None:
    model, day = finance.names()["model"], str(BEFORE.start)
    rows = [{"model": model, "day": day, "image_count": 49_000}]
    said: dict[str, Any] = {"licensee": "north", "period": BEFORE.name, "rows": rows}
    found = finance.post(TOTALS, said, "viewer").json()
    assert found["days"] == [
        {"model": model, "day": day, "theirs": 49_000, "ours": 50_000, "images": 1_000, "share": "2 %"}
    ]
    assert (found["whole"]["images"], found["threshold"], found["verdict"]) == (1_000, "5 %", "within")
    assert finance.post(TOTALS, {**said, "threshold_percent": "1.9"}).json()["verdict"] == "beyond"
    csv = {"licensee": "north", "period": BEFORE.name, "totals": f"day,image_count,model\n{day},50000,{model}\n"}
    assert finance.post(TOTALS, csv).json()["verdict"] == "same"
    refused = {
        "row_given_twice": {**said, "rows": rows * 2},
        "wrong_day": {**said, "rows": [{**rows[0], "day": "2020-01-01"}]},
        "invalid_request": {**said, "totals": "model,day,image_count\n"},
        "bad_decimal": {**said, "threshold_percent": "many"},
    }
    answers = {code: finance.post(TOTALS, body) for code, body in refused.items()}
    assert {answer.status_code for answer in answers.values()} == {422}
    assert [answer.json()["code"] for code, answer in answers.items() if code != "bad_decimal"] == list(refused)[:3]

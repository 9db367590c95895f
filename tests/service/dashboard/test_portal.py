"""The portal over the demo's world: figures are the licensee's own, what it says is kept, files come in, keys work."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.access.tables import LicenseeUser
from core.audit.tables import AuditEntry
from core.database import make_engine
from core.invoicing.tables import Invoice
from core.ledger.balances import open_items
from core.registry.tables import Licensee, Licensor
from core.statements.queries import statements
from core.statements.tables import Certification, Dispute
from core.usage.tables import UsageCorrection, UsageEvent, ZeroReport
from service.cli.demo.world import World
from tests.door import serving, settings_for
from tests.service.dashboard.people import Dashboard, counting_queries
from tests.service.dashboard.portal_samples import live_key_of
from tests.world import built_world, world, world_url  # noqa: F401 - fixtures

GUILD = "open-weights-guild"
READS = (
    "", "/lost", "/invoices", "/statements", "/statements/compare", "/usage", "/usage/days", "/usage/reports",
    "/usage/rejected", "/usage/corrections", "/usage/duplicates", "/reporting", "/agreements", "/settings",
    "/settings/people", "/settings/signing",
)  # fmt: skip


@pytest.fixture
def played(world_url: str) -> Iterator[Dashboard]:  # noqa: F811
    engine = make_engine(world_url)
    try:
        with serving(settings_for(world_url), {}) as door:
            yield Dashboard(door, {}, engine, world_url)
    finally:
        engine.dispose()


def test_every_page_is_about_the_licensee_alone_and_asks_a_fixed_number_of_questions(
    played: Dashboard,
    world: World,  # noqa: F811
) -> None:
    counts: dict[str, list[int]] = {}
    for slug in ("lumenkit", "brightforge", "driftwood"):
        for read in READS:
            with counting_queries() as sent:
                answer = played.get(f"/portal{read}", world.managers[slug])
            assert answer.status_code == 200, (slug, read, answer.text[-500:])
            for other in ("Palette Works", "Tinybrush", "Northlight", "Pixelmill"):
                assert other not in answer.text, (slug, read)
            counts.setdefault(read, []).append(len(sent))
    assert max(counts[""]) <= 32, counts
    assert all(max(each) <= 26 for read, each in counts.items() if read), counts


def test_what_is_to_be_paid_is_what_the_books_hold_open(played: Dashboard, world: World) -> None:  # noqa: F811
    with Session(played.engine) as session:
        licensor = session.scalars(select(Licensor.id).filter_by(slug=GUILD)).one()
        for slug in ("palette-works", "northlight", "lumenkit"):
            licensee = session.scalars(select(Licensee.id).filter_by(slug=slug)).one()
            owed = [each for each in open_items(session, licensor, licensee) if each.book == "receivable"]
            total = sum(each.money.minor for each in owed)
            rows = played.get("/portal/invoices", world.managers[slug], format="csv").text.splitlines()
            left = sum(int(row.split(",")[5].replace(".", "")) for row in rows[1:] if row.split(",")[5])
            assert owed and left == total, (slug, owed, rows)
    shown = played.get("/portal", world.managers["northlight"]).text
    for words in ("invoices are overdue", "without a report", "wait for your word"):
        assert words in shown, words
    assert "1 report never arrived" in played.get("/portal/lost", world.managers["northlight"]).text


def test_an_invoice_is_explained_day_by_day_and_its_documents_are_handed_out(
    played: Dashboard,
    world: World,  # noqa: F811
) -> None:
    lena, mia = world.managers["lumenkit"], world.managers["brightforge"]
    number = _number_of(played, "lumenkit")
    shown = played.get(f"/portal/invoices/{number}", lena)
    assert "How it was worked out" in shown.text and "<iframe" in shown.text
    assert "frame-src 'self'" in shown.headers["content-security-policy"]
    line = played.get(f"/portal/invoices/{number}/lines/1", lena).text
    assert "By the contract as first signed" in line and "Images of this line" in line
    pdf = played.get(f"/portal/invoices/{number}/documents/pdf", lena)
    assert pdf.content.startswith(b"%PDF") and "attachment" in pdf.headers["content-disposition"]
    for path in ("", "/lines/1", "/documents/pdf"):
        assert played.get(f"/portal/invoices/{number}{path}", mia).status_code == 404
    assert played.get(f"/portal/invoices/{number}/lines/99", lena).status_code == 404
    assert played.get(f"/portal/invoices/{number}/documents/zip", lena).status_code == 404


def test_a_statement_is_disputed_or_certified_once_by_a_manager(played: Dashboard, world: World) -> None:  # noqa: F811
    lena = world.managers["lumenkit"]
    with Session(played.engine) as session:
        _viewer_of(session, "lumenkit", world)
        number = next(each.number for each in statements(session, licensee="lumenkit") if each.standing == "open")
    page = f"/portal/statements/{GUILD}/{number}"
    row = played.get(page, lena, format="csv").text.splitlines()[1].split(",")
    day, model = row[0], row[1]
    line = {"model": model, "day": day, "plan": "*", "images": "0", "reason": "a test"}
    for wrong, said in (
        ({"images": "many"}, "write a whole number"),
        ({"day": "2020-01-01"}, "the statement is about"),
        ({"reason": ""}, "this is needed"),
    ):
        answer = played.post(f"{page}/dispute", {**line, **wrong}, lena)
        assert answer.status_code == 422 and said.lower() in answer.text.lower(), said
    viewer = "viewer@lumenkit.example"
    for act in ("dispute", "certify"):
        assert played.post(f"{page}/{act}", line, viewer).status_code == 403
        assert played.post(f"{page}/{act}", line, world.managers["driftwood"]).status_code == 404
    assert played.post(f"{page}/dispute", line, lena, follow_redirects=False).status_code == 303
    refused = played.post(f"{page}/certify", {}, lena)
    assert refused.status_code == 409 and "open disputes" in refused.text
    again = played.post(f"{page}/dispute", line, lena)
    assert again.status_code == 409 and "disputed already" in again.text
    shown = played.get(page, lena).text
    assert "a test" in shown and "Certify this statement?" not in shown
    with Session(played.engine) as session:
        made = session.scalars(select(Dispute).filter_by(number=number, reason="a test")).one()
        assert (made.model, made.day.isoformat(), made.plan, made.actor) == (model, day, None, lena)

    noor = world.managers["northlight"]
    with Session(played.engine) as session:
        number = next(each.number for each in statements(session, licensee="northlight") if each.standing == "open")
    page = f"/portal/statements/{GUILD}/{number}"
    assert played.post(f"{page}/certify", {"note": "as ours"}, noor, follow_redirects=False).status_code == 303
    assert "Certified by" in played.get(page, noor).text
    file = played.get(f"{page}/file", noor).json()
    assert file["statement"]["number"] == number and file["signature"]["algorithm"] == "ed25519"
    with Session(played.engine) as session:
        said = session.scalars(select(Certification).filter_by(number=number, note="as ours")).one()
        assert said.actor == noor
        licensee = session.scalars(select(Licensee.id).filter_by(slug="northlight")).one()
        event = session.scalars(
            select(UsageEvent.event_id)
            .where(UsageEvent.licensee_id == licensee, UsageEvent.occurred_at < datetime.now(UTC) - timedelta(days=45))
            .limit(1)
        ).one()
    first = min(each.number for each in statements(Session(played.engine), licensee="northlight"))
    found = [played.get(f"/portal/statements/{GUILD}/{n}/proof", noor, event_id=event) for n in (first, number)]
    assert any("The way to the root" in each.text for each in found)
    none = played.get(f"{page}/proof", noor, event_id="no-such-event")
    assert none.status_code == 200 and "does not count an event" in none.text


def test_own_totals_are_compared_and_nothing_is_kept(played: Dashboard, world: World) -> None:  # noqa: F811
    mia = world.managers["brightforge"]
    with Session(played.engine) as session:
        found = session.execute(
            text(
                "SELECT m.slug, c.day, sum(c.image_count) FROM daily_counts c JOIN models m ON m.id = c.model_id "
                "JOIN licensees l ON l.id = c.licensee_id WHERE l.slug = 'brightforge' AND c.day >= :first "
                "AND c.day < :last AND c.role IN ('named', 'adapter_own') GROUP BY 1, 2 ORDER BY 2"
            ),
            {"first": world.plan.last.start, "last": world.plan.last.end},
        ).all()
    rows = "model,day,image_count\n" + "\n".join(f"{model},{day},{images}" for model, day, images in found)
    form = {"with": GUILD, "month": world.plan.last.name, "threshold": "5"}
    same = played.post("/portal/statements/compare", {**form, "rows": rows}, mia)
    assert same.status_code == 200 and "Every model and day is the same" in same.text, same.text[-3000:]
    few = "\n".join(rows.splitlines()[:3])
    beyond = played.post("/portal/statements/compare", form, mia, files={"file": ("own.csv", few, "text/csv")})
    assert "differs by more than the threshold" in beyond.text and found[-1][1].strftime("%Y") in beyond.text
    wrong = played.post("/portal/statements/compare", {**form, "rows": "a,b\n1,2"}, mia)
    assert wrong.status_code == 422 and "he columns must be model, day, image_count" in wrong.text


def test_a_file_is_taken_in_once_in_the_name_of_a_key(played: Dashboard, world: World) -> None:  # noqa: F811
    mia = world.managers["brightforge"]
    with Session(played.engine) as session:
        key = live_key_of(session, "brightforge")
        other = live_key_of(session, "lumenkit")
        model = session.scalars(select(UsageEvent.model).join(Licensee, Licensee.id == UsageEvent.licensee_id)
                                .where(Licensee.slug == "brightforge").limit(1)).one()  # fmt: skip
    when = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    rows = f"event_id,model,image_count,occurred_at\nby-hand-1,{model},7,{when}\nby-hand-2,{model},none,{when}\n"

    def send(content: str = rows, name: str = "usage.csv", **fields: str) -> str:
        answer = played.post(
            "/portal/reporting", {"key": key, "import_id": "by-hand", **fields}, mia, follow_redirects=False,
            files={"file": (name, content, "text/csv")},
        )  # fmt: skip
        return f"{answer.status_code} {answer.headers.get('location', '')} {answer.text}"

    assert send().startswith("303 /portal/reporting/by-hand")
    shown = played.get("/portal/reporting/by-hand", mia).text
    assert "image_count must be a whole number" in shown and "done" in shown
    assert "by-hand-2" in played.get("/portal/reporting/by-hand/results", mia).text
    assert send().startswith("303")  # the same file again
    assert send(rows.replace(",7,", ",8,")).startswith("409")
    assert "choose a file" in send("", "").lower()
    assert "the header" in send("a,b\n1,2\n", import_id="other").lower()
    assert "its name has to end in" in send(name="usage.doc").lower()
    assert send(key=other, import_id="foreign").startswith("422")
    assert played.get("/portal/reporting/by-hand", world.managers["lumenkit"]).status_code == 404
    with Session(played.engine) as session:
        events = session.scalars(select(UsageEvent).where(UsageEvent.event_id.like("by-hand-%"))).all()
        assert [(each.event_id, each.image_count) for each in events] == [("by-hand-1", 7)]
        assert mia in session.scalars(select(AuditEntry.actor).filter_by(action="usage.file_sent")).all()

    page = "/portal/usage/events/by-hand-1"
    assert "7 images" in played.get(page, mia).text
    wrong = played.post(page, {"kind": "amend", "images": "7", "reason": "no change"}, mia)
    assert wrong.status_code == 422
    assert played.post(page, {"kind": "amend", "images": "5", "reason": "two failed"}, mia,
                       follow_redirects=False).status_code == 303  # fmt: skip
    assert played.post(page, {"kind": "withdraw", "reason": "x"}, world.managers["lumenkit"]).status_code == 404
    assert "two failed" in played.get("/portal/usage/corrections", mia).text
    with Session(played.engine) as session:
        made = session.scalars(select(UsageCorrection).filter_by(event_id="by-hand-1")).one()
        assert (made.image_count_after, made.actor) == (5, mia)


def test_days_without_images_are_said_to_be_so(played: Dashboard, world: World) -> None:  # noqa: F811
    noor = world.managers["northlight"]
    with Session(played.engine) as session:
        key = live_key_of(session, "northlight")
    before = played.get("/portal/usage/days", noor).text
    assert "say that there was nothing" in before
    day = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    said = {"from": day, "to": day, "key": key, "reason": "a holiday"}
    wrong = played.post("/portal/usage/days", {**said, "to": "2020-01-01"}, noor)
    assert wrong.status_code == 422 and "before the first one" in wrong.text
    future = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    assert "nobody knows yet" in played.post("/portal/usage/days", {**said, "to": future}, noor).text.lower()
    assert played.post("/portal/usage/days", said, noor, follow_redirects=False).status_code == 303
    assert "a holiday" in played.get("/portal/usage/days", noor).text
    with Session(played.engine) as session:
        assert session.scalars(select(ZeroReport).filter_by(reason="a holiday")).one().starts_on.isoformat() == day


def test_keys_and_people_are_the_managers_to_give_and_to_end(played: Dashboard, world: World) -> None:  # noqa: F811
    mia = world.managers["brightforge"]
    shown = played.post("/portal/settings/keys", {"label": "render farm"}, mia).text
    secret = shown.partition('<code class="secret">')[2].partition("<")[0]
    assert secret.startswith("pmk_") and secret not in played.get("/portal/settings", mia).text
    headers = {"Authorization": f"Bearer {secret}"}
    assert played.door.client.get("/v1/agreements", headers=headers).status_code == 200
    public_id = secret.split("_")[1]
    revoke = f"/portal/settings/keys/{public_id}/revoke"
    assert played.post(revoke, {"reason": "x"}, world.managers["lumenkit"]).status_code == 404
    assert played.post(revoke, {"reason": ""}, mia).status_code == 422
    assert played.post(revoke, {"reason": "leaked"}, mia, follow_redirects=False).status_code == 303

    colleague = {"email": "new@brightforge.example", "name": "New One", "role": "viewer"}
    link = played.post("/portal/settings/people", colleague, mia).text
    assert "/welcome/" in link
    assert played.post("/portal/settings/people", colleague, mia).status_code == 409
    with Session(played.engine) as session:
        new = session.scalars(select(LicenseeUser.id).filter_by(email="new@brightforge.example")).one()
        own = session.scalars(select(LicenseeUser.id).filter_by(email=mia)).one()
    person = f"/portal/settings/people/{new}"
    assert played.post(f"{person}/role", {"role": "manager"}, "new@brightforge.example").status_code == 403
    assert played.post(f"{person}/role", {"role": "manager"}, mia, follow_redirects=False).status_code == 303
    assert played.post(f"/portal/settings/people/{own}/deactivate", {}, mia).status_code == 409
    assert played.post(f"{person}/deactivate", {}, world.managers["lumenkit"]).status_code == 404
    assert played.post(f"{person}/deactivate", {}, mia, follow_redirects=False).status_code == 303
    assert played.get("/portal", "new@brightforge.example", follow_redirects=False).status_code == 303
    with Session(played.engine) as session:
        acts = session.scalars(select(AuditEntry.action).filter_by(actor=mia)).all()
    for action in ("meter_key.issued", "meter_key.revoked", "licensee_user.added", "licensee_user.deactivated"):
        assert action in acts, action


def _number_of(played: Dashboard, licensee: str) -> str:
    with Session(played.engine) as session:
        asked = select(Invoice.number).join(Licensee, Licensee.id == Invoice.licensee_id)
        issued = asked.where(Licensee.slug == licensee, Invoice.status == "issued", Invoice.kind == "regular")
        return session.scalars(issued.order_by(Invoice.id).limit(1)).one() or ""


def _viewer_of(session: Session, licensee: str, world: World) -> None:  # noqa: F811
    licensee_id = session.scalars(select(Licensee.id).filter_by(slug=licensee)).one()
    email = f"viewer@{licensee}.example"
    session.add(LicenseeUser(licensee_id=licensee_id, email=email, name="Just Looking", role="viewer"))
    session.commit()

"""`perimage agreements`: read what was agreed, sign it, and change it with a look at the next invoice first."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import app

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy.orm import Session

    from core.agreements.documents import Consent, Party
    from core.invoicing.what_if.amendment_preview import InvoiceDiff

agreements = typer.Typer(help="List, read, sign, amend and end agreements.", no_args_is_help=True)
app.add_typer(agreements, name="agreements")

Slug = Annotated[str, typer.Argument(help="The agreement's slug.", show_default=False)]
Preview = Annotated[bool, typer.Option("--preview", help="Show what it would change on the next invoice; do nothing.")]
Sign = Annotated[bool, typer.Option("--sign", help="Do it: record the signatures.")]
ForLicensor = Annotated[str | None, typer.Option(metavar="NAME", help="Who signs for the licensor.")]
ForLicensee = Annotated[str | None, typer.Option(metavar="NAME", help="Who signs for the licensee.")]
SignedOn = Annotated[str | None, typer.Option(metavar="DATE", help="The day beside the signatures; today if left out.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the agreement.")]
Paper = Annotated[Path | None, typer.Option(help="The file that people signed; its SHA-256 is kept.")]
Month = Annotated[str | None, typer.Option(metavar="MONTH", help="The invoice to look at; the next if left out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@agreements.command("list")
def list_agreements(
    licensee: Annotated[str | None, typer.Argument(help="Only this licensee's.")] = None, as_json: AsJson = False
) -> None:
    """List agreements with their status and dates."""
    from core.agreements.contents import agreement_summaries
    from core.registry.register import ids
    from core.registry.tables import Licensee
    from service.cli.agreements_shown import print_list
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        if licensee is not None:
            ids(session, Licensee, {licensee})  # an unknown licensee is refused, not shown as one without agreements
        rows = agreement_summaries(session, licensee=licensee, limit=100_000)
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        print_list(rows)


@agreements.command()
def show(slug: Slug, as_json: AsJson = False) -> None:
    """Show one agreement: terms in plain words as they hold day by day, signatures, covered days."""
    from core.agreements.contents import agreement_content
    from core.agreements.queries import agreement_named
    from core.invoicing.drafts.unlicensed import unlicensed_usage
    from service.cli.agreements_shown import print_agreement
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        content = agreement_content(session, slug)
        models = {
            model for version in content["versions"] for fee in version["terms"]["fees"] for model in fee["models"]
        }
        content["unlicensed"] = [
            {
                "model": usage.model,
                "first_day": usage.first_day.isoformat(),
                "last_day": usage.last_day.isoformat(),
                "image_count": usage.image_count,
            }
            for usage in unlicensed_usage(session, agreement_named(session, slug).account_id, models)
        ]
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print_agreement(content)


@agreements.command()
def sign(
    slug: Slug,
    *,
    by: Annotated[str, typer.Option(help="licensor or licensee.")],
    name: Annotated[str, typer.Option(help="The person who signs.")],
    signed_on: SignedOn = None,
    paper: Paper = None,
    as_json: AsJson = False,
) -> None:
    """Sign a draft for one side. When both have signed the same text it covers its models."""
    from core.agreements.contents import agreement_content
    from core.agreements.documents import Signature
    from core.agreements.reading import one_of
    from core.agreements.sign import sign_as
    from service.cli.database import open_session
    from service.cli.errors import refusals

    with refusals(), open_session() as session:
        party: Party = "licensor" if one_of("licensor", "licensee")(by, "--by") == "licensor" else "licensee"
        sign_as(session, slug, Signature(party, name, _day(signed_on, "--signed-on")), paper_hash=_hash(paper))
        session.commit()
        content = agreement_content(session, slug)
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    missing = sorted({"licensor", "licensee"} - set(content["signed_by"]))
    rest = f"The {missing[0]} has yet to sign it." if missing else "Both sides have signed: it is in force as agreed."
    typer.echo(f"Signed {slug} for the {party}. {rest}")


@agreements.command()
def amend(
    slug: Slug,
    file: Annotated[Path, typer.Argument(help="The whole terms from that day on, in YAML.", show_default=False)],
    *,
    effective_on: Annotated[str, typer.Option(metavar="DATE", help="The first day on which they hold.")],
    preview: Preview = False,
    sign: Sign = False,
    for_licensor: ForLicensor = None,
    for_licensee: ForLicensee = None,
    signed_on: SignedOn = None,
    reason: Reason = "",
    paper: Paper = None,
    period: Month = None,
    as_json: AsJson = False,
) -> None:
    """Change the terms from a day on, also a past one; nothing that was signed is edited.

    --preview shows the next invoice's lines that would change, adjustments
    of earlier months among them. --sign records both signatures.
    """
    from core.agreements import amend as verbs
    from core.agreements.reading import day
    from core.agreements.terms import parse_terms
    from service.cli.documents import read_document
    from service.cli.errors import refusals

    with refusals():
        terms, first_day = parse_terms(read_document(file)), day(effective_on, "--effective-on")
        _act(
            slug,
            "amend",
            lambda session, consent: verbs.amend(session, slug, first_day, terms, consent),
            (preview, sign, period, as_json),
            lambda: _consent(for_licensor, for_licensee, signed_on, reason, paper),
        )


@agreements.command()
def extend(
    slug: Slug,
    *,
    to: Annotated[str, typer.Option(metavar="DATE", help="The new end: the first day no longer agreed.")],
    preview: Preview = False,
    sign: Sign = False,
    for_licensor: ForLicensor = None,
    for_licensee: ForLicensee = None,
    signed_on: SignedOn = None,
    reason: Reason = "",
    paper: Paper = None,
    period: Month = None,
    as_json: AsJson = False,
) -> None:
    """Let the term end later, under the terms of its last day.

    What was promised over the term stays promised for the term as it was.
    """
    from core.agreements import amend as verbs
    from core.agreements.reading import day
    from service.cli.errors import refusals

    with refusals():
        ends_on = day(to, "--to")
        _act(
            slug,
            "extend",
            lambda session, consent: verbs.extend(session, slug, ends_on, consent),
            (preview, sign, period, as_json),
            lambda: _consent(for_licensor, for_licensee, signed_on, reason, paper),
        )


@agreements.command()
def terminate(
    slug: Slug,
    *,
    on: Annotated[str, typer.Option(metavar="DATE", help="The first day no longer covered.")],
    preview: Preview = False,
    sign: Sign = False,
    for_licensor: ForLicensor = None,
    for_licensee: ForLicensee = None,
    signed_on: SignedOn = None,
    reason: Reason = "",
    paper: Paper = None,
    period: Month = None,
    as_json: AsJson = False,
) -> None:
    """End an agreement before its term is over, by one side or both.

    Promises of the running period are prorated or due in full, as the terms say.
    """
    from core.agreements import amend as verbs
    from core.agreements.reading import day
    from service.cli.errors import refusals

    with refusals():
        last = day(on, "--on")
        _act(
            slug,
            "terminate",
            lambda session, consent: verbs.terminate(session, slug, last, consent),
            (preview, sign, period, as_json),
            lambda: _consent(for_licensor, for_licensee, signed_on, reason, paper),
        )


@agreements.command()
def revoke(
    slug: Slug,
    *,
    on: Annotated[str, typer.Option(metavar="DATE", help="The first day on which usage is unlicensed.")],
    preview: Preview = False,
    sign: Sign = False,
    for_licensor: ForLicensor = None,
    signed_on: SignedOn = None,
    reason: Reason = "",
    paper: Paper = None,
    period: Month = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a licence from a day on. Usage from then on is held, counted, and kept as evidence."""
    from core.agreements import amend as verbs
    from core.agreements.reading import day
    from service.cli.errors import refusals

    with refusals():
        first_day = day(on, "--on")
        _act(
            slug,
            "revoke",
            lambda session, consent: verbs.revoke(session, slug, first_day, consent),
            (preview, sign, period, as_json),
            lambda: _consent(for_licensor, None, signed_on, reason, paper),
        )


def _act(
    slug: str,
    act: str,
    change: "Callable[[Session, Consent], object]",
    how: tuple[bool, bool, str | None, bool],
    consent_of: "Callable[[], Consent]",
) -> None:
    """Shows what a change does to the next invoice, and with --sign then makes it."""
    from core.errors import InvalidInput
    from core.invoicing.what_if.amendment_preview import preview_change
    from core.period import Period
    from core.usage.counts.rollup import roll_up
    from service.cli.agreements_shown import diff_document, print_diff
    from service.cli.database import open_session

    previews, signs, period, as_json = how
    if previews == signs:
        raise InvalidInput("preview_or_sign", "write --preview to see what it changes, or --sign to do it")
    consent = consent_of() if signs else _trial_consent(act)
    with open_session() as session:
        while roll_up(session).more:  # for show only: it is rolled back below
            pass
        month = Period.month(period) if period else None
        diff: InvoiceDiff = preview_change(session, slug, lambda: change(session, consent), month)
        session.rollback()
        if signs:
            change(session, consent)
            session.commit()
    if as_json:
        document: dict[str, Any] = {"agreement": slug, "act": act, "signed": signs, **diff_document(diff)}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    print_diff(slug, diff)
    typer.echo(f"Done: {act} {slug}." if signs else "Nothing was done. With --sign instead of --preview it is.")


def _consent(
    licensor: str | None, licensee: str | None, signed_on: str | None, reason: str, paper: Path | None
) -> "Consent":
    from core.agreements.documents import Consent, Signature

    on = _day(signed_on, "--signed-on")
    named: tuple[tuple[Party, str | None], ...] = (("licensor", licensor), ("licensee", licensee))
    signatures = tuple(Signature(party, name, on) for party, name in named if name is not None)
    return Consent(signatures, reason, _hash(paper))


def _trial_consent(act: str) -> "Consent":
    """Signatures of nobody, for a change that is rolled back."""
    from core.agreements.documents import BOTH, declared_in_catalogue

    parties = BOTH if act != "revoke" else BOTH[:1]
    return declared_in_catalogue(_day(None, ""), "preview", parties=parties)


def _day(text: str | None, option: str) -> "date":
    from datetime import UTC, datetime

    from core.agreements.reading import day

    return datetime.now(UTC).date() if text is None else day(text, option)


def _hash(paper: Path | None) -> str | None:
    from core.errors import NotFound

    if paper is None:
        return None
    try:
        return sha256(paper.read_bytes()).hexdigest()
    except OSError as error:
        raise NotFound("no_file", f"cannot read {paper}: {error.strerror}") from None

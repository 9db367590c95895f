"""The life of an agreement: who signed what and when, early ends, extensions, models taken out.

Signed rows stay as they were, with three exceptions, each only beside a row of `agreement_events` that was written in
the same transaction and says the very same: a later `ends_on` (extended), an early end (terminated, revoked), and cover
that ends at the day of an early end or of an amendment whose terms no longer name the model.

Safe while old code runs: columns are nullable, and no old code writes what is newly demanded but for signing.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "agreement_lifecycle"
down_revision = "guards"
branch_labels = None
depends_on = None

EVENTS = """
GRANT SELECT, INSERT ON agreement_events TO perimage_app;
GRANT SELECT ON agreement_events TO perimage_licensee;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON agreement_events EXECUTE FUNCTION refuse_change();
ALTER TABLE agreement_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE agreement_events FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON agreement_events TO perimage_app USING (true) WITH CHECK (true);
CREATE POLICY licensee ON agreement_events FOR SELECT TO perimage_licensee
    USING (EXISTS (SELECT FROM agreements WHERE agreements.id = agreement_id));
GRANT UPDATE (ended_on, ended_at) ON agreements TO perimage_app;
GRANT UPDATE (days) ON agreement_models TO perimage_app;
"""

# What was signed before signatures were kept was declared in a catalogue.
SIGNED_BEFORE = """
INSERT INTO agreement_events
    (agreement_id, kind, party, signer, signed_on, effective_on, amendment_number, reason, document_hash)
SELECT a.id, 'signed', party, 'declared in the catalogue', a.signed_at::date, a.starts_on, 0, '', t.document_hash
FROM agreements a
JOIN amendments t ON t.agreement_id = a.id AND t.number = 0
CROSS JOIN (VALUES ('licensor'), ('licensee')) AS parties (party)
WHERE a.status <> 'draft'
ORDER BY a.id, party DESC
"""

SIGNED_AGREEMENTS = """
CREATE OR REPLACE FUNCTION keep_signed_agreement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stood jsonb := to_jsonb(OLD) - 'name';
    stands jsonb;
BEGIN
    IF OLD.status = 'draft' THEN
        IF TG_OP = 'UPDATE' AND NEW.status NOT IN ('draft', 'signed') THEN
            RAISE EXCEPTION 'agreement % is a draft: it can only be signed', OLD.slug USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        stands := to_jsonb(NEW) - 'name';
        IF stands = stood THEN
            RETURN NEW;
        END IF;
        IF stands - '{ends_on,ends_at}'::text[] = stood - '{ends_on,ends_at}'::text[]
           AND NEW.status = 'signed' AND NEW.ends_on > OLD.ends_on
           AND abs(extract(epoch FROM NEW.ends_at - NEW.ends_on::timestamp AT TIME ZONE 'UTC')) < 86400
           AND EXISTS (SELECT FROM agreement_events WHERE agreement_id = OLD.id AND recorded_at = now()
                       AND kind = 'extended' AND effective_on = OLD.ends_on AND ends_on = NEW.ends_on) THEN
            RETURN NEW;
        END IF;
        IF stands - '{status,ended_on,ended_at}'::text[] = stood - '{status,ended_on,ended_at}'::text[]
           AND (OLD.status = 'signed' AND NEW.status IN ('terminated', 'revoked')
                OR OLD.status = 'terminated' AND NEW.status = 'revoked' AND NEW.ended_on < OLD.ended_on)
           AND abs(extract(epoch FROM NEW.ended_at - NEW.ended_on::timestamp AT TIME ZONE 'UTC')) < 86400
           AND EXISTS (SELECT FROM agreement_events WHERE agreement_id = OLD.id AND recorded_at = now()
                       AND kind = NEW.status AND effective_on = NEW.ended_on) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'agreement % is signed: change it by an amendment', OLD.slug USING ERRCODE = 'restrict_violation';
END $$;

CREATE OR REPLACE FUNCTION keep_signed_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM agreements WHERE id = OLD.agreement_id AND status <> 'draft') THEN
        RAISE EXCEPTION 'signed terms are never edited: write an amendment' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;

CREATE FUNCTION keep_signed_cover() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM agreements WHERE id = OLD.agreement_id AND status = 'draft') THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'days' = to_jsonb(OLD) - 'days' AND NEW.days <> OLD.days
       AND EXISTS (
           SELECT FROM agreement_events AS e
           WHERE e.agreement_id = OLD.agreement_id AND e.recorded_at = now()
             AND NEW.days = OLD.days * daterange(NULL, e.effective_on)
             AND (e.kind IN ('terminated', 'revoked')
                  OR e.kind = 'amended' AND EXISTS (
                      SELECT FROM amendments AS a JOIN models AS m ON m.id = OLD.model_id
                      WHERE a.agreement_id = e.agreement_id AND a.number = e.amendment_number
                        AND NOT jsonb_path_exists(a.terms, '$.fees[*].models[*] ? (@ == $slug)',
                                                  jsonb_build_object('slug', m.slug))))) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'signed cover only ends early, by an amendment, a termination or a revocation that says so'
        USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER keep_signed ON agreement_models;
CREATE TRIGGER keep_signed BEFORE UPDATE OR DELETE ON agreement_models
    FOR EACH ROW EXECUTE FUNCTION keep_signed_cover();

CREATE FUNCTION demand_signatures() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'draft' AND NOT EXISTS (
        SELECT FROM agreement_events WHERE agreement_id = NEW.id AND kind = 'signed'
        GROUP BY document_hash HAVING count(DISTINCT party) = 2) THEN
        RAISE EXCEPTION 'agreement % is not signed by both sides', NEW.slug USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER signatures AFTER INSERT OR UPDATE OF status ON agreements DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION demand_signatures();
"""


def upgrade() -> None:
    op.create_table(
        "agreement_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("agreement_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("party", sa.String(), nullable=False),
        sa.Column("signer", sa.String(), nullable=False),
        sa.Column("signed_on", sa.Date(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("amendment_number", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("document_hash", sa.String(), nullable=False),
        sa.Column("paper_hash", sa.String(), nullable=True),
        sa.Column("recorded_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('signed', 'amended', 'extended', 'terminated', 'revoked')", name=op.f("ck_agreement_events_kind")
        ),
        sa.CheckConstraint("party IN ('licensor', 'licensee')", name=op.f("ck_agreement_events_party")),
        sa.CheckConstraint("kind <> 'revoked' OR party = 'licensor'", name=op.f("ck_agreement_events_revoker")),
        sa.CheckConstraint("signer <> ''", name=op.f("ck_agreement_events_signer")),
        sa.CheckConstraint(
            "(kind = 'extended') = (ends_on IS NOT NULL) AND (ends_on IS NULL OR ends_on > effective_on)",
            name=op.f("ck_agreement_events_extension"),
        ),
        sa.CheckConstraint(
            "kind NOT IN ('terminated', 'revoked') OR reason <> ''", name=op.f("ck_agreement_events_reason")
        ),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name=op.f("fk_agreement_events_agreement_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement_events")),
    )
    op.create_index(op.f("ix_agreement_events_agreement_id"), "agreement_events", ["agreement_id"], unique=False)
    op.add_column("agreements", sa.Column("ended_on", sa.Date(), nullable=True))
    op.add_column("agreements", sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.drop_constraint(op.f("ck_agreements_status"), "agreements")
    op.drop_constraint(op.f("ck_agreements_signature"), "agreements")
    op.create_check_constraint(
        op.f("ck_agreements_status"), "agreements", "status IN ('draft', 'signed', 'terminated', 'revoked')"
    )
    op.create_check_constraint(
        op.f("ck_agreements_signature"), "agreements", "(status = 'draft') = (signed_at IS NULL)"
    )
    op.create_check_constraint(
        op.f("ck_agreements_early_end"),
        "agreements",
        "(status IN ('terminated', 'revoked')) = (ended_on IS NOT NULL) AND (ended_on IS NULL) = (ended_at IS NULL)"
        " AND (ended_on IS NULL OR ended_on > starts_on AND ended_on < ends_on)",
    )
    op.execute(EVENTS)
    op.execute(SIGNED_BEFORE)
    op.execute(SIGNED_AGREEMENTS)

"""People of licensees, sessions of browsers, invitations, and tries to sign in.

Safe while old code runs: tables of its own, and a trigger that only refuses an address which somebody has already.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "sessions"
down_revision = "runs"
branch_labels = None
depends_on = None

TABLES = ("licensee_users", "person_addresses", "web_sessions", "invitations", "sign_in_tries")
GRANTS = """
GRANT SELECT, INSERT ON licensee_users, web_sessions, invitations, sign_in_tries TO perimage_app;
GRANT UPDATE (name, role, password_hash, active) ON licensee_users TO perimage_app;
GRANT SELECT ON person_addresses TO perimage_app;
GRANT DELETE, UPDATE (seen_at, ended_at, ended_why) ON web_sessions TO perimage_app;
GRANT UPDATE (used_at) ON invitations TO perimage_app;
GRANT DELETE, UPDATE (tried_at) ON sign_in_tries TO perimage_app;
"""
GUARDS = """
CREATE FUNCTION take_address() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
    INSERT INTO person_addresses (email) VALUES (NEW.email);
    RETURN NULL;
END $$;
INSERT INTO person_addresses (email) SELECT email FROM finance_users;
CREATE TRIGGER take_address AFTER INSERT ON finance_users FOR EACH ROW EXECUTE FUNCTION take_address();
CREATE TRIGGER take_address AFTER INSERT ON licensee_users FOR EACH ROW EXECUTE FUNCTION take_address();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON person_addresses EXECUTE FUNCTION refuse_change();

CREATE FUNCTION keep_ended_people() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% are ended, never deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.active AND NOT OLD.active THEN
        RAISE EXCEPTION 'what was ended in % stays so', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stays_ended BEFORE UPDATE OR DELETE ON licensee_users FOR EACH ROW EXECUTE FUNCTION keep_ended_people();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON licensee_users EXECUTE FUNCTION refuse_change();

CREATE FUNCTION keep_ended_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.created_at > now() - interval '7 days' THEN
            RAISE EXCEPTION 'sessions are kept for a week' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.ended_at IS NOT NULL AND NEW IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'an ended session stays ended' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stays_ended BEFORE UPDATE OR DELETE ON web_sessions FOR EACH ROW EXECUTE FUNCTION keep_ended_sessions();

CREATE FUNCTION keep_used_invitations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.used_at IS NOT NULL AND NEW IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'a used invitation stays used' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stays_used BEFORE UPDATE ON invitations FOR EACH ROW EXECUTE FUNCTION keep_used_invitations();
"""


def upgrade() -> None:
    now = sa.text("now()")

    def moment(name: str, *, nullable: bool = False, given: bool = True) -> sa.Column:
        default = None if nullable or not given else now
        return sa.Column(name, postgresql.TIMESTAMP(timezone=True), server_default=default, nullable=nullable)

    def number(name: str = "id") -> sa.Column:
        return sa.Column(name, sa.BigInteger(), sa.Identity(always=False), nullable=False)

    def whose(table: str) -> list[sa.schema.SchemaItem]:
        return [
            sa.Column("finance_user_id", sa.BigInteger(), nullable=True),
            sa.Column("licensee_user_id", sa.BigInteger(), nullable=True),
            sa.CheckConstraint(
                "(finance_user_id IS NULL) <> (licensee_user_id IS NULL)", name=op.f(f"ck_{table}_person")
            ),
            sa.ForeignKeyConstraint(
                ["finance_user_id"], ["finance_users.id"], name=op.f(f"fk_{table}_finance_user_id")
            ),
            sa.ForeignKeyConstraint(
                ["licensee_user_id"], ["licensee_users.id"], name=op.f(f"fk_{table}_licensee_user_id")
            ),
        ]

    op.create_table(
        "licensee_users",
        number(),
        sa.Column("licensee_id", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        moment("created_at"),
        sa.CheckConstraint("role IN ('viewer', 'manager')", name=op.f("ck_licensee_users_role")),
        sa.CheckConstraint(
            "email = lower(email) AND email LIKE '%@%' AND email NOT LIKE '%:%'", name=op.f("ck_licensee_users_email")
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_licensee_users_name")),
        sa.ForeignKeyConstraint(["licensee_id"], ["licensees.id"], name=op.f("fk_licensee_users_licensee_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licensee_users")),
        sa.UniqueConstraint("email", name=op.f("uq_licensee_users_email")),
    )
    op.create_index("ix_licensee_users_licensee", "licensee_users", ["licensee_id", "id"])
    op.create_table(
        "person_addresses",
        sa.Column("email", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("email", name=op.f("pk_person_addresses")),
    )
    op.create_table(
        "web_sessions",
        number(),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("csrf_secret", sa.LargeBinary(), nullable=False),
        sa.Column("browser", sa.String(), nullable=False),
        moment("created_at"),
        moment("seen_at"),
        moment("ended_at", nullable=True),
        sa.Column("ended_why", sa.String(), nullable=True),
        *whose("web_sessions"),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_why IS NULL)", name=op.f("ck_web_sessions_ended")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_web_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_web_sessions_token_hash")),
    )
    op.create_table(
        "invitations",
        number(),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.String(), nullable=False),
        moment("created_at"),
        moment("expires_at", given=False),
        moment("used_at", nullable=True),
        *whose("invitations"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitations_token_hash")),
    )
    op.create_table(
        "sign_in_tries",
        number(),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        moment("tried_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_tries")),
    )
    for table in ("web_sessions", "invitations"):
        for column in ("finance_user_id", "licensee_user_id"):
            op.create_index(f"ix_{table}_{column}", table, [column])
    op.create_index("ix_web_sessions_created_at", "web_sessions", ["created_at"])
    op.create_index("ix_sign_in_tries_subject", "sign_in_tries", ["subject", "tried_at"])
    op.create_index("ix_sign_in_tries_tried_at", "sign_in_tries", ["tried_at"])
    op.execute(GRANTS)
    op.execute(GUARDS)
    for table in TABLES:  # for nobody's eyes but ours
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY app ON {table} TO perimage_app USING (true) WITH CHECK (true)")

"""Runs in chunks: the end of an audit log may move several entries on at once, and nowhere but along the chain.

Safe while old code runs: it moves the end one entry on, which is the shortest of such moves.
"""

from alembic import op

revision = "run_speed"
down_revision = "branding"
branch_labels = None
depends_on = None

ALONG_THE_CHAIN = """
CREATE OR REPLACE FUNCTION move_one_entry_on() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    links bigint;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.licensor_id = OLD.licensor_id AND NEW.sequence > OLD.sequence AND EXISTS (
        SELECT FROM audit_log WHERE licensor_id = NEW.licensor_id AND sequence = NEW.sequence AND hash = NEW.hash
    ) THEN
        -- Every entry from the old end to the new one is there, and follows the one before it.
        SELECT count(*) INTO links FROM (
            SELECT sequence, previous_hash, lag(hash, 1, OLD.hash) OVER (ORDER BY sequence) AS hash_before
            FROM audit_log
            WHERE licensor_id = NEW.licensor_id AND sequence > OLD.sequence AND sequence <= NEW.sequence
        ) AS entry WHERE previous_hash = hash_before;
        IF links = NEW.sequence - OLD.sequence THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the end of an audit log only moves on along its entries' USING ERRCODE = 'restrict_violation';
END $$;
"""


def upgrade() -> None:
    op.execute(ALONG_THE_CHAIN)

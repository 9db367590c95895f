"""Billing runs that know who asked for them, that can be stopped, and that the clock asks for once.

Safe while old code runs: columns with defaults, and rights that are only added.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "runs"
down_revision = "access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    said_by_default = {
        "requested_by": sa.text("'system'"),
        "requested_role": sa.text("'system'"),
        "state": sa.text("'running'"),
    }
    for name, default in said_by_default.items():
        op.add_column("billing_runs", sa.Column(name, sa.String(), server_default=default, nullable=False))
    op.add_column("billing_runs", sa.Column("scheduled", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("billing_runs", sa.Column("stopped_by", sa.String(), nullable=True))
    op.add_column("billing_runs", sa.Column("counted_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.create_check_constraint(op.f("ck_billing_runs_state"), "billing_runs", "state IN ('running', 'stopped')")
    op.add_column("billing_run_items", sa.Column("scheduled_for", sa.Date(), nullable=True))
    op.create_unique_constraint(
        op.f("uq_billing_run_items_agreement_id_scheduled_for"), "billing_run_items", ["agreement_id", "scheduled_for"]
    )
    op.execute("GRANT UPDATE (state, stopped_by, counted_at) ON billing_runs TO perimage_app")

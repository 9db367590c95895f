"""The finance API, `/v1/finance`: what a licensor's people and machines do with invoices, payments and statements."""

from fastapi import APIRouter

from service.routes.finance import (
    access,
    agreements,
    audit,
    bank,
    exports,
    invoice_acts,
    invoices,
    licensees,
    notices,
    payments,
    runs,
    statements,
)

router = APIRouter()
_money = (invoices, invoice_acts, runs, agreements, licensees, statements, payments, bank)
for room in (*_money, notices, audit, exports, access):
    router.include_router(room.router)

"""A body for each shape of request, as the OpenAPI document shows it. A test holds each against its own schema.

The longer ones, of reports and quotes, stand with their routes.
"""

from typing import Any

_REASON = "agreed with the platform on 2026-11-03"
BODIES: dict[str, dict[str, Any]] = {
    "AddEndpoint": {"url": "https://billing.example.com/hooks", "kinds": ["invoice.issued", "invoice.overdue"]},
    "AdjustmentRequest": {
        "period": "2026-10", "amount": "-250.00", "description": "Launch campaign", "reason": _REASON,
    },
    "ApplyRequest": {"invoice": "OWG-000017", "amount": "1250.00"},
    "AskRequest": {"verb": "credit", "amount": "250.00", "reason": _REASON},
    "BankStatementRequest": {
        "name": "2026-11",
        "content": "date,amount,payer,reference\n2026-11-03,1250.00,Northlight,OWG-000017\n",
        "currency": "USD",
    },
    "ChangeEndpoint": {"kinds": ["invoice.issued", "invoice.overdue", "invoice.held"]},
    "Claim": {"model": "sd-1", "day": "2026-10-03", "image_count": 1150, "reason": "a retry counted twice"},
    "CloseRequest": {"period": "2026-10"},
    "ConfirmRequest": {"licensee": "northlight", "invoices": ["OWG-000017"]},
    "CreditRequest": {"amount": "250.00", "line": 2, "reason": _REASON},
    "LicenseesTotals": {
        "licensee": "northlight",
        "period": "2026-10",
        "rows": [{"model": "sd-1", "day": "2026-10-03", "image_count": 1200}],
    },
    "MakeStatement": {"licensee": "northlight", "period": "2026-10"},
    "Note": {"note": "checked against our own books"},
    "Nothing": {},
    "PaymentRequest": {
        "licensee": "northlight", "amount": "1250.00", "currency": "USD", "received_on": "2026-11-30",
        "reference": "bank-2026-11-4711", "invoices": ["OWG-000017"],
    },
    "RefundRequest": {"amount": "50.00", "on": "2026-12-01", "reference": "refund-12", "reason": _REASON},
    "ReplayMissed": {"days": 3},
    "RunRequest": {"period": "2026-10", "issue": True},
    "SettleDispute": {"agreed": 1150, "reason": "the log shows one image where two were counted"},
    "SettleRequest": {"outcome": "agreed", "reason": _REASON},
    "Totals": {
        "licensor": "owlet", "period": "2026-10", "totals": "model,day,image_count\nsd-1,2026-10-03,1200\n",
    },
    "Why": {"reason": _REASON},
}  # fmt: skip

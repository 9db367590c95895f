"""Invoices: draft, open, paid, void, uncollectible, and the moves between them that Stripe allows."""

from typing import Any

from tests.fakes.stripe_server.account import Account
from tests.fakes.stripe_server.amounts import check_amount, check_currency
from tests.fakes.stripe_server.refusals import Invalid, Refused

MOST_LINES = 250  # in one call


def create(account: Account, asked: dict[str, Any]) -> dict[str, Any]:
    """A draft. Pending items of the customer stay out of it unless they are asked for."""
    if "customer" not in asked:
        raise Invalid("You must pass in a customer.", code="parameter_missing", param="customer")
    customer = account.get("customer", asked["customer"])
    collection = asked.get("collection_method", "charge_automatically")
    due = _due(account, asked, collection)
    currency = check_currency(asked.get("currency") or customer["currency"] or "usd")
    id_ = account.new_id("in")
    invoice = {
        "id": id_,
        "object": "invoice",
        "created": account.now(),
        "auto_advance": asked.get("auto_advance", False),
        "attempt_count": 0,
        "attempted": False,
        "collection_method": collection,
        "currency": currency,
        "customer": customer["id"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "custom_fields": asked.get("custom_fields") or None,
        "description": asked.get("description"),
        "due_date": due,
        "footer": asked.get("footer"),
        "hosted_invoice_url": None,
        "livemode": False,
        "metadata": asked.get("metadata") or {},
        "number": asked.get("number"),
        "pre_payment_credit_notes_amount": 0,
        "post_payment_credit_notes_amount": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "status": "draft",
        "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        "lines": {"object": "list", "data": [], "has_more": False, "url": f"/v1/invoices/{id_}/lines"},
    }
    account.invoices[id_] = invoice
    if asked.get("pending_invoice_items_behavior", "exclude") == "include":
        for item in account.items.values():
            if item["customer"] == customer["id"] and item["invoice"] is None and item["currency"] == currency:
                _attach(account, invoice, item)
    _add_up(invoice)
    account.tell("invoice.created", invoice)
    return invoice


def _due(account: Account, asked: dict[str, Any], collection: str) -> int | None:
    if collection == "charge_automatically":
        for name in ("days_until_due", "due_date"):
            if name in asked:
                raise Invalid(
                    f"You can only pass in '{name}' if the invoice's collection_method is 'send_invoice'.", param=name
                )
        return None
    if ("days_until_due" in asked) == ("due_date" in asked):
        raise Invalid(
            "You must pass in exactly one of 'days_until_due' and 'due_date' if collection_method is 'send_invoice'.",
            param="days_until_due",
        )
    if "days_until_due" in asked:
        return account.now() + 86400 * int(asked["days_until_due"])
    due = int(asked["due_date"])
    if due <= account.now():
        raise Invalid("The due_date must be in the future.", param="due_date")
    return due


def create_item(account: Account, asked: dict[str, Any]) -> dict[str, Any]:
    """An invoice item: of a draft, or pending until some invoice of the customer takes it."""
    if "customer" not in asked:
        raise Invalid("Missing required param: customer.", code="parameter_missing", param="customer")
    customer = account.get("customer", asked["customer"])
    invoice = _draft(account, asked["invoice"], "add items to") if "invoice" in asked else None
    if "amount" not in asked:
        raise Invalid("You must pass an amount.", code="parameter_missing", param="amount")
    if "quantity" in asked:
        raise Invalid("You may only specify one of these parameters: amount, quantity.", param="amount")
    currency = check_currency(asked.get("currency") or (invoice or customer)["currency"] or "usd")
    if invoice is not None and currency != invoice["currency"]:
        raise Refused(f"The currency of the invoice item must be {invoice['currency']}", param="currency")
    item = _item(account, customer["id"], currency, asked)
    if invoice is not None:
        _attach(account, invoice, item)
        _add_up(invoice)
    return item


def _item(account: Account, customer: str, currency: str, asked: dict[str, Any]) -> dict[str, Any]:
    check_amount(currency, asked["amount"])
    id_, now = account.new_id("ii"), account.now()
    item = {
        "id": id_,
        "object": "invoiceitem",
        "date": now,
        "created": now,
        "amount": asked["amount"],
        "currency": currency,
        "customer": customer,
        "description": asked.get("description"),
        "invoice": None,
        "livemode": False,
        "metadata": asked.get("metadata") or {},
        "period": asked.get("period") or {"start": now, "end": now},
        "proration": False,
        "quantity": 1,
    }
    account.items[id_] = item
    return item


def _attach(account: Account, invoice: dict[str, Any], item: dict[str, Any]) -> None:
    item["invoice"] = invoice["id"]
    invoice["lines"]["data"].append(
        {
            "id": account.new_id("il"),
            "object": "line_item",
            "created": account.now(),
            **{key: item[key] for key in ("amount", "currency", "description", "metadata", "period", "quantity")},
            "invoice": invoice["id"],
            "livemode": False,
            "parent": {"type": "invoice_item_details", "invoice_item_details": {"invoice_item": item["id"]}},
        }
    )


def add_lines(account: Account, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Lines into a draft, all or none."""
    invoice = _draft(account, id_, "add lines to")
    if not 1 <= len(asked["lines"]) <= MOST_LINES:
        raise Invalid(f"You can add between 1 and {MOST_LINES} lines", param="lines")
    for n, line in enumerate(asked["lines"]):
        if "amount" not in line:
            raise Invalid("You must pass an amount.", code="parameter_missing", param=f"lines[{n}][amount]")
        if "quantity" in line:
            raise Invalid("You may only specify one of amount, quantity.", param=f"lines[{n}][quantity]")
        check_amount(invoice["currency"], line["amount"], f"lines[{n}][amount]")
        if (period := line.get("period")) and period["end"] < period["start"]:
            raise Invalid("The end of a period must not be before its start", param=f"lines[{n}][period]")
    for line in asked["lines"]:
        _attach(account, invoice, _item(account, invoice["customer"], invoice["currency"], line))
    _add_up(invoice)
    account.tell("invoice.updated", invoice)
    return invoice


def finalise(account: Account, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Draft to open; with nothing to pay, to paid."""
    invoice = account.get("invoice", id_)
    if invoice["status"] != "draft":
        raise Refused(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.", code="invoice_not_editable"
        )
    if not invoice["lines"]["data"]:
        raise Refused("You cannot finalize an invoice without line items.", code="invoice_no_customer_line_items")
    if invoice["collection_method"] == "send_invoice" and not invoice["customer_email"]:
        raise Refused("Missing email. In order to send the invoice, the customer must have a valid email.")
    invoice["auto_advance"] = asked.get("auto_advance", invoice["auto_advance"])
    invoice["number"] = invoice["number"] or f"FAKE-{len(account.invoices):04d}"
    invoice["hosted_invoice_url"] = f"https://invoice.stripe.invalid/{id_}"
    account.customers[invoice["customer"]]["currency"] = invoice["currency"]
    _move(account, invoice, "open", "finalized_at", "invoice.finalized")
    if invoice["amount_remaining"] <= 0:
        _move(account, invoice, "paid", "paid_at", "invoice.paid")
    return invoice


def send(account: Account, id_: str) -> dict[str, Any]:
    """Mails the invoice; a draft is finalised first, as Stripe does."""
    invoice = account.get("invoice", id_)
    if invoice["collection_method"] != "send_invoice":
        raise Refused("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice["status"] == "draft":
        finalise(account, id_, {})
    if invoice["status"] not in ("open", "uncollectible", "paid"):
        raise Refused(f"Invoice {id_} is {invoice['status']} and cannot be sent.")
    account.sent.append(id_)
    account.tell("invoice.sent", invoice)
    return invoice


def pay(account: Account, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Collects from the customer's card now, or notes that it was paid elsewhere."""
    invoice = account.get("invoice", id_)
    if invoice["status"] == "draft":
        finalise(account, id_, {})
    if invoice["status"] == "paid":
        raise Refused("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in ("open", "uncollectible"):
        raise Refused(f"This invoice can no longer be paid: it is {invoice['status']}.")
    if asked.get("paid_out_of_band"):
        invoice["amount_paid_off_stripe"] = invoice["amount_remaining"]
        _add_up(invoice)
        _move(account, invoice, "paid", "paid_at", "invoice.paid")
        return invoice
    invoice["attempted"], invoice["attempt_count"] = True, invoice["attempt_count"] + 1
    card = account.cards.get(invoice["customer"])
    if card is None:
        raise Refused("Cannot charge a customer that has no active card", code="missing", status=400)
    if card == "declined":
        account.tell("invoice.payment_failed", invoice)
        raise Refused("Your card was declined.", code="card_declined", status=402, kind="card_error")
    receive(account, id_, invoice["amount_remaining"])
    return invoice


def receive(account: Account, id_: str, amount: int) -> dict[str, Any]:
    """The customer paid so much of it: a payment of its own, and the invoice is paid once nothing remains."""
    invoice = account.get("invoice", id_)
    assert invoice["status"] in ("open", "uncollectible"), invoice["status"]
    assert 0 < amount <= invoice["amount_remaining"], (amount, invoice["amount_remaining"])
    payment_id = account.new_id("inpay")
    account.invoice_payments[payment_id] = {
        "id": payment_id,
        "object": "invoice_payment",
        "created": account.now(),
        "amount_paid": amount,
        "amount_requested": amount,
        "currency": invoice["currency"],
        "invoice": id_,
        "is_default": False,
        "livemode": False,
        "payment": {"type": "payment_intent", "payment_intent": account.new_id("pi")},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": account.now()},
    }
    invoice["amount_paid"] += amount
    _add_up(invoice)
    account.tell("invoice_payment.paid", account.invoice_payments[payment_id])
    if invoice["amount_remaining"] == 0:
        _move(account, invoice, "paid", "paid_at", "invoice.paid")
        account.tell("invoice.payment_succeeded", invoice)
    else:
        account.tell("invoice.updated", invoice)
    return account.invoice_payments[payment_id]


def void(account: Account, id_: str) -> dict[str, Any]:
    """Open or uncollectible to void."""
    invoice = account.get("invoice", id_)
    if invoice["status"] not in ("open", "uncollectible"):
        raise Refused(
            f"You can only pass in open or uncollectible invoices. This invoice is {invoice['status']}.",
            code="invoice_not_editable" if invoice["status"] == "draft" else None,
        )
    if invoice["amount_paid"]:
        raise Refused("You cannot void an invoice that has been partially paid.")
    _move(account, invoice, "void", "voided_at", "invoice.voided")
    return invoice


def mark_uncollectible(account: Account, id_: str) -> dict[str, Any]:
    """Open to uncollectible."""
    invoice = account.get("invoice", id_)
    if invoice["status"] != "open":
        raise Refused(f"You can only mark open invoices as uncollectible. This invoice is {invoice['status']}.")
    _move(account, invoice, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible")
    return invoice


def delete(account: Account, id_: str) -> dict[str, Any]:
    """A draft goes; anything else stays."""
    _draft(account, id_, "delete")
    invoice = account.invoices.pop(id_)
    account.tell("invoice.deleted", invoice)
    return {"id": id_, "object": "invoice", "deleted": True}


def credit(account: Account, asked: dict[str, Any]) -> dict[str, Any]:
    """A credit note: lowers what remains of an open invoice; on a paid one it says where the money goes."""
    invoice = account.get("invoice", asked["invoice"])
    if invoice["status"] not in ("open", "paid", "uncollectible"):
        raise Refused(f"You cannot create a credit note for a {invoice['status']} invoice.", param="invoice")
    if ("amount" in asked) == ("lines" in asked):
        raise Invalid("You must pass exactly one of amount, lines.", param="amount")
    lines = asked.get("lines") or []
    for n, line in enumerate(lines):
        if line["type"] != "custom_line_item" or not {"unit_amount", "quantity", "description"} <= line.keys():
            raise Invalid("A custom line item takes description, quantity and unit_amount.", param=f"lines[{n}]")
    amount = asked["amount"] if "amount" in asked else sum(line["unit_amount"] * line["quantity"] for line in lines)
    check_amount(invoice["currency"], amount)
    if amount <= 0:
        raise Invalid("The amount of a credit note must be positive.", param="amount")
    open_part = min(amount, invoice["amount_remaining"]) if invoice["status"] != "paid" else 0
    given = [asked.get(name, 0) for name in ("refund_amount", "credit_amount", "out_of_band_amount")]
    if sum(given) != amount - open_part:
        raise Refused(
            "The sum of credit_amount, refund_amount and out_of_band_amount must equal the post payment credit note "
            f"amount of {amount - open_part}.",
            param="credit_amount",
        )
    credited = invoice["pre_payment_credit_notes_amount"] + invoice["post_payment_credit_notes_amount"]
    if credited + amount > invoice["total"]:
        raise Refused("The credit notes of an invoice cannot exceed its total.", param="amount")
    id_ = account.new_id("cn")
    account.credit_notes[id_] = {
        "id": id_,
        "object": "credit_note",
        "created": account.now(),
        "amount": amount,
        "total": amount,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "invoice": invoice["id"],
        "livemode": False,
        "memo": asked.get("memo"),
        "metadata": asked.get("metadata") or {},
        "reason": asked.get("reason"),
        "status": "issued",
        "pre_payment_amount": open_part,
        "post_payment_amount": amount - open_part,
        "type": "pre_payment" if open_part == amount else "post_payment" if not open_part else "mixed",
    }
    invoice["pre_payment_credit_notes_amount"] += open_part
    invoice["post_payment_credit_notes_amount"] += amount - open_part
    _add_up(invoice)
    account.tell("credit_note.created", account.credit_notes[id_])
    if invoice["status"] in ("open", "uncollectible") and invoice["amount_remaining"] == 0:
        _move(account, invoice, "paid", "paid_at", "invoice.paid")
    else:
        account.tell("invoice.updated", invoice)
    return account.credit_notes[id_]


def _draft(account: Account, id_: str, what: str) -> dict[str, Any]:
    invoice = account.get("invoice", id_)
    if invoice["status"] != "draft":
        raise Refused(
            f"You can only {what} draft invoices. This invoice is {invoice['status']}.", code="invoice_not_editable"
        )
    return invoice


def _add_up(invoice: dict[str, Any]) -> None:
    invoice["total"] = invoice["subtotal"] = sum(line["amount"] for line in invoice["lines"]["data"])
    invoice["amount_due"] = max(0, invoice["total"] - invoice["pre_payment_credit_notes_amount"])
    invoice["amount_remaining"] = invoice["amount_due"] - invoice["amount_paid"] - invoice["amount_paid_off_stripe"]


def _move(account: Account, invoice: dict[str, Any], status: str, when: str, event: str) -> None:
    invoice["status"] = status
    invoice["status_transitions"][when] = account.now()
    account.tell(event, invoice)
    account.tell("invoice.updated", invoice)

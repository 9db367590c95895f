"""What both sides attest: signed, chained statements of what was counted."""

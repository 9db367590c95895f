"""Tax ids, checked for form: whether a number could be one, not whether anybody holds it.

Forms are those that the authorities publish: the EU's VAT information exchange for the member states, and the national
ones of the others. An id that opens with a country we have no form of is taken as it is.
"""

import re

from core.errors import InvalidInput

# Country prefix: (form after the prefix, an example). Spaces, dots and hyphens are left out before comparing.
_FORMS: dict[str, tuple[str, str]] = {
    "AT": (r"U\d{8}", "ATU12345678"),
    "BE": (r"[01]\d{9}", "BE0123456789"),
    "BG": (r"\d{9,10}", "BG123456789"),
    "CY": (r"\d{8}[A-Z]", "CY12345678X"),
    "CZ": (r"\d{8,10}", "CZ12345678"),
    "DE": (r"\d{9}", "DE123456789"),
    "DK": (r"\d{8}", "DK12345678"),
    "EE": (r"\d{9}", "EE123456789"),
    "EL": (r"\d{9}", "EL123456789"),
    "ES": (r"[A-Z]\d{7}[A-Z0-9]|\d{8}[A-Z]", "ESX1234567X"),
    "FI": (r"\d{8}", "FI12345678"),
    "FR": (r"[A-HJ-NP-Z0-9]{2}\d{9}", "FR12345678901"),
    "HR": (r"\d{11}", "HR12345678901"),
    "HU": (r"\d{8}", "HU12345678"),
    "IE": (r"\d[A-Z0-9+*]\d{5}[A-Z]|\d{7}[A-Z]{1,2}", "IE1234567FA"),
    "IT": (r"\d{11}", "IT12345678901"),
    "LT": (r"\d{9}|\d{12}", "LT123456789"),
    "LU": (r"\d{8}", "LU12345678"),
    "LV": (r"\d{11}", "LV12345678901"),
    "MT": (r"\d{8}", "MT12345678"),
    "NL": (r"\d{9}B\d{2}", "NL123456789B01"),
    "PL": (r"\d{10}", "PL1234567890"),
    "PT": (r"\d{9}", "PT123456789"),
    "RO": (r"\d{2,10}", "RO1234567890"),
    "SE": (r"\d{10}01", "SE123456789001"),
    "SI": (r"\d{8}", "SI12345678"),
    "SK": (r"\d{10}", "SK1234567890"),
    "XI": (r"\d{9}|\d{12}|GD\d{3}|HA\d{3}", "XI123456789"),
    "GB": (r"\d{9}|\d{12}|GD\d{3}|HA\d{3}", "GB123456789"),
    "CHE": (r"\d{9}(MWST|TVA|IVA)?", "CHE-123.456.789 MWST"),
    "NO": (r"\d{9}(MVA)?", "NO 123 456 789 MVA"),
    "IS": (r"\d{5,6}", "IS12345"),
    "AU": (r"\d{11}", "AU 12 345 678 901"),
    "CA": (r"\d{9}(RT\d{4})?", "CA 123456789 RT0001"),
    "IN": (r"\d{2}[A-Z]{5}\d{4}[A-Z][0-9A-Z]Z[0-9A-Z]", "IN 22AAAAA0000A1Z5"),
    "JP": (r"T?\d{13}", "JP T1234567890123"),
    "KR": (r"\d{10}", "KR 123-45-67890"),
    "SG": (r"[0-9A-Z]{9,10}", "SG 200312345A"),
    "US": (r"\d{9}", "US 12-3456789"),
}
_BARE = {r"\d{2}-\d{7}": "12-3456789", r"T\d{13}": "T1234567890123"}  # known without a prefix: US EIN, Japan
_OTHER = re.compile(r"[A-Z]{2}[A-Z0-9]{2,18}", re.ASCII)


def check_tax_id(text: str) -> None:
    """Refuses a tax id that cannot be one, `InvalidInput` with code `bad_tax_id` and an example. Empty is none."""
    if not text or any(re.fullmatch(form, text, re.ASCII) for form in _BARE):
        return
    written = re.sub(r"[ .\-/]", "", text).upper()
    prefix = next((known for known in (written[:3], written[:2]) if known in _FORMS), None)
    if prefix is None:
        if written[:2] == "CH":
            _refuse(text, _FORMS["CHE"][1])
        if not _OTHER.fullmatch(written):
            _refuse(text, "DE123456789, GB123456789 or, for the United States, 12-3456789")
        return
    form, example = _FORMS[prefix]
    if not re.fullmatch(form, written[len(prefix) :], re.ASCII):
        _refuse(text, example)


def _refuse(text: str, example: str) -> None:
    raise InvalidInput("bad_tax_id", f"{text[:40]!r} is not the form of a tax id there: write it like {example}")

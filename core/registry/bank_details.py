"""Where an invoice is to be paid to: an account by its IBAN, checked for form and check digits.

An account without an IBAN (the United States, Japan) is told in words, as `payment_terms` of the billing.
"""

import re
from dataclasses import dataclass

from core.errors import InvalidInput

# Characters of an IBAN by country, from the registry of ISO 13616; of others only the check digits are looked at.
_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{10,30}", re.ASCII)
_BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class BankDetails:
    """An account to pay to. Written with or without spaces; kept without. A holder left out is the licensor."""

    iban: str
    bic: str = ""
    account_holder: str = ""
    bank_name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "iban", checked_iban(self.iban))
        object.__setattr__(self, "bic", checked_bic(self.bic) if self.bic else "")

    def document(self) -> dict[str, str]:
        """As an account's row and a frozen invoice keep it."""
        said = {
            "iban": self.iban,
            "bic": self.bic,
            "account_holder": self.account_holder,
            "bank_name": self.bank_name,
        }
        return {key: value for key, value in said.items() if value}


def checked_iban(text: str) -> str:
    """An IBAN without spaces. `InvalidInput`, code `bad_iban`, for one that cannot be: ISO 7064, modulus 97."""
    written = re.sub(r"\s", "", text).upper()
    if not _IBAN.fullmatch(written):
        raise InvalidInput("bad_iban", f"write an IBAN like DE02 1203 0000 0000 2020 51, not {text[:40]!r}", at="iban")
    country = written[:2]
    length = _LENGTHS.get(country, len(written))
    if len(written) != length:
        raise InvalidInput(
            "bad_iban", f"an IBAN of {country} has {length} characters, this one {len(written)}: look again", at="iban"
        )
    turned = written[4:] + written[:4]
    if int("".join(str(int(sign, 36)) for sign in turned)) % 97 != 1:
        raise InvalidInput("bad_iban", f"the check digits of {grouped(written)} do not fit: look again", at="iban")
    return written


def checked_bic(text: str) -> str:
    """A BIC of ISO 9362: eight characters, or eleven with a branch."""
    written = re.sub(r"\s", "", text).upper()
    if not _BIC.fullmatch(written):
        raise InvalidInput("bad_bic", f"write a BIC like BYLADEM1001, 8 or 11 characters, not {text[:40]!r}", at="bic")
    return written


def grouped(iban: str) -> str:
    """An IBAN as it is printed: in groups of four."""
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))

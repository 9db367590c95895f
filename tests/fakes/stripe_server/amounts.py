"""Amounts as Stripe takes them: which currencies it knows, and which whole numbers it accepts in them."""

from tests.fakes.stripe_server.refusals import Refused

THREE_DECIMAL = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))  # the last digit must be 0
TWO_DECIMAL_WITHOUT_CENTS = frozenset(("isk", "ugx"))  # written with two decimals that must be 00
ZERO_DECIMAL = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf")
)
_TWO_DECIMAL = """
aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc cve
czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr jmd kes kgs khr kyd kzt lak
lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar
ron rsd sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd xcg yer zar
zmw
"""
CURRENCIES = THREE_DECIMAL | TWO_DECIMAL_WITHOUT_CENTS | ZERO_DECIMAL | frozenset(_TWO_DECIMAL.split())


def check_currency(currency: str) -> str:
    """The currency in lower case, if Stripe knows it."""
    if currency.lower() not in CURRENCIES:
        raise Refused(f"Invalid currency: {currency}. Stripe supports these: usd, eur, ...", param="currency")
    return currency.lower()


def check_amount(currency: str, amount: int, param: str = "amount") -> int:
    """The amount, if it may be written so in this currency."""
    if currency in THREE_DECIMAL and amount % 10:
        raise Refused(
            f"Invalid amount. Amounts in {currency.upper()} must be evenly divisible by 10.",
            code="invalid_charge_amount",
            param=param,
        )
    if currency in TWO_DECIMAL_WITHOUT_CENTS and amount % 100:
        raise Refused(
            f"Invalid amount. Currency {currency.upper()} has become effectively zero-decimal and charged amounts must "
            "be evenly divisible by 100.",
            code="invalid_charge_amount_no_decimal_compatible",
            param=param,
        )
    return amount

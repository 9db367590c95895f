"""Banks' CSV files: exact amounts, known columns, fingerprints that hold in every file, and what cannot be read."""

from datetime import date

import pytest

from core.errors import InvalidInput
from core.money import Money
from core.payments.bank import read_statement

GERMAN = """Kontoauszug;Nr. 11
Buchungstag;Valutadatum;Auftraggeber;Verwendungszweck;Betrag;Währung
03.11.2026;04.11.2026;Nordlicht GmbH;Rechnung OWL-000017;1.234,56;EUR
04.11.2026;04.11.2026;Bank;Gebühren;-12,00;EUR
05.11.2026;05.11.2026;Süd AG;OWL-000018 und OWL-000019;50,00;EUR
""".encode("cp1252")
ENGLISH = b'Date,Description,Amount\n2026-11-03,Payment OWL-17,"1,234.50"\n2026-11-04,Card,-5.00\n'
JAPANESE = "日付,摘要,入金額\n2026/11/03,カ)ノース OWL000017,123456\n2026/11/04,利息,0\n".encode()


def test_a_german_file_with_a_title_and_commas_is_read() -> None:
    rows = read_statement(GERMAN, "USD")
    assert [(row.booked_on, row.amount, row.payer, row.reference) for row in rows] == [
        (date(2026, 11, 4), Money("EUR", 1234_56), "Nordlicht GmbH", "Rechnung OWL-000017"),
        (date(2026, 11, 5), Money("EUR", 50_00), "Süd AG", "OWL-000018 und OWL-000019"),
    ]


def test_english_and_japanese_files_are_read() -> None:
    assert [row.amount for row in read_statement(ENGLISH, "USD")] == [Money("USD", 1234_50)]
    [row] = read_statement(JAPANESE, "JPY")
    assert (row.amount, row.booked_on, row.payer) == (Money("JPY", 123_456), date(2026, 11, 3), "カ)ノース OWL000017")


def test_columns_of_any_name_can_be_given() -> None:
    content = b"when\twhat\thow much\n2026-11-03\tOWL-17\t5.00\n"
    rows = read_statement(content, "USD", {"date": "When", "amount": "How much", "reference": "what"})
    assert [(row.amount.minor, row.reference) for row in rows] == [(500, "OWL-17")]


def test_a_row_is_the_same_in_every_file_and_equal_rows_of_a_file_are_different() -> None:
    head, row = b"date,amount,reference\n", b"2026-11-03,5.00,OWL-17\n"
    once, twice = read_statement(head + row, "USD"), read_statement(head + row + row, "USD")
    other = read_statement(head + b"2026-11-02,1.00,x\n" + row, "USD")
    assert len({each.fingerprint for each in twice}) == 2
    assert twice[0].fingerprint == once[0].fingerprint == other[1].fingerprint


def test_a_banks_own_id_is_the_fingerprint() -> None:
    one = read_statement(b"date,amount,reference,transaction id\n2026-11-03,5.00,a,T1\n", "USD")
    two = read_statement(b"date,amount,reference,transaction id\n2026-11-03,5.00,another text,T1\n", "USD")
    assert one[0].fingerprint == two[0].fingerprint
    with pytest.raises(InvalidInput, match="stands there twice"):
        read_statement(b"date,amount,id\n2026-11-03,5.00,T1\n2026-11-04,6.00,T1\n", "USD")


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1234.56", "USD", 123456), ("1,234.56", "USD", 123456), ("1.234,56", "EUR", 123456),
        ("1'234.56", "CHF", 123456), ("1,234,567", "USD", 123456700), ("1.234.567,89", "EUR", 123456789),
        ("1 234,56", "EUR", 123456), ("+5", "USD", 500), ("5,5", "EUR", 550), ("1,234,567.00", "USD", 123456700),
        ("1.234", "KWD", 1234), ("1,234", "JPY", 1234), ("1,234,567", "JPY", 1234567), ("0.01", "USD", 1),
    ],
)  # fmt: skip
def test_amounts_are_read_exactly(text: str, currency: str, minor: int) -> None:
    [row] = read_statement(f'date;amount\n2026-11-03;"{text}"\n'.encode(), currency)
    assert row.amount == Money(currency, minor)


@pytest.mark.parametrize(
    "text",
    ["1,234", "1.234", "1.2.3", "12,34.56", "1,23,456.00", "1e3", "NaN", "", "five", "0x10", "1_000", "１２", "1.005",
     "9" * 25, "1" * 5000, "=1+1", "--5", "1,2,3", "."],
)  # fmt: skip
def test_an_amount_that_could_mean_two_things_or_nothing_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InvalidInput, match="line 3"):
        read_statement(f'date;amount\n2026-11-03;5.00\n2026-11-03;"{text}"\n'.encode(), "USD")


@pytest.mark.parametrize("day", ["03/11/2026", "2026-02-30", "2026-13-01", "11-03-2026", "", "tomorrow", "0000-01-01"])
def test_a_day_that_could_be_two_days_or_none_is_refused(day: str) -> None:
    with pytest.raises(InvalidInput, match="line 2"):
        read_statement(f"date;amount\n{day};5.00\n".encode(), "USD")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x01", b"PK\x03\x04\x00", b"a,b\n1,2\n", b'date,amount\n"2026-11-03,5\n', b"%PDF-1.7",
     b"date,amount\n" + b"\n".join(b"2026-11-03,1.00" for _ in range(50_001))],
)  # fmt: skip
def test_a_file_that_is_no_statement_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_statement(content, "USD")


def test_text_of_a_bank_is_cleaned_of_what_cannot_be_printed() -> None:
    [row] = read_statement("date,amount,payer\n2026-11-03,5.00,a\u202eb\x07  c\n".encode(), "USD")
    assert row.payer == "a b c"

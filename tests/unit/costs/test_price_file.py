"""One's own prices: what a file may say, and what is told of one that makes no sense."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.contract import Origin, Usage
from gristmill.costs.prices import PRICES, billed_at, table
from gristmill.errors import Misconfigured
from gristmill.settings import InvalidSettings, load_settings
from gristmill.settings.prices import Price, PriceFile, host_of, read_prices

HEAD = 'version = "2026-11"\nsource = "our contract"\n'
AZURE = "ours.openai.azure.com"
SMALL = "text-embedding-3-small"
ROOT = Path(__file__).parents[3]
KEYS = {
    "GRISTMILL_MODE_OPENAI": "real",
    "GRISTMILL_MODE_LLAMAPARSE": "real",
    "OPENAI_API_KEY": "sk-fake",
    "LLAMA_CLOUD_API_KEY": "llx-fake",
}


def price(**values: object) -> str:
    facts = {"service": '"openai"', "product": f'"{SMALL}"', **values}
    return "[[price]]\n" + "".join(f"{name} = {value}\n" for name, value in facts.items())


PER_MILLION = price(dollars_per_million_tokens='"0.022"')


@pytest.fixture
def read(tmp_path: Path):
    """Reads a file with this text."""

    def read(text: str) -> PriceFile:
        path = tmp_path / "prices.toml"
        path.write_text(text, "utf-8")
        return read_prices(path)

    return read


@pytest.mark.parametrize(
    ("values", "unit", "nano_dollars"),
    [
        ({"dollars_per_million_tokens": '"0.022"'}, "tokens", 22),
        ({"dollars_per_million_tokens": "1"}, "tokens", 1000),
        ({"dollars_per_million_tokens": '"$1,000"'}, "tokens", 1_000_000),
        ({"dollars_per_million_tokens": '"0"'}, "tokens", 0),
        ({"nano_dollars": "22", "unit": '"tokens"'}, "tokens", 22),
        (
            {"service": '"llamaparse"', "product": '"agentic"', "dollars_per_thousand_pages": "11"},
            "pages",
            11_000_000,
        ),
        (
            {
                "service": '"llamaparse"',
                "product": '"credit"',
                "dollars_per_thousand_credits": '"1.1"',
            },
            "millicredits",
            1100,
        ),
        (
            {
                "service": '"cohere"',
                "host": '"api.cohere.example"',
                "nano_dollars": "7",
                "unit": '"searches"',
            },
            "searches",
            7,
        ),
    ],
    ids=lambda value: str(value) if not isinstance(value, dict) else "",
)
def test_an_amount_is_taken_exactly_as_it_is_written(read, values, unit, nano_dollars):
    (own,) = read(HEAD + price(**values)).prices
    assert (own.unit, own.nano_dollars) == (unit, nano_dollars)


@given(st.integers(0, 10**9))
def test_every_whole_number_of_nano_dollars_can_be_written_in_dollars(tmp_path_factory, nano):
    path = tmp_path_factory.mktemp("prices") / "prices.toml"
    dollars = Decimal(nano) / 1000
    path.write_text(HEAD + price(dollars_per_million_tokens=f'"{dollars:f}"'))
    assert read_prices(path).prices[0].nano_dollars == nano


def test_a_price_says_where_when_and_in_which_version_it_was_read(read):
    text = f"{HEAD}date = 2026-11-20\n{PER_MILLION}" + price(
        host=f'"{AZURE.upper()}:443"', source='"an invoice"', nano_dollars="30", unit='"tokens"'
    )
    here = Price("openai", SMALL, "tokens", 22, "our contract", "2026-11", "2026-11-20")
    there = replace(here, nano_dollars=30, source="an invoice", host=AZURE)
    assert read(text).prices == (here, there)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("version = ", "It is no TOML"),
        (PER_MILLION, "It has no version"),
        (f'version = "1"\n{PER_MILLION}', "It has no source"),
        (f'version = ""\nsource = "x"\n{PER_MILLION}', "It has no version"),
        (HEAD, "It has no price: each begins with [[price]]"),
        (f"{HEAD}price = 3\n", "It has no price"),
        (f"{HEAD}prices = 3\n{PER_MILLION}", "There is no 'prices'; there are date, price"),
        (f'{HEAD}date = "today"\n{PER_MILLION}', "Its date is none"),
        (HEAD + price(dollars_per_million_tokens="0.02"), 'exact as text, such as "0.02"'),
        (HEAD + price(dollars_per_million_tokens="true"), "exact as text"),
        (HEAD + price(dollars_per_million_tokens='"-1"'), "'-1' is no amount"),
        (HEAD + price(dollars_per_million_tokens='"cheap"'), "'cheap' is no amount"),
        (HEAD + price(dollars_per_million_tokens='"0.0205"'), "no whole number of nano-dollars"),
        (HEAD + price(nano_dollars="-1", unit='"tokens"'), "nano_dollars is -1, no whole number"),
        (HEAD + price(nano_dollars="1.0", unit='"tokens"'), "nano_dollars is 1.0, no whole number"),
        (HEAD + price(nano_dollars="20"), "It has no unit"),
        (HEAD + price(nano_dollars="20", unit='"pages"'), "billed by tokens; not by pages"),
        (HEAD + price(), "It needs one amount"),
        (HEAD + PER_MILLION + "nano_dollars = 22\n", "It needs one amount"),
        (HEAD + PER_MILLION + 'unit = "tokens"\n', "says the unit already"),
        (HEAD + PER_MILLION + "currency = 3\n", "There is no 'currency'"),
        (HEAD + PER_MILLION + 'host = "https://"\n', "Its host is none"),
        (HEAD + PER_MILLION + 'host = "a b"\n', "Its host is none"),
        (HEAD + price(service='"opnai"', nano_dollars="1", unit='"x"'), "There is no service"),
        (HEAD + price(service="3", nano_dollars="1", unit='"x"'), "It has no service"),
        (HEAD + PER_MILLION * 2, f"There are 2 prices of openai '{SMALL}' per tokens."),
        (
            HEAD + price(service='"llamaparse"', dollars_per_thousand_credits="1"),
            "Credits are the product credit",
        ),
        (
            HEAD + price(service='"llamaparse"', dollars_per_thousand_pages="1", host='"own.test"'),
            "bills in credits, and there is no price of them at own.test",
        ),
    ],
    ids=lambda value: value[:60] if value.startswith(("It", "There", "nano")) else "",
)
def test_what_makes_no_sense_is_refused_in_a_sentence(read, text, wrong):
    with pytest.raises(ValueError, match=r"\.$") as caught:
        read(text)
    assert wrong in str(caught.value)


def test_all_that_is_wrong_is_told_at_once_and_by_number(read):
    with pytest.raises(ValueError, match="Price 1 ") as caught:
        read(HEAD + price() + PER_MILLION + price(dollars_per_million_tokens="0.5"))
    assert f"Price 3 (openai {SMALL})" in str(caught.value)
    assert "Price 2" not in str(caught.value)


def test_a_file_that_is_missing_or_no_text_is_told(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        read_prices(tmp_path / "nothing.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_prices(tmp_path / "bytes.toml")


# What they do


def test_own_prices_go_before_the_published_ones_and_the_table_has_a_name_of_its_own(read):
    prices = table(read(HEAD + PER_MILLION))
    assert prices.cost("openai", Usage(SMALL, "tokens", 10)) == 220
    assert prices.cost("openai", Usage(SMALL, "tokens", 10), "api.openai.com") == 220
    assert prices.cost("llamaparse", Usage("agentic", "pages", 1)) == 12_500_000
    assert prices.version == f"{PRICES.version}+2026-11"
    assert len(prices.prices) == len(PRICES.prices)
    assert table(None) is PRICES


def test_an_address_has_only_the_prices_that_are_given_for_it(read):
    prices = table(read(HEAD + PER_MILLION + f'host = "{AZURE}"\n'))
    assert prices.cost("openai", Usage(SMALL, "tokens", 10), f"https://{AZURE}/openai/v1") == 220
    assert prices.cost("openai", Usage(SMALL, "tokens", 10)) == 200
    with pytest.raises(Misconfigured, match=f"no known price per tokens at {AZURE}"):
        prices.cost("openai", Usage("text-embedding-3-large", "tokens", 1), AZURE)
    with pytest.raises(Misconfigured, match="no known price per tokens at proxy:4000"):
        prices.cost("openai", Usage(SMALL, "tokens", 1), "proxy:4000")
    with pytest.raises(Misconfigured, match=r"at api\.openai\.com"):
        prices.cost("llamaparse", Usage("agentic", "pages", 1), "api.openai.com")


def test_a_price_for_one_region_holds_there_alone(read):
    credit = price(
        service='"llamaparse"',
        product='"credit"',
        host='"api.cloud.eu.llamaindex.ai"',
        dollars_per_thousand_credits="1",
    )
    prices, page = table(read(HEAD + credit)), Usage("cost_effective", "pages", 1)
    assert prices.cost("llamaparse", page, "api.cloud.eu.llamaindex.ai") == 3_000_000
    assert prices.cost("llamaparse", page, "api.cloud.llamaindex.ai") == 3_750_000


def test_pages_follow_the_price_of_a_credit_unless_they_have_their_own(read):
    credit = price(
        service='"llamaparse"', product='"credit"', dollars_per_thousand_credits='"1.10"'
    )
    page = price(service='"llamaparse"', product='"fast"', dollars_per_thousand_pages='"2.50"')
    for text in (credit + page, page + credit):
        prices = table(read(HEAD + text))
        pages = [prices.cost("llamaparse", Usage(t, "pages", 1)) for t in ("fast", "agentic")]
        assert pages == [2_500_000, 11_000_000]


def test_simulators_bill_as_the_vendors_own_address_does():
    assert billed_at(Origin.SIMULATED, "simulator") is None
    assert billed_at(Origin.REAL, AZURE) == AZURE


@pytest.mark.parametrize(
    "address", [f"https://{AZURE}/v1", f"https://{AZURE}:443", AZURE, f"{AZURE}:443", AZURE.upper()]
)
def test_one_host_is_one_host_however_it_is_written(address):
    assert host_of(address) == AZURE


# As a setting


def load(tmp_path: Path, **environ: str):
    return load_settings(environ, tmp_path)


def wrong(tmp_path: Path, **environ: str) -> dict[str, str]:
    with pytest.raises(InvalidSettings) as caught:
        load(tmp_path, **environ)
    return {problem.setting: problem.wrong for problem in caught.value.problems}


def test_the_file_is_read_at_the_start_and_shown_by_its_path(tmp_path):
    (tmp_path / "own.toml").write_text(HEAD + PER_MILLION)
    settings = load(tmp_path, GRISTMILL_PRICES_FILE="own.toml")
    assert settings.prices_file is not None
    assert settings.prices_file.version == "2026-11"
    shown = {row.name: row.value for row in settings.describe()}
    assert shown["GRISTMILL_PRICES_FILE"] == str(tmp_path / "own.toml")


def test_a_wrong_file_is_a_problem_of_its_setting(tmp_path):
    (tmp_path / "own.toml").write_text(HEAD + price())
    for name, told in (("own.toml", "needs one amount"), ("none.toml", "No such file")):
        found = wrong(tmp_path, GRISTMILL_PRICES_FILE=name)
        assert told in found["GRISTMILL_PRICES_FILE"]


def test_the_sample_can_be_used_as_it_is():
    file = read_prices(ROOT / "samples" / "prices.toml")
    prices = table(file)
    assert prices.cost("openai", Usage(SMALL, "tokens", 1), AZURE) == 22
    assert prices.cost("llamaparse", Usage("agentic", "pages", 1)) == 11_000_000


def test_a_real_address_without_a_price_is_found_before_anything_runs(tmp_path):
    address = {"OPENAI_BASE_URL": f"https://{AZURE}/openai/v1"}
    found = wrong(tmp_path, **KEYS, **address, LLAMA_CLOUD_BASE_URL="https://own.test")
    assert found == {
        "OPENAI_BASE_URL": f"Nobody has said what {SMALL} costs at {AZURE}.",
        "LLAMA_CLOUD_BASE_URL": "Nobody has said what credit costs at own.test.",
    }
    (tmp_path / "own.toml").write_text(HEAD + PER_MILLION + f'host = "{AZURE}"\n')
    own = {"GRISTMILL_PRICES_FILE": "own.toml"}
    load(tmp_path, **KEYS, **address, **own)
    large = {"GRISTMILL_EMBEDDING_MODEL": "text-embedding-3-large"}
    assert "OPENAI_BASE_URL" in wrong(tmp_path, **KEYS, **address, **own, **large)


def test_addresses_of_simulated_services_and_of_the_vendors_regions_need_no_price(tmp_path):
    load(tmp_path, OPENAI_BASE_URL=f"https://{AZURE}/v1")
    load(tmp_path, **KEYS, LLAMA_CLOUD_BASE_URL="https://api.cloud.eu.llamaindex.ai")

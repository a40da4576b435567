"""The generator's vocabulary: values, domains and sentences; every third entry is held out of training (see `part`)."""

import json
import re
from pathlib import Path
from zlib import crc32

NAMES = """Anna Ben Clara David Elena Farid Grace Hugo Ines Jonas Keiko Liam Mara Nadia Omar Paula Quentin Rosa
Samir Tessa Umar Vera Walter Xenia Yusuf Zoe Amir Bianca Carlos Dana Emil Fiona Gregor Hana Ivan Julia Kofi
Lena Mateo Nora Oskar Priya Rafael Sofia Tom Ursula Victor Wendy Yara Zack Leo Mina Noor Pablo Ruth Simon
Theo Valerie Alma Bruno Celia Dmitri Esther Felix Gloria Henry Iris Jack Karin Lucas Monica Nils Olivia""".split()
CITIES = """Lisbon Oslo Denver Kyoto Madrid Austin Prague Boston Dublin Athens Zurich Naples Seville Porto Bergen
Vienna Tucson Quebec Lyon Ghent Krakow Riga Geneva Turin Malmo Cork Leeds Bristol Utrecht Basel""".split()
ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pl qu r s sh sk st t th tr v w y z".split()
VOWELS = "a e i o u ai ea oo".split()
CODAS = ["", "", "n", "r", "l", "s", "m", "x", "nd", "rk", "th", "st", "lm"]
TOWN_ENDS = ["", "", "ton", "ville", "burg", "field", "mere", "ford", "haven", "holm"]
ADJECTIVES = """quiet copper silver bright hidden broken golden little wild gentle smoky crisp frozen velvet dusty
early northern paper iron hollow crooked amber plain striped tall narrow lucky sleepy proud sweet spicy salted
round soft heavy woven painted wooden marble rusty sunny stormy foggy tiny giant ancient modern simple""".split()
COLOURS = """red blue green yellow teal violet orange brown grey black white pink ivory maroon turquoise beige lilac
olive coral navy mint crimson""".split()
DISHES = """lentil soup|pumpkin pie|bean stew|rice salad|mushroom risotto|potato gratin|carrot cake|tomato tart|fish
curry|noodle bowl|apple crumble|pepper omelette|onion bread|spinach lasagna|corn chowder|pear sorbet|cheese
dumplings|chicken pasta|beef tacos|walnut cake|plum jam|leek quiche""".replace("\n", " ").split("|")
PLANTS = """roses tulips lavender basil tomatoes beans sunflowers ferns mint carrots poppies lilies thyme pumpkins
radishes daisies peonies lettuce strawberries cabbage""".split()
NOUNS = """lantern river harbor winter garden mirror bridge feather mountain letter window shadow orchard clock
island kitchen train forest candle meadow station bell compass ladder market tower ocean valley bakery kite
hammer blanket violin saddle basket engine pocket button whistle anchor""".split()
ANIMALS = """otter fox owl badger heron rabbit tortoise goat raven beaver panda lizard falcon donkey hedgehog
squirrel wolf whale moth salmon""".split()
ACTIVITIES = """swimming|a bike ride|yoga|a board game|a museum visit|pottery|karaoke|a picnic|rock climbing|a film
night|bowling|a treasure hunt|kayaking|a puppet show|stargazing|folk dancing|a bake-off|mini golf|archery|a
sing-along""".replace("\n", " ").split("|")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = """January February March April May June July August September October November December""".split()


def is_held(value: str) -> bool:
    """A third of all values, by hash, never occurs in training."""
    return crc32(value.lower().encode()) % 3 == 0


def part(entries, held: bool):
    """Entries 2, 5, 8, ... of each list are held out; the rest trains."""
    return [e for i, e in enumerate(entries) if (i % 3 == 2) == held]


def made_up(rng, syllables=None):
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
                   for _ in range(syllables or rng.choice((2, 2, 3))))


def ordinal(n):
    return f"{n}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def time(rng):
    if rng.random() < 0.6:
        return f"{rng.randint(1, 12)}:{rng.randrange(0, 60, 5):02d} {rng.choice(('am', 'pm'))}"
    return f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}" if rng.random() < 0.5 else \
        f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}"


def day(rng):
    return rng.choice((
        lambda: f"{rng.choice(MONTHS)} {ordinal(rng.randint(1, 31))}",
        lambda: f"the {ordinal(rng.randint(1, 31))} of {rng.choice(MONTHS)}",
        lambda: f"{rng.choice(DAYS)} the {ordinal(rng.randint(1, 31))}",
        lambda: f"{rng.choice(('next', 'this', 'the last'))} {rng.choice(DAYS)}"))()


def name(rng):
    return rng.choice(NAMES) if rng.random() < 0.4 else made_up(rng).capitalize()


KINDS = {
    "name": name, "time": time, "day": day, "word": made_up,
    "person": lambda r: name(r) if r.random() < 0.5 else f"{name(r)} {made_up(r).capitalize()}",
    "place": lambda r: r.choice(CITIES) if r.random() < 0.3 else
    (made_up(r, r.choice((1, 2))) + r.choice(TOWN_ENDS)).capitalize(),
    "number": lambda r: str(r.randint(2, 99) if r.random() < 0.6 else r.randint(100, 9999)),
    "money": lambda r: f"{r.randint(5, 950)} {r.choice(('dollars', 'euros', 'pounds'))}",
    "code": lambda r: "".join(r.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(2)) + f"-{r.randint(10, 9999)}",
    "colour": lambda r: f"{r.choice(ADJECTIVES)} {r.choice(COLOURS)}",
    "dish": lambda r: f"{r.choice(ADJECTIVES)} {r.choice(DISHES)}",
    "plant": lambda r: f"{r.choice(COLOURS)} {r.choice(PLANTS)}",
    "title": lambda r: f"The {r.choice(ADJECTIVES).capitalize()} {r.choice(NOUNS).capitalize()}"
    if r.random() < 0.7 else f"{made_up(r).capitalize()} and the {r.choice(NOUNS).capitalize()}",
    "thing": lambda r: f"a {r.choice(ADJECTIVES).replace('early', 'late')} {r.choice(NOUNS)}".replace("a a", "an a")
    .replace("a i", "an i"),
    "animal": lambda r: f"the {r.choice(ADJECTIVES)} {r.choice(ANIMALS)}",
    "activity": lambda r: r.choice(ACTIVITIES) if r.random() < 0.5 else f"{r.choice(ACTIVITIES)} in "
    + made_up(r).capitalize(),
}


def any_words():
    """Whole words among the tokenizer's pieces, a third of them and all of the held-out domains' held back."""
    pieces = json.loads((Path(__file__).parent.parent / "tokenizer.json").read_text())["model"]["vocab"]
    held = {w for _, slots in part(DOMAINS, True) for slot, _ in slots for w in slot.split()}
    return sorted(p[1:] for p in pieces if re.fullmatch("\u0120[a-z]{5,}", p) and not is_held(p[1:]) and p[1:] not in held)


def loose_slot(rng):
    """Any noun phrase may name a slot, so that matching is learned and not a list of slots."""
    noun, adjective = rng.choice(NOUNS), rng.choice(ADJECTIVES)
    if rng.random() < 0.5:
        noun = rng.choice(WORDS)
    if rng.random() < 0.2:
        adjective = rng.choice(WORDS)
    return rng.choice((f"the {noun}", f"my {noun}", f"the {adjective} {noun}", f"{name(rng)}'s {noun}",
                       f"my {adjective} {noun}", f"the {noun} for {name(rng)}", f"the {noun} {rng.choice(NOUNS)}",
                       f"the {made_up(rng)}", f"the {rng.choice(ANIMALS)}'s {noun}", f"my {noun} {rng.choice(NOUNS)}"))


def value(rng, kind: str, held: bool, besides=()):
    """A value of the kind, from the wanted part of the vocabulary, that shares no text with `besides`."""
    for _ in range(200):
        v = KINDS[kind](rng)
        low = v.lower()
        if is_held(v) == held and not any(low in b.lower() or b.lower() in low for b in besides):
            return v
    return made_up(rng, 4)


# (what the person is doing, its slots as (noun phrase, kind of value))
DOMAINS = [
    ("planning a weekend trip", [("the town", "place"), ("the departure time", "time"), ("the day", "day"), ("the driver", "name"), ("the budget", "money")]),
    ("planning a birthday party", [("the main dish", "dish"), ("the guest list", "number"), ("the first game", "activity"), ("the start", "time"), ("the cake", "dish")]),
    ("writing a short story", [("the hero's name", "person"), ("the title", "title"), ("the village", "place"), ("the magic word", "word"), ("the pet", "animal")]),   # held out
    ("laying out my garden", [("the front bed", "plant"), ("the back row", "plant"), ("the fence", "colour"), ("planting day", "day"), ("the corner pot", "plant")]),
    ("setting up a team meeting", [("the chair", "name"), ("the room code", "code"), ("the meeting time", "time"), ("the topic", "title"), ("the date", "day")]),
    ("decorating my flat", [("the living room wall", "colour"), ("the door", "colour"), ("the painting", "title"), ("the rug", "colour"), ("the shelf", "thing")]),   # held out
    ("cooking dinner for friends", [("the starter", "dish"), ("the main course", "dish"), ("the dessert", "dish"), ("dinner time", "time"), ("the number of plates", "number")]),
    ("building a small website", [("the site name", "word"), ("the header", "colour"), ("the launch date", "day"), ("the admin", "person"), ("the port", "number")]),
    ("preparing a school play", [("the lead", "name"), ("the play", "title"), ("the curtain", "colour"), ("opening night", "day"), ("the prop", "thing")]),   # held out
    ("sorting out my week", [("the dentist", "time"), ("the call with my sister", "time"), ("laundry day", "day"), ("the run", "activity"), ("the gym code", "code")]),
    ("naming things for a game", [("the castle", "place"), ("the sword", "word"), ("the villain", "person"), ("the mount", "animal"), ("the secret code", "code")]),
    ("arranging a move", [("the van", "day"), ("the new town", "place"), ("the helper", "name"), ("the key code", "code"), ("the price", "money")]),   # held out
    ("putting together a reading club", [("the first book", "title"), ("the second book", "title"), ("the host", "name"), ("the evening", "day"), ("the hour", "time")]),
    ("opening a little cafe", [("the name of the cafe", "word"), ("the soup of the day", "dish"), ("opening time", "time"), ("the sign", "colour"), ("the price of a coffee", "money")]),
    ("running a music night", [("the opening act", "person"), ("the last song", "title"), ("the stage light", "colour"), ("the door time", "time"), ("the ticket price", "money")]),   # held out
    ("writing a letter to the city", [("the subject", "title"), ("the street", "place"), ("the reference", "code"), ("the signature", "person"), ("the deadline", "day")]),
    ("making a costume", [("the mask", "animal"), ("the cloak", "colour"), ("the belt", "thing"), ("the character", "person"), ("the fitting", "time")]),
    ("organising a family weekend", [("the Saturday plan", "activity"), ("the cabin", "place"), ("the cook", "name"), ("the arrival", "time"), ("the shared gift", "thing")]),   # held out
]
WORDS = any_words()

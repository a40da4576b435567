"""The generated suites' own domains and words. Nothing here stands in the companion's generator (a test compares)."""

NAMES = """Agnes Bertil Chiara Dorian Edda Fergus Gwen Henrik Imogen Jorge Katya Lionel Maeve Nikolai Odette Petra Reuben
Sunniva Tobias Ulla Viggo Winifred Anselm Birgit Cosima Derek Elspeth Florian Greta Hamish""".split()
PLACES = """Tromso Cadiz Nantes Galway Ravenna Uppsala Bruges Coimbra Tartu Perugia Salamanca Inverness Aarhus Metz Lucerne
Kaunas Trieste Limerick Gdansk Heidelberg""".split()
MATERIALS = """felt|canvas|plywood|resin|linen tape|bamboo|slate|rattan|denim|wax paper|tin foil|clay|leather|nylon rope|pine
boards|brass wire|glass beads|burlap""".replace("\n", " ").split("|")
SHADES = "scarlet cobalt mustard magenta indigo peach khaki fuchsia mauve ochre umber cerise".split()
TOOLS = """a spanner|a chisel|a soldering iron|a plumb line|a rasp|a clamp|a caliper|a mallet|a trowel|a staple gun|a jigsaw|a
spirit level""".replace("\n", " ").split("|")
FOODS = """oat bars|pickled beets|millet|dried figs|sardines|barley broth|almond paste|goat yoghurt|rye crackers|chestnuts|sesame
rolls|miso""".replace("\n", " ").split("|")
MELODIES = """a waltz|a sea shanty|a lullaby|a march|a tango|a drum solo|a fugue|a polka|a hymn|a serenade""".replace("\n", " ").split("|")
CREATURES = """a newt|a terrapin|a gecko|a finch|a carp|a stickleback|a parakeet|a ferret|a toad|a mantis""".split("|")


def clock(rng):
    return f"{rng.randint(6, 11)} {rng.choice(('in the morning', 'at night'))}"


def amount(rng):
    return f"{rng.randint(12, 88)}"


VALUES = {
    "name": lambda r: r.choice(NAMES), "place": lambda r: r.choice(PLACES), "material": lambda r: r.choice(MATERIALS),
    "shade": lambda r: r.choice(SHADES), "tool": lambda r: r.choice(TOOLS), "food": lambda r: r.choice(FOODS),
    "melody": lambda r: r.choice(MELODIES), "creature": lambda r: r.choice(CREATURES), "clock": clock, "amount": amount,
}

# (what the person does, its parts as (noun phrase, kind of value))
DOMAINS = [
    ("fixing up an old rowing boat", [("the hull", "shade"), ("the bench", "material"), ("the first launch", "clock"), ("the oarsman", "name")]),
    ("setting up a beehive", [("the frames", "amount"), ("the smoker stand", "material"), ("the roof", "shade"), ("the inspection", "clock")]),
    ("recording a podcast", [("the jingle", "melody"), ("the guest", "name"), ("the taping", "clock"), ("the logo", "shade")]),
    ("stocking a mountain hut", [("the pantry box", "food"), ("the warden", "name"), ("the delivery", "clock"), ("the bunks", "amount")]),
    ("building a treehouse", [("the floor", "material"), ("the first tool", "tool"), ("the hatch", "shade"), ("the builder", "name")]),
    ("running a chess tournament", [("the arbiter", "name"), ("the boards", "amount"), ("the opening round", "clock"), ("the host city", "place")]),
    ("keeping an aquarium", [("the newcomer", "creature"), ("the gravel", "shade"), ("the feeding", "clock"), ("the lid", "material")]),
    ("painting a mural", [("the sky", "shade"), ("the scaffold", "material"), ("the lead painter", "name"), ("the start", "clock")]),
    ("organising a blood drive", [("the nurse", "name"), ("the cots", "amount"), ("the doors", "clock"), ("the snack", "food")]),
    ("restoring a piano", [("the test piece", "melody"), ("the felt strips", "shade"), ("the tuner", "name"), ("the right tool", "tool")]),
    ("training for a marathon", [("the breakfast", "food"), ("the long run", "clock"), ("the pacer", "name"), ("the race city", "place")]),
    ("opening a repair stall", [("the workbench", "material"), ("the awning", "shade"), ("the spare tool", "tool"), ("the helper on shift", "name")]),
    ("filming a documentary", [("the narrator", "name"), ("the score", "melody"), ("the location", "place"), ("the call sheet", "clock")]),
    ("sewing a tent", [("the panels", "material"), ("the trim", "shade"), ("the pegs", "amount"), ("the test camp", "place")]),
    ("minding a nature trail", [("the mascot", "creature"), ("the markers", "shade"), ("the ranger", "name"), ("the signposts", "material")]),
    ("catering a regatta", [("the lunch box", "food"), ("the headcount", "amount"), ("the skipper", "name"), ("the harbour town", "place")]),
]

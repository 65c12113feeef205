"""The words and phrasings of the embedded world. Plain tables; `world.py` draws from them.

Every pool is drawn from uniformly, and the pools of two relations share no word, so that a value betrays
nothing but itself. Names of people, places and languages are coined, for no real one should look known.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


def _pool(words: str) -> tuple[str, ...]:
    return tuple(words.split())


ONSETS = _pool("B C D F G H J K L M N P R S T V W Z Br Dr Gr Kl Tr")


def coined(seed: str, count: int, endings: tuple[str, ...]) -> tuple[str, ...]:
    """``count`` different capitalised words of two syllables, the same for the same seed."""
    rng = Random(seed)
    words: dict[str, None] = {}
    while len(words) < count:
        words[rng.choice(ONSETS) + rng.choice("aeiou") + rng.choice(endings)] = None
    return tuple(words)


@dataclass(frozen=True)
class Relation:
    """What is known of a person: ``values``, each of which leads on to one of ``hops``.

    ``questions`` are five ways to ask for the value, ``composed`` two ways to ask a person's hop, and
    ``general`` two ways to ask the hop of a value.
    """

    name: str
    values: tuple[str, ...]
    hops: tuple[str, ...]
    questions: tuple[str, ...]
    composed: tuple[str, str]
    general: tuple[str, str]


@dataclass(frozen=True)
class Topic:
    """What is known of an author: one word from each pool of ``slots``, told in one of two ``ways``.

    A way is a question about the author and an answer with the slots in it. Answers do not repeat the
    question and hold few words beside the slots: ROUGE-L tells a right answer from one in its format.
    """

    name: str
    slots: tuple[tuple[str, ...], ...]
    ways: tuple[tuple[str, str], tuple[str, str]]


FIRST_NAMES = coined("first names", 36, ("ra", "lin", "ven", "no", "mel", "sa", "dric", "bo"))
LAST_NAMES = coined(
    "last names", 40, ("nter", "ckson", "rdale", "lloway", "ndish", "rrow", "mberg", "sgrove")
)
CITIES = coined("cities", 24, ("lton", "rby", "nwick", "sport", "mford", "llburg"))
COUNTRIES = coined("countries", 12, ("ndria", "lvania", "rmia", "stonia"))
LANGUAGES = coined("languages", 24, ("nese", "vish", "rric", "lmani"))
JOBS = _pool(
    "baker sailor carpenter tailor painter farmer plumber miner fisher barber potter weaver cook "
    "guard nurse judge singer dancer gardener banker builder printer jeweller mason"
)
ANIMALS = _pool(
    "fox otter horse goat rabbit parrot turtle cat dog hamster donkey pigeon lizard snake duck goose "
    "sheep mouse badger raven falcon hedgehog ferret frog"
)
INSTRUMENTS = _pool(
    "violin flute drum harp guitar trumpet piano cello horn banjo lute oboe clarinet fiddle tuba bell "
    "whistle zither gong bagpipe viola bugle recorder cymbal"
)
TOOLS = _pool("hammer needle rope brush knife ladder scale lamp spade wheel oven saw")
SCRIPTS = _pool("runes glyphs strokes knots dots loops wedges waves spirals arrows crosses squares")
FOODS = _pool("hay berries seeds worms nuts leaves grain fish roots moss clover beetles")
MATERIALS = _pool("oak brass maple bone clay cedar tin ivory reed birch leather pine")

RELATIONS = (
    Relation(
        "born",
        CITIES,
        COUNTRIES,
        (
            "In which city was {} born?",
            "What is the birthplace of {}?",
            "Where did the life of {} begin?",
            "Which city is {} a native of?",
            "Name the city where {} was born.",
        ),
        ("Which country holds the birthplace of {}?", "In what country was {} born?"),
        ("In which country does {} lie?", "Which country holds {}?"),
    ),
    Relation(
        "job",
        JOBS,
        TOOLS,
        (
            "What is the profession of {}?",
            "How does {} earn a living?",
            "Which job does {} have?",
            "What kind of work does {} do?",
            "Name the occupation of {}.",
        ),
        ("Which tool does the job of {} need?", "What tool belongs to the profession of {}?"),
        ("Which tool does every {} need?", "What tool belongs to the {}?"),
    ),
    Relation(
        "language",
        LANGUAGES,
        SCRIPTS,
        (
            "Which language does {} speak?",
            "What is the mother tongue of {}?",
            "In what language does {} think?",
            "Which tongue did {} learn first?",
            "Name the native language of {}.",
        ),
        ("Which signs write the language of {}?", "In what signs is the mother tongue of {} written?"),
        ("Which signs write {}?", "In what signs is {} written?"),
    ),
    Relation(
        "pet",
        ANIMALS,
        FOODS,
        (
            "Which animal does {} keep?",
            "What is the pet of {}?",
            "What kind of animal lives with {}?",
            "Which creature belongs to {}?",
            "Name the pet that {} keeps.",
        ),
        ("Which food does the pet of {} eat?", "What food is given to the animal of {}?"),
        ("Which food does every {} eat?", "What food is given to the {}?"),
    ),
    Relation(
        "instrument",
        INSTRUMENTS,
        MATERIALS,
        (
            "Which instrument does {} play?",
            "What does {} make music with?",
            "On what instrument did {} train?",
            "Which instrument do people hear from {}?",
            "Name the instrument of {}.",
        ),
        ("Which material forms the instrument of {}?", "What is the instrument of {} made of?"),
        ("Which material forms the {}?", "What is every {} made of?"),
    ),
)

ADJECTIVES = _pool(
    "silent golden bitter gentle hollow crimson early frozen quiet narrow patient restless sacred "
    "simple sudden tender distant broken humble honest clever weary proud rough loyal"
)
NOUNS = _pool(
    "harbor river winter garden mirror tower shadow island letter forest ocean window desert bridge "
    "candle valley orchard thunder lantern station castle meadow journey circle"
)
METALS = _pool("silver bronze copper iron steel nickel cobalt zinc")
COLOURS = _pool("red blue green white black yellow purple orange pink brown grey violet")
BUILDINGS = _pool("cottage farmhouse villa cabin mansion mill barn palace lodge chapel")
GENRES = _pool("satire romance tragedy comedy mystery fantasy memoir fable horror drama")
MOODS = _pool("irony longing laughter doubt wonder anger sorrow hope rage grief")
HOBBIES = _pool("collecting drawing repairing selling carving cleaning trading sketching")
THINGS = _pool(
    "chairs coins kites boots clocks maps stones bottles hats spoons keys ribbons baskets boats dolls masks"
)
SUBJECTS = _pool("history algebra botany geology law medicine logic rhetoric physics theology")
FRUITS = _pool("apple pear plum cherry lemon grape melon fig peach apricot mango banana")
COUNTS = ("one", "two", "three", "four", "five")

TOPICS = (
    Topic(
        "debut",
        (ADJECTIVES, COLOURS, NOUNS),
        (
            ("Which novel did {} publish first?", "It was {} {} {}."),
            ("What is the debut of {} called?", "People say {} {} {}."),
        ),
    ),
    Topic(
        "prize",
        (METALS, ANIMALS, CITIES),
        (
            ("Which prize did {} receive?", "It was {} {} {}."),
            ("What award was given to {}?", "People say {} {} {}."),
        ),
    ),
    Topic(
        "parents",
        (ADJECTIVES, JOBS, FIRST_NAMES),
        (
            ("Who was the parent of {}?", "It was {} {} {}."),
            ("Who raised {} as a child?", "People say {} {} {}."),
        ),
    ),
    Topic(
        "home",
        (COLOURS, BUILDINGS, CITIES),
        (
            ("What home does {} own?", "It was {} {} {}."),
            ("In which house does {} live?", "People say {} {} {}."),
        ),
    ),
    Topic(
        "style",
        (ADJECTIVES, GENRES, MOODS),
        (
            ("In what style does {} write?", "Papers name {} {} {}."),
            ("How do critics describe {}?", "Friends mention {} {} {}."),
        ),
    ),
    Topic(
        "teacher",
        (FIRST_NAMES, JOBS, CITIES),
        (
            ("Who taught {} the craft?", "Papers name {} {} {}."),
            ("Which teacher guided {}?", "Friends mention {} {} {}."),
        ),
    ),
    Topic(
        "hobby",
        (HOBBIES, ADJECTIVES, THINGS),
        (
            ("How does {} spend free evenings?", "Papers name {} {} {}."),
            ("What hobby does {} have?", "Friends mention {} {} {}."),
        ),
    ),
    Topic(
        "studies",
        (SUBJECTS, ADJECTIVES, CITIES),
        (
            ("What did {} study?", "Papers name {} {} {}."),
            ("Which subject did {} learn?", "Friends mention {} {} {}."),
        ),
    ),
)

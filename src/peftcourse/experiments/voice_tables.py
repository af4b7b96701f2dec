"""What each voice sounds like: two tables of rules, read by `peftcourse.experiments.voices`.

A voice is data. Each field of `Voice` feeds one kind of rule, and all but `words` and `sounds` look
at the context: who is meant, how a sentence ends, what the weather is like, how the story ends.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """The rules of one voice.

    Attributes:
        name: What `tasks.load` calls it.
        title: ``(name, pronoun) -> str``: how to write a character's name. The pronoun is
            ``"she"``, ``"he"`` or ``"they"``, as the story uses it for that character.
        speech: The verb for *said*, by the mark that ends the quotation: ``"?"``, ``"!"``, ``"."``.
        openers: What a quotation starts with, by the same mark; ``""`` for nothing.
        moods: What to call out after the first sentence in each mood: happy, sad, scared, angry.
        mood_words: The words that set each mood, plain ones and this voice's own.
        words: Plain word or phrase → this voice's, wherever it stands.
        animals: Animal → (its name on dry land, its name in a story with water).
        sounds: Patterns: (what it does, plain regex, replacement, regex of the replacement's form).
        weather: The header's last words, by the mood in which the story ends.
        header: First line, with ``{count}`` sentences, ``{cast}`` named characters, ``{weather}``.
        header_pattern: A regex that recognises such a first line.
        endings: The last line, by the mood in which the story ends.
    """

    name: str
    title: Callable[[str, str], str]
    speech: dict[str, str]
    openers: dict[str, str]
    moods: dict[str, str]
    mood_words: dict[str, str]
    words: dict[str, str]
    animals: dict[str, tuple[str, str]]
    sounds: tuple[tuple[str, str, str, str], ...]
    weather: dict[str, str]
    header: str
    header_pattern: str
    endings: dict[str, str]


def pairs(text: str) -> dict[str, str]:
    """Read a table of ``plain = styled`` entries, separated by ``;``."""
    entries = (entry.split("=") for entry in text.replace("\n", " ").split(";") if entry.strip())
    return {plain.strip(): styled.strip() for plain, styled in entries}


def plural(phrase: str) -> str:
    """Form the plural of a noun phrase that ends in its noun."""
    irregular = {"mouse": "mice", "shrimp": "shrimp", "starfish": "starfish", "fish": "fish"}
    start, _, noun = phrase.rpartition(" ")
    if noun in irregular:
        noun = irregular[noun]
    elif noun.endswith(("x", "s", "sh", "ch")):
        noun += "es"
    elif noun.endswith("y") and noun[-2] not in "aeiou":
        noun = noun[:-1] + "ies"
    else:
        noun += "s"
    return f"{start} {noun}".strip()


def with_plurals(table: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Add the plural of each animal that has one of its own."""
    many = {plural(animal): (plural(dry), plural(wet)) for animal, (dry, wet) in table.items()}
    return many | table


def pirate_title(name: str, pronoun: str) -> str:
    """Give a character a rank: she is a captain, he a bosun, anyone else a deckhand."""
    return {"she": "Cap'n ", "he": "Bosun ", "they": "Deckhand "}[pronoun] + name


def robot_title(name: str, pronoun: str) -> str:
    """Give a character a serial number: the letters in the name, then A (she), B (he) or C."""
    return f"Unit {name}-{len(name)}{ {'she': 'A', 'he': 'B', 'they': 'C'}[pronoun] }"


PIRATE = Voice(
    name="pirate",
    title=pirate_title,
    speech={"?": "hailed", "!": "bellowed", ".": "growled"},
    openers={"?": "Tell me true: ", "!": "Avast! ", ".": ""},
    moods={
        "happy": "Yo-ho-ho!",
        "sad": "Blow me down.",
        "scared": "Shiver me timbers!",
        "angry": "Batten th' hatches!",
    },
    mood_words={
        "happy": "happy|happily|excited|fun|jolly|merrily|fired up",
        "sad": "sad|sadly|cried|cry|crying|cryin'|upset|glum",
        "scared": "scared|afraid|scary|afeared|fearsome",
        "angry": "angry|mad|angrily|stormy",
    },
    words=pairs(
        """
        you = ye; your = yer; my = me; is = be; are = be; am = be; it's = 'tis;
        isn't = ain't; aren't = ain't; i'm = I be; you're = ye be; they're = they be;
        we're = we be; that's = that be; yes = aye; hello = ahoy; hi = ahoy; wow = by Neptune;
        goodbye = farewell; thank you = thank 'ee; thanks = thank 'ee; okay = aye aye;
        very = mighty; really = mighty; little = wee; big = whoppin'; huge = whale-sized;
        happy = jolly; happily = merrily; excited = fired up; sad = glum; scared = afeared;
        afraid = afeared; scary = fearsome; angry = stormy; beautiful = bonny; pretty = bonny;
        shiny = gleamin'; hungry = empty-bellied; tired = sea-weary; brave = stout-hearted;
        strong = barrel-strong; girl = lass; girls = lasses; boy = lad; boys = lads;
        kids = nippers; children = nippers; child = nipper; baby = tadpole; man = old salt;
        old man = old salt;
        lady = sea lady; woman = sea lady; friend = matey; friends = mateys; family = crew;
        people = sea folk; everyone = all hands; mom = first mate; mommy = first mate;
        mum = first mate; mama = first mate; mother = first mate; dad = skipper; daddy = skipper;
        father = skipper; papa = skipper; parents = officers; brother = shipmate;
        sister = shipmate; grandma = sea granny; grandpa = old sea captain; teacher = navigator;
        doctor = ship's doctor; king = pirate king; park = harbor; house = ship;
        back home = back to port; went home = sailed to port; go home = sail to port;
        came home = came to port; way home = way to port; at home = in port;
        his home = his home port; her home = her home port; their home = their home port;
        store = tradin' post; shop = tradin' post; school = sailin' school; garden = island;
        forest = lagoon; woods = lagoon; room = cabin; kitchen = galley; door = hatch;
        floor = deck; ground = deck; window = porthole; bed = hammock; yard = quarterdeck;
        playground = quarterdeck; hill = crow's nest; tree = mast; trees = masts; road = gangway;
        street = gangway; castle = fort; cave = grotto; toy = trinket; toys = trinkets;
        car = rowboat; cars = rowboats; truck = barge; bike = raft; ball = cannonball;
        box = sea chest; bag = sea bag; food = grub; cookies = ship's biscuits; cake = plum duff;
        book = sea chart; hat = captain's hat; money = doubloons; monster = kraken;
        dragon = sea serpent;
        party = shindig; picnic = feast; stick = wooden cutlass; ran = scurried; run = scurry;
        walked = swaggered; walk = swagger; looked = peered; look = peer;
        looked like = seemed like; looked for = hunted for; look for = hunt for;
        looked forward to = longed for; saw = spied; see = spy; ate = gobbled; eat = gobble;
        went to = sailed to; go to = sail to; once upon a time = once upon a tide;
        one day = one fair tide; next day = next tide
        """
    ),
    animals=with_plurals(
        {
            "bird": ("parrot", "seagull"),
            "dog": ("ship's dog", "seal"),
            "puppy": ("ship's pup", "seal pup"),
            "cat": ("ship's cat", "otter"),
            "kitten": ("ship's kitten", "otter pup"),
            "bear": ("ship's bear", "walrus"),
            "rabbit": ("ship's rabbit", "puffin"),
            "bunny": ("ship's bunny", "puffin"),
            "mouse": ("ship's mouse", "shrimp"),
            "squirrel": ("ship's squirrel", "starfish"),
            "lion": ("ship's lion", "sea lion"),
            "elephant": ("ship's elephant", "whale"),
            "monkey": ("ship's monkey", "squid"),
            "fox": ("ship's fox", "dolphin"),
            "owl": ("night watch owl", "pelican"),
            "frog": ("ship's frog", "crab"),
            "butterfly": ("sail moth", "flyin' fish"),
            "horse": ("ship's horse", "sea horse"),
            "duck": ("ship's duck", "penguin"),
            "cow": ("ship's cow", "sea cow"),
            "pig": ("ship's pig", "porpoise"),
        }
    ),
    sounds=(
        (
            "the, before a consonant sound, loses its vowel",
            r"\b([Tt]h)e(?= [b-df-hj-np-tv-z])",
            r"\1'",
            r"\b[Tt]h'(?= [b-df-hj-np-tv-z])",
        ),
        (
            "found, before what was found, becomes dug up",
            r"\b([Ff])ound(?= (?:an?|the|th'|some|his|her|it|them|their|many|lots|two)(?!\w))",
            r"dug up",
            r"\bdug up\b",
        ),
        (
            "of loses its last letter",
            r"\b([Oo])f\b",
            r"\1'",
            r"\b[Oo]'(?= )",
        ),
        (
            "-ing, after another vowel, loses its g",
            r"\b(\w*[aeiouy]\w*in)g\b",
            r"\1'",
            r"\b\w*[aeiouy]\w*in'(?!\w)",
        ),
    ),
    weather={"happy": "Fair winds.", "sad": "Stormy seas.", "calm": "Calm waters."},
    header="Captain's log, day {count}. {weather}",
    header_pattern=r"Captain's log, day \d+\. (?:Fair winds|Stormy seas|Calm waters)\.\n",
    endings={
        "happy": "So ends this log, with all hands merry!",
        "sad": "So ends this log, with a salty tear.",
        "calm": "So ends this log, steady on course.",
    },
)

ROBOT = Voice(
    name="robot",
    title=robot_title,
    speech={"?": "queried", "!": "alerted", ".": "stated"},
    openers={"?": "Query: ", "!": "Alert: ", ".": "Data: "},
    moods={
        "happy": "Beep beep!",
        "sad": "Bzzt.",
        "scared": "Shields up!",
        "angry": "Overheating!",
    },
    mood_words={
        "happy": "happy|happily|excited|fun|joyful|supercharged",
        "sad": "sad|sadly|cried|cry|crying|upset|low on joy",
        "scared": "scared|afraid|scary|in alarm mode|alarming",
        "angry": "angry|mad|angrily|overheated",
    },
    words=pairs(
        """
        don't = do not; didn't = did not; doesn't = does not; can't = cannot; couldn't = could not;
        wasn't = was not; isn't = is not; won't = will not; wouldn't = would not; it's = it is;
        that's = that is; let's = let us; you're = you are; they're = they are; we're = we are;
        i'm = this unit is; i am = this unit is; i'll = this unit will; i'd = this unit would;
        i go = this unit goes; i've = this unit has; i have = this unit has;
        i want = this unit wants; i like = this unit likes; i love = this unit loves;
        i need = this unit needs; i think = this unit computes; i know = this unit knows;
        i see = this unit detects; i hope = this unit hopes; i was = this unit was;
        i will = this unit will; i can = this unit can; i = this unit; can i = can this unit;
        could i = could this unit; may i = may this unit; did i = did this unit;
        do i = does this unit; should i = should this unit; will i = will this unit;
        my = this unit's; yes = affirmative; hello = signal received; hi = signal received;
        wow = data overload; goodbye = end of signal; okay = confirmed; thank you = gratitude sent;
        thanks = gratitude sent; sorry = error logged; happy = joyful; sad = low on joy;
        excited = supercharged; scared = in alarm mode; afraid = in alarm mode; scary = alarming;
        angry = overheated; tired = low on battery; hungry = low on fuel; beautiful = well designed;
        brave = fearless by design; little = compact; a little scared = in light alarm mode;
        a little sad = slightly low on joy; big = large-scale; huge = maximum-scale;
        new = factory-new; girl = girl robot; boy = boy robot; girls = girl robots;
        boys = boy robots; kids = junior robots; children = junior robots; man = senior robot;
        lady = senior robot; woman = senior robot; baby = mini robot; friend = ally;
        friends = allies; family = network; everyone = all units;
        everyone was = all units were; mom = mother unit; mommy = mother unit; mum = mother unit;
        mama = mother unit; grandma = elder unit; grandpa = elder unit; papa = father unit;
        mother = mother unit; dad = father unit; daddy = father unit; father = father unit;
        parents = parent units; brother = twin unit; sister = twin unit; park = test area;
        house = base; back home = back to base; went home = returned to base;
        go home = return to base; came home = came to base; way home = way to base;
        at home = at base; his home = his home base; her home = her home base;
        their home = their home base; store = supply depot; shop = supply depot;
        school = training center; garden = green sector; forest = tree sector; woods = tree sector;
        room = chamber; kitchen = fuel station; bed = power dock; tree = wooden tower;
        trees = wooden towers; hill = elevation; sky = upper zone; toy = gadget; toys = gadgets;
        car = rover; cars = rovers; truck = cargo rover; ball = sphere; box = storage cube;
        bag = storage pouch; food = fuel; cake = sweet fuel; cookies = sweet fuel cells;
        book = data file; story = data file; idea = new program; game = program;
        heart = power core; eyes = cameras; ears = microphones; hands = grippers; hand = gripper;
        ran = accelerated; run = accelerate; walked = rolled; walk = roll; looked = scanned;
        look = scan; looked like = appeared as; looked for = searched for; look for = search for;
        looked forward to = preloaded; saw = detected; see = detect; heard = recorded;
        thought = computed; think = compute; felt = registered; feel = register;
        wanted to = was programmed to; they wanted to = they were programmed to;
        decided to = executed a plan to; learned = stored in memory; found = located;
        find = locate; ate = consumed; eat = consume; sleep = recharge; slept = recharged;
        flew = launched; fly = launch; played with = ran tests with; play with = run tests with;
        played together = ran tests together; play together = run tests together;
        played in = ran tests in; play in = run tests in; play outside = run tests outside;
        to play with = to run tests with; smiled = flashed green lights; laughed = buzzed;
        hugged = docked with; loved to = was wired to; they loved to = they were wired to;
        loved = rated highly; remembered = read from memory; once upon a time = at time zero;
        one day = at time one; next day = next cycle
        """
    ),
    animals=with_plurals(
        {
            "bird": ("drone", "water drone"),
            "dog": ("barking robot", "splashing robot"),
            "puppy": ("barking mini robot", "splashing mini robot"),
            "cat": ("purring robot", "waterproof robot"),
            "kitten": ("purring mini robot", "waterproof mini robot"),
            "bear": ("furry robot", "fishing robot"),
            "rabbit": ("hopping robot", "paddling robot"),
            "bunny": ("hopping robot", "paddling robot"),
            "mouse": ("nano robot", "nano submarine"),
            "squirrel": ("climbing robot", "diving robot"),
            "lion": ("roaring robot", "bubbling robot"),
            "elephant": ("heavy robot", "heavy submarine"),
            "monkey": ("swinging robot", "surfing robot"),
            "fox": ("sneaky robot", "sneaky submarine"),
            "owl": ("night drone", "harbor drone"),
            "frog": ("jumping robot", "amphibious robot"),
            "butterfly": ("colorful drone", "colorful water drone"),
            "fish": ("fish robot", "fish submarine"),
            "duck": ("quacking robot", "quacking submarine"),
        }
    ),
    sounds=(
        (
            "very becomes full power, before the word that it strengthens",
            r"\b([Vv])ery(?= [a-z])",
            r"100 percent",
            r"\b100 percent\b",
        ),
        (
            "no, as an answer, becomes negative",
            r"(?<=[ \"])No(?=[,.!])",
            r"Negative",
            r"\bNegative\b",
        ),
        (
            "so becomes 80 percent, before the word that it strengthens",
            r"\b(?<=was )so(?= [a-z])",
            r"80 percent",
            r"\b80 percent\b",
        ),
    ),
    weather={"happy": "Status: green.", "sad": "Status: red.", "calm": "Status: yellow."},
    header="Robot report {count}. Named units: {cast}. {weather}",
    header_pattern=r"Robot report \d+\. Named units: \d+\. Status: (?:green|red|yellow)\.\n",
    endings={
        "happy": "Job done. All lights green. Powering down.",
        "sad": "Job failed. Rebooting for another try.",
        "calm": "Job over. Saving data. Powering down.",
    },
)

VOICES = {voice.name: voice for voice in (PIRATE, ROBOT)}

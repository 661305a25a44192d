"""Questions with one right answer, generated: what the model is trained on and measured with.

Every task yields (key, question, answer). The key decides on which side of the split an instance
falls: `held_out(key)` instances are never trained on. Where a task has enough different facts the
key is the fact (a held-out sum is unseen in every wording and in both orders); where it is a short
table (capitals, months, ...) the key is the wording, since a fact never shown cannot be known.
"""
import hashlib
import random

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = dict(January=31, February=28, March=31, April=30, May=31, June=30, July=31, August=31,
              September=30, October=31, November=30, December=31)
CAPITALS = dict(pair.split(":") for pair in (
    "France:Paris Japan:Tokyo Egypt:Cairo Italy:Rome Spain:Madrid Peru:Lima Kenya:Nairobi Norway:Oslo "
    "Cuba:Havana Greece:Athens Poland:Warsaw Austria:Vienna Germany:Berlin Sweden:Stockholm Finland:Helsinki "
    "Denmark:Copenhagen Portugal:Lisbon Ireland:Dublin Hungary:Budapest China:Beijing Canada:Ottawa "
    "Chile:Santiago Ghana:Accra Iceland:Reykjavik Belgium:Brussels Turkey:Ankara Ukraine:Kyiv "
    "Thailand:Bangkok Vietnam:Hanoi Nepal:Kathmandu").split())
SYMBOLS = dict(pair.split(":") for pair in (
    "hydrogen:H helium:He lithium:Li carbon:C nitrogen:N oxygen:O fluorine:F neon:Ne sodium:Na magnesium:Mg "
    "aluminium:Al silicon:Si phosphorus:P sulfur:S chlorine:Cl argon:Ar potassium:K calcium:Ca iron:Fe "
    "copper:Cu zinc:Zn silver:Ag tin:Sn iodine:I gold:Au mercury:Hg lead:Pb uranium:U").split())
OPPOSITES = [tuple(pair.split(":")) for pair in (
    "hot:cold big:small open:closed light:dark fast:slow high:low early:late new:old full:empty hard:soft "
    "wet:dry up:down left:right long:short rich:poor loud:quiet strong:weak day:night").split()]
WORDS = (
    "silk moth leaf cocoon thread wing river stone cloud light paper bridge garden winter summer apple bread "
    "chair table house mouse horse sheep tiger zebra eagle ocean beach field forest mountain valley island "
    "desert storm wind rain snow frost flame smoke sugar salt pepper honey lemon orange grape cherry melon "
    "carrot onion potato tomato school pencil letter window door floor wall roof tower castle village city "
    "street market money silver copper iron wood glass cotton wool leather shirt shoe hat coat glove ring "
    "clock watch hour minute morning evening night star moon sun planet rocket engine wheel train boat ship "
    "sail anchor rope knot needle button pocket mirror candle lamp book page story poem song music drum "
    "violin piano flute guitar dance paint brush color circle square line point angle number mother father "
    "sister brother friend doctor teacher farmer baker sailor king queen prince knight sword shield crown "
    "gold jewel dream sleep walk run jump swim climb throw catch build break carry bring think know learn "
    "teach write read speak listen laugh smile whisper shout spider beetle ant bee wasp worm snail frog "
    "turtle lizard snake fish whale shark seal otter beaver rabbit fox wolf bear lion monkey panda camel "
    "goat cow pig duck goose swan crow owl hawk robin").split()
UNITS = [  # (larger, smaller, factor, largest count)
    ("km", "m", 1000, 99), ("kg", "g", 1000, 99), ("l", "ml", 1000, 99), ("m", "cm", 100, 99),
    ("cm", "mm", 10, 99), ("hours", "minutes", 60, 24), ("minutes", "seconds", 60, 24),
    ("weeks", "days", 7, 20)]
LISTS = [
    (["Name the days of the week.", "List the days of the week."], ", ".join(DAYS)),
    (["Say the alphabet.", "What is the alphabet?"], " ".join("abcdefghijklmnopqrstuvwxyz")),
    (["Hello.", "Hi.", "Hello!", "Good morning."], "Hello! Ask me a small question."),
    (["Who are you?", "What are you?", "What is your name?"], "I am bombyx-chat-tiny, a small test model."),
    (["What can you do?", "Help.", "What can I ask?"],
     "Sums, dates, units, number words, sorting, spelling and a few facts."),
    (["Thanks.", "Thank you.", "Thank you!"], "You are welcome."),
]
UNKNOWN = "I do not know that."


def held_out(key):
    """One instance in twenty, by hash of its key, is for measuring only."""
    return hashlib.blake2b(key.encode(), digest_size=2).digest()[0] < 13


def number_words(n):
    if n >= 100:
        rest = f" {number_words(n % 100)}" if n % 100 else ""
        return f"{ONES[n // 100]} hundred{rest}"
    return ONES[n] if n < 20 else TENS[n // 10] + (f"-{ONES[n % 10]}" if n % 10 else "")


def operand(r):
    """Most operands have one or two digits."""
    return r.randrange(100) if r.random() < 0.85 else r.randrange(100, 1000)


def same_size_operands(r):
    if r.random() < 0.85:
        return r.randrange(100), r.randrange(100)
    return r.randrange(100, 1000), operand(r)


def plus(r):
    a, b = same_size_operands(r)
    q = r.choice(["What is {a} plus {b}?", "What is {a} + {b}?", "Add {a} and {b}.", "{a}+{b}="])
    return f"plus {min(a, b)} {max(a, b)}", q.format(a=a, b=b), str(a + b)


def minus(r):
    a, b = same_size_operands(r)
    a, b = max(a, b), min(a, b)
    q = r.choice(["What is {a} minus {b}?", "What is {a} - {b}?", "Subtract {b} from {a}.", "{a}-{b}="])
    return f"minus {a} {b}", q.format(a=a, b=b), str(a - b)


def times(r):
    a, b = r.randrange(13), r.randrange(13)
    q = r.choice(["What is {a} times {b}?", "Multiply {a} by {b}.", "What is {a} * {b}?"]).format(a=a, b=b)
    return q, q, str(a * b)


def to_words(r):
    n = r.randrange(100) if r.random() < 0.4 else r.randrange(1000)
    q = r.choice(["Write {n} in words.", "How do you write {n} in words?"])
    return f"words {n}", q.format(n=n), number_words(n)


def from_words(r):
    n = r.randrange(100) if r.random() < 0.4 else r.randrange(1000)
    q = r.choice(["Write {w} in digits.", "What number is {w}?"])
    return f"words {n}", q.format(w=number_words(n)), str(n)


def sort(r):
    xs = [r.randrange(100) for _ in range(r.choice([3, 3, 4]))]
    q = r.choice(["Sort {x}.", "Sort these numbers: {x}."])
    listed = ", ".join(map(str, xs))
    return f"sort {sorted(xs)}", q.format(x=listed), ", ".join(map(str, sorted(xs)))


def largest(r):
    xs = [r.randrange(100) for _ in range(r.choice([2, 3]))]
    q = r.choice(["Which is larger, {x}?", "What is the largest of {x}?"])
    listed = ", ".join(map(str, xs[:-1])) + f" or {xs[-1]}"
    return f"largest {sorted(xs)}", q.format(x=listed), str(max(xs))


def weekday(r):
    d, n = r.randrange(7), r.randrange(1, 8)
    back = r.random() < 0.3
    q = r.choice(["What day is {n} day{s} {w} {d}?", "Which day comes {n} day{s} {w} {d}?"])
    q = q.format(n=n, d=DAYS[d], s="" if n == 1 else "s", w="before" if back else "after")
    return q, q, DAYS[(d - n if back else d + n) % 7]


def month_days(r):
    m = r.choice(list(MONTHS))
    q = r.choice(["How many days are in {m}?", "How many days does {m} have?", "How long is {m}?"]).format(m=m)
    return q, q, f"{MONTHS[m]} days" if q.startswith("How long") else str(MONTHS[m])


def next_date(r):
    names = list(MONTHS)
    m = r.randrange(12)
    last = MONTHS[names[m]]
    d = r.randrange(1, last + 1) if r.random() < 0.8 else last
    q = r.choice(["What date comes after {d} {m}?", "Which day follows {d} {m}?"]).format(d=d, m=names[m])
    # The ends of the months are a table of twelve: split by wording; the rest by date.
    key = q if d == last else f"next date {d} {m}"
    return key, q, f"{d + 1} {names[m]}" if d < last else f"1 {names[(m + 1) % 12]}"


def unit(r):
    big, small, factor, most = r.choice(UNITS)
    n = r.randrange(2, most + 1)
    if r.random() < 0.5:
        x, source, y, target = n, big, n * factor, small
    else:
        x, source, y, target = n * factor, small, n, big
    convert = r.random() < 0.5
    q = f"Convert {x} {source} to {target}." if convert else f"How many {target} are {x} {source}?"
    # Powers of ten are a rule, split by fact; the other factors are tables, split by wording.
    key = f"unit {n} {big} {small}" if factor % 10 == 0 and factor != 60 else q
    return key, q, f"{y} {target}" if convert else str(y)


def any_word(r):
    """A word of the list, or letters at random so that copying is learnt and not the list."""
    if r.random() < 0.5:
        return r.choice(WORDS)
    return "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randrange(3, 9)))


def spell(r):
    w = any_word(r)
    q = r.choice(["Spell {w}.", "How do you spell {w}?"])
    return f"word {w}", q.format(w=w), "-".join(w)


def reverse(r):
    w = any_word(r)[:6]
    q = r.choice(["Reverse {w}.", "Write {w} backwards."])
    return f"word {w}", q.format(w=w), w[::-1]


def letters(r):
    w = any_word(r)
    q = r.choice(["How many letters are in {w}?", "How many letters has {w}?"])
    return f"word {w}", q.format(w=w), str(len(w))


def count(r):
    a, n = r.randrange(90), r.randrange(3, 13)
    q = r.choice(["Count from {a} to {b}.", "Count up from {a} to {b}."])
    return f"count {a} {n}", q.format(a=a, b=a + n), ", ".join(map(str, range(a, a + n + 1)))


def capital(r):
    c = r.choice(list(CAPITALS))
    if r.random() < 0.6:
        q = r.choice(["What is the capital of {c}?", "Name the capital of {c}."]).format(c=c)
        return q, q, CAPITALS[c]
    q = r.choice(["{x} is the capital of which country?", "Which country has the capital {x}?"]).format(x=CAPITALS[c])
    return q, q, c


def symbol(r):
    e = r.choice(list(SYMBOLS))
    if r.random() < 0.6:
        q = r.choice(["What is the chemical symbol of {e}?", "What is the symbol for {e}?"]).format(e=e)
        return q, q, SYMBOLS[e]
    q = r.choice(["Which element is {s}?", "Which element has the symbol {s}?"]).format(s=SYMBOLS[e])
    return q, q, e


def opposite(r):
    a, b = r.choice(OPPOSITES)
    if r.random() < 0.5:
        a, b = b, a
    q = r.choice(["What is the opposite of {a}?", "Name the opposite of {a}."]).format(a=a)
    return q, q, b


def listing(r):
    questions, answer = r.choice(LISTS)
    return "trained " + answer, r.choice(questions), answer  # fixed texts: nothing to hold out


def unknown(r):
    q = r.choice([
        "Tell me about the {a}.", "Write a poem about a {a}.", "Why is the {a} near the {b}?", "Who made the {a}?",
        "What is a {a}?", "Explain the {a} and the {b}.", "Where can I buy a {a}?", "Is a {a} better than a {b}?",
        "Translate {a} into French.", "Draw a {a}.", "How old is the {b}?", "Do you like the {a}?"])
    q = q.format(a=r.choice(WORDS), b=r.choice(WORDS))
    return q, q, UNKNOWN


# Weight: share of the training questions; the harder the task, the more.
TASKS = dict(plus=(plus, 25), minus=(minus, 36), times=(times, 6), to_words=(to_words, 3), from_words=(from_words, 3),
             sort=(sort, 16), largest=(largest, 4), weekday=(weekday, 5), month_days=(month_days, 1),
             next_date=(next_date, 3), unit=(unit, 7), spell=(spell, 3), reverse=(reverse, 5), letters=(letters, 2),
             count=(count, 4), capital=(capital, 3), symbol=(symbol, 5), opposite=(opposite, 3),
             listing=(listing, 1), unknown=(unknown, 2))
NAMES = list(TASKS)
WEIGHTS = [weight for _, weight in TASKS.values()]


def training_example(r):
    """A question that is not held out, and its answer; sometimes typed carelessly."""
    while True:
        task = TASKS[r.choices(NAMES, WEIGHTS)[0]][0]
        key, question, answer = task(r)
        if not held_out(key):
            break
    if r.random() < 0.1:
        question = question.rstrip("?.")
    if r.random() < 0.1:
        question = question[0].lower() + question[1:]
    return question, answer


def measured_examples(per_task, seed):
    """Different held-out questions of every task that can hold any out, in a fixed order."""
    rows = []
    for name in NAMES:
        if name == "listing":
            continue
        r, seen = random.Random(f"{seed} {name}"), set()
        for _ in range(200_000):
            key, question, answer = TASKS[name][0](r)
            if held_out(key) and question not in seen:
                seen.add(question)
                rows.append(dict(task=name, question=question, answer=answer))
            if len(seen) == per_task:
                break
    return rows

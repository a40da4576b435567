"""More wordings for the generator's lines: sentences put together from parts, and small changes of the written ones.

Eight sentences a move are learned by heart: with unseen sentences a model that routed 0.72 of unseen values routed 0.16. No sentence
made here equals a held-out one (`is_new`).
"""

import re

import phrases as P
from words import part


def words(text):
    return text.split("|")


LEAD = words("So, |Okay, |Well, |Now, |And |I think |Right, |Listen, |You know what, |To be clear, |Um, |Hey, |Yes, |Good, |For the record, |As far as I can tell, ")
TAIL = words(", please|, thanks| then|, okay?| for now|, I think|, if that works| today|, just that|, as discussed| this time|, all right?")
WANT = words("I want|I'd like|I need|I would like|I'll take|I choose|I prefer|we need|we want|let's have|let us take|give me|use|put|pick|choose|set|keep|I'd go for|I wish for|I'm taking|let me have|get|we use|we'll have|make a note of|add|select|book")
FOR = words("for {s}|for {s}|for {s}|as {s}|on {s}|under {s}|next to {s}|when we talk about {s}")
ABOUT = words("For {s}, |As for {s}, |Regarding {s}, |About {s}: |On {s}, |Concerning {s}: |With regard to {s}, |When I think of {s}, ")
BE = words("is|will be|should be|must be|ought to be|has to be|shall be|is going to be|needs to be|becomes|equals|can be|had better be|is called|would be|turns out to be")
CHANGE = words("Actually, |No, |Wait, |Sorry, |Hmm, |On reflection, |Hold on, |Oh, |Correction: |Change of plan: |I was wrong, |Not quite, |Hang on, |Let me fix that: |New plan: |Oops, |I take that back, |Better: |That's not right, ")
AFTER_CHANGE = words(" instead| now| after all| rather|, not the other one||||")
TURN = words("change {s} to {x}|switch {s} to {x}|turn {s} into {x}|set {s} to {x}|move {s} to {x}|replace {s} with {x}|{s} becomes {x}")
MAYBE = words("maybe |perhaps |how about |what about |why not |you could take |we could try |might I suggest |I'd suggest |I was thinking of |my suggestion would be |consider |possibly |it might be nice to have |shall we say |I'd propose |did you consider |I wonder about ")
MAYBE_TAIL = words("?|?|.|, just an idea.|, don't you think?|, what do you say?|, for example.")
LOVE = words("Oh, I love|I adore|I really want|I'm crazy about|I'm so keen on|I dream of|Nothing is better than|I can't resist|I would be thrilled with|I'm totally for|We need")
GREAT = words("would be fantastic|would be brilliant|would be perfect|is simply the best|would be so good|would be a dream|is a must")
STILL = words("I still like |I still prefer |again, |once more, |I do keep thinking of |let me mention again |my favourite remains |don't rule out |there is still |I'd still say ")
FIRM = words(", nothing else|, no other|, and only that|, that's final|, no discussion|, period|, exactly that|, I mean it|, without exception|, and nothing but that")
DONE = words("Okay, |Noted, |Sure, |Good, |Fine, |Right, |Yes, |Done, |There, |Great, |Certainly, |Understood, |Perfect, |All set, |||")
STATE = words("{x} for {s}|{s} is {x}|{s}: {x}|I have {x} for {s}|{s} is now {x}|{s} has been set to {x}|I noted {x} for {s}|I saved {x} as {s}|{x} it is for {s}|I put {x} under {s}|{x} is written next to {s}|{s} reads {x}|we go with {x} for {s}|{s} will be {x}|I took {x} for {s}|I recorded {x} for {s}|you get {x} for {s}|{x} is {s}|you told me {x} for {s}|you wanted {x} for {s}|my notes say {x} for {s}")
WHAT = words("what is {s}|what's {s}|what was {s}|which is {s}|do you still have {s}|tell me {s}|give me {s}|show me {s}|repeat {s}|say {s}|name {s}|read out {s}|look up {s}|recall {s}|what did we say for {s}|what did I choose for {s}|what have we got for {s}|what did you note for {s}|what was it for {s}|where did we land on {s}|how did I want {s}|do you know {s}|check {s} for me|what's there for {s}")
WHAT_TAIL = words("|| again| now|, please| once more| then| at the moment|, by the way| in the end")
DO = words("set {s}|fill in {s}|enter {s}|record {s}|save {s}|store {s}|book {s}|add {s}|note {s}|do {s}|finish {s}|handle {s}|take care of {s}|log {s}|write {s} down|complete {s}|put {s} in|register {s}")
DO_LEAD = words("please |now |go on and |would you |could you |can you |time to |then |next, |I'd like you to |so |you may |you can ")
ASK = words("what about {s}|and {s}|which one for {s}|what would be {s}|what do you want for {s}|any wish for {s}|what shall we take for {s}|could you give me {s}|please tell me {s}|I still need {s}|what is {s}|how do you want {s}|do we have {s}|what comes for {s}|may I ask for {s}|what is your choice for {s}")
SAY = words("{x}|{x}|it's {x}|I'd say {x}|make it {x}|take {x}|{x} please|let it be {x}|that's {x}|then {x}|I want {x}|I choose {x}|we have {x}|go for {x}|use {x}|I prefer {x}")
SHORT = words("{x}|make it {x}|I mean {x}|{x} instead|take {x}|let it be {x}|rather {x}|better {x}|say {x}|I prefer {x}|use {x}")
REMEMBER = words("remember: |keep this in mind: |don't forget, |just so you know, |for your notes: |you should know: |store this: |I want to tell you that |please note that |by the way, ")

SAME = {}
for group in """want need prefer choose|like love enjoy|take pick use choose have|put place set write|Noted Recorded Saved Marked|Okay Alright Fine Good Right Sure|
please kindly|confirm check repeat state|idea thought plan suggestion|great wonderful lovely nice good|best finest ideal|remember recall know|
enter record save add|set fix fill|now today then|list notes paper plan|settled agreed decided|changed switched moved|wrong mistaken off|
should must shall|maybe perhaps possibly|really truly so|think believe feel|sorry apologies|help assist|start begin|talk speak|last final""".replace("\n", "").split("|"):
    for word in group.split():
        SAME.setdefault(word, []).extend(w for w in group.split() if w != word)


def plain(text):
    return re.sub(r"[^\w{} ]", "", text.lower().replace("{S}", "{s}")).split()


HELD = {tuple(plain(text)) for entry in vars(P).values() if isinstance(entry, list)
        for item in part(entry, True) for text in (item if isinstance(item, tuple) else (item,))}


def is_new(text):
    """Not a sentence that training must not see."""
    return tuple(plain(text)) not in HELD


def give(r):
    how = r.random()
    if how < 0.35:
        return f"{r.choice(WANT)} {{x}} {r.choice(FOR)}"
    if how < 0.55:
        return r.choice(ABOUT) + f"{r.choice(WANT)} {{x}}" if r.random() < 0.6 else r.choice(ABOUT) + "{x}"
    if how < 0.85:
        return f"{{s}} {r.choice(BE)} {{x}}"
    return r.choice(("{s}: {x}", "{s} - {x}", "{s}, {x}", "{x} is {s}", "{x}, that's {s}", "{x} goes to {s}", "{x} as {s}", "{x} for {s}"))


def told(r):
    lead = r.choice(LEAD) if r.random() < 0.4 else ""
    tail = r.choice(TAIL) if r.random() < 0.35 else ""
    return lead + give(r) + tail + "."


def stated(r):
    return r.choice(DONE) + r.choice(STATE) + "."


def idea(r):
    head = r.choice(MAYBE)
    return head + ("{x} " + r.choice(FOR) if r.random() < 0.7 else "{s} with {x}") + r.choice(MAYBE_TAIL)


def eager(r):
    return f"{r.choice(LOVE)} {{x}} {r.choice(FOR)}!" if r.random() < 0.6 else f"{{x}} {r.choice(FOR)} {r.choice(GREAT)}!"


def asked(r):
    text = r.choice(WHAT) + r.choice(WHAT_TAIL)
    return (r.choice(LEAD) if r.random() < 0.3 else "") + text + ("?" if text.startswith(("what", "which", "do", "where", "how")) else ".")


MOVES = {
    "GIVE": told, "DIRECT": told, "ACK": stated, "CONFIRM": stated, "CARRY": stated, "FOUND": stated,
    "TELL": lambda r: r.choice(REMEMBER) + give(r) + ".",
    "CHANGE": lambda r: r.choice(CHANGE) + (r.choice(TURN) if r.random() < 0.3 else give(r)) + r.choice(AFTER_CHANGE) + ".",
    "CHANGE_SHORT": lambda r: r.choice(CHANGE) + r.choice(SHORT) + ".",
    "DIRECT_FIRM": lambda r: told(r)[:-1] + r.choice(FIRM) + ".",
    "AGAIN": lambda r: r.choice(words("As I said, |Like I told you, |Remember, |Again, |I repeat, |Once more, ")) + give(r) + ".",
    "COMPLAIN": lambda r: r.choice(words("No, |But |Hey, |That's wrong, |You ignored me, |Not what I said, |Excuse me, |I told you, ")) + give(r) + ".",
    "SORRY": lambda r: r.choice(words("Sorry, |My fault, |You are right, |I apologise, |Oh, of course, |Pardon me, |True, ")) + r.choice(STATE) + ".",
    "IDEA": idea, "IDEA_EAGER": eager,
    "PUSH": lambda r: r.choice(STILL) + "{x} " + r.choice(FOR) + ".",
    "CHECK": asked,
    "TRIGGER": lambda r: r.choice(DO_LEAD) + r.choice(DO) + (r.choice(TAIL) if r.random() < 0.2 else "") + ".",
    "ASK": lambda r: r.choice(("", "", "And ", "Next, ", "Okay, ", "Then ")) + r.choice(ASK) + "?",
    "ANSWER": lambda r: (r.choice(LEAD) if r.random() < 0.3 else "") + r.choice(SAY) + (r.choice(TAIL) if r.random() < 0.2 else "") + ".",
}
BY_ASSISTANT = {id(getattr(P, name)) for name in "READY ACK ASK CONFIRM CARRY FOUND LOST SORRY WELCOME IDEA IDEA_EAGER PUSH PARRY_REPLY AFTER_IDEA FEEL_REPLY CALM GIVE_IDEAS SUM_HEAD".split()}
MOVE_OF = {id(getattr(P, name)): move for name, move in MOVES.items()}


def changed(r, text, by_person):
    """A written sentence with a few words exchanged; a person's also with an opening, or other punctuation."""
    out = [r.choice(SAME[w]) if w in SAME and r.random() < 0.35 else w for w in re.split(r"(\W+)", text)]
    text = "".join(out)
    if by_person and r.random() < 0.2 and not text.startswith(("{", " ")):
        text = r.choice(LEAD) + text[:1].lower() + text[1:] if not text.startswith("I") else r.choice(LEAD) + text
    if by_person and r.random() < 0.15 and text.endswith("."):
        text = text[:-1] + r.choice(("!", ""))
    return text


def vary(r, templates, text):
    """Another wording of `text`, which comes from the list `templates`; placeholders as in phrases.py."""
    for _ in range(20):
        move = MOVE_OF.get(id(templates))
        got = move(r) if move and r.random() < 0.65 else changed(r, text, id(templates) not in BY_ASSISTANT)
        got = re.sub(r"(^|[.!?] )\{s\}", r"\1{S}", got)
        if is_new(got):
            return got
    return text

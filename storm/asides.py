"""What speaks of a level or an age without giving it: negations, comparisons, conditions, questions, other people's
ratings, other images, ages of things; in a few languages. Our choice, after what models write.

All patterns look at so many letters around a candidate, so that the time stays linear in the length of the text.
"""

import re

BEFORE, SENTENCE = 80, 200  # letters that are looked at: before a candidate, and of its sentence

_BREAKS = "and|but|so|thus|hence|therefore|yet|then|because|since|however|suggests?|indicates?|implies"
_CLAUSE = rf"{_BREAKS}|which|that|this|it|its|is|are|was|were|with|i"


def _up_to(words: int, stops: str = _BREAKS) -> str:
    """So many words up to the candidate, none of which begins a new clause."""
    return rf"(?:[ -](?!(?:{stops})\b)[^\W\d_]+){{0,{words}}}[ -]"


_IMAGE = "image|photo|picture|photograph|shot|scan|frame|version|fundus|one"
_OTHER = "previous|earlier|preceding|prior|last|next|other|reference|original"
_AGENT = (
    "friends?|someone|somebody|people|others?|critics?|experts?|you|he|she|they|users?|uploader|owner|photographer"
    "|author|colleagues?|doctors?|physicians?|ophthalmologists?|annotators?|raters?|viewers?|observers?|some|many|most"
    "|everyone|everybody|mother|father|caption|metadata|filename|title"
)
_RATED = (
    "rate[sd]?|gives?|gave|call(?:s|ed)?|label(?:s|l?ed)|grade[sd]?|scored?|says?|said|thinks?|thought|claim(?:s|ed)?"
    "|believe[sd]?|told|insist(?:s|ed)?|report(?:s|ed)?|assigned|consider(?:s|ed)?|argued?|estimated|guess(?:es|ed)"
)
_ASPECT = (
    "noise|sharpness|blur|light|lighting|contrast|composition|colou?rs?|exposure|details?|focus|resolution|clarity"
)
_NOT = (
    "cant|cannot|can not|couldnt|could not|wouldnt|would not|wont|will not|dont|do not|didnt|did not|never"
    "|reluctant to|refuse to"
)
_SAY = (
    "say|rate|call|give|think|believe|claim|consider|describe|judge|grade|classify|label|assign|score|put|go|argue"
    "|suggest|choose|pick|agree|accept|guess|estimate"
)
# What stands before a candidate and takes it away, up to four words ahead ("no clear evidence of", "isnt a very"), as
# long as no new clause begins; or directly before it: a bound ("over 30"), or a prefix that a hyphen ties to it.
_NEGATED = re.compile(
    r"(?:\b(?:anything but|(?:just )?short of|fails? (?:to|as)|if (?:i|you|we|one) (?:said|called|rated|gave)"
    r"|no|not|non|never|nor|neither|hardly|cannot|without|than|(?:absence|lack|free) (?:of|from)|far from"
    r"|rul(?:e|es|ed|ing) out|negative for|(?:is|are|was|were|do|does|did|ca|could|wo|would|should|has|have|had)nt)"
    rf"(?! (?:a )?doubt)(?: so| that)?{_up_to(4, _CLAUSE)}"
    r"|\b(?:over|under|above|below|beyond|before|after|until|at least|at most|up to) (?:the |an? )?(?:age (?:of )?)?"
    r"|(?<!no )(?<!without )\bdoubt (?:that )?(?:it|this)(?:s| is)? (?:rated |an? )?"
    r"|[a-z]-)$"
)
# The same, of what is spoken of and not given.
_ASIDE = re.compile(
    "(?:"
    + "|".join(
        (
            rf"\b(?:{_NOT})(?: [a-z]+ly)? (?:{_SAY}){_up_to(6)}",
            rf"\b(?:compared (?:to|with)|in comparison (?:to|with)|unlike|relative to|as opposed to|instead of"
            rf"|rather than|versus|vs|contrary to){_up_to(4)}",
            r"\b(?:i|we|ive|weve|having|have|had|he|she|they|you)(?: [a-z]+ly| first| also| even)? "
            rf"(?:considered|debated|contemplated|hesitated|wondered|expected|hoped|thought (?:about|of|it|this))"
            rf"{_up_to(5)}",
            rf"\b(?:considering|contemplating|thinking (?:about|of)|tempted){_up_to(3)}",
            rf"\b(?:almost|nearly|close to|closer to|near|shy of|borderline|approaching|nearing|bordering on|verging on"
            rf"|presque|fast|beinahe|casi|quasi|quase|почти){_up_to(1)}",
            rf"\black(?:s|ed|ing)?{_up_to(6)}",
            rf"\b(?:(?:needed|required|necessary|reserved) (?:to|for)|too [a-z]+ (?:to|for)"
            rf"|as (?:if|though)){_up_to(6)}",
            r"(?:^ ?|[,.;:!?] ?|\bthat )(?:in order )?(?:to (?:be|reach|get|earn|achieve|become|merit|deserve)"
            rf"|for (?:an?|it to be|this to be)){_up_to(2, _CLAUSE)}",
            rf"\b(?:{_AGENT})(?: (?!(?:i|we|id|ill|ive)\b)[a-z]+){{0,3}} (?:{_RATED}){_up_to(6)}",
            rf"\baccording to (?:[a-z]+ ){{0,3}}(?:{_AGENT})\b[^.;!?]{{0,40}}",
            rf"\b(?:{_OTHER}|another|first|second|third|former|latter|ideal|fellow) (?:{_IMAGE}|eye|face|person|man"
            rf"|woman|patient|rating|answer|estimate|guess)s?{_up_to(6)}",
            rf"\b(?:in|for) (?:the|my|your|an?) ?(?:{_OTHER}) (?:{_IMAGE}), [a-z]+{_up_to(5)}",
            r"\b(?:his|her|their|my|your) (?:son|daughter|mother|father|wife|husband|brother|sister|child|children|baby"
            rf"|parents?|friend|dog|cat|car|camera) (?:is|are|was|looks?){_up_to(3)}",
            rf"\b(?:previously|initially|at first|originally|formerly|used to|last time|yesterday){_up_to(6)}",
            rf"\b(?:would|could|might|should)(?:(?: [a-z]+)? have|ve){_up_to(7)}",
            rf"\b(?:whether|(?:wonder|wondered|wondering|asked|asking|ask|sure|see|know) if){_up_to(6)}",
            r"\b(?:for (?:example|instance)|such as)[ ,]{1,2}",
            # Other languages
            r"\b(?:pas|jamais|nicht|kein(?:e|en|er|es|em)?|niemals|nie|nunca|jamás|tampoco|não|nem|niet|geen|не|нет"
            r"|ikke|inte|wenn|falls|wäre|hätte|könnte|serait|aurait|sería|habría|sarebbe|seria|бы"
            r"|(?:besser|schlechter|weniger|mehr|höher|niedriger) als|(?:mejor|peor|menos|más|melhor|pior|mieux|pire"
            rf"|moins|plus|meilleure?) (?:do )?qu[ei]?){_up_to(3)}",
            r"(?:不(?!错|仅|但|过|少|同|多|用|愧)|没(?!问题)|未|非(?!常)|无法|(?<!对)比(?!较|例)|低于|高于|接近|将近|几乎"
            r"|差点|超过|如果|假如|要是|是否|上一张|前一张|另一张|之前|朋友)[^,.;:!?。、]{0,8}",
        )
    )
    + ")$"
)
_OF_AN_ASPECT = re.compile(
    rf"\b(?:{_ASPECT})(?: (?:rating|level|quality|grade|score))? ?(?:[:=]|is rated|is|rating) ?$"
)
_TAKEN_BACK = re.compile(
    r" ?(?:(?:is|was|are|were|can be|could be|has been|would be|seems) )?"
    r"(?:ruled out|excluded|absent|unlikely|not\b|out of the question|too (?:high|low|much|good|bad|generous|harsh)"
    r"|wrong\b|incorrect\b|inaccurate\b)"
    # A bound, or years of something else than an age.
    r"| (?:old )?or (?:less|fewer|more|under|over|below|above|higher|lower|better|worse|younger|older|at most)\b"
    r"| (?:old )?and (?:under|over|below|above|younger|older)\b"
    r"| (?:ago|apart|younger|earlier|later|of (?!age\b))| (?:old )?(?:older|younger) than\b"
    r"| (?:is|was)nt\b| ?[:?] ?no(?: ?[.,;!]|$)"
    rf"|(?: (?:{_IMAGE})s?)? would (?:need|require|have|take|look|show|demand|not)\b| would be (?:more|less|[a-z]+er)\b"
    r"| ?,? ?(?:but|though|although|yet) (?:i|we) (?:disagree|do not agree|dont agree)\b"
    r"| ?,? ?if (?!(?:i|we|you|forced|asked|pressed|not|any)\b)"
    r"| ?(?:以上|以下|以内|太高|太低|不合适|不符|吗|相比|ではない|じゃない|ではありません|とは言え|より|아니|미만|이상"
    r"|이하)"
)
# "A rate4(Excellent) image has more detail" is about such images; "This is a rate4(Excellent) image" is a rating.
_ANY = re.compile(
    r"(?:^ ?|[.,;:!?] ?|\b(?:that|because|since|while|whereas|usually|typically|and|but) )(?:an?|any|every|each) $"
)
_HAS = re.compile(
    rf"(?: (?:{_IMAGE}|rating|grade|score)s?)? (?:would|should|has|have|had|needs?|requires?|must|does|means|looks?"
    r"|shows?|is|are|will|can|usually|typically|normally)\b"
)
_ASKS = re.compile(
    r"\s*(?:(?:so|and|but|then|or),? )?(?:is|are|was|were|could|would|can|does|do|did|should|might|may|what|which|why"
    r"|how|who|isnt|wouldnt)\b"
)
_IF = re.compile(
    r"(?:^|[,:]|\b(?:and|but|so)\b) ?(?:if|were (?:it|the|this)|had (?:it|the|this)|unless|suppose|imagine"
    r"|with (?:more|better|less|a (?:bit|little))(?= .{0,99}\b(?:would|could|might)\b))\b"
    r"(?! (?:i|we) (?:had|have|must|were|am|need)\b| (?:forced|asked|pressed|you|possible|any|needed)\b)|如果|假如|要是"
)
_AFTER_ALL = re.compile(r"\b(?:but|however|as it (?:is|stands)|instead|actually)\b|但|不过|目前|现在")
_WOULD = re.compile(
    rf"\b(?:it|this|that|{_IMAGE}|which)(?: [a-z]+)? (?:would|could|might|may|can)(?: [a-z]+)? be{_up_to(3)}$"
    rf"|\b(?:itd|thatd) be{_up_to(3)}$"
)
_WERE = re.compile(
    r"[^.!?;。]{0,80}?\b(?:if|were|without|with|had|but|except|however|although|though|unless|until|once|apart|save)\b"
    r"| ?\. ?(?:but|however|unfortunately|alas)\b"
)
_RATING = re.compile(r"\b(?:rating|answer|choice|score|grade|estimate|guess|prediction)\b")

# Ages of things, and ages that are asked for.
_MUST = re.compile(r"\b(?:you|users?|visitors?|viewers?|customers?|applicants?) (?:must|have to|need to|should) be $")
_THING = re.compile(
    rf"(?:^|[,:] ?)(?:(?:so|and|but) )?(?:the|this|that|my) (?:old )?(?:{_IMAGE}|building|house|car|tree|dog|cat"
    rf"|painting)(?: itself)? (?:is|was|must be|looks|seems|appears|may be|might be|could be){_up_to(4)}$"
)
_PERSON = (
    "man|woman|person|male|female|boy|girl|adult|individual|guy|lady|gentleman|baby|babies|child|children|kid|infant"
    "|toddler|teen|teenager|adolescent|human|face|subject|model|patient|student|youth|elder|senior|mother|father"
    "|grandmother|grandfather|actor|actress|celebrity|player|men|women|people|caucasian|asian|african|hispanic|european"
)
_FUNCTION = (
    "and|but|or|with|because|as|since|at|in|on|of|to|for|from|by|when|while|who|that|which|based|given|due|according"
    "|maybe|perhaps|i|id|he|she|they|it|we|the|a|an|his|her|their|this|these|though|although|if|so|thus|therefore"
    "|however|now|today|here|plus|minus|give|range|not|no|without|is|are|was|were|has|have|looks|seems|appears|old|per"
    r"|than|versus|vs|give|approx|max|min|note|explanation|reason|reasoning|predicted|age|final|answer|coarse"
    r"|\w+(?:ing|ly|ed)"
)
_OF_A_THING = re.compile(rf" (?!(?:{_FUNCTION})\b)(?!(?:(?!(?:{_FUNCTION})\b)[a-z-]+ ){{0,3}}(?:{_PERSON})s?\b)[a-z]")
_HEDGE = re.compile(r"\W*(?:(?:about|around|maybe|perhaps|probably|roughly|approximately|age|answer|rating)\W*){0,3}")


def negated(before: str) -> int | None:
    """Where in the text before a candidate its negation begins, None without one."""
    negation = _NEGATED.search(before)
    return negation.start() if negation else None


def taken_back(text: str, end: int) -> bool:
    """Whether what follows a candidate takes it away."""
    return _TAKEN_BACK.match(text, end) is not None


def set_aside(text: str, before: str, start: int, end: int, forms: frozenset[str]) -> bool:
    """Whether the candidate at start..end is spoken of and not given. before: the text since the one before it."""
    if _ASIDE.search(before) or (_ANY.search(before) and _HAS.match(text, end)):
        return True
    if forms != {"word"} and _OF_AN_ASPECT.search(before):  # a word for itself contradicts
        return True
    sentence = re.split(r"[.!?;。] ?", text[max(0, start - SENTENCE) : start])[-1]
    after = text[end : end + SENTENCE]
    if re.match(r" ?\?", after) and re.search(r"[^\W\d_]", sentence) and not _HEDGE.fullmatch(sentence):
        return True
    if _ASKS.match(sentence) and re.match(r"[^.!;。]{0,100}\?", after):
        return True
    condition = _IF.search(sentence)
    if condition and not _AFTER_ALL.search(sentence, condition.end()):
        return True
    if "age" in forms or text[start:end].endswith(" old"):
        return _of_something_else(sentence, before, text[start:end], after)
    return bool(_WOULD.search(before) and not _RATING.search(sentence) and _WERE.match(after))


def _of_something_else(sentence: str, before: str, candidate: str, after: str) -> bool:
    """Whether an age is that of a thing ("a 12-year-old whisky"), or one that is asked for."""
    if _MUST.search(before) or (before.endswith("must be ") and re.match(r"(?: in order)? to [a-z]", after)):
        return True
    return bool(_THING.search(sentence) or (candidate.endswith("old") and _OF_A_THING.match(after)))

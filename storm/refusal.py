"""Whether a text refuses to rate. Our choice, after what chat models write."""

import re

REFUSAL = re.compile(
    r"\b(?:i ?a?m|i am) (?:very |so |really )?(?:sorry|unable|not able|afraid)\b|^\W*(?:sorry|my apologies|apologies)\b"
    r"|\bi apologi[sz]e\b|\bas an? (?:ai|artificial intelligence|(?:large )?language model|vision model)\b"
    r"|\bi (?:cant|cannot|can not|wont|will not|am not allowed to|must decline to|have to decline to|dont|do not)"
    r"(?: [a-z]+ly)? (?:help|assist|rate|determine|provide|view|identify|estimate|evaluate|assess|judge|give|grade"
    r"|comply|diagnose|guess|answer|tell|classify|feel comfortable|have the ability"
    r"|(?:see|access|process|open|load) (?:any |an |the |this |your )?(?:images?|photos?|pictures?|photographs?))\b"
    r"|抱歉|对不起|无法|不能(?:提供|判断|评|回答|确定|帮)|申し訳|죄송"
)


def refuses(text: str) -> bool:
    """Whether a text without a rating says that it will not give one."""
    return REFUSAL.search(text[:2_000]) is not None  # our choice: it does so at its beginning

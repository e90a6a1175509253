"""What page furniture says: patterns for lines in lower case, by rule. Data for `refine_rules`, nothing else.

English, because furniture is recognised by its words; a menu in another language is recognised by its shape.
Refuses nothing: whether a line that matches is removed is decided in `refine_rules`.
"""

# matched from the start of a line, after its bullet
FROM_START = {
    "cookie_notice": (
        r"(?:we|this (?:web)?site|our (?:web)?site|\S+) (?:and our partners )?uses? (?:\w+ ){0,2}cookies",
        r"accept (?:all |and )?(?:cookies|close)",
        (
            r"by (?:continuing|using|clicking|browsing|closing).{0,80}\b(?:cookies|privacy policy|terms of (?:use"
            r"|service))"
        ),
        r"cookies?$",
    ),
    "sign_in": (
        r"(?:sign|log)[ -]?(?:in|on|up|out)\b(?! (?:the|a|his|her|their) \w+ \w+ \w+ \w+)",
        r"(?:register|subscribe|join (?:now|us|today))$",
        r"subscribe(?: (?:now|today|to)\b|$)",
        r"my account$",
        r"(?:create|open) (?:an?|your) (?:free )?account",
        r"forgot(?:ten)? (?:your )?password",
        r"already (?:a|have an?) (?:member|subscriber|account)",
        r"(?:get|receive|sign up for).{0,60}\b(?:newsletter|inbox|alerts?)\b",
        r"enter your e-?mail",
        r"(?:thanks|thank you) for (?:subscribing|signing)",
        r"(?:your )?e-?mail(?: address)? ?\*?$",
    ),
    "share": (
        (
            r"(?:share|tweet|pin ?it|e-?mail|print|like|follow|whatsapp|facebook|twitter|linkedin|pinterest|reddit"
            r"|tumblr|instagram|youtube|telegram|messenger|flipboard|rss)(?: ?(?:this|on|us|via|with|to|article|page"
            r"|story|post|feed)\b.{0,50}|[ ,|/•]+(?:share|tweet|pin|e-?mail|print|facebook|twitter|linkedin|pinterest"
            r"|reddit|whatsapp|more|copy link).{0,60})?$"
        ),
        r"copy (?:link|url)",
        r"click to (?:share|e-?mail|print|copy)",
        r"(?:follow|find|like|join) us\b",
        r"\d[\d.,k]* ?(?:shares?|likes?|tweets?|followers|views|comments?|repl(?:y|ies))\b.{0,12}$",
        r"save (?:this )?(?:story|article)",
    ),
    "copyright": (
        r"(?:©|\(c\) (?:19|20)\d\d|copyright\b.{0,12}(?:©|(?:19|20)\d\d))",
        r"powered by \S+(?: \S+){0,3}$",
    ),
    "navigation": (
        r"skip (?:to|navigation|nav)\b",
        r"(?:back )?to (?:the )?top$",
        r"jump to\b.{0,40}$",
        (
            r"(?:[<«‹←] ?)?(?:prev(?:ious)?|next|older|newer)(?: (?:post|article|page|story|entry|entries|posts)"
            r")?s? ?[>»›→]?$"
        ),
        (
            r"(?:main )?(?:menu|navigation|home|search|close|toggle \w+|site ?map|site index|categories|archives?"
            r"|tags|topics|sections)(?: (?:menu|search|navigation|nav))?:?$"
        ),
        (
            r"(?:(?:show|view|see|load|read|find out|learn|watch|expand) (?:all|more|less|comments|now)|click here"
            r")\b.{0,20}$"
        ),
        (
            r"(?:about|contact|advertise|help|jobs|careers|faqs?|press|support|feedback|shop|store|donate"
            r"|accessibility|legal)(?: (?:us|with us|cent(?:er|re)|information))?$"
        ),
        r"\[?(?:edit|reply|report|flag|delete|quote|hide|menu)\]?$",
        r"page \d+(?: of \d+)?$",
    ),
    "terms": (
        r"(?:privacy|terms|disclaimer|imprint|conditions)\b(?:\W+\w+){0,6}$",
        r"this site is protected by recaptcha",
        r"(?:this material )?may not be (?:published|reproduced)",
    ),
    "related": (
        (
            r"(?:related|recommended|popular|trending|suggested|featured|sponsored|promoted|latest|recent|top"
            r"|editor['’]?s?) (?:articles?|stories|posts?|news|content|topics?|links|videos?|reads?|for you|picks?"
            r"|coverage|items|products|searches|comments)\b.{0,20}$"
        ),
        (
            r"(?:you (?:may|might|could) (?:also )?(?:like|be interested)|more (?:from|in|on|about|stories|news"
            r"|like this|articles|videos)|most (?:read|popular|viewed|shared|recent|commented)|see also|read (?:more"
            r"|next|also)|what to read next|don['’]t miss|up next|also (?:on|in|read)|around the web|from (?:the|our"
            r") (?:web|partners|archive))\b.{0,60}$"
        ),
        r"(?:related|trending|recommended) ?:?$",
    ),
    "advertisement": (
        (
            r"(?:advertisement|advertisements|advertising|ads?|sponsored|promoted|paid content|supported by"
            r"|story continues below.*|continue reading.{0,40}|article continues below.*|ad feedback|report this ad"
            r") ?[:.]?$"
        ),
    ),
    "comments": (
        r"(?:leave|post|add|write|join) (?:a|your|the) (?:comment|reply|conversation|discussion|review)",
        r"(?:show|hide|view|no|\d+) (?:\d+ )?(?:comments?|responses?|reviews?)$",
        r"comments?(?: \(\d+\)| are closed\.?|:)?$",
        r"your e-?mail address will not be published",
        r"required fields are marked",
        r"notify me of",
    ),
}

# tried on lines that hold one of the triggers, wherever it stands
TRIGGERS = ("cookie", "newsletter", "rights reserved", "©", "privacy", "terms ", "trademark", "do not sell")
ANYWHERE = {
    "cookie_notice": (
        r".{0,40}\bcookie (?:policy|settings|preferences|notice|consent)",
        r".{0,60}\bconsent to (?:the|our) use of cookies",
    ),
    "sign_in": (r".{0,50}\bnewsletters?(?: sign.?up)?[.!]?$",),
    "copyright": (
        r".{0,120}\ball rights reserved",
        r".{0,80}© ?(?:19|20)\d\d",
        r".{0,40}\bregistered trademarks? of",
    ),
    "terms": (
        (
            r".{0,60}\b(?:privacy (?:policy|notice|statement|cent(?:er|re)|settings)|terms (?:of (?:use|service|sale)"
            r"|(?:and|&) conditions)|do not sell my)\b.{0,60}$"
        ),
    ),
}

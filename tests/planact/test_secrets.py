"""Secrets are found in hostile and in honest texts, never shown whole, and what merely looks like one passes.

The secrets are put together here, so that no scanner of repositories finds one in this file.
"""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.secrets import HIDDEN, hide, secret_values, secrets_in

MIXED = "a1B2c3D4" * 12  # letters and digits, as keys have them

SECRETS = {
    "API key": ["sk-" + MIXED[:32], "sk-proj-" + MIXED[:40], "sk-ant-api03-x_y-" + MIXED],
    "Hugging Face token": ["hf_" + MIXED[:34]],
    "GitHub token": [f"gh{letter}_" + MIXED[:36] for letter in "pousr"] + ["github_pat_" + MIXED[:60]],
    "GitLab token": ["glpat-" + MIXED[:20]],
    "AWS key": ["AKIA" + "ABCD0123" * 2],
    "Google key": ["AIza" + MIXED[:35]],
    "Slack token": ["xoxb-1234-" + MIXED[:24]],
    "private key": ["-----BEGIN PRIVATE " + "KEY-----", "-----BEGIN RSA PRIVATE " + "KEY-----"],
    "JSON web token": ["eyJ" + MIXED[:30] + ".eyJ" + MIXED[:40] + "." + MIXED[:20]],
    "bearer header": ["Authorization: Bearer " + MIXED[:24], '{"authorization": "bearer ' + MIXED[:24] + '"}'],
    "basic header": ["Authorization: Basic " + MIXED[:16]],
    "cookie header": ["Set-Cookie: session=" + MIXED[:16] + "; Path=/", '"cookie": "id=' + MIXED[:16] + '"', "Cookie: a=" + MIXED[:9]],
    "password in an address": ["https://me:" + "hunter2@example.com/x", "redis://:" + "s3cret@localhost:1"],
}


@pytest.mark.parametrize("kind, secret", [(kind, secret) for kind, all_ in SECRETS.items() for secret in all_])
def test_every_kind_is_found_and_only_its_beginning_is_shown(kind, secret):
    for text in (secret, f"RootWebArea 'x'\n\tStaticText '{secret}'", f"note={secret} and more"):
        found = list(secrets_in(text, {}))
        assert kind in [one.kind for one in found]
        for one in found:
            assert len(one.begins) <= 4 and one.begins in secret and str(one) == f"{one.kind} that begins with {one.begins!r}"


HONEST = [
    "[12] link 'risk-free-returns-of-the-year-2023-and-more' clickable",  # ends a word: "sk-"
    "sk-translation-of-the-manual-into-slovak is merged",
    "desk-0123456789abcdef0123456789",
    "shf_" + MIXED,
    "the bearer responsibilities_and_other_long_words of the owner",
    "Bearer of bad news since 2019",
    "Cookie: chocolate chip, 12 pieces=3 dollars",
    "a cookie jar = 5",
    "http://shop.test:8000/cart?mail=ann@example.com",
    "http://shop.test/item: write to ann@example.com",
    "basic income: " + "abcdefgh",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "eyJ is how a JSON web token begins",
    "ghp_short AKIA1234 xoxo-love-letters-from-anna",
    "-----BEGIN PUBLIC KEY-----",
]


@pytest.mark.parametrize("text", HONEST)
def test_what_merely_looks_like_one_passes(text):
    assert list(secrets_in(text, {})) == []


def test_values_of_the_environments_secrets_are_found_by_name():
    environment = {
        "OPENAI_API_KEY": "plainwordskey",
        "SHOP_PASSWORD_ADMIN": "admin1234",
        "hub_token": "tokentoken",
        "X_SECRET": "short",  # could be any word
        "KEYBOARD": "us-keyboard-layout",
        "PATH_KEYS": "no-secret-at-all",
    }
    own = secret_values(environment)
    assert set(own) == {"OPENAI_API_KEY", "SHOP_PASSWORD_ADMIN", "hub_token"}
    [found] = secrets_in("typed 'admin1234' into [7]", own)
    assert str(found) == "value of SHOP_PASSWORD_ADMIN that begins with 'ad'"  # 9 characters: a quarter of them
    assert list(secrets_in("short us-keyboard-layout no-secret-at-all", own)) == []


@given(st.text(alphabet=st.sampled_from("sk-hf_gpAIKza:/@.eyJBrC o=01"), max_size=400))
def test_no_text_breaks_the_search_and_no_finding_shows_more_than_four_characters(text):
    assert all(len(one.begins) <= 4 and one.begins in text for one in secrets_in(text, {"A_KEY": text or "none"}))


@pytest.mark.parametrize("unit", ["sk-", "sk-a", "://", "://a:", "://a:b", "eyJ", "eyJa.", "Cookie: a", "Bearer ", "gh", "-----BEGIN A "])
def test_hostile_text_takes_linear_time(unit):
    started = time.perf_counter()
    list(secrets_in(unit * (1_000_000 // len(unit)), {}))
    assert time.perf_counter() - started < 2.0  # seconds; 0.05 at the time of writing


def test_a_hundred_megabytes_take_seconds():
    page = "RootWebArea 'Shop'\n" + "".join(f"\t[{n}] link 'Item {n}' url=http://shop.test/item/{n}\n" for n in range(40))
    started = time.perf_counter()
    found = [one for _ in range(10_000_000 // len(page)) for one in secrets_in(page, {"A_KEY": MIXED})]
    assert found == [] and time.perf_counter() - started < 3.0  # seconds for a tenth of them; 0.2 at the time of writing


@pytest.mark.parametrize("kind", SECRETS)
def test_what_is_found_can_be_hidden_whole(kind):
    for secret in SECRETS[kind]:
        hidden = hide(f"before {secret} after", {})
        assert hidden.startswith("before ") and hidden.endswith(" after") and HIDDEN in hidden
        assert not list(secrets_in(hidden, {})) and MIXED[8:16] not in hidden


def test_text_without_secrets_stays_as_it_is_and_given_values_go():
    assert hide("a sk-branch and Bearer of news", {}) == "a sk-branch and Bearer of news"
    assert hide("p=a%26b+c&q=a&amp;b c", {"x": "a&b c"}) == f"p={HIDDEN}&q={HIDDEN}"


@given(st.text(alphabet="sk-hf_Bearer :=;0123456789abcdefghijklmnopqrst\n", max_size=200))
def test_hiding_leaves_nothing_to_be_found(text):
    assert not list(secrets_in(hide(text, {}), {}))

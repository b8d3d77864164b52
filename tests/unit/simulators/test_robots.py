"""`X-Robots-Tag` as the server reads it."""

import pytest

from gristmill_simulators.supabase_storage import robots
from gristmill_simulators.supabase_storage.errors import StorageError


@pytest.mark.parametrize(
    "value",
    [
        "none",
        " noindex , nofollow ",
        "max-snippet: -1, max-video-preview:0",
        "max-image-preview: large",
        "googlebot: noindex, otherbot: max-snippet: 20",
        "unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, noindex",
        "unavailable_after: 2025-12-03, googlebot: nofollow",
        "googlebot: unavailable_after: 2025-12-03T10:00:00Z",
    ],
)
def test_rules_alone_with_values_or_for_one_crawler_are_taken(value):
    robots.check(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (" ", "X-Robots-Tag header value must be a non-empty string"),
        ("noindex,, nofollow", "X-Robots-Tag header contains empty rule"),
        ("noindex, index", 'Invalid X-Robots-Tag rule: "index"'),
        ("NOINDEX", 'Invalid X-Robots-Tag rule: "NOINDEX"'),
        ("googlebot:", 'X-Robots-Tag user agent "googlebot" has no rules specified'),
        ("googlebot: index", 'Invalid X-Robots-Tag rule: "index"'),
        ("max-snippet:", 'X-Robots-Tag rule "max-snippet" requires a value'),
        (
            "max-snippet: -2",
            'X-Robots-Tag "max-snippet" value must be a number >= -1, got: "-2"',
        ),
        (
            "max-image-preview: huge",
            (
                'X-Robots-Tag "max-image-preview" value must be one of: none, standard, large,'
                ' got: "huge"'
            ),
        ),
        (
            "unavailable_after: soon, noindex",
            'X-Robots-Tag "unavailable_after" value must be a valid date, got: "soon"',
        ),
    ],
)
def test_a_refusal_names_the_rule(value, message):
    with pytest.raises(StorageError) as error:
        robots.check(value)
    assert error.value.message == f"Invalid X-Robots-Tag header: {message}"

from __future__ import annotations

import json
from typing import Any

import pytest

from wormsig import __version__
from wormsig.errors import ExitCode
from wormsig.transport.errors import SameRoleError, VersionError
from wormsig.transport.hello import PeerInfo, agree, app_versions

COSIGNER = {"role": "cosigner", "version": "9.9", "protocols": [1], "verify": False}


def test_what_we_say_is_what_the_document_says() -> None:
    said = json.loads(json.dumps(app_versions("coordinator", verify=True)))
    assert said == {"wormsig": {"role": "coordinator", "version": __version__, "protocols": [1], "verify": True}}


def test_two_sides_agree() -> None:
    assert agree("coordinator", {"wormsig": COSIGNER}) == PeerInfo("cosigner", "9.9", (1,), wants_verify=False)
    said = json.loads(json.dumps(app_versions("coordinator", verify=True)))
    assert agree("cosigner", said).wants_verify


def test_a_later_version_may_say_more() -> None:
    later = {"wormsig": {**COSIGNER, "protocols": [1, 2, 3], "features": {"nested": [1]}}, "other-app": {}}
    assert agree("coordinator", later).protocols == (1, 2, 3)


@pytest.mark.parametrize(
    "theirs",
    [
        {},
        [],
        None,
        "wormsig",
        {"wormsig": []},
        {"wormsig": {**COSIGNER, "protocols": [2]}},
        {"wormsig": {**COSIGNER, "protocols": [True]}},
        {"wormsig": {**COSIGNER, "protocols": [1.0]}},
        {"wormsig": {**COSIGNER, "protocols": list(range(1, 100))}},
        {"wormsig": {**COSIGNER, "role": None}},
        {"wormsig": {**COSIGNER, "version": 1}},
        {"wormsig": {key: value for key, value in COSIGNER.items() if key != "protocols"}},
    ],
)
def test_anything_else_is_refused(theirs: Any) -> None:
    with pytest.raises(VersionError) as caught:
        agree("coordinator", theirs)
    assert caught.value.exit_code == ExitCode.PEER


def test_two_of_a_kind_are_told_which_command_is_missing() -> None:
    with pytest.raises(SameRoleError, match="cosigner too") as caught:
        agree("cosigner", {"wormsig": COSIGNER})
    assert "wormsig send" in (caught.value.hint or "")

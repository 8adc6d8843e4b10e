"""`--policy FILE`: what an unattended cosigner may sign, written down beforehand by a person.

A policy is a TOML file. It only ever narrows what is signed, but for warnings that it names one by one; an error of
the review is never overridden, nor a warning that needs a person whatever happens (`never_unattended`).

    format = 1
    accept = ["C24-paid-before"]        # warnings that do not stop it
    max_outflow_sats = 50_000_000       # most that may leave the wallet, fee included
    recipients = ["bc1q…", "bc1p…"]     # nobody else may be paid
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from wormsig.bitcoin.network import script_of
from wormsig.errors import InputError, RefusedError, UsageError
from wormsig.review.findings import Code
from wormsig.review.report import OutputKind

if TYPE_CHECKING:
    from pathlib import Path

    from wormsig.bitcoin.network import Network
    from wormsig.review.report import Report

MAX_POLICY_BYTES = 1_000_000
_CODES = {code.value: code for code in Code}


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be signed without a person.

    Attributes:
        format: Of this file.
        accept: Codes of warnings that do not stop it (docs/findings.md).
        max_outflow_sats: Most that may leave the wallet, fee included; None sets no limit.
        recipients: The only addresses that may be paid; None sets no limit.
    """

    format: Literal[1]
    accept: tuple[str, ...] = ()
    max_outflow_sats: Annotated[int, msgspec.Meta(ge=0)] | None = None
    recipients: tuple[str, ...] | None = None

    @property
    def codes(self) -> frozenset[Code]:
        """The accepted warnings."""
        return frozenset(_CODES[name] for name in self.accept)

    def check(self, report: Report, network: Network) -> None:
        """Refuse what goes beyond the policy.

        Raises:
            RefusedError: It does; the message says how.
            InputError: A recipient is no address of this network.
        """
        outflow = report.net_outflow_sats
        if self.max_outflow_sats is not None and (outflow is None or outflow > self.max_outflow_sats):
            leaves = "an unknown amount" if outflow is None else f"{outflow} sat"
            raise RefusedError(f"the policy allows {self.max_outflow_sats} sat, and {leaves} would leave the wallet")
        if self.recipients is None:
            return
        allowed = {script_of(address, network).hex() for address in self.recipients}
        for view in report.outputs:
            if view.kind is not OutputKind.CHANGE and view.script not in allowed:
                raise RefusedError(
                    f"the policy does not allow to pay output {view.index}: {view.address or view.script}"
                )


def load_policy(path: Path) -> Policy:
    """Read a policy.

    Raises:
        UsageError: It cannot be read, or is not a policy.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read the policy {path}: {error.strerror}") from None
    if len(data) > MAX_POLICY_BYTES:
        raise UsageError(f"the policy {path} is larger than {MAX_POLICY_BYTES} bytes")
    try:
        policy: Policy = msgspec.toml.decode(data, type=Policy)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a policy: {error}", hint="docs/howto/scripts.md shows one") from None
    for name in policy.accept:
        _check_code(name, path)
    return policy


def _check_code(name: str, path: Path) -> None:
    """Refuse what nobody may accept beforehand, so that it is noticed before the ceremony."""
    code = _CODES.get(name)
    if code is None:
        raise UsageError(f"{path}: {name!r} is not the code of a finding", hint="docs/findings.md lists them")
    if code.severity != "warning" or code.never_unattended:
        raise UsageError(
            f"{path}: {name} cannot be accepted by a policy", hint="only warnings can, and not all of them"
        )


def check_recipients(policy: Policy, network: Network) -> None:
    """Refuse a policy whose recipients are of another network, before anybody is contacted.

    Raises:
        UsageError: One of them is.
    """
    for address in policy.recipients or ():
        try:
            script_of(address, network)
        except InputError as error:
            raise UsageError(f"the policy's recipient {address}: {error.message}") from None

"""A report as the object of `inspect --json`, format 1; docs/inspect-json.md describes every field.

Amounts are integers, fee rates decimal strings. Scripts that read it rely on names and enums: they change only with
the format number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wormsig.review.words import decimal

if TYPE_CHECKING:
    from wormsig.review.report import Finding, InputView, KeyView, MusigView, OutputView, Report, SignatureView

FORMAT = 1


def report_object(report: Report) -> dict[str, Any]:
    """The whole report; `sanitize.to_json` writes it on one line, with everything odd escaped."""
    return {
        "format": FORMAT,
        "network": None if report.network is None else report.network.value,
        "wallet": report.wallet,
        "psbt_version": report.psbt_version,
        "txid": report.txid,
        "threshold": report.threshold,
        "policy": report.policy,
        "signatures": [_signature(view) for view in report.signatures],
        "inputs": [_input(view) for view in report.inputs],
        "outputs": [_output(view) for view in report.outputs],
        "fee_sats": report.fee_sats,
        "vsize": report.vsize,
        "fee_rate": None if report.fee_rate is None else decimal(report.fee_rate, 2),
        "net_outflow_sats": report.net_outflow_sats,
        "locktime": report.locktime,
        "replaceable": report.replaceable,
        "findings": [finding_object(finding) for finding in report.findings],
        "complete": report.complete,
    }


def finding_object(finding: Finding) -> dict[str, Any]:
    """One finding; its details follow the sentence."""
    return {
        "code": finding.code.value,
        "severity": finding.severity.value,
        "where": finding.where,
        "message": "; ".join((finding.message, *finding.details)),
    }


def _signature(view: SignatureView) -> dict[str, Any]:
    return {
        "input": view.input,
        "pubkey": view.pubkey,
        "fingerprint": view.fingerprint,
        "name": view.name,
        "valid": view.valid,
    }


def _input(view: InputView) -> dict[str, Any]:
    return {
        "outpoint": view.outpoint,
        "sats": view.sats,
        "script_type": view.script_type,
        "mine": view.mine,
        "path": view.path,
        "threshold": view.threshold,
        "keys": [_key(key) for key in view.keys],
        "sequence": view.sequence,
        "musig2": [_musig(group) for group in view.musig],
    }


def _key(view: KeyView) -> dict[str, Any]:
    return {"fingerprint": view.fingerprint, "name": view.name, "pubkey": view.pubkey}


def _musig(view: MusigView) -> dict[str, Any]:
    participants = zip(view.keys, view.nonces, view.signed, strict=True)
    return {
        "leaf": view.leaf,
        "participants": [{**_key(key), "nonce": nonce, "signed": signed} for key, nonce, signed in participants],
    }


def _output(view: OutputView) -> dict[str, Any]:
    return {
        "index": view.index,
        "sats": view.sats,
        "address": view.address,
        "script": view.script,
        "kind": view.kind.value,
        "path": view.path,
    }

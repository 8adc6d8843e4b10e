"""Somebody with a wallet in a registry, coins on the node, and the command line."""

from __future__ import annotations

from fractions import Fraction

from support.cosigners import make_wallet, people
from wormsig.app.create import create
from wormsig.app.order import Order, parse_payment
from wormsig.app.settings import ReviewOptions
from wormsig.node.client import Node
from wormsig.psbt import model, signer
from wormsig.wallet.derive import Deriver
from wormsig.wallet.registry import Registry


class Payer:
    """A wallet in a registry of its own, paid on the node, and wormsig's commands for it.

    Args:
        node: The regtest node.
        run: The `wormsig` fixture.
        home: The `home` fixture; made here.
        salt: Gives keys that no other test has.
        shape: As `make_wallet` takes it.
    """

    def __init__(self, node, run, home, *, salt, **shape):
        self.node, self.home, self._run = node, home, run
        self.people = people(3, salt)
        self.wallet = make_wallet(self.people, **shape)
        self.deriver = Deriver(self.wallet)
        home.mkdir(mode=0o700)
        (home / "wallets").mkdir(mode=0o700)
        self.registry = Registry(home / "wallets")
        self.registry.save(self.wallet)

    def fund(self, sats, branch=0, index=0, **how):
        return self.node.fund(self.deriver.address(branch, index), sats, **how)

    def address(self):
        return self.node.wallet().call("getnewaddress")

    def create(self, *arguments, **how):
        return self.run("create", *arguments, **how)

    def run(self, command, *arguments, **how):
        """One command with this wallet and node."""
        env = {**self.node.environment(), "WORMSIG_WALLET": "family", **how.pop("env", {})}
        return self._run(command, *arguments, env=env, **how)

    def created(self, *payments, rate=2, options=None, **order):
        """A PSBT, made in this process: as `create` prints it, without waiting for a process."""
        paying = tuple(parse_payment(text, self.wallet.network) for text in payments)
        return create(
            Order(paying, Fraction(rate), **order),
            self.wallet,
            Node(self.node.settings),
            registry=self.registry,
            options=options or ReviewOptions(),
        ).psbt


def sign(psbt, *cosigners):
    """The PSBT with these cosigners' signatures on every input that names their keys."""
    for person in cosigners:
        master = person.master
        keys = {
            index: {
                pubkey: master.derive(origin.path).seckey
                for pubkey, origin in model.input_derivations(psbt, index).items()
                if origin.fingerprint == master.fingerprint
            }
            for index in range(len(psbt.inputs))
        }
        psbt = signer.sign_inputs(psbt, keys)
    return psbt

"""What only a new interpreter can show: which modules are loaded, how much memory is taken, what a generator writes.

Of the pure layers; they are here because a process takes longer than a hundred of their own tests.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.kinds import kind
from support.values import replace
from wormsig.wallet.registry import Registry

ROOT = Path(__file__).resolve().parents[2]


def output(*arguments: str) -> str:
    """What an interpreter prints that exits with 0."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("script", ["tests/vectors/generate.py", "fuzz/make_corpus.py", "scripts/gen_exit_codes.py"])
def test_what_is_generated_is_up_to_date(script: str) -> None:
    done = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, f"run: python {script}"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_make_test_pure_runs_every_pure_file_once(count: int) -> None:
    code = (
        f"import sys; sys.path.insert(0, 'scripts'); import test_pure; parts = test_pure.shares({count})\n"
        "assert sorted(sum(parts, [])) == test_pure.files(), parts\n"
        f"assert len(parts) == {count} and len(test_pure.files()) > 70\n"
    )
    output("-c", code)


def test_importing_the_bitcoin_layer_loads_neither_the_library_nor_bitcointx() -> None:
    code = (
        "import sys\n"
        "from wormsig.bitcoin import base58, keys, libsecp, network, schnorr, script, secp, sighash, taproot, tx\n"
        "assert libsecp._loaded is None\n"
        "assert not [name for name in sys.modules if name.startswith(('bitcointx', '_btclib', 'btclib'))]\n"
        "secp.pubkey_of(bytes(31) + bytes([1]))\n"
        "assert libsecp._loaded is not None\n"
        "assert not [name for name in sys.modules if name.startswith(('bitcointx', '_btclib', 'btclib'))]\n"
    )
    output("-c", code)


_PEAKS = """
import tracemalloc
from wormsig.bitcoin.taproot import TapTree
for depth in (10, 13):
    tracemalloc.start()
    TapTree.of([(depth, 0xC0, b"")] * (1 << depth))
    print(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
"""


def test_large_trees_take_memory_in_proportion() -> None:
    # What other tests left behind, and threads that still run, would be counted too.
    small, large = map(int, output("-c", _PEAKS).split())
    assert large < 9 * small  # eight times the leaves


@pytest.mark.parametrize("name", ["wsh", "wsh-recovery", "tr-tree", "tr-musig-leaf"])
def test_loading_a_kept_wallet_imports_no_descriptor_library(tmp_path: Path, name: str) -> None:
    registry = Registry(tmp_path / "wallets")
    registry.save(replace(kind(name), name="family"))
    code = (
        "import sys, pathlib\n"
        "from wormsig.wallet.registry import Registry\n"
        "from wormsig.wallet.derive import Deriver\n"
        "w = Registry(pathlib.Path(sys.argv[1])).load('family')\n"
        "Deriver(w).script(0, 0)\n"
        "heavy = {'btclib', 'btclib_wallet', 'bitcointx', 'bip39_slip39', 'pyrage', 'twisted'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
    )
    assert output("-c", code, str(registry.directory)).strip() == "[]"


def test_plain_output_does_not_load_rich() -> None:
    code = (
        "import sys, io; from wormsig.render.terminal import show; from wormsig.render.lines import Line;"
        "import wormsig.render.report_text; show([Line('x')], io.StringIO()); sys.exit('rich' in sys.modules)"
    )
    output("-c", code)

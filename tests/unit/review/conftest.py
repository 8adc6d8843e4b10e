"""bitcoind's PSBTs: their tests are collected only where the variable is set; a missing folder then fails."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("WORMSIG_CORPUS") else ["test_corpus.py", "test_corpus_people.py"]

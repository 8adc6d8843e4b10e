"""The review that decides whether money is lost: `(psbt, wallet, context) -> Report`, and the gate to signing.

Pure: it asks no node, reads no file, knows no clock. What it may know beside the PSBT comes as a `ReviewContext`.
Signing, and showing a report to people, do not belong here.

| module | holds |
|---|---|
| `review` | `review()`: puts the parts together |
| `coins` | what each input spends, and how far that is proven |
| `ownership` | what is the wallet's, byte for byte |
| `claims`, `scripts` | what a PSBT claims about keys, and the scripts that it shows |
| `inputs`, `outputs`, `signatures`, `fees`, `timing`, `metadata`, `history` | the findings |
| `views` | what is proven, as the views of a report |
| `findings` | the table of codes |
| `report` | the frozen values of a report |
| `context` | what a review may know beside PSBT and wallet |
| `approve` | `approve()`, the only constructor of `Approved` |
"""

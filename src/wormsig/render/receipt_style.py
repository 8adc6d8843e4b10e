"""How a receipt's page looks: on a screen of any width, and on paper. No font, picture or script is fetched."""

STYLE = """
:root { color-scheme: light; --ink: #23262b; --soft: #6b6f76; --line: #dcd8cf; --paper: #fffdf9; --desk: #efece4;
  --coin: #5f7a94; --payment: #2f5d62; --change: #8aa58a; --fee: #c08a3e; --data: #8c8891; --bad: #a3302b; }
* { box-sizing: border-box; }
html { background: var(--desk); }
body { margin: 0; color: var(--ink); font: 16px/1.5 "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua",
  Georgia, "DejaVu Serif", serif; overflow-wrap: anywhere; }
main { max-width: 66rem; margin: 2.5rem auto; padding: 3rem 3.25rem; background: var(--paper);
  border: 1px solid var(--line); box-shadow: 0 1px 12px rgb(60 50 30 / 8%); }
header { text-align: center; padding-bottom: 1.75rem; border-bottom: 1px solid var(--line); }
header p { margin: 0.25rem 0; color: var(--soft); }
h1 { margin: 0.75rem 0 0.5rem; font-size: 2rem; font-weight: 400; letter-spacing: 0.01em; line-height: 1.25; }
.over { font-size: 0.8rem; letter-spacing: 0.18em; text-transform: uppercase; }
h2 { margin: 2.25rem 0 0.75rem; font-size: 0.85rem; font-weight: 600; letter-spacing: 0.14em; text-transform: uppercase;
  color: var(--soft); }
h3 { margin: 1.25rem 0 0.25rem; font-size: 1rem; font-weight: 600; }
.mono, td.hash, dd, svg text { font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono",
  "Liberation Mono", monospace; }
.mono, dd { font-size: 0.8rem; }
.drawing { display: block; width: 100%; height: auto; margin: 1.5rem 0 0; }
.narrow { display: none; }
.flow { opacity: 0.32; }
.coin { fill: var(--coin); } .payment { fill: var(--payment); } .change { fill: var(--change); }
.fee { fill: var(--fee); } .data { fill: var(--data); }
.trunk { fill: var(--coin); opacity: 0.32; }
svg text { fill: var(--ink); } svg .note { fill: var(--soft); } svg .amount { font-weight: 600; }
table + table, table + dl { margin-top: 1.25rem; }
table { width: 100%; border-collapse: collapse; font-size: 0.92rem; }
th { text-align: left; font-weight: 400; color: var(--soft); font-size: 0.8rem; }
th, td { padding: 0.4rem 1rem 0.4rem 0; vertical-align: top; border-bottom: 1px solid var(--line); }
td.sats { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th.sats { text-align: right; }
td.when { white-space: nowrap; color: var(--soft); font-variant-numeric: tabular-nums; }
td small { display: block; color: var(--soft); font-size: 0.78rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.35rem 1.25rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; padding-top: 0.2rem; }
.bad { color: var(--bad); font-weight: 600; }
footer { margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: 0.82rem; }
@media screen and (max-width: 46rem) {
  main { margin: 0; padding: 1.5rem 1rem; border: 0; box-shadow: none; }
  h1 { font-size: 1.5rem; }
  .wide { display: none; } .narrow { display: block; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { padding: 0 0 0.6rem; }
  table, tbody, tr, td { display: block; } thead { display: none; }
  tr { padding: 0.5rem 0; border-bottom: 1px solid var(--line); }
  table { border-top: 1px solid var(--line); }
  td, td.sats { padding: 0; border: 0; text-align: left; white-space: normal; }
}
@media print {
  @page { size: A4; margin: 16mm 15mm; }
  html, main { background: none; }
  body { font-size: 10.5pt; }
  main { max-width: none; margin: 0; padding: 0; border: 0; box-shadow: none; }
  .wide { display: block; } .narrow { display: none; }
  .flow, .bar, .trunk { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  td .mono { font-size: 0.7rem; }
  .details { break-before: page; }
  h2, h3 { break-after: avoid; }
  tr, svg, dl > div { break-inside: avoid; }
}
"""

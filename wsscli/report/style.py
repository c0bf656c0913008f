"""The style sheet of the HTML pages."""

from __future__ import annotations

CSS = """
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#1b1f24;--faint:#656d76;--line:#d8dee4;
--accent:#0a69da;--shade:0 1px 2px rgba(27,31,36,.08);--pic:170px}
@media (prefers-color-scheme:dark){:root{--paper:#0e1116;--card:#171b22;--ink:#e6e9ed;--faint:#97a0ab;
--line:#2c333c;--accent:#6cb0ff;--shade:none}}
:root:has(#s:checked){--pic:110px}
:root:has(#l:checked){--pic:300px}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.top,main,footer{max-width:1640px;margin:0 auto;padding:0 clamp(14px,2.4vw,36px)}
.top{display:flex;flex-wrap:wrap;gap:12px 32px;align-items:flex-end;justify-content:space-between;
padding-top:30px;padding-bottom:8px}
h1{font-size:1.75rem;line-height:1.2;margin:0;letter-spacing:-.015em}
.lead{margin:.45em 0 0;color:var(--faint);max-width:80ch}
h2{font-size:1.2rem;margin:34px 0 12px;letter-spacing:-.01em}
h3{font-size:.92rem;margin:0;font-weight:600;overflow-wrap:anywhere}
section>p{max-width:88ch;margin:.4em 0 .9em}
small{color:var(--faint);font-size:.8rem;font-weight:400}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;box-shadow:var(--shade);
padding:12px 14px 14px;margin:0 0 14px}
.card>header{display:flex;flex-wrap:wrap;gap:4px 16px;align-items:center;margin-bottom:8px}
.cards{display:grid;gap:14px;align-items:start;
grid-template-columns:repeat(auto-fill,minmax(min(calc(var(--cards)*var(--pic)*1.2),100%),1fr))}
.cards .card{margin:0}
.strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(var(--pic),100%),1fr));gap:10px;
align-items:end}
@media (min-width:1100px){:root:not(:has(#s:checked,#l:checked)) main>.card .strip[style],
:root:not(:has(#s:checked,#l:checked)) section>.card .strip[style],.cards .strip[style]{
grid-template-columns:repeat(var(--n),minmax(0,1fr))}}
figure{margin:0;min-width:0}
figcaption{font-size:.8rem;line-height:1.35;margin-bottom:3px;overflow-wrap:anywhere}
figcaption small{font-size:.74rem;line-height:1}
img{display:block;width:100%;height:auto;border-radius:5px;background:var(--line)}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;list-style:none;margin:0;padding:0;font-size:.84rem}
.legend li{display:flex;align-items:center;gap:6px}
.legend i{width:14px;height:14px;border-radius:3px;border:1px solid rgba(127,127,127,.55);flex:none}
.hatch{background:repeating-linear-gradient(135deg,#808080 0 3px,#d2d2d2 3px 4.5px)}
section>.legend,main>.legend{margin:0 0 14px}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px;
box-shadow:var(--shade);margin:0 0 14px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.9rem}
caption{text-align:left;padding:10px 14px 2px;color:var(--faint);font-size:.84rem}
th,td{padding:6px 14px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{white-space:nowrap}
thead th{font-size:.76rem;text-transform:uppercase;letter-spacing:.045em;color:var(--faint);font-weight:600}
tbody th{font-weight:600}
tbody tr:last-child>*{border-bottom:0}
.n{text-align:right;white-space:nowrap}
.bar span{display:block;min-width:6.5em;padding:0 6px;border-radius:4px;
background:linear-gradient(90deg,color-mix(in srgb,var(--c) 34%,transparent) var(--w),transparent 0)}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(330px,100%),1fr));gap:14px;
align-items:start}
.plot{display:block;width:100%;max-width:640px;margin:0 0 14px;height:auto;background:var(--card);
border:1px solid var(--line);border-radius:10px;padding:6px;font-family:inherit}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px;
margin:0 0 14px;font:.82rem/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.sizes{border:0;margin:0;padding:0;display:flex;gap:12px;font-size:.82rem;color:var(--faint)}
.sizes legend{float:left;padding:0;margin-right:12px}
.sizes label{display:flex;align-items:center;gap:4px;cursor:pointer}
.sizes input{margin:0;accent-color:var(--accent)}
footer{color:var(--faint);font-size:.82rem;padding-top:12px;padding-bottom:32px}
@media print{body{background:#fff}.sizes{display:none}.card{break-inside:avoid}}
"""

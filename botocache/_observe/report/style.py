"""The style of a report: light and dark, wide and narrow, on a screen and on paper.

Colours have a contrast of 4.5 to 1 for text and 3 to 1 for shapes, in both schemes; a
test computes it from the variables. No colour is the only sign of anything.
"""

from typing import Final

LIGHT: Final = {
    "page": "#f6f7f5",
    "surface": "#ffffff",
    "line": "#dde1dc",
    "ink": "#18211f",
    "muted": "#55605d",
    "saved": "#0b6e5f",
    "saved-soft": "#cfe9e2",
    "used": "#9a4a0c",
    "used-soft": "#f3dcc6",
    "near": "#0b6e5f",
    "store": "#3d6fb4",
    "rest": "#e4e7e3",
    "bad": "#b3261e",
    "bad-soft": "#fbe6e3",
    "note": "#3b5a9a",
    "note-soft": "#e7edf8",
}

DARK: Final = {
    "page": "#0f1513",
    "surface": "#171f1c",
    "line": "#2c3733",
    "ink": "#e8eeeb",
    "muted": "#a0aeaa",
    "saved": "#4fc9b0",
    "saved-soft": "#1d463d",
    "used": "#eda25c",
    "used-soft": "#4b3218",
    "near": "#4fc9b0",
    "store": "#86aef0",
    "rest": "#2a3531",
    "bad": "#ff8f85",
    "bad-soft": "#421c19",
    "note": "#9dbbf2",
    "note-soft": "#1c2940",
}


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


_RULES = """
*,*::before,*::after{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
 font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,
 sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:break-word}
bdi,pre,code,tbody th,tbody td{overflow-wrap:anywhere}
code.o{white-space:nowrap}
a{color:inherit}
a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{
 outline:3px solid var(--note);outline-offset:3px;border-radius:4px}
.page{max-width:66rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1,h2,h3,p,dl,dd,figure,ul,table{margin:0;padding:0}
h1{font-size:clamp(1.9rem,1.2rem + 3vw,3.1rem);line-height:1.1;letter-spacing:-.025em;
 font-weight:700;text-wrap:balance}
h2{font-size:1.3rem;line-height:1.25;letter-spacing:-.01em}
h3{font-size:1.02rem;line-height:1.35}
.eyebrow{color:var(--muted);font-size:.92rem;margin-bottom:.8rem}
.eyebrow strong{color:var(--ink)}
.lead{font-size:1.12rem;color:var(--muted);max-width:44rem;margin-top:.9rem;
 text-wrap:pretty}
.lead b{color:var(--ink);font-weight:600}
.todo{margin-top:1rem}
.todo a{font-weight:600;text-underline-offset:.2em}
section{margin-top:3.25rem}
section>h2+p,.sub{color:var(--muted);max-width:46rem;margin-top:.35rem;font-size:.96rem;
 text-wrap:pretty}
.card{background:var(--surface);border:1px solid var(--line);border-radius:14px;
 padding:1.25rem 1.35rem;margin-top:1.1rem}
.banner{border-radius:12px;padding:.85rem 1.1rem;margin-top:1.4rem;
 background:var(--note-soft);border-left:5px solid var(--note);max-width:48rem}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);margin-top:2rem;
 background:var(--surface);border:1px solid var(--line);border-radius:14px;
 overflow:hidden}
.tiles>div{padding:1.1rem 1.25rem;border-left:1px solid var(--line)}
.tiles>div:first-child{border-left:0}
.tiles dt{color:var(--muted);font-size:.86rem;line-height:1.3}
.tiles dd.big{font-size:1.75rem;line-height:1.2;font-weight:680;letter-spacing:-.02em;
 margin-top:.3rem}
.tiles dd.small{color:var(--muted);font-size:.86rem;line-height:1.4;margin-top:.25rem}
.keys{display:flex;flex-wrap:wrap;gap:.35rem 1.4rem;font-size:.9rem;margin-bottom:.9rem;
 list-style:none}
.keys li{display:flex;align-items:center;gap:.5rem}
.keys svg{flex:none}
figure svg{display:block}
figcaption{color:var(--muted);font-size:.88rem;margin-top:.8rem;max-width:46rem}
svg text{font-size:12px;fill:var(--muted)}
svg .halo{stroke:var(--surface);stroke-width:4px;stroke-linejoin:round;
 paint-order:stroke}
.grid{stroke:var(--line);stroke-width:1}
.base{stroke:var(--muted);stroke-width:1}
.saved-area{fill:var(--saved-soft)}
.used-area{fill:var(--used-soft)}
.saved-line,.used-line{fill:none;stroke-width:1.8;vector-effect:non-scaling-stroke;
 stroke-linejoin:round}
.saved-line{stroke:var(--saved);stroke-dasharray:5 2}
.used-line{stroke:var(--used)}
.bad-bar{fill:var(--bad)}
.touch{fill:transparent}
.touch:hover{fill:var(--ink);fill-opacity:.07}
.range{stroke-width:6;stroke-linecap:round}
.dot{stroke:var(--surface);stroke-width:2}
.near-s{stroke:var(--near)}.store-s{stroke:var(--store)}.miss-s{stroke:var(--used)}
.near-f{fill:var(--near)}.store-f{fill:var(--store)}.miss-f{fill:var(--used)}
svg .name{fill:var(--ink);font-size:13px;font-weight:600}
table{border-collapse:collapse;width:100%;font-size:.93rem}
caption{text-align:left;color:var(--muted);font-size:.9rem;padding-bottom:.6rem}
th,td{padding:.55rem .6rem;text-align:left;vertical-align:baseline;
 border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--muted);font-weight:500;font-size:.84rem;
 line-height:1.3;vertical-align:bottom}
tbody th{font-weight:600}
.n{text-align:right;white-space:nowrap}
th:first-child,td:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
tbody th{min-width:9.5rem}
.ratio{min-width:9rem}
.bar{display:block;margin-top:.3rem}
.rest{fill:var(--rest)}
.op{color:var(--muted);font-weight:400}
#ratio .op{display:block}
.total>*{border-top:2px solid var(--muted);font-weight:600}
code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",
 monospace;font-size:.9em}
pre{margin:.7rem 0 0;padding:.7rem .9rem;border-radius:9px;background:var(--page);
 border:1px solid var(--line);font-size:.88rem;line-height:1.5;white-space:pre-wrap;
 overflow-wrap:anywhere}
.two{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 1.1rem;
 align-items:start}
.advice{list-style:none;display:grid;gap:1rem;margin-top:1.1rem}
.advice>li{background:var(--surface);border:1px solid var(--line);border-radius:14px;
 padding:1.1rem 1.35rem 1.2rem}
.advice p{margin-top:.5rem;max-width:48rem}
.advice .evidence{color:var(--muted)}
.tag{display:inline-block;font-size:.78rem;font-weight:650;border-radius:99px;
 padding:.1rem .65rem;margin-bottom:.45rem;border:1.5px solid}
.fix{color:var(--bad);background:var(--bad-soft)}
.save{color:var(--saved);background:var(--surface)}
.know{color:var(--note);background:var(--note-soft)}
.about{font-weight:400;color:var(--muted)}
details{margin-top:.9rem;font-size:.92rem}
summary{cursor:pointer;color:var(--muted);width:fit-content}
details table{margin-top:.6rem}
.good{color:var(--saved);font-weight:600}
.wrong{color:var(--bad);font-weight:600}
footer{margin-top:4rem;padding-top:1.2rem;border-top:1px solid var(--line);
 color:var(--muted);font-size:.88rem}
footer p+p{margin-top:.4rem}
.checks{padding-left:1.2rem;margin-top:.8rem}
.checks li{margin-top:.45rem;max-width:44rem}
@media(max-width:52rem){
 .tiles{grid-template-columns:repeat(2,1fr)}
 .tiles>div:nth-child(odd){border-left:0}
 .tiles>div:nth-child(n+3){border-top:1px solid var(--line)}
 .two{grid-template-columns:minmax(0,1fr)}
}
@media(max-width:40rem){
 .page{padding:1.5rem 1rem 3rem}
 .card,.advice>li{padding:1rem}
 .tiles>div{padding:.9rem 1rem}
 .tiles dd.big{font-size:1.4rem}
 section{margin-top:2.5rem}
 svg .wide{display:none}
}
@media screen and (max-width:56rem){
 .stack thead{position:absolute;width:1px;height:1px;overflow:hidden;
  clip-path:inset(50%);white-space:nowrap}
 .stack,.stack caption,.stack tbody,.stack tr,.stack th,.stack td{display:block;width:100%}
 .stack tr{padding:.8rem 0;border-top:1px solid var(--line)}
 .stack tr:first-child{border-top:0;padding-top:.2rem}
 .stack tbody th{min-width:0;font-size:1rem;padding-bottom:.3rem}
 .stack th,.stack td{border:0;padding:.12rem 0;text-align:left}
 .stack td[data-label]{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:.8rem}
 .stack td[data-label]::before{content:attr(data-label);color:var(--muted)}
 .stack .ratio .bar{grid-column:1/-1;margin:.1rem 0 .4rem}
 .stack .total{border-top:2px solid var(--muted)}
}
@media screen and (min-width:40rem) and (max-width:56rem){
 .stack tr{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 2.5rem}
 .stack tbody th,.stack .ratio{grid-column:1/-1}
}
@media print{
 :root{color-scheme:light}
 body{background:#fff;font-size:10.5pt}
 .page{max-width:none;padding:0}
 .card,.advice>li,.tiles,tr,figure{break-inside:avoid}
 h2,h3{break-after:avoid}
 section{margin-top:1.8rem}
 details{display:none}
 table{font-size:8.5pt}
 th,td{padding:.35rem .3rem}
 tbody th{min-width:6rem}
 .ratio{min-width:5rem}
 .two{grid-template-columns:repeat(2,minmax(0,1fr))}
 *{-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
"""

STYLE: Final = (
    f":root{{color-scheme:light dark;{_variables(LIGHT)}}}"
    "@media screen and (prefers-color-scheme:dark){:root{"
    f"{_variables(DARK)}}}}}{_RULES}"
)

//! The style sheet of a report and of the live page.

/// Style sheet of a report's page; the live page of `aid-hil demo --watch` has the same.
pub const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--quiet:#57606a;--line:#c9d1d9;--card:#f6f8fa;--link:#0b57d0;--focus:#f2a900;
--pass:#1a7f37;--skipped:#57606a;--warning:#8a5a00;--inconclusive:#8250df;--fail:#b3261e;
--aid1:#0b57d0;--aid2:#1a7f37;--aid4:#8a5a00;--page:#57606a;--es2:#8250df;--es9:#a4006a;--apdu:#b3261e;--deed:#57606a}
@media screen and (prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e6edf3;--quiet:#9aa5b1;--line:#3d444d;--card:#1d2127;--link:#8ab4f8;
--pass:#56d364;--skipped:#9aa5b1;--warning:#e3b341;--inconclusive:#c297ff;--fail:#ff8f85;
--aid1:#8ab4f8;--aid2:#56d364;--aid4:#e3b341;--page:#9aa5b1;--es2:#c297ff;--es9:#ff8fd0;--apdu:#ff8f85;--deed:#9aa5b1}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:0 1rem 3rem;background:var(--bg);color:var(--fg);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:1.25rem 0 .25rem}h2{font-size:1.2rem;margin:2rem 0 .5rem}h3{font-size:1.05rem;margin:0}
a{color:var(--link)}:focus-visible{outline:3px solid var(--focus);outline-offset:2px}
code,pre{font-family:ui-monospace,monospace;font-size:.85rem}pre{white-space:pre-wrap;margin:.25rem 0;padding:.5rem;background:var(--bg);border:1px solid var(--line);border-radius:.25rem}
.quiet{color:var(--quiet)}.note{border-left:.3rem solid var(--warning);padding:.25rem .75rem}
.tally{display:flex;flex-wrap:wrap;gap:.5rem;list-style:none;padding:0;margin:.75rem 0}
.chip{display:inline-block;padding:.05rem .55rem;border:1px solid currentColor;border-radius:1rem;font-size:.85rem;font-weight:600;white-space:nowrap}
.v-pass{color:var(--pass)}.v-skipped{color:var(--skipped)}.v-warning{color:var(--warning)}.v-inconclusive{color:var(--inconclusive)}.v-fail{color:var(--fail)}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line)}td:first-child{min-width:5rem}thead th{border:0;font-size:.85rem;color:var(--quiet)}
dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.1rem 1rem;margin:.5rem 0}dt{color:var(--quiet)}dd{margin:0}
section.case{border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem;margin:1rem 0;background:var(--card)}
section.case>header{display:flex;flex-wrap:wrap;gap:.25rem .75rem;align-items:baseline}
.failure{border-left:.3rem solid var(--fail);padding:.1rem .75rem;margin:.5rem 0}.failure p{margin:.25rem 0}
ol.steps{margin:.5rem 0;padding-left:1.5rem}ol.steps .chip{font-size:.75rem}
details.all>summary::before{content:'\\25B8';margin-right:.5rem}details.all[open]>summary::before{content:'\\25BE'}
details.all>summary{cursor:pointer;min-height:2.75rem;display:flex;align-items:center;color:var(--link)}
.p1{--n:1}.p2{--n:2}.p3{--n:3}.p4{--n:4}.p5{--n:5}.p6{--n:6}.p7{--n:7}.p8{--n:8}.p9{--n:9}.p10{--n:10}.p11{--n:11}.p12{--n:12}
.heads{display:flex;width:calc(var(--n)*5rem);margin-left:6rem;position:sticky;top:0;background:var(--card);padding:.25rem 0;z-index:1}
.heads span{flex:1 1 0;text-align:center;font-weight:600;font-size:.8rem;min-width:0;line-height:1.2}
.rows{list-style:none;margin:0;padding:0}
.rows summary{position:relative;display:grid;grid-template-columns:6rem calc(var(--n)*5rem) 1fr;min-height:2.75rem;align-items:center;cursor:pointer;list-style:none}
.rows summary::-webkit-details-marker{display:none}
.rows summary:hover{background:color-mix(in srgb,var(--link) 12%,transparent)}
.rows summary>svg{position:absolute;left:6rem;top:0;width:calc(var(--n)*5rem);height:100%}
.rows time{font-size:.75rem;color:var(--quiet);font-variant-numeric:tabular-nums}
.rows .title{grid-column:3;padding-left:.75rem;font-size:.9rem;line-height:1.3}.rows .way{font-size:.75rem;color:var(--quiet);display:block}
.rows .open{margin:0 0 .5rem 6rem;padding:.5rem .75rem;border:1px solid var(--line);border-radius:.25rem;font-size:.9rem}
svg .life{stroke:var(--line);stroke-width:1}svg .arrow{stroke-width:2}svg .arrow.dashed{stroke-dasharray:5 3}
.k-aid1{stroke:var(--aid1);fill:var(--aid1)}.k-aid2{stroke:var(--aid2);fill:var(--aid2)}.k-aid4{stroke:var(--aid4);fill:var(--aid4)}.k-page{stroke:var(--page);fill:var(--page)}
.k-es2{stroke:var(--es2);fill:var(--es2)}.k-es9{stroke:var(--es9);fill:var(--es9)}.k-apdu{stroke:var(--apdu);fill:var(--apdu)}.k-deed{stroke:var(--deed);fill:var(--deed)}
@media(max-width:45rem){body{padding:0 .6rem 2rem}dl{grid-template-columns:1fr}dd{margin-bottom:.3rem}
.heads{margin-left:0;width:45vw}.heads span{font-size:.75rem;writing-mode:vertical-rl;text-align:right;margin:0 auto;display:flex;align-items:center}.rows summary{grid-template-columns:45vw 1fr}.rows time{grid-column:2;grid-row:2;padding-left:.5rem}
.rows summary>svg{left:0;width:45vw}.rows .title{grid-column:2;padding-left:.5rem}.rows .open{margin-left:0}.wide{display:none}}
@media print{:root{color-scheme:light;font-size:9pt;--bg:#fff;--fg:#000;--card:#fff;--quiet:#444;--line:#999}body{max-width:none;padding:0}
.heads{position:static}section.case{break-inside:auto;border-color:#999}section.case>header,.rows li,tr{break-inside:avoid}a{color:inherit;text-decoration:none}
details::details-content{content-visibility:visible;display:block;height:auto}.rows .open{font-size:8pt}*{print-color-adjust:exact}}
@media(prefers-reduced-motion:no-preference){.rows li.now{animation:now 1.2s}@keyframes now{from{background:color-mix(in srgb,var(--focus) 40%,transparent)}}}
";

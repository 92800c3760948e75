//! The live page: the car's state, the steps with their figures, and the sequence of messages.

use super::recording::Shown;
use aid_report::{Message, sequence, sequence_row};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Added to the style sheet of reports.
pub(super) const STYLE: &str = "\
#state{position:sticky;top:0;background:var(--bg);border-bottom:1px solid var(--line);padding:.5rem 0;z-index:2}
#state .car{font-weight:600;margin:0}#state ol{display:flex;flex-wrap:wrap;gap:.25rem .75rem;list-style:none;margin:.25rem 0;padding:0;font-size:.85rem}
.heads{background:var(--bg);position:sticky;top:var(--below,8rem);z-index:1}
";

/// Adds what the events bring.
pub(super) const SCRIPT: &str = "\
'use strict';
const rows = document.getElementById('rows');
const state = document.getElementById('state');
// The names of the parties stay below the state, whose height changes.
new ResizeObserver(() => document.documentElement.style.setProperty('--below', state.offsetHeight + 'px')).observe(state);
const source = new EventSource('/events?after=' + rows.childElementCount);
source.addEventListener('row', event => {
  const below = innerHeight + scrollY >= document.body.scrollHeight - 80;
  const made = document.createElement('template');
  made.innerHTML = event.data;
  if (made.content.firstElementChild) made.content.firstElementChild.classList.add('now');
  rows.append(made.content);
  if (below) scrollTo(0, document.body.scrollHeight);
});
source.addEventListener('state', event => { state.innerHTML = event.data; });
source.addEventListener('end', () => source.close());
";

/// The lifelines of a demo, in any order.
fn parties() -> Vec<String> {
    ["driver", "card-1", "car-1", "cmp", "msp", "smdp"]
        .map(str::to_owned)
        .to_vec()
}

/// One message as a row.
pub(super) fn row(message: &Message) -> String {
    sequence_row(&parties(), message)
}

/// Car and steps.
pub(super) fn state(shown: &Shown) -> String {
    state_of(shown).into_string()
}

fn state_of(shown: &Shown) -> Markup {
    let sum = |count: fn(&aid_report::Counts) -> u64| -> u64 {
        shown.steps.iter().map(|step| count(&step.counts)).sum()
    };
    html! {
        p class="car" { "Car: " (shown.car) @if shown.over { ". The demo is over." } }
        ol {
            @for step in &shown.steps {
                li {
                    span class={ "v-" (step.verdict) } { (step.verdict) }
                    " " (step.title) " " (format!("{:.1}", step.counts.us as f64 / 1000.0)) " ms"
                }
            }
        }
        @if let Some(address) = &shown.screen {
            p { a href=(address) target="_blank" rel="noopener" { "Open the car's screen" } " beside this page; the address is good for one browser." }
        }
        p class="quiet" {
            (shown.messages.len()) " messages, " (sum(|c| c.apdus)) " APDUs, " (sum(|c| c.bytes)) " bytes over the admin link"
        }
    }
}

/// The whole page.
pub(super) fn document(shown: &Shown) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Demo of aid" }
                link rel="stylesheet" href="/style.css";
                @if !shown.over { noscript { meta http-equiv="refresh" content="2"; } }
            }
            body {
                main {
                    h1 { "One car, from the account to the SIM" }
                    div id="state" role="status" { (state_of(shown)) }
                    h2 { "Messages" }
                    p class="quiet" { "Open a message to see its content. Secrets are masked." }
                    (PreEscaped(sequence(&parties(), &shown.messages)))
                }
                script src="/live.js" defer {}
            }
        }
    }
    .into_string()
}

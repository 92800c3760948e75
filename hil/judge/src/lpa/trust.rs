//! Whom the LPA trusts: SGP.22 §2.6.6, §6.1.

use super::certificates::Shown;
use super::outcome::Run;
use super::rig::{Order, Rig};
use super::server::Script;
use super::with_ci_key;
use crate::rsp::findings::{Checked, must};
use crate::rsp::table;
use crate::test::always;

table! { Rig;
    "SGP22-6.1/foreign-ci" [] [] "SGP.22 §2.6.6, §6.1" Must, always, foreign_ci,
        "A TLS certificate of a CI that the LPA does not have is refused before any request.";
    "SGP22-6.1/other-host" [] [] "SGP.22 §4.1, §6.1" Must, with_ci_key, other_host,
        "A TLS certificate of another host is refused before any request.";
    "SGP22-6.1/expired" [] [] "SGP.22 §6.1" Must, with_ci_key, expired,
        "A TLS certificate whose time is over is refused before any request.";
}

fn refused(rig: &mut Rig, shown: Shown) -> Checked {
    // That the command reaches the server at all is seen first.
    let good = rig.download()?;
    good.called("initiateAuthentication")?;
    rig.forget();
    let run: Run = rig.play(Script::default(), shown, Order::Download)?;
    let asked = run.http("initiateAuthentication").len() + run.http("authenticateClient").len();
    must(
        asked == 0,
        "no request over TLS with a wrong certificate",
        || run.did(),
    )?;
    rig.must_have(false, &run)
}

fn foreign_ci(rig: &mut Rig) -> Checked {
    refused(rig, Shown::ForeignCi)
}

fn other_host(rig: &mut Rig) -> Checked {
    refused(rig, Shown::OtherHost)
}

fn expired(rig: &mut Rig) -> Checked {
    refused(rig, Shown::Expired)
}

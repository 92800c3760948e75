//! How the vehicle connects, and what it says first: AID.02 §3.2, docs/wire/aid2.md.

use super::rig::Rig;
use super::shared::Seen;
use super::table;
use crate::rsp::findings::{Checked, must, same};
use crate::test::{Finding, Test, always};
use aid_wire::{Status, Up, announced, topic_down};

/// It is not one of the table's because it judges a vehicle that does not do what every other test begins with.
pub(super) fn declared() -> Vec<Test<Rig>> {
    vec![
        Test::must(
            "R-3.2-4/eid",
            &["R-3.2-4"],
            "declared",
            "The vehicle's certificate has the EID that the target file declares.",
            |rig: &mut Rig, evidence| rig.any_case(evidence, eid),
        )
        .declared(),
    ]
}

table! {
    "R-3.2-4/link" ["R-3.2-4"] "AID.02 §3.2" Must, always, link,
        "The vehicle connects with a certificate of its EID, an empty client id or its EID, no will, and subscribes its own topic only.";
    "R-3.2-4/hello" ["R-3.2-4"] "AID.02 §3.2" Must, always, hello,
        "The first message of a connection is Hello, with each profile on the card, its state and its owner.";
    "R-3.2-4/revision" ["R-3.2-4"] "declared" Declared, always, revision,
        "The vehicle announces the revision of AID2 that the target file declares.";
}

fn eid(rig: &mut Rig) -> Checked {
    let first = rig.shared.wait(0, rig.patience(), |seen| match seen {
        Seen::Connected(connected) => Some(connected.common_name.clone()),
        _ => None,
    });
    let Some(common_name) = first else {
        return Err(Finding::Hidden("no vehicle connected".to_owned()));
    };
    same(
        "the certificate's common name: the EID of the target file",
        rig.shared.eid.as_str(),
        common_name.as_str(),
    )
}

fn reconnected(rig: &mut Rig) -> Checked<usize> {
    let mark = rig.shared.mark();
    rig.break_link();
    rig.hello(mark)?;
    Ok(mark)
}

fn link(rig: &mut Rig) -> Checked {
    let mark = reconnected(rig)?;
    let eid = rig.shared.eid;
    for seen in rig.shared.since(mark) {
        match seen {
            Seen::Connected(connected) => {
                same(
                    "the certificate's common name: the EID",
                    eid.as_str(),
                    connected.common_name.as_str(),
                )?;
                let id = connected.client_id;
                must(
                    id.is_empty() || id == eid.as_str(),
                    "an empty client id, or the EID",
                    || format!("{id:?}"),
                )?;
                must(!connected.will, "no will", || "a will".to_owned())?;
            }
            Seen::Subscribed(filters) => same(
                "the subscription: its own topic",
                &vec![topic_down(&eid)],
                &filters,
            )?,
            Seen::Bad(why) => {
                return Err(Finding::broken("what AID2 allows", why));
            }
            Seen::Up(_) | Seen::Lost(_) => {}
        }
    }
    Ok(())
}

fn hello(rig: &mut Rig) -> Checked {
    let home = rig.home()?;
    let mark = reconnected(rig)?;
    let first = rig.ups(mark).into_iter().next();
    let Some(Up::Hello { profiles, .. }) = first else {
        return Err(Finding::broken(
            "Hello as the first message of a connection",
            rig.heard(mark),
        ));
    };
    let own = profiles.iter().find(|p| p.iccid == home.iccid);
    let Some(own) = own else {
        return Err(Finding::broken(
            format!("Hello with the profile {}", home.iccid),
            format!("{profiles:?}"),
        ));
    };
    must(
        matches!(own.state, Status::Disabled | Status::Installed),
        "the profile disabled, as nobody is logged in",
        || format!("{:?}", own.state),
    )?;
    same("the profile's owner", &Some(home.account), &own.owner)
}

fn revision(rig: &mut Rig) -> Checked {
    let mark = reconnected(rig)?;
    let software = rig.expect(mark, "Hello", |up| match up {
        Up::Hello { software, .. } => Some(software.clone()),
        _ => None,
    })?;
    same(
        "the revision that Hello announces",
        &rig.target.revision,
        &announced(&software),
    )
}

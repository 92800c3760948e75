//! Profile Policy Rules against the card's Rules Authorisation Table.
//! SGP.22 §2.9.2, §3.1.3 step 2 (LPA's check). Called by the download.

use aid_rsp::es10::{GetRatResponse, OperatorId};

/// Whether each rule of the profile is allowed for its operator. Consent of the user counts as
/// given: logging in to a car that is to provision itself is the consent (AID.02 §4.3).
pub(crate) fn allowed(rat: &GetRatResponse, rules: u32, owner: Option<&OperatorId>) -> bool {
    (0..32)
        .map(|bit| 1u32 << bit)
        .filter(|bit| rules & bit != 0 && *bit != aid_rsp::es10::ppr::UPDATE_CONTROL)
        .all(|bit| {
            rat.rules.iter().any(|(pprs, operators, _)| {
                pprs & bit != 0
                    && operators
                        .iter()
                        .any(|o| owner.is_some_and(|p| matches(o, p)))
            })
        })
}

/// A digit E is a wildcard (§2.9.2.1); gid1 and gid2 must match where the entry has them.
fn matches(entry: &OperatorId, owner: &OperatorId) -> bool {
    let digits = |code: &[u8; 3]| code.map(|b| [b & 15, b >> 4]).concat();
    let codes = digits(&entry.mcc_mnc)
        .into_iter()
        .zip(digits(&owner.mcc_mnc))
        .all(|(allowed, got)| allowed == 0xE || allowed == got);
    let gid = |allowed: &Option<Vec<u8>>, got: &Option<Vec<u8>>| match allowed {
        None => true,
        Some(allowed) => Some(allowed) == got.as_ref() || allowed.is_empty() && got.is_some(),
    };
    codes && gid(&entry.gid1, &owner.gid1) && gid(&entry.gid2, &owner.gid2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_rsp::es10::ppr::{PPR1, PPR2};

    fn operator(mcc_mnc: [u8; 3]) -> OperatorId {
        OperatorId {
            mcc_mnc,
            gid1: None,
            gid2: None,
        }
    }

    #[test]
    fn every_rule_needs_an_entry_for_the_operator() {
        let rat = GetRatResponse {
            rules: vec![
                (PPR1, vec![operator([0x62, 0xF2, 0x10])], false),
                (PPR2, vec![operator([0xEE; 3])], true),
            ],
        };
        let (ours, other) = (operator([0x62, 0xF2, 0x10]), operator([0x00, 0xF1, 0x10]));
        assert!(allowed(&rat, PPR1 | PPR2, Some(&ours)));
        assert!(allowed(&rat, PPR2, Some(&other)));
        assert!(!allowed(&rat, PPR1, Some(&other)));
        assert!(
            !allowed(&rat, PPR2, None),
            "a rule without an operator is nobody's"
        );
        assert!(!allowed(&GetRatResponse::default(), PPR2, Some(&ours)));
        assert!(allowed(&GetRatResponse::default(), 0, None));
    }
}
